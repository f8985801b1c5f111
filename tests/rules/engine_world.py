"""A ride that is paid for, and rules for it, made as a test needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from carbonpoints.rules.definitions import (
    AttributeDefinition,
    BehaviourDefinition,
    CapDefinition,
    ClaimDefinition,
    ConditionDefinition,
    CounterDefinition,
    CreditsDefinition,
    RuleDefinition,
)
from carbonpoints.rules.draws import Draw, no_budget
from carbonpoints.rules.engine import CompiledRule, Outcome
from carbonpoints.rules.usage import UsageBook

FACTOR_G_PER_KM = Decimal("26.9")
DAY = date(2024, 2, 29)


def attribute(kind: Any, **more: Any) -> AttributeDefinition:
    return AttributeDefinition(type=kind, name_en="", name_zh="", **more)


RIDE = BehaviourDefinition(
    code="ride",
    name_en="Ride",
    name_zh="乘车",
    behaviour_class="travel",
    consent_source="trips",
    attributes={
        "km": attribute("number", required=True),
        "fare": attribute("number", default="0"),
        "payee": attribute("text", max_length=64),
        "paid": attribute("flag", default=True),
        "bought_on": attribute("date"),
    },
    evidence=(),
    claim=ClaimDefinition(act="ride", fields=("payee",)),
    specificity=1,
)

PLAIN = RuleDefinition(
    code="ride",
    behaviour="ride",
    title_en="",
    title_zh="",
    basis_en="",
    basis_zh="",
    valid_from=datetime(2024, 1, 1, tzinfo=UTC),
    factors=("BUS",),
    baseline="km * BUS",
    project="0",
    leakage="0",
    purpose="reduction",
    credits=CreditsDefinition(millicredits_per_mg=Decimal(1), grant_millicredits=0),
    expiry_months=24,
    samples=(),
)


def condition(code: str, when: str) -> ConditionDefinition:
    return ConditionDefinition(code=code, when=when, text_en="", text_zh="")


def cap(window: Any, **limits: int) -> CapDefinition:
    """A cap named after its window and what it limits."""
    return CapDefinition(code="_".join([window, *limits]), window=window, **limits)


def counter(measure: str, window: str, per: str | None = None) -> CounterDefinition:
    return CounterDefinition(measure=measure, window=window, per=per)


def pays(rate: str, grant_millicredits: int = 0) -> CreditsDefinition:
    return CreditsDefinition(millicredits_per_mg=Decimal(rate), grant_millicredits=grant_millicredits)


def compiled(**changes: Any) -> CompiledRule:
    return CompiledRule(behaviour=RIDE, rule=replace(PLAIN, **changes), factors={"BUS": FACTOR_G_PER_KM})


def settle(
    rule: CompiledRule,
    data: Mapping[str, str | bool],
    usage: UsageBook | None = None,
    day: date = DAY,
    draw: Draw = no_budget,
) -> Outcome:
    """Give a rule an event's canonical data, as the intake does."""
    book = usage if usage is not None else UsageBook()
    return rule.settle(rule.assess(rule.values(data)), book, day, draw)
