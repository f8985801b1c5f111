"""Identities of events and acts, claimed once (M8, M14). Set-based: one event or a whole chunk alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from struct import Struct

from sqlalchemy.orm import Session

from carbonpoints.behaviours.candidates import Candidate, Delivery
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.inserting import copy_if_all_new
from carbonpoints.core.arrays import of_bytes, of_numbers, of_times
from carbonpoints.core.crypto import IDENTITY_BYTES
from carbonpoints.core.db import raw_connection
from carbonpoints.ledger.queries import KnownEvent, find_events, read_head

EVENTS = "identity_event (event_hash, account_id)"
_EVENT = Struct(f">h i{IDENTITY_BYTES}s iq")
CLAIM_EVENTS = """
INSERT INTO identity_event (event_hash, account_id) SELECT * FROM unnest(%s::bytea[], %s::bigint[])
ON CONFLICT DO NOTHING
"""
REMEMBER = """
INSERT INTO identity_undecided (event_hash, account_id, source_id, disposition, received_at)
SELECT * FROM unnest(%s::bytea[], %s::bigint[], %s::int[], %s::smallint[], %s::timestamptz[])
ON CONFLICT (event_hash) DO UPDATE
SET account_id = excluded.account_id, disposition = excluded.disposition, received_at = excluded.received_at
"""
TAKE_OVER = "UPDATE identity_event SET account_id = %s WHERE event_hash = %s"
CLAIMED_BY = "SELECT account_id, event_hash FROM identity_event WHERE event_hash = ANY(%s::bytea[])"


def claim_events(session: Session, candidates: Sequence[Candidate]) -> None:
    """Claim the identity of each event for its account.

    Where any of them was claimed before, none is taken for new; and a candidate whose identity another account
    holds names that account: the event was decided there, or is a conflict.
    """
    if not candidates:
        return
    ordered = sorted(candidates, key=attrgetter("event_hash"))
    is_once = len({candidate.event_hash for candidate in ordered}) == len(ordered)
    if is_once and copy_if_all_new(session, EVENTS, _event_rows(ordered)):
        return
    hashes = of_bytes(candidate.event_hash for candidate in ordered)
    arguments = (hashes, of_numbers(candidate.account_id for candidate in ordered))
    claimed = raw_connection(session).execute(CLAIM_EVENTS, arguments)
    if is_once and claimed.rowcount == len(ordered):
        return
    owners = {key: holder for holder, key in raw_connection(session).execute(CLAIMED_BY, (hashes,))}
    for candidate in candidates:
        candidate.is_new = False
        owner = owners[candidate.event_hash]
        if owner != candidate.account_id:
            candidate.claimed_by = owner


def _event_rows(candidates: Sequence[Candidate]) -> list[bytes]:
    pack = _EVENT.pack
    return [pack(2, IDENTITY_BYTES, each.event_hash, 8, each.account_id) for each in candidates]


def recall(session: Session, candidates: Sequence[Candidate]) -> dict[bytes, KnownEvent]:
    """Return what was decided before, by event; such an event goes on to be answered whatever holds today.

    A consent that has ended, a subject that is gone: they decide nothing about what was decided. A correction is
    decided like any event: without consent and account there is none.
    """
    repeated = [c for c in candidates if c.undecided is not None or not c.is_new]
    decided = find_decided(session, [candidate.event_hash for candidate in repeated])
    for candidate in repeated:
        known = decided.get(candidate.event_hash)
        if known is not None:
            if candidate.event.revision <= known.revision:
                candidate.undecided = None
            candidate.is_new = False
            candidate.claimed_by = known.account_id if known.account_id != candidate.account_id else 0
    return decided


def find_decided(session: Session, event_hashes: Sequence[bytes]) -> dict[bytes, KnownEvent]:
    """Return, of events wherever they went, those that were decided, by their highest revision."""
    if not event_hashes:
        return {}
    claimed = raw_connection(session).execute(CLAIMED_BY, (of_bytes(event_hashes),))
    return find_events(session, claimed.fetchall())


def take_over(session: Session, candidates: Sequence[Candidate]) -> None:
    """Give undecided events of accounts that were merged since to the account that their subject names now.

    A merged account decides no event any more, so nobody else will.
    """
    holders = {candidate.claimed_by for candidate in candidates}
    heads = [read_head(session, holder) for holder in sorted(holders)]
    merged = {head.account_id for head in heads if head is not None and head.status == "merged"}
    for candidate in sorted(candidates, key=lambda candidate: candidate.event_hash):
        if candidate.claimed_by in merged:
            names = (candidate.account_id, candidate.event_hash)
            raw_connection(session).execute(TAKE_OVER, names)
            candidate.claimed_by = 0


def remember_undecided(session: Session, delivery: Delivery, candidates: Sequence[Candidate]) -> None:
    """Keep what may be kept of events that were not decided: keyed identity, source, reason and time (M11)."""
    _remember(
        session,
        delivery,
        {c.event_hash: (c.account_id or None, c.undecided) for c in candidates if c.undecided is not None},
    )


def remember_unread(session: Session, delivery: Delivery, unread: Mapping[bytes, Disposition]) -> None:
    """Keep the same of events that went no further than being read, unless an event of that identity was decided."""
    decided = find_decided(session, list(unread))
    _remember(
        session,
        delivery,
        {key: (None, disposition) for key, disposition in unread.items() if key not in decided},
    )


def _remember(
    session: Session, delivery: Delivery, undecided: Mapping[bytes, tuple[int | None, Disposition]]
) -> None:
    if not undecided:
        return
    hashes = sorted(undecided)
    raw_connection(session).execute(
        REMEMBER,
        (
            of_bytes(hashes),
            of_numbers(undecided[event_hash][0] for event_hash in hashes),
            of_numbers([delivery.source.source_id] * len(hashes)),
            of_numbers(undecided[event_hash][1] for event_hash in hashes),
            of_times([delivery.received_at] * len(hashes)),
        ),
    )
