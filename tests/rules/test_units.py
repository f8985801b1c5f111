"""Units: what fits, what is refused, and the factor that a refusal names."""

from __future__ import annotations

from decimal import Decimal

import pytest

from carbonpoints.rules.language import ExpressionError, Variable, compile_expression
from carbonpoints.rules.units import COUNTS, check_units, conversion_factor, parse_unit

VARIABLES = {
    "distance_km": Variable("number", "km"),
    "stairs_m": Variable("number", "m"),
    "ridden": Variable("number", "person_km"),
    "BUS": Variable("number", "g/person_km"),
    "CAR": Variable("number", "g/km"),
    "GRID": Variable("number", "kg/kWh"),
    "energy": Variable("number", "kWh"),
    "weight": Variable("number", "kg"),
    "estimate": Variable("number", "g", nullable=True),
    "rides": Variable("number", "ride"),
    "sheets": Variable("number", "sheet"),
    "share": Variable("number"),
    "broken": Variable("number", "g/parsec"),
    "name": Variable("text"),
    "made_on": Variable("date"),
}


def unit_of(source: str, expected: str | None = None) -> str:
    return check_units(compile_expression(source, VARIABLES, tables={"fees": "number"}), VARIABLES, expected)


@pytest.mark.parametrize(
    ("source", "unit"),
    [
        ("distance_km * CAR", "g"),
        ("ridden * BUS", "g"),
        ("distance_km * BUS", "g*km/person_km"),
        ("energy * GRID", "kg"),
        ("energy / GRID", "kWh*kWh/kg"),
        ("1 / energy", "1/kWh"),
        ("distance_km / distance_km", ""),
        ("distance_km * 2 / 3", "km"),
        ("-distance_km - abs(distance_km)", "km"),
        ("max(0, distance_km * CAR - 0)", "g"),
        ("min(distance_km, distance_km, 0.0)", "km"),
        ("floor(weight) + ceil(weight)", "kg"),
        ("round_half_up(weight, 2)", "kg"),
        ("coalesce(estimate, 0)", "g"),
        ("distance_km if share > 0.5 else 0", "km"),
        ("0 if share > 0.5 else distance_km", "km"),
        ("0", ""),
        ("0 * distance_km", "km"),
        ("distance_km > 0 and given(estimate) or weight is None", ""),
        ("3 < distance_km <= 20 and rides == 1", ""),
        ("distance_km in (0, 2 * distance_km)", ""),
        ("text(distance_km)", ""),
        ("length(name) + number(name) + year(made_on)", ""),
        ("lookup('fees', name) + share", ""),
        ("name", ""),
        ("made_on", ""),
        ("starts_with(name, 'A')", ""),
    ],
)
def test_the_unit_of_a_formula(source: str, unit: str) -> None:
    assert unit_of(source) == unit


@pytest.mark.parametrize(
    ("source", "expected", "sentence", "end_column"),
    [
        ("distance_km + weight", None, "column 15: km and kg cannot be added", 21),
        ("distance_km - stairs_m", None, "column 15: km and m cannot be subtracted (1 km = 1000 m)", 23),
        ("stairs_m + distance_km", None, "column 12: m and km cannot be added (1 km = 1000 m)", 23),
        ("distance_km + 1", None, "column 15: km and a plain number cannot be added", 16),
        ("1 + distance_km", None, "column 5: a plain number and km cannot be added", 16),
        ("max(0, rides, sheets)", None, "column 15: ride and sheet cannot be combined", 21),
        ("distance_km > weight", None, "column 15: km and kg cannot be compared", 21),
        ("distance_km > share", None, "column 15: km and a plain number cannot be compared", 20),
        ("weight in (0, distance_km)", None, "column 15: kg and km cannot be compared", 26),
        (
            "estimate is None or estimate == weight",
            None,
            "column 33: g and kg cannot be compared (1 kg = 1000 g)",
            39,
        ),
        ("weight if share > 1 else distance_km", None, "column 26: kg and km cannot be combined", 37),
        ("coalesce(estimate, weight)", None, "column 20: g and kg cannot be combined (1 kg = 1000 g)", 26),
        (
            "round_half_up(weight, rides)",
            None,
            "column 23: this has the unit ride, but a plain number is needed",
            28,
        ),
        (
            "substring(name, 1, sheets)",
            None,
            "column 20: this has the unit sheet, but a plain number is needed",
            26,
        ),
        ("energy * GRID", "g", "column 1: this gives kg, but g is needed (1 kg = 1000 g)", 14),
        ("distance_km * BUS", "g", "column 1: this gives g*km/person_km, but g is needed", 18),
        ("5", "g", "column 1: this gives a plain number, but g is needed", 2),
        ("rides / sheets", "", "column 1: this gives ride/sheet, but a plain number is needed", 15),
        ("energy * 3", "kg", "column 1: this gives kWh, but kg is needed", 11),
    ],
)
def test_what_does_not_fit_is_refused_at_its_place(
    source: str, expected: str | None, sentence: str, end_column: int
) -> None:
    with pytest.raises(ExpressionError) as caught:
        unit_of(source, expected)
    assert (caught.value.code, str(caught.value)) == ("unit_mismatch", sentence)
    assert caught.value.end_column == end_column


