"""What is worse for customers is announced first; what was issued stays as it was."""

from __future__ import annotations

from typing import Any

import pytest

from carbonpoints.approvals.notice import TECHNICAL, TERMS, worse_fields
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.core.clock import clock_at
from carbonpoints.core.defaults import NOTICE_DAYS
from carbonpoints.rules.definitions import ProgrammeDefinition
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.shipped import load_shipped
from tests.approvals.world import NOTICED, SOON, ChangeWorld, later, problem, seen, wrong_fields

CAP = {"code": "day", "window": "day", "count": 2, "mg": None, "millicredits": 5000}
CONDITION = {"code": "far", "when": "distance_km > 1", "text_en": "Far.", "text_zh": "远"}
RULE: dict[str, Any] = {
    "title_en": "Tram",
    "baseline": "distance_km * TRAM",
    "credits": {"millicredits_per_mg": "1.5", "grant_millicredits": 10},
    "caps": [CAP],
    "eligibility": [CONDITION],
    "expiry_months": 24,
    "pending_days": 3,
    "factors": ["TRAM"],
    "samples": [1],
}


def paying(rate: str = "1.5", grant: int = 10) -> dict[str, Any]:
    return {"credits": {"millicredits_per_mg": rate, "grant_millicredits": grant}}


@pytest.mark.parametrize(
    ("changed", "worse"),
    [
        ({}, ()),
        ({"title_en": "Trams", "samples": [1, 2]}, ()),
        (paying("2", 20), ()),
        (paying("1.25"), ("credits.millicredits_per_mg",)),
        (paying("10", 9), ("credits.grant_millicredits",)),
        ({"expiry_months": 25, "pending_days": 0}, ()),
        ({"expiry_months": 12, "pending_days": 4}, ("expiry_months", "pending_days")),
        ({"caps": []}, ()),
        ({"caps": [{**CAP, "code": "month", "window": "month"}, CAP]}, ("caps.month",)),
        ({"caps": [{**CAP, "count": 3, "millicredits": None}]}, ()),
        ({"caps": [{**CAP, "count": 1}]}, ("caps.day.count",)),
        ({"caps": [{**CAP, "mg": 10**9}]}, ("caps.day.mg",)),
        ({"caps": [{**CAP, "window": "month"}]}, ("caps.day.window",)),
        ({"eligibility": []}, ()),
        ({"eligibility": [{**CONDITION, "text_en": "Far away."}]}, ()),
        ({"eligibility": [{**CONDITION, "when": "distance_km > 0"}]}, ("eligibility.far.when",)),
        ({"eligibility": [CONDITION, {**CONDITION, "code": "dry"}]}, ("eligibility.dry",)),
        ({"baseline": "distance_km * TRAM * 2"}, ("baseline",)),
        ({"factors": ["TRAM", "BUS"]}, ("factors",)),
        ({"thought_of_later": {"a": 1}}, ("thought_of_later",)),
        ({"caps": [{**CAP, "per": "card"}]}, ("caps.day.per",)),
    ],
)
def test_a_rule_is_worse_in_the_fields_that_the_table_says(
    changed: dict[str, Any], worse: tuple[str, ...]
) -> None:
    assert worse_fields(VersionKind.RULE, RULE, {**RULE, **changed}) == worse


FACTOR = {"value": "20", "quantity": "reduction", "unit": "g/km", "note": ""}


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ({}, {"value": "21", "note": "new"}, ()),
        ({}, {"value": "19"}, ("value",)),
        ({"quantity": "emission"}, {"quantity": "emission", "value": "21"}, ("value",)),
        ({}, {"unit": "g/m"}, ("unit",)),
    ],
)
def test_of_a_factor_only_a_reduction_has_a_known_direction(
    before: dict[str, Any], after: dict[str, Any], worse: tuple[str, ...]
) -> None:
    assert worse_fields(VersionKind.FACTOR, {**FACTOR, **before}, {**FACTOR, **after}) == worse


def settings(**changed: Any) -> dict[str, Any]:
    return {**as_content(load_shipped().programme), **changed}


