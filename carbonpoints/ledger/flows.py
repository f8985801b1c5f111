"""The flows: every way in which value moves inside an account (M5, M6, M17, M23). Pure.

A flow takes an open book and a moment and posts entries under one decision. `earn` and `quantify` post under a
decision that the caller has taken; the other flows decide themselves and return the decision's number.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from carbonpoints.ledger.book import (
    AVAILABLE,
    HELD,
    PENDING,
    REDUCTION_KEY,
    Book,
    Capture,
    Hold,
    Moment,
    Movement,
    PendingAward,
    movement,
)
from carbonpoints.ledger.chart import DecisionKind, Flow, Kind, Unit
from carbonpoints.ledger.errors import (
    AccountNotOpen,
    HoldExceeded,
    HoldNotFound,
    HoldsOpen,
    InsufficientCredits,
    LedgerFault,
    ReferenceInUse,
)
from carbonpoints.ledger.lots import Award, burn_order

__all__ = [
    "Book",
    "Moment",
    "capture",
    "change_status",
    "close",
    "earn",
    "expire",
    "hold",
    "mature",
    "quantify",
    "refund",
    "release",
    "reverse",
]

EARN = movement(Flow.EARN, Unit.CREDIT, Kind.ISSUED, Kind.AVAILABLE)
EARN_PENDING = movement(Flow.EARN_PENDING, Unit.CREDIT, Kind.ISSUED, Kind.PENDING)
MATURE = movement(Flow.MATURE, Unit.CREDIT, Kind.PENDING, Kind.AVAILABLE)
QUANTIFY = movement(Flow.QUANTIFY, Unit.MG_CO2E, Kind.QUANTIFIED, Kind.REDUCTION)
HOLD = movement(Flow.HOLD, Unit.CREDIT, Kind.AVAILABLE, Kind.HELD)
CAPTURE = movement(Flow.CAPTURE, Unit.CREDIT, Kind.HELD, Kind.REDEEMED)
RELEASE = movement(Flow.RELEASE, Unit.CREDIT, Kind.HELD, Kind.AVAILABLE)
REFUND = movement(Flow.REFUND, Unit.CREDIT, Kind.REDEEMED, Kind.AVAILABLE)
EXPIRE = movement(Flow.EXPIRE, Unit.CREDIT, Kind.AVAILABLE, Kind.EXPIRED)
EXPIRE_RELEASED = movement(Flow.EXPIRE_RELEASED, Unit.CREDIT, Kind.AVAILABLE, Kind.EXPIRED)
GRACE_OUT = movement(Flow.GRACE, Unit.CREDIT, Kind.AVAILABLE, Kind.CARRIED)
GRACE_IN = movement(Flow.GRACE, Unit.CREDIT, Kind.CARRIED, Kind.AVAILABLE)
REVERSE = movement(Flow.REVERSE, Unit.CREDIT, Kind.AVAILABLE, Kind.REVERSED)
REVERSE_PENDING = movement(Flow.REVERSE, Unit.CREDIT, Kind.PENDING, Kind.REVERSED)
REVERSE_REDUCTION = movement(Flow.REVERSE_REDUCTION, Unit.MG_CO2E, Kind.REDUCTION, Kind.QUANTIFIED_REVERSED)
CHARGE_CLAWBACK = movement(Flow.CHARGE_CLAWBACK, Unit.CREDIT, Kind.CLAWBACK_CONTRA, Kind.CLAWBACK_DUE)
SETTLE_CLAWBACK = movement(Flow.SETTLE_CLAWBACK, Unit.CREDIT, Kind.AVAILABLE, Kind.REVERSED)
DISCHARGE_CLAWBACK = movement(Flow.DISCHARGE_CLAWBACK, Unit.CREDIT, Kind.CLAWBACK_DUE, Kind.CLAWBACK_CONTRA)
FORFEIT = movement(Flow.FORFEIT, Unit.CREDIT, Kind.AVAILABLE, Kind.FORFEITED)
FORFEIT_PENDING = movement(Flow.FORFEIT, Unit.CREDIT, Kind.PENDING, Kind.FORFEITED)

OPEN, FROZEN, MERGED = "open", "frozen", "merged"
NO_TRACE: Mapping[str, Any] = {}


def decide_now(book: Book, moment: Moment, kind: DecisionKind, amount: int = 0, **values: Any) -> int:
    """Decide something that happens as it is booked, unless `values` say when else."""
    times = {
        "occurred_at": moment.booked_at,
        "received_at": moment.booked_at,
        "local_date": moment.local_date,
    }
    return book.decide(kind, moment, amount_millicredits=amount, **times | values)


def change_status(book: Book, moment: Moment, *, status: str) -> int:
    """Freeze, unfreeze or merge the account; returns the decision's number.

    LedgerFault when it is to be merged while it still has value: that is transferred first.
    """
    if status == MERGED and any(book.balances.values()):
        raise LedgerFault(f"account {book.account_id} still has value")
    book.status = status
    return decide_now(book, moment, DecisionKind.STATUS)


def earn(
    book: Book,
    moment: Moment,
    *,
    cause_seq: int,
    occurred_at: datetime,
    amount_millicredits: int,
    expires_on: date,
    batch: str | None = None,
    matures_on: date | None = None,
    review_seq: int = 0,
) -> None:
    """Credit an award to the lot of its batch and expiry; pending until `matures_on` where one is given.

    While a review of its event (`review_seq`) or of the account is open, it is pending at any rate. What becomes
    available settles what is due from reversals first. Raises AccountNotOpen.
    """
    if book.status != OPEN:
        raise AccountNotOpen
    lot_no = book.lot_number(batch, expires_on)
    due_on = matures_on or moment.business_date
    if review_seq or book.review_seq or due_on > moment.business_date:
        book.move(moment, cause_seq, occurred_at, EARN_PENDING, lot_no=lot_no, amount=amount_millicredits)
        add_pending(book, PendingAward(cause_seq, lot_no, amount_millicredits, due_on, review_seq))
        return
    book.move(moment, cause_seq, occurred_at, EARN, lot_no=lot_no, amount=amount_millicredits)
    if book.clawback_due:
        settle(book, moment, cause_seq, lot_no, amount_millicredits)


def quantify(book: Book, moment: Moment, *, cause_seq: int, occurred_at: datetime, reduction_mg: int) -> None:
    """Post the quantified reduction of an award, in milligrams of CO2 equivalent."""
    book.move(moment, cause_seq, occurred_at, QUANTIFY, lot_no=0, amount=reduction_mg)


def add_pending(book: Book, award: PendingAward) -> None:
    """Remember a pending award beside its entry."""
    if award.key in book.pending:
        raise LedgerFault(f"award {award.award_seq} is pending already")
    put_pending(book, award)


def put_pending(book: Book, award: PendingAward) -> None:
    """Remember a pending award as it is now."""
    book.pending[award.key] = award
    book.touched_pending.add(award.key)


def drop_pending(book: Book, award: PendingAward) -> None:
    """Forget a pending award beside the entry that ends it."""
    del book.pending[award.key]
    book.touched_pending.add(award.key)


def settle(book: Book, moment: Moment, cause_seq: int, lot_no: int, amount: int) -> int:
    """Take what is due from credits that have just become available; returns what is left of them."""
    settled = min(amount, book.clawback_due)
    if settled:
        book.move(moment, cause_seq, moment.booked_at, SETTLE_CLAWBACK, lot_no=lot_no, amount=settled)
        book.move(moment, cause_seq, moment.booked_at, DISCHARGE_CLAWBACK, lot_no=0, amount=settled)
    return amount - settled


def mature(book: Book, moment: Moment) -> int | None:
    """Make the pending awards available whose day has come; returns the decision's number, None for nothing.

    What is under review does not mature, nor does anything in an account under review.
    """
    due = book.due_awards(moment.business_date)
    if not due or book.review_seq:
        return None
    seq = decide_now(
        book,
        moment,
        DecisionKind.MATURITY,
        sum(award.amount for award in due),
        trace={"award_seqs": [award.award_seq for award in due]},
    )
    # The entries follow the decision without a gap, so that the trace says which is whose.
    for award in due:
        book.move(moment, seq, moment.booked_at, MATURE, lot_no=award.lot_no, amount=award.amount)
        drop_pending(book, award)
    for award in due:
        settle(book, moment, seq, award.lot_no, award.amount)
    return seq


def hold(book: Book, moment: Moment, *, reference: str, amount_millicredits: int) -> int:
    """Set credits aside in burn order; returns the hold's number.

    Raises AccountNotOpen, ReferenceInUse and InsufficientCredits.
    """
    if book.status != OPEN:
        raise AccountNotOpen
    if any(each.reference == reference for each in book.holds.values()):
        raise ReferenceInUse
    if amount_millicredits > book.available(moment.business_date):
        raise InsufficientCredits
    seq = decide_now(book, moment, DecisionKind.HOLD, amount_millicredits)
    available = book.lot_amounts(AVAILABLE)
    usable = [book.lots[no] for no in available if not book.lots[no].is_expired(moment.business_date)]
    parts: list[tuple[int, int]] = []
    missing = amount_millicredits
    for lot in burn_order(usable):
        if not missing:
            break
        part = min(missing, available[lot.lot_no])
        book.move(moment, seq, moment.booked_at, HOLD, lot_no=lot.lot_no, amount=part)
        parts.append((lot.lot_no, part))
        missing -= part
    book.holds[seq] = Hold(
        seq, reference, amount_millicredits, amount_millicredits, tuple(parts), moment.booked_at
    )
    book.touched_holds.add(seq)
    return seq


def _open_hold(book: Book, hold_seq: int) -> Hold:
    found = book.holds.get(hold_seq)
    if found is None or not found.open_amount:
        raise HoldNotFound
    return found


def _use_hold(book: Book, used: Hold, amount: int) -> list[tuple[int, int]]:
    """Take `amount` off the hold's open part; returns the lots it lies in, in the order of the hold."""
    parts = used.open_parts()
    book.holds[used.hold_seq] = rest = Hold(
        used.hold_seq, used.reference, used.amount, used.open_amount - amount, used.parts, used.placed_at
    )
    book.touched_holds.add(used.hold_seq)
    left = dict(rest.open_parts())
    return [(lot_no, part - left.get(lot_no, 0)) for lot_no, part in parts if part > left.get(lot_no, 0)]


