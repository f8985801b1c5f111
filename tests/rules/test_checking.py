"""Checking a rule before it holds: names, types, units, grades and its own samples."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from carbonpoints.core.errors import Message
from carbonpoints.rules.checking import check_rule
from carbonpoints.rules.definitions import (
    CapDefinition,
    ConditionDefinition,
    CounterDefinition,
    CreditsDefinition,
    SampleDefinition,
)
from carbonpoints.rules.factor_checking import factors_on
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.parsing import parse_behaviour_file, parse_factors
from carbonpoints.rules.shipped import dated_copy
from tests.rules.definition_texts import BEHAVIOUR, FACTOR

(BUS,) = parse_factors(FACTOR, "file.yaml")
BUS_TRIP, PARSED_RULE = parse_behaviour_file(BEHAVIOUR, "file.yaml")
assert PARSED_RULE is not None
RULE = PARSED_RULE


def test_a_right_rule_has_no_findings():
    assert check_rule(RULE, BUS_TRIP, [BUS]) == []


def test_a_factor_must_not_hide_an_attribute():
    behaviour = replace(BUS_TRIP, attributes={**BUS_TRIP.attributes, "BUS": BUS_TRIP.attributes["fares"]})
    assert check_rule(RULE, behaviour, [BUS]) == [
        Finding("factors", 0, "name_taken", Message("BUS is an attribute already"))
    ]


def condition(when: str) -> tuple[ConditionDefinition, ...]:
    few = RULE.eligibility[1]
    return (ConditionDefinition(code="paid", when=when, text_en="", text_zh=""), few)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"baseline": "distance_km + BUS"},
            Finding("baseline", 15, "unit_mismatch", Message("person_km and g/person_km cannot be added")),
        ),
        (
            {"project": "distance_km"},
            Finding("project", 1, "unit_mismatch", Message("this gives person_km, but g is needed")),
        ),
        ({"leakage": "paid"}, ("leakage", 1, "wrong_result")),
        ({"baseline": "distance_km * BUSS"}, ("baseline", 15, "unknown_name")),
        ({"baseline": "distance_km * BUS * trips_today"}, ("baseline", 21, "unknown_name")),
        ({"eligibility": condition("fares")}, ("eligibility.0.when", 1, "wrong_result")),
        (
            {"eligibility": condition("paid and distance_km < fares")},
            ("eligibility.0.when", 24, "unit_mismatch"),
        ),
        (
            {"behaviour": "metro_trip"},
            Finding(
                "behaviour", 0, "wrong_behaviour", Message("the rule is for metro_trip, not for bus_trip")
            ),
        ),
        (
            {
                "counters": {"fares": CounterDefinition(measure="count", window="day")},
                "eligibility": condition("fares < 1")[:1],
            },
            Finding("counters", 0, "name_taken", Message("fares is an attribute already")),
        ),
        (
            {"counters": {"trips_today": CounterDefinition(measure="sum:ticket", window="day")}},
            Finding(
                "counters.trips_today.measure",
                0,
                "unknown_attribute",
                Message("ticket is no number attribute of bus_trip"),
            ),
        ),
        (
            {"counters": {"trips_today": CounterDefinition(measure="distinct:fares", window="7d")}},
            Finding(
                "counters.trips_today.measure",
                0,
                "unknown_attribute",
                Message("fares is no text attribute of bus_trip"),
            ),
        ),
        (
            {"counters": {"trips_today": CounterDefinition(measure="count", window="day", per="driver")}},
            Finding(
                "counters.trips_today.per",
                0,
                "unknown_attribute",
                Message("driver is no text attribute of bus_trip"),
            ),
        ),
        (
            {"eligibility": RULE.eligibility[:1]},
            Finding("counters", 0, "unused", Message("trips_today is named but no expression uses it")),
        ),
        (
            {"baseline": "0"},
            Finding("factors", 0, "unused", Message("BUS is named but no expression uses it")),
        ),
        (
            {"valid_from": datetime(2022, 9, 22, tzinfo=UTC)},
            Finding("factors.0", 0, "factor_validity", Message("BUS has no value in force on 2022-09-22")),
        ),
        (
            {"credits": CreditsDefinition(millicredits_per_mg=Decimal(1), grant_millicredits=0)},
            Finding(
                "samples.0",
                0,
                "sample_differs",
                Message(
                    "the rule gives 134500 mg and 134500 millicredits, the sample says 134500 mg and 67257 millicredits"
                ),
            ),
        ),
        (
            {"purpose": "credits_only"},
            Finding(
                "samples.0",
                0,
                "sample_differs",
                Message(
                    "the rule gives 0 mg and 67257 millicredits, the sample says 134500 mg and 67257 millicredits"
                ),
            ),
        ),
        (
            {"caps": (CapDefinition(code="trips", window="event", mg=100000),)},
            Finding(
                "samples.0",
                0,
                "sample_differs",
                Message(
                    "the rule gives 100000 mg and 50007 millicredits, the sample says 134500 mg and 67257 millicredits"
                ),
            ),
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_rule_is_found_out(changes: dict[str, Any], expected: Any):
    (finding,) = check_rule(replace(RULE, **changes), BUS_TRIP, [BUS])
    if isinstance(expected, Finding):
        assert finding == expected
    else:
        assert (finding.field, finding.column, finding.code) == expected


def test_a_factor_that_is_not_there_or_not_in_force_is_unknown():
    message = Message("BUS is no factor that is in force while the rule is")
    expected = Finding("factors.0", 0, "unknown_factor", message)
    ended = replace(BUS, valid_to=date(2024, 1, 1))
    to_come = replace(BUS, valid_from=date(2025, 1, 1))
    for factors in ([], [ended], [to_come]):
        findings = check_rule(RULE, BUS_TRIP, factors)
        assert findings[0] == expected
        assert [(each.field, each.code) for each in findings[1:]] == [("baseline", "unknown_name")]


def test_a_factor_must_be_there_for_every_day_of_the_rule():
    first = replace(BUS, valid_to=date(2024, 6, 1))
    second = replace(BUS, valid_from=date(2024, 6, 1), value=Decimal(30))
    assert check_rule(RULE, BUS_TRIP, [second, first]) == []
    late = replace(second, valid_from=date(2024, 6, 2))
    (finding,) = check_rule(RULE, BUS_TRIP, [first, late])
    assert (finding.code, finding.message) == ("factor_validity", "BUS has no value in force on 2024-06-01")
    until_the_end = replace(BUS, valid_to=date(2025, 1, 1))
    assert check_rule(RULE, BUS_TRIP, [until_the_end]) == []
    a_day_less = replace(BUS, valid_to=date(2024, 12, 31))
    (finding,) = check_rule(RULE, BUS_TRIP, [a_day_less])
    assert finding.message == "BUS has no value in force on 2024-12-31"
    (finding,) = check_rule(replace(RULE, valid_to=None), BUS_TRIP, [until_the_end])
    assert finding.message == "BUS has no value in force on 2025-01-01"


def test_a_factor_must_not_change_its_unit_under_a_rule():
    first = replace(BUS, valid_to=date(2024, 6, 1))
    second = replace(BUS, valid_from=date(2024, 6, 1), unit="kg/person_km")
    findings = check_rule(RULE, BUS_TRIP, [first, second])
    assert [each.code for each in findings] == ["factor_units", "unit_mismatch"]


def test_a_factor_for_credits_only_carries_no_reduction():
    weak = replace(BUS, use="credits_only", use_reason="A blog.")
    (finding,) = check_rule(RULE, BUS_TRIP, [weak])
    assert finding == Finding("factors.0", 0, "factor_use", Message("BUS may carry credits only: A blog."))
    (sample,) = RULE.samples
    lenient = replace(RULE, purpose="credits_only", samples=(replace(sample, reduction_mg=0),))
    assert check_rule(lenient, BUS_TRIP, [weak]) == []
    weak_later = replace(weak, valid_from=date(2024, 6, 1))
    findings = check_rule(RULE, BUS_TRIP, [replace(BUS, valid_to=date(2024, 6, 1)), weak_later])
    assert [each.code for each in findings] == ["factor_use"]


def monitored(*names: str) -> dict[str, Any]:
    assert RULE.methodology is not None
    (part,) = RULE.methodology.monitoring
    return {"methodology": replace(RULE.methodology, monitoring=(replace(part, data=names),))}


def test_what_a_formula_computes_with_has_a_source_and_what_has_one_is_an_attribute():
    (finding,) = check_rule(replace(RULE, **monitored("ticket")), BUS_TRIP, [BUS])
    message = Message("a formula uses distance_km, and its source is not named")
    assert finding == Finding("methodology.monitoring", 0, "not_monitored", message)
    (finding,) = check_rule(replace(RULE, **monitored("distance_km", "mood")), BUS_TRIP, [BUS])
    assert finding == Finding(
        "methodology.monitoring.0.data", 0, "unknown_attribute", Message("mood is no attribute")
    )
    assert check_rule(replace(RULE, methodology=None), BUS_TRIP, [BUS]) == []  # From before it was asked for.


def test_formulas_that_are_too_long_together_are_refused_and_no_crash():
    long = " + ".join(["distance_km * BUS"] * 28)
    (finding,) = check_rule(replace(RULE, baseline=long, project=long), BUS_TRIP, [BUS])
    assert (finding.field, finding.code) == ("baseline", "too_long")


def sample(**changes: Any) -> SampleDefinition:
    return replace(RULE.samples[0], **changes)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (
            sample(attributes={**RULE.samples[0].attributes, "seat": "1"}),
            [(".attributes.seat", "sample_inputs", "This behaviour has no such attribute.")],
        ),
        (
            sample(attributes={"distance_km": "5", "ticket": "t"}),
            [
                (".attributes.started_at", "sample_inputs", "A value is needed."),
                (".attributes.ended_at", "sample_inputs", "A value is needed."),
            ],
        ),
        (
            sample(attributes={**RULE.samples[0].attributes, "distance_km": "61"}),
            [(".attributes.distance_km", "sample_inputs", "The most that is accepted is 60.")],
        ),
        (sample(counters={"rides": 1}), [(".counters.rides", "sample_inputs", "rides is no counter")]),
        (
            sample(attributes={**RULE.samples[0].attributes, "paid": False}),
            [
                (
                    "",
                    "sample_differs",
                    "the rule gives paid, the sample says 134500 mg and 67257 millicredits",
                )
            ],
        ),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_a_wrong_sample_is_found_out(wrong: SampleDefinition, expected: list[tuple[str, str, str]]):
    assert check_rule(replace(RULE, samples=(wrong,)), BUS_TRIP, [BUS]) == [
        Finding(f"samples.0{field}", 0, code, Message(message)) for field, code, message in expected
    ]


def test_a_sample_that_yields_nothing_is_refused_even_if_the_rule_agrees():
    nothing = CreditsDefinition(millicredits_per_mg=Decimal(0), grant_millicredits=0)
    empty = sample(reduction_mg=0, millicredits=0)
    rule = replace(RULE, purpose="credits_only", credits=nothing, samples=(empty,))
    assert check_rule(rule, BUS_TRIP, [BUS]) == [
        Finding("samples.0", 0, "yields_nothing", Message("a sample must yield something"))
    ]


def test_an_ineligible_sample_must_fail_for_the_reason_it_gives():
    (refused,) = RULE.ineligible_samples
    rule = replace(RULE, ineligible_samples=(replace(refused, reason="paid"),))
    assert check_rule(rule, BUS_TRIP, [BUS]) == [
        Finding(
            "ineligible_samples.0", 0, "sample_differs", Message("the rule gives few, the sample says paid")
        )
    ]
    rule = replace(RULE, ineligible_samples=(replace(refused, counters={}),))
    (finding,) = check_rule(rule, BUS_TRIP, [BUS])
    assert finding.message == "the rule gives 134500 mg and 67257 millicredits, the sample says few"


@pytest.mark.parametrize(
    ("counter", "when", "stand", "refused"),
    [
        (CounterDefinition(measure="sum:distance_km", window="month"), "trips_today < 40", 39, 40),
        (CounterDefinition(measure="distinct:line", window="7d"), "trips_today < 3", 2, 3),
        (CounterDefinition(measure="count", window="year", per="ticket"), "trips_today < 3", 2, 3),
    ],
    ids=["sum", "distinct", "count per"],
)
def test_counters_of_every_kind_stand_where_a_sample_says(counter, when: str, stand: int, refused: int):
    (ineligible,) = RULE.ineligible_samples
    rule = replace(
        RULE,
        counters={"trips_today": counter},
        eligibility=(ConditionDefinition(code="few", when=when, text_en="", text_zh=""),),
        samples=(sample(counters={"trips_today": stand}),),
        ineligible_samples=(replace(ineligible, counters={"trips_today": refused}),),
    )
    assert check_rule(rule, BUS_TRIP, [BUS]) == []


def test_samples_are_computed_with_the_factors_of_the_first_day():
    first = replace(BUS, valid_to=date(2024, 1, 2))
    second = replace(BUS, valid_from=date(2024, 1, 2), value=Decimal(1))
    assert factors_on([first, second], date(2024, 1, 1)) == {"BUS": first}
    assert factors_on([first, second], date(2024, 1, 2)) == {"BUS": second}
    assert factors_on([first, second], date(2022, 9, 22)) == {}
    assert check_rule(RULE, BUS_TRIP, [first, second]) == []


def test_a_dated_copy_takes_the_earliest_version_of_each_factor_back_with_it():
    first = replace(BUS, valid_to=date(2024, 1, 2), note="Old.")
    second = replace(BUS, valid_from=date(2024, 1, 2), value=Decimal(1))
    start = RULE.valid_from - timedelta(days=10_000)
    copy, factors = dated_copy(RULE, [second, first, replace(BUS, code="OTHER")], valid_from=start)
    assert copy == replace(RULE, valid_from=start)
    note = "Set back from 2022-09-23 for a demonstration. Old."
    assert factors == (replace(first, valid_from=start.date(), valid_to=None, note=note),)
    assert check_rule(copy, BUS_TRIP, factors) == []
