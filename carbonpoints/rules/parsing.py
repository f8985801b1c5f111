"""Definitions from YAML files and from stored or submitted JSON content.

The `parse_*` functions raise DefinitionError with every problem of the file, each with its line and field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from carbonpoints.core.errors import Message
from carbonpoints.rules.agreements import AgreementDefinition, validate_agreement
from carbonpoints.rules.campaigns import CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.definitions import (
    BehaviourDefinition,
    BudgetDefinition,
    FactorDefinition,
    ProgrammeDefinition,
    RuleDefinition,
)
from carbonpoints.rules.nodes import content_tree, yaml_tree
from carbonpoints.rules.reading import Reader
from carbonpoints.rules.validation import (
    Found,
    overlapping,
    validate_behaviour,
    validate_budget,
    validate_campaign,
    validate_factor,
    validate_programme,
    validate_rule,
    validate_shared_cap,
)

Definition = TypeVar(
    "Definition",
    FactorDefinition,
    BehaviourDefinition,
    RuleDefinition,
    BudgetDefinition,
    ProgrammeDefinition,
    SharedCapDefinition,
    CampaignDefinition,
    AgreementDefinition,
)

_VALIDATORS: dict[type, Callable[..., Found]] = {
    FactorDefinition: validate_factor,
    BehaviourDefinition: validate_behaviour,
    RuleDefinition: validate_rule,
    BudgetDefinition: validate_budget,
    ProgrammeDefinition: validate_programme,
    SharedCapDefinition: validate_shared_cap,
    CampaignDefinition: validate_campaign,
    AgreementDefinition: validate_agreement,
}


@dataclass(frozen=True)
class _FactorFile:
    factors: tuple[FactorDefinition, ...]


@dataclass(frozen=True)
class _BehaviourFile:
    behaviour: BehaviourDefinition
    rule: RuleDefinition | None = None


@dataclass(frozen=True)
class _RuleFile:
    rule: RuleDefinition


@dataclass(frozen=True)
class _BudgetFile:
    budgets: tuple[BudgetDefinition, ...]


@dataclass(frozen=True)
class _ProgrammeFile:
    programme: ProgrammeDefinition


@dataclass(frozen=True)
class TermsFile:
    """What campaigns and shared caps a file holds."""

    shared_caps: tuple[SharedCapDefinition, ...] = ()
    campaigns: tuple[CampaignDefinition, ...] = ()


def parse_factors(text: str, file: str) -> tuple[FactorDefinition, ...]:
    """Return the factors of one file, `factors:` and a list."""
    reader = Reader(file, yaml_tree(text, file))
    factors = reader.read(_FactorFile).factors
    for no, factor in enumerate(factors):
        _validate(reader, factor, f"factors.{no}.")
    for earlier, later in overlapping(factors):
        no = next(no for no, factor in enumerate(factors) if factor is later)
        reader.note(
            f"factors.{no}.valid_from",
            Message("%(code)s is already valid from %(day)s", code=later.code, day=earlier.valid_from),
        )
    reader.finish()
    return factors


def parse_behaviour_file(text: str, file: str) -> tuple[BehaviourDefinition, RuleDefinition | None]:
    """Return a behaviour type and the rule that ships with it, `behaviour:` and `rule:`."""
    reader = Reader(file, yaml_tree(text, file))
    parts = reader.read(_BehaviourFile)
    _validate(reader, parts.behaviour, "behaviour.")
    if parts.rule is not None:
        _validate(reader, parts.rule, "rule.")
        if parts.rule.behaviour != parts.behaviour.code:
            reader.note(
                "rule.behaviour",
                Message("must be %(code)s, the behaviour of this file", code=parts.behaviour.code),
            )
    reader.finish()
    return parts.behaviour, parts.rule


def parse_rule(text: str, file: str) -> RuleDefinition:
    """Return the rule of a file that holds one rule only, `rule:`."""
    reader = Reader(file, yaml_tree(text, file))
    rule = reader.read(_RuleFile).rule
    _validate(reader, rule, "rule.")
    reader.finish()
    return rule


def parse_budgets(text: str, file: str) -> tuple[BudgetDefinition, ...]:
    """Return the budgets of one file, `budgets:` and a list."""
    reader = Reader(file, yaml_tree(text, file))
    budgets = reader.read(_BudgetFile).budgets
    for no, budget in enumerate(budgets):
        _validate(reader, budget, f"budgets.{no}.")
    reader.finish()
    return budgets


def parse_programme(text: str, file: str) -> ProgrammeDefinition:
    """Return the programme of a file, `programme:`."""
    reader = Reader(file, yaml_tree(text, file))
    programme = reader.read(_ProgrammeFile).programme
    _validate(reader, programme, "programme.")
    reader.finish()
    return programme


def parse_terms(text: str, file: str) -> TermsFile:
    """Return the shared caps and campaigns of a file, `shared_caps:` and `campaigns:`, each with a list."""
    reader = Reader(file, yaml_tree(text, file))
    terms = reader.read(TermsFile)
    for no, cap in enumerate(terms.shared_caps):
        _validate(reader, cap, f"shared_caps.{no}.")
    for no, campaign in enumerate(terms.campaigns):
        _validate(reader, campaign, f"campaigns.{no}.")
    reader.finish()
    return terms


def parse_content(kind: type[Definition], content: object, name: str) -> Definition:
    """Return a definition from submitted JSON content, fully checked; problems name fields, and line 0."""
    reader = Reader(name, content_tree(content))
    definition = reader.read(kind)
    _validate(reader, definition, "")
    reader.finish()
    return definition


def from_content(kind: type[Definition], content: object) -> Definition:
    """Return a definition from the content of a version row, which was checked before it was stored."""
    return Reader(kind.__name__, content_tree(content)).read(kind)


def _validate(reader: Reader, definition: object, prefix: str) -> None:
    for path, message in _VALIDATORS[type(definition)](definition):
        reader.note(prefix + path, message)
