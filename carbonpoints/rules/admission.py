"""Whether what is submitted may stand beside what is in force: checked whole, before anything is stored. Pure.

A submission is judged as if it were confirmed: its versions hold where they say, what is in force holds
everywhere else. Rules of today that rest on a submitted factor or behaviour type are judged again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, tzinfo
from itertools import combinations
from typing import Any, Generic, TypeVar

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.versions import (
    TimeRange,
    VersionKind,
    range_without,
    ranges_overlap,
)
from carbonpoints.core.errors import Message
from carbonpoints.rules.campaigns import CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.checking import check_rule
from carbonpoints.rules.definitions import (
    BehaviourDefinition,
    BudgetDefinition,
    FactorDefinition,
    RuleDefinition,
)
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.nodes import DefinitionError
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.submissions import Located, Submission
from carbonpoints.rules.term_checks import check_term
from carbonpoints.rules.timelines import Held

HasDates = FactorDefinition | RuleDefinition | SharedCapDefinition | CampaignDefinition | BudgetDefinition
Found = Iterator[tuple[Located[Any], Finding]]
Dated = TypeVar("Dated", FactorDefinition, RuleDefinition, BudgetDefinition)
Term = TypeVar("Term", SharedCapDefinition, CampaignDefinition)
During = Callable[[Dated, datetime | None, datetime | None], Dated]
"""Returns a definition with its dates set to those."""


@dataclass(frozen=True, kw_only=True)
class InForce:
    """What a programme holds to be in force, and the zone in which its dates begin."""

    programme_code: str
    zone: tzinfo
    consent_sources: frozenset[str]
    behaviours: Sequence[Held[BehaviourDefinition]]
    rules: Sequence[Held[RuleDefinition]]
    factors: Sequence[Held[FactorDefinition]]
    budgets: Sequence[Held[BudgetDefinition]]
    says_what_a_credit_costs: bool


@dataclass(frozen=True)
class _Standing(Generic[Dated]):
    """A definition that would hold during `valid`, with its dates set to that."""

    located: Located[Dated]
    valid: TimeRange
    is_submitted: bool

    @property
    def definition(self) -> Dated:
        return self.located.definition


def proposed_versions(submission: Submission, zone: tzinfo) -> list[ProposedVersion]:
    """Return a submission as versions to propose. A date begins at midnight in `zone`."""
    proposed = [
        ProposedVersion(
            kind=VersionKind.PROGRAMME, code=item.definition.code, content=as_content(item.definition)
        )
        for item in submission.programmes
    ]
    proposed += [
        ProposedVersion(
            kind=VersionKind.BEHAVIOUR, code=item.definition.code, content=as_content(item.definition)
        )
        for item in submission.behaviours
    ]
    proposed += [_dated(VersionKind.FACTOR, item.definition, zone) for item in submission.factors]
    proposed += [_dated(VersionKind.RULE, item.definition, zone) for item in submission.rules]
    proposed += [_dated(VersionKind.SHARED_CAP, item.definition, zone) for item in submission.shared_caps]
    proposed += [_dated(VersionKind.CAMPAIGN, item.definition, zone) for item in submission.campaigns]
    proposed += [_dated(VersionKind.BUDGET, item.definition, zone) for item in submission.budgets]
    return proposed


def _dated(kind: VersionKind, definition: HasDates, zone: tzinfo) -> ProposedVersion:
    start, end = validity(definition, zone)
    return ProposedVersion(
        kind=kind, code=definition.code, content=as_content(definition), valid_from=start, valid_to=end
    )


def check_submission(submission: Submission, in_force: InForce) -> None:
    """Raise DefinitionError, naming file and line of each problem, unless the submission may be confirmed."""
    problems = [
        located.problem(finding.field, finding.sentence)
        for located, finding in review_submission(submission, in_force)
        if finding.stops
    ]
    if problems:
        raise DefinitionError(tuple(problems))


def review_submission(submission: Submission, in_force: InForce) -> list[tuple[Located[Any], Finding]]:
    """Return everything there is to say of a submission, each with the definition that it is said of.

    That may be a rule in force that rests on what is submitted.
    """
    return list(_Admission(submission, in_force).findings())


class _Admission:
    """The programme as it would be."""

    def __init__(self, submission: Submission, in_force: InForce) -> None:
        self.submission = submission
        self.in_force = in_force
        zone = in_force.zone
        factors_ended, rules_ended, budgets_ended = (
            _ended(submission, kind) for kind in (VersionKind.FACTOR, VersionKind.RULE, VersionKind.BUDGET)
        )
        self.factors = _standing(submission.factors, in_force.factors, factor_during, zone, factors_ended)
        self.rules = _standing(submission.rules, in_force.rules, _rule_during, zone, rules_ended)
        self.behaviours_ended = _ended(submission, VersionKind.BEHAVIOUR)
        self.budgets = _standing(submission.budgets, in_force.budgets, _budget_during, zone, budgets_ended)
        self.behaviours = {held.version.code: held.definition for held in in_force.behaviours}
        self.behaviours |= {item.definition.code: item.definition for item in submission.behaviours}

    def findings(self) -> Found:
        yield from self._programmes()
        yield from self._behaviours()
        yield from self._terms(self.submission.shared_caps)
        yield from self._terms(self.submission.campaigns)
        yield from self._budgets()
        yield from _overlaps(self.factors, lambda factor: factor.code)
        yield from _overlaps(self.rules, lambda rule: rule.behaviour)
        factors = [standing.definition for standing in self.factors]
        touched = {item.definition.code for item in self.submission.factors}
        touched |= {item.definition.code for item in self.submission.behaviours}
        touched |= {item.code for item in self.submission.ended}
        for standing in self.rules:
            rule = standing.definition
            if standing.is_submitted or not touched.isdisjoint((rule.behaviour, *rule.factors)):
                yield from self._rule(standing, factors)

    def _programmes(self) -> Found:
        for located in self.submission.programmes:
            if located.definition.code != self.in_force.programme_code:
                message = Message("must be %(code)s, this programme", code=self.in_force.programme_code)
                yield located, Finding("code", 0, "other_programme", message)

    def _behaviours(self) -> Found:
        sources = set(self.in_force.consent_sources)
        for programme in self.submission.programmes:
            sources = set(programme.definition.consent_sources)
        seen: set[str] = set()
        for located in self.submission.behaviours:
            behaviour = located.definition
            if behaviour.code in seen:
                message = Message("%(code)s is given twice", code=behaviour.code)
                yield located, Finding("code", 0, "given_twice", message)
            seen.add(behaviour.code)
            if behaviour.consent_source not in sources:
                message = Message(
                    "%(code)s is no consent source of this programme", code=behaviour.consent_source
                )
                yield located, Finding("consent_source", 0, "unknown_consent_source", message)

    def _budgets(self) -> Found:
        yield from _overlaps(self.budgets, lambda budget: budget.code)
        periods = {held.version.code: held.definition.period for held in self.in_force.budgets}
        is_priced = self.in_force.says_what_a_credit_costs or bool(self.submission.programmes)
        for located in self.submission.budgets:
            budget = located.definition
            period = periods.setdefault(budget.code, budget.period)
            if budget.period != period:
                message = Message("must stay %(period)s: give another period another code", period=period)
                yield located, Finding("period", 0, "period_fixed", message)
            if budget.fen is not None and not is_priced:
                message = Message("needs millifen_per_credit in the programme's settings")
                yield located, Finding("fen", 0, "no_price", message)

    def _terms(self, terms: Iterable[Located[Term]]) -> Found:
        for located in terms:
            for finding in check_term(located.definition, self.behaviours):
                yield located, finding

    def _rule(self, standing: _Standing[RuleDefinition], factors: Sequence[FactorDefinition]) -> Found:
        located, rule = standing.located, standing.definition
        behaviour = self.behaviours.get(rule.behaviour)
        is_ended = any(
            item.code == rule.behaviour and ranges_overlap(item.valid, standing.valid)
            for item in self.behaviours_ended
        )
        if behaviour is None or is_ended:
            message = Message("%(code)s is no behaviour type of this programme", code=rule.behaviour)
            yield located, Finding("behaviour", 0, "unknown_behaviour", message)
            return
        for finding in check_rule(rule, behaviour, factors):
            yield located, finding


def validity(definition: HasDates, zone: tzinfo) -> TimeRange:
    """Return when a definition says that it holds. A date begins at midnight in `zone`."""
    return _instant(definition.valid_from, zone), _instant(definition.valid_to, zone)


def _instant(day: date | None, zone: tzinfo) -> datetime | None:
    return day if day is None or isinstance(day, datetime) else datetime.combine(day, time(), zone)


def _ended(submission: Submission, kind: VersionKind) -> list[ProposedVersion]:
    return [item for item in submission.ended if item.kind is kind]


def _standing(
    submitted: Sequence[Located[Dated]],
    current: Iterable[Held[Dated]],
    during: During[Dated],
    zone: tzinfo,
    ended: Sequence[ProposedVersion],
) -> list[_Standing[Dated]]:
    """Return what would hold: what is submitted, and what is in force outside of it and of what is ended."""
    standing = [_Standing(item, validity(item.definition, zone), is_submitted=True) for item in submitted]
    for held in current:
        parts = [held.version.valid]
        replacing = [
            item.valid for item in standing[: len(submitted)] if item.definition.code == held.version.code
        ]
        replacing += [item.valid for item in ended if item.code == held.version.code]
        for valid in replacing:
            parts = [rest for part in parts for rest in range_without(part, valid)]
        for part in parts:
            # With its dates set to when it holds, as the programme writes them.
            start, end = (bound.astimezone(zone) if bound else None for bound in part)
            located = Located(during(held.definition, start, end), f"{held.version.code} in force")
            standing.append(_Standing(located, part, is_submitted=False))
    return standing


def factor_during(factor: FactorDefinition, start: datetime | None, end: datetime | None) -> FactorDefinition:
    """Return a factor with its dates set to when it holds, given in the programme's zone."""
    valid_from = start.date() if start else factor.valid_from
    return replace(factor, valid_from=valid_from, valid_to=end.date() if end else None)


def _rule_during(rule: RuleDefinition, start: datetime | None, end: datetime | None) -> RuleDefinition:
    return replace(rule, valid_from=start or rule.valid_from, valid_to=end)


def _budget_during(
    budget: BudgetDefinition, start: datetime | None, end: datetime | None
) -> BudgetDefinition:
    valid_from = start.date() if start else budget.valid_from
    return replace(budget, valid_from=valid_from, valid_to=end.date() if end else None)


def _overlaps(standing: Sequence[_Standing[Dated]], scope: Callable[[Dated], str]) -> Found:
    """Yield a finding for each pair that would hold for one thing at one instant; at the submitted one."""
    for one, other in combinations(standing, 2):
        if scope(one.definition) == scope(other.definition) and ranges_overlap(one.valid, other.valid):
            message = Message(
                "%(code)s (%(file)s) holds for %(scope)s as well",
                code=other.definition.code,
                file=other.located.file,
                scope=scope(one.definition),
            )
            yield one.located, Finding("valid_from", 0, "overlap", message)
