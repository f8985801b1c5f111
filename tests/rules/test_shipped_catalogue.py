"""The contract of everything that ships in rules/: it holds for whatever is added to a folder."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from carbonpoints.rules import shipped
from carbonpoints.rules.attributes import AttributeChecks
from carbonpoints.rules.checking import check_rule
from carbonpoints.rules.definitions import (
    BehaviourDefinition,
    FactorDefinition,
    ProgrammeDefinition,
    RuleDefinition,
)
from carbonpoints.rules.parsing import from_content, parse_behaviour_file, parse_content, parse_factors
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.shipped import (
    RULES,
    load_demonstration_programme,
    load_demonstration_rule,
    load_shipped,
)

CATALOGUE = load_shipped()
BEHAVIOURS = {behaviour.code: behaviour for behaviour in CATALOGUE.behaviours}
RULES_BY_CODE = {rule.code: rule for rule in CATALOGUE.rules}
FACTORS_README = (RULES / "factors" / "README.md").read_text("utf-8")

REQUIRED_BEHAVIOURS = {
    *("non_cash_payment", "utility_bill_online", "e_statement", "e_receipt", "e_government_service"),
    *("bus_trip", "metro_trip", "shared_bike_trip", "ebike_trip", "walking", "ev_charging"),
    *("second_hand_sale", "clothes_recycling", "paper_saved"),
}
CHINESE = re.compile("[\u4e00-\u9fff]")

each_rule = pytest.mark.parametrize("rule", CATALOGUE.rules, ids=lambda rule: rule.code)
each_behaviour = pytest.mark.parametrize("behaviour", CATALOGUE.behaviours, ids=lambda each: each.code)
each_factor = pytest.mark.parametrize(
    "factor", CATALOGUE.factors, ids=lambda factor: f"{factor.code}@{factor.valid_from}"
)
each_behaviour_file = pytest.mark.parametrize(
    "path", sorted((RULES / "behaviours").iterdir()), ids=lambda path: path.name
)


@each_behaviour_file
def test_a_file_is_named_after_its_behaviour_and_its_rule(path: Path):
    behaviour, rule = parse_behaviour_file(path.read_text("utf-8"), path.name)
    assert path.name == f"{behaviour.code}.yaml"
    assert rule is not None
    assert rule.code == behaviour.code


def test_the_behaviours_that_were_asked_for_are_there():
    assert BEHAVIOURS.keys() >= REQUIRED_BEHAVIOURS


@each_rule
def test_a_rule_passes_its_own_check(rule: RuleDefinition):
    assert check_rule(rule, BEHAVIOURS[rule.behaviour], CATALOGUE.factors) == []


@each_rule
def test_every_condition_has_an_event_that_it_refuses(rule: RuleDefinition):
    refused = {sample.reason for sample in rule.ineligible_samples}
    assert refused == {condition.code for condition in rule.eligibility}


@each_rule
def test_samples_are_events_that_the_intake_accepts(rule: RuleDefinition):
    checks = AttributeChecks(BEHAVIOURS[rule.behaviour])
    events = [sample.attributes for sample in rule.samples]
    events += [sample.attributes for sample in rule.ineligible_samples]
    for event in events:
        assert checks.canonical(event).keys() == event.keys()


@each_rule
def test_a_rule_says_what_is_a_parameter_and_what_an_estimate(rule: RuleDefinition):
    assert "parameter" in rule.basis_en
    assert "参数" in rule.basis_zh
    if rule.credits.grant_millicredits:
        assert "marketing money" in rule.basis_en
        assert "营销费用" in rule.basis_zh


@each_rule
def test_a_rule_says_in_both_languages_why_its_figures_may_be_believed(rule: RuleDefinition):
    methodology = rule.methodology
    assert methodology is not None
    english = [text for name, text in as_content(methodology).items() if name.endswith("_en")]
    chinese = [text for name, text in as_content(methodology).items() if name.endswith("_zh")]
    for monitored in methodology.monitoring:
        english.append(monitored.source_en)
        chinese.append(monitored.source_zh)
    assert len(english) == len(chinese) > len(methodology.monitoring)
    assert all(text.isascii() for text in english)
    assert all(CHINESE.search(text) for text in chinese)
    known = {name for monitored in methodology.monitoring for name in monitored.data}
    assert known == BEHAVIOURS[rule.behaviour].attributes.keys()


@each_rule
def test_no_chinese_sentence_is_broken_by_a_line_end(rule: RuleDefinition):
    words = [text for name, text in as_content(rule.methodology).items() if name.endswith("_zh")]
    for text in (
        rule.title_zh,
        rule.basis_zh,
        *(condition.text_zh for condition in rule.eligibility),
        *words,
    ):
        assert re.search(r"[^\x00-\x7f] [^\x00-\x7f]", text) is None


@each_rule
def test_a_rule_bounds_what_one_account_can_get(rule: RuleDefinition):
    assert {"month", "day"} & {cap.window for cap in rule.caps}
    assert rule.expiry_months == 24
    assert rule.label == ""


def test_no_two_rules_share_a_cap():
    codes = [cap.code for rule in CATALOGUE.rules for cap in rule.caps]
    assert [code for code, times in Counter(codes).items() if times > 1] == []


@each_behaviour
def test_a_behaviours_consent_source_is_one_of_the_programme(behaviour: BehaviourDefinition):
    assert behaviour.consent_source in CATALOGUE.programme.consent_sources


@each_behaviour
def test_behaviours_that_compete_for_an_act_tell_it_apart_by_the_same_attributes(
    behaviour: BehaviourDefinition,
):
    rivals = [other for other in CATALOGUE.behaviours if other.claim.act == behaviour.claim.act]
    assert {rival.claim for rival in rivals} == {behaviour.claim}


def test_a_utility_bill_is_more_specific_than_the_payment_it_also_is():
    bill, payment = BEHAVIOURS["utility_bill_online"], BEHAVIOURS["non_cash_payment"]
    assert bill.claim == payment.claim
    assert bill.claim.fields == ("transaction_reference",)
    assert bill.specificity > payment.specificity


@each_behaviour
def test_a_behaviour_is_named_in_both_languages(behaviour: BehaviourDefinition):
    names = [(behaviour.name_en, behaviour.name_zh)]
    names += [(attribute.name_en, attribute.name_zh) for attribute in behaviour.attributes.values()]
    for english, chinese in names:
        assert english.isascii()
        assert CHINESE.search(chinese)


@each_factor
def test_a_factor_that_carries_a_reduction_is_chinese_and_well_sourced(factor: FactorDefinition):
    if factor.use == "reduction":
        assert factor.grade in ("A", "B", "derived")
        assert factor.region.partition("-")[0] == "CN"
    else:
        assert factor.use_reason.endswith((".", ")."))


def readme_rows() -> Iterator[tuple[int, str, Counter[str]]]:
    """Yield how many rows of the survey a line of the tables accounts for, where they went, and their codes."""
    table = re.compile(r"^\| ([0-9]+) \| ([^|]+) \| (`[^|]+) \|$", re.MULTILINE)
    for rows, place, listed in table.findall(FACTORS_README):
        codes = re.findall("`([A-Z0-9_]+)`(?:×([0-9]+))?", listed)
        yield int(rows), place, Counter({code: int(times or 1) for code, times in codes})


def test_the_readme_accounts_for_every_row_of_the_survey():
    assert sum(rows for rows, _, _ in readme_rows()) == 131
    assert [codes.total() for _, _, codes in readme_rows()] == [rows for rows, _, _ in readme_rows()]
    listed = Counter(code.removeprefix("PARAM_") for _, _, codes in readme_rows() for code in codes)
    assert [code for code, times in listed.items() if times > 1] == []


def test_what_the_readme_says_was_taken_over_is_in_its_file():
    taken = {place: codes for _, place, codes in readme_rows() if place.endswith(".yaml")}
    assert sum(codes.total() for codes in taken.values()) == 94
    for name, codes in taken.items():
        factors = parse_factors((RULES / "factors" / name).read_text("utf-8"), name)
        assert codes <= Counter(factor.code for factor in factors)


def test_what_the_readme_says_was_left_out_is_no_factor():
    left_out = [codes for _, place, codes in readme_rows() if not place.endswith(".yaml")]
    assert sum(codes.total() for codes in left_out) == 37
    codes = {code.removeprefix("PARAM_") for codes in left_out for code in codes}
    assert codes & {factor.code for factor in CATALOGUE.factors} == set()


@pytest.mark.parametrize(
    ("code", "day", "value", "unit"),
    [
        ("BUS_EV_SZ", "2026-05-01", "26.9", "g/person_km"),
        ("METRO_SZ", "2026-05-01", "46.7", "g/person_km"),
        ("BIKE_SHARED", "2026-05-01", "48.7", "g/km"),
        ("PAY_CASHLESS", "2026-05-01", "0.8", "g/transaction"),
        ("GRID_GANSU", "2025-06-01", "0.4772", "kg/kWh"),
        ("GRID_GANSU", "2026-05-01", "0.4471", "kg/kWh"),
        ("GRID_CN", "2024-06-01", "0.5568", "kg/kWh"),
        ("GRID_CN", "2025-12-30", "0.5366", "kg/kWh"),
        ("GRID_CN", "2025-12-31", "0.5306", "kg/kWh"),
        ("NCV_NATGAS", "2026-05-01", "0.038931", "GJ/m3"),
        ("EF_POWERCOAL", "2026-05-01", "96.2", "t/TJ"),
    ],
)
def test_a_date_selects_the_figure_that_holds_on_it(code: str, day: str, value: str, unit: str):
    (factor,) = [
        factor
        for factor in CATALOGUE.factors
        if factor.code == code
        and factor.valid_from.isoformat() <= day
        and (factor.valid_to is None or day < factor.valid_to.isoformat())
    ]
    assert (factor.value, factor.unit) == (Decimal(value), unit)


@pytest.mark.parametrize(
    ("code", "reduces"),
    [
        *((code, True) for code in ("bus_trip", "metro_trip", "shared_bike_trip", "ebike_trip")),
        *((code, False) for code in sorted(REQUIRED_BEHAVIOURS) if not code.endswith("_trip")),
    ],
)
def test_milligrams_are_posted_only_where_a_factor_allows_it(code: str, reduces: bool):  # noqa: FBT001 - the case
    rule = RULES_BY_CODE[code]
    assert rule.purpose == ("reduction" if reduces else "credits_only")
    assert all((sample.reduction_mg > 0) is reduces for sample in rule.samples)


@pytest.mark.parametrize(
    "flag", ["standing_order", "loan_repayment", "card_repayment", "own_account", "same_name", "tax_or_fine"]
)
def test_a_payment_with_a_source_flag_earns_nothing(flag: str):
    samples = RULES_BY_CODE["non_cash_payment"].ineligible_samples
    assert {sample.reason for sample in samples if sample.attributes.get(flag)} >= {f"not_{flag}"}


def test_programmes_state_in_both_languages_what_is_collected_how_long_and_how_to_withdraw():
    for programme in (CATALOGUE.programme, load_demonstration_programme("programme_1993").programme):
        for source in programme.consent_sources.values():
            for text in source.texts:
                english, chinese = text.text_en, text.text_zh
                for days in (source.retention_days, programme.undecided_retention_days):
                    assert f"{days} days" in english
                    assert f"{days}天" in chinese
                assert english.startswith("We collect ")
                assert "withdraw at any time" in english
                assert chinese.startswith("我们收集")
                assert "随时在应用内撤回" in chinese


def test_the_sources_that_the_model_calls_sensitive_are_marked():
    sensitive = {code for code, source in CATALOGUE.programme.consent_sources.items() if source.sensitive}
    assert sensitive == {"payments", "trips", "government_services", "utilities"}


def test_every_consent_source_is_delivered_by_somebody():
    delivered = {code for source in CATALOGUE.programme.event_sources for code in source.consent_sources}
    assert delivered == set(CATALOGUE.programme.consent_sources)


def test_the_demonstration_of_1993_takes_the_shipped_rule_over_with_another_date():
    demonstration = load_demonstration_programme("programme_1993")
    (rule,) = demonstration.rules
    (behaviour,) = demonstration.behaviours
    (factor,) = demonstration.factors
    start = datetime(1992, 12, 31, 23, 0, tzinfo=UTC)
    shipped_content = as_content(RULES_BY_CODE["non_cash_payment"])
    assert as_content(rule) == shipped_content | {"valid_from": "1993-01-01T00:00:00+01:00"}
    assert rule.valid_from == start
    assert (factor.code, factor.valid_from.isoformat(), factor.valid_to) == (
        "PAY_CASHLESS",
        "1993-01-01",
        None,
    )
    assert factor.note.startswith("Set back from 2018-10-15 for a demonstration.")
    assert behaviour == BEHAVIOURS["non_cash_payment"]
    assert check_rule(rule, behaviour, demonstration.factors) == []
    programme = demonstration.programme
    assert (programme.code, programme.time_zone, programme.currency) == ("czech_1993", "Europe/Prague", "CZK")
    assert [source.is_backfill for source in programme.event_sources] == [True]
    assert programme.consent_sources["payments"].texts[-1].covers_from == start


def test_the_demonstration_rule_gives_one_credit_to_every_transfer_and_is_labelled():
    rule = load_demonstration_rule("transfers_1993")
    assert rule.label == "demonstration, not a methodology"
    assert (rule.eligibility, rule.caps, dict(rule.counters)) == ((), (), {})
    assert rule.valid_from == datetime(1992, 12, 31, 23, 0, tzinfo=UTC)
    assert {(sample.reduction_mg, sample.millicredits) for sample in rule.samples} == {(0, 1000)}
    assert check_rule(rule, BEHAVIOURS["non_cash_payment"], ()) == []


@pytest.mark.parametrize(
    ("kind", "definitions"),
    [
        (FactorDefinition, CATALOGUE.factors),
        (BehaviourDefinition, CATALOGUE.behaviours),
        (RuleDefinition, CATALOGUE.rules),
        (ProgrammeDefinition, (CATALOGUE.programme,)),
    ],
    ids=["factors", "behaviours", "rules", "programme"],
)
def test_content_goes_through_json_without_loss(kind, definitions):
    for definition in definitions:
        stored = json.loads(json.dumps(as_content(definition)))
        assert from_content(kind, stored) == definition
        assert parse_content(kind, stored, "draft") == definition


def test_the_same_code_in_two_files_with_overlapping_dates_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "factors").mkdir()
    text = (RULES / "factors" / "ev.yaml").read_text("utf-8")
    for name in ("ev.yaml", "ev_again.yaml"):
        (tmp_path / "factors" / name).write_text(text, "utf-8")
    monkeypatch.setattr(shipped, "RULES", tmp_path)
    with pytest.raises(ValueError, match="EV_KM_GANSU: is already valid from 2025-12-31 in another file"):
        load_shipped()
