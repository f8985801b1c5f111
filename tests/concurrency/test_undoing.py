"""Reversals, corrections, appeals and adjustments at once: nothing is credited twice, lost, or granted twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.behaviours.appeals import confirm_adjustment, file_appeal, resolve_appeal
from carbonpoints.behaviours.services import take_events
from carbonpoints.behaviours.staged import StagedEvent
from carbonpoints.behaviours.work import Receipt
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading
from carbonpoints.core.errors import Conflict
from carbonpoints.core.ids import NumberedId
from carbonpoints.core.roles import ROLE_SCOPES, Role
from tests.behaviours.undoing import RIDE, RIDE_MG
from tests.behaviours.world import SOURCES, World
from tests.concurrency.test_events import THREADS, at_once, count, world

__all__ = ["world"]

TRANSIT = SOURCES["bus_trip"]
ROUNDS = 3


def taking(world: World, *events: StagedEvent) -> Callable[[], list[Receipt]]:
    def call() -> list[Receipt]:
        taken = take_events(programme_id=world.programme_id, source_uri=TRANSIT, events=events)
        return list(taken.receipts)

    return call


def a_ride(world: World, event_id: str, **options: Any) -> StagedEvent:
    data = {**RIDE, "ticket_reference": f"of {event_id}", **options.pop("data", {})}
    return world.event("bus_trip", data, event_id=event_id, **options)


def balances() -> dict[int, int]:
    """What there is by kind."""
    with reading() as session:
        found = session.execute(text("SELECT kind, sum(amount) FROM balance WHERE amount > 0 GROUP BY kind"))
        return {row[0]: int(row[1]) for row in found}


@pytest.mark.parametrize("number", range(ROUNDS))
def test_an_event_and_its_reversal_at_once_leave_nothing(committed: Flask, world: World, number: int) -> None:
    calls = []
    for pair in range(24):
        name = f"E-{number}-{pair}"
        customer = f"C{1 + pair % 2}"
        event = a_ride(world, name, customer=customer)
        back = world.reversal(name, behaviour="bus_trip", event_id=f"{name} back", customer=customer)
        calls += [taking(world, event), taking(world, back)][:: 1 if pair % 3 else -1]
    found = at_once(committed, calls)
    ends = Counter(receipt.disposition.code for receipts in found for receipt in receipts)
    assert ends.keys() <= {"credited", "capped", "reversed", "awaiting_original", "partly_credited"}
    with committed.app_context():
        assert balances() == {}
        assert count("SELECT sum(awards) FROM usage") in {None, 0}
        at_once(committed, calls)
        assert balances() == {}


def test_corrections_at_once_leave_the_highest_and_nothing_else(committed: Flask, world: World) -> None:
    with committed.app_context():
        taking(world, a_ride(world, "E-1"))()
    calls = [
        taking(world, a_ride(world, "E-1", revision=revision, data={"distance_km": f"0.{revision}"}))
        for revision in range(1, 10)
        for _ in range(3)
    ]
    found = at_once(committed, calls)
    ends = Counter(receipt.disposition.code for receipts in found for receipt in receipts)
    assert ends.keys() <= {"credited", "duplicate", "stale"}
    with committed.app_context():
        assert balances() == {1: 9 * 2_690, 5: 9 * 2_690}
        assert count("SELECT sum(awards) FROM usage WHERE period = 'day'") == 1
        assert count("SELECT max(revision) FROM decision") == 9
        assert count("SELECT count(*) FROM decision WHERE kind = 2") == ends["credited"] + 1


def test_reversals_and_corrections_of_one_event_at_once(committed: Flask, world: World) -> None:
    with committed.app_context():
        taking(world, a_ride(world, "E-1"))()
    calls = [taking(world, a_ride(world, "E-1", revision=n, data={"distance_km": "1"})) for n in range(1, 9)]
    calls += [taking(world, world.reversal("E-1", behaviour="bus_trip", event_id=f"R-{n}")) for n in range(8)]
    found = at_once(committed, calls)
    receipts = [receipt for each in found for receipt in each]
    assert Counter(r.disposition.code for r in receipts)["claimed_elsewhere"] == 7
    with committed.app_context():
        assert balances() == {}
        assert count("SELECT count(*) FROM decision WHERE kind = 10 AND event_hash IS NOT NULL") == 1


def somebody(role: Role, subject: str) -> Caller:
    with reading() as session:
        bank_id = session.scalar(text("SELECT bank_id FROM bank"))
    return Caller(
        bank_id=bank_id or 0,
        issuer="https://bank.example/gansu",
        subject=subject,
        role=role,
        scopes=ROLE_SCOPES[role],
        person=subject,
        programme=None,
        sources=(),
    )


@pytest.fixture
def appealing(committed: Flask, world: World) -> Callable[[], str]:
    """File the first customer's appeal about a ride; returns its id."""
    with committed.app_context():
        (receipt,) = taking(world, a_ride(world, "E-1"))()
        customer = somebody(Role.CUSTOMER, "C1")
    event_id = str(NumberedId("evt", receipt.account_id, receipt.account_seq))

    def call() -> str:
        try:
            filed = file_appeal(
                caller=customer, event_id=event_id, source=None, id_=None, words="why?", attachments=()
            )
        except Conflict as refused:
            return refused.code
        return str(NumberedId("apl", filed.account_id, filed.appeal_no))

    return call


def test_an_appeal_filed_many_times_at_once_is_one(committed: Flask, appealing: Callable[[], str]) -> None:
    found = Counter(at_once(committed, [appealing] * THREADS))
    assert found["appeal_exists"] == THREADS - 1
    with committed.app_context():
        assert count("SELECT count(*) FROM appeal") == 1


@pytest.mark.parametrize("keys", [1, THREADS], ids=["one key", "a key each"])
def test_an_adjustment_confirmed_many_times_at_once_is_granted_once(
    committed: Flask, appealing: Callable[[], str], keys: int
) -> None:
    with committed.app_context():
        appeal_id = appealing()
        resolve_appeal(
            caller=somebody(Role.OPERATIONS, "maker"),
            appeal_id=appeal_id,
            outcome="adjusted",
            reason="late",
            amount_millicredits=700,
            reduction_mg=0,
        )
        checker = somebody(Role.OPERATIONS, "checker")

    def confirming(number: int) -> Callable[[], str]:
        def call() -> str:
            try:
                answer = confirm_adjustment(
                    caller=checker,
                    appeal_id=appeal_id,
                    proposal_no=1,
                    key=f"key-{number % keys:04}",
                    answer=lambda appeal: {"adjustment_seq": appeal.adjustment_seq},
                )
            except Conflict as refused:
                return refused.code
            return "replayed" if answer.replay else "granted"

        return call

    found = Counter(at_once(committed, [confirming(number) for number in range(THREADS)]))
    assert found == {"granted": 1, "replayed" if keys == 1 else "appeal_resolved": THREADS - 1}
    with committed.app_context():
        assert balances() == {1: RIDE_MG + 700, 5: RIDE_MG}
        assert count("SELECT count(*) FROM decision WHERE kind = 15") == 1
