"""Whether a rule's factors hold as long as the rule does, and may be used for what it uses them for. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

from carbonpoints.core.errors import Message
from carbonpoints.rules.definitions import FactorDefinition, RuleDefinition
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.units import parse_unit


def factors_on(factors: Iterable[FactorDefinition], day: date) -> dict[str, FactorDefinition]:
    """Return the factors in force on a day, by code."""
    return {
        factor.code: factor
        for factor in factors
        if factor.valid_from <= day and (factor.valid_to is None or day < factor.valid_to)
    }


class RuleFactors:
    """The versions of a rule's factors that are in force while the rule is."""

    def __init__(self, rule: RuleDefinition, factors: Iterable[FactorDefinition]) -> None:
        self._rule = rule
        self.first_day = rule.valid_from.date()
        self._last_day = (rule.valid_to - timedelta.resolution).date() if rule.valid_to else None
        self.versions: dict[str, list[FactorDefinition]] = defaultdict(list)
        """By code, the earliest first."""
        for factor in sorted(factors, key=lambda factor: factor.valid_from):
            if factor.code in rule.factors and self._is_in_force(factor):
                self.versions[factor.code].append(factor)

    def all(self) -> list[FactorDefinition]:
        """Return the versions of all codes."""
        return [factor for versions in self.versions.values() for factor in versions]

    def findings(self) -> Iterator[Finding]:
        """Yield gaps, changes of unit, and figures that may carry credits only (M13)."""
        for no, code in enumerate(self._rule.factors):
            field, versions = f"factors.{no}", self.versions[code]
            gap = self._first_day_without(versions)
            if not versions:
                message = Message("%(code)s is no factor that is in force while the rule is", code=code)
                yield Finding(field, 0, "unknown_factor", message)
            elif gap is not None:
                message = Message("%(code)s has no value in force on %(day)s", code=code, day=gap)
                yield Finding(field, 0, "factor_validity", message)
            if len({parse_unit(factor.unit) for factor in versions}) > 1:
                message = Message("%(code)s changes its unit while the rule is in force", code=code)
                yield Finding(field, 0, "factor_units", message)
            weak = next((factor for factor in versions if factor.use == "credits_only"), None)
            if weak is not None and self._rule.purpose == "reduction":
                message = Message(
                    "%(code)s may carry credits only: %(reason)s", code=code, reason=weak.use_reason
                )
                yield Finding(field, 0, "factor_use", message)

    def _is_in_force(self, factor: FactorDefinition) -> bool:
        begins_in_time = self._last_day is None or factor.valid_from <= self._last_day
        return begins_in_time and (factor.valid_to is None or factor.valid_to > self.first_day)

    def _first_day_without(self, versions: Sequence[FactorDefinition]) -> date | None:
        day = self.first_day
        for factor in versions:
            if factor.valid_from > day:
                return day
            if factor.valid_to is None:
                return None
            day = factor.valid_to
        return day if self._last_day is None or day <= self._last_day else None
