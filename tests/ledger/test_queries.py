"""Balances now and then, entries, decisions and statements, by example."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from carbonpoints.core.clock import Calendar, clock_at
from carbonpoints.ledger import flows, posting
from carbonpoints.ledger.book import Book
from carbonpoints.ledger.chart import DecisionKind, Flow, Kind, Unit
from carbonpoints.ledger.decisions import find_decisions
from carbonpoints.ledger.queries import (
    Balances,
    KnownEvent,
    MovementTotal,
    balances_of,
    find_events,
    list_entries,
    read_balances,
    read_decision,
    read_head,
    statement,
)
from tests.ledger.scenes import (
    CALENDAR,
    DAY,
    DECEMBER,
    NOVEMBER,
    award,
    make_programme,
    moment_on,
    open_one,
    reverse,
    spend,
)


@pytest.fixture
def book(session: Session) -> Book:
    return open_one(session, make_programme(session))


def test_the_head(session: Session, book: Book) -> None:
    award(book, 10)
    posting.write_books(session, [book])
    head = read_head(session, book.account_id)
    assert head is not None
    assert (head.status, head.holder_kind, head.last_seq) == ("open", "person", 3)
    assert (head.opened_at, head.last_booked_at) == (
        moment_on(DAY, 0).booked_at,
        moment_on(DAY).booked_at,
    )
    assert read_head(session, 5) is None


def test_all_balances(session: Session, book: Book) -> None:
    gone = award(book, 8, reduction_mg=3)
    spend(book, 8)
    reverse(book, gone)
    award(book, 100, DECEMBER, reduction_mg=42)
    award(book, 30)
    award(book, 5, DECEMBER, matures_on=NOVEMBER)
    flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=20)
    posting.write_books(session, [book])
    with clock_at(moment_on(DAY, 18).booked_at):
        now = read_balances(session, book.account_id, CALENDAR, None)
    assert now == Balances(
        available_millicredits=102,
        held_millicredits=20,
        pending_millicredits=5,
        expiring_30d_millicredits=10,
        clawback_due_millicredits=0,
        lifetime_reduction_mg=42,
        as_of=moment_on(DAY, 18).booked_at,
    )
    assert balances_of(book, DAY) == now._replace(as_of=moment_on(DAY).booked_at)
    assert read_balances(session, book.account_id, CALENDAR, moment_on(DAY).booked_at) == balances_of(
        book, DAY
    )


def test_expiry_is_judged_on_the_business_date_of_the_instant(session: Session, book: Book) -> None:
    award(book, 10)
    posting.write_books(session, [book])
    calendar = Calendar("Asia/Shanghai", cut_off=time(22))
    last = datetime(2026, 11, 30, 13, 59, 59, 999999, tzinfo=UTC)
    for at, available in ((last, 10), (last + timedelta(microseconds=1), 0)):
        assert read_balances(session, book.account_id, calendar, at).available_millicredits == available
        with clock_at(at):
            assert read_balances(session, book.account_id, calendar, None).available_millicredits == available


def test_as_of_means_booked_by_then(session: Session, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "SNAPSHOT_EVERY", 4)
    for day in range(10):
        award(book, 10, DECEMBER, day=DAY + timedelta(days=day), reduction_mg=1)
        posting.write_books(session, [book])
    for day in range(10):
        at = moment_on(DAY + timedelta(days=day)).booked_at
        before = read_balances(session, book.account_id, CALENDAR, at - timedelta(microseconds=1))
        assert (before.available_millicredits, before.lifetime_reduction_mg) == (10 * day, day)
        then = read_balances(session, book.account_id, CALENDAR, at)
        assert (then.available_millicredits, then.lifetime_reduction_mg) == (10 * day + 10, day + 1)
        assert then.as_of == at


def test_what_expired_since_was_available_then(session: Session, book: Book) -> None:
    award(book, 10)
    flows.expire(book, moment_on(DECEMBER))
    posting.write_books(session, [book])
    then = read_balances(session, book.account_id, CALENDAR, moment_on(NOVEMBER).booked_at)
    assert then.available_millicredits == 10
    after = read_balances(session, book.account_id, CALENDAR, moment_on(DECEMBER).booked_at)
    assert after.available_millicredits == 0


class TestEntries:
    """Latest first, filtered, page by page."""

    @pytest.fixture
    def booked(self, session: Session, book: Book, monkeypatch: pytest.MonkeyPatch) -> Book:
        monkeypatch.setattr(posting, "SNAPSHOT_EVERY", 4)
        for day in range(5):
            award(book, 10, DECEMBER, day=DAY + timedelta(days=day), reduction_mg=1)
            posting.write_books(session, [book])
        spend(book, 5, day=DAY + timedelta(days=5))
        posting.write_books(session, [book])
        return book

    def test_pages_follow_each_other(self, session: Session, booked: Book) -> None:
        first = list_entries(session, booked.account_id, limit=5)
        assert [entry.account_seq for entry in first] == [20, 18, 16, 15, 13]
        rest = list_entries(session, booked.account_id, before_seq=13, limit=50)
        assert [entry.account_seq for entry in rest] == [12, 10, 9, 7, 6, 4, 3]

    def test_an_entry_says_its_expiry_and_cause(self, session: Session, booked: Book) -> None:
        quantified, earned = list_entries(session, booked.account_id, before_seq=5, limit=2)
        assert (earned.flow, earned.unit_id, earned.amount, earned.lot_no) == (Flow.EARN, Unit.CREDIT, 10, 1)
        assert (earned.from_kind, earned.to_kind) == (Kind.ISSUED, Kind.AVAILABLE)
        assert (earned.expires_on, earned.cause_seq, earned.cause_kind) == (DECEMBER, 2, DecisionKind.EVENT)
        assert (quantified.unit_id, quantified.expires_on) == (Unit.MG_CO2E, None)

    def test_by_flow_and_unit(self, session: Session, booked: Book) -> None:
        found = list_entries(session, booked.account_id, flows=[Flow.HOLD, Flow.CAPTURE], limit=9)
        assert [entry.flow for entry in found] == [Flow.CAPTURE, Flow.HOLD]
        reductions = list_entries(session, booked.account_id, units=[Unit.MG_CO2E], limit=9)
        assert {entry.flow for entry in reductions} == {Flow.QUANTIFY}
        assert len(reductions) == 5

    def test_by_the_time_of_booking(self, session: Session, booked: Book) -> None:
        first, last = (moment_on(DAY + timedelta(days=day)).booked_at for day in (1, 3))
        found = list_entries(session, booked.account_id, from_=first, to=last, limit=9)
        assert [entry.account_seq for entry in found] == [10, 9, 7, 6]
        assert [e.account_seq for e in list_entries(session, booked.account_id, to=first, limit=9)] == [4, 3]
        later = list_entries(session, booked.account_id, from_=last, limit=9, flows=[Flow.EARN])
        assert [entry.account_seq for entry in later] == [15, 12]


def test_decisions_by_number_and_by_event(session: Session, book: Book) -> None:
    seq = award(book, 10, event_hash=b"a" * 16)
    posting.write_books(session, [book])
    decision = read_decision(session, book.account_id, seq)
    assert decision is not None
    assert (decision.kind, decision.amount_millicredits, decision.event_hash) == (2, 10, b"a" * 16)
    asked = [(book.account_id, b"a" * 16), (book.account_id, b"b" * 16)]
    assert find_decisions(session, asked) == {asked[0]: decision}
    assert read_decision(session, book.account_id, seq + 1) is None


def test_known_events_in_their_highest_revision(session: Session, book: Book) -> None:
    moment = moment_on(DAY)
    numbers = [
        book.decide(
            DecisionKind.EVENT,
            moment,
            occurred_at=moment.booked_at,
            received_at=moment.booked_at,
            local_date=DAY,
            disposition=disposition,
            revision=revision,
            event_hash=event_hash,
            commitment=bytes([revision]) * 32,
        )
        for event_hash, revision, disposition in (
            (b"a" * 16, 0, 1),
            (b"a" * 16, 2, 3),
            (b"a" * 16, 1, 2),
            (b"b" * 16, 0, 4),
        )
    ]
    posting.write_books(session, [book])
    me = book.account_id
    pairs = [(me, b"a" * 16), (me, b"b" * 16), (me, b"c" * 16), (me + 1, b"a" * 16)]
    assert find_events(session, pairs) == {
        b"a" * 16: KnownEvent(me, numbers[1], 2, b"\2" * 32, 3),
        b"b" * 16: KnownEvent(me, numbers[3], 0, b"\0" * 32, 4),
    }
    assert find_events(session, []) == {}


class TestStatement:
    """A period's opening, movements and closing add up, and periods follow each other."""

    def booked(self, session: Session, book: Book) -> None:
        award(book, 100, NOVEMBER, reduction_mg=1)
        spend(book, 30, day=NOVEMBER)
        award(book, 7, DECEMBER, day=DECEMBER, reduction_mg=2)
        posting.write_books(session, [book])

    def test_it_adds_up(self, session: Session, book: Book) -> None:
        self.booked(session, book)
        flows.expire(book, moment_on(DECEMBER))
        posting.write_books(session, [book])
        with clock_at(moment_on(date(2027, 2, 1)).booked_at):
            november = statement(session, book.account_id, CALENDAR, date(2026, 11, 1), NOVEMBER)
            december = statement(session, book.account_id, CALENDAR, date(2026, 12, 1), DECEMBER)
        assert november.opening.available_millicredits == 0
        assert november.closing.available_millicredits == 70
        assert november.movements == (
            MovementTotal(Flow.EARN, Unit.CREDIT, Kind.ISSUED, Kind.AVAILABLE, 1, 100),
            MovementTotal(Flow.QUANTIFY, Unit.MG_CO2E, Kind.QUANTIFIED, Kind.REDUCTION, 1, 1),
            MovementTotal(Flow.HOLD, Unit.CREDIT, Kind.AVAILABLE, Kind.HELD, 1, 30),
            MovementTotal(Flow.CAPTURE, Unit.CREDIT, Kind.HELD, Kind.REDEEMED, 1, 30),
        )
        assert december.opening == november.closing
        assert [(m.flow, m.amount) for m in december.movements] == [
            (Flow.EARN, 7),
            (Flow.QUANTIFY, 2),
            (Flow.EXPIRE, 70),
        ]
        assert december.closing.available_millicredits == 7
        assert december.closing.lifetime_reduction_mg == 3
        assert december.closing.as_of == datetime(2027, 1, 1, tzinfo=UTC)

    def test_a_period_that_is_not_over_closes_now(self, session: Session, book: Book) -> None:
        self.booked(session, book)
        now = moment_on(DECEMBER, 13).booked_at
        with clock_at(now):
            year = statement(session, book.account_id, CALENDAR, date(2026, 1, 1), date(2027, 12, 31))
        assert (year.closing.as_of, year.closing.available_millicredits) == (now, 7)
        assert year.opening.available_millicredits == 0


@given(
    day=st.dates(date(2026, 1, 10), date(2026, 12, 20)),
    cut_off=st.sampled_from([time(0), time(17, 30), time(23, 59)]),
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York"]),
    holidays=st.sets(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=200),
)
def test_a_business_day_opens_at_its_first_instant(
    day: date, cut_off: time, zone: str, holidays: set[date]
) -> None:
    calendar = Calendar(zone, cut_off, frozenset(holidays))
    opens = calendar.opens(day)
    assert calendar.business_date(opens) >= day
    assert calendar.business_date(opens - timedelta(microseconds=1)) < day
