"""Events at once: decided once, caps held, acts claimed once, nobody waiting for another for ever."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.behaviours.services import take_events
from carbonpoints.behaviours.staged import StagedEvent
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.errors import Busy
from carbonpoints.ledger import flows
from carbonpoints.ledger.book import Moment
from carbonpoints.ledger.posting import open_books, write_books
from carbonpoints.ledger.reconcile import check
from tests.behaviours.world import NOW, SOURCES, World, payment

Result = TypeVar("Result")
THREADS, AT_ONCE, DAILY_CAP = 16, 48, 5


@pytest.fixture
def world(committed: Flask, make_world: Callable[[], World]) -> Iterator[World]:
    """A world whose commits are real; the ledger is proven when the test is over."""
    with clock_at(NOW):
        with committed.app_context():
            made = make_world()
        yield made
        with committed.app_context(), reading() as session:
            assert [finding.code for finding in check(session) if finding.differences] == []


def at_once(app: Flask, calls: list[Callable[[], Result]]) -> list[Result]:
    """Make the calls from sixteen threads that start together; a caller that is told to come again comes again."""
    gate = threading.Barrier(THREADS)

    def run(mine: list[Callable[[], Result]]) -> list[Result]:
        with app.app_context():
            gate.wait()
            return [_patiently(call) for call in mine]

    with ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(run, [calls[number::THREADS] for number in range(THREADS)]))
    return [result for part in parts for result in part]


def _patiently(call: Callable[[], Result]) -> Result:
    while True:
        try:
            return call()
        except Busy:
            continue


def taking(world: World, *events: StagedEvent) -> Callable[[], list[str]]:
    """A call that delivers events and says how each ended."""

    def call() -> list[str]:
        source = SOURCES[events[0].behaviour]
        taken = take_events(programme_id=world.programme_id, source_uri=source, events=events)
        return [receipt.disposition.code for receipt in taken.receipts]

    return call


def count(statement: str) -> Any:
    with reading() as session:
        return session.scalar(text(statement))


def ends(results: list[list[str]]) -> Counter[str]:
    return Counter(end for result in results for end in result)


def test_the_same_event_many_times_at_once_is_decided_once(committed: Flask, world: World) -> None:
    event = world.event("non_cash_payment", payment("T-1"), event_id="E-1")
    found = ends(at_once(committed, [taking(world, event)] * AT_ONCE))
    assert found == {"credited": 1, "duplicate": AT_ONCE - 1}
    with committed.app_context():
        assert count("SELECT count(*) FROM decision WHERE kind = 2") == 1
        assert count("SELECT sum(amount) FROM entry") == 1000
        assert count("SELECT count(*) FROM event_payload") == 1


def test_many_events_at_once_on_one_account_hold_its_daily_cap(committed: Flask, world: World) -> None:
    calls = [taking(world, world.event("non_cash_payment", payment(f"T-{n}"))) for n in range(AT_ONCE)]
    found = ends(at_once(committed, calls))
    assert found == {"credited": DAILY_CAP, "capped": AT_ONCE - DAILY_CAP}
    with committed.app_context():
        assert count("SELECT awards FROM usage WHERE period = 'day'") == DAILY_CAP
        assert count("SELECT sum(amount) FROM entry") == DAILY_CAP * 1000
        assert count("SELECT count(*) FROM decision WHERE kind = 2") == AT_ONCE


def test_one_act_reported_many_times_at_once_is_credited_once(committed: Flask, world: World) -> None:
    calls = [
        taking(world, world.event("non_cash_payment", payment("T-1"), customer=f"C{1 + number % 2}"))
        for number in range(AT_ONCE)
    ]
    found = ends(at_once(committed, calls))
    assert found == {"credited": 1, "claimed_elsewhere": AT_ONCE - 1}
    with committed.app_context():
        assert count("SELECT sum(amount) FROM entry") == 1000


def test_overlapping_rides_on_one_bicycle_are_credited_once(committed: Flask, world: World) -> None:
    def rides(number: int) -> list[StagedEvent]:
        """Two overlaps, in one order or the other."""
        spans = [("09:00", "09:30"), ("10:00", "10:30")]
        made = [
            world.event(
                "shared_bike_trip",
                {
                    "distance_km": "1",
                    "vehicle_hash": "one",
                    "trip_reference": f"R-{number}-{start}",
                    "started_at": f"2026-06-15T{start}:{number:02}+08:00",
                    "ended_at": f"2026-06-15T{end}:{number:02}+08:00",
                },
                at=NOW.replace(hour=int(start[:2]) - 8, minute=15),
            )
            for start, end in spans
        ]
        return made if number % 2 else made[::-1]

    calls = [taking(world, *rides(number)) for number in range(THREADS)]
    found = ends(at_once(committed, calls))
    assert found == {"credited": 2, "claimed_elsewhere": 2 * THREADS - 2}


def test_batches_that_meet_the_same_accounts_in_opposite_order_all_come_through(
    committed: Flask, world: World
) -> None:
    def batch(number: int) -> Callable[[], list[str]]:
        customers = ["C1", "C2", "C3", "nobody"][:: 1 if number % 2 else -1]
        return taking(
            world,
            *(
                world.event("non_cash_payment", payment(f"T-{number}-{name}"), customer=name)
                for name in customers
            ),
        )

    found = ends(at_once(committed, [batch(number) for number in range(THREADS)]))
    assert found == {
        "credited": 2 * DAILY_CAP,
        "capped": 2 * (THREADS - DAILY_CAP),
        "no_consent": THREADS,
        "unknown_account": THREADS,
    }


def test_nothing_is_credited_after_the_freeze(committed: Flask, world: World) -> None:
    account_id = world.accounts["C1"]

    def freeze() -> list[str]:
        with transaction() as session:
            moment = Moment.at(NOW, programme_settings(session, world.programme_id).calendar)
            book = open_books(session, [account_id])[account_id]
            flows.change_status(book, moment, status="frozen")
            write_books(session, [book])
        return []

    calls = [taking(world, world.event("non_cash_payment", payment(f"T-{n}"))) for n in range(AT_ONCE - 1)]
    found = ends(at_once(committed, [*calls[:8], freeze, *calls[8:]]))
    assert set(found) <= {"credited", "capped", "account_frozen"}
    assert sum(found.values()) == AT_ONCE - 1
    with committed.app_context():
        frozen_at = count("SELECT account_seq FROM decision WHERE kind = 4")
        assert count(f"SELECT count(*) FROM entry WHERE cause_seq > {frozen_at}") == 0
        assert (
            count(f"SELECT count(*) FROM decision WHERE kind = 2 AND account_seq > {frozen_at}")
            == (found["account_frozen"])
        )


def test_a_conflicting_twin_at_the_same_instant_is_never_credited_too(committed: Flask, world: World) -> None:
    twins = [
        world.event("non_cash_payment", payment("T-1", amount_minor=amount), event_id="E-1")
        for amount in (500, 600)
    ]
    found = ends(at_once(committed, [taking(world, twins[number % 2]) for number in range(AT_ONCE)]))
    assert found["credited"] == 1
    assert found["duplicate"] + found["conflict"] == AT_ONCE - 1
    assert found["conflict"] == AT_ONCE // 2
