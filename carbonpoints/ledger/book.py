"""A book: one account in memory, between being locked and being written. Pure.

It holds the account's balances and lots, and gathers what is new: decisions and entries as plain tuples in the
order of their tables' columns (a file brings a million of them), and the rows that change. An entry follows the
decision that caused it, before the next decision. Only `flows` and
`posting` use its methods that move value; everybody else decides and calls a flow.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from carbonpoints.core.clock import Calendar
from carbonpoints.ledger.chart import FIRST_HOUSE_KIND, MOVEMENTS, DecisionKind, Flow, Kind, Unit
from carbonpoints.ledger.errors import BookedLater, LedgerFault
from carbonpoints.ledger.lots import Lot

CREDIT, MG_CO2E = int(Unit.CREDIT), int(Unit.MG_CO2E)
AVAILABLE, PENDING, HELD = int(Kind.AVAILABLE), int(Kind.PENDING), int(Kind.HELD)
DUE_KEY = (CREDIT, int(Kind.CLAWBACK_DUE), 0)
REDUCTION_KEY = (MG_CO2E, int(Kind.REDUCTION), 0)

Movement = tuple[int, int, int, int]
"""Flow, unit, from kind, to kind: plain integers, one of the chart's."""
BalanceKey = tuple[int, int, int]
"""Unit, kind, lot number (0 for kinds without lots)."""
PendingKey = tuple[int, int]
"""Number of the award, lot number."""


def movement(flow: Flow, unit: Unit, from_kind: Kind, to_kind: Kind) -> Movement:
    """Return a movement of the chart; LedgerFault when the chart does not have it."""
    if (flow, unit, from_kind, to_kind) not in MOVEMENTS:
        raise LedgerFault(
            f"the chart has no movement {flow.name} {unit.name} {from_kind.name} {to_kind.name}"
        )
    return int(flow), int(unit), int(from_kind), int(to_kind)


@dataclass(frozen=True, slots=True)
class Moment:
    """When a transaction books: the instant, the date of the books, and the date in the programme's zone."""

    booked_at: datetime
    business_date: date
    local_date: date

    @classmethod
    def at(cls, instant: datetime, calendar: Calendar) -> Moment:
        """Return the moment of `instant` (aware) in a programme's calendar."""
        return cls(instant, calendar.business_date(instant), calendar.local_date(instant))


@dataclass(frozen=True, slots=True)
class Hold:
    """Credits set aside. Captures take them in the order in which they were held; a release ends the hold."""

    hold_seq: int
    reference: str
    amount: int
    open_amount: int
    parts: tuple[tuple[int, int], ...]
    """(lot number, millicredits) in the order in which they were held; sums to `amount`."""
    placed_at: datetime

    def open_parts(self) -> list[tuple[int, int]]:
        """Return what is still held, in order: the last `open_amount` of the parts."""
        taken = self.amount - self.open_amount
        rest = []
        for lot_no, amount in self.parts:
            part = max(0, amount - taken)
            taken = max(0, taken - amount)
            if part:
                rest.append((lot_no, part))
        return rest


@dataclass(frozen=True, slots=True)
class Capture:
    """What of a captured hold was not given back yet."""

    capture_seq: int
    parts: tuple[tuple[int, int], ...]
    """(lot number, millicredits) in the order in which they were captured."""


@dataclass(frozen=True, slots=True)
class PendingAward:
    """Part of an award, in one lot, that cannot be spent before the business date `matures_on` (M23)."""

    award_seq: int
    lot_no: int
    amount: int
    matures_on: date
    review_seq: int = 0
    """The review of its event that it waits for, or 0: before that has ended it does not mature."""

    @property
    def key(self) -> PendingKey:
        """What tells it from all others of its account."""
        return self.award_seq, self.lot_no


@dataclass(frozen=True, slots=True)
class Parcel:
    """What moves between two accounts: an amount of one unit and kind, with its lot's identity (M17)."""

    unit_id: int
    kind: int
    amount: int
    batch: str | None = None
    expires_on: date | None = None
    """Null for kinds without lots."""
    matures_on: date | None = None
    """Only for pending credits."""


