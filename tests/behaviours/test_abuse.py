"""Ways to earn more than an act is worth, each with exact credits, and the honest case beside it that earns (M14, M23)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from carbonpoints.core.clock import clock_at
from carbonpoints.ledger.reconcile import check
from carbonpoints.rules.definitions import ConditionDefinition, CounterDefinition, IneligibleSampleDefinition
from carbonpoints.rules.submissions import Located, Submission
from tests.behaviours.reviewing import FORFEITED, Officers, marked
from tests.behaviours.reviewing import end as reviewed
from tests.behaviours.undoing import PAYMENT, RIDE_MG, end, has, pay, ride, spend, used
from tests.behaviours.world import NOW, SOURCES, World, shipped
from tests.rules.catalogue_files import confirm, draft

APP, SHARED = "urn:zhangye:mobile-banking", SOURCES["shared_bike_trip"]
START = datetime(2026, 8, 1, tzinfo=ZoneInfo("Asia/Shanghai"))


@pytest.fixture(autouse=True)
def proven(world: World, session: Session) -> Iterator[None]:
    yield
    assert [finding.code for finding in check(session) if finding.differences] == []


class TestOnePaymentSplitIntoTen:
    def test_ten_parts_to_one_payee_earn_what_the_whole_does(self, world: World, session: Session) -> None:
        whole = pay(world, "whole", customer="C2", data={"payee_hash": "shop", "amount_minor": 10_000})
        parts = [
            pay(world, f"part {n}", data={"payee_hash": "shop", "amount_minor": 1_000}) for n in range(10)
        ]
        assert (end(whole), has(world, session, "C2")) == ("credited", (PAYMENT, 0, 0, 0))
        assert [(end(part), part.reason) for part in parts] == [
            ("credited", None),
            *[("ineligible", "payee_limit")] * 9,
        ]
        assert has(world, session) == (PAYMENT, 0, 0, 0)

    def test_in_one_delivery_and_over_two_sources_too(self, world: World, session: Session) -> None:
        data = {
            "payment_channel": "card",
            "amount_minor": 1_000,
            "currency": "CNY",
            "payee_hash": "shop",
        }
        parts = [
            world.event("non_cash_payment", {"transaction_reference": f"T-{n}", **data}) for n in range(10)
        ]
        world.take(*parts[:5])
        world.take(*parts[5:], source=APP)
        assert has(world, session) == (PAYMENT, 0, 0, 0)

    def test_parts_too_small_to_count_earn_nothing(self, world: World, session: Session) -> None:
        parts = [pay(world, f"part {n}", data={"amount_minor": 99}) for n in range(10)]
        assert {(end(part), part.reason) for part in parts} == {("ineligible", "least_amount")}
        assert has(world, session) == (0, 0, 0, 0)

    def test_an_honest_day_of_shopping_earns_up_to_the_cap(self, world: World, session: Session) -> None:
        bought = [pay(world, f"shop {n}") for n in range(6)]
        assert [end(each) for each in bought] == ["credited"] * 5 + ["capped"]
        assert has(world, session) == (5 * PAYMENT, 0, 0, 0)
        tomorrow = NOW + timedelta(days=1)
        with clock_at(tomorrow):
            assert end(pay(world, "again", at=tomorrow, data={"payee_hash": "payee of of shop 0"})) == (
                "credited"
            )


def to(customer: str, **values: Any) -> dict[str, Any]:
    """A payment to somebody's account."""
    return {"payee_hash": f"account of {customer}", **values}


