"""What became of a decided event since: reversed, forfeited, corrected, under review, or as it was (M9, M20, M23).

A decision never changes; what it means today follows from the decisions after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from carbonpoints.accounts.under_review import is_held
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.identities import find_decided
from carbonpoints.behaviours.reversing import reversals_of
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.decisions import find_decisions, find_reversal
from carbonpoints.ledger.queries import StoredDecision, read_decision


@dataclass(frozen=True)
class TakenBack:
    """What was taken back of an event, and by which event."""

    original: StoredDecision | None
    """None where the event had not come when it was reversed."""
    by: StoredDecision
    """The reversal's decision, the one about the newest revision, or the one that ended a review."""
    taking: StoredDecision | None
    """The decision that moved value; None where nothing was to be moved."""

    @property
    def disposition(self) -> Disposition:
        """How the event stands today."""
        is_reversal = self.by.kind == DecisionKind.REVERSAL
        return Disposition.REVERSED if is_reversal else Disposition.CORRECTED


@dataclass(frozen=True)
class Standing:
    """How a decided event stands today."""

    disposition: Disposition
    taken: TakenBack | None
    """None where nothing was taken back."""


def read_standing(session: Session, decision: StoredDecision) -> Standing:
    """Return how a decided event stands: taken back, under review, or as it was decided."""
    taken = read_taken_back(session, decision)
    if taken is not None:
        return Standing(taken.disposition, taken)
    has_given = decision.amount_millicredits or decision.reduction_mg
    if has_given and is_held(session, decision.account_id, decision.event_hash or b"", decision.account_seq):
        return Standing(Disposition.UNDER_REVIEW, None)
    return Standing(Disposition(decision.disposition), None)


def read_taken_back(session: Session, decision: StoredDecision) -> TakenBack | None:
    """Return how a decided event was taken back, or what a reversal took back; None where it stands as decided."""
    key = (decision.account_id, decision.event_hash or b"")
    if decision.kind == DecisionKind.REVERSAL:
        trace = decision.trace or {}
        home_id = trace.get("home_id", decision.account_id)
        original = read_decision(session, home_id, trace["event_seq"]) if "event_seq" in trace else None
        return TakenBack(original, decision, decision)
    newest = find_decisions(session, [key])[key]
    if newest.account_seq != decision.account_seq:
        taking = find_reversal(session, decision.account_id, decision.account_seq)
        return TakenBack(decision, newest, taking)
    forfeiture = find_reversal(session, decision.account_id, decision.account_seq)
    if forfeiture is not None and forfeiture.event_hash is None:
        return TakenBack(decision, forfeiture, forfeiture)
    reversal_hash = reversals_of(session, [key[1]]).get(key[1])
    known = find_decided(session, [reversal_hash]).get(reversal_hash) if reversal_hash else None
    reversal = read_decision(session, known.account_id, known.account_seq) if known is not None else None
    if reversal is None or reversal.kind != DecisionKind.REVERSAL:
        return None
    return TakenBack(decision, reversal, reversal)
