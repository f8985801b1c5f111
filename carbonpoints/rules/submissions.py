"""Definitions on their way into the database, each knowing the line it stands on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Generic, TypeVar

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.core.errors import Message
from carbonpoints.rules.campaigns import CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.definitions import (
    BehaviourDefinition,
    BudgetDefinition,
    FactorDefinition,
    ProgrammeDefinition,
    RuleDefinition,
)
from carbonpoints.rules.nodes import DefinitionError, Node, Problem, join_path, yaml_tree
from carbonpoints.rules.parsing import (
    parse_behaviour_file,
    parse_budgets,
    parse_content,
    parse_factors,
    parse_programme,
    parse_rule,
    parse_terms,
)
from carbonpoints.rules.shipped import RULES, ShippedCatalogue

Definition = TypeVar(
    "Definition",
    BehaviourDefinition,
    BudgetDefinition,
    FactorDefinition,
    ProgrammeDefinition,
    RuleDefinition,
    SharedCapDefinition,
    CampaignDefinition,
)

NO_FILE = Node(None, 0)
KINDS: Mapping[type, VersionKind] = {
    BehaviourDefinition: VersionKind.BEHAVIOUR,
    FactorDefinition: VersionKind.FACTOR,
    ProgrammeDefinition: VersionKind.PROGRAMME,
    RuleDefinition: VersionKind.RULE,
    SharedCapDefinition: VersionKind.SHARED_CAP,
    CampaignDefinition: VersionKind.CAMPAIGN,
    BudgetDefinition: VersionKind.BUDGET,
}
"""As what a definition is stored."""


@dataclass(frozen=True)
class Located(Generic[Definition]):
    """A definition and where it stands: its path in the tree of a file."""

    definition: Definition
    file: str
    root: Node = NO_FILE
    path: str = ""
    place: int | None = None
    """Its place among what was proposed; None where it was not proposed but is in force."""

    def full_path(self, field_path: str) -> str:
        """Return the path of one of its fields in the tree of the file."""
        return join_path(self.path, field_path) if field_path else self.path

    def problem(self, field_path: str, message: Message) -> Problem:
        """Return what is wrong with one of its fields, with the line."""
        path = self.full_path(field_path)
        return Problem(self.file, self.root.at(path).line, path, message)


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is to be taken over together."""

    factors: tuple[Located[FactorDefinition], ...] = ()
    behaviours: tuple[Located[BehaviourDefinition], ...] = ()
    rules: tuple[Located[RuleDefinition], ...] = ()
    budgets: tuple[Located[BudgetDefinition], ...] = ()
    programmes: tuple[Located[ProgrammeDefinition], ...] = ()
    shared_caps: tuple[Located[SharedCapDefinition], ...] = ()
    campaigns: tuple[Located[CampaignDefinition], ...] = ()
    ended: tuple[ProposedVersion, ...] = ()
    """Of which nothing is to hold while they say."""

    def __add__(self, other: Submission) -> Submission:
        """Return both together."""
        return Submission(
            **{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Submission)}
        )


def as_submission(catalogue: ShippedCatalogue) -> Submission:
    """Return a catalogue's factors, behaviour types and rules; its programme's settings are seeded apart."""
    return Submission(
        factors=tuple(Located(item, item.code) for item in catalogue.factors),
        behaviours=tuple(Located(item, item.code) for item in catalogue.behaviours),
        rules=tuple(Located(item, item.code) for item in catalogue.rules),
    )


