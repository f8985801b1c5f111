"""Use cases of makers and checkers: draft, edit, submit, withdraw, reject, approve, roll back.

Each is one transaction that locks the programme and then the change, so that of two who do something at the same
time the second meets what the first has done. A step that is not possible any more is refused as such before the
tag is looked at (RFC 9110, 13.2.1); a tag that is stale means that the caller has not seen what there is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.drafts import (
    Draft,
    close_draft,
    compare_all,
    put_in_force,
    read_draft,
    refuse_outdated,
    rewrite_draft,
    write_draft,
)
from carbonpoints.approvals.errors import FourEyes, NothingToRestore, SecondCheckerNeeded, StepNotAllowed
from carbonpoints.approvals.evidence import record_checks, require_evidence, require_notice
from carbonpoints.approvals.kinds import read_items
from carbonpoints.approvals.lifecycle import CHECKED, State, Step, state_after
from carbonpoints.approvals.models import ChangeRequest
from carbonpoints.approvals.requirements import checkers_for
from carbonpoints.approvals.steps import agreed_by, etag_of, follow_clock, lock_change, makers_of, take_step
from carbonpoints.approvals.versions import range_within, range_without, read_versions
from carbonpoints.approvals.views import ChangeView, view_change
from carbonpoints.approvals.writing import lock_programme
from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import now
from carbonpoints.core.db import transaction
from carbonpoints.core.models import Programme
from carbonpoints.core.preconditions import refuse_stale
from carbonpoints.core.programmes import programme_of


@dataclass(frozen=True)
class _Work:
    """One change of one programme, both locked."""

    session: Session
    programme: Programme
    change: ChangeRequest

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.programme.time_zone)


@contextmanager
def _changing(
    caller: Caller, change_request_id: int, tags: Collection[str], step: Step | None
) -> Iterator[_Work]:
    with transaction() as session:
        programme = lock_programme(session, programme_of(session, caller))
        change = lock_change(session, programme.programme_id, change_request_id)
        if step is not None:
            state_after(State(change.state), step)
        elif change.state not in CHECKED:
            raise StepNotAllowed(step="rollback", state=change.state)
        refuse_stale(tags, etag_of(session, change))
        yield _Work(session, programme, change)


def create_change(*, caller: Caller, title: str, reason: str, items: Sequence[ProposedVersion]) -> ChangeView:
    """Draft a change of what is in force.

    Raises InvalidRequest that names each wrong field, ValidityOverlap, IdentityFixed, NothingChanges.
    """
    with transaction() as session:
        programme = lock_programme(session, programme_of(session, caller))
        change = _new_change(programme, caller, title, reason)
        _draft(session, programme, change, items)
        return view_change(session, change)


def edit_change(
    *,
    caller: Caller,
    change_request_id: int,
    tags: Collection[str],
    title: str,
    reason: str,
    items: Sequence[ProposedVersion],
) -> ChangeView:
    """Propose something else, compared with what is in force now; what was submitted is a draft again.

    `reason` says what was edited and why. Raises what `create_change` raises, and StepNotAllowed.
    """
    with _changing(caller, change_request_id, tags, Step.EDIT) as work:
        proposed = read_items(items, work.zone)
        changes = compare_all(work.session, work.programme, proposed)
        draft = rewrite_draft(work.session, work.change, changes, person=caller.person, reason=reason)
        work.change.title = title
        record_checks(work.session, draft, person=caller.person)
        return view_change(work.session, work.change)


def submit_change(
    *, caller: Caller, change_request_id: int, tags: Collection[str], reason: str | None
) -> ChangeView:
    """Ask the checkers to approve; the draft must have all its evidence and leave time for notice.

    Raises EvidenceFailed, EvidenceMissing, NoticeTooShort, ChangeOutdated, StepNotAllowed.
    """
    with _changing(caller, change_request_id, tags, Step.SUBMIT) as work:
        draft = read_draft(work.session, work.change)
        refuse_outdated(work.session, draft)
        require_evidence(work.session, work.change, draft, person=caller.person)
        require_notice(work.session, draft)
        _take(work, draft, Step.SUBMIT, caller, reason)
        return view_change(work.session, work.change)


def withdraw_change(
    *, caller: Caller, change_request_id: int, tags: Collection[str], reason: str
) -> ChangeView:
    """Give a change up before it is decided; raises StepNotAllowed."""
    with _changing(caller, change_request_id, tags, Step.WITHDRAW) as work:
        close_draft(work.session, work.change, Step.WITHDRAW, person=caller.person, reason=reason)
        return view_change(work.session, work.change)


def reject_change(
    *, caller: Caller, change_request_id: int, tags: Collection[str], reason: str
) -> ChangeView:
    """Refuse what was submitted, for good; raises FourEyes, StepNotAllowed."""
    with _changing(caller, change_request_id, tags, Step.REJECT) as work:
        close_draft(work.session, work.change, Step.REJECT, person=caller.person, reason=reason)
        return view_change(work.session, work.change)


def approve_change(
    *, caller: Caller, change_request_id: int, tags: Collection[str], reason: str | None
) -> ChangeView:
    """Approve what was submitted: its versions are known from now on and hold from when they say.

    Where the evidence asks for two checkers, the first one agrees and the change stays submitted. Raises FourEyes,
    StepNotAllowed, ChangeOutdated, EvidenceFailed, EvidenceMissing, NoticeTooShort, SecondCheckerNeeded.
    """
    with _changing(caller, change_request_id, tags, Step.APPROVE) as work:
        session, change = work.session, work.change
        if caller.person in makers_of(session, change):
            raise FourEyes
        draft = read_draft(session, change)
        refuse_outdated(session, draft)
        found = require_evidence(session, change, draft, person=caller.person)
        require_notice(session, draft)
        agreed = agreed_by(session, change)
        if caller.person in agreed:
            raise SecondCheckerNeeded
        if len(agreed) + 1 < checkers_for(found):
            _take(work, draft, Step.AGREE, caller, reason)
        else:
            put_in_force(session, change, draft, person=caller.person, reason=reason)
        return view_change(session, change)


def roll_back_change(
    *,
    caller: Caller,
    change_request_id: int,
    tags: Collection[str],
    reason: str,
    valid_from: datetime | None,
) -> ChangeView:
    """Draft a new change that restores what another one replaced, from `valid_from` on.

    By default from the next day of the programme on. It goes the same way as any change. Raises NothingToRestore,
    NothingChanges, StepNotAllowed when the other was never approved.
    """
    with _changing(caller, change_request_id, tags, None) as work:
        undone = work.change
        items = _restoring(work.session, read_draft(work.session, undone), valid_from or _tomorrow(work.zone))
        title = f"Roll back {undone.change_request_id}: {undone.title}"
        change = _new_change(work.programme, caller, title, reason, rolls_back_id=undone.change_request_id)
        _draft(work.session, work.programme, change, items)
        return view_change(work.session, change)


def follow_programme(programme_id: int) -> None:
    """Name the states that have come with the time: what was scheduled is active, what ended is superseded."""
    with transaction() as session:
        lock_programme(session, programme_id)
        follow_clock(session, programme_id)


def _new_change(
    programme: Programme, caller: Caller, title: str, reason: str, rolls_back_id: int | None = None
) -> ChangeRequest:
    return ChangeRequest(
        programme_id=programme.programme_id,
        origin="admin",
        title=title,
        reason=reason,
        state=State.DRAFT,
        maker_person=caller.person,
        created_at=now(),
        rolls_back_id=rolls_back_id,
    )


def _draft(
    session: Session, programme: Programme, change: ChangeRequest, items: Sequence[ProposedVersion]
) -> None:
    proposed = read_items(items, ZoneInfo(programme.time_zone))
    draft = write_draft(session, change, compare_all(session, programme, proposed))
    record_checks(session, draft, person=change.maker_person)


def _take(work: _Work, draft: Draft, step: Step, caller: Caller, reason: str | None) -> None:
    take_step(
        work.session,
        work.change,
        step,
        person=caller.person,
        reason=reason,
        content_hash=draft.content_hash,
    )


def _tomorrow(zone: ZoneInfo) -> datetime:
    return datetime.combine(now().astimezone(zone).date() + timedelta(days=1), time(), zone)


def _restoring(session: Session, draft: Draft, start: datetime) -> list[ProposedVersion]:
    """Return what held before a change where it holds from `start` on; where nothing did, an end."""
    replaced = read_versions(session, [number for change in draft.changes for number in change.replaces])
    items: list[ProposedVersion] = []
    for change in draft.changes:
        item = change.proposed
        span = range_within(item.valid, (start, None))
        rests = [] if span is None else [span]
        for version in (replaced[number] for number in change.replaces):
            if span is not None and (part := range_within(version.valid, span)) is not None:
                items.append(
                    ProposedVersion(
                        kind=item.kind,
                        code=item.code,
                        content=version.content,
                        valid_from=part[0],
                        valid_to=part[1],
                    )
                )
                rests = [left for rest in rests for left in range_without(rest, part)]
        items += [
            ProposedVersion(kind=item.kind, code=item.code, content=None, valid_from=begin, valid_to=end)
            for begin, end in rests
        ]
    if not items:
        raise NothingToRestore
    return items
