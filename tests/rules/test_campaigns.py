"""Caps that behaviours share and campaigns: what they give, alone and together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from carbonpoints.rules.campaigns import CampaignCapDefinition, CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.draws import Amounts, Drawn
from carbonpoints.rules.engine import CompiledRule, Outcome
from carbonpoints.rules.language import ExpressionError
from carbonpoints.rules.usage import UsageBook
from tests.rules.engine_world import DAY, FACTOR_G_PER_KM, PLAIN, RIDE, cap, condition, pays, settle

FROM, TO = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
KM = {"km": "1"}
"""26,900 mg, and with one millicredit per 100 mg 269 millicredits."""


def campaign(code: str, **changes: Any) -> CampaignDefinition:
    plain = CampaignDefinition(
        code=code,
        name_en=code,
        name_zh=code,
        text_en="",
        text_zh="",
        behaviours=("ride",),
        valid_from=FROM,
        valid_to=TO,
        priority=0,
        stacking="exclusive",
        samples=(),
    )
    return replace(plain, **changes)


def additive(code: str, ceiling: int, **changes: Any) -> CampaignDefinition:
    return campaign(code, stacking="additive", ceiling_millicredits=ceiling, **changes)


def own_cap(window: Any, millicredits: int) -> tuple[CampaignCapDefinition, ...]:
    return (CampaignCapDefinition(code=f"own_{window}", window=window, millicredits=millicredits),)


def ride_rule(
    *campaigns: CampaignDefinition,
    shared_caps: Sequence[SharedCapDefinition] = (),
    code: str = "ride",
    **changes: Any,
) -> CompiledRule:
    rule = replace(PLAIN, **{"credits": pays("0.01"), "code": code, **changes})
    return CompiledRule(
        behaviour=RIDE,
        rule=rule,
        factors={"BUS": FACTOR_G_PER_KM},
        shared_caps=shared_caps,
        campaigns=campaigns,
    )


def travel(**limits: Any) -> SharedCapDefinition:
    return SharedCapDefinition(
        code="travel", name_en="", name_zh="", behaviours=("ride", "tram"), valid_from=FROM, **limits
    )


def boosts(outcome: Outcome) -> object:
    return (outcome.trace or {}).get("boosts", {})


def test_a_multiplier_adds_credits_and_no_reduction() -> None:
    outcome = settle(ride_rule(campaign("double", multiplier=Decimal(2))), KM)
    assert (outcome.reduction_mg, outcome.amount_millicredits) == (26_900, 538)
    assert boosts(outcome) == {"double": 269}


def test_a_multiplier_is_rounded_down() -> None:
    outcome = settle(ride_rule(campaign("more", multiplier=Decimal("1.5"))), KM)
    assert boosts(outcome) == {"more": 134}


def test_a_bonus_comes_with_an_award_only() -> None:
    rule = ride_rule(campaign("bonus", bonus_millicredits=500), eligibility=(condition("paid", "paid"),))
    assert settle(rule, KM).amount_millicredits == 769
    assert settle(rule, {**KM, "paid": False}).amount_millicredits == 0
    capped = ride_rule(campaign("bonus", bonus_millicredits=500), caps=(cap("day", count=1),))
    usage = UsageBook()
    assert settle(capped, KM, usage).amount_millicredits == 769
    assert settle(capped, KM, usage)[1:4] == (0, 0, "day_count")


def test_what_caps_leave_is_what_is_multiplied() -> None:
    rule = ride_rule(campaign("double", multiplier=Decimal(2)), caps=(cap("day", millicredits=100),))
    assert settle(rule, KM).amount_millicredits == 200


def test_a_bonus_uses_nothing_of_the_rules_caps() -> None:
    rule = ride_rule(campaign("bonus", bonus_millicredits=900), caps=(cap("day", millicredits=538),))
    usage = UsageBook()
    assert [settle(rule, KM, usage).amount_millicredits for _ in range(3)] == [1_169, 1_169, 0]


def test_a_campaigns_own_caps_hold_for_each_period() -> None:
    rule = ride_rule(campaign("bonus", bonus_millicredits=100, caps=own_cap("day", 250)))
    usage = UsageBook()
    assert [boosts(settle(rule, KM, usage)) for _ in range(4)] == [
        {"bonus": 100},
        {"bonus": 100},
        {"bonus": 50},
        {},
    ]
    assert boosts(settle(rule, KM, usage, date(2024, 3, 1))) == {"bonus": 100}
    each = ride_rule(campaign("bonus", bonus_millicredits=100, caps=own_cap("event", 30)))
    assert [boosts(settle(each, KM, usage)) for _ in range(2)] == [{"bonus": 30}] * 2


def test_the_first_in_priority_says_how_campaigns_stack() -> None:
    small = campaign("small", bonus_millicredits=10, priority=1)
    best = [
        campaign(f"best_{amount}", bonus_millicredits=amount, stacking="best_of", priority=priority)
        for amount, priority in ((20, 5), (30, 0), (25, 3))
    ]
    more = [additive(f"more_{amount}", 100, bonus_millicredits=amount) for amount in (60, 70)]
    assert boosts(settle(ride_rule(small, *more), KM)) == {"small": 10}
    assert boosts(settle(ride_rule(small, *best, *more), KM)) == {"best_30": 30}
    assert boosts(settle(ride_rule(*more), KM)) == {"more_60": 60, "more_70": 40}
    first = replace(more[1], priority=9)
    assert boosts(settle(ride_rule(small, *best, more[0], first), KM)) == {"more_70": 70, "more_60": 30}


def test_of_equals_the_code_decides() -> None:
    rules = [campaign(code, bonus_millicredits=10) for code in ("b", "a")]
    assert boosts(settle(ride_rule(*rules), KM)) == {"a": 10}


def test_the_least_ceiling_holds_for_all() -> None:
    rule = ride_rule(
        additive("a", 1_000, bonus_millicredits=50),
        additive("b", 80, bonus_millicredits=50),
        additive("c", 1_000, bonus_millicredits=50),
    )
    assert boosts(settle(rule, KM)) == {"a": 50, "b": 30}


def test_a_campaign_that_is_used_up_makes_room_for_the_next() -> None:
    rule = ride_rule(
        campaign("first", bonus_millicredits=100, priority=1, caps=own_cap("month", 100)),
        campaign("second", bonus_millicredits=5),
    )
    usage = UsageBook()
    assert [boosts(settle(rule, KM, usage)) for _ in range(2)] == [{"first": 100}, {"second": 5}]


@pytest.mark.parametrize(
    ("segment", "day", "given"),
    [
        ("weekday >= 6", date(2024, 3, 2), True),
        ("weekday >= 6", date(2024, 3, 1), False),
        ("days_since_opening < 30", DAY, True),
        ("days_since_opening < 29", DAY, False),
        ("not paid", DAY, False),
        ("paid and weekday == 4", DAY, True),
    ],
)
def test_a_segment_asks_account_and_act(segment: str, day: date, *, given: bool) -> None:
    usage = UsageBook(opened_on=date(2024, 1, 31))
    rule = ride_rule(campaign("some", bonus_millicredits=10, segment=segment))
    assert boosts(settle(rule, KM, usage, day)) == ({"some": 10} if given else {})


@pytest.mark.parametrize("name", ["fare", "km", "payee", "deposit_balance", "age", "bought_on"])
def test_a_segment_knows_nothing_else_of_a_person(name: str) -> None:
    with pytest.raises(ExpressionError, match=name):
        ride_rule(campaign("some", bonus_millicredits=10, segment=f"{name} == {name}"))


def test_behaviours_share_one_cap() -> None:
    caps = [travel(window="day", count=3)]
    bus, tram = ride_rule(shared_caps=caps), ride_rule(shared_caps=caps, code="tram")
    usage = UsageBook()
    found = [settle(rule, KM, usage) for rule in (bus, tram, bus, tram, bus)]
    assert [outcome.cap for outcome in found] == [None, None, None, "travel", "travel"]
    assert settle(tram, KM, usage, date(2024, 3, 1)).cap is None


def test_a_shared_cap_and_a_rules_own_hold_together() -> None:
    caps = [travel(window="month", mg=60_000)]
    bus = ride_rule(shared_caps=caps, caps=(cap("day", mg=30_000),))
    tram = ride_rule(shared_caps=caps, code="tram")
    usage = UsageBook()
    assert [settle(bus, KM, usage).reduction_mg for _ in range(2)] == [26_900, 3_100]
    assert [settle(tram, KM, usage).reduction_mg for _ in range(2)] == [26_900, 3_100]
    assert settle(bus, KM, usage, date(2024, 2, 28)).reduction_mg == 0


def test_of_shared_caps_that_both_cut_the_same_is_named_in_any_order() -> None:
    caps = [replace(travel(window="day", count=1), code=code) for code in ("a", "b")]
    for given in (caps, caps[::-1]):
        usage = UsageBook()
        rule = ride_rule(shared_caps=given)
        assert [settle(rule, KM, usage).cap for _ in range(2)] == [None, "a"]


def test_a_budget_that_covers_no_bonus_leaves_the_rules_own_credits() -> None:
    left = {"all": 300, "spring": 5}

    def draw(amounts: Amounts) -> Drawn:
        if amounts.get("double", 0) > left["spring"]:
            return Drawn("spring", {})
        return Drawn(None, {"all": [amounts[None], 0]}) if amounts[None] <= left["all"] else Drawn("all", {})

    rule = ride_rule(campaign("double", multiplier=Decimal(2), caps=own_cap("day", 1_000)))
    usage = UsageBook()
    outcome = rule.settle(rule.assess(rule.values(KM)), usage, DAY, draw)
    assert outcome == Outcome(
        None, 26_900, 269, None, {"bonus_budget": "spring", "budgets": {"all": [269, 0]}}, None
    )
    assert [row.awards for key, row in usage.rows.items() if key[0] == "campaign:double"] == []
    left |= {"all": 100}
    nothing = rule.settle(rule.assess(rule.values(KM)), usage, DAY, draw)
    assert (nothing.reduction_mg, nothing.amount_millicredits, nothing.budget) == (26_900, 0, "all")