def capture(book: Book, moment: Moment, *, hold_seq: int, amount_millicredits: int | None = None) -> int:
    """Redeem a hold, whole or in part; returns the capture's number. Held credits do not expire (M6).

    Raises HoldNotFound and HoldExceeded.
    """
    used = _open_hold(book, hold_seq)
    amount = used.open_amount if amount_millicredits is None else amount_millicredits
    if amount > used.open_amount:
        raise HoldExceeded
    seq = decide_now(book, moment, DecisionKind.CAPTURE, amount, trace={"hold_seq": hold_seq})
    for lot_no, part in _use_hold(book, used, amount):
        book.move(moment, seq, moment.booked_at, CAPTURE, lot_no=lot_no, amount=part)
    return seq


def release(book: Book, moment: Moment, *, hold_seq: int, grace_days: int) -> int:
    """Give what is still held back to its lots and end the hold; returns the release's number.

    Raises HoldNotFound.
    """
    used = _open_hold(book, hold_seq)
    seq = decide_now(book, moment, DecisionKind.RELEASE, used.open_amount, trace={"hold_seq": hold_seq})
    for lot_no, part in _use_hold(book, used, used.open_amount):
        _give_back(book, moment, seq, RELEASE, lot_no=lot_no, amount=part, grace_days=grace_days)
    return seq


