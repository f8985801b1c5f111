"""Budgets drawn on at once: never exceeded, nothing refused while anything is left, nobody waiting in a circle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.accounts.bulk import DeclaredConsent, consent_in_bulk, open_accounts_in_bulk
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.behaviours.services import take_events
from carbonpoints.behaviours.staged import StagedEvent
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import reading, transaction
from carbonpoints.ledger.budgets import give_back
from carbonpoints.ledger.reconcile import check
from carbonpoints.ledger.slices import SLICES, Amount, Terms
from tests.behaviours.world import NOW, SOURCES, World, payment
from tests.ledger.budget_scenes import PRICE, changed, take, terms, used
from tests.ledger.scenes import DAY, make_programme
from tests.rules.budget_files import budget
from tests.rules.catalogue_files import read, ship, write

THREADS = 16
ROOT = Path(__file__).resolve().parents[2]


def side_by_side(app: Flask, calls: list[Callable[[], int]]) -> list[int]:
    """Make the calls from sixteen threads that start together, and return what each gave; nobody is sent away."""
    gate = threading.Barrier(THREADS)

    def run(mine: list[Callable[[], int]]) -> list[int]:
        with app.app_context():
            gate.wait()
            return [call() for call in mine]

    with ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(run, [calls[number::THREADS] for number in range(THREADS)]))
    return [parts[number % THREADS][number // THREADS] for number in range(len(calls))]


@pytest.fixture
def programme_id(committed: Flask) -> int:
    with committed.app_context(), transaction() as session:
        return make_programme(session)


def taking(held: Terms, millicredits: int, least: int | None = None) -> Callable[[], int]:
    def call() -> int:
        with transaction() as session:
            return take(session, held, millicredits, least)

    return call


def drawn(app: Flask) -> Amount:
    with app.app_context(), reading() as session:
        return used(session)


# Drawing alone


def test_all_is_granted_where_the_budget_just_suffices(committed: Flask, programme_id: int) -> None:
    held = terms(programme_id, 480 * 10)
    assert side_by_side(committed, [taking(held, 10)] * 480) == [10] * 480
    assert side_by_side(committed, [taking(held, 1)] * THREADS) == [0] * THREADS
    assert drawn(committed) == Amount(4_800, 4_800 * PRICE)


def test_pieces_of_every_size_take_all_there_is_and_no_more(committed: Flask, programme_id: int) -> None:
    sizes = [1 + number * 7919 % 97 for number in range(480)]
    held = terms(programme_id, sum(sizes) - 500)
    granted = side_by_side(committed, [taking(held, size, least=1) for size in sizes])
    assert all(given <= size for given, size in zip(granted, sizes, strict=True))
    assert sum(granted) == sum(sizes) - 500
    assert drawn(committed).millicredits == sum(granted)


def test_two_budgets_in_two_measures_hold_together(committed: Flask, programme_id: int) -> None:
    """Everybody needs both, and both run out: nobody waits for somebody who waits for him."""
    month = terms(programme_id, 3_000, code="a_month")
    year = terms(programme_id, None, fen=1, code="b_year")
    year = replace(year, millifen_per_credit=500)

    def both() -> int:
        with transaction() as session:
            got = [take(session, held, 10, least=1) for held in (month, year)]
            return sum(got)

    granted = side_by_side(committed, [both] * 480)
    assert sum(granted) == 3_000 + 2_000


def test_what_comes_back_meanwhile_is_given_out_again(committed: Flask, programme_id: int) -> None:
    held = terms(programme_id, 1_000)
    with committed.app_context():
        assert taking(held, 1_000)() == 1_000

    def back() -> int:
        with transaction() as session:
            give_back(
                session, programme_id=programme_id, business_date=DAY, amounts={held.code: held.cost(10)}
            )
        return -10

    mixed = [back if number * 7919 % 97 % 2 else taking(held, 10) for number in range(192)]
    moved = side_by_side(committed, mixed)
    rest = 1_000 + sum(moved)
    assert drawn(committed).millicredits == rest
    with committed.app_context():
        assert taking(held, 2_000, least=1)() == 1_000 - rest, (
            "all that came back and was not given out again"
        )


def test_a_lower_limit_holds_from_the_first_who_knows_of_it(committed: Flask, programme_id: int) -> None:
    held = terms(programme_id, 4_800)
    lower = changed(held, 1_000)
    given_before: list[int] = []

    def lowering() -> int:
        with transaction() as session:
            granted = take(session, lower, 10)
            given_before.append(used(session).millicredits - granted)
            return granted

    calls = [taking(held, 10)] * 480
    calls[160] = lowering
    granted = side_by_side(committed, calls)
    total = drawn(committed).millicredits
    assert total == sum(granted)
    assert total == max(1_000, given_before[0]), "all up to the limit, and nothing beyond"


# Waiting for each other


@contextmanager
def holding(app: Flask, held: Terms, millicredits: int, *, commits: bool) -> Iterator[threading.Event]:
    """Have a transaction that drew and then stays open until it is told to end."""
    holds, ends = threading.Event(), threading.Event()

    def hold() -> None:
        with app.app_context(), transaction() as session:
            assert take(session, held, millicredits) == millicredits
            holds.set()
            ends.wait()
            if not commits:
                session.rollback()

    with ThreadPoolExecutor(1) as pool:
        held_open = pool.submit(hold)
        try:
            holds.wait()
            yield ends
        finally:
            ends.set()
            held_open.result()


def somebody_waits(app: Flask) -> bool:
    with app.app_context(), reading() as session:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(session.scalar(text(waiting)))


@pytest.mark.parametrize(("commits", "rest"), [(True, 90), (False, 190)])
def test_others_wait_for_a_slow_one_only_for_what_he_holds(
    committed: Flask, programme_id: int, *, commits: bool, rest: int
) -> None:
    held = terms(programme_id, SLICES * 100)
    with committed.app_context():
        assert taking(held, 10)() == 10

    def last() -> int:
        with committed.app_context():
            return taking(held, 500, least=1)()

    with ThreadPoolExecutor(1) as pool, holding(committed, held, 100, commits=commits) as ends:
        with committed.app_context():
            assert [taking(held, 100)() for _ in range(SLICES - 2)] == [100] * (SLICES - 2), "without waiting"
        waits = pool.submit(last)
        while not waits.done() and not somebody_waits(committed):
            time.sleep(0.01)
        assert not waits.done(), "while he holds some, nobody can say that nothing is left"
        ends.set()
        assert waits.result() == rest
    assert drawn(committed).millicredits == SLICES * 100


def test_whoever_dies_between_draw_and_commit_has_drawn_nothing(
    committed: Flask, environment: dict[str, str], programme_id: int
) -> None:
    held = terms(programme_id, 1_000)
    with committed.app_context():
        assert taking(held, 400)() == 400
    dying = f"""
