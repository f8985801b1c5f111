"""The catalogue: everything a programme holds to be in force, ready to judge acts (M10).

It is built from the current versions and kept per process until they change. An act is judged by the rule that
held when it happened, with the factors that held then; a decision stores the number of that combination (its
pin), so that it can be explained and replayed whatever is in force later.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from carbonpoints.approvals.models import RulePin
from carbonpoints.approvals.versions import (
    StoredVersion,
    VersionKind,
    VersionMark,
    current_versions,
    mark_of,
    read_versions,
    version_mark,
)
from carbonpoints.rules.agreements import AgreementDefinition
from carbonpoints.rules.campaigns import CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.definitions import (
    BehaviourDefinition,
    BudgetDefinition,
    FactorDefinition,
    RuleDefinition,
)
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.parsing import from_content
from carbonpoints.rules.timelines import (
    Combination,
    Definition,
    Held,
    HeldVersions,
    Timeline,
    combination_at,
    combine,
    for_behaviour,
)

KINDS = (
    VersionKind.BEHAVIOUR,
    VersionKind.RULE,
    VersionKind.FACTOR,
    VersionKind.SHARED_CAP,
    VersionKind.CAMPAIGN,
    VersionKind.BUDGET,
    VersionKind.AGREEMENT,
)


@dataclass(frozen=True)
class PinnedFactor:
    """A factor as a decision used it."""

    version_id: int
    version_no: int
    definition: FactorDefinition

    @property
    def value(self) -> Decimal:
        """The exact figure, in the unit of the definition."""
        return self.definition.value


@dataclass(frozen=True, kw_only=True)
class PinnedRule:
    """What judges an act: the behaviour type, the rule if one was in force, and what belongs to that rule.

    The rule's factors by code, and the shared caps and campaigns of that instant.
    """

    pin_id: int
    """0 where nothing was pinned: it was put together to be tried out."""
    pin_hash: bytes
    """Over the numbers of everything it is made of: two that have the same judge the same way."""
    behaviour: BehaviourDefinition
    behaviour_version_id: int
    rule: RuleDefinition | None
    rule_version_id: int | None
    rule_version_no: int | None
    factors: Mapping[str, PinnedFactor]
    shared_caps: tuple[SharedCapDefinition, ...]
    campaigns: tuple[CampaignDefinition, ...]
    problem: str | None
    """Why nothing can be computed: `no_rule_in_force`, `factor_not_valid`; None when all is there."""

    @cached_property
    def compiled(self) -> CompiledRule | None:
        """The rule with its factors, ready to run; None where there is a problem."""
        if self.rule is None or self.problem is not None:
            return None
        values = {code: factor.value for code, factor in self.factors.items()}
        return CompiledRule(
            behaviour=self.behaviour,
            rule=self.rule,
            factors=values,
            shared_caps=self.shared_caps,
            campaigns=self.campaigns,
        )


@dataclass(frozen=True)
class Catalogue:
    """Everything in force for one programme. Immutable; safe to share between threads."""

    programme_id: int
    mark: VersionMark
    """Which versions it was built from."""
    behaviours: Mapping[str, BehaviourDefinition]
    """The known behaviour types by code, as they hold latest."""
    budgets: Sequence[Held[BudgetDefinition]]
    agreements: Sequence[Held[AgreementDefinition]]
    _timelines: Mapping[str, Timeline[PinnedRule | None]]

    def rule_at(self, behaviour_code: str, occurred_at: datetime) -> PinnedRule | None:
        """Return what judges an act of this behaviour at that instant; None when there is no such behaviour.

        A behaviour without a rule in force gives a PinnedRule without a rule.
        """
        timeline = self._timelines.get(behaviour_code)
        return None if timeline is None else timeline.at(occurred_at)

    def timeline(self, behaviour_code: str) -> Timeline[PinnedRule | None]:
        """Return what judges acts of a behaviour at each instant; None throughout when there is no such behaviour."""
        return self._timelines.get(behaviour_code) or Timeline((), (None,))


# By database, so that what was read from one is never believed of another.
_loaded: weakref.WeakKeyDictionary[Any, dict[int, Catalogue]] = weakref.WeakKeyDictionary()


def load_catalogue(session: Session, programme_id: int) -> Catalogue:
    """Return the programme's catalogue as this transaction sees it; one small query while nothing changes.

    Combinations that have no pin yet get one in this transaction. Raises RulesOverlap.
    """
    return catalogue_marked(session, programme_id, version_mark(session, programme_id, KINDS))


def catalogue_marked(session: Session, programme_id: int, mark: VersionMark) -> Catalogue:
    """Return the catalogue as `load_catalogue` does, given the mark of its versions in this transaction."""
    catalogues = _loaded.setdefault(session.get_bind(), {})
    catalogue = catalogues.get(programme_id)
    if catalogue is not None and catalogue.mark == mark:
        return catalogue
    held = read_held(session, programme_id)
    timelines = combine(held)
    combinations = {
        entry.pin_hash: entry for timeline in timelines.values() for entry in timeline.entries if entry
    }
    pins = stored_pins(session, combinations)
    missing = [combination for pin_hash, combination in combinations.items() if pin_hash not in pins]
    if missing:
        _write_pins(session, missing)
        pins = stored_pins(session, combinations)
    catalogue = _catalogue(programme_id, held, timelines, pins)
    if not missing:
        # Pins that this transaction wrote may still be rolled back: the next one keeps the catalogue.
        catalogues[programme_id] = catalogue
    return catalogue


def catalogue_of(programme_id: int, held: HeldVersions) -> Catalogue:
    """Return the catalogue that versions make, stored or not; its pins are numbered from 0 and stored nowhere.

    Raises RulesOverlap.
    """
    timelines = combine(held)
    hashes = {entry.pin_hash for timeline in timelines.values() for entry in timeline.entries if entry}
    pins = {pin_hash: number for number, pin_hash in enumerate(sorted(hashes))}
    return _catalogue(programme_id, held, timelines, pins)


def read_held(session: Session, programme_id: int, *, known_at: datetime | None = None) -> HeldVersions:
    """Return what a programme holds of everything that judges acts: now, or what it held at `known_at`."""

    def held(kind: type[Definition], of: VersionKind) -> list[Held[Definition]]:
        return _held(kind, current_versions(session, programme_id, of, known_at=known_at))

    return HeldVersions(
        held(BehaviourDefinition, VersionKind.BEHAVIOUR),
        held(RuleDefinition, VersionKind.RULE),
        held(FactorDefinition, VersionKind.FACTOR),
        held(SharedCapDefinition, VersionKind.SHARED_CAP),
        held(CampaignDefinition, VersionKind.CAMPAIGN),
        held(BudgetDefinition, VersionKind.BUDGET),
        held(AgreementDefinition, VersionKind.AGREEMENT),
    )


def held_as(kind: type[Definition], version: StoredVersion) -> Held[Definition]:
    """Return a version with what it defines."""
    return Held(version, from_content(kind, version.content))


def judge_at(held: HeldVersions, behaviour_code: str, instant: datetime) -> PinnedRule | None:
    """Return what would judge an act of that instant by these versions; it is not pinned.

    None when there is no such behaviour. Raises RulesOverlap.
    """
    combination = combination_at(instant, for_behaviour(held, behaviour_code))
    return None if combination is None else _pinned(0, combination)


def read_pin(session: Session, pin_id: int) -> PinnedRule:
    """Return what a decision was judged by, from the versions it used, whatever is in force today."""
    return read_pins(session, [pin_id])[pin_id]


def read_pins(session: Session, pin_ids: Collection[int]) -> dict[int, PinnedRule]:
    """Return what decisions were judged by, by pin; numbers that do not exist are absent."""
    rows = session.scalars(select(RulePin).where(RulePin.pin_id.in_(pin_ids))).all()
    numbers = {number for row in rows for number in _version_ids(row)}
    versions = read_versions(session, numbers)
    known: dict[int, Held[Any]] = {}
    """Many pins share their versions: each is read once."""

    def held(kind: type[Definition], of: VersionKind, row: RulePin) -> tuple[Held[Definition], ...]:
        wanted = [number for number in sorted(_version_ids(row)) if versions[number].kind is of]
        for number in wanted:
            if number not in known:
                known[number] = held_as(kind, versions[number])
        return tuple(known[number] for number in wanted)

    return {
        row.pin_id: _pinned(
            row.pin_id,
            Combination(
                held(BehaviourDefinition, VersionKind.BEHAVIOUR, row)[0],
                next(iter(held(RuleDefinition, VersionKind.RULE, row)), None),
                held(FactorDefinition, VersionKind.FACTOR, row),
                held(SharedCapDefinition, VersionKind.SHARED_CAP, row),
                held(CampaignDefinition, VersionKind.CAMPAIGN, row),
            ),
        )
        for row in rows
    }


def _version_ids(row: RulePin) -> list[int]:
    rule = [row.rule_version_id] if row.rule_version_id is not None else []
    return [row.behaviour_version_id, *rule, *row.factor_version_ids, *row.term_version_ids]


def _catalogue(
    programme_id: int,
    held: HeldVersions,
    timelines: Mapping[str, Timeline[Combination | None]],
    pins: Mapping[bytes, int],
) -> Catalogue:
    combinations = {
        entry.pin_hash: entry for timeline in timelines.values() for entry in timeline.entries if entry
    }
    pinned = {pin_hash: _pinned(pins[pin_hash], entry) for pin_hash, entry in combinations.items()}
    return Catalogue(
        programme_id,
        mark_of(held.versions),
        {code: _latest(timeline) for code, timeline in timelines.items()},
        held.budgets,
        held.agreements,
        {
            code: Timeline(
                timeline.starts, [pinned[entry.pin_hash] if entry else None for entry in timeline.entries]
            )
            for code, timeline in timelines.items()
        },
    )


def _held(kind: type[Definition], versions: Iterable[StoredVersion]) -> list[Held[Definition]]:
    return [held_as(kind, version) for version in versions]


def _latest(timeline: Timeline[Combination | None]) -> BehaviourDefinition:
    return next(entry.behaviour.definition for entry in reversed(timeline.entries) if entry)


def _pinned(pin_id: int, combination: Combination) -> PinnedRule:
    rule = combination.rule
    factors = {
        held.version.code: PinnedFactor(held.version.version_id, held.version.version_no, held.definition)
        for held in combination.factors
    }
    problem = None
    if rule is None:
        problem = "no_rule_in_force"
    elif not factors.keys() >= set(rule.definition.factors):
        problem = "factor_not_valid"
    return PinnedRule(
        pin_id=pin_id,
        pin_hash=combination.pin_hash,
        behaviour=combination.behaviour.definition,
        behaviour_version_id=combination.behaviour.version.version_id,
        rule=rule.definition if rule else None,
        rule_version_id=rule.version.version_id if rule else None,
        rule_version_no=rule.version.version_no if rule else None,
        factors=factors,
        shared_caps=tuple(held.definition for held in combination.shared_caps),
        campaigns=tuple(held.definition for held in combination.campaigns),
        problem=problem,
    )


def stored_pins(session: Session, pin_hashes: Collection[bytes]) -> dict[bytes, int]:
    """Return the numbers of pins by their hashes; one that nothing was ever held by is absent."""
    rows = session.execute(select(RulePin.pin_hash, RulePin.pin_id).where(RulePin.pin_hash.in_(pin_hashes)))
    return {row.pin_hash: row.pin_id for row in rows}


def _write_pins(session: Session, combinations: Iterable[Combination]) -> None:
    rows = [
        {
            "pin_hash": combination.pin_hash,
            "behaviour_version_id": combination.behaviour.version.version_id,
            "rule_version_id": combination.rule.version.version_id if combination.rule else None,
            "factor_version_ids": [held.version.version_id for held in combination.factors],
            "term_version_ids": combination.term_version_ids,
        }
        for combination in combinations
    ]
    session.execute(insert(RulePin).on_conflict_do_nothing(), rows)
