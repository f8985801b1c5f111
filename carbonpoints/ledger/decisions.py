"""Decisions found by the event that they are about, or by the award that they took back."""

from __future__ import annotations

from collections.abc import Collection

from psycopg.rows import class_row
from sqlalchemy.orm import Session

from carbonpoints.core.db import raw_connection
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.queries import StoredDecision
from carbonpoints.ledger.restating import Restatement

NEWEST = """
SELECT DISTINCT ON (d.account_id, d.event_hash) d.*
FROM unnest(%s::bigint[], %s::bytea[]) AS asked (account_id, event_hash)
JOIN decision d ON d.account_id = asked.account_id AND d.event_hash = asked.event_hash
ORDER BY d.account_id, d.event_hash, d.revision DESC
"""
AWARDED_SINCE = """
SELECT DISTINCT event_hash FROM decision WHERE account_id = %s AND account_seq > %s AND kind = %s
    AND (amount_millicredits > 0 OR reduction_mg > 0)
"""
REVERSAL = (
    "SELECT * FROM decision WHERE account_id = %s AND kind = %s AND (trace -> 'award_seq')::bigint = %s"
)

RESTATEMENTS = """
SELECT d.account_id, d.account_seq, d.booked_at, d.pin_id, d.trace
FROM unnest(%s::bigint[], %s::bigint[]) AS asked (account_id, event_seq)
JOIN decision d ON d.account_id = asked.account_id AND d.kind = %s AND (d.trace -> 'event_seq')::bigint = asked.event_seq
ORDER BY d.account_id, d.account_seq
"""
FORFEITED = """
SELECT d.account_id, asked.award_seq FROM unnest(%s::bigint[], %s::bigint[]) AS asked (account_id, award_seq)
JOIN decision d ON d.account_id = asked.account_id AND d.kind = %s AND (d.trace -> 'award_seq')::bigint = asked.award_seq
"""


def find_decisions(
    session: Session, pairs: Collection[tuple[int, bytes]]
) -> dict[tuple[int, bytes], StoredDecision]:
    """Return the decisions about the highest revisions of events, by (account, event hash)."""
    account_ids, hashes = zip(*pairs, strict=True)
    with raw_connection(session).cursor(row_factory=class_row(StoredDecision)) as cursor:
        found = cursor.execute(NEWEST, (list(account_ids), list(hashes))).fetchall()
    return {(each.account_id, each.event_hash or b""): each for each in found}


def awarded_since(session: Session, account_id: int, account_seq: int) -> list[bytes]:
    """Return the events that an account was given something for after a number."""
    parameters = (account_id, account_seq, int(DecisionKind.EVENT))
    return [row[0] for row in raw_connection(session).execute(AWARDED_SINCE, parameters)]


def find_reversal(session: Session, account_id: int, award_seq: int) -> StoredDecision | None:
    """Return the decision that took an award back; None where none did in this account."""
    with raw_connection(session).cursor(row_factory=class_row(StoredDecision)) as cursor:
        return cursor.execute(REVERSAL, (account_id, int(DecisionKind.REVERSAL), award_seq)).fetchone()


def find_restatements(
    session: Session, pairs: Collection[tuple[int, int]]
) -> dict[tuple[int, int], list[Restatement]]:
    """Return what restatements posted for events, by account and number of the event, in order."""
    if not pairs:
        return {}
    account_ids, event_seqs = zip(*pairs, strict=True)
    found: dict[tuple[int, int], list[Restatement]] = {}
    parameters = (list(account_ids), list(event_seqs), int(DecisionKind.RESTATEMENT))
    for account_id, *row in raw_connection(session).execute(RESTATEMENTS, parameters):
        restatement = Restatement.of(*row)
        found.setdefault((account_id, restatement.event_seq), []).append(restatement)
    return found


def find_forfeited(session: Session, pairs: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return those decided events, by account and number, whose awards were taken back in their own account."""
    if not pairs:
        return set()
    account_ids, seqs = zip(*pairs, strict=True)
    parameters = (list(account_ids), list(seqs), int(DecisionKind.REVERSAL))
    return set(raw_connection(session).execute(FORFEITED, parameters).fetchall())
