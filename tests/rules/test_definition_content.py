"""Definitions as JSON content: what a version row stores and what an admin submits."""

from __future__ import annotations

import pytest

from carbonpoints.rules.definitions import FactorDefinition
from carbonpoints.rules.nodes import DefinitionError, Problem
from carbonpoints.rules.parsing import parse_content, parse_factors
from carbonpoints.rules.reading import as_content
from tests.rules.definition_texts import FACTOR


def test_submitted_content_is_checked_and_its_fields_are_named():
    (factor,) = parse_factors(FACTOR, "file.yaml")
    content = as_content(factor) | {"unit": "g/furlong", "region": "GB"}
    with pytest.raises(DefinitionError) as caught:
        parse_content(FactorDefinition, content, "draft")
    assert caught.value.problems == (
        Problem("draft", 0, "unit", "'furlong' is no unit that is known here"),
        Problem("draft", 0, "use", "a figure from GB does not allow a reduction"),
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
