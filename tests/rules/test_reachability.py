"""Divisions that may fail and conditions that decide nothing, over all events a rule may meet."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from carbonpoints.rules.checking import check_rule
from carbonpoints.rules.definitions import (
    AttributeDefinition,
    ConditionDefinition,
    CounterDefinition,
    FactorDefinition,
)
from tests.rules.test_checking import BUS, BUS_TRIP, RULE, condition


def attribute(kind: Any, **given: Any) -> AttributeDefinition:
    return AttributeDefinition(type=kind, name_en="A", name_zh="甲", **given)


BEHAVIOUR = replace(
    BUS_TRIP,
    attributes={
        **BUS_TRIP.attributes,
        "seats": attribute("number", default="2", min=Decimal(0), max=Decimal(9), decimals=0),
        "balance": attribute("number", min=Decimal(-5), max=Decimal(5), decimals=2),
        "share": attribute("number", default="0.5", min=Decimal("0.1"), max=Decimal(1)),
        "fuel": attribute("text", default="diesel", choices=("diesel", "electric")),
    },
)


def findings(
    baseline: str = "distance_km * BUS", *conditions: str, versions: tuple[FactorDefinition, ...] = (BUS,), **more: Any
) -> list[tuple[str, int, str, str]]:  # fmt: skip
    """What is said of the rule's reachability; whether its samples hold is another matter."""
    eligibility = tuple(
        ConditionDefinition(code=f"c{no}", when=when, text_en="", text_zh="") for no, when in enumerate(conditions)
    )  # fmt: skip
    assert RULE.methodology is not None
    (monitored,) = RULE.methodology.monitoring
    everything = replace(monitored, data=tuple(BEHAVIOUR.attributes))
    rule = replace(
        RULE,
        baseline=baseline,
        methodology=replace(RULE.methodology, monitoring=(everything,)),
        eligibility=(RULE.eligibility[1], *eligibility),
        **more,
    )
    return [
        (each.field, each.column, each.code, each.severity)
        for each in check_rule(rule, BEHAVIOUR, versions)
        if each.code != "sample_differs"
    ]


def divides(column: int, field: str = "baseline") -> list[tuple[str, int, str, str]]:
    return [(field, column, "division_by_zero", "error")]


@pytest.mark.parametrize(
    ("baseline", "conditions", "column"),
    [
        ("distance_km * BUS / seats", (), 1),
        ("distance_km * BUS + distance_km * BUS / (seats - 2)", (), 21),
        ("distance_km * BUS / coalesce(balance, 0)", (), 1),
        ("distance_km * BUS / seats", ("seats > 0 or balance > 0",), 1),
        ("distance_km * BUS / seats", ("seats > 0 or paid",), 1),
        ("distance_km * BUS / seats", ("trips_today < 2 and seats > 0",), 1),
        ("distance_km * BUS / (seats * share - 0.5)", ("seats > 0",), 1),
        ("distance_km * BUS / floor(share)", (), 1),
        ("distance_km * BUS if seats == 0 else distance_km * BUS / (seats - 1)", (), 38),
    ],
)
def test_a_division_that_may_fail_is_named(baseline: str, conditions: tuple[str, ...], column: int) -> None:
    assert findings(baseline, *conditions) == divides(column)


@pytest.mark.parametrize(
    ("baseline", "conditions"),
    [
        ("distance_km * BUS / seats if seats > 0 else 0", ()),
        ("0 if seats == 0 else distance_km * BUS / seats", ()),
        ("distance_km * BUS / seats", ("seats > 0",)),
        ("distance_km * BUS / seats", ("paid and not seats < 1",)),
        ("distance_km * BUS / seats", ("seats in (1, 2, 3)",)),
        ("distance_km * BUS / (seats * share)", ("seats != 0",)),
        ("distance_km * BUS / balance", ("given(balance) and balance != 0",)),
        ("distance_km * BUS / (seats - fares)", ("seats - fares > 0",)),
        ("distance_km * BUS / max(seats, 1)", ()),
        ("distance_km * BUS / coalesce(balance, 1) if coalesce(balance, 1) < 0 else 0", ()),
        ("distance_km * BUS / distance_km", ()),
        ("distance_km * BUS / (2 if fuel == 'diesel' else 1)", ()),
    ],
)  # fmt: skip
def test_a_guard_is_believed_wherever_it_stands(baseline: str, conditions: tuple[str, ...]) -> None:
    unit_free = baseline.replace("/ distance_km", "/ share").replace("seats - fares", "seats - share")
    assert findings(unit_free, *(when.replace("seats - fares", "seats - share") for when in conditions)) == []


