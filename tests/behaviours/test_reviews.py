"""Reviews over the API: marked once, ended by two persons, seen by those who may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from carbonpoints.accounts.under_review import AWARDS
from carbonpoints.core.ids import account_public_id
from carbonpoints.core.roles import Role
from carbonpoints.ledger.errors import InsufficientCredits
from carbonpoints.ledger.reconcile import check
from tests.behaviours import world as scene
from tests.behaviours.api import BANK, TRANSIT, Api, body, event, refusal, ride, wrong
from tests.behaviours.reviewing import (
    FORFEITED,
    RELEASED,
    WHY,
    Officers,
    confirm,
    end,
    mark,
    marked,
    post,
    propose,
    send_back,
)
from tests.behaviours.undoing import (
    PAYMENT,
    RIDE_MG,
    has,
    pay,
    set_status,
    spend,
)
from tests.behaviours.world import NOW, World

As = Callable[..., Api]


@pytest.fixture(autouse=True)
def proven(world: World, session: Session) -> Iterator[None]:
    yield
    assert [finding.code for finding in check(session) if finding.differences] == []


def rows(session: Session, table: str) -> int:
    """Count, and leave nothing open that would take back what is called afterwards."""
    counted = scene.rows(session, table)
    session.rollback()
    return counted


def actions(session: Session) -> list[tuple[str, ...]]:
    found = session.execute(
        text("SELECT action, actor_role FROM audit_record WHERE action LIKE 'review%' ORDER BY recorded_at")
    ).all()
    session.rollback()
    return [tuple(row) for row in found]


class TestMarking:
    def test_an_event_is_marked_and_what_is_left_of_it_cannot_be_spent(
        self, world: World, session: Session, sender: Api, officers: Officers
    ) -> None:
        sent = sender.send(ride("E-1"))
        pay(world, "E-2")
        spend(world, 300)
        answer = body(mark(officers.opener, event_id=sent["event_id"]))
        assert answer == {
            "review_id": answer["review_id"],
            "account_id": sent["account_id"],
            "event_id": sent["event_id"],
            "reason_code": "split_payments",
            "opened_at": NOW.isoformat(),
            "opened_by": "opener",
            "state": "open",
            "proposal_no": 0,
            "proposed_outcome": None,
            "outcome": None,
            "ended_at": None,
            "steps": [
                {
                    "step": "opened",
                    "outcome": None,
                    "person": "opener",
                    "text": WHY["text"],
                    "taken_at": NOW.isoformat(),
                }
            ],
        }
        # Of the ride 300 were spent: they stay spent. The payment is free.
        assert has(world, session) == (PAYMENT, RIDE_MG - 300, 0, RIDE_MG)
        with pytest.raises(InsufficientCredits):
            spend(world, PAYMENT + 1)
        spend(world, PAYMENT)
        assert has(world, session) == (0, RIDE_MG - 300, 0, RIDE_MG)

    def test_once_for_a_key_and_once_at_a_time(
        self, session: Session, sender: Api, officers: Officers
    ) -> None:
        named = {"source": TRANSIT, "id": "E-1"}
        sender.send(ride("E-1"))
        first = mark(officers.opener, **named)
        again = mark(officers.opener, **named)
        assert (again.json, again.headers["Idempotent-Replayed"]) == (first.json, "true")
        before = rows(session, "decision")
        assert refusal(mark(officers.opener, "another-key", **named)) == (409, "review_open")
        assert refusal(mark(officers.maker, "another-key", **named)) == (409, "review_open")
        other = post(officers.opener, "/reviews", {**WHY, "text": "else", **named}, "mark-0001")
        assert refusal(other) == (422, "idempotency_key_reused")
        assert rows(session, "decision") == before
        assert (rows(session, "review"), rows(session, "review_step")) == (1, 1)

    def test_the_bank_s_systems_mark_and_do_no_more(
        self, session: Session, sender: Api, customer: Api, by: As
    ) -> None:
        sent = sender.send(ride("E-1"))
        review_id = marked(sender, event_id=sent["event_id"])
        for refused in (
            propose(sender, review_id, RELEASED),
            confirm(sender, review_id),
            send_back(sender, review_id),
            sender.get(f"/reviews/{review_id}"),
            mark(customer, event_id=sent["event_id"]),
            mark(by(Role.OPERATIONS, "ops"), event_id=sent["event_id"]),
            mark(by(Role.AUDITOR, "aud"), event_id=sent["event_id"]),
            propose(by(Role.AUDITOR, "aud"), review_id, RELEASED),
        ):
            assert refusal(refused) == (403, "insufficient_scope")
        assert rows(session, "review_step") == 1

    @pytest.mark.parametrize(
        ("sent", "field"),
        [
            ({}, "event_id"),
            ({"event_id": "evt_1_1", "account_id": "acct_1"}, "event_id"),
            ({"source": BANK}, "event_id"),
            ({"event_id": "evt_1_1", "text": " "}, "text"),
            ({"event_id": "evt_1_1", "text": "x" * 1_001}, "text"),
            ({"event_id": "evt_1_1", "reason_code": "bad luck"}, "reason_code"),
        ],
    )
    def test_what_is_malformed_names_the_field(
        self, officers: Officers, session: Session, sent: dict[str, Any], field: str
    ) -> None:
        answer = post(officers.opener, "/reviews", {**WHY, **sent}, "mark-0001")
        assert (refusal(answer)[0], [name for name, _ in wrong(answer)]) == (422, [field])
        assert rows(session, "review") == 0

    def test_no_key_no_mark(self, officers: Officers, sender: Api, session: Session) -> None:
        sent = sender.send(ride("E-1"))
        assert refusal(post(officers.opener, "/reviews", {**WHY, "event_id": sent["event_id"]}))[0] == 422
        assert rows(session, "review") == 0

    def test_what_gave_nothing_cannot_be_marked(
        self, world: World, session: Session, sender: Api, officers: Officers
    ) -> None:
        nothing = sender.send(event("E-1", data={**event("E-1")["data"], "own_account": True}))
        taken = sender.send(ride("E-2"))
        world.take_back("E-2", behaviour="bus_trip")
        before = rows(session, "decision")
        for number, sent in enumerate((nothing, taken)):
            answer = mark(officers.opener, f"mark-000{number}", event_id=sent["event_id"])
            assert refusal(answer) == (409, "nothing_to_review")
        for number, name in enumerate(("evt_1_1", "acct_1", "evt_100001_1")):
            assert refusal(mark(officers.opener, f"none-000{number}", event_id=name))[0] == 404
        assert refusal(mark(officers.opener, "none-0009", source=BANK, id="E-9"))[0] == 404
        assert refusal(mark(officers.opener, "none-0010", account_id="acct_1"))[0] == 404
        assert (rows(session, "decision"), rows(session, "review")) == (before, 0)

    @pytest.mark.parametrize("status", ["closed", "merged"])
    def test_no_account_that_is_gone(
        self, world: World, session: Session, officers: Officers, status: str
    ) -> None:
        set_status(session, world, status)
        answer = mark(officers.opener, account_id=account_public_id(world.accounts["C1"]))
        assert refusal(answer) == (409, f"account_{status}")
        assert rows(session, "review") == 0

    def test_a_frozen_account_is_marked_and_released(
        self, world: World, session: Session, sender: Api, officers: Officers
    ) -> None:
        sent = sender.send(ride("E-1"))
        set_status(session, world, "frozen")
        review_id = marked(officers.opener, event_id=sent["event_id"])
        assert has(world, session) == (0, RIDE_MG, 0, RIDE_MG)
        end(officers, review_id, RELEASED)
        assert has(world, session) == (RIDE_MG, 0, 0, RIDE_MG)


class TestFourEyes:
    @pytest.fixture
    def review_id(self, sender: Api, officers: Officers) -> str:
        return marked(officers.opener, event_id=sender.send(ride("E-1"))["event_id"])

    def test_neither_who_proposed_nor_who_opened_confirms(
        self, world: World, session: Session, officers: Officers, review_id: str
    ) -> None:
        opener, maker, checker = officers
        assert refusal(confirm(checker, review_id)) == (409, "proposal_changed")
        propose(maker, review_id, FORFEITED)
        before = rows(session, "decision")
        assert refusal(confirm(maker, review_id)) == (403, "four_eyes")
        assert refusal(confirm(opener, review_id)) == (403, "four_eyes")
        assert refusal(send_back(maker, review_id)) == (403, "four_eyes")
        assert has(world, session) == (0, RIDE_MG, 0, RIDE_MG)
        assert rows(session, "decision") == before
        answer = confirm(checker, review_id)
        assert (body(answer)["state"], body(answer)["outcome"]) == ("ended", FORFEITED)
        assert has(world, session) == (0, 0, 0, 0)
        again = confirm(checker, review_id)
        assert (again.json, again.headers["Idempotent-Replayed"]) == (answer.json, "true")
        for refused in (
            confirm(checker, review_id, key="another-key"),
            propose(maker, review_id, RELEASED),
            send_back(checker, review_id),
        ):
            assert refusal(refused) == (409, "review_ended")

    def test_what_is_confirmed_is_what_was_seen(
        self, world: World, session: Session, officers: Officers, review_id: str
    ) -> None:
        opener, maker, checker = officers
        propose(maker, review_id, FORFEITED)
        propose(opener, review_id, RELEASED, "It was a group of friends.")
        assert refusal(confirm(checker, review_id, 1)) == (409, "proposal_changed")
        assert refusal(send_back(checker, review_id, 1)) == (409, "proposal_changed")
        assert has(world, session) == (0, RIDE_MG, 0, RIDE_MG)
        assert body(send_back(checker, review_id, 2))["state"] == "open"
        assert refusal(confirm(checker, review_id, 2)) == (409, "proposal_changed")
        propose(checker, review_id, RELEASED)
        ended = body(confirm(maker, review_id, 3))
        assert [(step["step"], step["outcome"], step["person"]) for step in ended["steps"]] == [
            ("opened", None, "opener"),
            ("proposed", FORFEITED, "maker"),
            ("proposed", RELEASED, "opener"),
            ("returned", None, "checker"),
            ("proposed", RELEASED, "checker"),
            ("confirmed", RELEASED, "maker"),
        ]
        assert has(world, session) == (RIDE_MG, 0, 0, RIDE_MG)
        assert [action for action, _ in actions(session)] == [
            "review.opened",
            "review.proposed",
            "review.proposed",
            "review.returned",
            "review.proposed",
            "review.confirmed",
        ]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE review SET checker_person = maker_person, outcome = 'released', ended_at = now(), ended_seq = 1",
            "UPDATE review SET checker_person = opened_by, outcome = 'released', ended_at = now(), ended_seq = 1",
            "UPDATE review SET outcome = 'released', ended_at = now(), ended_seq = 1",
            "UPDATE review SET checker_person = 'x', outcome = 'forfeited', ended_at = now(), ended_seq = 1",
            "UPDATE review SET checker_person = 'x', outcome = 'released', ended_at = now()",
            "UPDATE review SET checker_person = 'x'",
            "UPDATE review SET maker_person = NULL",
            "UPDATE review SET opened_by = 'x'",
            "DELETE FROM review",
            "DELETE FROM review_step",
            "UPDATE review_step SET person = 'x'",
            "INSERT INTO review_step SELECT account_id, review_seq, 3, 'confirmed', 'released', 'maker', NULL, now() FROM review",
            "INSERT INTO review_step SELECT account_id, review_seq, 3, 'confirmed', 'released', 'opener', NULL, now() FROM review",
            "INSERT INTO review_step SELECT account_id, review_seq, 3, 'confirmed', 'forfeited', 'x', NULL, now() FROM review",
            "INSERT INTO review_step SELECT account_id, review_seq, 3, 'returned', NULL, 'maker', 'x', now() FROM review",
            "INSERT INTO review_step SELECT account_id, review_seq, 3, 'opened', NULL, 'x', 'x', now() FROM review",
            "INSERT INTO review_step SELECT account_id, review_seq, 4, 'proposed', 'released', 'x', 'x', now() FROM review",
            "INSERT INTO review_step SELECT account_id, review_seq, 3, 'proposed', 'released', 'x', ' ', now() FROM review",
        ],
    )
    def test_the_database_holds_it_too(
        self, session: Session, officers: Officers, review_id: str, statement: str
    ) -> None:
        propose(officers.maker, review_id, RELEASED)
        with pytest.raises(IntegrityError):
            session.execute(text(statement))
        session.rollback()

    def test_an_end_is_final_in_the_database(
        self, session: Session, officers: Officers, review_id: str
    ) -> None:
        end(officers, review_id, RELEASED)
        for statement in (
            "UPDATE review SET outcome = 'forfeited', proposed_outcome = 'forfeited'",
            "INSERT INTO review_step SELECT account_id, review_seq, 4, 'proposed', 'released', 'x', 'x', now() FROM review",
        ):
            with pytest.raises(IntegrityError):
                session.execute(text(statement))
            session.rollback()


class TestReading:
    def test_risk_and_auditors_say_why_and_leave_a_record(
        self, session: Session, sender: Api, officers: Officers, by: As
    ) -> None:
        review_id = marked(officers.opener, event_id=sender.send(ride("E-1"))["event_id"])
        auditor = by(Role.AUDITOR, "aud")
        assert refusal(auditor.get("/reviews"))[1] == "purpose_needed"
        assert refusal(auditor.get(f"/reviews/{review_id}"))[1] == "purpose_needed"
        (listed,) = body(auditor.get("/reviews", purpose="audit"))["items"]
        assert (listed["review_id"], listed["state"]) == (review_id, "open")
        assert "steps" not in listed
        assert body(auditor.get(f"/reviews/{review_id}", purpose="audit"))["steps"][0]["text"] == WHY["text"]
        assert refusal(auditor.get("/reviews/rev_1_1", purpose="audit"))[0] == 404
        assert actions(session) == [
            ("review.opened", "risk"),
            ("reviews.list", "auditor"),
            ("review.read", "auditor"),
        ]
        for other in (by(Role.CUSTOMER, "C1"), by(Role.CUSTOMER_SERVICE, "s"), by(Role.OPERATIONS, "o")):
            assert refusal(other.get("/reviews", purpose="case:1")) == (403, "insufficient_scope")

    def test_pages_of_open_and_ended_ones(self, sender: Api, officers: Officers) -> None:
        ids = [
            marked(
                officers.opener, f"mark-000{number}", event_id=sender.send(ride(f"E-{number}"))["event_id"]
            )
            for number in range(3)
        ]
        end(officers, ids[1], RELEASED)
        risk = officers.maker
        first = body(risk.get("/reviews", purpose="work", limit="2"))
        second = body(risk.get("/reviews", purpose="work", limit="2", cursor=first["next_cursor"]))
        assert [item["review_id"] for item in first["items"] + second["items"]] == ids
        assert second["next_cursor"] is None
        for ended, found in (("true", [ids[1]]), ("false", [ids[0], ids[2]])):
            items = body(risk.get("/reviews", purpose="work", ended=ended))["items"]
            assert [item["review_id"] for item in items] == found
        assert refusal(risk.get("/reviews", purpose="work", cursor="WzFd"))[0] == 422

    def test_the_customer_reads_that_and_never_why(
        self, sender: Api, customer: Api, officers: Officers
    ) -> None:
        sent = sender.send(ride("E-1"))
        assert body(customer.get("/accounts/mine"))["under_review"] is None
        review_id = marked(officers.opener, event_id=sent["event_id"])
        why = customer.why(sent["event_id"])
        assert (why["disposition"], why["taken_back"], why["amount_millicredits"]) == (
            "under_review",
            None,
            RIDE_MG,
        )
        assert why["sentence"] == {
            "en": "Bus trip on 2026-06-15 is being checked against the rules of the programme: its 134.5 credits are "
            "pending and what is left of them can be used once the check has ended well.",
            "zh": "2026-06-15 的公交出行正在按碳普惠项目规则进行核查:所获 134.5 积分暂为待生效,核查通过后剩余部分可用。",
        }
        standing = body(sender.get("/events", source=TRANSIT, id="E-1"))
        assert (standing["disposition"], standing["sentence"]) == ("under_review", why["sentence"])
        account = body(customer.get("/accounts/mine"))
        assert account["under_review"] == AWARDS._asdict()
        (moved,) = body(customer.get("/transactions", flow="set_aside"))["items"]
        assert (moved["moved_from"], moved["moved_to"], moved["amount_millicredits"], moved["event_id"]) == (
            "available",
            "pending",
            RIDE_MG,
            sent["event_id"],
        )
        statement = body(customer.get("/statements/2026-06"))
        assert "set_aside" in [each["flow"] for each in statement["movements"]]
        for answer in (why, account, moved, statement):
            assert "split" not in str(answer)
            assert WHY["text"] not in str(answer)
        end(officers, review_id, RELEASED)
        assert customer.why(sent["event_id"])["disposition"] == "credited"
        assert body(customer.get("/accounts/mine"))["under_review"] is None
