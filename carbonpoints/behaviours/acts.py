"""Acts, claimed once over all behaviours, feeds and formats (M14). Set-based: one event or a whole chunk alike.

An act at a point (a transaction) is a row that only one event can have. An act that takes time (a trip, a meter
period) excludes every other claim of the same fingerprint that overlaps with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct

import psycopg
from sqlalchemy.orm import Session

from carbonpoints.behaviours.candidates import Candidate
from carbonpoints.behaviours.inserting import copy_if_all_new
from carbonpoints.core.arrays import of_bytes, of_numbers, of_times
from carbonpoints.core.crypto import IDENTITY_BYTES
from carbonpoints.core.db import raw_connection

POINTS = "identity_claim (fingerprint, event_hash, account_id, key_version, state)"
CLAIMED = b"claimed"
_POINT = Struct(f">h i{IDENTITY_BYTES}s i{IDENTITY_BYTES}s iq ih i{len(CLAIMED)}s")
CLAIM_POINTS = """
INSERT INTO identity_claim (fingerprint, event_hash, account_id, key_version, state)
SELECT fingerprint, event_hash, account_id, %s, 'claimed'
FROM unnest(%s::bytea[], %s::bytea[], %s::bigint[]) AS w (fingerprint, event_hash, account_id)
ON CONFLICT DO NOTHING
"""
CLAIM_INTERVALS = """
INSERT INTO identity_interval_claim (fingerprint, event_hash, account_id, during, key_version, state)
SELECT fingerprint, event_hash, account_id, tstzrange(starts, ends), %s, 'claimed'
FROM unnest(%s::bytea[], %s::bytea[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
     AS w (fingerprint, event_hash, account_id, starts, ends)
ON CONFLICT DO NOTHING
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
    claims = [(c.claim.fingerprint, c.event_hash, c.account_id) for c in candidates if c.claim is not None]
    are_new = len({fingerprint for fingerprint, _, _ in claims}) == len(claims) and _all_new(candidates)
    if are_new and copy_if_all_new(session, POINTS, _point_rows(claims, key_version)):
        return
    arguments = (key_version, *_pairs(candidates), of_numbers(account_id for _, _, account_id in claims))
    if raw_connection(session).execute(CLAIM_POINTS, arguments).rowcount < len(claims):
        _mark_lost(session, candidates, OWN_POINTS)


def _point_rows(claims: Sequence[tuple[bytes, bytes, int]], key_version: int) -> list[bytes]:
    pack, size, state_size = _POINT.pack, IDENTITY_BYTES, len(CLAIMED)
    return [
        pack(5, size, fingerprint, size, event_hash, 8, account_id, 2, key_version, state_size, CLAIMED)
        for fingerprint, event_hash, account_id in claims
    ]


def _claim_intervals(session: Session, candidates: Sequence[Candidate], key_version: int) -> None:
    if not candidates:
        return
    claims = [c.claim for c in candidates if c.claim is not None]
    times = of_times(claim.start for claim in claims), of_times(claim.end for claim in claims)
    arguments = (key_version, *_pairs(candidates), of_numbers(c.account_id for c in candidates), *times)
    if raw_connection(session).execute(CLAIM_INTERVALS, arguments).rowcount < len(claims):
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


WIDEN_INTERVAL = """
UPDATE identity_interval_claim SET during = range_merge(during, tstzrange(%s, %s))
WHERE fingerprint = %s AND event_hash = %s
"""
SET_INTERVAL = WIDEN_INTERVAL.replace("range_merge(during, tstzrange(%s, %s))", "tstzrange(%s, %s)")


def widen_intervals(session: Session, candidates: Iterable[Candidate]) -> None:
    """Let corrections hold their act's time as it was and as it is said to be now, until they are decided.

    Marks those whose act overlaps with another event's then.
    """
    for candidate in candidates:
        if candidate.claim is None or candidate.claim.start is None or candidate.is_claimed_elsewhere:
            continue
        fingerprint, start, end = candidate.claim
        connection = raw_connection(session)
        try:
            with connection.transaction():
                connection.execute(WIDEN_INTERVAL, (start, end, fingerprint, candidate.event_hash))
        except psycopg.errors.ExclusionViolation:
            candidate.is_claimed_elsewhere = True


def settle_acts(session: Session, corrections: Iterable[tuple[Candidate, Candidate]]) -> None:
    """Let go, of each (original, correction), what the original claimed and the correction does not."""
    for original, correction in corrections:
        old, new = original.claim, correction.claim
        if old is None:
            continue
        if new is None or new.fingerprint != old.fingerprint:
            release_acts(session, [original])
        elif new.start is not None and not correction.is_claimed_elsewhere:
            parameters = (new.start, new.end, new.fingerprint, correction.event_hash)
            raw_connection(session).execute(SET_INTERVAL, parameters)


def release_acts(session: Session, candidates: Sequence[Candidate]) -> None:
    """Take back the claims of events that stayed undecided after all, or were reversed."""
    claiming = [candidate for candidate in candidates if candidate.claim is not None]
    if claiming:
        connection, pairs = raw_connection(session), _pairs(claiming)
        connection.execute(RELEASE_POINTS, pairs)
        connection.execute(RELEASE_INTERVALS, pairs)
