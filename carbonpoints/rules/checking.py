"""Whether a rule may be put in force: names, types, units, factors against purpose, and its own samples. Pure.

Nothing here runs when an event is evaluated. A rule that passes gives grams from its formulas, uses no figure
beyond what its grade allows (M13), has every factor for every day it is valid, and gives for each of its
samples exactly what the sample says, which is never nothing (M12).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from carbonpoints.rules.definitions import BehaviourDefinition, FactorDefinition, RuleDefinition
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.language import ExpressionError, ValueType, Variable, compile_expression
from carbonpoints.rules.samples import check_samples
from carbonpoints.rules.units import check_units, parse_unit

FORMULAS = ("baseline", "project", "leakage")
FORMULA_UNIT = "g"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a rule."""

    field: str
    """Path in the rule's content."""
    column: int
    """Place in the field's expression, 1-based; 0 where there is no expression."""
    code: str
    """Stable and machine-readable."""
    message: str


def check_rule(
    rule: RuleDefinition, behaviour: BehaviourDefinition, factors: Sequence[FactorDefinition]
) -> list[Finding]:
    """Return everything that is wrong with a rule; an empty list means it may be put in force.

    `factors` are all versions of all factors of the programme; the rule is held against those in force while
    it is valid. Its samples are computed with the factors of its first day, by the engine itself.
    """
    return list(_Check(rule, behaviour, factors).findings())


def factors_on(factors: Sequence[FactorDefinition], day: date) -> dict[str, FactorDefinition]:
    """Return the factors in force on a day, by code."""
    return {
        factor.code: factor
        for factor in factors
        if factor.valid_from <= day and (factor.valid_to is None or day < factor.valid_to)
    }


class _Check:
    def __init__(
        self, rule: RuleDefinition, behaviour: BehaviourDefinition, factors: Sequence[FactorDefinition]
    ) -> None:
        self.rule = rule
        self.behaviour = behaviour
        self.first_day = rule.valid_from.date()
        self.last_day = (rule.valid_to - timedelta.resolution).date() if rule.valid_to else None
        self.versions: dict[str, list[FactorDefinition]] = defaultdict(list)
        for factor in sorted(factors, key=lambda factor: factor.valid_from):
            if factor.code in rule.factors and self._is_in_force(factor):
                self.versions[factor.code].append(factor)

    def findings(self) -> Iterator[Finding]:
        found = [*self._names(), *self._factors(), *self._counters(), *self._expressions()]
        # A rule that cannot be compiled, or whose figures are not known, has no samples to compute.
        yield from found or self._samples()

    def _is_in_force(self, factor: FactorDefinition) -> bool:
        begins_in_time = self.last_day is None or factor.valid_from <= self.last_day
        return begins_in_time and (factor.valid_to is None or factor.valid_to > self.first_day)

    def _names(self) -> Iterator[Finding]:
        if self.rule.behaviour != self.behaviour.code:
            message = f"the rule is for {self.rule.behaviour}, not for {self.behaviour.code}"
            yield Finding("behaviour", 0, "wrong_behaviour", message)
        attributes = self.behaviour.attributes
        for field, codes in (("counters", self.rule.counters), ("factors", self.rule.factors)):
            for code in codes:
                if code in attributes:
                    yield Finding(field, 0, "name_taken", f"{code} is an attribute already")

    def _factors(self) -> Iterator[Finding]:
        for no, code in enumerate(self.rule.factors):
            field, versions = f"factors.{no}", self.versions[code]
            gap = self._first_day_without(versions)
            if not versions:
                message = f"{code} is no factor that is in force while the rule is"
                yield Finding(field, 0, "unknown_factor", message)
            elif gap is not None:
                yield Finding(field, 0, "factor_validity", f"{code} has no value in force on {gap}")
            if len({parse_unit(factor.unit) for factor in versions}) > 1:
                yield Finding(field, 0, "factor_units", f"{code} changes its unit while the rule is in force")
            weak = next((factor for factor in versions if factor.use == "credits_only"), None)
            if weak is not None and self.rule.purpose == "reduction":
                message = f"{code} may carry credits only: {weak.use_reason}"
                yield Finding(field, 0, "factor_use", message)

    def _first_day_without(self, versions: Sequence[FactorDefinition]) -> date | None:
        day = self.first_day
        for factor in versions:
            if factor.valid_from > day:
                return day
            if factor.valid_to is None:
                return None
            day = factor.valid_to
        return day if self.last_day is None or day <= self.last_day else None

    def _counters(self) -> Iterator[Finding]:
        for code, counter in self.rule.counters.items():
            measure, _, measured = counter.measure.partition(":")
            wanted: tuple[tuple[str, str | None, ValueType], ...] = (
                ("measure", measured or None, "number" if measure == "sum" else "text"),
                ("per", counter.per, "text"),
            )
            for part, name, kind in wanted:
                if name is None:
                    continue
                attribute = self.behaviour.attributes.get(name)
                if attribute is None or attribute.type != kind:
                    message = f"{name} is no {kind} attribute of {self.behaviour.code}"
                    yield Finding(f"counters.{code}.{part}", 0, "unknown_attribute", message)

    def _variables(self) -> dict[str, Variable]:
        variables = {
            name: Variable(attribute.type, attribute.unit, nullable=attribute.nullable)
            for name, attribute in self.behaviour.attributes.items()
        }
        units = {code: factor.unit for code, versions in self.versions.items() for factor in versions}
        return variables | {code: Variable("number", unit) for code, unit in units.items()}

    def _counter_variables(self) -> dict[str, Variable]:
        units = {}
        for code, counter in self.rule.counters.items():
            measured = self.behaviour.attributes.get(counter.measure.removeprefix("sum:"))
            units[code] = measured.unit if measured is not None else ""
        return {code: Variable("number", unit) for code, unit in units.items()}

    def _expressions(self) -> Iterator[Finding]:
        variables = self._variables()
        counted = {**variables, **self._counter_variables()}
        used: set[str] = set()
        sources: list[tuple[str, str, dict[str, Variable], str | None]] = [
            (field, getattr(self.rule, field), variables, FORMULA_UNIT) for field in FORMULAS
        ]
        sources += [
            (f"eligibility.{no}.when", condition.when, counted, None)
            for no, condition in enumerate(self.rule.eligibility)
        ]
        broken = False
        for field, source, known, unit in sources:
            kind: ValueType = "number" if unit else "flag"
            try:
                expression = compile_expression(source, known, expects=kind)
                check_units(expression, known, unit)
                used |= expression.names
            except ExpressionError as error:
                broken = True
                yield Finding(field, error.column, error.code, error.message)
        if not broken:
            yield from self._unused(used)

    def _unused(self, used: Collection[str]) -> Iterator[Finding]:
        for field, codes in (("factors", self.rule.factors), ("counters", self.rule.counters)):
            for code in codes:
                if code not in used:
                    yield Finding(field, 0, "unused", f"{code} is named but no expression uses it")

    def _samples(self) -> Iterator[Finding]:
        factors = factors_on(
            [factor for versions in self.versions.values() for factor in versions], self.first_day
        )
        values = {code: factor.value for code, factor in factors.items()}
        compiled = CompiledRule(behaviour=self.behaviour, rule=self.rule, factors=values)
        for field, code, message in check_samples(compiled, self.first_day):
            yield Finding(field, 0, code, message)
