"""Drafts: what a change request proposes, compared with what is in force, and how it comes into force.

The content of a draft is itself kept as a version, of kind `proposal`: an edit ends what was known and adds the new
content, so that every draft that ever was can still be read. For the services of this package, inside the caller's
transaction, with the programme locked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import (
    Change,
    ProposedVersion,
    compare,
    difference,
    in_force_difference,
    proposal_content,
    read_proposal,
    refuse_overlaps,
)
from carbonpoints.approvals.errors import ChangeOutdated, IdentityFixed, NothingChanges, NothingToRestore
from carbonpoints.approvals.kinds import settle_versions
from carbonpoints.approvals.lifecycle import OPEN, Step
from carbonpoints.approvals.models import ChangeRequest, Version
from carbonpoints.approvals.steps import begin_change, follow_clock, take_step
from carbonpoints.approvals.versions import (
    Key,
    StoredVersion,
    VersionKind,
    content_hash,
    current_versions,
    range_without,
    ranges_overlap,
    read_versions,
)
from carbonpoints.approvals.writing import end_known, insert_versions, next_moment
from carbonpoints.core.models import Programme


@dataclass(frozen=True)
class Draft:
    """What a change request proposes, or last proposed; `content_hash` is what its evidence holds for."""

    change_request_id: int
    programme_id: int
    proposal: StoredVersion
    changes: tuple[Change, ...]

    @property
    def content_hash(self) -> bytes:
        """The same for the same proposal, compared with the same versions."""
        return self.proposal.content_hash

    @property
    def proposed(self) -> list[ProposedVersion]:
        """What should hold."""
        return [change.proposed for change in self.changes]


def read_draft(session: Session, change: ChangeRequest) -> Draft:
    """Return what a change request proposes, or last proposed.

    Raises NothingToRestore for the first import of what comes with the product, which was never a draft.
    """
    last = (
        select(Version.version_id)
        .where(
            Version.change_request_id == change.change_request_id, Version.kind == VersionKind.PROPOSAL.value
        )
        .order_by(Version.version_no.desc())
        .limit(1)
    )
    version_id = session.scalar(last)
    if version_id is None:
        raise NothingToRestore
    proposal = read_versions(session, [version_id])[version_id]
    return Draft(change.change_request_id, change.programme_id, proposal, read_proposal(proposal.content))


def compare_all(
    session: Session, programme: Programme, proposed: Sequence[ProposedVersion]
) -> tuple[Change, ...]:
    """Return what the proposed versions would change, without those that change nothing.

    Raises what `refuse_contradictions` raises.
    """
    refuse_contradictions(programme, proposed)
    current = current_by_code(session, programme.programme_id, {item.kind for item in proposed})
    return tuple(found for item in proposed if (found := compare(item, current[item.key])) is not None)


def refuse_contradictions(programme: Programme, proposed: Sequence[ProposedVersion]) -> None:
    """Raise ValidityOverlap, and IdentityFixed when the programme's time zone or currency would change."""
    refuse_overlaps(proposed)
    for item in proposed:
        if item.kind is VersionKind.PROGRAMME and item.content is not None:
            fixed = (item.content["time_zone"], item.content["currency"])
            if fixed != (programme.time_zone, programme.currency):
                raise IdentityFixed


def current_by_code(
    session: Session, programme_id: int, kinds: Iterable[VersionKind]
) -> defaultdict[Key, list[StoredVersion]]:
    """Return the current versions of these kinds by kind and code, by start of validity."""
    found: defaultdict[Key, list[StoredVersion]] = defaultdict(list)
    for kind in kinds:
        for version in current_versions(session, programme_id, kind):
            found[version.key].append(version)
    return found


def write_draft(session: Session, change: ChangeRequest, changes: Sequence[Change]) -> Draft:
    """Write a new change request with what it proposes; raises NothingChanges when that is nothing."""
    if not changes:
        raise NothingChanges
    content = proposal_content(changes)
    begin_change(session, change, content_hash=content_hash(content), fields=in_force_difference(changes))
    return _write_proposal(session, change, content)


