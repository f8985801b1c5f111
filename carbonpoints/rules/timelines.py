"""Which versions belong together at each instant. Pure.

A behaviour type, its rule, the rule's factors, and the shared caps and campaigns for the behaviour.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from carbonpoints.approvals.versions import StoredVersion
from carbonpoints.core.crypto import SUITE
from carbonpoints.rules.agreements import AgreementDefinition
from carbonpoints.rules.campaigns import CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.definitions import (
    BehaviourDefinition,
    BudgetDefinition,
    FactorDefinition,
    RuleDefinition,
)
from carbonpoints.rules.errors import RulesOverlap

Definition = TypeVar(
    "Definition",
    BehaviourDefinition,
    RuleDefinition,
    FactorDefinition,
    SharedCapDefinition,
    CampaignDefinition,
    BudgetDefinition,
    AgreementDefinition,
)
Entry = TypeVar("Entry")

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Held(Generic[Definition]):
    """A version and what its content defines."""

    version: StoredVersion
    definition: Definition


def versions_of(held: Iterable[Held[Definition]]) -> list[StoredVersion]:
    """Return the versions of what is held."""
    return [each.version for each in held]


@dataclass(frozen=True)
class HeldVersions:
    """The current versions of a programme with what they define."""

    behaviours: Sequence[Held[BehaviourDefinition]]
    rules: Sequence[Held[RuleDefinition]]
    factors: Sequence[Held[FactorDefinition]]
    shared_caps: Sequence[Held[SharedCapDefinition]] = ()
    campaigns: Sequence[Held[CampaignDefinition]] = ()
    budgets: Sequence[Held[BudgetDefinition]] = ()
    agreements: Sequence[Held[AgreementDefinition]] = ()

    @property
    def versions(self) -> list[StoredVersion]:
        """All of them."""
        return [
            *versions_of(self.behaviours),
            *versions_of(self.rules),
            *versions_of(self.factors),
            *versions_of(self.shared_caps),
            *versions_of(self.campaigns),
            *versions_of(self.budgets),
            *versions_of(self.agreements),
        ]


@dataclass(frozen=True)
class Combination:
    """The versions that decide on an act together; `factors` are those that hold of the codes the rule names."""

    behaviour: Held[BehaviourDefinition]
    rule: Held[RuleDefinition] | None = None
    factors: tuple[Held[FactorDefinition], ...] = ()
    shared_caps: tuple[Held[SharedCapDefinition], ...] = ()
    campaigns: tuple[Held[CampaignDefinition], ...] = ()

    @property
    def pin_hash(self) -> bytes:
        """The identity of the combination: a hash over the numbers of its versions."""
        numbers = [self.behaviour.version.version_id, self.rule.version.version_id if self.rule else 0]
        numbers += [version.version_id for version in versions_of(self.factors)] + self.term_version_ids
        return SUITE.digest(",".join(map(str, numbers)).encode())

    @property
    def term_version_ids(self) -> list[int]:
        """The versions of its shared caps and campaigns."""
        versions = [*versions_of(self.shared_caps), *versions_of(self.campaigns)]
        return [version.version_id for version in versions]


@dataclass(frozen=True)
class Timeline(Generic[Entry]):
    """What holds when: `entries[0]` before the first start, `entries[n]` from `starts[n - 1]` on."""

    starts: Sequence[datetime]
    entries: Sequence[Entry]

    def at(self, instant: datetime) -> Entry:
        """Return what holds at `instant`."""
        return self.entries[bisect_right(self.starts, instant)]


def combine(held: HeldVersions) -> dict[str, Timeline[Combination | None]]:
    """Return for each behaviour what decides on its acts at each instant; None where it is not known then.

    Raises RulesOverlap when two rules would decide on one act.
    """
    return {
        code: _timeline(for_behaviour(held, code)) for code in {item.version.code for item in held.behaviours}
    }


def for_behaviour(held: HeldVersions, code: str) -> HeldVersions:
    """Return what has to do with one behaviour."""
    rules = [rule for rule in held.rules if rule.definition.behaviour == code]
    named = {factor for rule in rules for factor in rule.definition.factors}
    return HeldVersions(
        [item for item in held.behaviours if item.version.code == code],
        rules,
        [factor for factor in held.factors if factor.version.code in named],
        [cap for cap in held.shared_caps if code in cap.definition.behaviours],
        [campaign for campaign in held.campaigns if code in campaign.definition.behaviours],
    )


def _timeline(held: HeldVersions) -> Timeline[Combination | None]:
    bounds = {bound for version in held.versions for bound in version.valid if bound is not None}
    starts: list[datetime] = []
    entries = [combination_at(_BEGINNING, held)]
    for instant in sorted(bounds):
        entry = combination_at(instant, held)
        if entry != entries[-1]:
            starts.append(instant)
            entries.append(entry)
    return Timeline(starts, entries)


def combination_at(instant: datetime, held: HeldVersions) -> Combination | None:
    """Return what decides together on an act of that instant, of what has to do with one behaviour.

    None where the behaviour is not known then. Raises RulesOverlap when two rules would decide.
    """
    behaviour = next(iter(_holding(held.behaviours, instant)), None)
    if behaviour is None:
        return None
    rules = _holding(held.rules, instant)
    if len(rules) > 1:
        codes = sorted(rule.version.code for rule in rules)
        raise RulesOverlap(
            "%(first)s and %(second)s, for %(behaviour)s from %(instant)s",
            params={
                "first": codes[0],
                "second": codes[1],
                "behaviour": behaviour.version.code,
                "instant": instant.isoformat(),
            },
        )
    if not rules:
        return Combination(behaviour)
    (rule,) = rules
    factors = [factor for factor in held.factors if factor.version.code in rule.definition.factors]
    return Combination(
        behaviour,
        rule,
        _holding(factors, instant),
        _holding(held.shared_caps, instant),
        _holding(held.campaigns, instant),
    )


def _holding(held: Iterable[Held[Definition]], instant: datetime) -> tuple[Held[Definition], ...]:
    """Return what holds at `instant`, by the number of its version."""
    found = (each for each in held if each.version.holds_at(instant))
    return tuple(sorted(found, key=lambda each: each.version.version_id))
