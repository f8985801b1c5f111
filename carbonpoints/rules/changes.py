"""What a change of the catalogue or of the programme's settings must hold: how items are read, what checks them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time, tzinfo
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.kinds import CheckFinding, Findings, KnownKinds
from carbonpoints.approvals.requirements import EvidenceKind
from carbonpoints.approvals.versions import VersionKind, current_versions
from carbonpoints.core.errors import FieldError, InvalidRequest
from carbonpoints.core.models import Programme
from carbonpoints.rules.admission import HasDates, InForce, review_submission, validity
from carbonpoints.rules.campaigns import CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.catalogue import load_catalogue, read_held
from carbonpoints.rules.definitions import (
    BehaviourDefinition,
    FactorDefinition,
    ProgrammeDefinition,
    RuleDefinition,
)
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.nodes import DefinitionError
from carbonpoints.rules.parsing import Definition, parse_content
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.submissions import Located, read_proposed

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
        return {
            EvidenceKind.STATIC_CHECKS: [
                CheckFinding(
                    FieldError.saying(f"items.{place}.content.{problem.field}", problem.code, problem.message)
                )
                for place, problem in refused
            ]
        }
    found = [
        (_SAMPLES.match(finding.field) is not None, _finding(located, finding))
        for located, finding in review_submission(submission, in_force)
    ]
    checks = [finding for is_sample, finding in found if not is_sample]
    if any(finding.stops for finding in checks):
        return {EvidenceKind.STATIC_CHECKS: checks}
    samples = [finding for is_sample, finding in found if is_sample]
    return {EvidenceKind.STATIC_CHECKS: checks, EvidenceKind.SAMPLE_CASES: samples}


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
    if item.kind is VersionKind.FACTOR:
        return {name: _day(name, bound) for name, bound in given.items()}
    return {}


def _day(name: str, bound: datetime) -> str:
    if bound.time() != time():
        raise InvalidRequest(
            fields=[FieldError(name, "no_day", "A factor's days begin at midnight of the programme.")]
        )
    return bound.date().isoformat()
