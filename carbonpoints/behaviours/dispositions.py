"""How a line and an event can end: the closed list, in one place (M20)."""

from __future__ import annotations

from enum import IntEnum

from carbonpoints.rules.engine import Outcome


class Disposition(IntEnum):
    """The one end of every event. The numbers are stored; they never change their meaning."""

    CREDITED = 1
    PARTLY_CREDITED = 2
    CAPPED = 3
    BUDGET_EXHAUSTED = 4
    INELIGIBLE = 5
    NO_CONSENT = 6
    UNKNOWN_ACCOUNT = 7
    ACCOUNT_FROZEN = 8
    ACCOUNT_CLOSED = 9
    UNKNOWN_BEHAVIOUR = 10
    DUPLICATE = 11
    CONFLICT = 12
    STALE = 13
    CORRECTED = 14
    REVERSED = 15
    CLAIMED_ELSEWHERE = 16
    TOO_LATE = 17
    FUTURE = 18
    INVALID = 19
    UNDER_REVIEW = 20
    AWAITING_ORIGINAL = 22
    """A reversal of an event that has not come; 21 was the answer of a version that decided no reversals."""

    @property
    def code(self) -> str:
        """The stable code callers see: `partly_credited`."""
        return self.name.lower()


def disposition_of(outcome: Outcome) -> Disposition:
    """Return how an event ends that a rule has judged."""
    if outcome.reason is not None:
        return Disposition.INELIGIBLE
    if outcome.budget is not None:
        return Disposition.BUDGET_EXHAUSTED
    if outcome.cap is None:
        return Disposition.CREDITED
    if outcome.reduction_mg or outcome.amount_millicredits:
        return Disposition.PARTLY_CREDITED
    return Disposition.CAPPED


REFUSED = "refused"
"""A line that is no event: unreadable, or its fields do not fit the profile."""
FILTERED = "filtered"
"""A line that the profile's row filter leaves out."""

UNDECIDED = frozenset(
    {
        Disposition.NO_CONSENT,
        Disposition.UNKNOWN_ACCOUNT,
        Disposition.UNKNOWN_BEHAVIOUR,
        Disposition.FUTURE,
        Disposition.INVALID,
        Disposition.AWAITING_ORIGINAL,
    }
)
"""Nothing was decided: only a keyed identity and the reason remain for a while, and a redelivery is decided
afresh (M11)."""

ANSWERED_ONLY = frozenset({Disposition.DUPLICATE, Disposition.CONFLICT, Disposition.STALE})
"""The event was decided before; this delivery changes nothing and is not stored."""
