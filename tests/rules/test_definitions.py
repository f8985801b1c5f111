"""Reading definitions: every problem is named with its file, line and field; checking rules before they hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from carbonpoints.rules.checking import Finding, check_rule, factors_on
from carbonpoints.rules.definitions import (
    CapDefinition,
    ClaimDefinition,
    ConditionDefinition,
    CounterDefinition,
    CreditsDefinition,
    FactorDefinition,
    RuleDefinition,
    SampleDefinition,
)
from carbonpoints.rules.nodes import DefinitionError, Problem
from carbonpoints.rules.parsing import (
    parse_behaviour_file,
    parse_content,
    parse_factors,
    parse_programme,
    parse_rule,
)
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.shipped import dated_copy

FACTOR = """\
factors:
- code: BUS
  name_en: Bus
  name_zh: 公交
  value: "26.9"
  unit: g/person_km
  quantity: reduction
  region: CN-GD
  data_year: 2022
  source_title: A newspaper
  source_address: https://example.org/bus
  grade: B
  use: reduction
  valid_from: 2022-09-23
"""

BEHAVIOUR = """\
behaviour:
  code: bus_trip
  name_en: Bus trip
  name_zh: 公交出行
  behaviour_class: travel
  consent_source: trips
  attributes:
    distance_km: {type: number, unit: person_km, required: true, min: "0.1", max: "60", decimals: 3, name_en: A, name_zh: 甲}
    ticket: {type: text, required: true, max_length: 64, name_en: B, name_zh: 乙}
    line: {type: text, max_length: 8, name_en: C, name_zh: 丙}
    paid: {type: flag, default: true, name_en: D, name_zh: 丁}
    fares: {type: number, unit: transaction, default: "1", name_en: E, name_zh: 戊}
    started_at: {type: instant, required: true, name_en: F, name_zh: 己}
    ended_at: {type: instant, required: true, name_en: G, name_zh: 庚}
  evidence: [ticket]
  claim:
    act: transport_trip
    fields: [ticket]
    interval: [started_at, ended_at]
  specificity: 20
rule:
  code: bus_trip
  behaviour: bus_trip
  title_en: Bus
  title_zh: 公交
  basis_en: Basis
  basis_zh: 依据
  valid_from: "2024-01-01T00:00:00+08:00"
  valid_to: "2025-01-01T00:00:00+08:00"
  factors: [BUS]
  counters:
    trips_today: {measure: count, window: day}
  eligibility:
  - {code: paid, when: "paid", text_en: A, text_zh: 甲}
  - {code: few, when: "trips_today < 4", text_en: B, text_zh: 乙}
  baseline: "distance_km * BUS"
  project: "0"
  leakage: "0"
  purpose: reduction
  credits: {millicredits_per_mg: "0.5", grant_millicredits: 7}
  caps:
  - {code: trips, window: day, count: 6}
  expiry_months: 24
  samples:
  - attributes: {distance_km: "5", ticket: t, started_at: "2024-01-01T08:00:00+08:00", ended_at: "2024-01-01T09:00:00+08:00"}
    counters: {trips_today: 3}
    reduction_mg: 134500
    millicredits: 67257
  ineligible_samples:
  - attributes: {distance_km: 5, ticket: t, started_at: "2024-01-01T08:00:00+08:00", ended_at: "2024-01-01T09:00:00+08:00"}
    counters: {trips_today: 4}
    reason: few
"""

PROGRAMME = """\
programme:
  code: zhangye
  name_en: Programme
  name_zh: 项目
  time_zone: Asia/Shanghai
  currency: CNY
  cut_off: "22:30"
  holidays: [2026-10-01]
  release_grace_days: 0
  late_event_days: 30
  future_tolerance_s: 300
  clawback_limit_millicredits: 1000
  undecided_retention_days: 90
  consent_sources:
    trips:
      name_en: Trips
      name_zh: 出行
      sensitive: true
      retention_days: 180
      texts:
      - {version: "1", text_en: A, text_zh: 甲}
  event_sources:
  - {uri: "urn:x:transit", operator_en: A, operator_zh: 甲, consent_sources: [trips]}
