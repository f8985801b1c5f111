"""What customers and sources see of events that were reversed or corrected, over the API."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from tests.behaviours.api import BANK, ONE, TRANSIT, Api, body, event, refusal, ride, wrong
from tests.behaviours.world import World

MG = 134_500


@pytest.fixture
def api(world: World, client: FlaskClient, settings: Settings) -> Api:
    return Api(client, settings)


@pytest.fixture
def customer(world: World, client: FlaskClient, settings: Settings) -> Api:
    return Api(client, settings, role=Role.CUSTOMER, subject="C1")


def reversal(event_id: str, original: str, source: str = TRANSIT, **data: Any) -> dict[str, Any]:
    named = {"source": source, "id": original, "reason": "refunded", **data}
    return event(event_id, type="carbonpoints.reversal", source=source, data=named)


def test_a_reversed_ride_says_when_and_why_and_what_was_taken(api: Api, customer: Api) -> None:
    original = api.send(ride("E-1"))
    taken = api.send(reversal("R-1", "E-1"))
    assert (taken["disposition"], taken["reduction_mg"], taken["amount_millicredits"]) == ("reversed", 0, 0)
    seen = customer.why(original["event_id"])
    assert (seen["disposition"], seen["reduction_mg"]) == ("reversed", MG)
    assert seen["taken_back"] == {
        "event_id": original["event_id"],
        "by_event_id": taken["event_id"],
        "reason": "refunded",
        "booked_at": seen["taken_back"]["booked_at"],
        "amount_millicredits": MG,
        "clawback_due_millicredits": 0,
        "waived_millicredits": 0,
        "reduction_mg": MG,
    }
    assert seen["sentence"] == {
        "en": "Bus trip on 2026-06-15 was taken back on 2026-06-15: it was refunded; 134.5 credits and 134.5 g CO2e "
        "were taken back.",
        "zh": "2026-06-15 的公交出行已于 2026-06-15 冲正:该笔已退款;扣回 134.5 积分、134.5 克二氧化碳当量。",
    }
    reversing = customer.why(taken["event_id"])
    assert (reversing["disposition"], reversing["reduction_mg"]) == ("reversed", 0)
    assert reversing["taken_back"] == seen["taken_back"]
    assert reversing["sentence"] == seen["sentence"]
    assert reversing["inputs"]["data"] == {"id": "E-1", "reason": "refunded", "source": TRANSIT}
    for event_id in ("E-1", "R-1"):
        standing = body(api.get("/events", source=TRANSIT, id=event_id))
        assert (standing["disposition"], standing["sentence"]) == ("reversed", seen["sentence"])


def test_the_journal_names_the_event_behind_each_entry(api: Api, customer: Api) -> None:
    original = api.send(ride("E-1"))
    corrected = api.send(ride("E-1", distance_km="10") | {"revision": 1})
    taken = api.send(reversal("R-1", "E-1"))
    items = body(customer.get("/transactions"))["items"]
    assert [(item["flow"], item["event_id"]) for item in reversed(items)] == [
        ("earn", original["event_id"]),
        ("quantify", original["event_id"]),
        ("reverse", original["event_id"]),
        ("reverse_reduction", original["event_id"]),
        ("earn", corrected["event_id"]),
        ("quantify", corrected["event_id"]),
        ("reverse", taken["event_id"]),
        ("reverse_reduction", taken["event_id"]),
    ]


def test_a_corrected_ride_points_to_the_newest_report(api: Api, customer: Api) -> None:
    first = api.send(ride("E-1"))
    second = api.send(ride("E-1", distance_km="10") | {"revision": 1})
    third = api.send(ride("E-1", distance_km="1") | {"revision": 2})
    assert [second["disposition"], third["disposition"]] == ["credited", "credited"]
    for older, mg in ((first, MG), (second, 2 * MG)):
        seen = customer.why(older["event_id"])
        assert (seen["disposition"], seen["reduction_mg"]) == ("corrected", mg)
        assert (seen["taken_back"]["by_event_id"], seen["taken_back"]["reason"]) == (
            third["event_id"],
            "corrected",
        )
        assert seen["taken_back"]["reduction_mg"] == mg
        assert seen["sentence"]["zh"] == "2026-06-15 的公交出行已于 2026-06-15 更正,以新的上报为准。"
    newest = customer.why(third["event_id"])
    assert (newest["disposition"], newest["taken_back"]) == ("credited", None)
    assert body(api.get("/events", source=TRANSIT, id="E-1"))["event_id"] == third["event_id"]
    api.send(reversal("R-1", "E-1"))
    assert customer.why(third["event_id"])["disposition"] == "reversed"
    assert customer.why(first["event_id"])["disposition"] == "corrected"


def test_a_reversal_before_its_event_can_be_asked_for(api: Api, customer: Api) -> None:
    api.send(reversal("R-1", "E-1"))
    waiting = body(api.get("/events", source=TRANSIT, id="R-1"))
    assert (waiting["disposition"], waiting["event_id"]) == ("awaiting_original", None)
    late = api.send(ride("E-1"))
    seen = customer.why(late["event_id"])
    assert (seen["disposition"], seen["taken_back"]) == ("reversed", None)
    assert (
        seen["sentence"]["en"]
        == "Bus trip on 2026-06-15 earned nothing: it had been taken back before it arrived."
    )
    decided = api.send(reversal("R-1", "E-1"))
    assert customer.why(late["event_id"])["taken_back"]["by_event_id"] == decided["event_id"]


def test_a_refused_reversal_is_explained_like_any_event(api: Api, customer: Api) -> None:
    api.send(ride("E-1"))
    api.send(reversal("R-1", "E-1"))
    second = api.send(reversal("R-2", "E-1"))
    assert second["disposition"] == "claimed_elsewhere"
    assert customer.why(second["event_id"])["disposition"] == "claimed_elsewhere"
    third = api.send(reversal("R-3", "R-1"))
    seen = customer.why(third["event_id"])
    assert (seen["disposition"], seen["reason"]) == ("ineligible", "not_reversible")
    assert "a reversal itself" in seen["sentence"]["en"]


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"data": {"source": TRANSIT, "id": "E-1"}}, "data.reason", "required"),
        ({"data": {"source": TRANSIT, "id": "E-1", "reason": "whim"}}, "data.reason", "not_a_choice"),
        ({"data": {"source": BANK, "id": "E-1", "reason": "fraud"}}, "data.source", "another_source"),
        ({"data": {"source": TRANSIT, "id": "R-1", "reason": "fraud"}}, "data.id", "itself"),
        ({"data": {"source": TRANSIT, "id": "x" * 201, "reason": "fraud"}}, "data.id", "wrong_length"),
        (
            {"data": {"source": TRANSIT, "id": "E", "reason": "fraud", "more": 1}},
            "data.more",
            "unknown_field",
        ),
        ({"revision": 1}, "revision", "not_revised"),
        ({"time": "1980-01-01T00:00:00Z"}, "time", "too_small"),
    ],
)
def test_a_malformed_reversal_names_the_field_and_changes_nothing(
    api: Api, customer: Api, change: dict[str, Any], field: str, code: str
) -> None:
    original = api.send(ride("E-1"))
    answer = api.post(reversal("R-1", "E-1") | change, ONE)
    assert refusal(answer) == (422, "invalid_request")
    assert wrong(answer) == [(field, code)]
    assert customer.why(original["event_id"])["disposition"] == "credited"


def test_nobody_reverses_for_a_source_that_is_not_theirs(
    world: World, client: FlaskClient, settings: Settings
) -> None:
    bank = Api(client, settings, sources=(BANK,))
    Api(client, settings).send(ride("E-1"))
    assert refusal(bank.post(reversal("R-1", "E-1"), ONE)) == (403, "source_not_yours")
