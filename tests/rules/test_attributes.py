"""Attributes reach one canonical form, or are refused with a code."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from carbonpoints.core.errors import FieldError
from carbonpoints.rules.attributes import (
    AttributeChecks,
    RefusedAttributesError,
    RefusedValueError,
    make_check,
)
from carbonpoints.rules.definitions import AttributeDefinition, BehaviourDefinition, ClaimDefinition


def attribute(type_: str, **bounds: object) -> AttributeDefinition:
    return AttributeDefinition(type=type_, name_en="A", name_zh="甲", **bounds)  # type: ignore[arg-type]


NUMBER = attribute("number", min=Decimal(-1), max=Decimal(1000), decimals=2)


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ("5", "5"), ("5.00", "5"), ("005.10", "5.1"), ("+1000", "1000"), (7, "7"), ("-0.25", "-0.25"),
        ("-0.00", "0"), (Decimal("1E+2"), "100"), (Decimal(100), "100"),
    ],
)  # fmt: skip
def test_numbers_have_one_form(value: object, canonical: str) -> None:
    assert make_check(NUMBER)(value) == canonical


@pytest.mark.parametrize(
    ("definition", "value", "code"),
    [
        (NUMBER, "1e2", "not_a_number"), (NUMBER, "NaN", "not_a_number"), (NUMBER, "1_0", "not_a_number"),
        (NUMBER, "１", "not_a_number"), (NUMBER, 1.5, "not_a_number"), (NUMBER, True, "not_a_number"),
        (NUMBER, " 1", "not_a_number"), (NUMBER, "1.", "not_a_number"), (NUMBER, "-1.01", "too_small"),
        (NUMBER, "1000.01", "too_large"), (NUMBER, "1.001", "too_many_decimals"),
        (attribute("text", max_length=3), "abcd", "too_long"), (attribute("text"), 5, "not_text"),
        (attribute("text"), "a\nb", "control_character"), (attribute("text"), "a\x00", "control_character"),
        (attribute("text", choices=("CNY", "CZK")), "EUR", "not_a_choice"),
        (attribute("flag"), "true", "not_a_flag"), (attribute("flag"), 1, "not_a_flag"),
        (attribute("date"), "20240501", "not_a_date"), (attribute("date"), "2024-02-30", "not_a_date"),
        (attribute("date"), datetime(2024, 5, 1, tzinfo=UTC), "not_a_date"),
        (attribute("instant"), "2024-05-01T12:00:00", "not_an_instant"), (attribute("instant"), 5, "not_an_instant"),
        (attribute("instant"), "0001-01-01T00:00:00+08:00", "not_an_instant"),
    ],
)  # fmt: skip
def test_other_values_are_refused_by_code(definition: AttributeDefinition, value: object, code: str) -> None:
    with pytest.raises(RefusedValueError) as refused:
        make_check(definition)(value)
    assert refused.value.code == code


def test_text_dates_and_instants_have_one_form() -> None:
    assert make_check(attribute("text", max_length=4))("公交\u3000票") == "公交\u3000票"
    assert make_check(attribute("date"))(date(2024, 5, 1)) == "2024-05-01"
    at_noon = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=8)))
    for value in (at_noon, "2024-05-01T12:00:00+08:00", "2024-05-01T04:00:00Z"):
        assert make_check(attribute("instant"))(value) == "2024-05-01T04:00:00+00:00"
    no: object = False
    assert make_check(attribute("flag"))(no) is False


BEHAVIOUR = BehaviourDefinition(
    code="bus_trip", name_en="Bus trip", name_zh="公交出行", behaviour_class="travel", consent_source="trips",
    attributes={
        "distance_km": attribute("number", required=True, min=Decimal("0.1"), decimals=3),
        "line": attribute("text", max_length=8),
        "ticket": attribute("text", max_length=8),
        "night": attribute("flag", default=False),
    },
    evidence=("ticket",), claim=ClaimDefinition(act="trip", fields=("ticket",)), specificity=1,
)  # fmt: skip


def test_attributes_come_in_the_order_of_the_behaviour_without_what_is_empty() -> None:
    checked = AttributeChecks(BEHAVIOUR).canonical({"ticket": "T1", "line": "", "distance_km": "5.0"})
    assert list(checked.items()) == [("distance_km", "5"), ("ticket", "T1")]


def test_every_wrong_attribute_is_named() -> None:
    with pytest.raises(RefusedAttributesError) as refused:
        AttributeChecks(BEHAVIOUR).canonical({"distance_km": "0", "night": "no", "speed": "9"})
    assert [(field.field, field.code) for field in refused.value.fields] == [
        ("speed", "unknown_attribute"), ("distance_km", "too_small"), ("ticket", "missing"), ("night", "not_a_flag"),
    ]  # fmt: skip
    assert refused.value.fields[2] == FieldError("ticket", "missing", "A value is needed.")
