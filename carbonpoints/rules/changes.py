"""What a change of the catalogue or of the programme's settings must hold: how items are read, what checks them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time, tzinfo
from functools import partial
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.kinds import Findings, KnownKinds
from carbonpoints.approvals.requirements import EvidenceKind
from carbonpoints.approvals.versions import VersionKind, current_versions
from carbonpoints.core.errors import FieldError, InvalidRequest
from carbonpoints.core.models import Programme
from carbonpoints.rules.admission import InForce, find_problems, validity
from carbonpoints.rules.catalogue import load_catalogue, read_held
from carbonpoints.rules.definitions import (
    BehaviourDefinition,
    FactorDefinition,
    ProgrammeDefinition,
    RuleDefinition,
)
from carbonpoints.rules.nodes import DefinitionError, Problem
from carbonpoints.rules.parsing import Definition, parse_content
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.submissions import submission_of

_SAMPLES = re.compile(r"(^|\.)(ineligible_)?samples(\.|\Z)")


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
    )


def wrong_content(error: DefinitionError) -> InvalidRequest:
    """Return what is wrong with the content of an item, field by field."""
    return InvalidRequest(
        fields=[
            FieldError(f"content.{problem.field}".rstrip("."), "wrong_definition", problem.message)
            for problem in error.problems
        ]
    )


def refuse_other_code(item: ProposedVersion, code: str) -> None:
    """Raise InvalidRequest when the content is of another code than the item says."""
    if code != item.code:
        raise InvalidRequest(
            fields=[FieldError("content.code", "other_code", "This must be %(code)s.", {"code": item.code})]
        )


def _read(kind: type[Definition], item: ProposedVersion, zone: tzinfo) -> ProposedVersion:
    dates = _dates(item, zone)
    if item.content is None:
        return item
    try:
        definition = parse_content(kind, {**item.content, **dates}, item.code)
    except DefinitionError as error:
        raise wrong_content(error) from None
    refuse_other_code(item, definition.code)
    if isinstance(definition, FactorDefinition | RuleDefinition):
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
    problems = find_problems(submission_of(proposed), in_force)
    samples = [_finding(problem) for problem in problems if _SAMPLES.search(problem.field)]
    others = [_finding(problem) for problem in problems if not _SAMPLES.search(problem.field)]
    if others:
        return {EvidenceKind.STATIC_CHECKS: others}
    return {EvidenceKind.STATIC_CHECKS: (), EvidenceKind.SAMPLE_CASES: samples}


def _finding(problem: Problem) -> FieldError:
    """Return a problem by its place in the change, or by what it is about where that is in force already."""
    if problem.field.startswith("items."):
        return FieldError(problem.field, "wrong_definition", problem.message)
    return FieldError(
        f"{problem.file}.{problem.field}".replace(" ", "_"), "wrong_definition", problem.message
    )


CATALOGUE_KINDS = KnownKinds(
    readers={
        VersionKind.FACTOR: partial(_read, FactorDefinition),
        VersionKind.BEHAVIOUR: partial(_read, BehaviourDefinition),
        VersionKind.RULE: partial(_read, RuleDefinition),
        VersionKind.PROGRAMME: _read_settings,
    },
    check=_check,
    settle=load_catalogue,
)


def _dates(item: ProposedVersion, zone: tzinfo) -> dict[str, str]:
    """Return the item's dates as its content writes them; kinds without dates in their content have none."""
    bounds = {"valid_from": item.valid_from, "valid_to": item.valid_to}
    given = {name: bound.astimezone(zone) for name, bound in bounds.items() if bound is not None}
    if item.kind is VersionKind.RULE:
        return {name: bound.isoformat() for name, bound in given.items()}
    if item.kind is VersionKind.FACTOR:
        return {name: _day(name, bound) for name, bound in given.items()}
    return {}


def _day(name: str, bound: datetime) -> str:
    if bound.time() != time():
        raise InvalidRequest(
            fields=[FieldError(name, "no_day", "A factor's days begin at midnight of the programme.")]
        )
    return bound.date().isoformat()