"""


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def problems_of(parse: Any, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(DefinitionError) as caught:
        parse(text, "file.yaml")
    assert {problem.file for problem in caught.value.problems} == {"file.yaml"}
    return [(problem.line, problem.field, problem.message) for problem in caught.value.problems]


def test_a_factor_is_read_exactly():
    assert parse_factors(FACTOR, "file.yaml") == (
        FactorDefinition(
            code="BUS",
            name_en="Bus",
            name_zh="公交",
            value=Decimal("26.9"),
            unit="g/person_km",
            quantity="reduction",
            region="CN-GD",
            data_year=2022,
            source_title="A newspaper",
            source_address="https://example.org/bus",
            grade="B",
            use="reduction",
            valid_from=date(2022, 9, 23),
        ),
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            [("g/person_km", "g/person_kmm")],
            (6, "factors.0.unit", "'person_kmm' is no unit that is known here"),
        ),
        ([("  source_title: A newspaper\n", "")], (2, "factors.0.source_title", "is missing")),
        ([("A newspaper", '" "')], (10, "factors.0.source_title", "must not be empty")),
        ([("grade: B", "grade: B\n  notes: x")], (13, "factors.0.notes", "is not a known field here")),
        ([("grade: B", "grade: B\n  grade: A")], (13, "factors.0.grade", "is given twice")),
        (
            [('"26.9"', "26.9")],
            (5, "factors.0.value", "26.9 could be read in two ways: put it in quotes"),
        ),
        (
            [('"26.9"', "27")],
            (5, "factors.0.value", 'must be an exact decimal in quotes, as in "26.9", not 27'),
        ),
        (
            [('"26.9"', '"2.69e1"')],
            (5, "factors.0.value", "must be an exact decimal in quotes, as in \"26.9\", not '2.69e1'"),
        ),
        ([('"26.9"', '"-1"')], (5, "factors.0.value", "must not be negative")),
        ([("grade: B", "grade: C")], (13, "factors.0.use", "grade C does not allow a reduction")),
        (
            [("grade: B", "grade: inference")],
            (13, "factors.0.use", "grade inference does not allow a reduction"),
        ),
        ([("CN-GD", "GB")], (13, "factors.0.use", "a figure from GB does not allow a reduction")),
        ([("CN-GD", "CN_GD")], (8, "factors.0.region", "'CN_GD' is no ISO 3166 code, EU or WORLD")),
        (
            [("use: reduction", "use: credits_only")],
            (2, "factors.0.use_reason", "must say why the factor may carry credits only"),
        ),
        (
            [("use: reduction", "use: reduction\n  use_reason: Because.")],
            (14, "factors.0.use_reason", "is only for factors that may carry credits only"),
        ),
        (
            [("grade: B", "grade: D")],
            (12, "factors.0.grade", "must be one of A, B, C, derived, inference, not 'D'"),
        ),
        (
            [("2022-09-23", "2022-09-31")],
            (14, "factors.0.valid_from", "must be a date, as in 2026-01-31, not '2022-09-31'"),
        ),
        (
            [("2022-09-23", "2022-09-23\n  valid_to: 2022-09-23")],
            (15, "factors.0.valid_to", "must be later than valid_from"),
        ),
        (
            [("code: BUS", "code: bus")],
            (2, "factors.0.code", "must be capital letters, digits and underscores"),
        ),
        (
            [("data_year: 2022", "data_year: true")],
            (9, "factors.0.data_year", "must be a whole number, not True"),
        ),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_wrong_factor_is_refused_with_its_line(changes, expected):
    problems = problems_of(parse_factors, changed(FACTOR, *changes))
    assert expected in problems
    assert all(problem[:2] == expected[:2] for problem in problems)


def test_a_factor_of_grade_c_may_carry_credits_when_it_says_why():
    text = changed(
        FACTOR, ("grade: B", "grade: C"), ("use: reduction", "use: credits_only\n  use_reason: A blog.")
    )
    (factor,) = parse_factors(text, "file.yaml")
    assert (factor.grade, factor.use, factor.use_reason) == ("C", "credits_only", "A blog.")


def test_all_problems_are_reported_in_the_order_of_the_file():
    text = changed(FACTOR, ("g/person_km", "g/x"), ("CN-GD", "GB"), ("code: BUS", "code: bus"))
    assert [line for line, _, _ in problems_of(parse_factors, text)] == [2, 6, 13]
    text = changed(FACTOR, ("grade: B", "grade: D"), ('"26.9"', "x"), ("data_year: 2022", "data_year: y"))
    assert [line for line, _, _ in problems_of(parse_factors, text)] == [5, 9, 12]


def test_two_versions_of_a_factor_must_not_overlap():
    entry = FACTOR.removeprefix("factors:\n")
    later = entry.replace("2022-09-23", "2023-01-01")
    assert problems_of(parse_factors, FACTOR + later) == [
        (27, "factors.1.valid_from", "BUS is already valid from 2022-09-23")
    ]
    earlier = entry.replace("2022-09-23", "2022-09-23\n  valid_to: 2023-01-01")
    first, second = parse_factors(f"factors:\n{later}{earlier}", "file.yaml")
    assert (first.valid_from, second.valid_to) == (date(2023, 1, 1), date(2023, 1, 1))
    earlier = earlier.replace("valid_to: 2023-01-01", "valid_to: 2023-01-02")
    assert problems_of(parse_factors, f"factors:\n{later}{earlier}") == [
        (14, "factors.0.valid_from", "BUS is already valid from 2022-09-23")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (1, "", "must be a group of fields, not nothing")),
        ("factors: 1", (1, "factors", "must be a list, not 1")),
        ("factors:\n- 1", (2, "factors.0", "must be a group of fields, not 1")),
        ("factors:\n- [a]", (2, "factors.0", "must be a group of fields, not a list")),
        ("factors: []\nother: 1", (2, "other", "is not a known field here")),
        ("factors: [\n", (2, "", "expected the node content, but found '<stream end>'")),
        ("a: &x 1\nb: *x\n", (2, "", "aliases are not allowed")),
        ("factors: []\n---\nfactors: []\n", (2, "", "but found another document")),
        (
            "factors: !!python/name:os.system ''",
            (1, "factors", " could be read in two ways: put it in quotes"),
        ),
        ("factors: yes", (1, "factors", "yes could be read in two ways: put it in quotes")),
        ("factors: 0x1F", (1, "factors", "0x1F could be read in two ways: put it in quotes")),
    ],
)
def test_what_is_no_list_of_factors_is_refused(text: str, expected: tuple[int, str, str]):
    assert problems_of(parse_factors, text) == [expected]


def test_deep_nesting_is_refused_before_it_is_built():
    assert problems_of(parse_factors, "[" * 20_000) == [(1, "", "is nested deeper than 16")]


def test_characters_that_yaml_cannot_take_are_refused():
    ((line, field, message),) = problems_of(parse_factors, "factors: '\x00'")
    assert (line, field) == (1, "")
    assert message.startswith("is not YAML we accept")


def test_a_behaviour_and_its_rule_are_read():
    behaviour, rule = parse_behaviour_file(BEHAVIOUR, "file.yaml")
    assert behaviour.claim == ClaimDefinition(
        act="transport_trip", fields=("ticket",), interval=("started_at", "ended_at")
    )
    assert [name for name, each in behaviour.attributes.items() if each.nullable] == ["line"]
    assert behaviour.attributes["distance_km"].min == Decimal("0.1")
    assert behaviour.attributes["paid"].default is True
    assert rule is not None
    assert rule.valid_from == datetime(2023, 12, 31, 16, tzinfo=UTC)
    assert rule.counters == {"trips_today": CounterDefinition(measure="count", window="day")}
    assert rule.caps == (CapDefinition(code="trips", window="day", count=6),)
    assert rule.credits == CreditsDefinition(millicredits_per_mg=Decimal("0.5"), grant_millicredits=7)
    assert rule.samples[0].attributes["distance_km"] == "5"


def test_a_behaviour_may_come_without_a_rule():
    text = BEHAVIOUR[: BEHAVIOUR.index("rule:")]
    behaviour, rule = parse_behaviour_file(text, "file.yaml")
    assert (behaviour.code, rule) == ("bus_trip", None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("act: transport_trip", "act: transport-trip")], (17, "behaviour.claim.act")),
        ([("consent_source: trips", 'consent_source: ""')], (6, "behaviour.consent_source")),
        ([("behaviour_class: travel", "behaviour_class: fun")], (5, "behaviour.behaviour_class")),
        ([("    paid: {", '    "1x": {')], (11, "behaviour.attributes.1x")),
        ([("unit: person_km", "unit: furlong")], (8, "behaviour.attributes.distance_km.unit")),
        ([('max: "60"', 'max: "0"')], (8, "behaviour.attributes.distance_km.max")),
        (
            [("line: {type: text, max_length: 8", "line: {type: text")],
            (10, "behaviour.attributes.line.max_length"),
        ),
        ([("line: {type: text", 'line: {type: text, min: "1"')], (10, "behaviour.attributes.line.min")),
        ([("paid: {type: flag", "paid: {type: flag, unit: km")], (11, "behaviour.attributes.paid.unit")),
        ([("default: true", "default: 1")], (11, "behaviour.attributes.paid.default")),
        ([('default: "1"', "default: true")], (12, "behaviour.attributes.fares.default")),
        ([('default: "1"', 'default: "1", max: "0.5"')], (12, "behaviour.attributes.fares.default")),
        (
            [("line: {type: text, max_length: 8", "line: {type: text, choices: [a], default: b")],
            (10, "behaviour.attributes.line.default"),
        ),
        ([("max_length: 64", "max_length: 64, default: x")], (9, "behaviour.attributes.ticket.default")),
        ([("evidence: [ticket]", "evidence: [paper]")], (15, "behaviour.evidence.0")),
        ([("act: transport_trip", "act: A Trip")], (17, "behaviour.claim.act")),
        ([("fields: [ticket]", "fields: []")], (18, "behaviour.claim.fields")),
        ([("fields: [ticket]", "fields: [paper]")], (18, "behaviour.claim.fields.0")),
        ([("fields: [ticket]", "fields: [line]")], (18, "behaviour.claim.fields.0")),
        ([("[started_at, ended_at]", "[started_at]")], (19, "behaviour.claim.interval")),
        ([("[started_at, ended_at]", "[started_at, ticket]")], (19, "behaviour.claim.interval.1")),
        ([("behaviour: bus_trip", "behaviour: metro_trip")], (23, "rule.behaviour")),
        ([("rule:\n  code: bus_trip", "rule:\n  code: 1bus")], (22, "rule.code")),
        ([("2024-01-01T00:00:00+08:00", "2024-01-01T00:00:00")], (28, "rule.valid_from")),
        ([("2025-01-01T00:00:00+08:00", "2024-01-01T00:00:00+08:00")], (29, "rule.valid_to")),
        ([("factors: [BUS]", "factors: [BUS, BUS]")], (30, "rule.factors")),
        ([("    trips_today: {", "    Trips: {")], (32, "rule.counters.Trips")),
        ([("measure: count", "measure: average")], (32, "rule.counters.trips_today.measure")),
        ([("window: day}", "window: week}")], (32, "rule.counters.trips_today.window")),
        (
            [("measure: count, window: day", 'measure: "distinct:line", window: day, per: ticket')],
            (32, "rule.counters.trips_today.per"),
        ),
        ([("code: few", "code: paid")], (33, "rule.eligibility")),
        ([("code: few", "code: Few")], (35, "rule.eligibility.1.code")),
        ([("purpose: reduction", "purpose: profit")], (39, "rule.purpose")),
        ([('per_mg: "0.5"', 'per_mg: "-0.5"')], (40, "rule.credits.millicredits_per_mg")),
        ([("grant_millicredits: 7", "grant_millicredits: -1")], (40, "rule.credits.grant_millicredits")),
        (
            [("grant_millicredits: 7", "grant_millicredits: 9223372036854775808")],
            (40, "rule.credits.grant_millicredits"),
        ),
        ([("window: day, count: 6", "window: day")], (42, "rule.caps.0")),
        ([("window: day, count: 6", "window: event, count: 6")], (42, "rule.caps.0.count")),
        ([("window: day, count: 6", "window: day, mg: 0")], (42, "rule.caps.0.mg")),
        ([("window: day, count: 6", "window: week, count: 6")], (42, "rule.caps.0.window")),
        ([("expiry_months: 24", "expiry_months: 0")], (43, "rule.expiry_months")),
        ([("expiry_months: 24", "expiry_months: 24\n  pending_days: -1")], (44, "rule.pending_days")),
        ([("reduction_mg: 134500", "reduction_mg: 134500.0")], (47, "rule.samples.0.reduction_mg")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_wrong_behaviour_or_rule_is_refused_with_its_line(changes, expected):
    problems = problems_of(parse_behaviour_file, changed(BEHAVIOUR, *changes))
    assert [problem[:2] for problem in problems] == [expected]


def test_a_rule_needs_a_sample():
    samples = BEHAVIOUR[BEHAVIOUR.index("  samples:\n") :]
    text = BEHAVIOUR.replace(samples, "  samples: []\n")
    message = "must hold at least one: an event and what the rule gives for it"
    assert problems_of(parse_behaviour_file, text) == [(44, "rule.samples", message)]


def test_a_rule_may_stand_in_a_file_of_its_own():
    text = BEHAVIOUR[BEHAVIOUR.index("rule:") :]
    assert parse_rule(text, "file.yaml") == rule_of(BEHAVIOUR)
    assert problems_of(parse_rule, text.replace("expiry_months: 24", "expiry_months: 0"))[0][:2] == (
        23,
        "rule.expiry_months",
    )


def test_a_programme_is_read():
    programme = parse_programme(PROGRAMME, "file.yaml")
    assert programme.cut_off == time(22, 30)
    assert programme.holidays == (date(2026, 10, 1),)
    assert programme.consent_sources["trips"].texts[0].covers_from is None
    assert programme.event_sources[0].is_backfill is False


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("code: zhangye", "code: 张掖")], (2, "programme.code")),
        ([("Asia/Shanghai", "Asia/Zhangye")], (5, "programme.time_zone")),
        ([("Asia/Shanghai", "../zoneinfo")], (5, "programme.time_zone")),
        ([("currency: CNY", "currency: yuan")], (6, "programme.currency")),
        ([('"22:30"', '"25:00"')], (7, "programme.cut_off")),
        ([("late_event_days: 30", "late_event_days: -1")], (10, "programme.late_event_days")),
        (
            [("undecided_retention_days: 90", "undecided_retention_days: -1")],
            (13, "programme.undecided_retention_days"),
        ),
        (
            [("    trips:\n", "    Trips:\n"), ("sources: [trips]", "sources: [Trips]")],
            (15, "programme.consent_sources.Trips"),
        ),
        (
            [("retention_days: 180", "retention_days: -1")],
            (19, "programme.consent_sources.trips.retention_days"),
        ),
        (
            [('texts:\n      - {version: "1", text_en: A, text_zh: 甲}', "texts: []")],
            (20, "programme.consent_sources.trips.texts"),
        ),
        (
            [("text_zh: 甲}", 'text_zh: 甲}\n      - {version: "1", text_en: B, text_zh: 乙}')],
            (20, "programme.consent_sources.trips.texts"),
        ),
        ([("urn:x:transit", "transit")], (23, "programme.event_sources.0.uri")),
        ([("sources: [trips]", "sources: [payments]")], (23, "programme.event_sources.0.consent_sources")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_wrong_programme_is_refused_with_its_line(changes, expected):
    problems = problems_of(parse_programme, changed(PROGRAMME, *changes))
    assert [problem[:2] for problem in problems] == [expected]


def test_an_event_source_is_named_once():
    line = PROGRAMME.splitlines()[-1]
    assert problems_of(parse_programme, PROGRAMME + line) == [
        (22, "programme.event_sources", "urn:x:transit is given 2 times")
    ]


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
    (factor,) = parse_factors(changed(FACTOR, ('"26.9"', '"0.00000000100"')), "file.yaml")
    assert as_content(factor)["value"] == "0.00000000100"


def rule_of(text: str) -> RuleDefinition:
    _, rule = parse_behaviour_file(text, "file.yaml")
    assert rule is not None
    return rule


(BUS,) = parse_factors(FACTOR, "file.yaml")
BUS_TRIP, _ = parse_behaviour_file(BEHAVIOUR, "file.yaml")
RULE = rule_of(BEHAVIOUR)


def test_a_right_rule_has_no_findings():
    assert check_rule(RULE, BUS_TRIP, [BUS]) == []


def test_a_factor_must_not_hide_an_attribute():
    behaviour = replace(BUS_TRIP, attributes={**BUS_TRIP.attributes, "BUS": BUS_TRIP.attributes["fares"]})
    assert check_rule(RULE, behaviour, [BUS]) == [
        Finding("factors", 0, "name_taken", "BUS is an attribute already")
    ]


def condition(when: str) -> tuple[ConditionDefinition, ...]:
    few = RULE.eligibility[1]
    return (ConditionDefinition(code="paid", when=when, text_en="", text_zh=""), few)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"baseline": "distance_km + BUS"},
            Finding("baseline", 15, "unit_mismatch", "person_km and g/person_km cannot be added"),
        ),
        (
            {"project": "distance_km"},
            Finding("project", 1, "unit_mismatch", "this gives person_km, but g is needed"),
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
            Finding("behaviour", 0, "wrong_behaviour", "the rule is for metro_trip, not for bus_trip"),
        ),
        (
            {
                "counters": {"fares": CounterDefinition(measure="count", window="day")},
                "eligibility": condition("fares < 1")[:1],
            },
            Finding("counters", 0, "name_taken", "fares is an attribute already"),
        ),
        (
            {"counters": {"trips_today": CounterDefinition(measure="sum:ticket", window="day")}},
            Finding(
                "counters.trips_today.measure",
                0,
                "unknown_attribute",
                "ticket is no number attribute of bus_trip",
            ),
        ),
        (
            {"counters": {"trips_today": CounterDefinition(measure="distinct:fares", window="7d")}},
            Finding(
                "counters.trips_today.measure",
                0,
                "unknown_attribute",
                "fares is no text attribute of bus_trip",
            ),
        ),
        (
            {"counters": {"trips_today": CounterDefinition(measure="count", window="day", per="driver")}},
            Finding(
                "counters.trips_today.per", 0, "unknown_attribute", "driver is no text attribute of bus_trip"
            ),
        ),
        (
            {"eligibility": RULE.eligibility[:1]},
            Finding("counters", 0, "unused", "trips_today is named but no expression uses it"),
        ),
        ({"baseline": "0"}, Finding("factors", 0, "unused", "BUS is named but no expression uses it")),
        (
            {"valid_from": datetime(2022, 9, 22, tzinfo=UTC)},
            Finding("factors.0", 0, "factor_validity", "BUS has no value in force on 2022-09-22"),
        ),
        (
            {"credits": CreditsDefinition(millicredits_per_mg=Decimal(1), grant_millicredits=0)},
            Finding(
                "samples.0",
                0,
                "sample_differs",
                "the rule gives 134500 mg and 134500 millicredits, the sample says 134500 mg and 67257 millicredits",
            ),
        ),
        (
            {"purpose": "credits_only"},
            Finding(
                "samples.0",
                0,
                "sample_differs",
                "the rule gives 0 mg and 67257 millicredits, the sample says 134500 mg and 67257 millicredits",
            ),
        ),
        (
            {"caps": (CapDefinition(code="trips", window="event", mg=100000),)},
            Finding(
                "samples.0",
                0,
                "sample_differs",
                "the rule gives 100000 mg and 50007 millicredits, the sample says 134500 mg and 67257 millicredits",
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
    message = "BUS is no factor that is in force while the rule is"
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
    assert finding == Finding("factors.0", 0, "factor_use", "BUS may carry credits only: A blog.")
    (sample,) = RULE.samples
    lenient = replace(RULE, purpose="credits_only", samples=(replace(sample, reduction_mg=0),))
    assert check_rule(lenient, BUS_TRIP, [weak]) == []
    weak_later = replace(weak, valid_from=date(2024, 6, 1))
    findings = check_rule(RULE, BUS_TRIP, [replace(BUS, valid_to=date(2024, 6, 1)), weak_later])
    assert [each.code for each in findings] == ["factor_use"]


def sample(**changes: Any) -> SampleDefinition:
    return replace(RULE.samples[0], **changes)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (
            sample(attributes={**RULE.samples[0].attributes, "seat": "1"}),
            ("sample_inputs", "seat is no attribute"),
        ),
        (
            sample(attributes={"distance_km": "5", "ticket": "t"}),
            ("sample_inputs", "ended_at, started_at is missing"),
        ),
        (
            sample(attributes={**RULE.samples[0].attributes, "distance_km": "5 km"}),
            ("sample_inputs", "distance_km is no number"),
        ),
        (sample(attributes={**RULE.samples[0].attributes, "paid": 1}), ("sample_inputs", "paid is no flag")),
        (
            sample(attributes={**RULE.samples[0].attributes, "started_at": "noon"}),
            ("sample_inputs", "started_at is no instant"),
        ),
        (sample(counters={"rides": 1}), ("sample_inputs", "rides is no counter")),
        (
            sample(attributes={**RULE.samples[0].attributes, "paid": False}),
            ("sample_differs", "the rule gives paid, the sample says 134500 mg and 67257 millicredits"),
        ),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_wrong_sample_is_found_out(wrong: SampleDefinition, expected: tuple[str, str]):
    (finding,) = check_rule(replace(RULE, samples=(wrong,)), BUS_TRIP, [BUS])
    assert (finding.field, finding.column, finding.code, finding.message) == ("samples.0", 0, *expected)


def test_a_sample_that_yields_nothing_is_refused_even_if_the_rule_agrees():
    nothing = CreditsDefinition(millicredits_per_mg=Decimal(0), grant_millicredits=0)
    empty = sample(reduction_mg=0, millicredits=0)
    rule = replace(RULE, purpose="credits_only", credits=nothing, samples=(empty,))
    assert check_rule(rule, BUS_TRIP, [BUS]) == [
        Finding("samples.0", 0, "yields_nothing", "a sample must yield something")
    ]


def test_an_ineligible_sample_must_fail_for_the_reason_it_gives():
    (refused,) = RULE.ineligible_samples
    rule = replace(RULE, ineligible_samples=(replace(refused, reason="paid"),))
    assert check_rule(rule, BUS_TRIP, [BUS]) == [
        Finding("ineligible_samples.0", 0, "sample_differs", "the rule gives few, the sample says paid")
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
