"""Trying out: what one event would get, by any versions or by a draft. Nothing is written.

The engine itself judges it, on usage that the caller makes up. What is asked is the rule: whether an account would
be open, consent given or the act claimed by another event is left aside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.approvals.versions import StoredVersion, VersionKind, read_versions
from carbonpoints.behaviours.deciding import expiry_of
from carbonpoints.behaviours.dispositions import Disposition, disposition_of
from carbonpoints.behaviours.explaining import explain
from carbonpoints.behaviours.prospects import CapLeft, caps_left
from carbonpoints.behaviours.tried_campaigns import tried_campaign
from carbonpoints.behaviours.views import ending_view
from carbonpoints.core import clock
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading
from carbonpoints.core.errors import FieldError, InvalidRequest, Message
from carbonpoints.core.programmes import programme_of
from carbonpoints.rules.attributes import AttributeChecks, RefusedAttributesError
from carbonpoints.rules.campaigns import CampaignDefinition, SharedCapDefinition, campaign_scope, shared_scope
from carbonpoints.rules.catalogue import PinnedRule, held_as, judge_at, read_held
from carbonpoints.rules.checking import check_rule
from carbonpoints.rules.definitions import BehaviourDefinition, FactorDefinition, RuleDefinition
from carbonpoints.rules.engine import CompiledRule, Outcome
from carbonpoints.rules.errors import UnknownDefinition
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.language import ExpressionError
from carbonpoints.rules.nodes import DefinitionError
from carbonpoints.rules.parsing import parse_content
from carbonpoints.rules.samples import staged_usage
from carbonpoints.rules.term_checks import check_term
from carbonpoints.rules.timelines import Definition, Held, HeldVersions
from carbonpoints.rules.tracing import CampaignResult, trace_campaigns
from carbonpoints.rules.usage import UsageBook, period_start


@dataclass(frozen=True, kw_only=True)
class UsedBefore:
    """What the account has used in the running period of one window: of the rule's caps, or of those named."""

    window: str
    shared_cap: str | None = None
    campaign: str | None = None
    awards: int = 0
    reduction_mg: int = 0
    amount_millicredits: int = 0


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Content that is not stored, each by where it stands in the request."""

    behaviours: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    factors: Mapping[str, Any] = field(default_factory=dict)
    shared_caps: Mapping[str, Any] = field(default_factory=dict)
    campaigns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_given(self) -> bool:
        """Whether there is any content."""
        return any((self.behaviours, self.rules, self.factors, self.shared_caps, self.campaigns))


class Simulated(NamedTuple):
    """How the event would end; named as in a stored decision."""

    disposition: Disposition
    local_date: date
    reduction_mg: int
    amount_millicredits: int
    trace: dict[str, object] | None


def simulate_event(
    *,
    caller: Caller,
    behaviour: str,
    attributes: Mapping[str, Any],
    occurred_at: datetime | None,
    counters: Mapping[str, int],
    used: Sequence[UsedBefore],
    opened_on: date | None,
    version_ids: Sequence[int],
    draft: Draft,
) -> dict[str, Any]:
    """Return what an event would get, in the shape of `SimulationSchema`.

    It is judged by what is in force at `occurred_at` (default: now), where each of `version_ids` and of `draft`
    stands in the place of what it is a version of, whenever it holds. Raises UnknownDefinition for a version that
    is not the programme's, InvalidRequest for whatever is wrong with the rest.
    """
    instant = occurred_at or clock.now()
    with reading() as session:
        programme_id = programme_of(session, caller)
        day = programme_settings(session, programme_id).calendar.local_date(instant)
        held = read_held(session, programme_id)
        drafted = _drafted(programme_id, draft)
        for chosen in (_stored(session, programme_id, version_ids), drafted):
            _refuse_strays(chosen, held, behaviour)
            held = _with_chosen(held, chosen)
    pinned = judge_at(held, behaviour, instant)
    if pinned is None:
        message = Message("There is no such behaviour at that time.")
        raise InvalidRequest(fields=[FieldError.saying("behaviour", "unknown_behaviour", message)])
    try:
        canonical = AttributeChecks(pinned.behaviour).canonical(attributes)
    except RefusedAttributesError as refused:
        wrong = [replace(each, field=f"attributes.{each.field}") for each in refused.fields]
        raise InvalidRequest(fields=wrong) from None
    found = _findings(pinned, held) if draft.is_given else []
    of_terms = _term_findings(draft, drafted, held)
    compiled = _compiled(pinned, found, of_terms)
    caps: list[CapLeft] = []
    campaigns: list[CampaignResult] = []
    if compiled is None:
        problem = pinned.problem or "no_rule_in_force"
        outcome = Outcome(problem, 0, 0, None, {"reason": problem})
    else:
        values = compiled.values(canonical)
        before = _usage(compiled, values, counters, used, day)
        before.opened_on = opened_on
        caps = caps_left(compiled, before, day)
        outcome = compiled.settle(compiled.assess(values), deepcopy(before), day)
        campaigns = trace_campaigns(compiled, values, before, day, outcome)
    return {
        **_answer(pinned, compiled, canonical, outcome, day=day),
        "caps": caps,
        "campaigns": [tried_campaign(result) for result in campaigns],
        "findings": [*found, *of_terms],
    }


def _answer(
    pinned: PinnedRule,
    compiled: CompiledRule | None,
    data: Mapping[str, str | bool],
    outcome: Outcome,
    *,
    day: date,
) -> dict[str, Any]:
    ended = Simulated(
        disposition_of(outcome), day, outcome.reduction_mg, outcome.amount_millicredits, outcome.trace
    )
    explanation = explain(
        ended,
        pinned=pinned,
        compiled=compiled,
        values=compiled.values(data) if compiled is not None else None,
        inputs=data,
        expires_on=expiry_of(compiled.rule, day) if compiled and outcome.amount_millicredits else None,
    )
    return ending_view(ended, explanation)


def _stored(session: Session, programme_id: int, version_ids: Sequence[int]) -> HeldVersions:
    found = read_versions(session, version_ids)
    versions = [version for version in found.values() if version.programme_id == programme_id]
    chosen = HeldVersions(
        _of_kind(BehaviourDefinition, VersionKind.BEHAVIOUR, versions),
        _of_kind(RuleDefinition, VersionKind.RULE, versions),
        _of_kind(FactorDefinition, VersionKind.FACTOR, versions),
        _of_kind(SharedCapDefinition, VersionKind.SHARED_CAP, versions),
        _of_kind(CampaignDefinition, VersionKind.CAMPAIGN, versions),
    )
    if len(chosen.versions) < len(set(version_ids)):
        raise UnknownDefinition
    return chosen


def _of_kind(
    kind: type[Definition], of: VersionKind, versions: Iterable[StoredVersion]
) -> list[Held[Definition]]:
    always = (replace(version, valid_from=None, valid_to=None) for version in versions if version.kind is of)
    return [held_as(kind, version) for version in always]


def _drafted(programme_id: int, draft: Draft) -> HeldVersions:
    wrong: list[FieldError] = []

    def read(kind: type[Definition], of: VersionKind, contents: Mapping[str, Any]) -> list[Held[Definition]]:
        found = []
        for place, content in contents.items():
            try:
                definition = parse_content(kind, content, place)
            except DefinitionError as error:
                wrong.extend(
                    FieldError.saying(f"{place}.{problem.field}", problem.code, problem.message)
                    for problem in error.problems
                )
            else:
                found.append(Held(_unstored(programme_id, of, definition.code), definition))
        return found

    drafted = HeldVersions(
        read(BehaviourDefinition, VersionKind.BEHAVIOUR, draft.behaviours),
        read(RuleDefinition, VersionKind.RULE, draft.rules),
        read(FactorDefinition, VersionKind.FACTOR, draft.factors),
        read(SharedCapDefinition, VersionKind.SHARED_CAP, draft.shared_caps),
        read(CampaignDefinition, VersionKind.CAMPAIGN, draft.campaigns),
    )
    if wrong:
        raise InvalidRequest(fields=wrong)
    return drafted


def _unstored(programme_id: int, kind: VersionKind, code: str) -> StoredVersion:
    """Return a draft as if it were a version; its number is 0, which no version has."""
    return StoredVersion(
        version_id=0,
        programme_id=programme_id,
        kind=kind,
        code=code,
        version_no=0,
        content={},
        content_hash=b"",
        valid_from=None,
        valid_to=None,
        known_from=clock.now(),
        known_to=None,
        change_request_id=0,
    )


def _refuse_strays(chosen: HeldVersions, held: HeldVersions, behaviour: str) -> None:
    """Raise InvalidRequest where something that was chosen would be left aside in silence."""
    concerned = {term.version.key for term in _terms(held) if behaviour in term.definition.behaviours}
    wrong = [
        FieldError(
            "behaviour",
            "other_behaviour",
            "The rule %(code)s is for another behaviour.",
            {"code": rule.version.code},
        )
        for rule in chosen.rules
        if rule.definition.behaviour != behaviour
    ]
    wrong += [
        FieldError(
            "behaviour", "other_behaviour", "%(code)s is for other behaviours.", {"code": term.version.code}
        )
        for term in _terms(chosen)
        # One that names the behaviour no more stands in the place of what does.
        if behaviour not in term.definition.behaviours and term.version.key not in concerned
    ]
    codes = Counter(version.key for version in chosen.versions)
    wrong += [
        FieldError("version_ids", "given_twice", "One version of %(code)s can be tried out.", {"code": code})
        for (_, code), times in codes.items()
        if times > 1
    ]
    if wrong:
        raise InvalidRequest(fields=wrong)


def _terms(held: HeldVersions) -> list[Held[SharedCapDefinition] | Held[CampaignDefinition]]:
    return [*held.shared_caps, *held.campaigns]


def _with_chosen(held: HeldVersions, chosen: HeldVersions) -> HeldVersions:
    """Return the versions with each chosen one in the place of all of its code; a rule in that of its behaviour's."""
    ruled = {rule.definition.behaviour for rule in chosen.rules}
    return HeldVersions(
        [*_others(held.behaviours, chosen.behaviours), *chosen.behaviours],
        [*(rule for rule in held.rules if rule.definition.behaviour not in ruled), *chosen.rules],
        [*_others(held.factors, chosen.factors), *chosen.factors],
        [*_others(held.shared_caps, chosen.shared_caps), *chosen.shared_caps],
        [*_others(held.campaigns, chosen.campaigns), *chosen.campaigns],
        held.budgets,
    )