def test_zero_has_the_unit_that_is_needed() -> None:
    assert unit_of("0", "g") == "g"
    assert unit_of("max(0, -0.00)", "kg/kWh") == "kg/kWh"


def test_a_variable_with_a_bad_unit_is_named() -> None:
    with pytest.raises(ExpressionError) as caught:
        unit_of("share + broken")
    assert caught.value.code == "unit_unknown"
    assert (
        str(caught.value) == "column 9: the unit of broken is wrong: 'parsec' is no unit that is known here"
    )


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("g/person_km", "g/person_km"),
        (" g / kWh ", "g/kWh"),
        ("km*g/m", "g*km/m"),
        ("g/sheet/km", "g/km/sheet"),
        ("km*km", "km*km"),
        ("1/km/km", "1/km/km"),
        ("km/km", ""),
        ("1", ""),
        ("", ""),
    ],
)
def test_a_unit_has_one_canonical_text(text: str, canonical: str) -> None:
    assert parse_unit(text) == canonical
    assert parse_unit(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("g/parsec", "'parsec' is no unit that is known here"),
        ("sheets", "'sheets' is no unit that is known here"),
        ("kkm", "'kkm' is no unit that is known here"),
        ("g//km", "'g//km' is no unit: write names with * and /, as in g/person_km"),
        ("2*g", "'2*g' is no unit: write names with * and /, as in g/person_km"),
        ("km**2", "'km**2' is no unit: write names with * and /, as in g/person_km"),
        ("g/", "'g/' is no unit: write names with * and /, as in g/person_km"),
        ("公里", "'公里' is no unit: write names with * and /, as in g/person_km"),
        ("g\n", "'g\\n' is no unit: write names with * and /, as in g/person_km"),
        ("__import__('os')", "\"__import__('os')\" is no unit: write names with * and /, as in g/person_km"),
    ],
)
def test_a_bad_unit_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence is compared
        parse_unit(text)
    assert str(caught.value) == sentence


def test_every_count_is_a_dimension_of_its_own() -> None:
    assert parse_unit("*".join(COUNTS)) == "*".join(sorted(COUNTS))
    for count in COUNTS:
        with pytest.raises(ValueError, match="measure different things"):
            conversion_factor(count, "")


@pytest.mark.parametrize(
    ("from_unit", "to_unit", "factor"),
    [
        ("kg", "g", "1000"),
        ("g", "kg", "0.001"),
        ("kg/kWh", "g/kWh", "1000"),
        ("t/TJ", "g/kWh", "3.6"),
        ("kWh", "MJ", "3.6"),
        ("t/mu", "g/ha", "15000000"),
        ("m2", "mu", "0.0015"),
        ("fen/kWh", "CNY/MWh", "10"),
        ("g/sheet", "g/sheet", "1"),
    ],
)
def test_conversion_is_exact(from_unit: str, to_unit: str, factor: str) -> None:
    assert conversion_factor(from_unit, to_unit) == Decimal(factor)


def test_what_cannot_be_converted_exactly_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^g and km measure different things$"):
        conversion_factor("g", "km")
    with pytest.raises(ValueError, match=r"^one kJ is 1/3600 kWh, which is no exact decimal$"):
        conversion_factor("kJ", "kWh")
    with pytest.raises(ValueError, match=r"^a plain number and km measure different things$"):
        conversion_factor("1", "km")
