"""What a rule can come to over all events that it may meet: divisions by zero, and conditions that decide nothing.

An event may be anything that its behaviour type accepts: each attribute between its bounds or among its choices,
without a value where it may be left out; counters from zero on; each factor with any figure it has while the rule
is in force. Conditions are taken in the order in which the engine judges them, those without counters first, and
each is believed by what comes after it: the formulas see the conditions without counters, for the engine works them
out before it counts. What is said is never too little (`carbonpoints.rules.language.analysis`): a division that is
not named cannot fail, a condition that can be true is never called impossible. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from carbonpoints.core.errors import Message
from carbonpoints.rules.compiling import default_of
from carbonpoints.rules.definitions import (
    AttributeDefinition,
    BehaviourDefinition,
    CounterDefinition,
    FactorDefinition,
    RuleDefinition,
)
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.language import (
    LARGEST,
    SMALLEST,
    Analysis,
    Expression,
    Facts,
    Possible,
    anything,
    chosen,
    either,
    numbers,
)

_NEVER = Message("this can never be true")
_NEVER_THEN = Message("this can never be true where the conditions before it hold")
_ALWAYS = Message("this is always true")


def possible_inputs(
    rule: RuleDefinition, behaviour: BehaviourDefinition, factors: Mapping[str, Sequence[FactorDefinition]]
) -> dict[str, Possible]:
    """Return what each name of the rule's expressions may be; `factors` are their versions by code."""
    inputs = {code: _attribute(attribute) for code, attribute in behaviour.attributes.items()}
    inputs |= {code: _counter(counter, inputs) for code, counter in rule.counters.items()}
    inputs |= {
        code: numbers([(version.value, version.value) for version in versions])
        for code, versions in factors.items()
    }
    return inputs


def check_reachability(
    rule: RuleDefinition, expressions: Mapping[str, Expression], inputs: Mapping[str, Possible]
) -> Iterator[Finding]:
    """Yield divisions by zero and conditions that are never or always true; `expressions` are given by field."""
    conditions = [field for field in expressions if field.startswith("eligibility.")]
    formulas = [field for field in expressions if field not in conditions]
    counted = {field for field in conditions if expressions[field].names & rule.counters.keys()}
    start = Facts.about(inputs)
    facts: Facts | None = start
    order = [field for field in conditions if field not in counted]
    order += [*formulas, *(field for field in conditions if field in counted)]
    for field in order:
        if facts is None:  # No event comes so far, and what keeps it off was said.
            return
        expression = expressions[field]
        analysis = Analysis(expression.tree)
        found = analysis.value(facts)
        if field in conditions:
            yield from _verdict(field, 1, found, Analysis(expression.tree).value(start))
            facts = analysis.assume(facts)
        for (column, _), (_, choice) in sorted(analysis.choices.items(), key=lambda item: item[0]):
            yield from _verdict(field, column, choice, choice)
        for (column, _), division in sorted(analysis.divisions.items()):
            divisor = division.operands[1]
            text = expression.source[divisor.column - 1 : divisor.end_column - 1]
            message = Message("this may divide by zero: %(divisor)s may be 0", divisor=text)
            yield Finding(field, column, "division_by_zero", message)


def _verdict(field: str, column: int, found: Possible, alone: Possible) -> Iterator[Finding]:
    """Say of a condition that it is never true or always; `alone` is what it may be without those before it."""
    if not found.may_be(value=True):
        message = _NEVER_THEN if alone.may_be(value=True) else _NEVER
        yield Finding(field, column, "never_true", message)
    elif not found.may_be(value=False) and not found.none:
        yield Finding(field, column, "always_true", _ALWAYS, "warning")


def _attribute(attribute: AttributeDefinition) -> Possible:
    none = attribute.nullable
    if attribute.type == "number":
        low = LARGEST.copy_negate() if attribute.min is None else attribute.min
        high = LARGEST if attribute.max is None else attribute.max
        nearest = SMALLEST if attribute.decimals is None else Decimal(1).scaleb(-attribute.decimals)
        found = numbers([(low, high)], none=none, nearest=nearest)
    elif attribute.choices:
        found = chosen(attribute.type, attribute.choices, none=none)
    else:
        return anything(attribute.type, none=none)
    default = default_of(attribute)
    if isinstance(default, Decimal):
        return either(found, numbers([(default, default)]))
    return found


def _counter(counter: CounterDefinition, attributes: Mapping[str, Possible]) -> Possible:
    summed = attributes.get(counter.measure.removeprefix("sum:"))
    if summed is None:
        return numbers([(Decimal(0), LARGEST)], nearest=Decimal(1))
    if any(low < 0 for low, _ in summed.ranges):
        return anything("number")
    return numbers([(Decimal(0), LARGEST)])
