"""Trying one event out on versions and drafts: what the engine gives, and nothing is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from carbonpoints.core.sentences import CAVEAT
from carbonpoints.rules import services
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.submissions import Located, Submission
from tests.architecture.test_access import fingerprint
from tests.behaviours.api import RIDE, Api, body, refusal, ride
from tests.behaviours.world import NOW, World, payment, shipped
from tests.rules.catalogue_files import confirm

BUS_RULE = next(rule for rule in shipped().rules if rule.code == "bus_trip")
BUS_TRIP = next(behaviour for behaviour in shipped().behaviours if behaviour.code == "bus_trip")
BUS_FACTOR = next(factor for factor in shipped().factors if factor.code == "BUS_EV_SZ")


@pytest.fixture
def maker(client: FlaskClient, settings: Settings, world: World) -> Api:
    return Api(client, settings, role=Role.RULE_MAKER, subject="maker")


def simulate(maker: Api, **asked: Any) -> dict[str, Any]:
    asked = {"behaviour": "bus_trip", "attributes": RIDE, **asked}
    return body(maker.call("POST", "/rules/simulate", json=asked))


def wrong_fields(maker: Api, **asked: Any) -> list[tuple[str, str]]:
    asked = {"behaviour": "bus_trip", "attributes": RIDE, **asked}
    answer = maker.call("POST", "/rules/simulate", json=asked)
    assert answer.status_code == 422, answer.text
    return [(error["field"], error["code"]) for error in answer.json["errors"]]  # type: ignore[index]


def draft_rule(**changes: Any) -> dict[str, Any]:
    """The bus rule's content with some fields changed."""
    content: dict[str, Any] = as_content(BUS_RULE)
    return {"rule": content | changes}


def version_of(session: Session, kind: str, code: str) -> int:
    query = "SELECT max(version_id) FROM version WHERE kind = :kind AND code = :code"
    return int(session.scalar(text(query), {"kind": kind, "code": code}) or 0)


def test_what_is_in_force_gives_what_a_real_event_gets(maker: Api, session: Session) -> None:
    tried = simulate(maker)
    core = replace(maker, role=Role.CORE_BANKING)
    sent = core.send(ride("E-1", ticket_reference=RIDE["ticket_reference"]))
    why = core.why(sent["event_id"])
    assert tried.pop("caveat") == why.pop("caveat") == CAVEAT._asdict()
    caps, found = tried.pop("caps"), tried.pop("findings")
    assert (found, tried.pop("campaigns")) == ([], [])
    only_stored = ("event_id", "account_id", "occurred_at", "received_at", "booked_at", "business_date")
    for name in (*only_stored, "inputs_state", "taken_back", "appeal", "restatements"):
        why.pop(name)
    assert tried == {**why, "inputs": why["inputs"]["data"]}
    assert tried["rule"]["version_id"] == version_of(session, "rule", "bus_trip")
    assert [(cap["code"], cap["count_left"], cap["mg_left"]) for cap in caps] == [
        ("bus_trip_day", 6, 2_000_000),
        ("bus_trip_month", None, 20_000_000),
        ("bus_trip_year", None, 150_000_000),
    ]


def test_nothing_is_written(maker: Api, session: Session) -> None:
    before = fingerprint(session)
    simulate(maker)
    simulate(maker, draft=draft_rule())
    wrong_fields(maker, attributes={})
    assert fingerprint(session) == before


def test_used_caps_and_counters_are_those_that_were_given(maker: Api) -> None:
    used = [{"window": "day", "awards": 5, "reduction_mg": 1_900_000}]
    tried = simulate(maker, used=used)
    assert (tried["disposition"], tried["reduction_mg"]) == ("partly_credited", 100_000)
    assert tried["cut_by"] == {"code": "bus_trip_day", "window": "day", "left": 100_000}
    assert (tried["caps"][0]["count_left"], tried["caps"][0]["mg_left"]) == (1, 100_000)
    assert tried["sentence"]["en"].endswith("; the cap bus_trip_day cut the rest.")
    full = simulate(maker, used=[{"window": "day", "awards": 6}])
    assert (full["disposition"], full["amount_millicredits"], full["expires_on"]) == ("capped", 0, None)
    paid = {"behaviour": "non_cash_payment", "attributes": payment("T-1")}
    assert simulate(maker, **paid, counters={"same_payee_today": 0})["disposition"] == "credited"
    refused = simulate(maker, **paid, counters={"same_payee_today": 1})
    assert (refused["disposition"], refused["reason"]) == ("ineligible", "payee_limit")
    last = refused["conditions"][-1]
    assert (last["holds"], last["values"]) == (False, {"same_payee_today": "1"})
    assert refused["sentence"]["zh"].endswith("今日向该收款方的支付已计一次。")


def test_a_draft_is_judged_with_everything_else_that_is_in_force(maker: Api) -> None:
    ranged = draft_rule(uncertainty={"below_percent": "20", "above_percent": "30"}, pending_days=3)
    tried = simulate(maker, draft=ranged)
    assert (tried["reduction_mg"], tried["amount_millicredits"]) == (107_600, 107_600)
    assert tried["rule"]["version_id"] is None
    assert tried["rule"]["uncertainty"] == {"below_percent": "20", "above_percent": "30"}
    assert tried["formulas"][-1]["steps"][-1] == {
        "text": "max(0, baseline - project - leakage) * 0.80",
        "value": "107.6",
    }
    assert tried["factors"][0]["version_id"] is not None
    factor = as_content(replace(BUS_FACTOR, value=BUS_FACTOR.value * 2))
    doubled = simulate(maker, draft={"factors": [factor]})
    assert (doubled["reduction_mg"], doubled["factors"][0]["version_id"]) == (269_000, None)
    choices = replace(BUS_TRIP.attributes["fare_medium"], choices=("qr", "card", "face"))
    behaviour = as_content(replace(BUS_TRIP, attributes={**BUS_TRIP.attributes, "fare_medium": choices}))
    paid_by_face = {**RIDE, "fare_medium": "face"}
    assert wrong_fields(maker, attributes=paid_by_face) == [("attributes.fare_medium", "not_a_choice")]
    tried = simulate(maker, attributes=paid_by_face, draft={"behaviour": behaviour})
    assert tried["disposition"] == "credited"