def rewrite_draft(
    session: Session, change: ChangeRequest, changes: Sequence[Change], *, person: str, reason: str
) -> Draft:
    """Propose something else in a draft or in what was submitted, which is a draft again then.

    Raises NothingChanges when it is what the draft says already, or what is in force.
    """
    draft = read_draft(session, change)
    content = proposal_content(changes)
    if not changes or content_hash(content) == draft.content_hash:
        raise NothingChanges
    take_step(
        session,
        change,
        Step.EDIT,
        person=person,
        reason=reason,
        content_hash=content_hash(content),
        fields=difference(draft.changes, changes),
    )
    end_known(session, [draft.proposal], next_moment(session, change.programme_id))
    return _write_proposal(session, change, content)


def _write_proposal(session: Session, change: ChangeRequest, content: Mapping[str, object]) -> Draft:
    proposal = ProposedVersion(kind=VersionKind.PROPOSAL, code=str(change.change_request_id), content=content)
    moment = next_moment(session, change.programme_id)
    insert_versions(session, change.programme_id, [(change.change_request_id, proposal)], moment)
    return read_draft(session, change)


def close_draft(session: Session, change: ChangeRequest, step: Step, *, person: str, reason: str) -> None:
    """Reject or withdraw a change request: its proposal waits no longer."""
    draft = read_draft(session, change)
    take_step(session, change, step, person=person, reason=reason, content_hash=draft.content_hash)
    end_known(session, [draft.proposal], next_moment(session, change.programme_id))


def refuse_outdated(session: Session, draft: Draft) -> list[StoredVersion]:
    """Return the current versions that a draft replaces; ChangeOutdated unless it was compared with these."""
    current = current_by_code(session, draft.programme_id, {item.kind for item in draft.proposed})
    replaced: list[StoredVersion] = []
    for change in draft.changes:
        item = change.proposed
        overlapping = [one for one in current[item.key] if ranges_overlap(one.valid, item.valid)]
        if [version.version_id for version in overlapping] != list(change.replaces):
            raise ChangeOutdated
        replaced += overlapping
    # Two proposed versions of a code may replace one and the same.
    return list({version.version_id: version for version in replaced}.values())


def put_in_force(
    session: Session, change: ChangeRequest, draft: Draft, *, person: str, reason: str | None
) -> None:
    """Approve a change: from this instant on its versions are known, and hold from when they say.

    What it replaces is known no more. Where a replaced version holds longer than the proposed one, a copy keeps the
    rest of its validity, for which the change request that made it goes on to answer. Raises ChangeOutdated,
    StepNotAllowed, FourEyes.
    """
    replaced = refuse_outdated(session, draft)
    take_step(
        session,
        change,
        Step.APPROVE,
        person=person,
        reason=reason,
        content_hash=draft.content_hash,
        fields=in_force_difference(draft.changes),
    )
    moment = next_moment(session, change.programme_id)
    end_known(session, [draft.proposal, *replaced], moment)
    made = [(change.change_request_id, item) for item in draft.proposed]
    insert_versions(session, change.programme_id, made + _remainders(replaced, draft.proposed), moment)
    starts = [item.valid_from for item in draft.proposed]
    change.starts_at = None if None in starts else min(start for start in starts if start is not None)
    session.flush()
    settle_versions(session, change.programme_id)
    follow_clock(session, change.programme_id)


def _remainders(
    replaced: Iterable[StoredVersion], proposed: Iterable[ProposedVersion]
) -> list[tuple[int, ProposedVersion]]:
    """Return what is left of the replaced versions outside the validity of what is proposed."""
    rests = [(version, version.valid) for version in replaced]
    for item in proposed:
        rests = [
            (version, part)
            for version, valid in rests
            for part in (range_without(valid, item.valid) if version.key == item.key else [valid])
        ]
    return [
        (
            version.change_request_id,
            ProposedVersion(
                kind=version.kind, code=version.code, content=version.content, valid_from=start, valid_to=end
            ),
        )
        for version, (start, end) in rests
    ]


def waiting_draft(session: Session, programme_id: int, changes: Sequence[Change]) -> int | None:
    """Return the number of a change request that waits with the same proposal; None when there is none."""
    same = (
        select(Version.change_request_id)
        .join(ChangeRequest, ChangeRequest.change_request_id == Version.change_request_id)
        .where(
            Version.programme_id == programme_id,
            Version.kind == VersionKind.PROPOSAL.value,
            Version.content_hash == content_hash(proposal_content(changes)),
            func.upper_inf(Version.known),
            ChangeRequest.state.in_(OPEN),
        )
        .order_by(Version.version_id)
        .limit(1)
    )
    return session.scalar(same)
