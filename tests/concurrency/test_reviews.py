"""Reviews at once with what they hold: nothing under review is spent, lost, doubled, or ended twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.accounts.sweeping import mature_awards
from carbonpoints.behaviours.reviews import Reason, confirm_end, open_review, propose_end
from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import reading
from carbonpoints.core.errors import Conflict
from carbonpoints.core.ids import NumberedId, account_public_id
from carbonpoints.core.roles import Role
from carbonpoints.ledger.errors import InsufficientCredits
from tests.behaviours.undoing import RIDE_MG, spend
from tests.behaviours.world import NOW, World
from tests.concurrency.test_events import THREADS, at_once, count, world
from tests.concurrency.test_undoing import a_ride, balances, somebody, taking

__all__ = ["world"]

ROUNDS = 3
AVAILABLE, PENDING, REDUCTION = 1, 2, 5


def marking(caller: Caller, key: str, **about: str) -> Callable[[], str]:
    """A call that marks, and returns the review's id or why not."""

    def call() -> str:
        try:
            answer = open_review(
                caller=caller,
                account_id=about.get("account_id"),
                event_id=about.get("event_id"),
                source=None,
                id_=None,
                reason_code=Reason.OTHER,
                words="seen",
                key=key,
                answer=lambda review, _: {"id": str(NumberedId("rev", review.account_id, review.review_seq))},
            )
        except Conflict as refused:
            return refused.code
        return str(answer.body["id"])

    return call


def confirming(caller: Caller, review_id: str, key: str) -> Callable[[], str]:
    def call() -> str:
        try:
            answer = confirm_end(
                caller=caller, review_id=review_id, proposal_no=1, key=key, answer=lambda *_: {}
            )
        except Conflict as refused:
            return refused.code
        return "replayed" if answer.replay else "ended"

    return call


def a_ride_taken(world: World, event_id: str) -> str:
    (receipt,) = taking(world, a_ride(world, event_id))()
    return str(NumberedId("evt", receipt.account_id, receipt.account_seq))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_an_account_marked_while_events_are_decided_holds_exactly_what_comes_after(
    committed: Flask, world: World, number: int
) -> None:
    with committed.app_context():
        officer = somebody(Role.RISK, "opener")
    account = account_public_id(world.accounts["C1"])
    calls: list[Callable[[], Any]] = [
        taking(world, a_ride(world, f"E-{number}-{n}", data={"distance_km": "0.5"})) for n in range(6)
    ]
    calls.insert(2 + number, marking(officer, "mark-0001", account_id=account))
    answers = at_once(committed, calls)
    review_id = answers[2 + number]
    receipts = [each[0] for each in answers if isinstance(each, list)]
    with committed.app_context():
        seq = int(review_id.rsplit("_", 1)[1])
        for receipt in receipts:
            assert receipt.disposition.code == ("under_review" if receipt.account_seq > seq else "credited")
        held = sum(r.amount_millicredits for r in receipts if r.account_seq > seq)
        free = sum(r.amount_millicredits for r in receipts if r.account_seq < seq)
        found = balances()
        assert (found.get(AVAILABLE, 0), found.get(PENDING, 0), found[REDUCTION]) == (free, held, 6 * 13_450)
        propose_end(
            caller=somebody(Role.RISK, "maker"), review_id=review_id, outcome="forfeited", words="fraud"
        )
        confirming(somebody(Role.RISK, "checker"), review_id, "confirm-0001")()
        found = balances()
        assert (found.get(AVAILABLE, 0), found.get(PENDING, 0)) == (free, 0)
        assert (count("SELECT max(awards) FROM usage WHERE period = 'day'") or 0) == free // 13_450


def test_an_event_marked_many_times_at_once_is_under_one_review(committed: Flask, world: World) -> None:
    with committed.app_context():
        event_id = a_ride_taken(world, "E-1")
        officers = [somebody(Role.RISK, f"officer {n}") for n in range(THREADS)]
    found = Counter(
        at_once(
            committed, [marking(each, f"mark-{n:04}", event_id=event_id) for n, each in enumerate(officers)]
        )
    )
    assert found["review_open"] == THREADS - 1
    with committed.app_context():
        assert balances() == {PENDING: RIDE_MG, REDUCTION: RIDE_MG}
        assert count("SELECT count(*) FROM decision WHERE kind = 16") == 1