@dataclass(frozen=True, slots=True)
class TransferLeg:
    """One side of a transfer, as it is written."""

    transfer_id: uuid.UUID
    direction: str
    """`out` or `in`."""
    counterpart_account_id: int
    decision_seq: int
    parcels: tuple[Parcel, ...]
    booked_at: datetime


class Book:
    """One account, locked. Amounts are integers in the unit's smallest part (millicredits, mg)."""

    __slots__ = (
        "account_id",
        "balances",
        "cause_seq",
        "decisions",
        "entries",
        "first_seq",
        "holder_kind",
        "holds",
        "last_booked_at",
        "last_seq",
        "legs",
        "lot_numbers",
        "lots",
        "new_lots",
        "opened_at",
        "pending",
        "programme_id",
        "review_seq",
        "status",
        "touched",
        "touched_holds",
        "touched_pending",
        "written_status",
    )

    def __init__(
        self,
        *,
        account_id: int,
        programme_id: int,
        holder_kind: str,
        status: str,
        last_seq: int,
        last_booked_at: datetime,
        opened_at: datetime,
        review_seq: int = 0,
    ) -> None:
        self.account_id = account_id
        self.programme_id = programme_id
        self.holder_kind = holder_kind
        self.status = status
        self.last_seq = last_seq
        self.last_booked_at = last_booked_at
        self.opened_at = opened_at
        self.review_seq = review_seq
        """The open review of the account itself, or 0: what it is given waits, and nothing matures."""
        self.lots: dict[int, Lot] = {}
        self.lot_numbers: dict[tuple[int, str | None, date], int] = {}
        self.balances: dict[BalanceKey, int] = {}
        self.holds: dict[int, Hold] = {}
        """Open holds by number; those of earlier transactions come by `loading.load_open_items`."""
        self.pending: dict[PendingKey, PendingAward] = {}
        """Pending awards; those of earlier transactions come by `loading.load_open_items`."""
        self.mark_written()

    def mark_written(self) -> None:
        """Forget what is new: it stands in the database."""
        self.first_seq = self.last_seq + 1
        self.cause_seq = 0
        self.written_status = self.status
        self.decisions: list[tuple[Any, ...]] = []
        self.entries: list[tuple[Any, ...]] = []
        self.new_lots: list[Lot] = []
        self.legs: list[TransferLeg] = []
        self.touched: set[BalanceKey] = set()
        self.touched_holds: set[int] = set()
        self.touched_pending: set[PendingKey] = set()

    def next_moment(self, moment: Moment, calendar: Calendar) -> Moment:
        """Return `moment`, or the journal's last instant where that is later: booking never runs backwards.

        Another machine's clock may be ahead of ours, and a request's instant may be older than its turn.
        """
        if moment.booked_at >= self.last_booked_at:
            return moment
        return Moment.at(self.last_booked_at, calendar)

    def decide(
        self,
        kind: DecisionKind,
        moment: Moment,
        *,
        occurred_at: datetime,
        received_at: datetime,
        local_date: date,
        disposition: int = 0,
        reduction_mg: int = 0,
        amount_millicredits: int = 0,
        pin_id: int | None = None,
        source_id: int | None = None,
        revision: int | None = None,
        event_hash: bytes | None = None,
        commitment: bytes | None = None,
        trace: dict[str, Any] | list[Any] | None = None,
    ) -> int:
        """Take the next number for a decision and return it; its entries follow.

        Raises BookedLater when the account was booked after `moment`.
        """
        booked_at = moment.booked_at
        if booked_at < self.last_booked_at:
            raise BookedLater
        self.last_booked_at = booked_at
        self.cause_seq = self.last_seq = seq = self.last_seq + 1
        self.decisions.append(
            (
                self.account_id,
                seq,
                occurred_at,
                received_at,
                booked_at,
                reduction_mg,
                amount_millicredits,
                pin_id,
                source_id,
                local_date,
                moment.business_date,
                # Plain integers: looking an enumeration up costs as much as the rest of the row.
                int(kind),
                int(disposition),
                revision,
                event_hash,
                commitment,
                trace,
            )
        )
        return seq

    def move(
        self,
        moment: Moment,
        cause_seq: int,
        occurred_at: datetime,
        movement: Movement,
        *,
        lot_no: int,
        amount: int,
    ) -> int:
        """Post one entry under the decision taken last, and return its number.

        Raises LedgerFault when the cause is another decision, the amount is not positive or a balance would fall
        below zero.
        """
        flow, unit_id, from_kind, to_kind = movement
        if cause_seq != self.cause_seq:
            raise LedgerFault(f"an entry follows its decision: {cause_seq} is not {self.cause_seq}")
        if amount <= 0:
            raise LedgerFault(f"an entry moves a positive amount, not {amount}")
        balances = self.balances
        if from_kind < FIRST_HOUSE_KIND:
            key = (unit_id, from_kind, lot_no)
            left = balances.get(key, 0) - amount
            if left < 0:
                raise LedgerFault(f"account {self.account_id}: {key} would fall to {left}")
            balances[key] = left
            self.touched.add(key)
        if to_kind < FIRST_HOUSE_KIND:
            key = (unit_id, to_kind, lot_no)
            balances[key] = balances.get(key, 0) + amount
            self.touched.add(key)
        self.last_seq = seq = self.last_seq + 1
        self.entries.append(
            (
                self.account_id,
                seq,
                occurred_at,
                moment.booked_at,
                amount,
                cause_seq,
                moment.business_date,
                lot_no,
                unit_id,
                flow,
                from_kind,
                to_kind,
            )
        )
        return seq

    def lot_number(self, batch: str | None, expires_on: date) -> int:
        """Return the number of the credit lot of this identity; it is made where it does not exist."""
        key = (CREDIT, batch, expires_on)
        lot_no = self.lot_numbers.get(key)
        if lot_no is None:
            lot = Lot(len(self.lots) + 1, CREDIT, batch, expires_on, self.last_seq + 1)
            self.add_lot(lot)
            self.new_lots.append(lot)
            lot_no = lot.lot_no
        return lot_no

    def add_lot(self, lot: Lot) -> None:
        """Take a lot into the book."""
        self.lots[lot.lot_no] = lot
        self.lot_numbers[lot.unit_id, lot.batch, lot.expires_on] = lot.lot_no

    @property
    def clawback_due(self) -> int:
        """What reversals could not take back and nothing has settled yet, in millicredits."""
        return self.balances.get(DUE_KEY, 0)

    def lot_amounts(self, kind: int) -> dict[int, int]:
        """Return the millicredits of a kind by lot, zeros left out."""
        return {
            lot_no: amount
            for (unit_id, each, lot_no), amount in self.balances.items()
            if each == kind and unit_id == CREDIT and amount
        }

    def available(self, business_date: date) -> int:
        """Millicredits that can be spent on a business date: lots past their expiry count no more (M5)."""
        return sum(
            amount
            for lot_no, amount in self.lot_amounts(AVAILABLE).items()
            if not self.lots[lot_no].is_expired(business_date)
        )

    def expiring(self, business_date: date, days: int) -> int:
        """Part of `available` whose last usable date is at most `days` days after the business date."""
        last = business_date + timedelta(days=days)
        return sum(
            amount
            for lot_no, amount in self.lot_amounts(AVAILABLE).items()
            if business_date <= self.lots[lot_no].expires_on <= last
        )

    def total(self, kind: int) -> int:
        """Millicredits of a kind over all lots."""
        return sum(self.lot_amounts(kind).values())

    def open_holds(self) -> dict[int, Hold]:
        """Return all open holds; LedgerFault where they were not loaded."""
        if sum(hold.open_amount for hold in self.holds.values()) != self.total(HELD):
            raise LedgerFault(f"account {self.account_id}: its holds are not loaded")
        return self.holds

    def pending_of(self, award_seq: int) -> list[PendingAward]:
        """Return what of an award is pending."""
        return [each for each in self.pending.values() if each.award_seq == award_seq]

    def pending_awards(self) -> dict[PendingKey, PendingAward]:
        """Return all pending awards; LedgerFault where they were not loaded."""
        if sum(award.amount for award in self.pending.values()) != self.total(PENDING):
            raise LedgerFault(f"account {self.account_id}: its pending awards are not loaded")
        return self.pending

    def due_awards(self, business_date: date) -> list[PendingAward]:
        """Return the pending awards whose day has come and that no review of their own holds, in order."""
        waiting = self.pending_awards().values()
        due = [each for each in waiting if each.matures_on <= business_date and not each.review_seq]
        return sorted(due, key=lambda each: (each.matures_on, each.key))
