"""The share of milligrams that was checked nowhere else, to the last one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from carbonpoints.core.clock import clock_at
from carbonpoints.core.roles import Role
from carbonpoints.core.sentences import CAVEAT
from tests.behaviours.world import NOW, payment
from tests.exchange.world import JULY, LANZHOU, SHENZHEN, Exchange, consent, mark, ticket

TRIP_MG = 134_500
"""Five kilometres at 26.9 g."""


def parts(report: dict[str, Any]) -> tuple[int, int, int, str | None]:
    return (
        report["reduction_mg"],
        report["checked_mg"],
        report["not_checked_mg"],
        report["not_checked_share"],
    )


def by_agreement(report: dict[str, Any]) -> dict[str, int]:
    return {each["agreement"]: each["checked_mg"] for each in report["agreements"]}


def test_nothing_is_checked_where_nothing_came_in(exchange: Exchange) -> None:
    assert parts(exchange.coverage()) == (0, 0, 0, None)
    exchange.bus("T-1")
    report = exchange.coverage()
    assert parts(report) == (TRIP_MG, 0, TRIP_MG, "1.0000")
    assert by_agreement(report) == {LANZHOU.code: 0, SHENZHEN.code: 0}
    assert report["caveat"] == CAVEAT._asdict()
    assert report["agreements"][1]["partner_name_zh"] == "深圳碳账户"


def test_what_was_checked_is_told_by_behaviour_and_agreement(exchange: Exchange) -> None:
    exchange.take_over(mark("T-9"))
    exchange.bus("T-1")
    exchange.bus("T-2", customer="C2")
    exchange.bus("T-9")
    start, end = NOW - timedelta(minutes=60), NOW - timedelta(minutes=48)
    data = {"distance_km": "2", "vehicle_hash": "b1f0", "trip_reference": "R-1"}
    ridden = exchange.world.one(
        "shared_bike_trip", {**data, "started_at": start.isoformat(), "ended_at": end.isoformat()}, at=end
    )
    exchange.world.one("non_cash_payment", payment("P-1"))
    report = exchange.coverage()
    ride_mg = ridden.reduction_mg
    assert ride_mg == 97_400
    whole = 2 * TRIP_MG + ride_mg
    assert parts(report) == (whole, TRIP_MG + ride_mg, TRIP_MG, "0.3671")
    assert by_agreement(report) == {LANZHOU.code: 0, SHENZHEN.code: TRIP_MG + ride_mg}
    assert {each["behaviour"]: parts(each) for each in report["behaviours"]} == {
        "bus_trip": (2 * TRIP_MG, TRIP_MG, TRIP_MG, "0.5000"),
        "shared_bike_trip": (ride_mg, ride_mg, 0, "0.0000"),
    }


def test_what_two_programmes_checked_counts_once(exchange: Exchange) -> None:
    exchange.take_over(mark("T-9"))
    exchange.take_over(mark("T-9", agreement=LANZHOU), agreement=LANZHOU)
    exchange.bus("T-1")
    report = exchange.coverage()
    assert parts(report) == (TRIP_MG, TRIP_MG, 0, "0.0000")
    assert by_agreement(report) == {LANZHOU.code: TRIP_MG, SHENZHEN.code: TRIP_MG}


def test_an_act_that_was_credited_before_the_marks_came_is_checked_by_them(exchange: Exchange) -> None:
    exchange.bus("T-1")
    exchange.take_over(mark("T-9"))
    assert parts(exchange.coverage()) == (TRIP_MG, TRIP_MG, 0, "0.0000")


def test_the_marks_of_another_month_check_nothing_of_this_one(exchange: Exchange) -> None:
    exchange.bus("T-1")
    exchange.take_over(mark("T-9", period=JULY), period=JULY)
    assert parts(exchange.coverage()) == (TRIP_MG, 0, TRIP_MG, "1.0000")
    assert parts(exchange.coverage("2026-07")) == (0, 0, 0, None)


def test_a_ride_over_the_end_of_a_month_is_checked_when_both_are(exchange: Exchange) -> None:
    midnight = NOW.replace(month=5, day=31, hour=16)
    start, end = midnight - timedelta(minutes=10), midnight + timedelta(minutes=10)
    data = {"distance_km": "2", "vehicle_hash": "b1f0", "trip_reference": "R-1"}
    exchange.world.one(
        "shared_bike_trip", {**data, "started_at": start.isoformat(), "ended_at": end.isoformat()}, at=end
    )
    exchange.take_over(mark("T-9"))
    assert parts(exchange.coverage()) == (97_400, 0, 97_400, "1.0000")
    may = NOW.replace(month=5, day=1).date()
    exchange.take_over(mark("T-9", period=may), period=may)
    assert parts(exchange.coverage()) == (97_400, 97_400, 0, "0.0000")
    assert parts(exchange.coverage("2026-05")) == (0, 0, 0, None)


def test_a_withdrawn_consent_leaves_its_acts_unchecked(exchange: Exchange) -> None:
    exchange.take_over(mark("T-9"))
    consent(exchange.world, "C2", SHENZHEN.consent_source)
    exchange.bus("T-1")
    exchange.bus("T-2", customer="C2")
    exchange.withdraw(SHENZHEN.consent_source, "C2")
    assert parts(exchange.coverage()) == (2 * TRIP_MG, TRIP_MG, TRIP_MG, "0.5000")


def test_what_was_taken_back_or_corrected_counts_as_it_stands(exchange: Exchange) -> None:
    exchange.take_over(mark("T-9"))
    exchange.bus("T-1", event_id="E-1")
    exchange.bus("T-2", event_id="E-2")
    exchange.bus("T-3", event_id="E-3", customer="C2")
    exchange.world.take_back("E-1", behaviour="bus_trip")
    exchange.world.one("bus_trip", ticket("T-2", distance_km="10"), event_id="E-2", revision=1)
    exchange.world.one("bus_trip", ticket("T-3", distance_km="1"), event_id="E-3", revision=1, customer="C2")
    assert parts(exchange.coverage()) == (295_900, 269_000, 26_900, "0.0910")


def test_a_month_is_one_of_local_dates(exchange: Exchange) -> None:
    exchange.bus("T-1", at=NOW.replace(month=5, day=31, hour=15, minute=59))
    exchange.bus("T-2", at=NOW.replace(month=5, day=31, hour=16))
    assert parts(exchange.coverage("2026-05"))[0] == TRIP_MG
    assert parts(exchange.coverage())[0] == TRIP_MG


@pytest.mark.parametrize("role", [Role.RULE_MAKER, Role.RULE_CHECKER, Role.OPERATIONS, Role.DATA_PROTECTION])
def test_who_may_see_it(exchange: Exchange, role: Role) -> None:
    with clock_at(NOW):
        assert parts(exchange.coverage(role=role)) == (0, 0, 0, None)
    refused = exchange.call("GET", "/coverage", role=Role.CUSTOMER, query_string={"period": "2026-06"})
    assert refused.status_code == 403