@pytest.mark.parametrize("number", range(ROUNDS))
def test_marked_and_spent_at_once_what_is_held_is_not_spent(
    committed: Flask, world: World, number: int
) -> None:
    with committed.app_context():
        event_id = a_ride_taken(world, f"E-{number}")
        officer = somebody(Role.RISK, "opener")

    def spending() -> str:
        try:
            spend(world, RIDE_MG // 10)
        except InsufficientCredits:
            return "refused"
        return "spent"

    calls: list[Callable[[], str]] = [spending] * 20
    calls.insert(3 * number, marking(officer, "mark-0001", event_id=event_id))
    found = Counter(at_once(committed, calls))
    spent = found["spent"] * (RIDE_MG // 10)
    assert spent <= RIDE_MG
    with committed.app_context():
        assert balances() == {
            kind: amount for kind, amount in {PENDING: RIDE_MG - spent, REDUCTION: RIDE_MG}.items() if amount
        }


@pytest.mark.parametrize("keys", [1, THREADS], ids=["one key", "a key each"])
@pytest.mark.parametrize("outcome", ["released", "forfeited"])
def test_confirmed_many_times_at_once_it_ends_once(
    committed: Flask, world: World, keys: int, outcome: str
) -> None:
    with committed.app_context():
        event_id = a_ride_taken(world, "E-1")
        review_id = marking(somebody(Role.RISK, "opener"), "mark-0001", event_id=event_id)()
        propose_end(caller=somebody(Role.RISK, "maker"), review_id=review_id, outcome=outcome, words="seen")
        checkers = [somebody(Role.RISK, f"checker {n % keys}") for n in range(THREADS)]
    calls = [confirming(each, review_id, f"key-{n % keys:04}") for n, each in enumerate(checkers)]
    found = Counter(at_once(committed, calls))
    assert found == {"ended": 1, "replayed" if keys == 1 else "review_ended": THREADS - 1}
    with committed.app_context():
        whole = {AVAILABLE: RIDE_MG, REDUCTION: RIDE_MG}
        assert balances() == (whole if outcome == "released" else {})
        assert count("SELECT count(*) FROM review_step WHERE step = 'confirmed'") == 1
        assert count("SELECT count(*) FROM decision WHERE kind = 10") == (0 if outcome == "released" else 1)


@pytest.mark.parametrize("outcome", ["released", "forfeited"])
@pytest.mark.parametrize("number", range(ROUNDS))
def test_confirmed_and_reversed_at_once_nothing_is_taken_twice(
    committed: Flask, world: World, number: int, outcome: str
) -> None:
    names = [f"E-{number}-{n}" for n in range(5)]
    with committed.app_context():
        opener, maker, checker = (somebody(Role.RISK, name) for name in ("opener", "maker", "checker"))
        calls: list[Callable[[], Any]] = []
        for name in names:
            event_id = a_ride_taken(world, name)
            review_id = marking(opener, f"mark-{name}", event_id=event_id)()
            propose_end(caller=maker, review_id=review_id, outcome=outcome, words="seen")
            back = world.reversal(name, behaviour="bus_trip", event_id=f"{name} back")
            pair = [confirming(checker, review_id, f"key-{name}"), taking(world, back)]
            calls += pair[:: 1 if number % 2 else -1]
    found = at_once(committed, calls)
    ends = Counter(each if isinstance(each, str) else each[0].disposition.code for each in found)
    assert ends["reversed"] == len(names)
    assert ends["ended"] + ends["review_ended"] == len(names)
    with committed.app_context():
        assert balances() == {}
        assert count("SELECT sum(awards) FROM usage") == 0
        assert count("SELECT count(*) FROM review WHERE ended_at IS NULL") == 0
        assert count("SELECT count(*) FROM review WHERE outcome = 'reversed'") == ends["review_ended"]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_marked_while_it_matures_it_is_held_either_way(committed: Flask, world: World, number: int) -> None:
    """A sale waits seven days; on the eighth it is marked, while the sweep lets it mature."""
    sale = {
        "platform": "p",
        "order_reference": f"O-{number}",
        "category": "phone",
        "completed": True,
        "buyer_hash": "b",
    }
    with committed.app_context():
        receipt = world.one("second_hand_sale", sale, event_id=f"S-{number}")
        event_id = str(NumberedId("evt", receipt.account_id, receipt.account_seq))
        officer = somebody(Role.RISK, "opener")

    def sweeping() -> str:
        mature_awards(world.programme_id, 0)
        return "swept"

    with clock_at(NOW + timedelta(days=8)):
        calls: list[Callable[[], str]] = [sweeping] * THREADS
        calls.insert(4 * number, marking(officer, "mark-0001", event_id=event_id))
        at_once(committed, calls)
        with committed.app_context():
            found = balances()
            assert (found.get(AVAILABLE, 0), found[PENDING]) == (0, receipt.amount_millicredits)
            sweeping()
            assert balances() == found


def test_corrected_while_it_is_confirmed_it_ends_as_somebody_decided(committed: Flask, world: World) -> None:
    with committed.app_context():
        event_id = a_ride_taken(world, "E-1")
        review_id = marking(somebody(Role.RISK, "opener"), "mark-0001", event_id=event_id)()
        propose_end(
            caller=somebody(Role.RISK, "maker"), review_id=review_id, outcome="forfeited", words="seen"
        )
        checker = somebody(Role.RISK, "checker")
    calls: list[Callable[[], Any]] = [
        taking(world, a_ride(world, "E-1", revision=n, data={"distance_km": f"0.{n}"})) for n in range(1, 9)
    ]
    calls.insert(3, confirming(checker, review_id, "key-0001"))
    found = at_once(committed, calls)
    assert "ended" in found
    with committed.app_context():
        assert balances() == {}
        with reading() as session:
            assert session.scalar(text("SELECT outcome FROM review")) == "forfeited"