def read_proposed(
    proposed: Sequence[ProposedVersion],
) -> tuple[Submission, list[tuple[int, Problem]]]:
    """Return what was proposed as far as its form is right, and each problem of the rest with its place.

    Kinds that this package does not know are left out.
    """
    refused: list[tuple[int, Problem]] = []

    def located(kind: VersionKind, of: type[Definition]) -> tuple[Located[Definition], ...]:
        found = []
        for place, item in enumerate(proposed):
            if item.kind is kind and item.content is not None:
                name = f"{item.kind} {item.code}"
                try:
                    found.append(Located(parse_content(of, item.content, name), name, place=place))
                except DefinitionError as error:
                    refused.extend((place, problem) for problem in error.problems)
        return tuple(found)

    submission = Submission(
        factors=located(VersionKind.FACTOR, FactorDefinition),
        behaviours=located(VersionKind.BEHAVIOUR, BehaviourDefinition),
        rules=located(VersionKind.RULE, RuleDefinition),
        budgets=located(VersionKind.BUDGET, BudgetDefinition),
        programmes=located(VersionKind.PROGRAMME, ProgrammeDefinition),
        shared_caps=located(VersionKind.SHARED_CAP, SharedCapDefinition),
        campaigns=located(VersionKind.CAMPAIGN, CampaignDefinition),
        ended=tuple(item for item in proposed if item.content is None),
    )
    return submission, refused


def read_shipped_files() -> Submission:
    """Return the factors, behaviour types and rules that come with the product; raises DefinitionError."""
    return read_files([RULES / "factors", RULES / "behaviours"])


def read_files(paths: Iterable[Path]) -> Submission:
    """Return what the YAML files hold; a folder stands for all the YAML files below it.

    Raises DefinitionError with every problem of every file.
    """
    whole = Submission()
    problems: list[Problem] = []
    for path in _files(paths):
        try:
            part = _read_file(path)
        except DefinitionError as error:
            problems += error.problems
            continue
        whole += part
    if problems:
        raise DefinitionError(tuple(problems))
    return whole


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.rglob("*.yaml")) if path.is_dir() else [path]


def _read_file(path: Path) -> Submission:
    file = str(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(
            (Problem(file, 0, "", Message("cannot be read: %(error)s", error=error)),)
        ) from None
    root = yaml_tree(text, file)
    keys = root.value.keys() if isinstance(root.value, dict) else set()
    for key, read in _READERS.items():
        if key in keys:
            return read(text, file, root)
    message = Message("must begin with one of %(fields)s", fields=", ".join(_READERS))
    raise DefinitionError((Problem(file, root.line, "", message),))


def _factors(text: str, file: str, root: Node) -> Submission:
    factors = parse_factors(text, file)
    return Submission(
        factors=tuple(Located(factor, file, root, f"factors.{no}") for no, factor in enumerate(factors))
    )


def _behaviour(text: str, file: str, root: Node) -> Submission:
    behaviour, rule = parse_behaviour_file(text, file)
    return Submission(
        behaviours=(Located(behaviour, file, root, "behaviour"),),
        rules=(Located(rule, file, root, "rule"),) if rule is not None else (),
    )


def _rule(text: str, file: str, root: Node) -> Submission:
    return Submission(rules=(Located(parse_rule(text, file), file, root, "rule"),))


def _budgets(text: str, file: str, root: Node) -> Submission:
    budgets = parse_budgets(text, file)
    return Submission(
        budgets=tuple(Located(budget, file, root, f"budgets.{no}") for no, budget in enumerate(budgets))
    )


def _programme(text: str, file: str, root: Node) -> Submission:
    return Submission(programmes=(Located(parse_programme(text, file), file, root, "programme"),))


def _terms(text: str, file: str, root: Node) -> Submission:
    terms = parse_terms(text, file)
    return Submission(
        shared_caps=tuple(
            Located(cap, file, root, f"shared_caps.{no}") for no, cap in enumerate(terms.shared_caps)
        ),
        campaigns=tuple(
            Located(campaign, file, root, f"campaigns.{no}") for no, campaign in enumerate(terms.campaigns)
        ),
    )


_READERS: dict[str, Callable[[str, str, Node], Submission]] = {
    "factors": _factors,
    "behaviour": _behaviour,
    "rule": _rule,
    "budgets": _budgets,
    "programme": _programme,
    "shared_caps": _terms,
    "campaigns": _terms,
}
"""How a file is read, by the field it begins with."""
