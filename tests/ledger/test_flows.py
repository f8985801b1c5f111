"""Each flow by example, with exact amounts."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from carbonpoints.core.clock import Calendar
from carbonpoints.ledger import flows
from carbonpoints.ledger.book import AVAILABLE, HELD, PENDING, Book, Capture, Moment, movement
from carbonpoints.ledger.chart import DecisionKind, Flow, Kind, Unit
from carbonpoints.ledger.errors import (
    AccountNotOpen,
    BookedLater,
    HoldExceeded,
    HoldNotFound,
    HoldsOpen,
    InsufficientCredits,
    LedgerFault,
    ReferenceInUse,
)
from carbonpoints.ledger.queries import balances_of
from tests.ledger.scenes import (
    DAY,
    DECEMBER,
    JANUARY,
    NOVEMBER,
    award,
    make_book,
    moment_on,
    moved,
    reverse,
    spend,
)


def test_an_entry_has_the_columns_of_its_table() -> None:
    book = make_book()
    seq = award(book, 1_500, reduction_mg=42)
    at = moment_on(DAY).booked_at
    assert seq == 1
    assert book.entries == [
        (1, 2, at, at, 1_500, 1, DAY, 1, 1, 1, 101, 1),
        (1, 3, at, at, 42, 1, DAY, 0, 2, 4, 107, 5),
    ]
    assert book.decisions == [
        (1, 1, at, at, at, 42, 1_500, None, None, DAY, DAY, 2, 1, None, None, None, None)
    ]
    assert balances_of(book, DAY).lifetime_reduction_mg == 42


def test_the_chart_refuses_other_movements() -> None:
    with pytest.raises(LedgerFault, match="no movement EARN CREDIT HELD AVAILABLE"):
        movement(Flow.EARN, Unit.CREDIT, Kind.HELD, Kind.AVAILABLE)


@pytest.mark.parametrize("amount", [0, -1])
def test_an_entry_moves_a_positive_amount(amount: int) -> None:
    book = make_book()
    with pytest.raises(LedgerFault, match="positive"):
        award(book, amount)
    assert book.entries == []


def test_an_entry_follows_its_own_decision() -> None:
    book = make_book()
    first = award(book, 5)
    award(book, 5)
    with pytest.raises(LedgerFault, match="follows its decision"):
        flows.quantify(
            book, moment_on(DAY), cause_seq=first, occurred_at=moment_on(DAY).booked_at, reduction_mg=1
        )


def test_no_balance_falls_below_zero() -> None:
    book = make_book()
    seq = award(book, 5)
    with pytest.raises(LedgerFault, match="would fall to -1"):
        book.move(moment_on(DAY), seq, moment_on(DAY).booked_at, flows.HOLD, lot_no=1, amount=6)
    assert book.balances == {(1, AVAILABLE, 1): 5}


def test_booking_time_never_runs_backwards() -> None:
    book = make_book()
    award(book, 5, day=DAY + timedelta(days=1))
    with pytest.raises(BookedLater):
        award(book, 5, day=DAY)
    calendar = Calendar("UTC")
    moment = moment_on(DAY)
    assert book.next_moment(moment, calendar) == moment_on(DAY + timedelta(days=1))
    later = moment_on(DAY + timedelta(days=2))
    assert book.next_moment(later, calendar) is later


def test_a_moment_has_both_dates() -> None:
    calendar = Calendar("Asia/Shanghai", cut_off=time(22))
    instant = datetime(2026, 11, 2, 14, 30, tzinfo=UTC)
    assert Moment.at(instant, calendar) == Moment(instant, date(2026, 11, 3), date(2026, 11, 2))


def test_awards_of_one_expiry_share_a_lot_and_batches_do_not() -> None:
    book = make_book()
    award(book, 10)
    award(book, 20)
    award(book, 40, DECEMBER)
    moment = moment_on(DAY)
    seq = book.decide(
        DecisionKind.EVENT, moment, occurred_at=moment.booked_at, received_at=moment.booked_at, local_date=DAY
    )
    flows.earn(
        book,
        moment,
        cause_seq=seq,
        occurred_at=moment.booked_at,
        amount_millicredits=80,
        expires_on=NOVEMBER,
        batch="parcel 7",
    )
    assert book.lot_amounts(AVAILABLE) == {1: 30, 2: 40, 3: 80}
    assert [(lot.lot_no, lot.batch, lot.expires_on, lot.created_seq) for lot in book.lots.values()] == [
        (1, None, NOVEMBER, 2),
        (2, None, DECEMBER, 6),
        (3, "parcel 7", NOVEMBER, 8),
    ]


class TestExpiry:
    """A lot can be used on its last date and not after."""

    def test_available_counts_no_lot_past_its_expiry_before_any_sweep(self) -> None:
        book = make_book()
        award(book, 10)
        award(book, 20, DECEMBER)
        assert book.available(NOVEMBER) == 30
        assert book.available(NOVEMBER + timedelta(days=1)) == 20
        assert balances_of(book, DECEMBER + timedelta(days=1)).available_millicredits == 0

    def test_nothing_past_its_expiry_can_be_held(self) -> None:
        book = make_book()
        award(book, 10)
        with pytest.raises(InsufficientCredits):
            spend(book, 10, day=NOVEMBER + timedelta(days=1))
        spend(book, 10, day=NOVEMBER)
        assert book.available(NOVEMBER) == 0

    def test_the_sweep_ends_what_is_available_in_lots_past_expiry_once(self) -> None:
        book = make_book()
        award(book, 10)
        award(book, 20, DECEMBER)
        assert flows.expire(book, moment_on(NOVEMBER)) is None
        seq = flows.expire(book, moment_on(NOVEMBER + timedelta(days=1)))
        assert seq == 5
        assert moved(book)[-1] == ("EXPIRE", 1, 10)
        assert book.decisions[-1][6] == 10
        assert flows.expire(book, moment_on(NOVEMBER + timedelta(days=1))) is None

    def test_what_expires_within_thirty_days(self) -> None:
        book = make_book()
        award(book, 10)
        award(book, 20, DECEMBER)
        assert book.expiring(NOVEMBER, 30) == balances_of(book, NOVEMBER).expiring_30d_millicredits == 10
        first = DECEMBER - timedelta(days=30)
        assert balances_of(book, first).expiring_30d_millicredits == 20
        assert balances_of(book, first - timedelta(days=1)).expiring_30d_millicredits == 10


class TestHolds:
    """Credits are set aside in burn order; held credits do not expire."""

    def book(self) -> Book:
        book = make_book()
        award(book, 30, JANUARY)
        award(book, 10)
        award(book, 20, DECEMBER)
        return book

    def test_earlier_expiry_burns_first(self) -> None:
        book = self.book()
        seq = flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=35)
        assert book.holds[seq].parts == ((2, 10), (3, 20), (1, 5))
        assert book.lot_amounts(HELD) == {2: 10, 3: 20, 1: 5}
        assert book.available(DAY) == 25

    def test_of_one_expiry_the_older_lot_burns_first(self) -> None:
        book = make_book()
        moment = moment_on(DAY)
        for batch in ("b", "a"):
            seq = book.decide(
                DecisionKind.EVENT,
                moment,
                occurred_at=moment.booked_at,
                received_at=moment.booked_at,
                local_date=DAY,
            )
            flows.earn(
                book,
                moment,
                cause_seq=seq,
                occurred_at=moment.booked_at,
                amount_millicredits=10,
                expires_on=NOVEMBER,
                batch=batch,
            )
        seq = flows.hold(book, moment, reference="order", amount_millicredits=15)
        assert book.holds[seq].parts == ((1, 10), (2, 5))

    def test_not_more_than_is_available(self) -> None:
        book = self.book()
        before = list(book.decisions)
        with pytest.raises(InsufficientCredits):
            flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=61)
        assert book.decisions == before

    def test_one_hold_per_reference(self) -> None:
        book = self.book()
        flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=1)
        with pytest.raises(ReferenceInUse):
            flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=1)

    def test_only_in_an_open_account(self) -> None:
        book = self.book()
        flows.change_status(book, moment_on(DAY), status="frozen")
        with pytest.raises(AccountNotOpen):
            flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=1)

    def test_captures_take_the_parts_in_the_order_of_the_hold(self) -> None:
        book = self.book()
        hold_seq = flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=35)
        flows.capture(book, moment_on(DAY), hold_seq=hold_seq, amount_millicredits=15)
        assert moved(book)[-2:] == [("CAPTURE", 2, 10), ("CAPTURE", 3, 5)]
        flows.capture(book, moment_on(DAY), hold_seq=hold_seq, amount_millicredits=16)
        assert moved(book)[-2:] == [("CAPTURE", 3, 15), ("CAPTURE", 1, 1)]
        with pytest.raises(HoldExceeded):
            flows.capture(book, moment_on(DAY), hold_seq=hold_seq, amount_millicredits=5)
        flows.release(book, moment_on(DAY), hold_seq=hold_seq, grace_days=0)
        assert moved(book)[-1] == ("RELEASE", 1, 4)
        assert (book.available(DAY), book.total(HELD)) == (29, 0)
        with pytest.raises(HoldNotFound):
            flows.capture(book, moment_on(DAY), hold_seq=hold_seq)

    def test_held_credits_are_captured_after_their_expiry(self) -> None:
        book = self.book()
        hold_seq = flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=35)
        late = moment_on(JANUARY + timedelta(days=40))
        flows.expire(book, late)
        assert moved(book)[-1] == ("EXPIRE", 1, 25)
        flows.capture(book, late, hold_seq=hold_seq)
        assert [amount for _, _, amount in moved(book)[-3:]] == [10, 20, 5]
        assert not any(book.balances.values())

    def test_released_after_expiry_without_grace_it_expires_at_once(self) -> None:
        book = self.book()
        hold_seq = flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=15)
        late = moment_on(NOVEMBER + timedelta(days=1))
        seq = flows.release(book, late, hold_seq=hold_seq, grace_days=0)
        assert moved(book)[-3:] == [("RELEASE", 2, 10), ("EXPIRE_RELEASED", 2, 10), ("RELEASE", 3, 5)]
        assert {entry[5] for entry in book.entries[-3:]} == {seq}
        assert book.available(late.business_date) == 50

    def test_released_after_expiry_it_gets_the_programmes_grace(self) -> None:
        book = self.book()
        hold_seq = flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=15)
        late = moment_on(NOVEMBER + timedelta(days=1))
        flows.release(book, late, hold_seq=hold_seq, grace_days=7)
        assert moved(book)[-4:] == [("RELEASE", 2, 10), ("GRACE", 2, 10), ("GRACE", 4, 10), ("RELEASE", 3, 5)]
        assert book.lots[4].expires_on == date(2026, 12, 8)
        assert book.lots[4].created_seq == book.entries[-2][1]
        assert book.available(date(2026, 12, 8)) == 60
        assert book.available(date(2026, 12, 9)) == 50

    def test_a_refund_gives_back_to_the_same_lots_the_last_first(self) -> None:
        book = self.book()
        capture_seq = spend(book, 35)
        capture = Capture(capture_seq, ((2, 10), (3, 20), (1, 5)))
        flows.refund(book, moment_on(DAY), capture=capture, amount_millicredits=12, grace_days=0)
        assert moved(book)[-2:] == [("REFUND", 1, 5), ("REFUND", 3, 7)]
        rest = Capture(capture_seq, ((2, 10), (3, 13)))
        with pytest.raises(HoldExceeded):
            flows.refund(book, moment_on(DAY), capture=rest, amount_millicredits=24, grace_days=0)
        late = moment_on(NOVEMBER + timedelta(days=1))
        flows.refund(book, late, capture=rest, grace_days=0)
        assert moved(book)[-3:] == [("REFUND", 3, 13), ("REFUND", 2, 10), ("EXPIRE_RELEASED", 2, 10)]
        assert book.available(late.business_date) == 50


class TestPending:
    """An award can wait before it can be spent (M23)."""

    def test_it_is_not_available_until_its_day(self) -> None:
        book = make_book()
        later = DAY + timedelta(days=3)
        seq = award(book, 10, matures_on=later)
        assert (book.available(DAY), book.total(PENDING)) == (0, 10)
        assert flows.mature(book, moment_on(later - timedelta(days=1))) is None
        assert flows.mature(book, moment_on(later)) == 3
        assert book.decisions[-1][16] == {"award_seqs": [seq]}
        assert (book.available(DAY), book.total(PENDING)) == (10, 0)
        assert flows.mature(book, moment_on(later)) is None

    def test_a_day_that_has_come_makes_nothing_pending(self) -> None:
        book = make_book()
        award(book, 10, matures_on=DAY)
        assert moved(book) == [("EARN", 1, 10)]

    def test_entries_of_a_maturity_follow_it_in_the_order_of_its_trace(self) -> None:
        book = make_book()
        debt = award(book, 100, DECEMBER)
        spend(book, 100)
        later = DAY + timedelta(days=3)
        second = award(book, 10, matures_on=later)
        first = award(book, 20, matures_on=later - timedelta(days=1))
        reverse(book, debt)
        flows.mature(book, moment_on(later))
        assert book.decisions[-1][16] == {"award_seqs": [first, second]}
        assert moved(book)[-6:] == [
            ("MATURE", 2, 20),
            ("MATURE", 2, 10),
            ("SETTLE_CLAWBACK", 2, 20),
            ("DISCHARGE_CLAWBACK", 0, 20),
            ("SETTLE_CLAWBACK", 2, 10),
            ("DISCHARGE_CLAWBACK", 0, 10),
        ]
        assert book.clawback_due == 70

    def test_a_pending_award_is_reversed_where_it_waits(self) -> None:
        book = make_book()
        seq = award(book, 10, matures_on=DAY + timedelta(days=3))
        reverse(book, seq)
        assert moved(book)[-1] == ("REVERSE", 1, 10)
        assert book.entries[-1][10] == Kind.PENDING
        assert (book.pending, book.clawback_due) == ({}, 0)

    def test_awards_that_were_not_loaded_are_missed_loudly(self) -> None:
        book = make_book()
        award(book, 10, matures_on=DAY + timedelta(days=3))
        book.pending.clear()
        with pytest.raises(LedgerFault, match="not loaded"):
            flows.mature(book, moment_on(DAY))


class TestStatus:
    """Closing ends what is left; a merged account has nothing left; neither earns, nor does a frozen one."""

    @pytest.mark.parametrize("status", ["frozen", "merged"])
    def test_only_an_open_account_earns(self, status: str) -> None:
        book = make_book()
        flows.change_status(book, moment_on(DAY), status=status)
        with pytest.raises(AccountNotOpen):
            award(book, 10)
        flows.change_status(book, moment_on(DAY), status="open")
        award(book, 10)
        assert book.available(DAY) == 10

    def test_closing_forfeits_what_is_available_and_pending(self) -> None:
        book = make_book()
        award(book, 10)
        award(book, 20, DECEMBER)
        award(book, 5, DECEMBER, matures_on=DECEMBER)
        seq = flows.close(book, moment_on(NOVEMBER + timedelta(days=1)))
        assert moved(book)[-3:] == [("EXPIRE", 1, 10), ("FORFEIT", 2, 5), ("FORFEIT", 2, 20)]
        assert book.decisions[-1][1] == seq
        assert book.decisions[-1][6] == 25
        assert (book.status, book.pending) == ("closed", {})
        assert not any(book.balances.values())

    def test_an_account_with_open_holds_is_not_closed(self) -> None:
        book = make_book()
        award(book, 10)
        flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=1)
        with pytest.raises(HoldsOpen):
            flows.close(book, moment_on(DAY))
        assert book.status == "open"

    def test_an_account_with_value_is_not_merged(self) -> None:
        book = make_book()
        award(book, 10)
        with pytest.raises(LedgerFault, match="still has value"):
            flows.change_status(book, moment_on(DAY), status="merged")
