"""Reviews: what an award gave, or all that an account is given, waits until two persons have decided (M23). Pure.

What is available of an award under review is set aside among its pending parts, so that it is neither spent nor
expires; what was spent stays spent. A review ends by being released here, or after `flows.reverse` has let what it
held be forfeited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from carbonpoints.ledger.book import Book, Moment, PendingAward, movement
from carbonpoints.ledger.chart import DecisionKind, Flow, Kind, Unit
from carbonpoints.ledger.flows import (
    GRACE_IN,
    MATURE,
    decide_now,
    drop_pending,
    expire,
    mature,
    put_pending,
    settle,
)
from carbonpoints.ledger.lots import Award

SET_ASIDE = movement(Flow.SET_ASIDE, Unit.CREDIT, Kind.AVAILABLE, Kind.PENDING)
GRACE_PENDING = movement(Flow.GRACE, Unit.CREDIT, Kind.PENDING, Kind.CARRIED)


def review_account(book: Book, moment: Moment) -> int:
    """Let all wait that the account is given from now on, and what waits already; returns the review's number."""
    book.review_seq = decide_now(book, moment, DecisionKind.REVIEW, trace={"award_seqs": []})
    return book.review_seq


def review_event(book: Book, moment: Moment, *, event_seq: int, awards: Sequence[Award]) -> int:
    """Set aside what is left of an event's awards; returns the review's number.

    `awards` come from `loading`. Lots past their expiry are left alone: what is in them is not available any more.
    """
    aside = [
        PendingAward(award.award_seq, part.lot_no, part.available, moment.business_date)
        for award in awards
        for part in award.parts
        if part.available and not book.lots[part.lot_no].is_expired(moment.business_date)
    ]
    trace = {"event_seq": event_seq, "award_seqs": [each.award_seq for each in aside]}
    amount = sum(each.amount for each in aside)
    seq = decide_now(book, moment, DecisionKind.REVIEW, amount, trace=trace)
    named = {award.award_seq for award in awards}
    for waiting in book.pending_awards().values():
        if waiting.award_seq in named:
            put_pending(book, replace(waiting, review_seq=seq))
    for each in aside:
        book.move(moment, seq, moment.booked_at, SET_ASIDE, lot_no=each.lot_no, amount=each.amount)
        known = book.pending.get(each.key)
        whole = replace(known, amount=known.amount + each.amount) if known else replace(each, review_seq=seq)
        put_pending(book, whole)
    return seq


def end_review(
    book: Book, moment: Moment, *, review_seq: int, grace_days: int, trace: Mapping[str, Any]
) -> int:
    """End a review and let go what it still holds; returns the decision's number.

    What has its day still to come goes on waiting for it. What lies past its expiry ends at once, or with the
    programme's grace (M6). In an account that is under review itself, all goes on waiting for that.
    """
    seq = decide_now(book, moment, DecisionKind.REVIEW, trace={"review_seq": review_seq, **trace})
    if book.review_seq == review_seq:
        book.review_seq = 0
    for each in book.pending_awards().values():
        if each.review_seq == review_seq:
            put_pending(book, replace(each, review_seq=0))
    if not book.review_seq:
        for each in book.due_awards(moment.business_date) if grace_days else ():
            if book.lots[each.lot_no].is_expired(moment.business_date):
                _carry(book, moment, each, grace_days)
        mature(book, moment)
        expire(book, moment)
    return seq


def _carry(book: Book, moment: Moment, award: PendingAward, grace_days: int) -> None:
    """Let a pending award that is past its expiry pay what is due, and the rest into the lot of its grace."""
    seq = decide_now(
        book, moment, DecisionKind.MATURITY, award.amount, trace={"award_seqs": [award.award_seq]}
    )
    drop_pending(book, award)
    paid = min(award.amount, book.clawback_due)
    if paid:
        book.move(moment, seq, moment.booked_at, MATURE, lot_no=award.lot_no, amount=paid)
        settle(book, moment, seq, award.lot_no, paid)
    left = award.amount - paid
    if left:
        book.move(moment, seq, moment.booked_at, GRACE_PENDING, lot_no=award.lot_no, amount=left)
        grace_on = moment.business_date + timedelta(days=grace_days)
        grace_no = book.lot_number(book.lots[award.lot_no].batch, grace_on)
        book.move(moment, seq, moment.booked_at, GRACE_IN, lot_no=grace_no, amount=left)
