"""The events API as its callers see it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import HOLDERS, STAFF, Role
from tests.behaviours.world import NOW, SOURCES, payment

ISSUER = "https://bank.example/gansu"
ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
BANK, TRANSIT = SOURCES["non_cash_payment"], SOURCES["bus_trip"]
RIDE = {"distance_km": "5", "ticket_reference": "T-1", "fare_medium": "qr"}


def event(event_id: Any, behaviour: str = "non_cash_payment", **fields: Any) -> dict[str, Any]:
    """A CloudEvent about the first customer; a payment has its own reference."""
    data = payment(f"of {event_id}") if behaviour == "non_cash_payment" else {}
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCES.get(behaviour, BANK),
        "type": f"carbonpoints.behaviour.{behaviour}",
        "subject": "CUSTOMER_REF:C1",
        "time": NOW.isoformat(),
        "data": data,
        **fields,
    }


def ride(event_id: Any, **data: Any) -> dict[str, Any]:
    return event(event_id, "bus_trip", data={**RIDE, "ticket_reference": f"of {event_id}", **data})


@dataclass
class Api:
    """Calls as somebody with a role; systems speak for the bank's and the bus company's events."""

    client: FlaskClient
    settings: Settings
    role: Role = Role.CORE_BANKING
    subject: str = "caller"
    sources: Sequence[str] = (BANK, TRANSIT)
    language: str = "en"

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        sources = () if self.role in HOLDERS | STAFF else self.sources
        token = issue_demo_token(
            self.settings, issuer=ISSUER, subject=self.subject, role=self.role, sources=sources
        )
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept-Language": self.language,
            **options.pop("headers", {}),
        }
        return self.client.open(f"/v1{path}", method=method, headers=headers, **options)

    def get(self, path: str, **query: str) -> TestResponse:
        return self.call("GET", path, query_string=query)

    def post(self, body: object, media_type: str) -> TestResponse:
        headers = {"Content-Type": media_type}
        return self.call("POST", "/events", data=json.dumps(body, ensure_ascii=False), headers=headers)

    def send(self, item: object) -> dict[str, Any]:
        """Send one event and return what became of it."""
        answer = body(self.post(item, ONE))
        (item,) = answer["items"]
        assert isinstance(item, dict)
        return item

    def deliver(self, *items: object) -> list[dict[str, Any]]:
        """Send a batch and return what became of each item."""
        found: list[dict[str, Any]] = body(self.post(list(items), BATCH))["items"]
        return found

    def why(self, event_id: str, **query: str) -> dict[str, Any]:
        return body(self.get(f"/events/{event_id}", **query))


def body(answer: TestResponse) -> dict[str, Any]:
    """The body of an answer that is none of a refusal."""
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json, dict)
    return answer.json


def refusal(answer: TestResponse) -> tuple[int, str]:
    """Status and code of a refusal."""
    assert isinstance(answer.json, dict), answer.text
    return answer.status_code, answer.json["code"]


def wrong(answer: TestResponse) -> list[tuple[str, str]]:
    """Fields of a refusal with the code of each."""
    assert isinstance(answer.json, dict)
    return [(error["field"], error["code"]) for error in answer.json["errors"]]


def ends(items: Sequence[dict[str, Any]]) -> list[str]:
    return [item["disposition"] for item in items]
