"""Taking an event back, because it is reversed or corrected: decided under its account's lock (M6, M9)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from carbonpoints.behaviours.candidates import Candidate
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.originals import Original
from carbonpoints.core.programmes import ProgrammeSettings
from carbonpoints.ledger.adjusting import reverse_moved
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.flows import OPEN, Book, Moment, decide_now, reverse
from carbonpoints.rules.returning import Counted, counted_mg, give_back
from carbonpoints.rules.usage import UsageBook

CORRECTED = "corrected"
"""In the place of a reversal's reason, where a higher revision takes the award back."""
FORFEITED = "forfeited"
"""The same, where a review does."""
Refusal = tuple[Disposition, str | None]


def is_too_late(original: Original, moment: Moment, programme: ProgrammeSettings) -> bool:
    """Whether the programme takes this event back no more."""
    return moment.booked_at > original.decision.booked_at + timedelta(days=programme.correction_days)


def refuse_reversal(
    candidate: Candidate, original: Original | None, moment: Moment, programme: ProgrammeSettings
) -> Refusal | None:
    """Return why a reversal takes nothing back, or None; `original` is None where its event is not decided yet."""
    if candidate.is_claimed_elsewhere:
        return Disposition.CLAIMED_ELSEWHERE, None
    if original is None:
        return None
    if original.decision.kind == DecisionKind.REVERSAL:
        return Disposition.INELIGIBLE, "not_reversible"
    return (Disposition.TOO_LATE, None) if is_too_late(original, moment, programme) else None


def refuse_correction(
    original: Original | None, book: Book | None, moment: Moment, programme: ProgrammeSettings
) -> Refusal | None:
    """Return why a higher revision changes nothing, or None. `original` is None where another account has the event.

    Another account: what one person did cannot become another's by a correction; the source reverses the event and
    reports a new one. An event about which two persons decided an adjustment is reversed or stays as it is.
    """
    if original is None or original.decision.kind != DecisionKind.EVENT:
        return Disposition.CONFLICT, "other_account" if original is None else "not_correctable"
    if original.is_forfeited:
        return Disposition.REVERSED, FORFEITED
    if original.adjustment_seq:
        return Disposition.CONFLICT, "adjusted"
    if book is not None and book.status != OPEN:
        is_frozen = book.status == "frozen"
        return (Disposition.ACCOUNT_FROZEN if is_frozen else Disposition.ACCOUNT_CLOSED), None
    return (Disposition.TOO_LATE, None) if is_too_late(original, moment, programme) else None


def return_usage(usage: dict[int, UsageBook], secret: bytes, original: Original) -> None:
    """Give what an event used of its caps and counters back to its own periods, for the events that come after.

    What was forfeited was given back then.
    """
    decision, event = original.decision, original.candidate
    counted = _counted(original)
    if original.is_forfeited or counted is None or event.compiled is None:
        return
    book = usage.get(decision.account_id)
    if book is None:
        book = usage[decision.account_id] = UsageBook(secret=secret)
    give_back(
        event.compiled,
        event.assessment.values if event.assessment is not None else None,
        book,
        decision.local_date,
        counted,
    )


def _counted(original: Original) -> Counted | None:
    """Return what an event counts for, as it stands; None where it gives nothing."""
    decision, event = original.decision, original.candidate
    if original.restatements:
        standing = original.restatements[-1]
        if not (standing.amount_millicredits or standing.reduction_mg):
            return None
        return Counted(standing.granted_mg, standing.amount_millicredits, standing.bonuses)
    if event.compiled is None or not (decision.amount_millicredits or decision.reduction_mg):
        return None
    estimate_mg = event.assessment.estimate_mg if event.assessment is not None else 0
    return Counted(
        counted_mg(event.compiled.rule, decision.reduction_mg, decision.trace, estimate_mg),
        decision.amount_millicredits,
        (decision.trace or {}).get("boosts", {}),
    )


def take_back(
    book: Book,
    moment: Moment,
    original: Original,
    *,
    clawback_limit_millicredits: int,
    trace: Mapping[str, Any],
    is_forfeited: bool = False,
    **about: Any,
) -> int:
    """Take back what an event earned, and what an adjustment or restatements gave for it; returns the reversal's number.

    `about` is the event that reverses, `trace` its reason; the reversal of what was given beside is a decision of its own.
    Where all was forfeited before, the reversal takes nothing.
    """
    decision, seqs = original.decision, original.standing_seqs()
    named = {"event_seq": decision.account_seq, **trace}
    if not seqs:
        is_here = decision.account_id == book.account_id
        home = {} if is_here else {"home_id": decision.account_id}
        return decide_now(book, moment, DecisionKind.REVERSAL, trace={**home, **named}, **about)
    taken = []
    for place, seq in enumerate(seqs):
        details: dict[str, Any] = about if place == 0 else {"disposition": Disposition.REVERSED}
        if original.moved:
            is_here = decision.account_id == book.account_id
            elsewhere = {"home_id": decision.account_id, **named} if place == 0 else trace
            elsewhere = {"award_seq": seq, **named} if is_here else elsewhere
            taken.append(
                reverse_moved(
                    book,
                    moment,
                    award=original.moved[place],
                    clawback_limit_millicredits=clawback_limit_millicredits,
                    trace=elsewhere,
                    **details,
                )
            )
            continue
        taken.append(
            reverse(
                book,
                moment,
                award=original.award(book, seq),
                clawback_limit_millicredits=clawback_limit_millicredits,
                trace=named,
                is_forfeited=is_forfeited,
                **details,
            )
        )
    return taken[0]
