"""Which versions belong together at each instant: a behaviour type, its rule and the rule's factors. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from carbonpoints.approvals.versions import StoredVersion
from carbonpoints.core.crypto import SUITE
from carbonpoints.rules.definitions import BehaviourDefinition, FactorDefinition, RuleDefinition
from carbonpoints.rules.errors import RulesOverlap

Definition = TypeVar("Definition", BehaviourDefinition, RuleDefinition, FactorDefinition)
Entry = TypeVar("Entry")

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Held(Generic[Definition]):
    """A version and what its content defines."""

    version: StoredVersion
    definition: Definition


@dataclass(frozen=True)
class Combination:
    """The versions that decide on an act together; `factors` are those that hold of the codes the rule names."""

    behaviour: Held[BehaviourDefinition]
    rule: Held[RuleDefinition] | None
    factors: tuple[Held[FactorDefinition], ...]

    @property
    def pin_hash(self) -> bytes:
        """The identity of the combination: a hash over the numbers of its versions."""
        numbers = [self.behaviour.version.version_id, self.rule.version.version_id if self.rule else 0]
        numbers += [factor.version.version_id for factor in self.factors]
        return SUITE.digest(",".join(map(str, numbers)).encode())


@dataclass(frozen=True)
class Timeline(Generic[Entry]):
    """What holds when: `entries[0]` before the first start, `entries[n]` from `starts[n - 1]` on."""

    starts: Sequence[datetime]
    entries: Sequence[Entry]

    def at(self, instant: datetime) -> Entry:
        """Return what holds at `instant`."""
        return self.entries[bisect_right(self.starts, instant)]


def combine(
    behaviours: Iterable[Held[BehaviourDefinition]],
    rules: Collection[Held[RuleDefinition]],
    factors: Collection[Held[FactorDefinition]],
) -> dict[str, Timeline[Combination | None]]:
    """Return for each behaviour what decides on its acts at each instant; None where it is not known then.

    Raises RulesOverlap when two rules would decide on one act.
    """
    by_code: dict[str, list[Held[BehaviourDefinition]]] = {}
    for behaviour in behaviours:
        by_code.setdefault(behaviour.version.code, []).append(behaviour)
    return {code: _timeline(versions, rules, factors) for code, versions in by_code.items()}


def _timeline(
    behaviours: Collection[Held[BehaviourDefinition]],
    rules: Iterable[Held[RuleDefinition]],
    factors: Iterable[Held[FactorDefinition]],
) -> Timeline[Combination | None]:
    codes = {behaviour.version.code for behaviour in behaviours}
    rules = [rule for rule in rules if rule.definition.behaviour in codes]
    named = {code for rule in rules for code in rule.definition.factors}
    factors = [factor for factor in factors if factor.version.code in named]
    versions = [behaviour.version for behaviour in behaviours]
    versions += [rule.version for rule in rules] + [factor.version for factor in factors]
    bounds = {bound for version in versions for bound in version.valid if bound is not None}
    starts: list[datetime] = []
    entries = [_combination(_BEGINNING, behaviours, rules, factors)]
    for instant in sorted(bounds):
        entry = _combination(instant, behaviours, rules, factors)
        if entry != entries[-1]:
            starts.append(instant)
            entries.append(entry)
    return Timeline(starts, entries)


def _combination(
    instant: datetime,
    behaviours: Iterable[Held[BehaviourDefinition]],
    rules: Iterable[Held[RuleDefinition]],
    factors: Iterable[Held[FactorDefinition]],
) -> Combination | None:
    behaviour = next((held for held in behaviours if held.version.holds_at(instant)), None)
    if behaviour is None:
        return None
    holding = [held for held in rules if held.version.holds_at(instant)]
    if len(holding) > 1:
        codes = sorted(held.version.code for held in holding)
        raise RulesOverlap(
            "%(first)s and %(second)s, for %(behaviour)s from %(instant)s",
            params={
                "first": codes[0],
                "second": codes[1],
                "behaviour": behaviour.version.code,
                "instant": instant.isoformat(),
            },
        )
    if not holding:
        return Combination(behaviour, None, ())
    rule = holding[0]
    in_use = (held for held in factors if held.version.code in rule.definition.factors)
    valid = sorted(
        (held for held in in_use if held.version.holds_at(instant)), key=lambda held: held.version.version_id
    )
    return Combination(behaviour, rule, tuple(valid))