def refund(
    book: Book,
    moment: Moment,
    *,
    capture: Capture,
    amount_millicredits: int | None = None,
    grace_days: int,
) -> int:
    """Give captured credits, all or some, back to the lots they came from, the last captured first.

    Returns the refund's number. `capture` comes from `loading.read_capture`, in this transaction. Raises
    HoldExceeded when less is left of the capture.
    """
    captured = sum(part for _, part in capture.parts)
    amount = captured if amount_millicredits is None else amount_millicredits
    if amount > captured:
        raise HoldExceeded
    seq = decide_now(book, moment, DecisionKind.REFUND, amount, trace={"capture_seq": capture.capture_seq})
    for lot_no, part in reversed(capture.parts):
        returned = min(part, amount)
        amount -= returned
        if returned:
            _give_back(book, moment, seq, REFUND, lot_no=lot_no, amount=returned, grace_days=grace_days)
    return seq


def _give_back(
    book: Book,
    moment: Moment,
    cause_seq: int,
    how: Movement,
    *,
    lot_no: int,
    amount: int,
    grace_days: int,
) -> None:
    """Return credits to their lot: first they settle what is due, then a lot past its expiry ends them (M6)."""
    book.move(moment, cause_seq, moment.booked_at, how, lot_no=lot_no, amount=amount)
    left = settle(book, moment, cause_seq, lot_no, amount)
    lot = book.lots[lot_no]
    if not left or not lot.is_expired(moment.business_date):
        return
    if not grace_days:
        book.move(moment, cause_seq, moment.booked_at, EXPIRE_RELEASED, lot_no=lot_no, amount=left)
        return
    book.move(moment, cause_seq, moment.booked_at, GRACE_OUT, lot_no=lot_no, amount=left)
    grace_no = book.lot_number(lot.batch, moment.business_date + timedelta(days=grace_days))
    book.move(moment, cause_seq, moment.booked_at, GRACE_IN, lot_no=grace_no, amount=left)


