from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from carbonpoints.behaviours.replay.judges import make_judges, make_judges_of, reach_of, reads_inputs
from carbonpoints.rules.catalogue import Catalogue, PinnedRule
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.timelines import Timeline
from tests.rules.engine_world import PLAIN, RIDE, attribute, cap, condition, counter

SUMMER = datetime(2026, 6, 1, tzinfo=UTC)


def pinned(behaviour: str, rule: str, *, version_id: int = 1, **changes: Any) -> PinnedRule:
    definition = replace(PLAIN, code=rule, behaviour=behaviour, factors=(), baseline="1", **changes)
    return PinnedRule(
        pin_id=version_id,
        pin_hash=f"{behaviour} {version_id}".encode(),
        behaviour=replace(RIDE, code=behaviour),
        behaviour_version_id=0,
        rule=definition,
        rule_version_id=version_id,
        rule_version_no=1,
        factors={},
        shared_caps=(),
        campaigns=(),
        problem=None,
    )


def catalogue(**timelines: Timeline[PinnedRule | None]) -> Catalogue:
    return Catalogue(1, None, {}, (), (), timelines)  # type: ignore[arg-type]


def always(rule: PinnedRule) -> Timeline[PinnedRule | None]:
    return Timeline((), (rule,))


BUS, METRO, WALK = pinned("bus", "travel"), pinned("metro", "travel"), pinned("walk", "walk")
PINS = {1: BUS, 2: METRO, 3: WALK}
IN_FORCE = catalogue(bus=always(BUS), metro=always(METRO), walk=always(WALK))


def test_a_draft_reaches_the_rules_that_share_usage_with_it_and_no_others() -> None:
    draft = pinned("bus", "travel", version_id=-1)
    judges = make_judges(PINS, IN_FORCE, catalogue(bus=always(draft), metro=always(METRO), walk=always(WALK)))
    assert [judge.is_replayed for judge in judges.values()] == [True, True, False]
    assert [any(judge.course.entries) for judge in judges.values()] == [True, False, False]


def test_a_draft_reaches_further_through_its_own_usage() -> None:
    draft = pinned("bus", "walk", version_id=-1)
    judges = make_judges(PINS, IN_FORCE, catalogue(bus=always(draft), metro=always(METRO), walk=always(WALK)))
    assert [judge.is_replayed for judge in judges.values()] == [True, True, True]


def test_what_a_draft_leaves_is_judged_by_what_judged_it() -> None:
    draft = pinned("bus", "travel", version_id=-1)
    judges = make_judges(PINS, IN_FORCE, catalogue(bus=Timeline([SUMMER], [BUS, draft])))
    assert judges[1].course.at(datetime(2026, 5, 31, tzinfo=UTC)) is None
    assert judges[1].course.at(SUMMER) is draft


def test_one_decision_is_judged_by_its_pin_beside_all_that_shares_its_usage() -> None:
    judges = make_judges_of(2, PINS)
    assert [judge.is_replayed for judge in judges.values()] == [True, True, False]


@pytest.mark.parametrize(
    ("changes", "first", "last"),
    [
        ({}, date(2026, 6, 10), date(2026, 6, 20)),
        ({"caps": (cap("day", count=1),)}, date(2026, 6, 10), date(2026, 6, 20)),
        ({"caps": (cap("month", count=1),)}, date(2026, 6, 1), date(2026, 6, 30)),
        ({"caps": (cap("year", count=1),)}, date(2026, 1, 1), date(2026, 12, 31)),
        ({"counters": {"rides": counter("count", "30d")}}, date(2026, 5, 12), date(2026, 6, 20)),
    ],
)
def test_the_reach_is_the_longest_period_or_window(changes: dict[str, Any], first: date, last: date) -> None:
    judges = make_judges_of(1, {1: pinned("bus", "travel", **changes)})
    assert reach_of(judges.values(), date(2026, 6, 10), date(2026, 6, 20)) == (first, last)


@pytest.mark.parametrize(
    ("changes", "reads"),
    [
        ({"baseline": "1"}, False),
        ({"baseline": "BUS * times"}, False),
        ({"baseline": "km * BUS"}, True),
        ({"baseline": "1", "project": "fare"}, True),
        ({"baseline": "1", "leakage": "fare"}, True),
        ({"baseline": "1", "eligibility": (condition("paid", "paid"),)}, True),
        ({"baseline": "1", "counters": {"rides": counter("count", "day")}}, True),
    ],
)
def test_a_rule_reads_inputs_where_anything_of_it_does(changes: dict[str, Any], reads: bool) -> None:  # noqa: FBT001 - a parameter of the test
    one = attribute("number", default="1", min=1, max=1)
    behaviour = replace(RIDE, attributes={**RIDE.attributes, "times": one})
    factors: Any = {"BUS": 2}
    rule = CompiledRule(behaviour=behaviour, rule=replace(PLAIN, **changes), factors=factors)
    assert reads_inputs(rule) is reads
