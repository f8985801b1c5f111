"""The parts of a compiled rule: names, conditions fused into one function, the expression of the estimate. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from carbonpoints.rules.definitions import (
    AttributeDefinition,
    BehaviourDefinition,
    ConditionDefinition,
    RuleDefinition,
)
from carbonpoints.rules.language import CONTEXT, Expression, Variable


@dataclass(frozen=True)
class Condition:
    """A compiled condition."""

    definition: ConditionDefinition
    test: Expression


Screen = Callable[[Mapping[str, object], Mapping[str, object]], str | None]
"""Takes the values of an act and what the counters show."""


def fuse_conditions(conditions: Sequence[Condition], *, counted: Container[str]) -> Screen:
    """Return one function that gives the code of the first condition that does not hold, or None.

    `counted` are the names of counters. One code object for all conditions costs a fraction of evaluating them one
    by one. It raises one of the language's FAILURES where a condition has no value.
    """

    def read(name: str) -> str:
        return f"{'counted' if name in counted else 'values'}[{name!r}]"

    namespace: dict[str, object] = {}
    lines = ["def screen(values, counted):"]
    for condition in conditions:
        namespace |= condition.test.namespace
        lines.append(
            f" if ({condition.test.python_source(read)}) is not True: return {condition.definition.code!r}"
        )
    lines.append(" return None")
    exec(compile("\n".join(lines), "<conditions>", "exec"), namespace)  # noqa: S102 - the language's own checked code
    screen: Screen = namespace["screen"]  # type: ignore[assignment]
    return screen


def estimate_source(rule: RuleDefinition, baseline: str, project: str, leakage: str) -> str:
    """Return the expression of the estimate in grams over its three parts: the lower bound of a range (M12)."""
    estimate = f"max(0, {baseline} - {project} - {leakage})"
    if rule.uncertainty is None:
        return estimate
    share = CONTEXT.scaleb(CONTEXT.subtract(Decimal(100), rule.uncertainty.below_percent), -2)
    return f"{estimate} * {share:f}"


def default_of(attribute: AttributeDefinition) -> object:
    """Return the value an attribute has when the event does not say, as the expressions see it."""
    if attribute.type == "number" and attribute.default is not None:
        return Decimal(str(attribute.default))
    return attribute.default


def of_one_value(behaviour: BehaviourDefinition) -> set[str]:
    """Return the attributes that are the same in every event, such as the number of payments in a payment."""
    return {
        code
        for code, attribute in behaviour.attributes.items()
        if attribute.default is not None and attribute.min is not None and attribute.min == attribute.max
    }


def variables_of(behaviour: BehaviourDefinition, constants: Mapping[str, object]) -> dict[str, Variable]:
    """Return the names an expression of this behaviour may use."""
    variables = {
        code: Variable(attribute.type, attribute.unit, nullable=attribute.nullable)
        for code, attribute in behaviour.attributes.items()
    }
    variables.update({code: Variable("number") for code in constants})
    return variables