def expire(book: Book, moment: Moment) -> int | None:
    """End what is available in lots past their expiry; returns the decision's number, None for nothing."""
    ended = {
        lot_no: amount
        for lot_no, amount in sorted(book.lot_amounts(AVAILABLE).items())
        if book.lots[lot_no].is_expired(moment.business_date)
    }
    if not ended:
        return None
    seq = decide_now(book, moment, DecisionKind.EXPIRY, sum(ended.values()))
    for lot_no, amount in ended.items():
        book.move(moment, seq, moment.booked_at, EXPIRE, lot_no=lot_no, amount=amount)
    return seq


def reverse(
    book: Book,
    moment: Moment,
    *,
    award: Award,
    clawback_limit_millicredits: int,
    trace: Mapping[str, Any] = NO_TRACE,
    is_forfeited: bool = False,
    **about: Any,
) -> int:
    """Take an award back (M6), or let it be forfeited after a review; returns the reversal's number.

    What is pending or available is taken; what expired is gone; what is spent or held becomes due, as far as
    the account's whole due amount stays within the programme's limit. `award` comes from `loading`, with all that was
    posted since. `trace` and `about` are what else stands in the decision: the event that reverses. Raises
    AccountNotOpen where the account was merged: `adjusting.reverse_moved` is for what it earned.
    """
    if book.status == MERGED:
        raise AccountNotOpen
    book.pending_awards()
    pending = book.pending_of(award.award_seq)
    taken = sum(part.available for part in award.parts) + sum(each.amount for each in pending)
    owed = sum(part.owed for part in award.parts)
    charged = min(owed, max(0, clawback_limit_millicredits - book.clawback_due))
    reduction_mg = min(award.reduction_mg, book.balances.get(REDUCTION_KEY, 0))
    seq = decide_now(
        book,
        moment,
        DecisionKind.REVERSAL,
        taken,
        reduction_mg=reduction_mg,
        trace={"award_seq": award.award_seq, "charged": charged, "waived": owed - charged, **trace},
        **about,
    )
    at = moment.booked_at
    from_pending, from_available = (FORFEIT_PENDING, FORFEIT) if is_forfeited else (REVERSE_PENDING, REVERSE)
    for each in pending:
        book.move(moment, seq, at, from_pending, lot_no=each.lot_no, amount=each.amount)
        drop_pending(book, each)
    for part in award.parts:
        if part.available:
            book.move(moment, seq, at, from_available, lot_no=part.lot_no, amount=part.available)
    if charged:
        book.move(moment, seq, at, CHARGE_CLAWBACK, lot_no=0, amount=charged)
    if reduction_mg:
        book.move(moment, seq, at, REVERSE_REDUCTION, lot_no=0, amount=reduction_mg)
    return seq


def close(book: Book, moment: Moment) -> int:
    """Close the account: what it still has, as the holder was told, is forfeited; returns the closing's number.

    What is due from reversals stays on the books. Raises HoldsOpen while something is held.
    """
    if book.total(HELD):
        raise HoldsOpen
    expire(book, moment)
    awards = list(book.pending_awards().values())
    credits_left = [
        (how, lot_no, amount)
        for kind, how in ((PENDING, FORFEIT_PENDING), (AVAILABLE, FORFEIT))
        for lot_no, amount in sorted(book.lot_amounts(kind).items())
    ]
    seq = decide_now(book, moment, DecisionKind.CLOSING, sum(amount for _, _, amount in credits_left))
    for how, lot_no, amount in credits_left:
        book.move(moment, seq, moment.booked_at, how, lot_no=lot_no, amount=amount)
    for award in awards:
        drop_pending(book, award)
    book.status = "closed"
    return seq