class TestPingPong:
    def test_transfers_back_and_forth_earn_nothing(self, world: World, session: Session) -> None:
        for number in range(5):
            there = pay(world, f"there {number}", data=to("C2", payment_channel="transfer"))
            back = pay(world, f"back {number}", customer="C1", data=to("C1", payment_channel="transfer"))
            assert (there.reason, back.reason) == ("everyday_channel", "everyday_channel")
        assert has(world, session) == (0, 0, 0, 0)

    def test_by_qr_code_each_is_one_payment_a_day(self, world: World, session: Session) -> None:
        ends = []
        for number in range(5):
            ends.append(end(pay(world, f"there {number}", data=to("C2"))))
            ends.append(end(pay(world, f"back {number}", customer="C2", data=to("C1"))))
        assert ends == ["credited"] * 2 + ["ineligible"] * 8
        assert (has(world, session)[0], has(world, session, "C2")[0]) == (PAYMENT, PAYMENT)

    def test_a_bank_that_counts_counterparties_stops_it_over_a_month(
        self, world: World, session: Session
    ) -> None:
        """By a rule that the bank's own persons put in force: five to one payee, and more once there are three."""
        found = next(rule for rule in shipped().rules if rule.code == "non_cash_payment")
        several = ConditionDefinition(
            code="several_payees",
            when="same_payee < 5 or payees >= 3",
            text_en="Five payments to this payee have counted this month; more do once three payees have.",
            text_zh="本月向该收款方的支付已计五次;有三个收款方计入后方可继续。",
        )
        refused = IneligibleSampleDefinition(
            attributes=found.samples[0].attributes,
            counters={"same_payee": 5, "payees": 2},
            reason=several.code,
        )
        stricter = replace(
            found,
            valid_from=START,
            counters={
                **found.counters,
                "same_payee": CounterDefinition(measure="count", window="month", per="payee_hash"),
                "payees": CounterDefinition(measure="distinct:payee_hash", window="month"),
            },
            eligibility=(*found.eligibility, several),
            ineligible_samples=(*found.ineligible_samples, refused),
        )
        confirm(
            world.programme_id, draft(world.programme_id, Submission(rules=(Located(stricter, "stricter"),)))
        )
        for day in range(10):
            at = START + timedelta(days=day, hours=12)
            with clock_at(at):
                pay(world, f"there {day}", at=at, data=to("C2"))
                last = pay(world, f"back {day}", at=at, customer="C2", data=to("C1"))
                if day >= 8:  # The second also shops, as people do.
                    pay(world, f"shop {day}", at=at, customer="C2")
        assert last.reason == "several_payees"
        at = START + timedelta(days=10, hours=12)
        with clock_at(at):
            assert pay(world, "there 10", at=at, data=to("C2")).reason == "several_payees"
            assert end(pay(world, "back 10", at=at, customer="C2", data=to("C1"))) == "credited"
        assert has(world, session) == (5 * PAYMENT, 0, 0, 0)
        assert has(world, session, "C2") == (8 * PAYMENT, 0, 0, 0)


class TestSelfPayment:
    @pytest.mark.parametrize(
        ("flags", "reason"),
        [
            ({"own_account": True}, "not_own_account"),
            ({"same_name": True}, "not_same_name"),
            ({"card_repayment": True}, "not_card_repayment"),
            ({"loan_repayment": True}, "not_loan_repayment"),
            ({"standing_order": True}, "not_standing_order"),
            ({"merchant_category_code": "6051"}, "not_cash_like"),
        ],
    )
    def test_a_source_s_flag_is_enough_whatever_the_channel(
        self, world: World, session: Session, flags: dict[str, Any], reason: str
    ) -> None:
        for channel in ("qr", "card", "online"):
            refused = pay(world, f"to myself by {channel}", data={"payment_channel": channel, **flags})
            assert (end(refused), refused.reason) == ("ineligible", reason)
        # It used nothing of what honest payments have.
        assert used(session, world.accounts["C1"]) == []
        assert [end(pay(world, f"shop {n}")) for n in range(5)] == ["credited"] * 5
        assert has(world, session) == (5 * PAYMENT, 0, 0, 0)

    def test_a_flag_that_comes_later_takes_the_credits_back(self, world: World, session: Session) -> None:
        pay(world, "E-1")
        spend(world, 400)
        corrected = pay(world, "E-1", revision=1, data={"own_account": True})
        assert (corrected.reason, has(world, session)) == ("not_own_account", (0, 0, 400, 0))
        pay(world, "E-2")
        assert has(world, session) == (PAYMENT - 400, 0, 0, 0)


class TestRefundLoop:
    def test_paid_and_refunded_again_and_again_nothing_remains(self, world: World, session: Session) -> None:
        for number in range(20):
            assert end(pay(world, f"E-{number}", data={"payee_hash": "shop"})) == "credited"
            assert end(world.take_back(f"E-{number}")) == "reversed"
            assert has(world, session) == (0, 0, 0, 0)
        assert used(session, world.accounts["C1"]) == [
            ("non_cash_payment", 0, 0, 0, {"same_payee_today": {}})
        ]
        # Caps are what they were, neither less nor more.
        assert [end(pay(world, f"shop {n}")) for n in range(6)] == ["credited"] * 5 + ["capped"]
        assert has(world, session) == (5 * PAYMENT, 0, 0, 0)

    def test_spent_before_the_refund_it_is_owed_and_the_next_earnings_pay(
        self, world: World, session: Session
    ) -> None:
        for number in range(5):
            pay(world, f"E-{number}")
            available, _, due, _ = has(world, session)
            assert (available, due) == (PAYMENT if number == 0 else 0, 0)
            if available:
                spend(world, available)
            world.take_back(f"E-{number}")
            # Whatever was earned paid for the one before, and is owed again by its own refund.
            assert has(world, session) == (0, 0, PAYMENT, 0)
        pay(world, "honest")
        assert has(world, session) == (0, 0, 0, 0)
        pay(world, "next")
        assert has(world, session) == (PAYMENT, 0, 0, 0)

    def test_a_refund_that_comes_first_leaves_nothing_either(self, world: World, session: Session) -> None:
        for number in range(5):
            assert end(world.take_back(f"E-{number}")) == "awaiting_original"
            assert end(pay(world, f"E-{number}")) == "reversed"
        assert has(world, session) == (0, 0, 0, 0)
        assert end(pay(world, "honest")) == "credited"

    def test_a_refunded_act_under_a_new_name_is_one_act(self, world: World, session: Session) -> None:
        pay(world, "E-1", reference="T-1")
        assert end(pay(world, "E-2", reference="T-1")) == "claimed_elsewhere"
        world.take_back("E-1")
        assert end(pay(world, "E-3", reference="T-1")) == "credited"
        assert has(world, session) == (PAYMENT, 0, 0, 0)


