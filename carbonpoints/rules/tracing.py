"""How a rule came to its result for one event, step by step: conditions, formulas, the range, campaigns. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from carbonpoints.core.amounts import plain
from carbonpoints.rules.campaigns import Boost, facts_of
from carbonpoints.rules.compiling import Condition, estimate_source, variables_of
from carbonpoints.rules.engine import NOT_COMPUTABLE, CompiledRule, Outcome
from carbonpoints.rules.language import EvaluationError, Variable, compile_expression
from carbonpoints.rules.usage import UsageBook

NoBonus = Literal[
    "no_award", "not_in_segment", "nothing_to_multiply", "cap_used_up", "ceiling_reached", "not_stacked"
]
"""Why a campaign gives nothing."""


@dataclass(frozen=True)
class FormulaStep:
    """A part of a formula and its value."""

    text: str
    value: str


@dataclass(frozen=True)
class Formula:
    """Baseline, project, leakage, or the estimate over the three: its text, the steps, and its result in grams."""

    name: str
    expression: str
    steps: Sequence[FormulaStep]
    result_g: str | None


@dataclass(frozen=True)
class ConditionResult:
    """A condition of eligibility and whether it held; null where it was not reached.

    `values` are what it was judged by: attributes, counters and factors; empty where the event's inputs are gone.
    """

    code: str
    when: str
    text_en: str
    text_zh: str
    holds: bool | None
    values: Mapping[str, str | None] = field(default_factory=dict)


def trace_conditions(
    compiled: CompiledRule,
    values: Mapping[str, object] | None,
    counters: Mapping[str, str],
    *,
    reason: str | None,
    was_judged: bool,
) -> list[ConditionResult]:
    """Return each condition, as they are judged, and whether it held: all up to the one that failed, unknown after it.

    `counters` are those that stood above zero. Where the rule could not be computed nobody knows which of them held.
    """
    results = []
    holds: bool | None = True if was_judged and reason != NOT_COMPUTABLE else None
    for condition in (*compiled.screens, *compiled.histories):
        definition = condition.definition
        if definition.code == reason:
            holds = False
        seen = _values_of(condition, values, counters) if values is not None else {}
        results.append(
            ConditionResult(
                definition.code, definition.when, definition.text_en, definition.text_zh, holds, seen
            )
        )
        if holds is False:
            holds = None
    return results


@dataclass(frozen=True)
class CampaignResult:
    """A campaign of the time: what its segment was judged by, its caps, and what it gave or why nothing."""

    boost: Boost
    values: Mapping[str, str | None]
    applies: bool
    caps_left: Sequence[int]
    """In millicredits, in the order of its caps."""
    amount_millicredits: int
    reason: NoBonus | None


def trace_campaigns(
    compiled: CompiledRule, values: Mapping[str, object], usage: UsageBook, day: date, outcome: Outcome
) -> list[CampaignResult]:
    """Return each campaign for the rule's behaviour, by priority; `usage` is what it was before the outcome."""
    boosts = compiled.boosts.ordered if compiled.boosts is not None else ()
    given: Mapping[str, int] = (outcome.trace or {}).get("boosts", {})  # type: ignore[assignment]
    own_millicredits = outcome.amount_millicredits - sum(given.values())
    is_award = bool(own_millicredits or (outcome.reduction_mg and outcome.cap is None))
    facts = {**values, **facts_of(usage, day)}
    rows = compiled.rows(usage, day)
    stacked = {boost.definition.stacking for boost in boosts if boost.definition.code in given}

    def reason_of(boost: Boost) -> NoBonus | None:
        if boost.definition.code in given:
            return None
        if not is_award:
            return "no_award"
        if not boost.applies(facts):
            return "not_in_segment"
        if not boost.uncapped(own_millicredits):
            return "nothing_to_multiply"
        if not boost.offer(own_millicredits, rows):
            return "cap_used_up"
        is_added = boost.definition.stacking == "additive" and "additive" in stacked
        return "ceiling_reached" if is_added else "not_stacked"

    return [
        CampaignResult(
            boost,
            {name: shown(facts[name]) for name in sorted(boost.names)},
            boost.applies(facts),
            boost.caps_left(rows),
            given.get(boost.definition.code, 0),
            reason_of(boost),
        )
        for boost in boosts
    ]


def _values_of(
    condition: Condition, values: Mapping[str, object], counters: Mapping[str, str]
) -> dict[str, str | None]:
    names = sorted(condition.test.names)
    return {name: shown(values[name]) if name in values else counters.get(name, "0") for name in names}


def trace_formulas(compiled: CompiledRule, values: Mapping[str, object]) -> list[Formula]:
    """Return the three formulas and the estimate over their results, each with its steps."""
    variables = variables_of(compiled.behaviour, compiled.constants)
    rule = compiled.rule
    parts = {"baseline": rule.baseline, "project": rule.project, "leakage": rule.leakage}
    results: dict[str, object] = {}
    formulas = [_formula(name, text, variables, values, results) for name, text in parts.items()]
    estimate = estimate_source(rule, *parts)
    over = dict.fromkeys(parts, Variable("number", nullable=True))
    return [*formulas, _formula("estimate", estimate, over, results, {})]


def _formula(
    name: str,
    text: str,
    variables: Mapping[str, Variable],
    values: Mapping[str, object],
    results: dict[str, object],
) -> Formula:
    expression = compile_expression(text, variables, expects="number")
    try:
        steps = [FormulaStep(step.text, shown(step.value) or "") for step in expression.steps(values)]
        results[name] = expression.evaluate(values)
    except EvaluationError as error:
        results[name] = None
        return Formula(name, text, [FormulaStep(error.message, "")], None)
    return Formula(name, text, steps, shown(results[name]))


def shown(value: object) -> str | None:
    """Return a value of an expression as answers show it; None where there is none."""
    if value is None:
        return None
    return plain(value) if hasattr(value, "as_tuple") else str(value)  # type: ignore[arg-type]
