"""What a customer is told of acts for which a budget or a cap has nothing left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carbonpoints.behaviours.prospects import CapLeft, prospect_of
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from tests.architecture.test_access import fingerprint
from tests.behaviours.api import Api, body, ends, event, ride
from tests.behaviours.test_campaigns import ship_terms
from tests.behaviours.world import NOW, World, payment, shipped
from tests.rules.budget_files import budget
from tests.rules.catalogue_files import read, ship, write

RIDE_MILLICREDITS = 134_500
PAYMENT_MILLICREDITS = 1_000
USED_UP = {
    "code": "everything",
    "name_en": "All credits",
    "name_zh": "全部积分",
    "ends_on": "2026-06-30",
}
Put = Callable[..., None]


@pytest.fixture
def api(world: World, client: FlaskClient, settings: Settings) -> Api:
    return Api(client, settings)


@pytest.fixture
def put(world: World, tmp_path: Path) -> Put:
    """Put budgets in force."""

    def in_force(**files: str) -> None:
        ship(world.programme_id, read(write(tmp_path / "budgets", **files)))

    return in_force


def tasks(api: Api, subject: str = "C1") -> dict[str, dict[str, Any]]:
    answer = body(replace(api, role=Role.CUSTOMER, subject=subject).get("/tasks"))
    return {task["behaviour"]: task for task in answer["tasks"]}


def prospect(task: dict[str, Any]) -> tuple[bool, bool, str | None, dict[str, Any] | None]:
    return task["earns_credits"], task["earns_reduction"], task["used_up_cap"], task["used_up_budget"]


def test_nothing_is_said_while_there_is_something_left(api: Api, put: Put) -> None:
    without = tasks(api)
    assert {task["sentence"] for task in without.values() if task["used_up_budget"] is None} == {None}
    for rule in shipped().rules:
        posts = rule.purpose == "reduction"
        assert prospect(without[rule.behaviour]) == (True, posts, None, None)
    put(one=budget(millicredits=10**9), two=budget("in_money", "year", fen=10**6))
    assert tasks(api) == without


def test_a_budget_that_is_used_up_is_said_to_every_customer(api: Api, put: Put, session: Session) -> None:
    put(one=budget(millicredits=RIDE_MILLICREDITS))
    assert prospect(tasks(api)["bus_trip"]) == (True, True, None, None)
    assert ends([api.send(ride("E-1"))]) == ["credited"]
    before = fingerprint(session)
    found = tasks(api, "C2")
    assert fingerprint(session) == before
    assert prospect(found["bus_trip"]) == (False, True, None, USED_UP)
    assert found["bus_trip"]["sentence"] == {
        "en": "An act of today earns no credits: the budget “All credits” is used up until 2026-06-30; its "
        "estimated reduction counts all the same.",
        "zh": "今日的行为不能获得积分:预算“全部积分”已用完,截至 2026-06-30;估算减排量照常计入。",
    }
    assert prospect(found["non_cash_payment"]) == (False, False, None, USED_UP)
    assert found["non_cash_payment"]["sentence"] == {
        "en": "An act of today earns nothing: the budget “All credits” is used up until 2026-06-30.",
        "zh": "今日的行为不能获得积分:预算“全部积分”已用完,截至 2026-06-30。",
    }
    assert ends(api.deliver(event("E-2"), ride("E-3"))) == ["budget_exhausted"] * 2
    with clock_at(NOW + timedelta(days=16)):
        assert prospect(tasks(api)["bus_trip"]) == (True, True, None, None)


def test_a_budget_in_money_counts_what_a_credit_costs(api: Api, put: Put) -> None:
    """A credit costs a tenth of a fen: a payment's credit is covered by one fen ten times."""
    put(one=budget(fen=1))
    assert prospect(tasks(api)["non_cash_payment"]) == (True, False, None, None)
    for number in range(10):
        paid = payment(f"T-{number}", payee_hash=f"{number:064x}")
        api.send(event(f"E-{number}", subject=f"CUSTOMER_REF:C{1 + number % 2}", data=paid))
    with clock_at(NOW + timedelta(days=1)):
        assert prospect(tasks(api)["non_cash_payment"]) == (False, False, None, USED_UP)


