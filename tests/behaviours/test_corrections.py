"""Corrections: a higher revision decides an event again, against its own period, in one transaction (M9)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.clock import clock_at
from carbonpoints.ledger.reconcile import check
from tests.behaviours.undoing import (
    PAYMENT,
    RIDE_MG,
    change_setting,
    end,
    has,
    merge,
    pay,
    ride,
    set_status,
    spend,
    used,
)
from tests.behaviours.world import NOW, World, payment, rows, shipped

DOUBLE = {"distance_km": "10"}
HALF = {"distance_km": "2.5"}
BIKE = {"distance_km": "1", "vehicle_hash": "one", "trip_reference": "R-1"}


@pytest.fixture(autouse=True)
def proven(world: World, session: Session) -> Iterator[None]:
    yield
    assert [finding.code for finding in check(session) if finding.differences] == []


@pytest.mark.parametrize(
    ("first", "second", "mg"),
    [({}, DOUBLE, 2 * RIDE_MG), ({}, HALF, RIDE_MG // 2), (HALF, {}, RIDE_MG)],
    ids=["more", "less", "more than less"],
)
def test_what_counts_is_the_newest_revision(
    world: World, session: Session, first: dict[str, Any], second: dict[str, Any], mg: int
) -> None:
    ride(world, "E-1", data=first)
    corrected = ride(world, "E-1", data=second, revision=1)
    assert (end(corrected), corrected.reduction_mg, corrected.amount_millicredits) == ("credited", mg, mg)
    assert has(world, session) == (mg, 0, 0, mg)
    assert used(session, world.accounts["C1"]) == [("bus_trip", 1, mg, mg, None)]
    assert end(ride(world, "E-1", data=first)) == "stale"
    assert end(ride(world, "E-1", data=second, revision=1)) == "duplicate"
    assert end(ride(world, "E-1", data=first, revision=1)) == "conflict"
    assert has(world, session) == (mg, 0, 0, mg)


def test_to_nothing_and_back_from_nothing(world: World, session: Session) -> None:
    pay(world, "E-1")
    nothing = pay(world, "E-1", data={"standing_order": True}, revision=1)
    assert (end(nothing), nothing.reason) == ("ineligible", "not_standing_order")
    assert has(world, session) == (0, 0, 0, 0)
    assert rows(session, "identity_claim") == 0
    assert end(pay(world, "E-1", revision=2)) == "credited"
    assert has(world, session) == (PAYMENT, 0, 0, 0)
    assert [row[1] for row in used(session, world.accounts["C1"])] == [1]
    assert rows(session, "identity_claim") == 1
    kinds = session.scalars(
        text("SELECT kind FROM decision WHERE kind IN (2, 10) ORDER BY account_seq")
    ).all()
    session.rollback()
    assert kinds == [2, 10, 2, 2]


def test_to_another_behaviour(world: World, session: Session) -> None:
    pay(world, "E-1", reference="T-1")
    bill = {"transaction_reference": "T-1"}
    sample = _sample("utility_bill_online")
    corrected = world.one("utility_bill_online", {**sample, **bill}, event_id="E-1", revision=1)
    assert end(corrected) == "credited"
    assert has(world, session)[0] == corrected.amount_millicredits
    assert [(row[0], row[1]) for row in used(session, world.accounts["C1"], "month")] == [
        ("non_cash_payment", 0),
        ("utility_bill_online", 1),
    ]


def _sample(behaviour: str) -> dict[str, object]:
    return dict(next(r for r in shipped().rules if r.behaviour == behaviour).samples[0].attributes)


def test_to_another_person_is_a_conflict_that_says_so(world: World, session: Session) -> None:
    pay(world, "E-1")
    before = rows(session, "decision"), rows(session, "entry")
    other = pay(world, "E-1", customer="C2", revision=1)
    assert (end(other), other.reason) == ("conflict", "other_account")
    assert (rows(session, "decision"), rows(session, "entry")) == before


def test_another_day_takes_what_that_day_has_left(world: World, session: Session) -> None:
    yesterday = NOW - timedelta(days=1)
    for number in range(5):
        pay(world, f"Y-{number}", at=yesterday)
    pay(world, "E-1")
    moved = pay(world, "E-1", at=yesterday, revision=1)
    assert (end(moved), moved.amount_millicredits) == ("capped", 0)
    assert [row[1] for row in used(session, world.accounts["C1"])] == [5, 0]
    assert end(pay(world, "E-1", revision=2)) == "credited"
    assert has(world, session)[0] == 6 * PAYMENT


def test_a_correction_finds_the_room_that_its_own_first_report_had_taken(
    world: World, session: Session
) -> None:
    for number in range(5):
        pay(world, f"E-{number}")
    corrected = pay(world, "E-2", data={"amount_minor": 900}, revision=1)
    assert end(corrected) == "credited"
    assert has(world, session)[0] == 5 * PAYMENT
    assert end(pay(world, "E-9")) == "capped"


class TestSpent:
    """What was spent of the first award is paid by the second, and only the rest becomes due."""

    def test_more(self, world: World, session: Session) -> None:
        change_setting(world, "clawback_limit_millicredits", 0)
        ride(world, "E-1")
        spend(world, RIDE_MG)
        ride(world, "E-1", data=DOUBLE, revision=1)
        assert has(world, session) == (RIDE_MG, 0, 0, 2 * RIDE_MG)

    def test_less(self, world: World, session: Session) -> None:
        ride(world, "E-1")
        spend(world, RIDE_MG)
        ride(world, "E-1", data=HALF, revision=1)
        assert has(world, session) == (0, 0, RIDE_MG - RIDE_MG // 2, RIDE_MG // 2)

    def test_less_than_the_programme_lets_become_due(self, world: World, session: Session) -> None:
        change_setting(world, "clawback_limit_millicredits", 1_000)
        ride(world, "E-1")
        spend(world, RIDE_MG)
        ride(world, "E-1", data=HALF, revision=1)
        assert has(world, session) == (0, 0, 1_000, RIDE_MG // 2)


class TestAct:
    def test_the_corrected_act_is_claimed_and_the_other_is_free(self, world: World, session: Session) -> None:
        pay(world, "E-1", reference="T-1")
        assert end(pay(world, "E-1", reference="T-2", revision=1)) == "credited"
        assert end(pay(world, "E-2", reference="T-2")) == "claimed_elsewhere"
        assert end(pay(world, "E-3", reference="T-1")) == "credited"
        assert has(world, session)[0] == 2 * PAYMENT

    def test_an_act_that_another_event_has_is_not_credited_twice(
        self, world: World, session: Session
    ) -> None:
        pay(world, "E-1", reference="T-1")
        pay(world, "E-2", reference="T-2")
        assert end(pay(world, "E-1", reference="T-2", revision=1)) == "claimed_elsewhere"
        assert has(world, session)[0] == PAYMENT
        assert end(pay(world, "E-3", reference="T-1")) == "credited"

    def test_a_trip_moves_on_the_clock(self, world: World, session: Session) -> None:
        def trip(event_id: str, start: str, stop: str, *, revision: int = 0, reference: str = "R-1") -> str:
            times = {"started_at": f"2026-06-15T{start}:00+08:00", "ended_at": f"2026-06-15T{stop}:00+08:00"}
            at = NOW.replace(hour=int(start[:2]) - 8, minute=int(start[3:]))
            data = {**BIKE, "trip_reference": reference, **times}
            return end(world.one("shared_bike_trip", data, event_id=event_id, at=at, revision=revision))

        assert trip("E-1", "09:00", "09:30") == "credited"
        assert trip("E-1", "09:15", "09:45", revision=1) == "credited"
        assert trip("E-2", "09:40", "09:50", reference="R-2") == "claimed_elsewhere"
        assert trip("E-3", "09:00", "09:14", reference="R-3") == "credited"
        assert trip("E-1", "09:10", "09:45", revision=2) == "claimed_elsewhere"
        assert trip("E-4", "09:30", "09:40", reference="R-4") == "claimed_elsewhere"
        assert has(world, session)[3] == 48_700


class TestRefused:
    @pytest.mark.parametrize(("status", "code"), [("frozen", "account_frozen"), ("closed", "account_closed")])
    def test_on_an_account_that_is_not_open_nothing_changes(
        self, world: World, session: Session, status: str, code: str
    ) -> None:
        ride(world, "E-1")
        set_status(session, world, status)
        before = rows(session, "decision"), rows(session, "entry"), used(session, world.accounts["C1"])
        assert end(ride(world, "E-1", data=DOUBLE, revision=1)) == code
        assert (
            rows(session, "decision"),
            rows(session, "entry"),
            used(session, world.accounts["C1"]),
        ) == before

    def test_of_a_merged_account_the_source_reverses_and_reports_anew(
        self, world: World, session: Session
    ) -> None:
        ride(world, "E-1")
        merge(session, world, "C1", "C2")
        corrected = ride(world, "E-1", data=DOUBLE, revision=1, customer="C2")
        assert (end(corrected), corrected.reason) == ("conflict", "other_account")
        assert has(world, session, "C2") == (RIDE_MG, 0, 0, RIDE_MG)

    def test_without_consent_nothing_changes(self, world: World, session: Session) -> None:
        ride(world, "E-1")
        session.execute(
            text(
                "INSERT INTO consent SELECT account_id, 99, source, 'withdrawn', NULL, text_version, channel, "
                "recorded_at FROM consent WHERE source = 'trips'"
            )
        )
        session.commit()
        before = rows(session, "decision"), rows(session, "identity_claim")
        assert end(ride(world, "E-1", data=DOUBLE, revision=1)) == "no_consent"
        assert (rows(session, "decision"), rows(session, "identity_claim")) == before
        assert has(world, session) == (RIDE_MG, 0, 0, RIDE_MG)

    def test_it_has_a_window_of_its_own(self, world: World, session: Session) -> None:
        ride(world, "E-1")
        with clock_at(NOW + timedelta(days=366)):
            assert end(ride(world, "E-1", data=DOUBLE, revision=1)) == "too_late"
            assert has(world, session)[3] == RIDE_MG
        with clock_at(NOW + timedelta(days=100)):
            assert end(ride(world, "E-1", data=DOUBLE, revision=1)) == "credited"

    def test_a_reversed_event_is_corrected_no_more(self, world: World, session: Session) -> None:
        ride(world, "E-1")
        world.take_back("E-1", behaviour="bus_trip")
        before = rows(session, "decision")
        assert end(ride(world, "E-1", data=DOUBLE, revision=1)) == "reversed"
        assert rows(session, "decision") == before

    def test_a_corrected_event_is_reversed_as_it_stands(self, world: World, session: Session) -> None:
        ride(world, "E-1")
        ride(world, "E-1", data=DOUBLE, revision=1)
        assert end(world.take_back("E-1", behaviour="bus_trip")) == "reversed"
        assert has(world, session) == (0, 0, 0, 0)
        assert used(session, world.accounts["C1"]) == [("bus_trip", 0, 0, 0, None)]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_of_several_revisions_in_one_delivery_the_highest_counts(
    world: World, session: Session, order: list[int]
) -> None:
    revisions = [
        world.event("non_cash_payment", payment(f"T-{n}"), event_id="E-1", revision=n) for n in range(3)
    ]
    taken = world.take(*(revisions[number] for number in order))
    assert {n: end(r) for n, r in zip(order, taken.receipts, strict=True)} == {
        0: "stale",
        1: "stale",
        2: "credited",
    }
    assert has(world, session)[0] == PAYMENT
    claims = rows(session, "identity_claim")
    assert claims == 1


def test_two_corrections_and_the_first_report_again_in_one_delivery(world: World, session: Session) -> None:
    ride(world, "E-1")
    data = {"fare_medium": "qr", "ticket_reference": "of E-1"}
    again = world.event("bus_trip", {**data, "distance_km": "5"}, event_id="E-1")
    first = world.event("bus_trip", {**data, "distance_km": "10"}, event_id="E-1", revision=1)
    second = world.event("bus_trip", {**data, "distance_km": "2.5"}, event_id="E-1", revision=2)
    taken = world.take(again, first, second, second)
    assert [end(receipt) for receipt in taken.receipts] == ["duplicate", "stale", "credited", "duplicate"]
    assert has(world, session) == (RIDE_MG // 2, 0, 0, RIDE_MG // 2)
