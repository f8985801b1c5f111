"""Many at once on one account: nothing is lost, nothing is counted twice, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.core.db import db, reading, transaction
from carbonpoints.core.errors import Busy
from carbonpoints.ledger import flows, loading, posting
from carbonpoints.ledger.errors import InsufficientCredits
from carbonpoints.ledger.queries import list_entries, read_balances
from carbonpoints.ledger.reconcile import check
from tests.ledger.scenes import CALENDAR, DAY, award, make_programme, moment_on

THREADS, ROUNDS = 16, 10


@pytest.fixture
def account_ids(committed: Flask) -> list[int]:
    with committed.app_context(), transaction() as session:
        books = posting.open_accounts(
            session,
            programme_id=make_programme(session),
            holder_kind="person",
            moment=moment_on(DAY, 0),
            count=3,
        )
        posting.write_books(session, books)
        return [book.account_id for book in books]


def at_once(app: Flask, work: Callable[[int], None]) -> None:
    """Run `work` with the thread's number in every thread, all let go together."""
    gate = threading.Barrier(THREADS)

    def run(number: int) -> None:
        gate.wait()
        with app.app_context():
            work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, range(THREADS)))


def test_sixteen_threads_on_one_account(committed: Flask, account_ids: list[int]) -> None:
    account_id = account_ids[0]

    def work(number: int) -> None:
        for round_no in range(ROUNDS):
            with transaction() as session:
                book = posting.open_books(session, [account_id])[account_id]
                award(book, 10, reduction_mg=1)
                posting.write_books(session, [book])
            with transaction() as session:
                book = posting.open_books(session, [account_id])[account_id]
                reference = f"order {number} {round_no}"
                hold_seq = flows.hold(book, moment_on(DAY), reference=reference, amount_millicredits=7)
                flows.capture(book, moment_on(DAY), hold_seq=hold_seq)
                posting.write_books(session, [book])

    at_once(committed, work)
    rounds = THREADS * ROUNDS
    with committed.app_context(), reading() as session:
        balances = read_balances(session, account_id, CALENDAR, moment_on(DAY).booked_at)
        assert balances.available_millicredits == 3 * rounds
        assert (balances.held_millicredits, balances.lifetime_reduction_mg) == (0, rounds)
        numbers = [entry.account_seq for entry in list_entries(session, account_id, limit=10_000)]
        assert len(set(numbers)) == 4 * rounds
        assert max(numbers) == 1 + 7 * rounds
        assert [finding for finding in check(session) if finding.differences] == []


def test_what_is_there_is_held_once(committed: Flask, account_ids: list[int]) -> None:
    account_id = account_ids[0]
    with committed.app_context(), transaction() as session:
        book = posting.open_books(session, [account_id])[account_id]
        award(book, 75)
        posting.write_books(session, [book])
    refused = []

    def work(number: int) -> None:
        try:
            with transaction() as session:
                book = posting.open_books(session, [account_id])[account_id]
                flows.hold(book, moment_on(DAY), reference=f"order {number}", amount_millicredits=10)
                posting.write_books(session, [book])
        except InsufficientCredits:
            refused.append(number)

    at_once(committed, work)
    assert len(refused) == THREADS - 7
    with committed.app_context(), reading() as session:
        balances = read_balances(session, account_id, CALENDAR, moment_on(DAY).booked_at)
        assert (balances.available_millicredits, balances.held_millicredits) == (5, 70)


def test_locks_in_any_order_do_not_meet(committed: Flask, account_ids: list[int]) -> None:
    def work(number: int) -> None:
        order = account_ids if number % 2 else account_ids[::-1]
        for _ in range(ROUNDS):
            with transaction() as session:
                books = posting.open_books(session, order)
                for book in books.values():
                    award(book, 1)
                posting.write_books(session, [books[account_id] for account_id in order])

    at_once(committed, work)
    with committed.app_context(), transaction() as session:
        books = posting.open_books(session, account_ids)
        assert {book.available(DAY) for book in books.values()} == {THREADS * ROUNDS}
        assert [finding for finding in check(session) if finding.differences] == []


def test_one_hold_is_captured_once(committed: Flask, account_ids: list[int]) -> None:
    account_id = account_ids[0]
    with committed.app_context(), transaction() as session:
        book = posting.open_books(session, [account_id])[account_id]
        award(book, 10)
        hold_seq = flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=10)
        posting.write_books(session, [book])
    captured = []

    def work(number: int) -> None:
        with transaction() as session:
            book = posting.open_books(session, [account_id])[account_id]
            loading.load_open_items(session, [book])
            if hold_seq in book.holds:
                flows.capture(book, moment_on(DAY), hold_seq=hold_seq)
                captured.append(number)
            posting.write_books(session, [book])

    at_once(committed, work)
    assert len(captured) == 1


def open_impatiently(account_id: int) -> None:
    with transaction() as session:
        session.execute(text("SET LOCAL lock_timeout = '50ms'"))
        posting.open_books(session, [account_id])


def test_a_lock_that_is_not_granted_in_time_is_busy(committed: Flask, account_ids: list[int]) -> None:
    lock = text("SELECT FROM account WHERE account_id = :id FOR UPDATE")
    with committed.app_context():
        with db.engine.connect() as other:
            other.execute(lock, {"id": account_ids[0]})
            with pytest.raises(Busy):
                open_impatiently(account_ids[0])
            open_impatiently(account_ids[1])
        open_impatiently(account_ids[0])