import os, signal
from carbonpoints.app import create_app
from carbonpoints.core.db import transaction
from tests.ledger.budget_scenes import take, terms
with create_app().app_context(), transaction() as session:
    assert take(session, terms({programme_id}, 1_000), 600) == 600
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run(environment, dying).wait() == -signal.SIGKILL
    assert drawn(committed) == held.cost(400)
    with committed.app_context():
        assert taking(held, 600)() == 600


def run(environment: dict[str, str], program: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, env={**os.environ, **environment}, cwd=ROOT)


# Whole deliveries


CUSTOMERS = [f"N{number:02}" for number in range(64)]


@pytest.fixture
def world(committed: Flask, make_world: Callable[[], World]) -> Iterator[World]:
    """A world with many customers whose commits are real; the ledger is proven when the test is over."""
    with clock_at(NOW):
        with committed.app_context():
            made = make_world()
            with transaction() as session:
                settings = programme_settings(session, made.programme_id)
                holders = [NewHolder({Scheme.CUSTOMER_REF: name}) for name in CUSTOMERS]
                ids = open_accounts_in_bulk(session, settings, holders)
                given = NOW - timedelta(days=100)
                consents = [DeclaredConsent(account_id, "payments", given, "branch") for account_id in ids]
                consent_in_bulk(session, settings, consents)
        yield made
        with committed.app_context(), reading() as session:
            assert [finding for finding in check(session) if finding.differences] == []


