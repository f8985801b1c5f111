"""Reviews over time, and reviews of accounts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.sweeping import mature_awards
from carbonpoints.accounts.under_review import ACCOUNT
from carbonpoints.core.clock import clock_at
from carbonpoints.core.ids import account_public_id
from carbonpoints.ledger.reconcile import check
from tests.behaviours import appealing
from tests.behaviours import world as scene
from tests.behaviours.api import Api, body, event, refusal, ride
from tests.behaviours.appealing import People
from tests.behaviours.reviewing import (
    FORFEITED,
    RELEASED,
    Officers,
    end,
    event_id_of,
    mark_account,
    marked,
    post,
)
from tests.behaviours.undoing import (
    PAYMENT,
    RIDE_MG,
    change_setting,
    has,
    pay,
    spend,
    used,
)
from tests.behaviours.undoing import ride as take_ride
from tests.behaviours.world import NOW, World


@pytest.fixture(autouse=True)
def proven(world: World, session: Session) -> Iterator[None]:
    yield
    assert [finding.code for finding in check(session) if finding.differences] == []


def rows(session: Session, table: str) -> int:
    """Count, and leave nothing open that would take back what is called afterwards."""
    counted = scene.rows(session, table)
    session.rollback()
    return counted


class TestTime:
    def test_what_is_under_review_neither_expires_nor_matures(
        self, world: World, session: Session, officers: Officers
    ) -> None:
        receipt = take_ride(world, "E-1")
        review_id = marked(officers.opener, event_id=event_id_of(receipt))
        with clock_at(NOW.replace(year=2028, month=7, day=3)):
            assert mature_awards(world.programme_id, 0) is None
            assert has(world, session) == (0, RIDE_MG, 0, RIDE_MG)
            end(officers, review_id, RELEASED)
            # Past its expiry, and the programme gives no grace.
            assert has(world, session) == (0, 0, 0, RIDE_MG)
            assert session.scalar(text("SELECT sum(amount) FROM entry WHERE flow = 20")) == RIDE_MG
            session.rollback()

    def test_released_after_its_expiry_it_has_the_programme_s_grace(
        self, world: World, session: Session, officers: Officers
    ) -> None:
        change_setting(world, "release_grace_days", 5)
        receipt = take_ride(world, "E-1")
        spend(world, 1_500)
        review_id = marked(officers.opener, event_id=event_id_of(receipt))
        late = NOW.replace(year=2028, month=7, day=3)
        with clock_at(late):
            end(officers, review_id, RELEASED)
            assert has(world, session) == (133_000, 0, 0, RIDE_MG)
            assert session.scalar(text("SELECT max(expires_on)::text FROM lot")) == "2028-07-08"
            session.rollback()
            # In the lot of its grace it is still the event's.
            second = marked(officers.opener, "mark-0002", event_id=event_id_of(receipt))
            assert has(world, session) == (0, 133_000, 0, RIDE_MG)
            end(officers, second, FORFEITED)
            assert has(world, session) == (0, 0, 1_500, 0)

    def test_a_lot_that_ended_before_is_not_saved_by_a_mark(
        self, world: World, session: Session, officers: Officers
    ) -> None:
        receipt = take_ride(world, "E-1")
        with clock_at(NOW.replace(year=2028, month=7, day=3)):
            review_id = marked(officers.opener, event_id=event_id_of(receipt))
            assert has(world, session) == (0, 0, 0, RIDE_MG)
            end(officers, review_id, RELEASED)
            assert has(world, session) == (0, 0, 0, RIDE_MG)


class TestAccount:
    def test_what_it_is_given_waits_and_is_judged_as_usual(
        self, world: World, session: Session, sender: Api, customer: Api, officers: Officers
    ) -> None:
        older = take_ride(world, "E-0")
        review_id = mark_account(officers.opener, world)
        assert body(customer.get("/accounts/mine"))["under_review"] == ACCOUNT._asdict()
        sent = sender.send(ride("E-1"))
        assert (sent["disposition"], sent["amount_millicredits"]) == ("under_review", RIDE_MG)
        refused = sender.send(event("E-2", data={**event("E-2")["data"], "own_account": True}))
        assert refused["disposition"] == "ineligible"
        assert sender.send(ride("E-1"))["disposition"] == "duplicate"
        # What it had can be spent; what it is given cannot.
        assert has(world, session) == (RIDE_MG, RIDE_MG, 0, 2 * RIDE_MG)
        spend(world, RIDE_MG)
        with clock_at(NOW + timedelta(days=3)):
            mature_awards(world.programme_id, 0)
            assert has(world, session) == (0, RIDE_MG, 0, 2 * RIDE_MG)
        assert customer.why(sent["event_id"])["disposition"] == "under_review"
        assert customer.why(refused["event_id"])["disposition"] == "ineligible"
        assert customer.why(event_id_of(older))["disposition"] == "credited"
        end(officers, review_id, RELEASED)
        assert has(world, session) == (RIDE_MG, 0, 0, 2 * RIDE_MG)
        assert customer.why(sent["event_id"])["disposition"] == "credited"
        assert sender.send(ride("E-3"))["disposition"] == "credited"

    def test_forfeited_all_that_it_was_given_meanwhile_goes_and_nothing_else(
        self, world: World, session: Session, officers: Officers, customer: Api
    ) -> None:
        before = pay(world, "E-0")
        review_id = mark_account(officers.opener, world)
        receipts = [pay(world, f"E-{number}") for number in range(1, 6)]
        assert [each.disposition.code for each in receipts] == ["under_review"] * 4 + ["capped"]
        assert world.take_back("E-1").disposition.code == "reversed"
        assert has(world, session) == (PAYMENT, 3 * PAYMENT, 0, 0)
        end(officers, review_id, FORFEITED)
        assert has(world, session) == (PAYMENT, 0, 0, 0)
        assert customer.why(event_id_of(before))["disposition"] == "credited"
        assert [customer.why(event_id_of(each))["disposition"] for each in receipts[:4]] == ["reversed"] * 4
        assert [row[1] for row in used(session, world.accounts["C1"], "day")] == [1]
        assert [pay(world, f"F-{n}").disposition.code for n in range(5)] == ["credited"] * 4 + ["capped"]

    def test_an_event_may_be_under_a_review_of_its_own_meanwhile(
        self, world: World, session: Session, officers: Officers, customer: Api
    ) -> None:
        account_review = mark_account(officers.opener, world)
        first, second = take_ride(world, "E-1"), take_ride(world, "E-2")
        own = marked(officers.opener, event_id=event_id_of(first))
        end(officers, account_review, FORFEITED)
        assert has(world, session) == (0, RIDE_MG, 0, RIDE_MG)
        assert customer.why(event_id_of(first))["disposition"] == "under_review"
        assert customer.why(event_id_of(second))["disposition"] == "reversed"
        end(officers, own, RELEASED)
        assert has(world, session) == (RIDE_MG, 0, 0, RIDE_MG)

    def test_an_event_released_of_its_own_goes_on_under_the_account_s(
        self, world: World, session: Session, officers: Officers
    ) -> None:
        older = take_ride(world, "E-0")
        account_review = mark_account(officers.opener, world)
        given = take_ride(world, "E-1")
        reviews = [
            marked(officers.opener, f"mark-000{n}", event_id=event_id_of(receipt))
            for n, receipt in enumerate((older, given))
        ]
        for review_id in reviews:
            end(officers, review_id, RELEASED)
        assert has(world, session) == (0, 2 * RIDE_MG, 0, 2 * RIDE_MG)
        end(officers, account_review, FORFEITED)
        # The older one was not given under the account's review.
        assert has(world, session) == (RIDE_MG, 0, 0, RIDE_MG)

    def test_neither_closed_nor_merged_while_something_is_under_review(
        self, world: World, session: Session, officers: Officers, customer: Api, maker: Api
    ) -> None:
        receipt = take_ride(world, "E-1")
        review_id = marked(officers.opener, event_id=event_id_of(receipt))
        own, other = (account_public_id(world.accounts[name]) for name in ("C1", "C2"))
        closing = {"reason_code": "customer_request", "reason": "asked for"}
        before = rows(session, "decision")
        preview = body(customer.get(f"/accounts/{own}/closure-preview"))
        assert preview["refusal"] == "under_review"
        assert refusal(post(customer, f"/accounts/{own}/close", closing, "close-0001")) == (
            409,
            "under_review",
        )
        for source, target in ((own, other), (other, own)):
            sent = {"into_account_id": target, "reason": "one person"}
            answer = post(maker, f"/accounts/{source}/merges", sent, f"merge-{source}")
            assert refusal(answer) == (409, "under_review")
        assert rows(session, "decision") == before
        end(officers, review_id, RELEASED)
        assert body(post(customer, f"/accounts/{own}/close", closing, "close-0002"))["status"] == "closed"

    def test_no_adjustment_for_anything_while_the_account_is_under_review(
        self, world: World, session: Session, officers: Officers, people: People
    ) -> None:
        _, customer, maker, checker = people
        receipt = take_ride(world, "E-1")
        appeal = appealing.filed(customer, event_id=event_id_of(receipt))
        appealing.propose(maker, appeal, amount_millicredits=700)
        review_id = mark_account(officers.opener, world)
        assert refusal(appealing.confirm(checker, appeal)) == (409, "under_review")
        assert has(world, session) == (RIDE_MG, 0, 0, RIDE_MG)
        end(officers, review_id, RELEASED)
        assert body(appealing.confirm(checker, appeal))["state"] == "resolved"
        assert has(world, session) == (RIDE_MG + 700, 0, 0, RIDE_MG)
