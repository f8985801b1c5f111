"""What a change of the catalogue or of the programme's settings must hold: how items are read, what checks them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, time, tzinfo
from functools import partial
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.kinds import Checked, CheckFinding, Findings, KnownKinds
from carbonpoints.approvals.requirements import EvidenceKind, Result
from carbonpoints.approvals.versions import VersionKind, current_versions
from carbonpoints.core.errors import FieldError, InvalidRequest, Message
from carbonpoints.core.models import Programme
from carbonpoints.rules.admission import HasDates, InForce, review_submission, validity
from carbonpoints.rules.budget_forecast import Outlook
from carbonpoints.rules.budget_views import forecast_budget, forecast_view
from carbonpoints.rules.campaigns import CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.catalogue import load_catalogue, read_held
from carbonpoints.rules.definitions import (
    BehaviourDefinition,
    BudgetDefinition,
    FactorDefinition,
    ProgrammeDefinition,
    RuleDefinition,
)
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.nodes import DefinitionError, content_tree
from carbonpoints.rules.parsing import Definition, parse_content
from carbonpoints.rules.reading import Reader, as_content
from carbonpoints.rules.submissions import Located, Submission, read_proposed


class _Coded(Protocol):
    @property
    def code(self) -> str: ...


T = TypeVar("T", bound=_Coded)
_SAMPLES = re.compile(r"(ineligible_)?samples(\.|\Z)")


def read_in_force(session: Session, programme: Programme) -> InForce:
    """Return what a programme holds to be in force, for judging what is submitted."""
    held = read_held(session, programme.programme_id)
    settings = current_versions(session, programme.programme_id, VersionKind.PROGRAMME)
    return InForce(
        programme_code=programme.code,
        zone=ZoneInfo(programme.time_zone),
        consent_sources=frozenset(
            code for version in settings for code in version.content["consent_sources"]
        ),
        behaviours=held.behaviours,
        rules=held.rules,
        factors=held.factors,
        budgets=held.budgets,
        says_what_a_credit_costs=all(version.content.get("millifen_per_credit") for version in settings),
    )


def wrong_content(error: DefinitionError) -> InvalidRequest:
    """Return what is wrong with the content of an item, field by field."""
    return InvalidRequest(
        fields=[
            FieldError.saying(f"content.{problem.field}".rstrip("."), problem.code, problem.message)
            for problem in error.problems
        ]
    )


def refuse_other_code(item: ProposedVersion, code: str) -> None:
    """Raise InvalidRequest when the content is of another code than the item says."""
    if code != item.code:
        raise InvalidRequest(
            fields=[FieldError("content.code", "other_code", "This must be %(code)s.", {"code": item.code})]
        )


def read_definition(
    kind: type[T], item: ProposedVersion, validate: Callable[[T], Iterable[tuple[str, Message]]]
) -> ProposedVersion:
    """Return an item of a kind that another package knows as it is stored.

    Raises InvalidRequest that names each wrong field.
    """
    reader = Reader(item.code, content_tree(item.content))
    try:
        definition = reader.read(kind)
        for path, message in validate(definition):
            reader.note(path, message)
        reader.finish()
    except DefinitionError as error:
        raise wrong_content(error) from None
    refuse_other_code(item, definition.code)
    return replace(item, content=as_content(definition))


def _read(kind: type[Definition], item: ProposedVersion, zone: tzinfo) -> ProposedVersion:
    dates = _dates(item, zone)
    if item.content is None:
        return item
    try:
        definition = parse_content(kind, {**item.content, **dates}, item.code)
    except DefinitionError as error:
        raise wrong_content(error) from None
    refuse_other_code(item, definition.code)
    if isinstance(definition, HasDates):
        start, end = validity(definition, zone)
        item = replace(item, valid_from=start, valid_to=end)
    return replace(item, content=as_content(definition))


def _read_settings(item: ProposedVersion, zone: tzinfo) -> ProposedVersion:
    if item.content is None:
        raise InvalidRequest(
            fields=[FieldError("content", "null", "A programme never runs without settings.")]
        )
    return _read(ProgrammeDefinition, item, zone)


def _check(session: Session, programme_id: int, proposed: Sequence[ProposedVersion]) -> Findings:
    """Judge the programme as it would be: its samples only where there is something to compute them with."""
    in_force = read_in_force(session, session.get_one(Programme, programme_id))
    submission, refused = read_proposed(proposed)
    if refused:
        # It was read before, by an older form of its kind.
        wrong = [
            FieldError.saying(f"items.{place}.content.{problem.field}", problem.code, problem.message)
            for place, problem in refused
        ]
        return {EvidenceKind.STATIC_CHECKS: Checked([CheckFinding(error) for error in wrong])}
    found = [
        (_SAMPLES.match(finding.field) is not None, _finding(located, finding))
        for located, finding in review_submission(submission, in_force)
    ]
    checks = Checked([finding for is_sample, finding in found if not is_sample])
    if any(finding.stops for finding in checks.findings):
        return {EvidenceKind.STATIC_CHECKS: checks}
    samples = Checked([finding for is_sample, finding in found if is_sample])
    return {
        EvidenceKind.STATIC_CHECKS: checks,
        EvidenceKind.SAMPLE_CASES: samples,
        **_burn_forecasts(session, programme_id, submission),
    }


def _burn_forecasts(session: Session, programme_id: int, submission: Submission) -> Findings:
    """Return when each proposed budget would be used up; a warning where that is before its period ends."""
    if not submission.budgets:
        return {}
    programme = programme_settings(session, programme_id)
    forecasts = {
        f"items.{located.place}": forecast_budget(session, programme, located.definition)
        for located in submission.budgets
    }
    outlooks = {forecast.outlook for forecast in forecasts.values()}
    result = Result.PASSED
    if not outlooks.isdisjoint({Outlook.USED_UP, Outlook.RUNS_OUT}):
        result = Result.WARNING
    elif outlooks == {Outlook.NO_HISTORY_YET}:
        result = Result.NO_HISTORY_YET
    details = {place: forecast_view(forecast) for place, forecast in forecasts.items()}
    for view in details.values():
        view["last_day"] = view["last_day"] and view["last_day"].isoformat()
    return {EvidenceKind.BURN_FORECAST: Checked(details=details, result=result)}


def _finding(located: Located[Any], finding: Finding) -> CheckFinding:
    """Return a finding by its place in the change, or by what it is about where that is in force already."""
    where = f"items.{located.place}.content" if located.place is not None else located.file.replace(" ", "_")
    error = FieldError.saying(f"{where}.{finding.field}", finding.code, finding.sentence)
    return CheckFinding(error, finding.column, stops=finding.stops)


CATALOGUE_KINDS = KnownKinds(
    readers={
        VersionKind.FACTOR: partial(_read, FactorDefinition),
        VersionKind.BEHAVIOUR: partial(_read, BehaviourDefinition),
        VersionKind.RULE: partial(_read, RuleDefinition),
        VersionKind.SHARED_CAP: partial(_read, SharedCapDefinition),
        VersionKind.CAMPAIGN: partial(_read, CampaignDefinition),
        VersionKind.BUDGET: partial(_read, BudgetDefinition),
        VersionKind.PROGRAMME: _read_settings,
    },
    check=_check,
    settle=load_catalogue,
)


def _dates(item: ProposedVersion, zone: tzinfo) -> dict[str, str]:
    """Return the item's dates as its content writes them; kinds without dates in their content have none."""
    bounds = {"valid_from": item.valid_from, "valid_to": item.valid_to}
    given = {name: bound.astimezone(zone) for name, bound in bounds.items() if bound is not None}
    if item.kind in {VersionKind.RULE, VersionKind.SHARED_CAP, VersionKind.CAMPAIGN}:
        return {name: bound.isoformat() for name, bound in given.items()}
    if item.kind in {VersionKind.FACTOR, VersionKind.BUDGET}:
        return {name: _day(name, bound) for name, bound in given.items()}
    return {}


def _day(name: str, bound: datetime) -> str:
    if bound.time() != time():
        raise InvalidRequest(
            fields=[FieldError(name, "no_day", "Its days begin at midnight of the programme.")]
        )
    return bound.date().isoformat()
