"""What each behaviour is worth to a customer today, and what is left of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.ids import account_public_id
from carbonpoints.core.roles import Role
from tests.behaviours.api import Api, body, ends, event, refusal, ride
from tests.behaviours.world import NOW, World, shipped


@pytest.fixture
def api(world: World, client: FlaskClient, settings: Settings) -> Api:
    return Api(client, settings)


def tasks(api: Api, subject: str = "C1") -> dict[str, dict[str, Any]]:
    answer = body(replace(api, role=Role.CUSTOMER, subject=subject).get("/tasks"))
    return {task["behaviour"]: task for task in answer["tasks"]}


def left(task: dict[str, Any]) -> dict[str, tuple[int | None, int | None, int | None]]:
    return {
        cap["code"]: (cap["count_left"], cap["mg_left"], cap["millicredits_left"]) for cap in task["caps"]
    }


def test_every_shipped_behaviour_is_offered_with_its_rule(api: Api) -> None:
    found = tasks(api)
    assert list(found) == sorted(rule.behaviour for rule in shipped().rules)
    for rule in shipped().rules:
        task = found[rule.behaviour]
        assert (task["title_en"], task["title_zh"]) == (rule.title_en, rule.title_zh)
        assert task["grant_millicredits"] == rule.credits.grant_millicredits
        assert task["posts_reduction"] is (rule.purpose == "reduction")
        assert (task["expiry_months"], task["pending_days"]) == (rule.expiry_months, rule.pending_days)
        assert left(task) == {cap.code: (cap.count, cap.mg, cap.millicredits) for cap in rule.caps}


def test_awards_use_up_the_caps_of_the_running_periods(api: Api) -> None:
    api.send(ride("E-1", distance_km="1") | {"time": (NOW - timedelta(days=1)).isoformat()})
    api.send(ride("E-2", distance_km="2"))
    api.send(event("E-3"))
    found = tasks(api)
    assert left(found["bus_trip"]) == {
        "bus_trip_day": (5, 2_000_000 - 53_800, None),
        "bus_trip_month": (None, 20_000_000 - 80_700, None),
        "bus_trip_year": (None, 150_000_000 - 80_700, None),
    }
    assert left(found["non_cash_payment"])["non_cash_payment_day"] == (4, None, None)
    with clock_at(NOW + timedelta(hours=12)):
        assert left(tasks(api)["bus_trip"])["bus_trip_day"] == (6, 2_000_000, None)
    assert left(tasks(api, "C2")["bus_trip"])["bus_trip_day"] == (6, 2_000_000, None)


def test_what_the_cap_has_left_is_what_is_still_awarded(api: Api) -> None:
    api.deliver(*(ride(f"E-{number}", distance_km="60") for number in range(2)))
    assert left(tasks(api)["bus_trip"])["bus_trip_day"] == (4, 0, None)
    assert ends([api.send(ride("E-9"))]) == ["capped"]
    assert left(tasks(api)["bus_trip"])["bus_trip_day"] == (4, 0, None)


def test_consent_is_asked_for_source_by_source(api: Api, world: World) -> None:
    def needed(subject: str) -> set[str]:
        return {task["consent_source"] for task in tasks(api, subject).values() if task["consent_needed"]}

    sources = {behaviour.consent_source for behaviour in shipped().behaviours}
    assert (needed("C1"), needed("C3")) == (set(), sources)
    path = f"/accounts/{account_public_id(world.accounts['C1'])}/consents/trips/withdrawal"
    body(replace(api, role=Role.CUSTOMER, subject="C1").call("POST", path, json={"channel": "app"}))
    assert needed("C1") == {"trips"}


def test_what_no_rule_decides_today_is_not_offered(api: Api, session: Session) -> None:
    later = {"now": NOW + timedelta(hours=1)}
    for kind, code in (("rule", "bus_trip"), ("factor", "BIKE_SHARED")):
        session.execute(
            text(
                "UPDATE version SET known = tstzrange(lower(known), :now) WHERE kind = :kind AND code = :code"
            ),
            {**later, "kind": kind, "code": code},
        )
    session.commit()
    gone = {rule.behaviour for rule in shipped().rules} - tasks(api).keys()
    # A rule whose factor holds no more cannot be computed: nobody is sent out for it.
    assert gone == {"bus_trip", "shared_bike_trip", "ebike_trip"}


def test_only_the_customer_and_who_may_read_the_account_see_its_tasks(api: Api, world: World) -> None:
    account = account_public_id(world.accounts["C1"])
    customer = replace(api, role=Role.CUSTOMER, subject="C2")
    assert refusal(customer.get("/tasks", account_id=account))[0] == 404
    service = replace(api, role=Role.CUSTOMER_SERVICE, subject="clerk")
    assert refusal(service.get("/tasks", account_id=account))[1] == "purpose_needed"
    seen = body(service.get("/tasks", account_id=account, purpose="case:1"))["tasks"]
    assert [task["behaviour"] for task in seen] == list(tasks(api))
    assert refusal(api.get("/tasks"))[0] == 404
