"""The catalogue that comes with the product, read from the YAML files beside this module.

Adding a factor, a behaviour type or a rule means adding to one file; nothing here names them. The database's
version rows are the truth in use: these files are the seed of a first import and an exchange format (M10).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from carbonpoints.core.errors import Message
from carbonpoints.rules.definitions import (
    BehaviourDefinition,
    FactorDefinition,
    ProgrammeDefinition,
    RuleDefinition,
)
from carbonpoints.rules.nodes import DefinitionError, Problem
from carbonpoints.rules.parsing import parse_behaviour_file, parse_factors, parse_programme, parse_rule
from carbonpoints.rules.validation import overlapping

RULES = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class ShippedCatalogue:
    """Factors, behaviour types, rules and the settings of one programme, all checked for form."""

    factors: tuple[FactorDefinition, ...]
    behaviours: tuple[BehaviourDefinition, ...]
    rules: tuple[RuleDefinition, ...]
    programme: ProgrammeDefinition


def load_shipped() -> ShippedCatalogue:
    """Return the shipped catalogue; DefinitionError, naming file and line, when a file is wrong."""
    factors = tuple(
        factor
        for path in sorted((RULES / "factors").glob("*.yaml"))
        for factor in parse_factors(path.read_text("utf-8"), path.name)
    )
    problems = tuple(
        Problem(
            "factors",
            0,
            later.code,
            Message("is already valid from %(day)s in another file", day=earlier.valid_from),
        )
        for earlier, later in overlapping(factors)
    )
    if problems:
        raise DefinitionError(problems)
    parsed = [
        parse_behaviour_file(path.read_text("utf-8"), path.name)
        for path in sorted((RULES / "behaviours").glob("*.yaml"))
    ]
    return ShippedCatalogue(
        factors=factors,
        behaviours=tuple(behaviour for behaviour, _ in parsed),
        rules=tuple(rule for _, rule in parsed if rule is not None),
        programme=_programme(RULES / "programme.yaml"),
    )


def load_demonstration_rule(name: str) -> RuleDefinition:
    """Return a rule of `demonstrations/`, such as `transfers_1993`; it is no part of the shipped catalogue."""
    path = RULES / "demonstrations" / f"{name}.yaml"
    return parse_rule(path.read_text("utf-8"), path.name)


def load_demonstration_programme(name: str) -> ShippedCatalogue:
    """Return a programme of `demonstrations/`, such as `programme_1993`, with what it takes over.

    The rules are the dated copies that its file names, with their behaviour types and factors.
    """
    shipped = load_shipped()
    programme = _programme(RULES / "demonstrations" / f"{name}.yaml")
    rules_by_code = {rule.code: rule for rule in shipped.rules}
    rules: list[RuleDefinition] = []
    factors: dict[str, FactorDefinition] = {}
    for copy in programme.dated_copies:
        rule, its_factors = dated_copy(rules_by_code[copy.rule], shipped.factors, valid_from=copy.valid_from)
        rules.append(rule)
        factors.update({factor.code: factor for factor in its_factors})
    taken = {rule.behaviour for rule in rules}
    return ShippedCatalogue(
        factors=tuple(factors.values()),
        behaviours=tuple(behaviour for behaviour in shipped.behaviours if behaviour.code in taken),
        rules=tuple(rules),
        programme=programme,
    )


def dated_copy(
    rule: RuleDefinition, factors: Sequence[FactorDefinition], *, valid_from: datetime
) -> tuple[RuleDefinition, tuple[FactorDefinition, ...]]:
    """Return the rule as if it had been in force from `valid_from`, and its factors' earliest versions likewise.

    For demonstrations on old data only: a programme that pays real credits has no business with it. Each
    factor's note says that its date was set back.
    """
    copies: dict[str, FactorDefinition] = {}
    for factor in sorted(factors, key=lambda factor: factor.valid_from):
        if factor.code in rule.factors and factor.code not in copies:
            note = f"Set back from {factor.valid_from} for a demonstration. {factor.note}".strip()
            copies[factor.code] = replace(factor, valid_from=valid_from.date(), valid_to=None, note=note)
    return replace(rule, valid_from=valid_from), tuple(copies.values())


def _programme(path: Path) -> ProgrammeDefinition:
    return parse_programme(path.read_text("utf-8"), path.name)