def test_settings_are_worse_when_they_take_something_away() -> None:
    held = settings()
    fewer = settings(
        late_event_days=29,
        notice_days=29,
        clawback_limit_millicredits=2_000_000,
        event_sources=held["event_sources"][1:],
        holidays=["2026-10-01"],
    )
    assert worse_fields(VersionKind.PROGRAMME, held, fewer) == (
        "clawback_limit_millicredits",
        "event_sources.urn:zhangye:core-banking",
        "late_event_days",
        "notice_days",
    )
    assert worse_fields(VersionKind.PROGRAMME, fewer, settings(clawback_limit_millicredits=1)) == ()


def test_settings_that_say_nothing_of_notice_mean_the_default() -> None:
    silent = {name: value for name, value in settings().items() if name != "notice_days"}
    assert worse_fields(VersionKind.PROGRAMME, silent, settings(notice_days=NOTICE_DAYS - 1)) == (
        "notice_days",
    )
    assert worse_fields(VersionKind.PROGRAMME, silent, settings(notice_days=NOTICE_DAYS)) == ()
    default = ProgrammeDefinition.__dataclass_fields__["notice_days"].default
    assert (load_shipped().programme.notice_days, default) == (NOTICE_DAYS, NOTICE_DAYS)


def test_every_kind_has_its_terms_or_says_nothing_to_customers() -> None:
    assert set(VersionKind) == TERMS.keys() | TECHNICAL
    assert worse_fields(VersionKind.FEED_PROFILE, {"filter": "a"}, {"filter": "b"}) == ()
    assert worse_fields(VersionKind.BEHAVIOUR, {"evidence": []}, None) == ("",)


def test_a_worse_change_starts_when_it_could_be_announced(world: ChangeWorld) -> None:
    hasty = seen(world.draft(world.rule(expiry_months=12) | {"valid_from": SOON}))
    assert [item["worse"] for item in hasty.body["items"]] == [["content.expiry_months"]]
    assert hasty.body["first_start"] == "2026-07-15T04:00:00+00:00"
    refused = world.step(world.prove(hasty), "submit", "lin")
    assert problem(refused) == (409, "notice_too_short")
    assert refused.json is not None
    assert refused.json["detail"] == "It may start at 2026-07-15T04:00:00+00:00 at the earliest."
    assert wrong_fields(refused) == [("items.0.content.expiry_months", "worse_for_customers")]
    edited = world.prove(
        seen(world.edit(world.look(hasty), world.rule(expiry_months=12) | {"valid_from": NOTICED}))
    )
    assert seen(world.step(edited, "submit", "lin")).state == "submitted"


def test_notice_runs_from_the_approval(world: ChangeWorld) -> None:
    change = world.submitted(world.rule(expiry_months=12) | {"valid_from": "2026-07-15T12:00:00+08:00"})
    with clock_at(later(1)):
        assert problem(world.step(change, "approve", "zhao")) == (409, "notice_too_short")
    assert world.look(change).body == change.body
    assert seen(world.step(change, "approve", "zhao")).state == "scheduled"


def test_the_programme_says_how_long_notice_is(world: ChangeWorld) -> None:
    programme = {"kind": "programme", "code": "zhangye", "content": settings(notice_days=60)}
    assert world.approved(programme).state == "active"
    change = world.prove(seen(world.draft(world.rule(expiry_months=12) | {"valid_from": NOTICED})))
    assert problem(world.step(change, "submit", "lin")) == (409, "notice_too_short")
    shorter = programme | {"content": settings(notice_days=0)}
    assert problem(world.step(seen(world.draft(shorter)), "submit", "lin")) == (409, "notice_too_short")


def test_an_ended_rule_is_worse_and_leaves_what_held_before(world: ChangeWorld) -> None:
    ended = {"kind": "rule", "code": "tram_trip", "content": None}
    hasty = world.prove(seen(world.draft(ended | {"valid_from": SOON})))
    assert wrong_fields(world.step(hasty, "submit", "lin")) == [("items.0.content", "worse_for_customers")]
    assert wrong_fields(world.draft(ended)) == [("items.0.valid_from", "required")]
    world.approved(ended | {"valid_from": NOTICED})
    answer = world.call("GET", "/rules", at="2026-07-31T23:59:59+08:00")
    assert answer.json is not None
    assert [(item["version"], item["valid_to"]) for item in answer.json["items"]] == [
        (2, "2026-07-31T16:00:00+00:00")
    ]
    answer = world.call("GET", "/rules", at=NOTICED)
    assert answer.json is not None
    assert answer.json["items"] == []
