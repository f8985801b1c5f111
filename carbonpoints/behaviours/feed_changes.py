"""What a change of a feed profile must hold: how it is read, and whether it fits the programme."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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
from carbonpoints.core.errors import FieldError, Message
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.changes import read_definition
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.parsing import from_content


def _read(item: ProposedVersion, _zone: tzinfo) -> ProposedVersion:
    if item.content is None:
        return item
    return read_definition(ProfileDefinition, item, validate_profile)


@dataclass(frozen=True)
class Surroundings:
    """What profiles must fit: a programme's behaviour types by code, and its event sources."""

    behaviours: Mapping[str, BehaviourDefinition]
    sources: Collection[str]

    def misfits(self, profile: ProfileDefinition) -> Found:
        """Yield (path, sentence) for everything in a profile that does not fit."""
        if profile.source not in self.sources:
            message = Message("%(source)s is no event source of this programme", source=profile.source)
            yield "source", message
        yield from validate_mapping(profile, self.behaviours)


def surroundings(
    session: Session, programme_id: int, proposed: Sequence[ProposedVersion] = ()
) -> Surroundings:
    """Return what is in force in a programme, and in the place of it what is proposed together with a profile."""
    behaviours = dict(load_catalogue(session, programme_id).behaviours)
    sources = set(programme_settings(session, programme_id).event_sources)
    for item in proposed:
        if item.kind is VersionKind.BEHAVIOUR and item.content is not None:
            behaviours[item.code] = from_content(BehaviourDefinition, item.content)
        if item.kind is VersionKind.PROGRAMME and item.content is not None:
            sources = {source["uri"] for source in item.content["event_sources"]}
    return Surroundings(behaviours, sources)


def proposed_profiles(proposed: Sequence[ProposedVersion]) -> dict[int, ProfileDefinition]:
    """Return the profiles that should hold, by the number of their item."""
    return {
        number: profile_from_content(item.content)
        for number, item in enumerate(proposed)
        if item.kind is VersionKind.FEED_PROFILE and item.content is not None
    }


def wrong_fields(number: int, profile: ProfileDefinition, around: Surroundings) -> list[FieldError]:
    """Return what does not fit in the profile of an item."""
    return [
        FieldError.saying(f"items.{number}.content.{path}", "wrong_definition", message)
        for path, message in around.misfits(profile)
    ]


def _check(session: Session, programme_id: int, proposed: Sequence[ProposedVersion]) -> Findings:
    """Judge the profiles by the behaviour types and event sources as they would be."""
    around = surroundings(session, programme_id, proposed)
    profiles = proposed_profiles(proposed)
    checks = Checked(
        [
            CheckFinding(error)
            for number, profile in profiles.items()
            for error in wrong_fields(number, profile, around)
        ]
    )
    if profiles:
        return {EvidenceKind.STATIC_CHECKS: checks}
    # Where feeds only end there is no profile left to load anything with.
    return {EvidenceKind.STATIC_CHECKS: checks, EvidenceKind.TRIAL_LOAD: Checked()}


FEED_KINDS = KnownKinds(readers={VersionKind.FEED_PROFILE: _read}, check=_check)
