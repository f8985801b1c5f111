"""The engine by example: rounding, caps, counters, and what an act that earns nothing leaves behind."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from carbonpoints.rules.definitions import UncertaintyDefinition
from carbonpoints.rules.engine import AWARD_MAX, Outcome
from carbonpoints.rules.usage import UsageBook, UsageRow, read_tallies
from tests.rules.engine_world import DAY, cap, compiled, condition, counter, pays, settle


def used(usage: UsageBook) -> dict[tuple[str, date], tuple[int, int, int]]:
    return {
        (period, start): (row.awards, row.reduction_mg, row.amount_millicredits)
        for (_, period, start), row in usage.rows.items()
    }


# Rounding


def test_milligrams_are_rounded_down_once():
    # 3.217 km x 26.9 g/km = 86.5373 g
    assert settle(compiled(), {"km": "3.217"}) == Outcome(None, 86_537, 86_537, None, None)


def test_credits_are_rounded_down_once_and_from_whole_milligrams():
    # 1.9 mg are 1 mg; three millicredits for half of them would need the 1.9
    assert settle(compiled(baseline="km", credits=pays("1.5")), {"km": "0.0019"})[1:3] == (1, 1)
    assert settle(compiled(credits=pays("0.5")), {"km": "3.217"})[1:3] == (86_537, 43_268)


def test_a_rate_of_a_third_of_many_digits_does_not_round_up():
    third = "0.3333333333333333333333333333333333"
    assert settle(compiled(baseline="km", credits=pays(third)), {"km": "0.003"})[1:3] == (3, 0)


def test_what_is_a_hair_below_a_milligram_is_not_rounded_up_to_it():
    # 1 / 3 * 3 is 0.999...9 g with 34 digits; 28 digits would make 1 g of it
    assert settle(compiled(baseline="km / 3 * 3"), {"km": "1"}).reduction_mg == 999


def test_project_and_leakage_are_taken_off_before_rounding_and_never_below_zero():
    rule = compiled(project="km * 0.0005", leakage="km * 0.0004", baseline="km * 0.0019")
    assert settle(rule, {"km": "1"}).reduction_mg == 1
    assert settle(compiled(project="km * BUS + 1"), {"km": "1"}).reduction_mg == 0


def test_of_a_range_the_lower_bound_counts_for_milligrams_credits_and_caps():
    # 3.217 km x 26.9 g/km = 86.5373 g, of which 87.5 % are 75.7201375 g
    uncertainty = UncertaintyDefinition(below_percent=Decimal("12.5"), above_percent=Decimal(20))
    rule = compiled(uncertainty=uncertainty)
    assert settle(rule, {"km": "3.217"}) == Outcome(None, 75_720, 75_720, None, None)
    capped = compiled(uncertainty=uncertainty, caps=(cap("day", mg=75_719),))
    assert settle(capped, {"km": "3.217"})[1:4] == (75_719, 75_719, "day_mg")
    only_above = compiled(uncertainty=replace(uncertainty, below_percent=Decimal(0)))
    assert settle(only_above, {"km": "3.217"}).reduction_mg == 86_537
    nothing_sure = compiled(uncertainty=replace(uncertainty, below_percent=Decimal(100)))
    assert settle(nothing_sure, {"km": "3.217"}).reason == "nothing_earned"


def test_the_lower_bound_is_exact():
    share = UncertaintyDefinition(
        below_percent=Decimal("66.66666666666666666666666666666667"), above_percent=Decimal(0)
    )
    # A third short of 34 digits of 3 mg is less than one.
    assert settle(compiled(baseline="km", uncertainty=share), {"km": "0.003"}).reason == "nothing_earned"


@pytest.mark.parametrize("number", ["0.0000001", "0.000000000", "0.000000123456"])
def test_a_formula_may_hold_a_very_small_number(number: str):
    rule = compiled(baseline=f"km * {number}", eligibility=(condition("far", f"km > {number}"),))
    outcome = settle(rule, {"km": "1000000000"})
    assert outcome.reduction_mg == int(Decimal(number) * 10**12)
    assert outcome.reason == (None if outcome.reduction_mg else "nothing_earned")


def test_the_most_that_an_act_can_give_and_one_more():
    rule = compiled(baseline="km")
    assert settle(rule, {"km": str(AWARD_MAX // 1000)}).reduction_mg == AWARD_MAX
    more = {"km": f"{AWARD_MAX // 1000}.001"}
    assert settle(rule, more) == Outcome("not_computable", 0, 0, None, {"reason": "not_computable"})
    assert settle(compiled(baseline="km", credits=pays("2")), {"km": "600000000000"}).reason == (
        "not_computable"
    )


@pytest.mark.parametrize("baseline", ["km / (km - km)", "1 / (2 - 2)"], ids=["by the act", "always"])
def test_a_formula_without_a_value_is_a_reason(baseline: str):
    assert settle(compiled(baseline=baseline), {"km": "1"}).reason == "not_computable"


# What an act may earn


def test_a_credits_only_rule_posts_no_reduction_and_still_fills_its_mg_caps():
    rule, usage = compiled(purpose="credits_only", caps=(cap("day", mg=30_000),)), UsageBook()
    assert settle(rule, {"km": "1"}, usage) == Outcome(None, 0, 26_900, None, None)
    cut = Outcome(None, 0, 3_100, "day_mg", {"cap": "day_mg", "left": 3_100, "granted_mg": 3_100})
    assert settle(rule, {"km": "1"}, usage) == cut


def test_a_grant_is_added_to_what_the_rate_gives():
    assert settle(compiled(credits=pays("0.5", 7)), {"km": "1"})[1:3] == (26_900, 13_457)


@pytest.mark.parametrize(
    "changes",
    [
        {"project": "km * BUS"},
        {"purpose": "credits_only", "credits": pays("0.00001")},
    ],
    ids=["no reduction", "less than a millicredit and no reduction that counts"],
)
def test_an_award_of_nothing_has_its_reason_and_uses_nothing(changes: dict[str, Any]):
    rule, usage = compiled(caps=(cap("day", count=1),), **changes), UsageBook()
    nothing = Outcome("nothing_earned", 0, 0, None, {"reason": "nothing_earned"})
    assert settle(rule, {"km": "1"}, usage) == nothing
    assert used(usage) == {}


def test_the_first_condition_that_does_not_hold_is_the_reason():
    rule = compiled(eligibility=(condition("paid", "paid"), condition("far", "km >= 2")))
    assert settle(rule, {"km": "1", "paid": False}).reason == "paid"
    assert settle(rule, {"km": "1"}).reason == "far"
    assert settle(rule, {"km": "2"}).reason is None


def test_a_condition_that_needs_a_missing_value_cannot_be_judged():
    rule = compiled(eligibility=(condition("known", 'payee == "p"'),))
    assert settle(rule, {"km": "1"}).reason == "not_computable"


def test_the_conditions_on_the_act_come_before_those_on_the_history():
    rule = compiled(
        counters={"rides": counter("count", "day")},
        eligibility=(condition("few", "rides < 0"), condition("paid", "paid")),
    )
    assert settle(rule, {"km": "1", "paid": False}).reason == "paid"
    assert settle(rule, {"km": "1"}).reason == "few"


# Caps


def test_the_cap_that_cut_last_is_named_with_what_it_had_left():
    caps = (cap("event", mg=20_000), cap("day", mg=30_000), cap("month", millicredits=25_000))
    rule, usage = compiled(caps=caps), UsageBook()
    outcomes = [settle(rule, {"km": "1"}, usage) for _ in range(3)]
    assert [outcome[1:4] for outcome in outcomes] == [
        (20_000, 20_000, "event_mg"),
        (10_000, 5_000, "month_millicredits"),
        (0, 0, "day_mg"),
    ]
    assert [(outcome.trace or {})["left"] for outcome in outcomes] == [20_000, 5_000, 0]


def test_a_cut_to_nothing_uses_no_count():
    rule, usage = compiled(caps=(cap("day", mg=26_900), cap("month", count=2))), UsageBook()
    codes = [settle(rule, {"km": "1"}, usage, day).cap for day in (DAY, DAY, DAY, DAY - timedelta(days=1))]
    assert codes == [None, "day_mg", "day_mg", None]
    assert settle(rule, {"km": "1"}, usage, date(2024, 2, 1)).cap == "month_count"


def test_a_late_act_takes_what_its_own_periods_have_left():
    rule, usage = compiled(caps=(cap("day", count=1), cap("year", count=3))), UsageBook()
    days = [DAY, DAY, date(2024, 2, 28), date(2023, 12, 31), date(2024, 3, 1), date(2024, 12, 31)]
    assert [settle(rule, {"km": "1"}, usage, day).cap for day in days] == [
        None,
        "day_count",
        None,
        None,
        None,
        "year_count",
    ]


def test_the_same_cap_fills_per_period_of_the_calendar():
    usage = UsageBook()
    settle(compiled(caps=(cap("day", mg=1), cap("month", mg=1), cap("year", mg=1))), {"km": "1"}, usage)
    assert used(usage) == {
        ("day", DAY): (1, 1, 1),
        ("month", date(2024, 2, 1)): (1, 1, 1),
        ("year", date(2024, 1, 1)): (1, 1, 1),
    }
    assert usage.touched == set(usage.rows)


def test_an_act_that_earns_nothing_touches_no_row():
    usage = UsageBook()
    settle(
        compiled(caps=(cap("day", mg=1),), eligibility=(condition("paid", "paid"),)),
        {"km": "1", "paid": False},
        usage,
    )
    assert (usage.rows, usage.touched) == ({}, set())


# Counters


def test_a_sum_stays_exact_beyond_the_digits_of_ordinary_decimals():
    rule = compiled(
        counters={"spent": counter("sum:fare", "day")}, eligibility=(condition("some", "spent >= 0"),)
    )
    usage = UsageBook()
    for fare in ("20000000000000000000", "0.000000000001", "0.000000000001"):
        settle(rule, {"km": "1", "fare": fare}, usage)
    assert settle(rule, {"km": "1"}, usage).trace == {
        "counters": {"spent": "20000000000000000000.000000000002"}
    }


def test_a_small_sum_is_shown_plainly():
    rule = compiled(
        counters={"spent": counter("sum:fare", "day")}, eligibility=(condition("some", "spent >= 0"),)
    )
    usage = UsageBook()
    settle(rule, {"km": "1", "fare": "0.000000000001"}, usage)
    assert settle(rule, {"km": "1"}, usage).trace == {"counters": {"spent": "0.000000000001"}}


def test_a_rolling_window_ends_with_the_day_of_the_act():
    rule = compiled(counters={"rides": counter("count", "3d")}, eligibility=(condition("few", "rides < 2"),))
    usage = UsageBook()
    days = [DAY + timedelta(days=offset) for offset in (0, -2, 0, 1, 2)]
    assert [settle(rule, {"km": "1"}, usage, day).reason for day in days] == [None, None, "few", None, "few"]
    assert rule.look_back_days == 2


def test_an_act_that_names_no_party_adds_none_to_the_distinct_ones():
    rule = compiled(
        counters={"payees": counter("distinct:payee", "day")},
        eligibility=(condition("one", "payees < 1"),),
    )
    usage = UsageBook()
    acts = [{"km": "1"}, {"km": "1"}, {"km": "1", "payee": "A"}, {"km": "1"}]
    assert [settle(rule, act, usage).reason for act in acts] == [None, None, None, "one"]


def test_parties_are_kept_under_keyed_pseudonyms_only():
    rule = compiled(
        counters={
            "with_payee": counter("count", "day", per="payee"),
            "payees": counter("distinct:payee", "day"),
        },
        eligibility=(condition("few", "with_payee < 9 and payees < 9"),),
    )
    texts = []
    for secret in (b"one secret", b"another"):
        usage = UsageBook(secret=secret)
        settle(rule, {"km": "1", "payee": "Wang 王"}, usage)
        (row,) = usage.rows.values()
        texts.append(row.tallies_text())
    assert texts[0] != texts[1]
    assert not [text for text in texts if text is None or "Wang" in text or "王" in text]


def test_tallies_that_were_stored_count_on():
    stored = '{"spent":{"":"1.5"},"other":{"":3}}'
    row = UsageRow(1, 2, 3, read_tallies(stored))
    assert row.tallies_text() == stored
    assert UsageRow(1, 2, 3, read_tallies(None)).tallies_text() is None
    row.tally("spent", "", Decimal("0.5"))
    row.tally("rides", "", 1)
    assert json.loads(row.tallies_text() or "") == {"spent": {"": "2.0"}, "other": {"": 3}, "rides": {"": 1}}
