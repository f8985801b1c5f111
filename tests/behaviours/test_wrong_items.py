from __future__ import annotations

import json

from flask.testing import FlaskClient

from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from tests.behaviours.world import NOW, SOURCES, World

SOURCE = SOURCES["bus_trip"]


def test_what_is_wrong_with_an_item_is_said_in_the_callers_language(
    world: World, client: FlaskClient, settings: Settings
) -> None:
    token = issue_demo_token(
        settings,
        issuer="https://bank.example/gansu",
        subject="partner",
        role=Role.FEED_PARTNER,
        sources=[SOURCE],
    )
    ride = {
        "specversion": "1.0",
        "id": "E-1",
        "source": SOURCE,
        "type": "carbonpoints.behaviour.bus_trip",
        "subject": "CUSTOMER_REF:C1",
        "time": NOW.isoformat(),
        "data": {"distance_km": "0.01", "fare_medium": "coin", "ticket_reference": "T-1"},
    }
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/cloudevents-batch+json",
        "Accept-Language": "zh-CN",
    }
    answer = client.post("/v1/events", data=json.dumps([ride]), headers=headers)
    assert answer.json is not None
    (item,) = answer.json["items"]
    assert item["disposition"] == "invalid"
    assert item["errors"] == [
        {"field": "data.distance_km", "code": "too_small", "detail": "最小接受值为 0.1。"},
        {"field": "data.fare_medium", "code": "not_a_choice", "detail": "应为以下之一：card, qr。"},
    ]