def _others(held: Iterable[Held[Definition]], chosen: Iterable[Held[Definition]]) -> list[Held[Definition]]:
    codes = {version.version.code for version in chosen}
    return [version for version in held if version.version.code not in codes]


def _findings(pinned: PinnedRule, held: HeldVersions) -> list[Finding]:
    """Return what the check says of the rule as it is tried out."""
    if pinned.rule is None:
        return []
    return check_rule(pinned.rule, pinned.behaviour, [factor.definition for factor in held.factors])


def _term_findings(draft: Draft, drafted: HeldVersions, held: HeldVersions) -> list[Finding]:
    """Return what the check says of drafted shared caps and campaigns, each by its place in the draft."""
    behaviours = {each.version.code: each.definition for each in held.behaviours}
    places = [*draft.shared_caps, *draft.campaigns]
    return [
        replace(finding, field=f"{place.removeprefix('draft.')}.{finding.field}")
        for place, term in zip(places, _terms(drafted), strict=True)
        for finding in check_term(term.definition, behaviours)
    ]


def _compiled(
    pinned: PinnedRule, found: Sequence[Finding], of_terms: Sequence[Finding]
) -> CompiledRule | None:
    """Return the rule, ready to run; InvalidRequest says what is wrong with one that cannot run."""
    try:
        return pinned.compiled
    except ExpressionError:
        wrong = [
            FieldError.saying(f"{place}.{each.field}", each.code, each.sentence)
            for place, findings in (("draft.rule", found), ("draft", of_terms))
            for each in findings
            if each.stops
        ]
        raise InvalidRequest(fields=wrong) from None


