"""Events that go no further than being read end in a disposition too, which their sender can ask for (M20)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from tests.behaviours.world import NOW, SOURCES, World, payment, rows

SOURCE = SOURCES["non_cash_payment"]
OTHER_SOURCE = SOURCES["bus_trip"]


@dataclass
class Partner:
    """A feed partner that speaks for some sources."""

    client: FlaskClient
    token: str

    def send(self, *events: dict[str, Any]) -> list[str]:
        """Send a batch and return how each item ended."""
        answer = self.post(list(events), "application/cloudevents-batch+json")
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        return [item["disposition"] for item in answer.json["items"]]

    def post(self, body: object, media_type: str = "application/cloudevents+json") -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": media_type}
        return self.client.post("/v1/events", data=json.dumps(body), headers=headers)

    def standing(self, event_id: str, source: str = SOURCE) -> str | None:
        """How an event stands by its source and id; None where nothing is known of it."""
        headers = {"Authorization": f"Bearer {self.token}"}
        query = {"source": source, "id": event_id}
        answer = self.client.get("/v1/events", query_string=query, headers=headers)
        assert answer.json is not None
        return answer.json["disposition"] if answer.status_code == 200 else None


@pytest.fixture
def partner(world: World, client: FlaskClient, settings: Settings) -> Partner:
    sources = [SOURCE, "urn:nobody"]
    token = issue_demo_token(
        settings,
        issuer="https://bank.example/gansu",
        subject="partner",
        role=Role.FEED_PARTNER,
        sources=sources,
    )
    return Partner(client, token)


def event(event_id: Any, reference: str = "T-1", **fields: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": "carbonpoints.behaviour.non_cash_payment",
        "subject": "CUSTOMER_REF:C1",
        "time": NOW.isoformat(),
        "data": payment(reference),
        **fields,
    }


REVERSAL = {"type": "carbonpoints.reversal"}


@pytest.mark.parametrize(
    ("wrong", "end"),
    [
        ({"time": "yesterday"}, "invalid"),
        ({"time": "1989-12-31T00:00:00Z"}, "invalid"),
        ({"colour": "green"}, "invalid"),
        ({"data": payment("T-1", amount_minor="much")}, "invalid"),
        (REVERSAL, "invalid"),
    ],
)
def test_it_can_be_asked_for_by_source_and_id(
    partner: Partner, session: Session, wrong: dict[str, Any], end: str
) -> None:
    assert partner.send(event("E-1", **wrong)) == [end]
    assert partner.standing("E-1") == end
    undecided = session.execute(
        text(
            "SELECT u.account_id, s.uri, u.received_at FROM identity_undecided u JOIN event_source s USING (source_id)"
        )
    )
    assert undecided.all() == [(None, SOURCE, NOW)]
    assert (rows(session, "identity_event"), rows(session, "event_payload")) == (0, 0)


def test_a_single_invalid_event_is_refused_and_remembered(partner: Partner) -> None:
    assert partner.post(event("E-1", time="yesterday")).status_code == 422
    assert partner.standing("E-1") == "invalid"


def test_a_batch_is_remembered_item_by_item(partner: Partner) -> None:
    sent = [
        event("E-1", time="x"),
        event("E-2", "T-2"),
        event("E-3", **REVERSAL),
        event("E-4", colour="green"),
    ]
    ends = ["invalid", "credited", "invalid", "invalid"]
    assert partner.send(*sent) == ends
    assert [partner.standing(item["id"]) for item in sent] == ends


def test_a_valid_redelivery_is_decided_afresh(partner: Partner) -> None:
    partner.send(event("E-1", time="yesterday"))
    assert partner.send(event("E-1")) == ["credited"]
    assert partner.standing("E-1") == "credited"


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "later"])
def test_what_was_decided_stays_decided(partner: Partner, session: Session, together: bool) -> None:  # noqa: FBT001 - a parameter of the test
    good, bad = event("E-1"), event("E-1", time="yesterday")
    if together:
        assert partner.send(bad, good, bad) == ["invalid", "credited", "invalid"]
    else:
        assert partner.send(good) + partner.send(bad) == ["credited", "invalid"]
    assert partner.standing("E-1") == "credited"
    assert rows(session, "identity_undecided") == 0


def test_the_last_word_about_an_undecided_event_counts(partner: Partner, session: Session) -> None:
    assert partner.send(event("E-1", subject="CUSTOMER_REF:C3")) == ["no_consent"]
    assert partner.send(event("E-1", time="yesterday")) == ["invalid"]
    assert partner.standing("E-1") == "invalid"
    assert rows(session, "identity_undecided") == 1


@pytest.mark.parametrize(
    "nameless",
    [{"id": ""}, {"id": 7}, {"id": "7" * 201}, {"id": None}, {"source": 7}, {"source": "urn:nobody"}],
)
def test_what_names_no_event_is_not_remembered(
    partner: Partner, session: Session, nameless: dict[str, Any]
) -> None:
    assert partner.send(event("E-1", time="yesterday") | nameless) == ["invalid"]
    assert rows(session, "identity_undecided") == 0


def test_nothing_but_objects_names_an_event(partner: Partner, session: Session) -> None:
    answer = partner.post(["E-1", None, []], "application/cloudevents-batch+json")
    assert answer.status_code == 200
    assert rows(session, "identity_undecided") == 0


@pytest.mark.parametrize("wrong", [{"time": "yesterday"}, REVERSAL, {}])
def test_nobody_speaks_for_anothers_source(partner: Partner, session: Session, wrong: dict[str, Any]) -> None:
    assert partner.send(event("E-1", source=OTHER_SOURCE, **wrong)) == ["invalid"]
    assert rows(session, "identity_undecided") == 0
