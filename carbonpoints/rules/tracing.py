"""How a rule came to its result for one event, step by step: conditions, formulas, the range. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from carbonpoints.core.amounts import plain
from carbonpoints.rules.compiling import Condition, estimate_source, variables_of
from carbonpoints.rules.engine import NOT_COMPUTABLE, CompiledRule
from carbonpoints.rules.language import EvaluationError, Variable, compile_expression


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