def _usage(
    compiled: CompiledRule,
    values: Mapping[str, object],
    counters: Mapping[str, int],
    used: Sequence[UsedBefore],
    day: date,
) -> UsageBook:
    wrong = [
        FieldError(f"counters.{code}", "unknown_counter", "The rule has no such counter.")
        for code in counters
        if code not in compiled.rule.counters
    ]
    scopes = [_scope_of(before, compiled.rule.code) for before in used]
    wrong += [
        FieldError(f"used.{no}", "unknown_cap", "Nothing of that name limits the act in that window.")
        for no, (before, scope) in enumerate(zip(used, scopes, strict=True))
        if scope != compiled.rule.code and (scope, before.window) not in compiled.places
    ]
    if wrong:
        raise InvalidRequest(fields=wrong)
    usage = staged_usage(compiled, values, counters, day)
    for before, scope in zip(used, scopes, strict=True):
        row = usage.change((scope, before.window, period_start(before.window, day)))
        row.awards += before.awards
        row.reduction_mg += before.reduction_mg
        row.amount_millicredits += before.amount_millicredits
    return usage


def _scope_of(before: UsedBefore, rule_code: str) -> str:
    if before.campaign is not None:
        return campaign_scope(before.campaign)
    return shared_scope(before.shared_cap) if before.shared_cap is not None else rule_code
