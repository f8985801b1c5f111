"""Acts, claimed once over all behaviours, feeds and formats (M14). Set-based: one event or a whole chunk alike.

An act at a point (a transaction) is a row that only one event can have. An act that takes time (a trip, a meter
period) excludes every other claim of the same fingerprint that overlaps with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from carbonpoints.behaviours.candidates import Candidate
from carbonpoints.behaviours.inserting import insert_unless_known
from carbonpoints.core.arrays import of_bytes, of_numbers, of_times
from carbonpoints.core.db import raw_connection

CLAIM_POINTS = """
INSERT INTO identity_claim (fingerprint, event_hash, account_id, key_version, state)
SELECT fingerprint, event_hash, account_id, %s, 'claimed'
FROM unnest(%s::bytea[], %s::bytea[], %s::bigint[]) AS w (fingerprint, event_hash, account_id)
"""
CLAIM_INTERVALS = """
INSERT INTO identity_interval_claim (fingerprint, event_hash, account_id, during, key_version, state)
SELECT fingerprint, event_hash, account_id, tstzrange(starts, ends), %s, 'claimed'
FROM unnest(%s::bytea[], %s::bytea[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
     AS w (fingerprint, event_hash, account_id, starts, ends)
"""
OWN_POINTS = """
SELECT c.event_hash FROM identity_claim c
JOIN unnest(%s::bytea[], %s::bytea[]) AS w (fingerprint, event_hash) USING (fingerprint, event_hash)
WHERE c.state = 'claimed'
"""
OWN_INTERVALS = OWN_POINTS.replace("identity_claim", "identity_interval_claim")
RELEASE_POINTS = """
DELETE FROM identity_claim WHERE (fingerprint, event_hash) IN (SELECT * FROM unnest(%s::bytea[], %s::bytea[]))
"""
RELEASE_INTERVALS = RELEASE_POINTS.replace("identity_claim", "identity_interval_claim")


def claim_acts(session: Session, candidates: Sequence[Candidate], key_version: int) -> None:
    """Claim the act of each event; marks those whose act another event has claimed.

    The more specific behaviour goes first inside one delivery.
    """
    ordered = sorted((c for c in candidates if c.claim is not None), key=_claim_order)
    _claim_points(session, [c for c in ordered if c.claim and c.claim.start is None], key_version)
    _claim_intervals(session, [c for c in ordered if c.claim and c.claim.start is not None], key_version)


def _claim_points(session: Session, candidates: Sequence[Candidate], key_version: int) -> None:
    if not candidates:
        return
    pairs = _pairs(candidates)
    arguments = (key_version, *pairs, of_numbers(c.account_id for c in candidates))
    first = {c.claim.fingerprint: c.event_hash for c in reversed(candidates) if c.claim is not None}
    is_once = len(first) == len(candidates)
    if not insert_unless_known(
        session, CLAIM_POINTS, arguments, expects_new=is_once and _all_new(candidates)
    ):
        _mark_lost(session, candidates, OWN_POINTS)


def _claim_intervals(session: Session, candidates: Sequence[Candidate], key_version: int) -> None:
    if not candidates:
        return
    claims = [c.claim for c in candidates if c.claim is not None]
    times = of_times(claim.start for claim in claims), of_times(claim.end for claim in claims)
    arguments = (key_version, *_pairs(candidates), of_numbers(c.account_id for c in candidates), *times)
    if not insert_unless_known(session, CLAIM_INTERVALS, arguments, expects_new=False):
        _mark_lost(session, candidates, OWN_INTERVALS)


def _all_new(candidates: Sequence[Candidate]) -> bool:
    return all(candidate.is_new for candidate in candidates)


def _pairs(candidates: Sequence[Candidate]) -> tuple[str, str]:
    """Return fingerprints and event hashes as arrays."""
    return (
        of_bytes(c.claim.fingerprint for c in candidates if c.claim is not None),
        of_bytes(c.event_hash for c in candidates if c.claim is not None),
    )


def _mark_lost(session: Session, candidates: Sequence[Candidate], own: str) -> None:
    rows = raw_connection(session).execute(own, _pairs(candidates), binary=True)
    held = {row[0] for row in rows}
    for candidate in candidates:
        candidate.is_claimed_elsewhere = candidate.event_hash not in held


def _claim_order(candidate: Candidate) -> tuple[bytes, int]:
    assert candidate.claim is not None  # noqa: S101 - only candidates with a claim are passed
    assert candidate.compiled is not None  # noqa: S101 - a claim comes from a compiled rule
    return candidate.claim.fingerprint, -candidate.compiled.behaviour.specificity


def release_acts(session: Session, candidates: Sequence[Candidate]) -> None:
    """Take back the claims of events that stayed undecided after all."""
    claiming = [candidate for candidate in candidates if candidate.claim is not None]
    if claiming:
        connection, pairs = raw_connection(session), _pairs(claiming)
        connection.execute(RELEASE_POINTS, pairs)
        connection.execute(RELEASE_INTERVALS, pairs)