def test_what_a_budget_has_left_may_cover_one_behaviour_and_not_another(api: Api, put: Put) -> None:
    put(one=budget(millicredits=PAYMENT_MILLICREDITS - 1))
    found = tasks(api)
    assert prospect(found["non_cash_payment"]) == (False, False, None, USED_UP)
    # How little a ride may give is not known before it is made.
    assert prospect(found["bus_trip"]) == (True, True, None, None)
    assert ends([api.send(event("E-1"))]) == ["budget_exhausted"]


def test_a_cap_that_is_used_up_is_said_as_well(api: Api, put: Put) -> None:
    api.deliver(*(ride(f"E-{number}", distance_km="60") for number in range(2)))
    task = tasks(api)["bus_trip"]
    assert prospect(task) == (False, False, "bus_trip_day", None)
    assert task["sentence"] == {
        "en": "An act of today earns nothing: the cap bus_trip_day is used up.",
        "zh": "今日的行为不能获得积分:上限 bus_trip_day 已用完。",
    }
    put(one=budget(millicredits=1))
    assert prospect(tasks(api)["bus_trip"]) == (False, False, "bus_trip_day", None)


def test_a_campaigns_budget_stops_its_bonus_alone(api: Api, world: World, tmp_path: Path, put: Put) -> None:
    ship_terms(world, tmp_path)
    put(one=budget(campaign="new_riders", millicredits=15_000))
    assert tasks(api)["bus_trip"]["campaigns"][0]["budget"] is None
    boosted = api.send(ride("E-1"))
    task = tasks(api, "C2")["bus_trip"]
    assert task["campaigns"][0]["budget"] == USED_UP
    assert (prospect(task), task["sentence"]) == ((True, True, None, None), None)
    other = api.send(ride("E-2") | {"subject": "CUSTOMER_REF:C2"})
    assert other["amount_millicredits"] == boosted["amount_millicredits"] - 10_000
    # The campaign's own cap leaves the first customer no more than its budget has.
    assert tasks(api)["bus_trip"]["campaigns"][0]["budget"] is None
    assert api.send(ride("E-3"))["amount_millicredits"] == boosted["amount_millicredits"] - 5_000


def test_a_bonus_needs_the_budget_of_all_credits_too(
    api: Api, world: World, tmp_path: Path, put: Put
) -> None:
    ship_terms(world, tmp_path)
    put(one=budget(millicredits=9_999))
    task = tasks(api)["bus_trip"]
    assert (prospect(task)[0], task["campaigns"][0]["budget"]) == (True, USED_UP)


CASES = [
    # count, mg and credits left; grant and rate; then credits, reduction, cap
    ((None, None, None), (1_000, 1), (True, True, None)),
    ((0, None, None), (1_000, 1), (False, False, "cap")),
    ((None, 0, None), (1_000, 1), (True, False, "cap")),
    ((None, 0, None), (0, 1), (False, False, "cap")),
    ((None, None, 0), (1_000, 1), (False, True, "cap")),
    ((1, 1, 1), (1_000, 1), (True, True, None)),
    ((None, None, None), (0, 0), (False, True, None)),
    ((None, None, 0), (0, 0), (False, True, None)),
    ((0, None, None), (0, 0), (False, False, "cap")),
]


@pytest.mark.parametrize(("left", "gives", "expected"), CASES)
def test_what_caps_leave(
    left: tuple[int | None, ...], gives: tuple[int, int], expected: tuple[bool, bool, str | None]
) -> None:
    rule = next(rule for rule in shipped().rules if rule.code == "bus_trip")
    credits_ = replace(rule.credits, grant_millicredits=gives[0], millicredits_per_mg=Decimal(gives[1]))
    cap = CapLeft("cap", "day", left[0], left[0], left[1], left[1], left[2], left[2])
    found = prospect_of(replace(rule, credits=credits_), [cap], [])
    assert (found.earns_credits, found.earns_reduction, found.cap) == expected
    assert (found.sentence is None) is (expected[2] is None)