def test_any_version_may_be_tried_whether_it_holds_or_not(maker: Api, session: Session, world: World) -> None:
    old_rule = version_of(session, "rule", "bus_trip")
    old_factor = version_of(session, "factor", "BUS_EV_SZ")
    (sample,) = BUS_RULE.samples[:1]
    double = replace(
        BUS_RULE,
        credits=replace(BUS_RULE.credits, millicredits_per_mg=Decimal(2)),
        samples=(replace(sample, millicredits=269_000),),
    )
    drafted = services.draft_definitions(
        programme_id=world.programme_id,
        submission=Submission(rules=(Located(double, "double"),)),
        maker_person="maker",
        reason="double",
    )
    confirm(world.programme_id, drafted.draft_id or 0)
    new_rule = version_of(session, "rule", "bus_trip")
    assert new_rule > old_rule
    tried = {number: simulate(maker, version_ids=[number]) for number in (old_rule, new_rule, old_factor)}
    assert [one["amount_millicredits"] for one in tried.values()] == [134_500, 269_000, 269_000]
    assert tried[old_rule]["rule"]["version_id"] == old_rule
    assert simulate(maker)["amount_millicredits"] == 269_000


def test_before_any_rule_there_is_nothing_to_judge_by(maker: Api) -> None:
    tried = simulate(maker, occurred_at="2023-12-31T23:59:59+08:00")
    assert (tried["disposition"], tried["reason"], tried["rule"]) == ("ineligible", "no_rule_in_force", None)
    assert (tried["local_date"], tried["caps"], tried["estimate_mg"]) == ("2023-12-31", [], None)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"behaviour": "tram_trip"}, [("behaviour", "unknown_behaviour")]),
        ({"attributes": {**RIDE, "distance_km": "61", "mood": "1"}}, [("attributes.mood", "unknown_attribute"), ("attributes.distance_km", "too_large")]),
        ({"counters": {"rides": 1}}, [("counters.rides", "unknown_counter")]),
        ({"counters": {"rides": -1}}, [("counters.rides.value", "out_of_range")]),
        ({"used": [{"window": "week"}]}, [("used.0.window", "not_a_choice")]),
        ({"version_ids": ["1"]}, [("version_ids.0", "wrong_type")]),
        ({"mood": "good"}, [("mood", "unknown_field")]),
        ({"draft": draft_rule(methodology=None)}, [("draft.rule.methodology", "invalid")]),
        ({"draft": draft_rule(baseline="distance_km * TRAM")}, [("draft.rule.baseline", "unknown_name")]),
        ({"draft": draft_rule(behaviour="metro_trip")}, [("behaviour", "other_behaviour")]),
        ({"draft": {"factors": [as_content(BUS_FACTOR), as_content(BUS_FACTOR)]}}, [("version_ids", "given_twice")]),
        ({"draft": {"factors": [{}]}}, [(f"draft.factors.0.{name}", "required") for name in (
            "code", "name_en", "name_zh", "value", "unit", "quantity", "region", "data_year",
            "source_title", "source_address", "grade", "use", "valid_from",
        )]),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_what_is_wrong_is_named(maker: Api, asked: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert wrong_fields(maker, **asked) == expected


def test_what_is_wrong_is_said_in_the_callers_language(maker: Api) -> None:
    chinese = replace(maker, language="zh-CN")
    asked = {"behaviour": "bus_trip", "attributes": RIDE, "draft": draft_rule(baseline="distance_km * TRAM")}
    answer = chinese.call("POST", "/rules/simulate", json=asked)
    assert [error["detail"] for error in (answer.json or {})["errors"]] == ["第 15 列：此处没有 TRAM"]
    (finding,) = simulate(chinese, draft=draft_rule(baseline="distance_km + BUS_EV_SZ"))["findings"]
    assert finding["message"] == "person_km与g/person_km不能相加"


def test_a_draft_is_checked_beside_being_tried(maker: Api) -> None:
    assert simulate(maker)["findings"] == []
    assert simulate(maker, draft=draft_rule())["findings"] == []
    tried = simulate(maker, draft=draft_rule(baseline="distance_km * BUS_EV_SZ / (distance_km - 1)"))
    assert tried["reduction_mg"] == 33_625
    assert [(one["field"], one["column"], one["code"], one["severity"]) for one in tried["findings"]] == [
        ("baseline", 42, "unit_mismatch", "error")
    ]


def test_a_version_of_another_programme_is_not_there(maker: Api, session: Session) -> None:
    last = int(session.scalar(text("SELECT max(version_id) FROM version")) or 0)
    asked = {"behaviour": "bus_trip", "attributes": RIDE, "version_ids": [last + 1]}
    assert refusal(maker.call("POST", "/rules/simulate", json=asked)) == (404, "not_found")


def test_later_is_judged_by_what_holds_then(maker: Api) -> None:
    tried = simulate(maker, occurred_at=(NOW + timedelta(days=200)).isoformat())
    assert tried["local_date"] == (NOW + timedelta(days=200)).date().isoformat()
    assert tried["expires_on"] == "2029-01-31"
