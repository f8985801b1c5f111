"""Appeals over the API: filed once, read with a purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.roles import Role
from carbonpoints.ledger.reconcile import check
from tests.behaviours.api import BANK, TRANSIT, Api, body, event, refusal, ride, wrong
from tests.behaviours.appealing import LATE, WORDS, filed, late_ride, post, propose
from tests.behaviours.world import NOW, World, rows

As = Callable[..., Api]


@pytest.fixture(autouse=True)
def proven(world: World, session: Session) -> Iterator[None]:
    yield
    assert [finding.code for finding in check(session) if finding.differences] == []


class TestFiling:
    def test_a_customer_reads_why_and_files_one_appeal(self, sender: Api, customer: Api) -> None:
        event_id = late_ride(sender)
        why = customer.why(event_id)
        assert why["sentence"]["zh"].endswith("上报时间超过允许的延迟期限,您可以提出申诉。")
        assert why["sentence"]["en"].endswith("you can file an appeal.")
        assert why["appeal"] is None
        appeal = filed(customer, event_id=event_id)
        assert appeal == {
            "appeal_id": appeal["appeal_id"],
            "account_id": why["account_id"],
            "event_id": event_id,
            "disposition": "too_late",
            "filed_at": NOW.isoformat(),
            "state": "open",
            "outcome": None,
            "resolved_at": None,
            "text": WORDS,
            "attachments": ["photo 17"],
            "reason": None,
            "amount_millicredits": 0,
            "reduction_mg": 0,
            "proposal_no": 0,
            "maker_person": None,
            "checker_person": None,
            "caveat": appeal["caveat"],
        }
        assert refusal(post(customer, "/appeals", {"text": "again", "event_id": event_id})) == (
            409,
            "appeal_exists",
        )
        assert customer.why(event_id)["appeal"] == {
            "appeal_id": appeal["appeal_id"],
            "outcome": None,
            "resolved_at": None,
            "amount_millicredits": 0,
            "reduction_mg": 0,
        }
        assert body(customer.get(f"/appeals/{appeal['appeal_id']}")) == appeal

    def test_by_the_source_s_own_name_also_of_an_event_that_was_not_decided(
        self, by: As, sender: Api
    ) -> None:
        sender.send(event("E-1", subject="CUSTOMER_REF:C3"))
        third = by(Role.CUSTOMER, "C3")
        standing = body(third.get("/events", source=BANK, id="E-1"))
        assert (standing["disposition"], standing["event_id"]) == ("no_consent", None)
        appeal = filed(third, source=BANK, id="E-1")
        assert (appeal["disposition"], appeal["event_id"]) == ("no_consent", None)
        for other in ("C1", "C2"):
            assert refusal(by(Role.CUSTOMER, other).get("/events", source=BANK, id="E-1"))[0] == 404
            sent = {"text": WORDS, "source": BANK, "id": "E-1"}
            assert refusal(post(by(Role.CUSTOMER, other), "/appeals", sent))[0] == 404

    def test_one_appeal_for_all_revisions_by_whatever_name(self, sender: Api, customer: Api) -> None:
        first = sender.send(ride("E-1"))
        filed(customer, event_id=first["event_id"])
        second = sender.send(ride("E-1", distance_km="1") | {"revision": 1})
        for named in ({"event_id": second["event_id"]}, {"source": TRANSIT, "id": "E-1"}):
            answer = post(customer, "/appeals", {"text": WORDS, **named})
            assert refusal(answer) == (409, "appeal_exists")

    def test_about_a_reversed_event_and_about_the_reversal(self, sender: Api, customer: Api) -> None:
        original = sender.send(ride("E-1"))
        named = {"source": TRANSIT, "id": "E-1", "reason": "refunded"}
        taken = sender.send(event("R-1", type="carbonpoints.reversal", source=TRANSIT, data=named))
        assert filed(customer, event_id=original["event_id"])["disposition"] == "reversed"
        assert filed(customer, event_id=taken["event_id"])["disposition"] == "reversed"

    @pytest.mark.parametrize(
        ("sent", "field"),
        [
            ({"text": WORDS}, "event_id"),
            ({"text": WORDS, "event_id": "evt_1_1", "source": BANK}, "event_id"),
            ({"text": WORDS, "source": BANK}, "event_id"),
            ({"text": "", "event_id": "evt_1_1"}, "text"),
            ({"text": "x" * 2_001, "event_id": "evt_1_1"}, "text"),
            ({"text": WORDS, "event_id": "evt_1_1", "attachments": ["x"] * 11}, "attachments"),
            ({"text": WORDS, "event_id": "evt_1_1", "attachments": ["x" * 201]}, "attachments.0"),
            ({"text": WORDS, "event_id": "evt_1_1", "file": "abc"}, "file"),
        ],
    )
    def test_what_is_malformed_names_the_field(
        self, customer: Api, session: Session, sent: dict[str, Any], field: str
    ) -> None:
        answer = post(customer, "/appeals", sent)
        assert refusal(answer)[0] == 422
        assert [name for name, _ in wrong(answer)] == [field]
        assert rows(session, "appeal") == 0

    def test_nobody_files_about_what_is_not_theirs(self, by: As, sender: Api, session: Session) -> None:
        event_id = late_ride(sender)
        for name in (event_id, "evt_1_1", "acct_1"):
            sent = {"text": WORDS, "event_id": name}
            assert refusal(post(by(Role.CUSTOMER, "C2"), "/appeals", sent))[0] == 404
        assert rows(session, "appeal") == 0


class TestReading:
    def test_staff_says_why_and_every_reading_is_audited(
        self, by: As, sender: Api, customer: Api, session: Session
    ) -> None:
        appeal = filed(customer, event_id=late_ride(sender))
        service = by(Role.CUSTOMER_SERVICE, "service")
        assert refusal(service.get("/appeals", purpose="looking"))[1] == "purpose_needed"
        assert refusal(service.get(f"/appeals/{appeal['appeal_id']}"))[1] == "purpose_needed"
        listed = body(service.get("/appeals", purpose="case:7"))
        assert [item["appeal_id"] for item in listed["items"]] == [appeal["appeal_id"]]
        assert "text" not in listed["items"][0]
        assert body(service.get(f"/appeals/{appeal['appeal_id']}", purpose="case:7"))["text"] == WORDS
        assert refusal(propose(service, appeal, amount_millicredits=1)) == (403, "insufficient_scope")
        noted = session.execute(
            text(
                "SELECT action, purpose FROM audit_record WHERE actor_role = 'customer_service' ORDER BY recorded_at"
            )
        ).all()
        session.rollback()
        assert sorted(map(tuple, noted)) == [("appeal.read", "case:7"), ("appeals.list", "case:7")]

    def test_pages_of_open_and_resolved_ones(self, by: As, sender: Api, customer: Api, maker: Api) -> None:
        ids = []
        for number in range(3):
            sent = sender.send(ride(f"E-{number}") | LATE)
            ids.append(filed(customer, event_id=sent["event_id"])["appeal_id"])
        propose(maker, {"appeal_id": ids[1]}, outcome="rejected")
        first = body(maker.get("/appeals", purpose="audit", limit="2"))
        second = body(maker.get("/appeals", purpose="audit", limit="2", cursor=first["next_cursor"]))
        assert [item["appeal_id"] for item in first["items"] + second["items"]] == ids
        assert second["next_cursor"] is None
        open_ones = body(maker.get("/appeals", purpose="audit", resolved="false"))["items"]
        assert [item["appeal_id"] for item in open_ones] == [ids[0], ids[2]]
        assert [item["appeal_id"] for item in body(customer.get("/appeals", resolved="true"))["items"]] == [
            ids[1]
        ]
        assert body(by(Role.CUSTOMER, "C2").get("/appeals"))["items"] == []
        assert refusal(by(Role.CUSTOMER, "C2").get(f"/appeals/{ids[0]}"))[0] == 404
