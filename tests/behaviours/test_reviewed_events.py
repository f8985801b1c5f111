"""What reviews of events do to credits: set aside, released, forfeited; with reversals, corrections, adjustments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from carbonpoints.behaviours.replay.reexecution import Result
from carbonpoints.ledger import flows
from carbonpoints.ledger.reconcile import check
from tests.behaviours import appealing
from tests.behaviours import world as scene
from tests.behaviours.api import BANK, Api, body, refusal
from tests.behaviours.appealing import People
from tests.behaviours.reviewing import (
    FORFEITED,
    RELEASED,
    Officers,
    confirm,
    end,
    event_id_of,
    mark,
    mark_account,
    marked,
    propose,
)
from tests.behaviours.undoing import (
    PAYMENT,
    RIDE_MG,
    change_setting,
    has,
    pay,
    spend,
    used,
    working,
)
from tests.behaviours.undoing import ride as take_ride
from tests.behaviours.world import NOW, World
from tests.replay.scenes import GRANT, granting, run
from tests.replay.test_terms import results
from tests.rules.budget_files import budget
from tests.rules.catalogue_files import read, ship, write


@pytest.fixture(autouse=True)
def proven(world: World, session: Session) -> Iterator[None]:
    yield
    assert [finding.code for finding in check(session) if finding.differences] == []


def rows(session: Session, table: str) -> int:
    """Count, and leave nothing open that would take back what is called afterwards."""
    counted = scene.rows(session, table)
    session.rollback()
    return counted


class TestEvent:
    """An event that was credited before it was marked."""

    def test_released_it_is_as_it_was(
        self, world: World, session: Session, officers: Officers, customer: Api
    ) -> None:
        first, second = take_ride(world, "E-1"), take_ride(world, "E-2")
        spend(world, 1_000)
        review_id = marked(officers.opener, event_id=event_id_of(second))
        assert has(world, session) == (RIDE_MG - 1_000, RIDE_MG, 0, 2 * RIDE_MG)
        end(officers, review_id, RELEASED)
        assert has(world, session) == (2 * RIDE_MG - 1_000, 0, 0, 2 * RIDE_MG)
        # Whatever is taken back later finds both where they would be without the review.
        world.take_back("E-2", behaviour="bus_trip")
        assert has(world, session) == (RIDE_MG - 1_000, 0, 0, RIDE_MG)
        world.take_back("E-1", behaviour="bus_trip")
        assert has(world, session) == (0, 0, 1_000, 0)
        assert customer.why(event_id_of(first))["disposition"] == "reversed"

    def test_forfeited_what_is_left_is_gone_and_what_was_spent_is_due(
        self, world: World, session: Session, officers: Officers, customer: Api
    ) -> None:
        receipt = take_ride(world, "E-1")
        spend(world, 4_500)
        review_id = marked(officers.opener, event_id=event_id_of(receipt))
        end(officers, review_id, FORFEITED)
        assert has(world, session) == (0, 0, 4_500, 0)
        assert used(session, world.accounts["C1"]) == [
            (scope, 0, 0, 0, None) for scope, *_ in used(session, world.accounts["C1"])
        ]
        why = customer.why(event_id_of(receipt))
        assert (why["disposition"], why["taken_back"]) == (
            "reversed",
            {
                "event_id": event_id_of(receipt),
                "by_event_id": None,
                "reason": "forfeited",
                "booked_at": NOW.isoformat(),
                "amount_millicredits": 130_000,
                "clawback_due_millicredits": 4_500,
                "waived_millicredits": 0,
                "reduction_mg": RIDE_MG,
            },
        )
        assert why["sentence"] == {
            "en": "Bus trip on 2026-06-15 was taken back on 2026-06-15: a check found that it does not count by the rules "
            "of the programme; 130 credits and 134.5 g CO2e were taken back; 4.5 credits that had been spent are due.",
            "zh": "2026-06-15 的公交出行已于 2026-06-15 冲正:经核查,按碳普惠项目规则不予计入;扣回 130 积分、134.5 克二氧化碳当量;"
            "已使用的 4.5 积分应予追回。",
        }
        flows = [item["flow"] for item in body(customer.get("/transactions"))["items"]]
        assert flows[:4] == ["reverse_reduction", "charge_clawback", "forfeit", "set_aside"]
        pay(world, "E-2")
        assert has(world, session) == (0, 0, 3_500, 0)

    def test_the_programme_limits_what_becomes_due(
        self, world: World, session: Session, officers: Officers
    ) -> None:
        change_setting(world, "clawback_limit_millicredits", 1_000)
        receipt = take_ride(world, "E-1")
        spend(world, 4_500)
        end(officers, marked(officers.opener, event_id=event_id_of(receipt)), FORFEITED)
        assert has(world, session) == (0, 0, 1_000, 0)

    def test_what_comes_back_into_the_award_meanwhile_is_forfeited_too(
        self, world: World, session: Session, officers: Officers
    ) -> None:
        receipt = take_ride(world, "E-1")
        hold_seq = spend(world, 4_500, keep_held=True)
        review_id = marked(officers.opener, event_id=event_id_of(receipt))
        with working(world) as (book, moment):
            flows.release(book, moment, hold_seq=hold_seq, grace_days=0)
        assert has(world, session) == (4_500, 130_000, 0, RIDE_MG)
        end(officers, review_id, FORFEITED)
        assert has(world, session) == (0, 0, 0, 0)

    def test_caps_and_claims_after_a_forfeiture(
        self, world: World, session: Session, officers: Officers
    ) -> None:
        receipts = [pay(world, f"E-{number}") for number in range(5)]
        assert pay(world, "E-5").disposition.code == "capped"
        end(officers, marked(officers.opener, event_id=event_id_of(receipts[0])), FORFEITED)
        assert pay(world, "E-6").disposition.code == "credited"
        # The act stays claimed, so that it does not earn under another name, until its source reverses it.
        again = pay(world, "E-7", reference="of E-0")
        assert again.disposition.code == "claimed_elsewhere"
        assert world.take_back("E-0").disposition.code == "reversed"
        assert has(world, session) == (5 * PAYMENT, 0, 0, 0)
        world.take_back("E-6")
        assert pay(world, "E-8", reference="of E-0").disposition.code == "credited"

    def test_a_forfeited_event_earns_nothing_more(
        self, world: World, session: Session, officers: Officers, customer: Api
    ) -> None:
        receipt = take_ride(world, "E-1")
        end(officers, marked(officers.opener, event_id=event_id_of(receipt)), FORFEITED)
        corrected = take_ride(world, "E-1", revision=1, data={"distance_km": "1"})
        assert (corrected.disposition.code, corrected.reason) == ("reversed", "forfeited")
        assert has(world, session) == (0, 0, 0, 0)
        before = rows(session, "entry")
        assert world.take_back("E-1", behaviour="bus_trip").disposition.code == "reversed"
        assert (has(world, session), rows(session, "entry")) == ((0, 0, 0, 0), before)
        assert customer.why(event_id_of(receipt))["taken_back"]["reason"] == "forfeited"
        answer = mark(officers.opener, "mark-0002", event_id=event_id_of(receipt))
        assert refusal(answer) == (409, "nothing_to_review")

    def test_a_reversal_works_and_ends_the_review(
        self, world: World, session: Session, officers: Officers, customer: Api
    ) -> None:
        receipt = take_ride(world, "E-1")
        spend(world, 500)
        review_id = marked(officers.opener, event_id=event_id_of(receipt))
        propose(officers.maker, review_id, RELEASED)
        assert world.take_back("E-1", behaviour="bus_trip").disposition.code == "reversed"
        assert has(world, session) == (0, 0, 500, 0)
        assert refusal(confirm(officers.checker, review_id)) == (409, "review_ended")
        found = body(officers.maker.get(f"/reviews/{review_id}", purpose="work"))
        assert (found["state"], found["outcome"]) == ("ended", "reversed")
        last = found["steps"][-1]
        assert (last["step"], last["person"], last["outcome"]) == ("reversed", None, None)
        assert body(customer.get("/accounts/mine"))["under_review"] is None
        assert customer.why(event_id_of(receipt))["taken_back"]["reason"] == "refunded"

    def test_a_correction_works_and_the_review_goes_on_over_it(
        self, world: World, session: Session, officers: Officers, customer: Api
    ) -> None:
        receipt = take_ride(world, "E-1")
        spend(world, 26_900)
        review_id = marked(officers.opener, event_id=event_id_of(receipt))
        corrected = take_ride(world, "E-1", revision=1, data={"distance_km": "2"})
        assert (corrected.disposition.code, corrected.amount_millicredits) == ("under_review", 53_800)
        assert has(world, session) == (0, 53_800, 26_900, 53_800)
        assert customer.why(event_id_of(corrected))["disposition"] == "under_review"
        assert customer.why(event_id_of(receipt))["disposition"] == "corrected"
        end(officers, review_id, RELEASED)
        assert has(world, session) == (26_900, 0, 0, 53_800)
        assert customer.why(event_id_of(corrected))["disposition"] == "credited"

    def test_a_corrected_event_is_forfeited_as_it_is_now(
        self, world: World, session: Session, officers: Officers
    ) -> None:
        receipt = take_ride(world, "E-1")
        review_id = marked(officers.opener, event_id=event_id_of(receipt))
        take_ride(world, "E-1", revision=1, data={"distance_km": "2"})
        end(officers, review_id, FORFEITED)
        assert has(world, session) == (0, 0, 0, 0)
        third = take_ride(world, "E-1", revision=2, data={"distance_km": "3"})
        assert (third.disposition.code, third.reason) == ("reversed", "forfeited")

    def test_an_event_corrected_to_nothing_and_forfeited_earns_nothing_more(
        self, world: World, session: Session, officers: Officers
    ) -> None:
        receipt = pay(world, "E-1")
        review_id = marked(officers.opener, event_id=event_id_of(receipt))
        nothing = pay(world, "E-1", revision=1, data={"own_account": True})
        assert (nothing.disposition.code, has(world, session)) == ("ineligible", (0, 0, 0, 0))
        end(officers, review_id, FORFEITED)
        third = pay(world, "E-1", revision=2)
        assert (third.disposition.code, third.reason) == ("reversed", "forfeited")
        assert has(world, session) == (0, 0, 0, 0)

    def test_no_adjustment_while_it_is_under_review(
        self, world: World, session: Session, officers: Officers, people: People
    ) -> None:
        _, customer, maker, checker = people
        receipt = take_ride(world, "E-1")
        review_id = marked(officers.opener, event_id=event_id_of(receipt))
        appeal = appealing.filed(customer, event_id=event_id_of(receipt))
        assert appeal["disposition"] == "under_review"
        appealing.propose(maker, appeal, amount_millicredits=700)
        assert refusal(appealing.confirm(checker, appeal)) == (409, "under_review")
        assert has(world, session) == (0, RIDE_MG, 0, RIDE_MG)
        end(officers, review_id, FORFEITED)
        assert body(appealing.confirm(checker, appeal))["state"] == "resolved"
        assert has(world, session) == (700, 0, 0, 0)
        world.take_back("E-1", behaviour="bus_trip")
        assert has(world, session) == (0, 0, 0, 0)

    def test_an_adjustment_is_under_review_with_its_event(
        self, world: World, session: Session, officers: Officers, people: People
    ) -> None:
        _, customer, maker, checker = people
        receipt = take_ride(world, "E-1")
        appeal = appealing.filed(customer, event_id=event_id_of(receipt))
        appealing.propose(maker, appeal, amount_millicredits=700)
        appealing.confirm(checker, appeal)
        review_id = marked(officers.opener, event_id=event_id_of(receipt))
        assert has(world, session) == (0, RIDE_MG + 700, 0, RIDE_MG)
        end(officers, review_id, FORFEITED)
        assert has(world, session) == (0, 0, 0, 0)


class TestElsewhere:
    """What a forfeiture gives back beyond the account, and what a replay makes of it."""

    def test_budgets_get_back_what_the_award_drew(
        self, world: World, session: Session, officers: Officers, tmp_path: Path
    ) -> None:
        ship(world.programme_id, read(write(tmp_path, budgets=budget(millicredits=2 * PAYMENT))))
        first, second = pay(world, "E-1"), pay(world, "E-2")
        assert pay(world, "E-3").disposition.code == "budget_exhausted"
        reviews = [
            marked(officers.opener, f"mark-000{n}", event_id=event_id_of(each))
            for n, each in enumerate((first, second))
        ]
        end(officers, reviews[0], RELEASED)
        assert pay(world, "E-4").disposition.code == "budget_exhausted"
        end(officers, reviews[1], FORFEITED)
        # What is given back is there for the next, whose reversal gives it back once.
        assert pay(world, "E-5").disposition.code == "credited"
        assert pay(world, "E-6").disposition.code == "budget_exhausted"
        world.take_back("E-2")
        assert pay(world, "E-7").disposition.code == "budget_exhausted"
        assert has(world, session) == (2 * PAYMENT, 0, 0, 0)

    def test_every_decision_runs_again_to_the_same_digits(
        self, world: World, session: Session, officers: Officers
    ) -> None:
        for number in range(3):
            pay(world, f"E-{number}")
        end(officers, marked(officers.opener, source=BANK, id="E-0"), FORFEITED)
        account_review = mark_account(officers.opener, world)
        held = [pay(world, f"F-{number}") for number in range(4)]
        assert [each.disposition.code for each in held] == ["under_review"] * 3 + ["capped"]
        end(officers, account_review, FORFEITED)
        assert [pay(world, f"G-{number}").disposition.code for number in range(4)] == ["credited"] * 3 + [
            "capped"
        ]
        assert results(session) == {Result.SAME: 11}
        report = run(world, granting(GRANT))
        assert report["baseline"] == report["draft"]
