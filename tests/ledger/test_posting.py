"""Books through the real database: opened under their locks, written whole, opened again the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from carbonpoints.ledger import flows, loading, posting
from carbonpoints.ledger.book import Book, Capture
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.errors import AlreadyReversed, AwardNotFound, CaptureNotFound, LedgerFault
from carbonpoints.ledger.lots import Award, AwardPart
from carbonpoints.ledger.models import BalanceSnapshot, Decision, Entry, Hold, PendingAward
from carbonpoints.ledger.queries import read_decision
from tests.ledger.scenes import (
    DAY,
    DECEMBER,
    NOVEMBER,
    award,
    make_programme,
    moment_on,
    open_one,
    spend,
)


def state(book: Book) -> dict[str, object]:
    return {
        name: getattr(book, name)
        for name in Book.__slots__
        if name not in {"balances", "cause_seq", "first_seq"}
    } | {"balances": {key: amount for key, amount in book.balances.items() if amount}}


@pytest.fixture
def programme_id(session: Session) -> int:
    return make_programme(session)


@pytest.fixture
def book(session: Session, programme_id: int) -> Book:
    return open_one(session, programme_id)


def reopen(session: Session, book: Book) -> Book:
    again = posting.open_books(session, [book.account_id])[book.account_id]
    loading.load_open_items(session, [again])
    return again


def test_a_new_account_begins_with_its_opening(session: Session, programme_id: int) -> None:
    first, second = posting.open_accounts(
        session, programme_id=programme_id, holder_kind="enterprise", moment=moment_on(DAY), count=2
    )
    assert second.account_id != first.account_id
    posting.write_books(session, [first, second])
    opening = read_decision(session, first.account_id, 1)
    assert opening is not None
    assert (opening.kind, opening.booked_at) == (DecisionKind.OPENING, moment_on(DAY).booked_at)
    assert state(reopen(session, second)) == state(second)


def test_what_was_written_is_opened_again(session: Session, book: Book) -> None:
    award(book, 100, reduction_mg=5)
    award(book, 20, DECEMBER)
    award(book, 30, DECEMBER, matures_on=NOVEMBER)
    hold_seq = flows.hold(book, moment_on(DAY), reference="o-1", amount_millicredits=110)
    flows.capture(book, moment_on(DAY), hold_seq=hold_seq, amount_millicredits=40)
    flows.change_status(book, moment_on(DAY), status="frozen")
    posting.write_books(session, [book])
    again = reopen(session, book)
    assert state(again) == state(book)
    assert again.holds[hold_seq].open_parts() == [(1, 60), (2, 10)]
    flows.release(again, moment_on(DAY), hold_seq=hold_seq, grace_days=0)
    flows.mature(again, moment_on(NOVEMBER))
    posting.write_books(session, [again])
    assert session.scalars(select(PendingAward)).all() == []
    assert [hold.open_amount for hold in session.scalars(select(Hold))] == [0]
    last = reopen(session, book)
    assert (last.holds, last.pending) == ({}, {})
    assert last.available(NOVEMBER) == 110


def test_every_column_arrives(session: Session, book: Book) -> None:
    occurred = datetime(1993, 1, 5, 3, 4, 5, 678901, tzinfo=UTC)
    received = datetime(2026, 11, 2, 11, 59, 59, 1, tzinfo=UTC)
    trace = {"text": "Tab\tand\nline, \\ and 中文", "n": [1, None, 2**60]}
    seq = book.decide(
        DecisionKind.EVENT,
        moment_on(DAY),
        occurred_at=occurred,
        received_at=received,
        local_date=occurred.date(),
        disposition=7,
        reduction_mg=2**62,
        amount_millicredits=0,
        pin_id=2**31 - 1,
        source_id=3,
        revision=9,
        event_hash=bytes(range(16)),
        commitment=bytes(range(255, 223, -1)),
        trace=trace,
    )
    flows.quantify(book, moment_on(DAY), cause_seq=seq, occurred_at=occurred, reduction_mg=2**62)
    posting.write_books(session, [book])
    stored = session.get_one(Decision, (book.account_id, seq))
    assert (stored.occurred_at, stored.received_at, stored.booked_at) == (
        occurred,
        received,
        moment_on(DAY).booked_at,
    )
    assert (stored.reduction_mg, stored.amount_millicredits) == (2**62, 0)
    assert (stored.pin_id, stored.source_id, stored.revision) == (2**31 - 1, 3, 9)
    assert (stored.local_date, stored.business_date) == (occurred.date(), DAY)
    assert (stored.kind, stored.disposition) == (2, 7)
    assert (stored.event_hash, stored.commitment) == (bytes(range(16)), bytes(range(255, 223, -1)))
    assert stored.trace == trace
    entry = session.get_one(Entry, (book.account_id, seq + 1))
    assert (entry.occurred_at, entry.booked_at) == (occurred, moment_on(DAY).booked_at)
    assert (entry.amount, entry.cause_seq, entry.business_date) == (2**62, seq, DAY)
    assert (entry.lot_no, entry.unit_id, entry.flow, entry.from_kind, entry.to_kind) == (0, 2, 4, 107, 5)


def test_many_books_are_written_as_one(session: Session, programme_id: int) -> None:
    books = posting.open_accounts(
        session, programme_id=programme_id, holder_kind="person", moment=moment_on(DAY, 0), count=300
    )
    for number, book in enumerate(books):
        for _ in range(number % 3):
            award(book, number + 1, reduction_mg=1)
    posting.write_books(session, books)
    again = posting.open_books(session, [book.account_id for book in books])
    assert list(again) == sorted(book.account_id for book in books)
    assert {a: b.available(DAY) for a, b in again.items()} == {
        book.account_id: (number % 3) * (number + 1) for number, book in enumerate(books)
    }
    assert {a: b.last_seq for a, b in again.items()} == {
        book.account_id: 1 + 3 * (number % 3) for number, book in enumerate(books)
    }


def test_a_missing_account_is_absent(session: Session, book: Book) -> None:
    assert set(posting.open_books(session, [book.account_id, 7])) == {book.account_id}
    assert posting.open_books(session, []) == {}


def test_a_book_is_written_once(session: Session, book: Book) -> None:
    award(book, 10)
    posting.write_books(session, [book])
    posting.write_books(session, [book])
    assert session.scalar(select(func.count()).select_from(Entry)) == 1
    award(book, 10)
    posting.write_books(session, [book])
    assert reopen(session, book).available(DAY) == 20


def test_a_snapshot_stands_where_the_numbers_pass_a_thousand(session: Session, book: Book) -> None:
    for _ in range(499):
        award(book, 1)
    posting.write_books(session, [book])
    assert book.last_seq == 999
    assert session.scalars(select(BalanceSnapshot)).all() == []
    award(book, 1, reduction_mg=2, day=DAY + timedelta(days=1))
    posting.write_books(session, [book])
    snapshot = session.scalars(select(BalanceSnapshot)).one()
    assert (snapshot.account_seq, snapshot.booked_at) == (
        1002,
        moment_on(DAY + timedelta(days=1)).booked_at,
    )
    assert snapshot.balances == [[1, 1, 1, 500], [2, 5, 0, 2]]


class TestAward:
    """Where an award is, from what was recorded."""

    def test_its_parts_by_lot(self, session: Session, book: Book) -> None:
        award(book, 10)
        second = award(book, 20, reduction_mg=7)
        award(book, 1, DECEMBER)
        spend(book, 15)
        posting.write_books(session, [book])
        assert loading.read_award(session, reopen(session, book), second) == Award(
            second, 7, (AwardPart(1, 15, 0, 5),)
        )

    def test_one_that_matured(self, session: Session, book: Book) -> None:
        award(book, 10)
        second = award(book, 20, matures_on=DAY + timedelta(days=1))
        third = award(book, 30, matures_on=DAY + timedelta(days=1))
        flows.mature(book, moment_on(DAY + timedelta(days=1)))
        spend(book, 40, day=DAY + timedelta(days=1))
        posting.write_books(session, [book])
        again = reopen(session, book)
        assert loading.read_award(session, again, second).parts == (AwardPart(1, 0, 0, 20),)
        assert loading.read_award(session, again, third).parts == (AwardPart(1, 20, 0, 10),)

    def test_what_was_carried_into_graces_is_followed(self, session: Session, book: Book) -> None:
        first, second = award(book, 10), award(book, 20)
        award(book, 30, DECEMBER)
        hold_seq = flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=25)
        flows.expire(book, moment_on(NOVEMBER + timedelta(days=1)))
        flows.release(book, moment_on(NOVEMBER + timedelta(days=1)), hold_seq=hold_seq, grace_days=7)
        capture_seq = spend(book, 25, day=NOVEMBER + timedelta(days=2))
        rest = Capture(capture_seq, ((3, 25),))
        flows.refund(book, moment_on(DECEMBER), capture=rest, amount_millicredits=18, grace_days=5)
        spend(book, 1, day=DECEMBER + timedelta(days=1))
        posting.write_books(session, [book])
        again = reopen(session, book)
        assert loading.read_award(session, again, first).parts == (
            AwardPart(3, 0, 0, 7),
            AwardPart(4, 2, 0, 1),
        )
        assert loading.read_award(session, again, second).parts == (
            AwardPart(1, 0, 5, 0),
            AwardPart(4, 15, 0, 0),
        )

    def test_it_is_reversed_once(self, session: Session, book: Book) -> None:
        first = award(book, 10)
        posting.write_books(session, [book])
        again = reopen(session, book)
        found = loading.read_award(session, again, first)
        flows.reverse(again, moment_on(DAY), award=found, clawback_limit_millicredits=0)
        with pytest.raises(LedgerFault, match="before anything new"):
            loading.read_award(session, again, first)
        posting.write_books(session, [again])
        with pytest.raises(AlreadyReversed):
            loading.read_award(session, again, first)

    def test_what_is_no_award(self, session: Session, book: Book) -> None:
        first = award(book, 10)
        capture_seq = spend(book, 5)
        posting.write_books(session, [book])
        for seq in (1, first + 1, capture_seq, capture_seq + 50):
            with pytest.raises(AwardNotFound):
                loading.read_award(session, book, seq)


class TestCapture:
    """What of a capture was not given back."""

    def test_refunds_lower_it(self, session: Session, book: Book) -> None:
        award(book, 10)
        award(book, 20, DECEMBER)
        award(book, 5, DECEMBER)
        other = spend(book, 4)
        capture_seq = spend(book, 20)
        posting.write_books(session, [book])
        capture = loading.read_capture(session, book, capture_seq)
        assert capture == Capture(capture_seq, ((1, 6), (2, 14)))
        flows.refund(book, moment_on(DAY), capture=capture, amount_millicredits=16, grace_days=0)
        posting.write_books(session, [book])
        assert loading.read_capture(session, book, capture_seq).parts == ((1, 4),)
        assert loading.read_capture(session, book, other).parts == ((1, 4),)

    def test_what_is_no_capture(self, session: Session, book: Book) -> None:
        first = award(book, 10)
        posting.write_books(session, [book])
        with pytest.raises(CaptureNotFound):
            loading.read_capture(session, book, first)


def test_open_items_are_loaded_before_anything_new(session: Session, book: Book) -> None:
    award(book, 10)
    with pytest.raises(LedgerFault, match="before anything new"):
        loading.load_open_items(session, [book])
