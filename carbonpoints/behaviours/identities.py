"""Identities of events and acts, claimed once (M8, M14). Set-based: one event or a whole chunk alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from carbonpoints.behaviours.candidates import Candidate, Delivery
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.core.arrays import of_bytes, of_numbers, of_times
from carbonpoints.core.db import raw_connection
from carbonpoints.ledger.queries import find_events

CLAIM_EVENTS = """
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(%s::bytea[], %s::bigint[]) AS w (event_hash, account_id)
), inserted AS (
    INSERT INTO identity_event (event_hash, account_id)
    SELECT event_hash, account_id FROM wanted ON CONFLICT DO NOTHING
    RETURNING event_hash
)
SELECT w.event_hash FROM wanted w LEFT JOIN inserted i USING (event_hash) WHERE i.event_hash IS NULL
"""
CLAIM_ACTS = """
WITH wanted AS MATERIALIZED (
    SELECT fingerprint, event_hash, account_id, tstzrange(starts, ends) AS during
    FROM unnest(%s::bytea[], %s::bytea[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
         AS w (fingerprint, event_hash, account_id, starts, ends)
), inserted AS (
    INSERT INTO identity_claim (fingerprint, event_hash, account_id, during, key_version, state)
    SELECT fingerprint, event_hash, account_id, CASE WHEN lower_inf(during) THEN NULL ELSE during END, %s, 'claimed'
    FROM wanted ON CONFLICT DO NOTHING
    RETURNING fingerprint, event_hash
)
SELECT w.fingerprint, w.event_hash FROM wanted w LEFT JOIN inserted i USING (fingerprint, event_hash)
WHERE i.event_hash IS NULL
"""
OWN_CLAIMS = """
SELECT c.event_hash FROM identity_claim c
JOIN unnest(%s::bytea[], %s::bytea[]) AS w (fingerprint, event_hash) USING (fingerprint, event_hash)
WHERE c.state = 'claimed'
"""
REMEMBER = """
INSERT INTO identity_undecided (event_hash, account_id, source_id, disposition, received_at)
SELECT * FROM unnest(%s::bytea[], %s::bigint[], %s::int[], %s::smallint[], %s::timestamptz[])
ON CONFLICT (event_hash) DO UPDATE
SET account_id = excluded.account_id, disposition = excluded.disposition, received_at = excluded.received_at
"""
CLAIMED_BY = "SELECT account_id, event_hash FROM identity_event WHERE event_hash = ANY(%s)"
RELEASE_ACTS = "DELETE FROM identity_claim WHERE (fingerprint, event_hash) IN (SELECT * FROM unnest(%s::bytea[], %s::bytea[]))"


def claim_events(session: Session, candidates: Sequence[Candidate]) -> None:
    """Claim the identity of each event for its account.

    Marks a candidate whose identity was claimed before as not new, and names the account that holds it where that
    is another: the event was decided there, or is a conflict.
    """
    if not candidates:
        return
    ordered = sorted(candidates, key=lambda candidate: candidate.event_hash)
    connection = raw_connection(session)
    hashes = [candidate.event_hash for candidate in ordered]
    accounts = [candidate.account_id for candidate in ordered]
    rows = connection.execute(CLAIM_EVENTS, (of_bytes(hashes), of_numbers(accounts)), binary=True)
    known = [row[0] for row in rows]
    if not known:
        return
    found = connection.execute(
        "SELECT event_hash, account_id FROM identity_event WHERE event_hash = ANY(%s)", (known,), binary=True
    )
    owners = dict(found.fetchall())
    for candidate in candidates:
        owner = owners.get(candidate.event_hash)
        if owner is not None:
            candidate.is_new = False
            if owner != candidate.account_id:
                candidate.claimed_by = owner


def claim_acts(session: Session, candidates: Sequence[Candidate], key_version: int) -> None:
    """Claim the act of each event; marks those whose act another event has claimed.

    The more specific behaviour goes first inside one delivery (M14).
    """
    if not candidates:
        return
    ordered = sorted(candidates, key=_claim_order)
    connection = raw_connection(session)
    claims = [(candidate, candidate.claim) for candidate in ordered if candidate.claim is not None]
    arguments = (
        of_bytes(claim.fingerprint for _, claim in claims),
        of_bytes(candidate.event_hash for candidate, _ in claims),
        of_numbers(candidate.account_id for candidate, _ in claims),
        of_times(claim.start for _, claim in claims),
        of_times(claim.end for _, claim in claims),
        key_version,
    )
    refused = connection.execute(CLAIM_ACTS, arguments, binary=True).fetchall()
    if not refused:
        return
    pairs = ([row[0] for row in refused], [row[1] for row in refused])
    own = {row[0] for row in connection.execute(OWN_CLAIMS, pairs, binary=True)}
    lost = {row[1] for row in refused} - own
    for candidate in candidates:
        candidate.is_claimed_elsewhere = candidate.event_hash in lost


def _claim_order(candidate: Candidate) -> tuple[bytes, int]:
    assert candidate.claim is not None  # noqa: S101 - only candidates with a claim are passed
    assert candidate.compiled is not None  # noqa: S101 - a claim comes from a compiled rule
    return candidate.claim.fingerprint, -candidate.compiled.behaviour.specificity


def release_acts(session: Session, candidates: Sequence[Candidate]) -> None:
    """Take back the claims of events that stayed undecided after all."""
    claims = [(c.claim.fingerprint, c.event_hash) for c in candidates if c.claim is not None]
    if claims:
        raw_connection(session).execute(RELEASE_ACTS, ([f for f, _ in claims], [h for _, h in claims]))


def remember_undecided(session: Session, delivery: Delivery, candidates: Sequence[Candidate]) -> None:
    """Keep what may be kept of events that were not decided: keyed identity, source, reason and time (M11)."""
    _remember(
        session,
        delivery,
        {c.event_hash: (c.account_id or None, c.undecided) for c in candidates if c.undecided is not None},
    )


def remember_unread(session: Session, delivery: Delivery, unread: Mapping[bytes, Disposition]) -> None:
    """Keep the same of events that went no further than being read, unless an event of that identity was decided."""
    rows = raw_connection(session).execute(CLAIMED_BY, (list(unread),))
    decided = find_events(session, rows.fetchall())
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
            hashes,
            [undecided[event_hash][0] for event_hash in hashes],
            [delivery.source.source_id] * len(hashes),
            [int(undecided[event_hash][1]) for event_hash in hashes],
            [delivery.received_at] * len(hashes),
        ),
    )
