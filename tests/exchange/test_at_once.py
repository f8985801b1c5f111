"""An act and its mark at the same instant: the act sees the mark, or the import names the act."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.behaviours.services import Placed, decide_events, place_events, take_events
from carbonpoints.behaviours.staged import StagedEvent
from carbonpoints.core import audit
from carbonpoints.core.db import db, reading, transaction
from carbonpoints.rules.catalogue import load_catalogue
from tests.behaviours.world import NOW, SOURCES
from tests.exchange.world import SHENZHEN, Exchange, mark, marks_file, ticket

Result = TypeVar("Result")
DAYS, ACTS = 8, 4


def place(exchange: Exchange, reference: str) -> Placed:
    """The first step of an act alone, committed."""
    event = exchange.world.event("bus_trip", ticket(reference))
    with transaction() as session:
        catalogue = load_catalogue(session, exchange.world.programme_id)
        programme = programme_settings(session, exchange.world.programme_id)
        return place_events(session, programme, catalogue, source_uri=SOURCES["bus_trip"], events=[event])


def elsewhere(app: Flask, call: Callable[[], Any]) -> Any:
    """Run a call on a connection of its own and return what it returns."""
    found = []

    def run() -> None:
        with app.app_context():
            found.append(call())
            db.session.remove()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def test_an_act_that_was_claimed_before_the_marks_came_sees_them_when_it_is_decided(
    committed_exchange: Exchange,
) -> None:
    placed = place(committed_exchange, "T-1")
    imported = committed_exchange.take_over(mark("T-1"))
    assert (imported["conflicts"], imported["undecided"]) == (0, 1)
    (receipt,) = decide_events(placed).receipts
    assert receipt.disposition.code == "claimed_elsewhere"
    found = committed_exchange.conflicts(imported)
    assert (found["total"], found["undecided"]) == (0, 0)


def test_an_act_that_is_decided_while_marks_come_in_is_named_by_their_import(
    committed: Flask, committed_exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    record = audit.record

    def deliver_first(*arguments: Any, **options: Any) -> None:
        """All marks are written and not committed."""
        if options["action"] == "exchange.import":
            receipt = elsewhere(committed, lambda: committed_exchange.bus("T-1"))
            ends.append(receipt.disposition.code)
        record(*arguments, **options)

    monkeypatch.setattr(audit, "record", deliver_first)
    imported = committed_exchange.take_over(mark("T-1"))
    assert ends == ["credited"]
    assert (imported["conflicts"], imported["undecided"]) == (1, 0)


def at_once(app: Flask, calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Make the calls from a thread each, all at the same instant."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Result]) -> Result:
        with app.app_context():
            gate.wait()
            try:
                return call()
            finally:
                db.session.remove()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def delivering(exchange: Exchange, event: StagedEvent) -> Callable[[], str]:
    """A call that delivers one event and says how it ended."""

    def call() -> str:
        programme_id = exchange.world.programme_id
        taken = take_events(programme_id=programme_id, source_uri=SOURCES["bus_trip"], events=[event])
        return taken.receipts[0].disposition.code

    return call


def test_whatever_the_order_nothing_is_credited_twice_unnoticed(
    committed: Flask, committed_exchange: Exchange
) -> None:
    seen: Counter[str] = Counter()
    for day in range(DAYS):
        references = [f"T-{day}-{act}" for act in range(ACTS)]
        at = NOW - timedelta(days=day)
        events = [
            committed_exchange.world.event("bus_trip", ticket(reference), at=at) for reference in references
        ]
        file = marks_file(*(mark(reference) for reference in references))

        def send(file: bytes = file) -> str:
            return str(committed_exchange.send(file).status_code)

        calls = [send, *(delivering(committed_exchange, event) for event in events)]
        status, *ends = at_once(committed, calls)
        assert status == "201"
        again = committed_exchange.send(file).json
        assert again is not None
        assert set(ends) <= {"credited", "claimed_elsewhere"}
        assert (again["conflicts"], again["undecided"]) == (ends.count("credited"), 0)
        seen.update(ends)
    assert sum(seen.values()) == DAYS * ACTS


def test_the_same_file_many_times_at_once_is_one_import(
    committed: Flask, committed_exchange: Exchange
) -> None:
    file = marks_file(*(mark(f"T-{number}") for number in range(50)))
    statuses = at_once(committed, [lambda: committed_exchange.send(file).status_code] * 6)
    assert Counter(statuses) == {201: 1, 200: 5}
    with committed.app_context(), reading() as session:
        assert session.scalar(text("SELECT count(*) FROM identity_exchange_mark")) == 50
        assert session.scalar(text("SELECT count(*) FROM exchange_import")) == 1


def test_an_export_is_approved_and_taken_once_by_many_at_once(
    committed: Flask, committed_exchange: Exchange
) -> None:
    committed_exchange.bus("T-1")
    asked = committed_exchange.request().json
    assert asked is not None
    export_id = asked["export_id"]

    def approving(person: str) -> Callable[[], int]:
        return lambda: committed_exchange.approve(export_id, person).status_code

    def taking(person: str) -> Callable[[], int]:
        return lambda: committed_exchange.file(export_id, person).status_code

    for step in (approving, taking):
        statuses = at_once(committed, [step(f"person {number}") for number in range(6)])
        assert Counter(statuses) == {200: 1, 409: 5}


def test_a_consent_that_is_withdrawn_before_the_decision_stops_the_comparison(
    committed_exchange: Exchange,
) -> None:
    placed = place(committed_exchange, "T-1")
    imported = committed_exchange.take_over(mark("T-1"))
    committed_exchange.withdraw(SHENZHEN.consent_source)
    (receipt,) = decide_events(placed).receipts
    assert receipt.disposition.code == "credited"
    found = committed_exchange.conflicts(imported)
    assert (found["total"], found["undecided"]) == (0, 0)
