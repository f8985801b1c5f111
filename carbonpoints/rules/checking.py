"""Whether a rule may be put in force: names, types, units, factors against purpose, and its own samples. Pure.

Nothing here runs when an event is evaluated. A rule that passes gives grams from its formulas, uses no figure
beyond what its grade allows (M13), has every factor for every day it is valid, can be computed for every event that
its conditions let through, and gives for each of its samples exactly what the sample says, which is never nothing
(M12).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from carbonpoints.core.errors import Message
from carbonpoints.rules.compiling import estimate_source
from carbonpoints.rules.definitions import BehaviourDefinition, FactorDefinition, RuleDefinition
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.factor_checking import RuleFactors, factors_on
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.language import Expression, ExpressionError, ValueType, Variable, compile_expression
from carbonpoints.rules.reachability import check_reachability, possible_inputs
from carbonpoints.rules.samples import check_samples
from carbonpoints.rules.units import check_units

FORMULAS = ("baseline", "project", "leakage")
FORMULA_UNIT = "g"


def check_rule(
    rule: RuleDefinition, behaviour: BehaviourDefinition, factors: Sequence[FactorDefinition]
) -> list[Finding]:
    """Return everything that is to be said of a rule; without an error among it, it may be put in force.

    `factors` are all versions of all factors of the programme; the rule is held against those in force while
    it is valid. Its samples are computed with the factors of its first day, by the engine itself.
    """
    return list(_Check(rule, behaviour, factors).findings())


class _Check:
    def __init__(
        self, rule: RuleDefinition, behaviour: BehaviourDefinition, factors: Sequence[FactorDefinition]
    ) -> None:
        self.rule = rule
        self.behaviour = behaviour
        self.factors = RuleFactors(rule, factors)
        self.expressions: dict[str, Expression] = {}

    def findings(self) -> Iterator[Finding]:
        found = [*self._names(), *self.factors.findings(), *self._counters(), *self._expressions()]
        found += self._monitoring()
        yield from found
        if not found:
            # A rule that cannot be compiled, or whose figures are not known, has nothing to look through.
            inputs = possible_inputs(self.rule, self.behaviour, self.factors.versions)
            yield from check_reachability(self.rule, self.expressions, inputs)
            yield from self._samples()

    def _names(self) -> Iterator[Finding]:
        if self.rule.behaviour != self.behaviour.code:
            message = Message(
                "the rule is for %(named)s, not for %(behaviour)s",
                named=self.rule.behaviour,
                behaviour=self.behaviour.code,
            )
            yield Finding("behaviour", 0, "wrong_behaviour", message)
        attributes = self.behaviour.attributes
        for field, codes in (("counters", self.rule.counters), ("factors", self.rule.factors)):
            for code in codes:
                if code in attributes:
                    yield Finding(
                        field, 0, "name_taken", Message("%(code)s is an attribute already", code=code)
                    )

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
                    message = Message(
                        "%(name)s is no %(kind)s attribute of %(behaviour)s",
                        name=name,
                        kind=kind,
                        behaviour=self.behaviour.code,
                    )
                    yield Finding(f"counters.{code}.{part}", 0, "unknown_attribute", message)

    def _variables(self) -> dict[str, Variable]:
        variables = {
            name: Variable(attribute.type, attribute.unit, nullable=attribute.nullable)
            for name, attribute in self.behaviour.attributes.items()
        }
        units = {code: factor.unit for code, versions in self.factors.versions.items() for factor in versions}
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
                self.expressions[field] = expression
            except ExpressionError as error:
                broken = True
                yield Finding(field, error.column, error.code, error.message)
        if not broken:
            yield from self._unused(used)
            yield from self._estimate(variables)

    def _estimate(self, variables: dict[str, Variable]) -> Iterator[Finding]:
        """Compile the formulas together, as the engine does: there is a bound on the length of the whole."""
        try:
            compile_expression(
                estimate_source(self.rule, *(f"({getattr(self.rule, field)})" for field in FORMULAS)),
                variables,
                expects="number",
            )
        except ExpressionError as error:
            yield Finding("baseline", 0, error.code, error.message)

    def _monitoring(self) -> Iterator[Finding]:
        """Yield what a formula computes with and no source is named for, and what is no attribute."""
        methodology = self.rule.methodology
        if methodology is None:
            return
        attributes = self.behaviour.attributes.keys()
        monitored = {name for part in methodology.monitoring for name in part.data}
        for no, part in enumerate(methodology.monitoring):
            for name in sorted(set(part.data) - attributes):
                message = Message("%(name)s is no attribute", name=name)
                yield Finding(f"methodology.monitoring.{no}.data", 0, "unknown_attribute", message)
        names = [self.expressions[field].names for field in FORMULAS if field in self.expressions]
        used = frozenset[str]().union(*names) - set(self.rule.factors)
        for name in sorted(used & attributes - monitored):
            message = Message("a formula uses %(name)s, and its source is not named", name=name)
            yield Finding("methodology.monitoring", 0, "not_monitored", message)

    def _unused(self, used: Collection[str]) -> Iterator[Finding]:
        for field, codes in (("factors", self.rule.factors), ("counters", self.rule.counters)):
            for code in codes:
                if code not in used:
                    message = Message("%(code)s is named but no expression uses it", code=code)
                    yield Finding(field, 0, "unused", message)

    def _samples(self) -> Iterator[Finding]:
        day = self.factors.first_day
        values = {code: factor.value for code, factor in factors_on(self.factors.all(), day).items()}
        compiled = CompiledRule(behaviour=self.behaviour, rule=self.rule, factors=values)
        yield from check_samples(compiled, day)
