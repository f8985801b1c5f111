"""What a change of a feed profile must hold: how it is read, and whether it fits the programme."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo

from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.kinds import Checked, CheckFinding, Findings, KnownKinds
from carbonpoints.approvals.requirements import EvidenceKind
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.behaviours.profiles import (
    Found,
    ProfileDefinition,
    profile_from_content,
    validate_mapping,
    validate_profile,
)
from carbonpoints.core.errors import FieldError
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.changes import refuse_other_code, wrong_content
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.nodes import DefinitionError, content_tree
from carbonpoints.rules.parsing import from_content
from carbonpoints.rules.reading import Reader, as_content


def _read(item: ProposedVersion, _zone: tzinfo) -> ProposedVersion:
    if item.content is None:
        return item
    reader = Reader(item.code, content_tree(item.content))
    try:
        profile = reader.read(ProfileDefinition)
        for path, message in validate_profile(profile):
            reader.note(path, message)
        reader.finish()
    except DefinitionError as error:
        raise wrong_content(error) from None
    refuse_other_code(item, profile.code)
    return replace(item, content=as_content(profile))


def _check(session: Session, programme_id: int, proposed: Sequence[ProposedVersion]) -> Findings:
    """Judge the profiles by the behaviour types and event sources as they would be."""
    behaviours = dict(load_catalogue(session, programme_id).behaviours)
    sources = set(programme_settings(session, programme_id).event_sources)
    for item in proposed:
        if item.kind is VersionKind.BEHAVIOUR and item.content is not None:
            behaviours[item.code] = from_content(BehaviourDefinition, item.content)
        if item.kind is VersionKind.PROGRAMME and item.content is not None:
            sources = {source["uri"] for source in item.content["event_sources"]}
    findings = [
        CheckFinding(FieldError(f"items.{number}.content.{path}", "wrong_definition", message))
        for number, item in enumerate(proposed)
        if item.kind is VersionKind.FEED_PROFILE and item.content is not None
        for path, message in _problems(profile_from_content(item.content), behaviours, sources)
    ]
    return {EvidenceKind.STATIC_CHECKS: Checked(findings)}


def _problems(
    profile: ProfileDefinition, behaviours: Mapping[str, BehaviourDefinition], sources: Collection[str]
) -> Found:
    if profile.source not in sources:
        yield "source", f"{profile.source} is no event source of this programme"
    yield from validate_mapping(profile, behaviours)


FEED_KINDS = KnownKinds(readers={VersionKind.FEED_PROFILE: _read}, check=_check)
