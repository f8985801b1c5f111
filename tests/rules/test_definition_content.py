"""Definitions as JSON content: what a version row stores and what an admin submits."""

from __future__ import annotations

from typing import Any

import pytest

from carbonpoints.core.errors import Message
from carbonpoints.rules.definitions import FactorDefinition, RuleDefinition
from carbonpoints.rules.nodes import DefinitionError, Problem
from carbonpoints.rules.parsing import from_content, parse_behaviour_file, parse_content, parse_factors
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.schemas import content_schema
from tests.rules.definition_texts import BEHAVIOUR, FACTOR


def test_submitted_content_is_checked_and_its_fields_are_named():
    (factor,) = parse_factors(FACTOR, "file.yaml")
    content = as_content(factor) | {"unit": "g/furlong", "region": "GB"}
    with pytest.raises(DefinitionError) as caught:
        parse_content(FactorDefinition, content, "draft")
    assert caught.value.problems == (
        Problem("draft", 0, "unit", Message("'furlong' is no unit that is known here")),
        Problem("draft", 0, "use", Message("a figure from GB does not allow a reduction")),
    )
    assert str(caught.value).splitlines()[0] == "draft:0: unit: 'furlong' is no unit that is known here"


def test_content_spells_every_field_out_in_plain_json():
    (factor,) = parse_factors(FACTOR, "file.yaml")
    assert as_content(factor) == {
        "code": "BUS",
        "name_en": "Bus",
        "name_zh": "公交",
        "value": "26.9",
        "unit": "g/person_km",
        "quantity": "reduction",
        "region": "CN-GD",
        "data_year": 2022,
        "source_title": "A newspaper",
        "source_address": "https://example.org/bus",
        "grade": "B",
        "use": "reduction",
        "use_reason": "",
        "valid_from": "2022-09-23",
        "valid_to": None,
        "note": "",
    }


def test_an_exact_decimal_keeps_every_digit_in_content():
    (factor,) = parse_factors(FACTOR.replace("26.9", "0.00000000100"), "file.yaml")
    assert as_content(factor)["value"] == "0.00000000100"


def rule_content() -> dict[str, Any]:
    _, rule = parse_behaviour_file(BEHAVIOUR, "file.yaml")
    content: dict[str, Any] = as_content(rule)
    return content


def test_a_rule_that_was_stored_before_methodologies_is_read_and_shown_without_one():
    content = rule_content()
    del content["methodology"], content["uncertainty"]
    rule = from_content(RuleDefinition, content)
    assert (rule.methodology, rule.uncertainty) == (None, None)
    shown = content_schema(RuleDefinition)().dump(content)
    assert shown == content | {"methodology": None, "uncertainty": None}


@pytest.mark.parametrize(
    ("changes", "field", "message", "code"),
    [
        ({"methodology": None}, "methodology", "is missing", "invalid"),
        ({"methodology.leakage_zh": ...}, "methodology.leakage_zh", "is missing", "required"),
        ({"methodology.leakage_zh": " "}, "methodology.leakage_zh", "must not be empty", "invalid"),
        ({"methodology.author": ""}, "methodology.author", "must not be empty", "invalid"),
        ({"methodology.monitoring": []}, "methodology.monitoring", "must say where the attributes come from", "invalid"),
        (
            {"methodology.monitoring": [{"data": [], "source_en": "A", "source_zh": "甲"}]},
            "methodology.monitoring.0.data", "must name at least one attribute", "invalid",
        ),
        (
            {"methodology.monitoring": [{"data": ["ticket"], "source_en": "A", "source_zh": ""}]},
            "methodology.monitoring.0.source_zh", "must not be empty", "invalid",
        ),
        (
            {"uncertainty": {"below_percent": "100.1", "above_percent": "0"}},
            "uncertainty.below_percent", "must be from 0 to 100", "invalid",
        ),
        (
            {"uncertainty": {"below_percent": "1", "above_percent": "-1"}},
            "uncertainty.above_percent", "must not be negative", "invalid",
        ),
        (
            {"uncertainty": {"below_percent": "0", "above_percent": "0"}},
            "uncertainty", "is no range: leave it out where none is known", "invalid",
        ),
        ({"uncertainty": {"below_percent": "1"}}, "uncertainty.above_percent", "is missing", "required"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_submission_without_its_methodology_is_refused_by_field(
    changes: dict[str, Any], field: str, message: str, code: str
):
    content = rule_content()
    for path, value in changes.items():
        *groups, name = path.split(".")
        place = content
        for group in groups:
            place = place[group]
        if value is ...:
            del place[name]
        else:
            place[name] = value
    with pytest.raises(DefinitionError) as refused:
        parse_content(RuleDefinition, content, "draft")
    assert refused.value.problems == (Problem("draft", 0, field, Message(message), code),)
