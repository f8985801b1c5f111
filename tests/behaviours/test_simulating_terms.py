"""Trying one event out with campaigns and shared caps, in force and drafted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.submissions import read_files
from tests.architecture.test_access import fingerprint
from tests.behaviours.api import RIDE, Api, ride
from tests.behaviours.test_campaigns import ship_terms
from tests.behaviours.test_simulating import simulate, version_of, wrong_fields
from tests.behaviours.world import World, shipped
from tests.rules.term_files import NEW, terms

BASE = 134_500
"""What the bus rule gives for RIDE, in mg and in millicredits."""
SHIPPED_RULES = shipped().rules
LONG_AGO = "2020-01-01"


@pytest.fixture
def maker(client: FlaskClient, settings: Settings, world: World) -> Api:
    return Api(client, settings, role=Role.RULE_MAKER, subject="maker")


Drafted = Callable[..., dict[str, Any]]


@pytest.fixture
def drafted(tmp_path: Path) -> Drafted:
    """The campaign of `term_files` as content, with some fields changed."""

    def content(**changes: Any) -> dict[str, Any]:
        path = tmp_path / "drafted.yaml"
        path.write_text(terms(), "utf-8")
        (campaign,) = read_files([path]).campaigns
        made: dict[str, Any] = as_content(campaign.definition)
        return made | changes

    return content


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, Any]:
    """The shared cap of `term_files` as content."""
    path = tmp_path / "drafted.yaml"
    path.write_text(terms(), "utf-8")
    (cap,) = read_files([path]).shared_caps
    made: dict[str, Any] = as_content(cap.definition)
    return made


def given(tried: dict[str, Any]) -> list[tuple[str, int, str | None]]:
    return [(one["code"], one["amount_millicredits"], one["reason"]) for one in tried["campaigns"]]


def test_campaigns_in_force_give_what_a_real_event_gets(
    maker: Api, world: World, tmp_path: Path, session: Session
) -> None:
    ship_terms(world, tmp_path)
    before = fingerprint(session)
    tried = simulate(maker)
    assert fingerprint(session) == before
    sent = replace(maker, role=Role.CORE_BANKING).send(ride("E-1"))
    assert (tried["amount_millicredits"], tried["reduction_mg"]) == (BASE + 10_000, BASE)
    assert (sent["amount_millicredits"], sent["reduction_mg"]) == (BASE + 10_000, BASE)
    assert [boost["amount_millicredits"] for boost in tried["boosts"]] == [10_000]
    (campaign,) = tried["campaigns"]
    assert campaign["valid_to"] == "2026-07-01T00:00:00+08:00"
    del campaign["valid_from"], campaign["valid_to"], campaign["text_en"], campaign["text_zh"]
    assert campaign == {
        "code": "new_riders",
        "name_en": "Welcome aboard",
        "name_zh": "新客乘车",
        "segment": NEW,
        "values": {"days_since_opening": "0"},
        "applies": True,
        "multiplier": "1",
        "bonus_millicredits": 10_000,
        "priority": 1,
        "stacking": "exclusive",
        "ceiling_millicredits": None,
        "caps": [
            {
                "code": "new_riders_day",
                "window": "day",
                "millicredits": 15_000,
                "millicredits_left": 15_000,
            }
        ],
        "amount_millicredits": 10_000,
        "reason": None,
        "sentence": {
            "en": "The campaign “Welcome aboard” gives a bonus of 10 credits.",
            "zh": "活动“新客乘车”奖励 10 积分。",
        },
    }
    (cap,) = [cap for cap in tried["caps"] if cap["code"] == "travel_day"]
    assert (cap["window"], cap["count"], cap["count_left"]) == ("day", 3, 3)


def test_who_is_outside_the_segment_gets_no_bonus_and_is_told_why(
    maker: Api, world: World, tmp_path: Path
) -> None:
    ship_terms(world, tmp_path)
    tried = simulate(maker, opened_on=LONG_AGO)
    assert (tried["amount_millicredits"], tried["boosts"]) == (BASE, [])
    (campaign,) = tried["campaigns"]
    assert (campaign["applies"], campaign["amount_millicredits"], campaign["reason"]) == (
        False,
        0,
        "not_in_segment",
    )
    assert (campaign["segment"], campaign["values"]) == (NEW, {"days_since_opening": "2357"})
    assert campaign["sentence"] == {
        "en": "The campaign “Welcome aboard” gives nothing: the account or the act is not in its segment.",
        "zh": "活动“新客乘车”不给予奖励:账户或行为不符合其客群条件。",
    }
    assert simulate(maker, opened_on="2025-06-16")["campaigns"][0]["applies"] is True
    assert simulate(maker, opened_on="2025-06-15")["campaigns"][0]["applies"] is False


def test_a_drafted_campaign_changes_the_outcome(maker: Api, drafted: Drafted) -> None:
    assert simulate(maker)["campaigns"] == []
    tried = simulate(maker, draft={"campaigns": [drafted()]})
    assert (tried["amount_millicredits"], tried["reduction_mg"], tried["findings"]) == (
        BASE + 10_000,
        BASE,
        [],
    )
    assert given(tried) == [("new_riders", 10_000, None)]
    triple = drafted(multiplier="3", bonus_millicredits=0, caps=[])
    tried = simulate(maker, draft={"campaigns": [triple]})
    assert tried["amount_millicredits"] == 3 * BASE
    assert (tried["campaigns"][0]["multiplier"], tried["campaigns"][0]["amount_millicredits"]) == (
        "3",
        2 * BASE,
    )
    (finding,) = tried["findings"]
    assert (finding["field"], finding["code"]) == ("campaigns.0.samples.0", "sample_differs")


def test_a_draft_stands_in_the_place_of_the_campaign_in_force(
    maker: Api, world: World, tmp_path: Path, drafted: Drafted, session: Session
) -> None:
    ship_terms(world, tmp_path)
    by_medium = drafted(segment='fare_medium == "card"', bonus_millicredits=12_000)
    tried = simulate(maker, draft={"campaigns": [by_medium]})
    assert given(tried) == [("new_riders", 0, "not_in_segment")]
    assert tried["campaigns"][0]["values"] == {"fare_medium": "qr"}
    on_card = simulate(maker, attributes={**RIDE, "fare_medium": "card"}, draft={"campaigns": [by_medium]})
    assert (on_card["amount_millicredits"], given(on_card)) == (
        BASE + 12_000,
        [("new_riders", 12_000, None)],
    )
    late = {"occurred_at": "2026-08-01T12:00:00+08:00"}
    assert simulate(maker, **late)["campaigns"] == []
    number = version_of(session, "campaign", "new_riders")
    assert given(simulate(maker, version_ids=[number], **late)) == [("new_riders", 10_000, None)]


@pytest.mark.parametrize(
    ("stacking", "ceiling", "expected"),
    [
        (("exclusive", "exclusive"), None, [("second", 4_000, None), ("new_riders", 0, "not_stacked")]),
        (("best_of", "best_of"), None, [("second", 0, "not_stacked"), ("new_riders", 10_000, None)]),
        (("additive", "additive"), 9_000, [("second", 4_000, None), ("new_riders", 5_000, None)]),
        (("additive", "additive"), 4_000, [("second", 4_000, None), ("new_riders", 0, "ceiling_reached")]),
        (("additive", "exclusive"), 9_000, [("second", 4_000, None), ("new_riders", 0, "not_stacked")]),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_stacking_leaves_out_is_said(
    maker: Api,
    drafted: Drafted,
    stacking: tuple[str, str],
    ceiling: int | None,
    expected: list[tuple[str, int, str | None]],
) -> None:
    first = drafted(code="second", bonus_millicredits=4_000, priority=2, stacking=stacking[0])
    second = drafted(stacking=stacking[1])
    for campaign, kind in zip((first, second), stacking, strict=True):
        campaign["ceiling_millicredits"] = ceiling if kind == "additive" else None
    tried = simulate(maker, draft={"campaigns": [second, first]})
    assert given(tried) == expected
    assert tried["amount_millicredits"] == BASE + sum(amount for _, amount, _ in expected)


def test_what_was_used_of_shared_caps_and_campaigns_counts(maker: Api, world: World, tmp_path: Path) -> None:
    ship_terms(world, tmp_path)
    ten = {"campaign": "new_riders", "window": "day", "awards": 1, "amount_millicredits": 10_000}
    tried = simulate(maker, used=[ten])
    assert given(tried) == [("new_riders", 5_000, None)]
    assert tried["campaigns"][0]["caps"][0]["millicredits_left"] == 5_000
    tried = simulate(maker, used=[ten | {"amount_millicredits": 15_000}])
    assert (tried["amount_millicredits"], given(tried)) == (BASE, [("new_riders", 0, "cap_used_up")])
    trips = {"shared_cap": "travel_day", "window": "day", "awards": 3}
    capped = simulate(maker, used=[trips])
    assert (capped["disposition"], capped["cut_by"]["code"], capped["amount_millicredits"]) == (
        "capped",
        "travel_day",
        0,
    )
    assert given(capped) == [("new_riders", 0, "no_award")]
    left = {cap["code"]: cap["count_left"] for cap in capped["caps"]}
    assert (left["travel_day"], left["bus_trip_day"]) == (0, 6)


def test_a_drafted_shared_cap_limits(
    maker: Api, world: World, tmp_path: Path, shared: dict[str, Any]
) -> None:
    ship_terms(world, tmp_path)
    tried = simulate(maker, draft={"shared_caps": [shared | {"count": None, "mg": 100_000}]})
    assert (tried["disposition"], tried["reduction_mg"], tried["cut_by"]) == (
        "partly_credited",
        100_000,
        {"code": "travel_day", "window": "day", "left": 100_000},
    )
    # For metro trips alone it does not limit bus trips any more.
    gone = simulate(maker, draft={"shared_caps": [shared | {"behaviours": ["metro_trip", "walking"]}]})
    assert "travel_day" not in [cap["code"] for cap in gone["caps"]]


def test_a_rule_that_gives_no_credits_leaves_nothing_to_multiply(maker: Api, drafted: Drafted) -> None:
    rule = as_content(next(rule for rule in SHIPPED_RULES if rule.code == "bus_trip"))
    rule["credits"] = {"millicredits_per_mg": "0", "grant_millicredits": 0}
    double = drafted(multiplier="2", bonus_millicredits=0)
    tried = simulate(maker, draft={"rule": rule, "campaigns": [double]})
    assert (tried["reduction_mg"], tried["amount_millicredits"]) == (BASE, 0)
    assert given(tried) == [("new_riders", 0, "nothing_to_multiply")]


def test_what_is_wrong_with_terms_is_named(maker: Api, drafted: Drafted, shared: dict[str, Any]) -> None:
    spending = drafted(segment="days_since_opening > 1 and distance_km > 5")
    assert wrong_fields(maker, draft={"campaigns": [drafted(code="fine"), spending]}) == [
        ("draft.campaigns.1.segment", "unknown_name")
    ]
    assert wrong_fields(maker, draft={"campaigns": [drafted(multiplier="much")]}) == [
        ("draft.campaigns.0.multiplier", "wrong_type")
    ]
    for stray in ({"campaigns": [drafted(behaviours=["metro_trip"])]}, {"shared_caps": [shared | {"behaviours": ["metro_trip", "walking"]}]}):  # fmt: skip
        assert wrong_fields(maker, draft=stray) == [("behaviour", "other_behaviour")]
    used = [{"window": "day", "shared_cap": "travel_day"}, {"window": "month", "campaign": "new_riders"}]
    assert wrong_fields(maker, used=used) == [("used.0", "unknown_cap"), ("used.1", "unknown_cap")]
    both = [{"window": "day", "shared_cap": "travel_day", "campaign": "new_riders"}]
    assert wrong_fields(maker, used=both) == [("used.0.campaign", "invalid")]
    assert wrong_fields(maker, opened_on="yesterday") == [("opened_on", "wrong_format")]
