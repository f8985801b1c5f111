"""Reading definitions: every problem is named with its file, line and field."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from carbonpoints.rules.definitions import (
    CapDefinition,
    ClaimDefinition,
    CounterDefinition,
    CreditsDefinition,
    FactorDefinition,
)
from carbonpoints.rules.nodes import DefinitionError
from carbonpoints.rules.parsing import (
    parse_behaviour_file,
    parse_factors,
    parse_programme,
    parse_rule,
)
from tests.rules.definition_texts import BEHAVIOUR, FACTOR

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
  millifen_per_credit: 100
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
        (
            "factors: [\n",
            (2, "", "is not YAML we accept: expected the node content, but found '<stream end>'"),
        ),
        ("a: &x 1\nb: *x\n", (2, "", "aliases are not allowed")),
        ("factors: []\n---\nfactors: []\n", (2, "", "is not YAML we accept: but found another document")),
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
        ([("2024-01-01T00:00:00+08:00", "2024-01-01T00:00:00")], (45, "rule.valid_from")),
        ([("2025-01-01T00:00:00+08:00", "2024-01-01T00:00:00+08:00")], (46, "rule.valid_to")),
        ([("factors: [BUS]", "factors: [BUS, BUS]")], (47, "rule.factors")),
        ([("    trips_today: {", "    Trips: {")], (49, "rule.counters.Trips")),
        ([("measure: count", "measure: average")], (49, "rule.counters.trips_today.measure")),
        ([("window: day}", "window: week}")], (49, "rule.counters.trips_today.window")),
        (
            [("measure: count, window: day", 'measure: "distinct:line", window: day, per: ticket')],
            (49, "rule.counters.trips_today.per"),
        ),
        ([("code: few", "code: paid")], (50, "rule.eligibility")),
        ([("code: few", "code: Few")], (52, "rule.eligibility.1.code")),
        ([("purpose: reduction", "purpose: profit")], (56, "rule.purpose")),
        ([('per_mg: "0.5"', 'per_mg: "-0.5"')], (57, "rule.credits.millicredits_per_mg")),
        ([("grant_millicredits: 7", "grant_millicredits: -1")], (57, "rule.credits.grant_millicredits")),
        (
            [("grant_millicredits: 7", "grant_millicredits: 9223372036854775808")],
            (57, "rule.credits.grant_millicredits"),
        ),
        ([("window: day, count: 6", "window: day")], (59, "rule.caps.0")),
        ([("window: day, count: 6", "window: event, count: 6")], (59, "rule.caps.0.count")),
        ([("window: day, count: 6", "window: day, mg: 0")], (59, "rule.caps.0.mg")),
        ([("window: day, count: 6", "window: week, count: 6")], (59, "rule.caps.0.window")),
        ([("expiry_months: 24", "expiry_months: 0")], (60, "rule.expiry_months")),
        ([("expiry_months: 24", "expiry_months: 24\n  pending_days: -1")], (61, "rule.pending_days")),
        ([("reduction_mg: 134500", "reduction_mg: 134500.0")], (64, "rule.samples.0.reduction_mg")),
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
    assert problems_of(parse_behaviour_file, text) == [(61, "rule.samples", message)]


def test_a_rule_may_stand_in_a_file_of_its_own():
    text = BEHAVIOUR[BEHAVIOUR.index("rule:") :]
    assert parse_rule(text, "file.yaml") == parse_behaviour_file(BEHAVIOUR, "file.yaml")[1]
    assert problems_of(parse_rule, text.replace("expiry_months: 24", "expiry_months: 0"))[0][:2] == (
        40,
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
        ([("per_credit: 100", "per_credit: 0")], (14, "programme.millifen_per_credit")),
        (
            [("    trips:\n", "    Trips:\n"), ("sources: [trips]", "sources: [Trips]")],
            (16, "programme.consent_sources.Trips"),
        ),
        (
            [("retention_days: 180", "retention_days: -1")],
            (20, "programme.consent_sources.trips.retention_days"),
        ),
        (
            [('texts:\n      - {version: "1", text_en: A, text_zh: 甲}', "texts: []")],
            (21, "programme.consent_sources.trips.texts"),
        ),
        (
            [("text_zh: 甲}", 'text_zh: 甲}\n      - {version: "1", text_en: B, text_zh: 乙}')],
            (21, "programme.consent_sources.trips.texts"),
        ),
        ([("urn:x:transit", "transit")], (24, "programme.event_sources.0.uri")),
        ([("sources: [trips]", "sources: [payments]")], (24, "programme.event_sources.0.consent_sources")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_wrong_programme_is_refused_with_its_line(changes, expected):
    problems = problems_of(parse_programme, changed(PROGRAMME, *changes))
    assert [problem[:2] for problem in problems] == [expected]


def test_an_event_source_is_named_once():
    line = PROGRAMME.splitlines()[-1]
    assert problems_of(parse_programme, PROGRAMME + line) == [
        (23, "programme.event_sources", "urn:x:transit is given 2 times")
    ]
