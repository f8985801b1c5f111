"""Posting what a restatement finds about one award: reduction is corrected, credits are only ever added. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from carbonpoints.ledger.book import Book, Moment, PendingAward
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.errors import AccountNotOpen
from carbonpoints.ledger.flows import (
    EARN,
    EARN_PENDING,
    MERGED,
    QUANTIFY,
    REVERSE_REDUCTION,
    add_pending,
    decide_now,
    settle,
)

CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Difference:
    """What a restatement adds to one award, and takes from its reduction."""

    occurred_at: datetime
    """When the act happened."""
    local_date: date
    amount_millicredits: int
    """Added; never negative."""
    reduction_mg: int
    """Added, or where negative taken away."""
    expires_on: date
    """The last usable date of what is added."""
    matures_on: date | None
    """Until when what is added is pending, as the rest of the award is."""
    review_seq: int = 0
    """The open review of the event, or 0: what is added waits for it too."""


class Restatement(NamedTuple):
    """A difference that was posted: what its award comes to since."""

    account_seq: int
    booked_at: datetime
    event_seq: int
    """The event whose award it is."""
    pin_id: int
    """What judges the act now."""
    paid_millicredits: int
    expires_on: date | None
    """The last usable date of what was paid, where another account got it: this one had been merged."""
    version_id: int
    """The restatement, as a version that two persons answer for."""
    reduction_mg: int
    amount_millicredits: int
    granted_mg: int
    """What caps count, posted or not."""
    bonuses: Mapping[str, int]
    """What campaigns gave of the amount, by their codes."""

    @classmethod
    def of(cls, account_seq: int, booked_at: datetime, pin_id: int, trace: Mapping[str, Any]) -> Restatement:
        """Return what a decision says."""
        reduction_mg, amount_millicredits = trace["after"]
        expires_on = trace.get("expires_on")
        return cls(
            account_seq,
            booked_at,
            trace["event_seq"],
            pin_id,
            amount_millicredits - trace["before"][1],
            date.fromisoformat(expires_on) if expires_on else None,
            trace["version_id"],
            reduction_mg,
            amount_millicredits,
            trace["granted_mg"],
            trace.get("boosts", {}),
        )


def restate(
    book: Book, moment: Moment, difference: Difference, *, pin_id: int | None, trace: Mapping[str, Any]
) -> int:
    """Post a difference under a decision of its own and return that one's number; the award stays as it was decided.

    `pin_id` is what judges the act now. Credits settle what is due first. Raises AccountNotOpen where the account was
    merged, or is closed and would get credits.
    """
    amount = difference.amount_millicredits
    if book.status == MERGED or (book.status == CLOSED and amount):
        raise AccountNotOpen
    at = difference.occurred_at
    added_mg, taken_mg = max(0, difference.reduction_mg), max(0, -difference.reduction_mg)
    seq = decide_now(
        book,
        moment,
        DecisionKind.RESTATEMENT,
        amount,
        occurred_at=at,
        local_date=difference.local_date,
        reduction_mg=added_mg,
        pin_id=pin_id,
        trace=dict(trace),
    )
    if amount:
        lot_no = book.lot_number(None, difference.expires_on)
        due_on = difference.matures_on or moment.business_date
        if difference.review_seq or book.review_seq or due_on > moment.business_date:
            book.move(moment, seq, at, EARN_PENDING, lot_no=lot_no, amount=amount)
            add_pending(book, PendingAward(seq, lot_no, amount, due_on, difference.review_seq))
        else:
            book.move(moment, seq, at, EARN, lot_no=lot_no, amount=amount)
            settle(book, moment, seq, lot_no, amount)
    if added_mg:
        book.move(moment, seq, at, QUANTIFY, lot_no=0, amount=added_mg)
    if taken_mg:
        book.move(moment, seq, at, REVERSE_REDUCTION, lot_no=0, amount=taken_mg)
    return seq


def restate_merged(
    home: Book,
    survivor: Book,
    moment: Moment,
    difference: Difference,
    *,
    pin_id: int | None,
    trace: Mapping[str, Any],
) -> None:
    """Post a difference about an award of a merged account where its value is today, and note it beside the award.

    Raises AccountNotOpen as `restate` does.
    """
    about = dict(trace)
    event_seq = about.pop("event_seq")
    there = {"home_id": home.account_id, "home_event_seq": event_seq, **about}
    restate(survivor, moment, difference, pin_id=pin_id, trace=there)
    decide_now(
        home,
        moment,
        DecisionKind.RESTATEMENT,
        occurred_at=difference.occurred_at,
        local_date=difference.local_date,
        pin_id=pin_id,
        trace={**trace, "moved_to": survivor.account_id, "expires_on": difference.expires_on.isoformat()},
    )