def test_a_division_in_a_condition_or_by_a_factor_is_looked_at_too() -> None:
    assert findings("distance_km * BUS", "1 / seats < 1") == divides(1, "eligibility.1.when")
    assert findings("distance_km * BUS", "seats > 0", "1 / seats < 1") == []
    half = replace(BUS, code="HALF", value=Decimal(2), unit="", valid_to=date(2024, 6, 1))
    none = replace(half, value=Decimal(0), valid_from=date(2024, 6, 1), valid_to=None)
    named = {"factors": ("BUS", "HALF")}
    assert findings("distance_km * BUS / HALF", versions=(BUS, replace(half, valid_to=None)), **named) == []
    assert findings("distance_km * BUS / HALF", versions=(BUS, half, none), **named) == divides(1)


def test_the_divisor_is_named_in_words() -> None:
    rule = replace(RULE, eligibility=(*condition("1 / (seats - share) < 2"),))
    (finding,) = (each for each in check_rule(rule, BEHAVIOUR, [BUS]) if each.code == "division_by_zero")
    assert finding.message == "this may divide by zero: seats - share may be 0"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (("seats > 9",), [(1, "never_true", "this can never be true")]),
        (("distance_km < 0.1",), [(1, "never_true", "this can never be true")]),
        (("fuel == 'petrol'",), [(1, "never_true", "this can never be true")]),
        (("seats < 2", "seats > 2"), [(2, "never_true", "this can never be true where the conditions before it hold")]),
        (("paid", "not paid"), [(2, "never_true", "this can never be true where the conditions before it hold")]),
        (("trips_today < 0",), [(1, "never_true", "this can never be true")]),
        (("1 / 0 > 1",), [(1, "never_true", "this can never be true"), (1, "division_by_zero", "this may divide by zero: 0 may be 0")]),
        (("seats >= 0",), [(1, "always_true", "this is always true")]),
        (("fuel in ('diesel', 'electric')",), [(1, "always_true", "this is always true")]),
        (("seats > 3", "seats > 2"), [(2, "always_true", "this is always true")]),
        (("balance >= -5",), [(1, "always_true", "this is always true")]),
        (("coalesce(balance, 0) > 0",), []),
        (("paid if seats > 9 else paid",), [(1, "never_true", "this can never be true")]),
    ],
)  # fmt: skip
def test_a_condition_that_decides_nothing_is_named(
    conditions: tuple[str, ...], expected: list[tuple[int, str, str]]
) -> None:
    eligibility = [RULE.eligibility[1]]
    eligibility += [condition(when)[0] for when in conditions]
    rule = replace(RULE, eligibility=tuple(eligibility))
    found = [each for each in check_rule(rule, BEHAVIOUR, [BUS]) if each.code != "sample_differs"]
    assert [(int(each.field.split(".")[1]), each.code, each.message) for each in found] == expected
    assert all(each.stops is (each.code != "always_true") for each in found)


def test_conditions_of_a_formula_are_looked_at_where_they_stand() -> None:
    assert findings("distance_km * BUS if seats > 9 else 0") == [("baseline", 22, "never_true", "error")]
    assert findings("0 if seats > 5 else distance_km * BUS if seats <= 5 else 0") == [
        ("baseline", 42, "always_true", "warning")
    ]


def test_a_sum_may_be_below_zero_only_where_what_it_sums_may() -> None:
    def of(name: str) -> Any:
        counted = {"trips_today": CounterDefinition(measure=f"sum:{name}", window="day")}
        return [each[2] for each in findings("distance_km * BUS", "trips_today >= 0", counters=counted)]

    assert of("seats") == ["always_true"]
    assert of("balance") == []