def put_in_force(app: Flask, world: World, folder: Path, **files: str) -> None:
    with app.app_context():
        ship(world.programme_id, read(write(folder, **files)))


def deliver(world: World, *events: StagedEvent) -> Counter[str]:
    source = SOURCES["non_cash_payment"]
    taken = take_events(programme_id=world.programme_id, source_uri=source, events=events)
    return Counter(receipt.disposition.code for receipt in taken.receipts)


def issued(app: Flask) -> int:
    with app.app_context(), reading() as session:
        return int(session.scalar(text("SELECT coalesce(sum(amount), 0) FROM entry")) or 0)


@pytest.mark.parametrize(("limit", "credited"), [(64_000, 64), (40_500, 40)])
def test_deliveries_at_once_give_out_what_the_budget_has(
    committed: Flask, world: World, tmp_path: Path, limit: int, credited: int
) -> None:
    files = {"one": budget("b_year", "year", millicredits=limit), "two": budget("a_month", fen=6_400)}
    put_in_force(committed, world, tmp_path, **files)
    ends: Counter[str] = Counter()
    lock = threading.Lock()

    def delivering(customer: str) -> Callable[[], int]:
        event = world.event("non_cash_payment", payment(f"of {customer}"), customer=customer)

        def call() -> int:
            found = deliver(world, event)
            with lock:
                ends.update(found)
            return found["credited"]

        return call

    assert sum(side_by_side(committed, [delivering(name) for name in CUSTOMERS])) == credited
    assert ends["budget_exhausted"] == len(CUSTOMERS) - credited
    assert issued(committed) == credited * 1_000


def test_batches_that_share_accounts_and_budgets_all_come_through(
    committed: Flask, world: World, tmp_path: Path
) -> None:
    """More is sent than either budget has, in opposite orders."""
    files = {
        "one": budget("b_year", "year", millicredits=100_500),
        "two": budget("a_month", millicredits=90_500),
    }
    put_in_force(committed, world, tmp_path, **files)

    def batch(number: int) -> Callable[[], int]:
        names = CUSTOMERS[number : number + 16][:: 1 if number % 2 else -1]
        events = [
            world.event("non_cash_payment", payment(f"{number} of {name}"), customer=name) for name in names
        ]
        return lambda: deliver(world, *events)["credited"]

    credited = side_by_side(committed, [batch(number) for number in range(THREADS)])
    assert (sum(credited), issued(committed)) == (90, 90_000)


PROCESSES = 4
WORK = """
import sys
from carbonpoints.app import create_app
from carbonpoints.core.clock import set_clock
from tests.behaviours.world import NOW, World, payment
set_clock(NOW)
number, programme_id = int(sys.argv[1]), int(sys.argv[2])
world = World(programme_id, {}, sent=number * 1000)
credited = 0
with create_app().app_context():
    for start in range(0, 64, 8):
        names = [f"N{n:02}" for n in range(64)][start:start + 8]
        events = [
            world.event("non_cash_payment", payment(f"{number} of {name}"), customer=name) for name in names
        ]
        taken = world.take(*events)
        credited += sum(receipt.disposition.code == "credited" for receipt in taken.receipts)
sys.exit(credited)
"""
"""Sends a payment of each customer, eight in a delivery, and ends with the number that was credited."""


def test_four_processes_give_out_what_the_budget_has(
    committed: Flask, environment: dict[str, str], world: World, tmp_path: Path
) -> None:
    put_in_force(committed, world, tmp_path, one=budget(millicredits=100_500))
    workers = [run(environment, WORK, str(number), str(world.programme_id)) for number in range(PROCESSES)]
    assert sum(worker.wait() for worker in workers) == 100
    assert issued(committed) == 100_000
