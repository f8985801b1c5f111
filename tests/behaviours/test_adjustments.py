"""How appeals are resolved: with a reason by one person, with value by two; and what comes afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from carbonpoints.behaviours import retention
from carbonpoints.core.clock import clock_at
from carbonpoints.core.ids import account_public_id
from carbonpoints.ledger.reconcile import check
from tests.behaviours.api import Api, body, event, refusal, ride, wrong
from tests.behaviours.appealing import LATE, WORDS, People, confirm, filed, late_ride, propose
from tests.behaviours.undoing import RIDE_MG, end, has, set_status, spend
from tests.behaviours.undoing import ride as take_ride
from tests.behaviours.world import NOW, World, rows


@pytest.fixture(autouse=True)
def proven(world: World, session: Session) -> Iterator[None]:
    yield
    assert [finding.code for finding in check(session) if finding.differences] == []


class TestResolving:
    @pytest.mark.parametrize("outcome", ["rejected", "upheld"])
    def test_one_person_rejects_or_upholds_without_value(
        self, people: People, session: Session, outcome: str
    ) -> None:
        sender, customer, maker, checker = people
        appeal = filed(customer, event_id=late_ride(sender))
        before = rows(session, "decision")
        answer = body(propose(maker, appeal, outcome=outcome))
        assert (answer["state"], answer["outcome"], answer["maker_person"]) == ("resolved", outcome, "maker")
        seen = body(customer.get(f"/appeals/{appeal['appeal_id']}"))
        assert (seen["outcome"], seen["reason"]) == (outcome, "The bus company was late.")
        assert (seen["maker_person"], seen["proposal_no"]) == (None, 0)
        assert refusal(propose(checker, appeal, amount_millicredits=5)) == (409, "appeal_resolved")
        assert refusal(confirm(checker, appeal)) == (409, "appeal_resolved")
        assert rows(session, "decision") == before

    def test_an_adjustment_is_two_persons_and_is_seen_where_it_belongs(
        self, world: World, people: People, session: Session
    ) -> None:
        sender, customer, maker, checker = people
        event_id = late_ride(sender)
        appeal = filed(customer, event_id=event_id)
        proposed = body(propose(maker, appeal, amount_millicredits=2_000, reduction_mg=RIDE_MG))
        assert (proposed["state"], proposed["proposal_no"]) == ("proposed", 1)
        hidden = body(customer.get(f"/appeals/{appeal['appeal_id']}"))
        assert (hidden["state"], hidden["outcome"], hidden["amount_millicredits"]) == ("open", None, 0)
        assert has(world, session) == (0, 0, 0, 0)
        assert refusal(confirm(maker, appeal)) == (403, "four_eyes")
        assert has(world, session) == (0, 0, 0, 0)
        confirmed = confirm(checker, appeal)
        assert body(confirmed)["state"] == "resolved"
        assert body(confirmed)["checker_person"] == "checker"
        assert has(world, session) == (2_000, 0, 0, RIDE_MG)
        again = confirm(checker, appeal)
        assert (again.json, again.headers["Idempotent-Replayed"]) == (confirmed.json, "true")
        assert refusal(confirm(checker, appeal, key="another-key")) == (409, "appeal_resolved")
        assert has(world, session) == (2_000, 0, 0, RIDE_MG)
        items = body(customer.get("/transactions"))["items"]
        assert [(item["flow"], item["moved_from"], item["moved_to"], item["event_id"]) for item in items] == [
            ("adjust", "adjusted", "reduction", event_id),
            ("adjust", "adjusted", "available", event_id),
        ]
        assert items[1]["expires_on"] == "2028-06-30"
        why = customer.why(event_id)
        assert (why["disposition"], why["amount_millicredits"]) == ("too_late", 0)
        assert (
            why["appeal"]["outcome"],
            why["appeal"]["amount_millicredits"],
            why["appeal"]["reduction_mg"],
        ) == (
            "adjusted",
            2_000,
            RIDE_MG,
        )
        kinds = session.scalars(text("SELECT kind FROM decision WHERE kind = 15")).all()
        session.rollback()
        assert kinds == [15]

    def test_what_is_confirmed_is_what_was_seen(self, world: World, people: People, session: Session) -> None:
        sender, customer, maker, checker = people
        appeal = filed(customer, event_id=late_ride(sender))
        assert refusal(confirm(checker, appeal)) == (409, "proposal_changed")
        propose(maker, appeal, amount_millicredits=2_000)
        propose(maker, appeal, amount_millicredits=900_000)
        assert refusal(confirm(checker, appeal, 1)) == (409, "proposal_changed")
        assert has(world, session) == (0, 0, 0, 0)
        assert body(confirm(checker, appeal, 2, "appeal-0002"))["amount_millicredits"] == 900_000

    def test_no_more_reduction_than_the_rule_supports(self, sender: Api, customer: Api, maker: Api) -> None:
        appeal = filed(customer, event_id=late_ride(sender))
        answer = propose(maker, appeal, reduction_mg=RIDE_MG + 1)
        assert wrong(answer) == [("reduction_mg", "not_supported")]
        credited = sender.send(ride("E-2"))
        second = filed(customer, event_id=credited["event_id"])
        assert wrong(propose(maker, second, reduction_mg=1)) == [("reduction_mg", "not_supported")]
        paid = filed(customer, event_id=sender.send(event("E-3") | LATE)["event_id"])
        assert wrong(propose(maker, paid, reduction_mg=1)) == [("reduction_mg", "not_supported")]
        assert body(propose(maker, paid, amount_millicredits=1))["state"] == "proposed"

    @pytest.mark.parametrize(
        ("values", "fields"),
        [
            ({}, ["amount_millicredits"]),
            ({"outcome": "rejected", "amount_millicredits": 1}, ["amount_millicredits"]),
            ({"outcome": "adjusted", "amount_millicredits": -1}, ["amount_millicredits"]),
            ({"outcome": "adjusted", "reduction_mg": -1}, ["reduction_mg"]),
            ({"outcome": "gladly"}, ["outcome"]),
            ({"outcome": "rejected", "reason": ""}, ["reason"]),
        ],
    )
    def test_an_outcome_that_does_not_fit_changes_nothing(
        self, sender: Api, customer: Api, maker: Api, values: dict[str, Any], fields: list[str]
    ) -> None:
        appeal = filed(customer, event_id=late_ride(sender))
        answer = propose(maker, appeal, **values)
        assert (refusal(answer)[0], [name for name, _ in wrong(answer)]) == (422, fields)
        assert body(maker.get(f"/appeals/{appeal['appeal_id']}", purpose="audit"))["state"] == "open"

    @pytest.mark.parametrize("status", ["frozen", "closed"])
    def test_an_account_that_is_not_open_is_granted_nothing(
        self, world: World, people: People, session: Session, status: str
    ) -> None:
        sender, customer, maker, checker = people
        appeal = filed(customer, event_id=late_ride(sender))
        propose(maker, appeal, amount_millicredits=1)
        set_status(session, world, status)
        assert refusal(confirm(checker, appeal)) == (409, f"account_{status}")
        assert has(world, session) == (0, 0, 0, 0)

    def test_the_database_refuses_one_person_twice_and_an_adjustment_that_nobody_checked(
        self, sender: Api, customer: Api, maker: Api, session: Session
    ) -> None:
        propose(maker, filed(customer, event_id=late_ride(sender)), amount_millicredits=1)
        for change in (
            "checker_person = maker_person, adjustment_seq = 1, resolved_at = now()",
            "resolved_at = now()",
            "checker_person = 'other', resolved_at = now()",
            "amount_millicredits = 0",
            "outcome = 'upheld'",
            "maker_person = NULL",
        ):
            with pytest.raises(IntegrityError):
                session.execute(text(f"UPDATE appeal SET {change}"))
            session.rollback()

    def test_an_adjustment_pays_what_is_due(self, world: World, people: People, session: Session) -> None:
        sender, customer, maker, checker = people
        event_id = late_ride(sender)
        take_ride(world, "E-2")
        spend(world, 500)
        world.take_back("E-2", behaviour="bus_trip")
        assert has(world, session) == (0, 0, 500, 0)
        appeal = filed(customer, event_id=event_id)
        propose(maker, appeal, amount_millicredits=2_000)
        confirm(checker, appeal)
        assert has(world, session) == (1_500, 0, 0, 0)


class TestAfterwards:
    @pytest.fixture
    def adjusted(self, sender: Api, customer: Api, maker: Api, checker: Api) -> str:
        event_id = late_ride(sender)
        appeal = filed(customer, event_id=event_id)
        propose(maker, appeal, amount_millicredits=2_000, reduction_mg=RIDE_MG)
        assert confirm(checker, appeal).status_code == 200
        return event_id

    def test_a_reversal_takes_the_adjustment_too(
        self, world: World, session: Session, customer: Api, adjusted: str
    ) -> None:
        spend(world, 500)
        assert end(world.take_back("E-1", behaviour="bus_trip")) == "reversed"
        assert has(world, session) == (0, 0, 500, 0)
        assert customer.why(adjusted)["disposition"] == "reversed"
        flows = [(item["flow"], item["event_id"]) for item in body(customer.get("/transactions"))["items"]]
        assert flows[:3] == [
            ("reverse_reduction", adjusted),
            ("charge_clawback", adjusted),
            ("reverse", adjusted),
        ]

    @pytest.mark.usefixtures("adjusted")
    def test_a_correction_is_refused_and_says_why(self, world: World, session: Session) -> None:
        corrected = take_ride(world, "E-1", revision=1)
        assert (end(corrected), corrected.reason) == ("conflict", "adjusted")
        assert has(world, session) == (2_000, 0, 0, RIDE_MG)

    @pytest.mark.usefixtures("adjusted")
    def test_erasure_takes_the_words_and_leaves_the_outcome(
        self, world: World, session: Session, customer: Api
    ) -> None:
        account_id = world.accounts["C1"]
        retention.erase_payloads(account_id=account_id, reason="request 17")
        (appeal,) = body(customer.get("/appeals"))["items"]
        seen = body(customer.get(f"/appeals/{appeal['appeal_id']}"))
        assert (seen["text"], seen["attachments"], seen["reason"]) == (None, None, None)
        assert (seen["outcome"], seen["amount_millicredits"]) == ("adjusted", 2_000)
        assert seen["account_id"] == account_public_id(account_id)
        detail = session.scalar(text("SELECT detail FROM audit_record WHERE action = 'payloads.erase'"))
        session.rollback()
        assert detail == {"payloads": 1, "appeals": 1}

    @pytest.mark.usefixtures("adjusted")
    def test_words_go_when_the_programme_keeps_them_no_longer(self, world: World, session: Session) -> None:
        with clock_at(NOW.replace(year=2027)):
            retention.erase_old_words(world.programme_id)
            assert session.scalar(text("SELECT text FROM appeal")) == WORDS
            session.rollback()
        with clock_at(NOW.replace(year=2027, day=16)):
            assert retention.erase_old_words(world.programme_id) is False
        assert session.execute(text("SELECT text, attachments, reason FROM appeal")).one() == (
            None,
            None,
            None,
        )
        session.rollback()
