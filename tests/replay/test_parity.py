"""What the property of parity has found, one by one: a draft that changes nothing gives what was decided."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours import retention
from carbonpoints.behaviours.replay.history import Period
from carbonpoints.behaviours.replay.reexecution import Result, reexecute
from carbonpoints.rules.definitions import CapDefinition, ConditionDefinition, CounterDefinition
from tests.behaviours.world import NOW, World, payment
from tests.replay.scenes import GRANT, RIDE_MG, put_in_force, ride, rule, run


def test_a_reversal_that_was_refused_is_no_act(world: World, session: Session) -> None:
    everybody = rule("non_cash_payment", counters={}, eligibility=(), samples=(), ineligible_samples=())
    put_in_force(world, everybody)
    world.one("non_cash_payment", payment("one"), event_id="E-1")
    world.take_back("E-1", event_id="R-1")
    refused = world.take_back("R-1")
    assert (refused.disposition.code, refused.reason) == ("ineligible", "not_reversible")
    assert world.take_back("E-1").disposition.code == "claimed_elsewhere"
    sampled = replace(everybody, samples=rule("non_cash_payment").samples[:1])
    report = run(world, sampled)
    assert (report["events"], report["events_kept"]) == (1, 0)
    assert report["draft"]["amount_millicredits"] == report["baseline"]["amount_millicredits"] == GRANT
    found = reexecute(account_id=refused.account_id, account_seq=refused.account_seq)
    assert (found.result, found.replayed) == (Result.NOT_JUDGED, None)


def test_what_lies_before_the_period_was_judged_by_what_lies_before_that(world: World) -> None:
    regulars = rule(
        "non_cash_payment",
        counters={"times": CounterDefinition(measure="count", window="3d")},
        eligibility=(
            ConditionDefinition(
                code="regular", when="times >= 1 or amount_minor >= 5000", text_en="Regular", text_zh="常客"
            ),
        ),
        caps=(),
        samples=(),
        ineligible_samples=(),
    )
    put_in_force(world, regulars)
    for days_ago, amount in ((4, 6_000), (2, 100), (0, 100)):
        receipt = world.one(
            "non_cash_payment",
            payment(f"{days_ago}", amount_minor=amount),
            at=NOW - timedelta(days=days_ago),
        )
        assert receipt.disposition.code == "credited"
    attributes = {**rule("non_cash_payment").samples[0].attributes, "amount_minor": 6_000}
    sampled = replace(
        regulars, samples=(replace(rule("non_cash_payment").samples[0], attributes=attributes),)
    )
    today = NOW.date()
    report = run(world, sampled, period=Period(today, today))
    assert report["events_judged"] == 1
    assert report["draft"]["amount_millicredits"] == report["baseline"]["amount_millicredits"] == GRANT


def test_milligrams_that_were_counted_and_not_posted_are_gone_with_the_inputs(world: World) -> None:
    capped = rule(
        "bus_trip",
        purpose="credits_only",
        caps=(CapDefinition(code="bus_trip_day", window="day", mg=200_000),),
        samples=tuple(replace(each, reduction_mg=0) for each in rule("bus_trip").samples),
    )
    put_in_force(world, capped)
    ride(world)
    retention.erase_payloads(account_id=world.accounts["C1"], reason="a request")
    ride(world)
    ride(world, days_ago=1)
    report = run(world, capped)
    assert (report["events_judged"], report["events_evidence_erased"]) == (1, 2)
    assert report["baseline"]["amount_millicredits"] == 200_000 + RIDE_MG
    assert report["draft"]["amount_millicredits"] == 200_000 + RIDE_MG


def test_milligrams_that_were_counted_before_the_period_count_though_they_were_not_posted(
    world: World,
) -> None:
    capped = rule(
        "bus_trip",
        purpose="credits_only",
        caps=(CapDefinition(code="bus_trip_month", window="month", mg=400_000),),
        samples=tuple(replace(each, reduction_mg=0) for each in rule("bus_trip").samples),
    )
    put_in_force(world, capped)
    for _ in range(3):
        ride(world, days_ago=1)
    world.take_back("E3", behaviour="bus_trip")
    ride(world)
    today = NOW.date()
    report = run(world, capped, period=Period(today, today))
    assert report["events_judged"] == 1
    assert report["draft"]["amount_millicredits"] == report["baseline"]["amount_millicredits"] == 131_000


def test_milligrams_that_a_cap_cut_before_the_period_count_as_far_as_they_were_granted(world: World) -> None:
    capped = rule(
        "bus_trip",
        purpose="credits_only",
        caps=(
            CapDefinition(code="bus_trip_ride", window="event", mg=100_000),
            CapDefinition(code="bus_trip_month", window="month", mg=250_000),
        ),
        samples=tuple(replace(each, reduction_mg=0) for each in rule("bus_trip").samples[1:]),
    )
    put_in_force(world, capped)
    for days_ago in (1, 1, 0):
        ride(world, days_ago=days_ago)
    today = NOW.date()
    report = run(world, capped, period=Period(today, today))
    assert report["draft"]["amount_millicredits"] == report["baseline"]["amount_millicredits"] == 50_000


def test_a_correction_takes_back_what_only_the_draft_gave(world: World, session: Session) -> None:
    for revision, amount in enumerate((50, 60)):
        receipt = world.one(
            "non_cash_payment", payment("one", amount_minor=amount), event_id="E-1", revision=revision
        )
        assert receipt.reason == "least_amount"
    assert session.scalar(text("SELECT count(*) FROM decision WHERE kind = 10")) == 0
    world.one("non_cash_payment", payment("two"))
    everybody = rule(
        "non_cash_payment",
        counters={},
        eligibility=(),
        caps=(CapDefinition(code="one", window="day", count=1),),
        samples=rule("non_cash_payment").samples[:1],
        ineligible_samples=(),
    )
    report = run(world, everybody)
    assert (report["baseline"]["awarded_events"], report["draft"]["awarded_events"]) == (1, 2)
