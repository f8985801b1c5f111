"""Reversals before they are decided: which event one takes back, and where that went (M8, M9).

A reversal first claims the event in a transaction of its own, and only then looks for the account to which the event
went. The event first claims its account and then looks for a reversal. So whichever comes first, one of the two sees
the other, and an event whose reversal came before it is credited nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from carbonpoints.accounts.identities import surviving_accounts
from carbonpoints.behaviours.acts import release_acts, settle_acts
from carbonpoints.behaviours.candidates import Candidate, Delivery
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.identities import CLAIMED_BY, claim_events, remember_undecided, take_over
from carbonpoints.core.arrays import of_bytes
from carbonpoints.core.db import raw_connection

CLAIM = """
INSERT INTO identity_reversal (event_hash, reversal_hash) SELECT * FROM unnest(%s::bytea[], %s::bytea[])
ON CONFLICT DO NOTHING
"""
CLAIMS = "SELECT event_hash, reversal_hash FROM identity_reversal WHERE event_hash = ANY(%s::bytea[])"
RELEASE = """
DELETE FROM identity_reversal WHERE (event_hash, reversal_hash) IN (SELECT * FROM unnest(%s::bytea[], %s::bytea[]))
"""


def claim_reversals(session: Session, candidates: Sequence[Candidate]) -> None:
    """Claim the event of each reversal, whether it has come or not; marks those whose event another one takes back."""
    if not candidates:
        return
    ordered = sorted(candidates, key=lambda candidate: candidate.reverses)
    raw_connection(session).execute(CLAIM, _pairs(ordered))
    holders = reversals_of(session, [candidate.reverses for candidate in ordered])
    for candidate in candidates:
        candidate.is_claimed_elsewhere = holders[candidate.reverses] != candidate.event_hash


def reversals_of(session: Session, event_hashes: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the identities of the reversals that claim these events, by event."""
    return dict(raw_connection(session).execute(CLAIMS, (of_bytes(event_hashes),)).fetchall())


def release_reversals(session: Session, candidates: Sequence[Candidate]) -> None:
    """Take back the claims of reversals that were refused: the event stands, and may be reversed yet."""
    if candidates:
        raw_connection(session).execute(RELEASE, _pairs(candidates))


def _pairs(candidates: Sequence[Candidate]) -> tuple[str, str]:
    return of_bytes(c.reverses for c in candidates), of_bytes(c.event_hash for c in candidates)


@dataclass(slots=True)
class ClaimChanges:
    """What the decisions of one account leave to be done to claims."""

    released: list[Candidate] = field(default_factory=list)
    """Their acts are free again."""
    corrected: list[tuple[Candidate, Candidate]] = field(default_factory=list)
    """Originals with their corrections."""
    refused: list[Candidate] = field(default_factory=list)
    """Reversals that take nothing back."""


def write_claims(session: Session, changes: Iterable[ClaimChanges]) -> None:
    """Do what decisions left to be done, in their transaction."""
    for each in changes:
        release_acts(session, each.released)
        settle_acts(session, each.corrected)
        release_reversals(session, each.refused)


def find_originals(session: Session, delivery: Delivery, candidates: Sequence[Candidate]) -> None:
    """Find the account in which each reversal is decided: the one that has today what its event's account earned.

    Comes after the claims were committed, in a transaction of its own. A reversal whose event went nowhere yet
    waits for it, and nothing is decided.
    """
    asking = [c for c in candidates if c.reverses and c.undecided is None and not c.claimed_by]
    if not asking:
        return
    hashes = of_bytes(candidate.reverses for candidate in asking)
    homes = {key: holder for holder, key in raw_connection(session).execute(CLAIMED_BY, (hashes,))}
    surviving = surviving_accounts(session, homes.values())
    for candidate in asking:
        candidate.home_id = homes.get(candidate.reverses, 0)
        candidate.account_id = surviving.get(candidate.home_id, 0)
        if not candidate.home_id:
            candidate.undecided = Disposition.AWAITING_ORIGINAL
    found = [candidate for candidate in asking if candidate.undecided is None]
    claim_events(session, found)
    take_over(session, [candidate for candidate in found if candidate.claimed_by])
    remember_undecided(session, delivery, [c for c in asking if c.undecided is not None])
