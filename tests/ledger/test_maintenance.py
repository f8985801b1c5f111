"""What becomes due by the date alone: found window by window, booked once, and never before its day."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.clock import clock_at
from carbonpoints.ledger import flows, maintenance, posting
from carbonpoints.ledger.book import AVAILABLE, HELD, PENDING, Book
from carbonpoints.ledger.chart import DecisionKind, Flow
from carbonpoints.ledger.maintenance import Page
from carbonpoints.ledger.queries import read_balances
from carbonpoints.ledger.reconcile import check
from carbonpoints.ledger.seal import seal
from tests.ledger.scenes import CALENDAR, DAY, DECEMBER, NOVEMBER, award, make_programme, moment_on, open_one

AFTER_NOVEMBER = NOVEMBER + timedelta(days=1)
FIRST_OF_ITS_OWN = 4
"""An account's first number after its opening, its award and the award's entry."""


@pytest.fixture
def programme_id(session: Session) -> int:
    return make_programme(session)


def awarded(
    session: Session, programme_id: int, *expiries: date, matures_on: date | None = None
) -> list[int]:
    """Accounts with an award of 100 millicredits each, in a lot of this expiry."""
    books = []
    for expires_on in expiries:
        book = open_one(session, programme_id)
        award(book, 100, expires_on, matures_on=matures_on)
        books.append(book)
    posting.write_books(session, books)
    return [book.account_id for book in books]


def opened(session: Session, account_id: int) -> Book:
    return posting.open_books(session, [account_id])[account_id]


def expire(session: Session, account_ids: list[int], day: date) -> int:
    with clock_at(moment_on(day).booked_at):
        return maintenance.expire_lots(session, account_ids, CALENDAR)


def mature(session: Session, account_ids: list[int], day: date) -> int:
    with clock_at(moment_on(day).booked_at):
        return maintenance.mature_awards(session, account_ids, CALENDAR)


def journal(session: Session, account_id: int) -> list[tuple[object, ...]]:
    """What was decided and posted after the award: number, kind or flow, amount, business date."""
    rows = session.execute(
        text(
            "SELECT account_seq, kind, amount_millicredits, business_date FROM decision WHERE account_id = :id "
            "UNION ALL SELECT account_seq, flow, amount, business_date FROM entry WHERE account_id = :id "
            "ORDER BY account_seq"
        ),
        {"id": account_id},
    )
    return [tuple(row) for row in rows if row.account_seq >= FIRST_OF_ITS_OWN]


def proven(session: Session) -> None:
    assert [finding for finding in check(session) if finding.differences] == []


def test_a_lot_is_due_on_the_day_after_its_last(session: Session, programme_id: int) -> None:
    ending, lasting = awarded(session, programme_id, NOVEMBER, DECEMBER)
    assert maintenance.find_expired(session, programme_id, NOVEMBER, 0) == Page((), lasting)
    assert maintenance.find_expired(session, programme_id, AFTER_NOVEMBER, 0) == Page((ending,), lasting)
    assert maintenance.find_expired(session, programme_id, AFTER_NOVEMBER, ending) == Page((), lasting)
    assert maintenance.find_expired(session, programme_id, AFTER_NOVEMBER, lasting) == Page((), None)


def test_accounts_are_looked_at_window_by_window(
    session: Session, programme_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "PAGE_ACCOUNTS", 2)
    a, b, c, d, e = awarded(session, programme_id, NOVEMBER, DECEMBER, DECEMBER, DECEMBER, NOVEMBER)
    after, pages = 0, []
    while (page := maintenance.find_expired(session, programme_id, AFTER_NOVEMBER, after)).last is not None:
        pages.append(page)
        after = page.last
    assert pages == [Page((a,), b), Page((), d), Page((e,), e)]
    assert c < d


def test_another_programmes_accounts_are_left_alone(session: Session, programme_id: int) -> None:
    awarded(session, programme_id, NOVEMBER)
    awarded(session, programme_id, NOVEMBER, matures_on=DAY + timedelta(days=1))
    nobody = programme_id + 1
    assert maintenance.find_expired(session, nobody, DECEMBER, 0) == Page((), None)
    assert maintenance.find_mature(session, nobody, DECEMBER, 0) == Page((), None)


def test_what_lies_past_its_expiry_ends_once(session: Session, programme_id: int) -> None:
    ending, lasting = awarded(session, programme_id, NOVEMBER, DECEMBER)
    assert expire(session, [ending, lasting], NOVEMBER) == 0
    assert expire(session, [ending, lasting], AFTER_NOVEMBER) == 1
    assert journal(session, ending) == [
        (4, DecisionKind.EXPIRY, 100, AFTER_NOVEMBER),
        (5, Flow.EXPIRE, 100, AFTER_NOVEMBER),
    ]
    assert journal(session, lasting) == []
    assert expire(session, [ending, lasting], AFTER_NOVEMBER) == 0
    assert maintenance.find_expired(session, programme_id, AFTER_NOVEMBER, 0).due == ()
    assert len(journal(session, ending)) == 2
    proven(session)


def test_the_books_follow_what_was_already_not_available(session: Session, programme_id: int) -> None:
    (account_id,) = awarded(session, programme_id, NOVEMBER)
    with clock_at(moment_on(AFTER_NOVEMBER, 13).booked_at):
        before = read_balances(session, account_id, CALENDAR, None)
        assert maintenance.expire_lots(session, [account_id], CALENDAR) == 1
        assert before.available_millicredits == 0
        assert read_balances(session, account_id, CALENDAR, None) == before


def test_what_is_held_does_not_expire(session: Session, programme_id: int) -> None:
    (account_id,) = awarded(session, programme_id, NOVEMBER)
    book = opened(session, account_id)
    flows.hold(book, moment_on(NOVEMBER), reference="order", amount_millicredits=30)
    posting.write_books(session, [book])
    assert expire(session, [account_id], AFTER_NOVEMBER) == 1
    book = opened(session, account_id)
    assert (book.total(AVAILABLE), book.total(HELD)) == (0, 30)
    assert maintenance.find_expired(session, programme_id, AFTER_NOVEMBER, 0).due == ()
    proven(session)


def test_a_frozen_accounts_lots_end_too(session: Session, programme_id: int) -> None:
    (account_id,) = awarded(session, programme_id, NOVEMBER)
    book = opened(session, account_id)
    flows.change_status(book, moment_on(DAY), status="frozen")
    posting.write_books(session, [book])
    assert maintenance.find_expired(session, programme_id, AFTER_NOVEMBER, 0).due == (account_id,)
    assert expire(session, [account_id], AFTER_NOVEMBER) == 1
    proven(session)


def test_an_account_booked_ahead_of_our_clock_is_booked_at_its_own_last_instant(
    session: Session, programme_id: int
) -> None:
    (account_id,) = awarded(session, programme_id, NOVEMBER)
    book = opened(session, account_id)
    ahead = moment_on(AFTER_NOVEMBER, 1)
    flows.change_status(book, ahead, status="frozen")
    posting.write_books(session, [book])
    assert expire(session, [account_id], NOVEMBER) == 1
    assert opened(session, account_id).last_booked_at == ahead.booked_at
    assert journal(session, account_id)[-1] == (6, Flow.EXPIRE, 100, AFTER_NOVEMBER)
    proven(session)


def test_an_award_is_due_on_its_day(session: Session, programme_id: int) -> None:
    first, second = awarded(session, programme_id, DECEMBER, DECEMBER, matures_on=NOVEMBER)
    awarded(session, programme_id, DECEMBER, matures_on=AFTER_NOVEMBER)
    day_before = NOVEMBER - timedelta(days=1)
    assert maintenance.find_mature(session, programme_id, day_before, 0) == Page((), None)
    assert maintenance.find_mature(session, programme_id, NOVEMBER, 0) == Page((first, second), second)
    assert maintenance.find_mature(session, programme_id, NOVEMBER, first) == Page((second,), second)


def test_an_award_matures_once(session: Session, programme_id: int) -> None:
    (account_id,) = awarded(session, programme_id, DECEMBER, matures_on=NOVEMBER)
    assert mature(session, [account_id], NOVEMBER - timedelta(days=1)) == 0
    assert mature(session, [account_id], NOVEMBER) == 1
    assert journal(session, account_id) == [
        (4, DecisionKind.MATURITY, 100, NOVEMBER),
        (5, Flow.MATURE, 100, NOVEMBER),
    ]
    assert mature(session, [account_id], NOVEMBER) == 0
    book = opened(session, account_id)
    assert (book.total(AVAILABLE), book.total(PENDING)) == (100, 0)
    assert maintenance.find_mature(session, programme_id, NOVEMBER, 0) == Page((), None)
    proven(session)


def test_an_award_that_matures_after_its_lots_expiry_ends_with_it(
    session: Session, programme_id: int
) -> None:
    (account_id,) = awarded(session, programme_id, NOVEMBER, matures_on=AFTER_NOVEMBER)
    assert expire(session, [account_id], AFTER_NOVEMBER) == 0
    assert mature(session, [account_id], AFTER_NOVEMBER) == 1
    assert opened(session, account_id).available(AFTER_NOVEMBER) == 0
    assert expire(session, [account_id], AFTER_NOVEMBER) == 1
    assert opened(session, account_id).total(AVAILABLE) == 0
    proven(session)


def test_upkeep_leaves_what_was_sealed_intact(session: Session, programme_id: int) -> None:
    (account_id,) = awarded(session, programme_id, NOVEMBER)
    assert seal(session) is not None
    assert expire(session, [account_id], AFTER_NOVEMBER) == 1
    proven(session)


def test_decisions_are_read_by_account_and_number(session: Session, programme_id: int) -> None:
    one, other = awarded(session, programme_id, NOVEMBER, NOVEMBER, matures_on=DAY + timedelta(days=1))
    mature(session, [other], NOVEMBER)
    asked = [(one, 2), (other, 4), (one, 99)]
    assert maintenance.read_pins_and_traces(session, asked) == {
        (one, 2): (None, None),
        (other, 4): (None, {"award_seqs": [2]}),
    }