def trip(start_min: int, end_min: int, *, vehicle: str = "b1f0", **values: Any) -> dict[str, Any]:
    """A ride of 2.5 km between so many minutes before now."""
    return {
        "distance_km": "2.5",
        "vehicle_hash": vehicle,
        "trip_reference": f"R-{start_min}-{end_min}",
        "started_at": (NOW - timedelta(minutes=start_min)).isoformat(),
        "ended_at": (NOW - timedelta(minutes=end_min)).isoformat(),
        **values,
    }


BIKE_MG = 121_750


class TestOverlappingTrips:
    def cycled(self, world: World, source: str, start: int, stop: int, **options: Any) -> str:
        behaviour = options.pop("behaviour", "shared_bike_trip")
        vehicle = options.pop("vehicle", "b1f0")
        at = NOW - timedelta(minutes=(start + stop) / 2)
        event = world.event(behaviour, trip(start, stop, vehicle=vehicle), at=at, **options)
        (receipt,) = world.take(event, source=source).receipts
        return end(receipt)

    def test_one_ride_reported_by_two_sources_counts_once(self, world: World, session: Session) -> None:
        assert self.cycled(world, SHARED, 60, 48) == "credited"
        assert self.cycled(world, APP, 59, 47) == "claimed_elsewhere"
        assert self.cycled(world, APP, 60, 48, behaviour="ebike_trip") == "claimed_elsewhere"
        assert has(world, session) == (BIKE_MG, 0, 0, BIKE_MG)
        # The next ride on it is another act, whoever reports it.
        assert self.cycled(world, APP, 48, 30) == "credited"
        assert has(world, session) == (2 * BIKE_MG, 0, 0, 2 * BIKE_MG)

    def test_two_persons_on_one_vehicle_at_a_time_count_once(self, world: World, session: Session) -> None:
        assert self.cycled(world, SHARED, 60, 48) == "credited"
        assert self.cycled(world, SHARED, 55, 40, customer="C2") == "claimed_elsewhere"
        assert self.cycled(world, SHARED, 70, 61, customer="C2") == "credited"
        assert self.cycled(world, SHARED, 55, 40, customer="C2", vehicle="c2a1") == "credited"
        assert has(world, session) == (BIKE_MG, 0, 0, BIKE_MG)
        assert has(world, session, "C2") == (2 * BIKE_MG, 0, 0, 2 * BIKE_MG)

    def test_one_ticket_is_one_ride_for_two_persons_and_two_operators(
        self, world: World, session: Session
    ) -> None:
        assert end(ride(world, "E-1", data={"ticket_reference": "T-1"})) == "credited"
        second = ride(world, "E-2", customer="C2", data={"ticket_reference": "T-1"})
        metro = world.one("metro_trip", {"distance_km": "5", "ticket_reference": "T-1"}, customer="C2")
        assert (end(second), end(metro)) == ("claimed_elsewhere", "claimed_elsewhere")
        assert (has(world, session)[0], has(world, session, "C2")) == (RIDE_MG, (0, 0, 0, 0))
        assert end(ride(world, "E-3", customer="C2", data={"ticket_reference": "T-2"})) == "credited"

    def test_a_correction_cannot_grow_over_another_s_ride(self, world: World, session: Session) -> None:
        assert self.cycled(world, SHARED, 60, 48, event_id="E-1") == "credited"
        assert self.cycled(world, SHARED, 48, 40, customer="C2") == "credited"
        assert self.cycled(world, SHARED, 60, 42, event_id="E-1", revision=1) == "claimed_elsewhere"
        assert has(world, session) == (0, 0, 0, 0)
        assert has(world, session, "C2")[0] == BIKE_MG

    def test_one_person_on_two_vehicles_at_a_time_is_for_risk_to_mark(
        self, world: World, session: Session, officers: Officers
    ) -> None:
        """A claim knows no person (M14): what no rule sees, a review holds."""
        assert self.cycled(world, SHARED, 60, 48) == "credited"
        assert self.cycled(world, APP, 60, 48, vehicle="c2a1", event_id="E-2") == "credited"
        review_id = marked(officers.opener, source=APP, id="E-2", reason_code="impossible_trip")
        assert has(world, session) == (BIKE_MG, BIKE_MG, 0, 2 * BIKE_MG)
        reviewed(officers, review_id, FORFEITED)
        assert has(world, session) == (BIKE_MG, 0, 0, BIKE_MG)
