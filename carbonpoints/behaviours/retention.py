"""What may not be kept is deleted: events that were not decided, the inputs of decisions, and words (M11, M15).

Only rows of `identity_undecided` and `event_payload`, and the words of appeals, go. Decisions, entries, commitments and seals stay and still
verify. Every page is a transaction of its own, so that the work may be cut off anywhere and done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.withdrawals import find_due_erasures
from carbonpoints.core import audit, clock
from carbonpoints.core.db import raw_connection, reading, transaction
from carbonpoints.core.errors import NotFound
from carbonpoints.ledger.maintenance import read_pins_and_traces
from carbonpoints.ledger.queries import LAST_SEQ, read_head

PAGE_ROWS = 5_000
"""So many rows are looked at, and deleted at the most, in one transaction."""
ERASED = "payloads.erase"
"""The audit's word for an erasure."""
CONSENT_WITHDRAWN = "consent_withdrawn"
"""The purpose of an erasure that a withdrawn consent demands."""

# The lock makes a row that is just being remembered afresh keep its new time, or be passed over.
PURGE = """
WITH past AS MATERIALIZED (
    SELECT u.event_hash FROM identity_undecided u JOIN event_source s ON s.source_id = u.source_id
    WHERE u.received_at < %s AND s.programme_id = %s
    ORDER BY u.received_at LIMIT %s FOR UPDATE OF u SKIP LOCKED
)
DELETE FROM identity_undecided u USING past WHERE u.event_hash = past.event_hash
"""
ERASE_WORDS = """
UPDATE appeal SET text = NULL, attachments = NULL, reason = NULL
WHERE account_id = %s AND (text IS NOT NULL OR reason IS NOT NULL)
"""
ERASE_OLD_WORDS = """
UPDATE appeal SET text = NULL, attachments = NULL, reason = NULL WHERE (account_id, appeal_no) IN (
    SELECT account_id, appeal_no FROM appeal
    WHERE (text IS NOT NULL OR reason IS NOT NULL) AND resolved_at < %s AND programme_id = %s
    ORDER BY resolved_at LIMIT %s FOR UPDATE SKIP LOCKED
)
"""
NEXT_PAYLOADS = """
SELECT account_seq FROM event_payload WHERE account_id = %s AND account_seq > %s AND account_seq < %s
ORDER BY account_seq LIMIT %s
"""
DELETE_PAYLOADS = "DELETE FROM event_payload WHERE account_id = %s AND account_seq = ANY(%s)"
CONSENT_SOURCES = """
SELECT p.pin_id, v.content ->> 'consent_source' FROM rule_pin p
JOIN version v ON v.version_id = p.behaviour_version_id WHERE p.pin_id = ANY(%s)
"""


def purge_undecided(programme_id: int) -> bool:
    """Delete the oldest events that were not decided and are past the programme's retention.

    True when there may be more.
    """
    with transaction() as session:
        days = programme_settings(session, programme_id).undecided_retention_days
        oldest = clock.now() - timedelta(days=days)
        purged = raw_connection(session).execute(PURGE, (oldest, programme_id, PAGE_ROWS)).rowcount
    return purged == PAGE_ROWS


def erase_old_words(programme_id: int) -> bool:
    """Erase the words of the programme's oldest appeals that were resolved longer ago than they are kept.

    True when there may be more.
    """
    with transaction() as session:
        days = programme_settings(session, programme_id).appeal_retention_days
        oldest = clock.now() - timedelta(days=days)
        erased = raw_connection(session).execute(ERASE_OLD_WORDS, (oldest, programme_id, PAGE_ROWS)).rowcount
    return erased == PAGE_ROWS


def erase_withdrawn(after_account_id: int) -> int | None:
    """Erase what withdrawn consents of the next accounts covered, where the retention is over.

    Returns the last account looked at, None when there was none. An input belongs to the consent source that
    the behaviour named in the version by which it was decided.
    """
    with reading() as session:
        due = find_due_erasures(session, after_account_id=after_account_id, at=clock.now())
    for account_id, withdrawals in due.by_account.items():
        after: int | None = 0
        while after is not None:
            after = _erase_page(account_id, withdrawals, after)
    return due.last


def _erase_page(account_id: int, withdrawals: Mapping[str, int], after: int) -> int | None:
    """Look at an account's next payloads and erase those decided before their source's withdrawal.

    Returns the number to go on after, None at the end.
    """
    with transaction() as session:
        seqs = _next_payloads(session, account_id, after, max(withdrawals.values()))
        sources = _consent_sources(session, account_id, seqs)
        erased = {seq: source for seq, source in sources.items() if seq < withdrawals.get(source, 0)}
        if erased:
            detail = {"consent_sources": sorted(set(erased.values()))}
            _erase(session, account_id, list(erased), purpose=CONSENT_WITHDRAWN, detail=detail)
    return seqs[-1] if len(seqs) == PAGE_ROWS else None


def erase_payloads(*, account_id: int, reason: str) -> int:
    """Erase the inputs of all decisions of an account and the words of its appeals, as its holder may ask.

    Returns how many inputs there were. Audited with the reason, also where nothing was left. Raises NotFound.
    """
    total = 0
    while True:
        with transaction() as session:
            if read_head(session, account_id) is None:
                raise NotFound
            seqs = _next_payloads(session, account_id, 0, LAST_SEQ)
            appeals = raw_connection(session).execute(ERASE_WORDS, (account_id,)).rowcount
            detail = {"appeals": appeals} if appeals else {}
            total += _erase(session, account_id, seqs, purpose=reason, detail=detail)
        if len(seqs) < PAGE_ROWS:
            return total


def _next_payloads(session: Session, account_id: int, after: int, before: int) -> list[int]:
    rows = raw_connection(session).execute(NEXT_PAYLOADS, (account_id, after, before, PAGE_ROWS))
    return [seq for (seq,) in rows]


def _consent_sources(session: Session, account_id: int, seqs: Sequence[int]) -> dict[int, str]:
    """Return the consent source of each decision: the one its pinned behaviour type names."""
    decided = read_pins_and_traces(session, [(account_id, seq) for seq in seqs])
    pins = {seq: pin_id for (_, seq), (pin_id, _) in decided.items()}
    rows = raw_connection(session).execute(CONSENT_SOURCES, (list(set(pins.values())),))
    sources = dict(rows.fetchall())
    return {seq: sources[pin_id] for seq, pin_id in pins.items() if pin_id in sources}


def _erase(
    session: Session, account_id: int, seqs: Sequence[int], *, purpose: str, detail: Mapping[str, object]
) -> int:
    erased = raw_connection(session).execute(DELETE_PAYLOADS, (account_id, list(seqs))).rowcount
    audit.record(
        session,
        account_id=account_id,
        action=ERASED,
        purpose=purpose,
        detail={"payloads": erased, **detail},
    )
    return erased
