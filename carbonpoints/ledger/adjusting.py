"""What is no ordinary flow of an account: an adjustment, and the reversal of what a merged account had earned. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from carbonpoints.ledger.book import AVAILABLE, CREDIT, REDUCTION_KEY, Book, Moment, PendingAward, movement
from carbonpoints.ledger.chart import DecisionKind, Flow, Kind, Unit
from carbonpoints.ledger.errors import AccountNotOpen
from carbonpoints.ledger.flows import (
    CHARGE_CLAWBACK,
    OPEN,
    REVERSE,
    REVERSE_PENDING,
    REVERSE_REDUCTION,
    decide_now,
    drop_pending,
    settle,
)

ADJUST = movement(Flow.ADJUST, Unit.CREDIT, Kind.ADJUSTED, Kind.AVAILABLE)
ADJUST_REDUCTION = movement(Flow.ADJUST, Unit.MG_CO2E, Kind.ADJUSTED, Kind.REDUCTION)


def adjust(
    book: Book,
    moment: Moment,
    *,
    amount_millicredits: int,
    reduction_mg: int,
    expires_on: date,
    trace: Mapping[str, Any],
) -> int:
    """Grant what two persons answer for (M6, M13); returns the adjustment's number.

    It only ever gives: what was given too much is taken back by a reversal. Credits fall into the lot of
    `expires_on` and settle what is due first. Raises AccountNotOpen.
    """
    if book.status != OPEN:
        raise AccountNotOpen
    seq = decide_now(
        book,
        moment,
        DecisionKind.ADJUSTMENT,
        amount_millicredits,
        reduction_mg=reduction_mg,
        trace=dict(trace),
    )
    if amount_millicredits:
        lot_no = book.lot_number(None, expires_on)
        book.move(moment, seq, moment.booked_at, ADJUST, lot_no=lot_no, amount=amount_millicredits)
        settle(book, moment, seq, lot_no, amount_millicredits)
    if reduction_mg:
        book.move(moment, seq, moment.booked_at, ADJUST_REDUCTION, lot_no=0, amount=reduction_mg)
    return seq


@dataclass(frozen=True, slots=True)
class MovedAward:
    """An award of an account that went into another one, as far as it had neither expired nor been forfeited."""

    amount: int
    """Millicredits."""
    reduction_mg: int
    expires_on: date | None
    """The last usable date of its lot; None where it gave no credits."""


def reverse_moved(
    book: Book,
    moment: Moment,
    *,
    award: MovedAward,
    clawback_limit_millicredits: int,
    trace: Mapping[str, Any],
    **about: Any,
) -> int:
    """Take back from the surviving account what a merged one had earned (M2, M6); returns the reversal's number.

    The lot that the merge moved is the one of the same expiry: what is pending or available in it is taken. Of the
    rest, nothing is due where that lot is past its expiry; otherwise it was spent, and becomes due within the
    programme's limit.
    """
    lot_no = 0
    if award.expires_on is not None:
        lot_no = book.lot_numbers.get((CREDIT, None, award.expires_on), 0)
    pending = _pending_like(book, lot_no, award.amount)
    left = award.amount - (pending.amount if pending else 0)
    taken = min(left, book.balances.get((CREDIT, AVAILABLE, lot_no), 0)) if lot_no else 0
    is_gone = award.expires_on is not None and award.expires_on < moment.business_date
    owed = 0 if is_gone else left - taken
    charged = min(owed, max(0, clawback_limit_millicredits - book.clawback_due))
    reduction_mg = min(award.reduction_mg, book.balances.get(REDUCTION_KEY, 0))
    seq = decide_now(
        book,
        moment,
        DecisionKind.REVERSAL,
        taken + (pending.amount if pending else 0),
        reduction_mg=reduction_mg,
        trace={"charged": charged, "waived": owed - charged, **trace},
        **about,
    )
    at = moment.booked_at
    if pending is not None:
        book.move(moment, seq, at, REVERSE_PENDING, lot_no=lot_no, amount=pending.amount)
        drop_pending(book, pending)
    if taken:
        book.move(moment, seq, at, REVERSE, lot_no=lot_no, amount=taken)
    if charged:
        book.move(moment, seq, at, CHARGE_CLAWBACK, lot_no=0, amount=charged)
    if reduction_mg:
        book.move(moment, seq, at, REVERSE_REDUCTION, lot_no=0, amount=reduction_mg)
    return seq


def _pending_like(book: Book, lot_no: int, amount: int) -> PendingAward | None:
    """Return the pending award of this lot and amount that a merge brought; all that are alike are worth the same."""
    waiting = book.pending_awards().values()
    return next((each for each in waiting if (each.lot_no, each.amount) == (lot_no, amount)), None)
