"""Use cases of trial loads: one of a draft's profile, which becomes its evidence, and one that leaves no trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from sqlalchemy.orm import Session

from carbonpoints.approvals.drafts import Draft, read_draft
from carbonpoints.approvals.errors import EvidenceFailed, StepNotAllowed
from carbonpoints.approvals.evidence import counting, list_evidence, record_evidence
from carbonpoints.approvals.lifecycle import State
from carbonpoints.approvals.models import ChangeRequest
from carbonpoints.approvals.requirements import EvidenceKind, Result
from carbonpoints.approvals.steps import find_change, lock_change
from carbonpoints.behaviours.feed_changes import proposed_profiles, surroundings, wrong_fields
from carbonpoints.behaviours.profiles import ProfileDefinition
from carbonpoints.behaviours.trial_load import TrialLoad, try_profile
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading, settings, transaction
from carbonpoints.core.errors import FieldError, InvalidRequest
from carbonpoints.core.programmes import programme_of
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.nodes import DefinitionError, Problem

NOT_TRIED = {"result": Result.FAILED.value, "error": {"code": "not_tried", "line_no": None}}
"""What the evidence says of a profile of the draft with which nothing was loaded yet."""


@dataclass(frozen=True)
class DraftedProfile:
    """A profile that a draft proposes as its item number `item`, and the behaviour types as they would be."""

    draft: Draft
    item: int
    profile: ProfileDefinition
    behaviours: Mapping[str, BehaviourDefinition]


def find_drafted_profile(*, caller: Caller, change_request_id: int, item: int) -> DraftedProfile:
    """Return a profile of a draft of the caller's programme.

    Raises UnknownChange, StepNotAllowed when the change is no draft, InvalidRequest when the item is no profile,
    EvidenceFailed that names each field when the profile does not fit the programme.
    """
    with reading() as session:
        change = find_change(session, programme_of(session, caller), change_request_id)
        _refuse_decided(change)
        draft = read_draft(session, change)
        profile = proposed_profiles(draft.proposed).get(item)
        if profile is None:
            raise InvalidRequest(
                fields=[
                    FieldError("item", "no_feed_profile", "This item of the change proposes no feed profile.")
                ]
            )
        around = surroundings(session, draft.programme_id, draft.proposed)
    wrong = wrong_fields(item, profile, around)
    if wrong:
        raise EvidenceFailed(fields=wrong)
    return DraftedProfile(draft, item, profile, around.behaviours)


def load_on_trial(
    *, caller: Caller, drafted: DraftedProfile, file: BinaryIO, tables: Mapping[str, BinaryIO]
) -> TrialLoad:
    """Try a file on a draft's profile and keep what came of it as evidence; of the file itself nothing is kept.

    Where the draft was edited meanwhile the evidence does not count. Raises InvalidRequest for wrong tables,
    StepNotAllowed.
    """
    trial = try_profile(
        drafted.profile, drafted.behaviours, file=file, tables=tables, folder=settings().spool_dir
    )
    draft = drafted.draft
    with transaction() as session:
        change = lock_change(session, draft.programme_id, draft.change_request_id)
        _refuse_decided(change)
        details = _with_other_profiles(session, change, draft)
        details[f"items.{drafted.item}"] = trial.details()
        record_evidence(
            session, draft, EvidenceKind.TRIAL_LOAD, _worst(details), details, person=caller.person
        )
    return trial


def load_without_trace(
    *, programme_id: int, profile: ProfileDefinition, file: BinaryIO, tables: Mapping[str, BinaryIO]
) -> TrialLoad:
    """Try a file on a profile that nobody has proposed.

    Raises DefinitionError when the profile does not fit the programme, InvalidRequest for wrong tables.
    """
    with reading() as session:
        around = surroundings(session, programme_id)
    wrong = tuple(Problem(profile.code, 0, path, message) for path, message in around.misfits(profile))
    if wrong:
        raise DefinitionError(wrong)
    return try_profile(profile, around.behaviours, file=file, tables=tables, folder=settings().spool_dir)


def _refuse_decided(change: ChangeRequest) -> None:
    if change.state != State.DRAFT:
        raise StepNotAllowed(step=EvidenceKind.TRIAL_LOAD, state=change.state)


def _with_other_profiles(session: Session, change: ChangeRequest, draft: Draft) -> dict[str, Any]:
    """Return what counts so far for the profiles of a draft: one piece of evidence speaks for all of them."""
    counts = counting(list_evidence(session, change), draft.content_hash).get(EvidenceKind.TRIAL_LOAD)
    none_yet: dict[str, Any] = {f"items.{number}": NOT_TRIED for number in proposed_profiles(draft.proposed)}
    return none_yet | (counts.details if counts else {})


def _worst(details: Mapping[str, Any]) -> Result:
    results = {Result(trial["result"]) for trial in details.values()}
    return next(one for one in (Result.FAILED, Result.WARNING, Result.PASSED) if one in results)
