"""Steps of change requests: who did what, when and why, and where the change stands after it.

For the services of this package, inside the caller's transaction. The database holds the same: a step begins where
the last one led, and nobody decides on a change of which they are a maker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import FieldChange
from carbonpoints.approvals.errors import FourEyes, UnknownChange
from carbonpoints.approvals.lifecycle import ACTOR_OF, FOLLOWS_CLOCK, MADE_BY, Actor, State, Step, state_after
from carbonpoints.approvals.models import ChangeEvidence, ChangeRequest, ChangeStep
from carbonpoints.core.clock import now
from carbonpoints.core.logging import request_id

HIGHEST_NUMBER = 2**31 - 1

STANDINGS = text("""
SELECT v.change_request_id,
       bool_or(NOT upper_inf(v.known)) AS was_replaced,
       bool_or(upper_inf(v.known) AND (upper_inf(v.valid) OR upper(v.valid) > :moment)) AS holds_on
FROM version v JOIN change_request c ON c.change_request_id = v.change_request_id
WHERE c.programme_id = :programme_id AND c.state IN ('scheduled', 'active') AND v.kind <> 'proposal'
GROUP BY v.change_request_id
""")
"""Of each change request, whether a version of it was replaced and whether one holds from now on, or will."""


def find_change(session: Session, programme_id: int, change_request_id: int) -> ChangeRequest:
    """Return a change request of a programme; raises UnknownChange."""
    return _find(session, programme_id, change_request_id, lock=False)


def lock_change(session: Session, programme_id: int, change_request_id: int) -> ChangeRequest:
    """Return a change request of a programme and keep everybody else from it; raises UnknownChange."""
    return _find(session, programme_id, change_request_id, lock=True)


def _find(session: Session, programme_id: int, change_request_id: int, *, lock: bool) -> ChangeRequest:
    if not 0 < change_request_id <= HIGHEST_NUMBER:
        raise UnknownChange
    query = select(ChangeRequest).where(
        ChangeRequest.programme_id == programme_id, ChangeRequest.change_request_id == change_request_id
    )
    if lock:
        query = query.with_for_update(key_share=True)
    change = session.scalar(query.execution_options(populate_existing=True))
    if change is None:
        raise UnknownChange
    return change


def begin_change(session: Session, change: ChangeRequest, **given: Any) -> None:
    """Write a new change request with its first step."""
    session.add(change)
    session.flush()
    _write_step(session, change, None, Step.DRAFT, person=change.maker_person, reason=change.reason, **given)


def take_step(
    session: Session,
    change: ChangeRequest,
    step: Step,
    *,
    person: str | None = None,
    reason: str | None = None,
    content_hash: bytes | None = None,
    fields: Sequence[FieldChange] = (),
) -> None:
    """Take a step of a change request that is locked.

    Raises StepNotAllowed, and FourEyes when a maker of the change would decide on it.
    """
    before = State(change.state)
    state_after(before, step)
    if ACTOR_OF[step] is Actor.CHECKER and person in makers_of(session, change):
        raise FourEyes
    _write_step(
        session,
        change,
        before,
        step,
        person=person,
        reason=reason,
        content_hash=content_hash,
        fields=fields,
    )
    if step in (Step.APPROVE, Step.REJECT):
        change.checker_person = person
        change.decided_at = now()
    session.flush()


def _write_step(
    session: Session,
    change: ChangeRequest,
    before: State | None,
    step: Step,
    *,
    person: str | None,
    reason: str | None,
    content_hash: bytes | None = None,
    fields: Sequence[FieldChange] = (),
) -> None:
    after = state_after(before, step)
    session.add(
        ChangeStep(
            change_request_id=change.change_request_id,
            step_no=_latest_no(session, ChangeStep.step_no, change) + 1,
            step=step.value,
            from_state=before.value if before else None,
            to_state=after.value,
            person=person,
            reason=reason,
            content_hash=content_hash,
            fields=[{"field": item.field, "before": item.before, "after": item.after} for item in fields],
            request_id=request_id(),
            taken_at=now(),
        )
    )
    session.flush()  # The row of the change follows its steps, also for the database.
    change.state = after.value


def makers_of(session: Session, change: ChangeRequest) -> frozenset[str]:
    """Return every person who ever drafted, edited or submitted a change."""
    made = select(ChangeStep.person).where(
        ChangeStep.change_request_id == change.change_request_id, ChangeStep.step.in_(MADE_BY)
    )
    return frozenset(person for person in session.scalars(made) if person is not None)


def agreed_by(session: Session, change: ChangeRequest) -> frozenset[str]:
    """Return the checkers who have agreed to a change since it was last submitted."""
    own = ChangeStep.change_request_id == change.change_request_id
    submitted = select(func.max(ChangeStep.step_no)).where(own, ChangeStep.step == Step.SUBMIT)
    agreed = select(ChangeStep.person).where(
        own, ChangeStep.step == Step.AGREE, ChangeStep.step_no > submitted.scalar_subquery()
    )
    return frozenset(person for person in session.scalars(agreed) if person is not None)


def etag_of(session: Session, change: ChangeRequest) -> str:
    """Return the name of a change request's present state: its steps and its evidence, both of which only grow."""
    step_no = _latest_no(session, ChangeStep.step_no, change)
    return f"{change.change_request_id}-{step_no}-{latest_evidence_no(session, change)}"


def latest_evidence_no(session: Session, change: ChangeRequest) -> int:
    """Return the number of a change request's latest evidence; 0 when there is none."""
    return _latest_no(session, ChangeEvidence.evidence_no, change)


def _latest_no(session: Session, column: Any, change: ChangeRequest) -> int:
    query = select(func.coalesce(func.max(column), 0)).where(
        column.class_.change_request_id == change.change_request_id
    )
    return int(session.scalar(query) or 0)


def follow_clock(session: Session, programme_id: int) -> None:
    """Name the states that follow from the versions at this instant; a programme's changes are locked.

    What is in force is what the versions say, with or without this: it may run late, or twice.
    """
    moment = now()
    following = select(ChangeRequest).where(
        ChangeRequest.programme_id == programme_id, ChangeRequest.state.in_(FOLLOWS_CLOCK)
    )
    changes = session.scalars(following.order_by(ChangeRequest.change_request_id)).all()
    for change in changes:
        has_begun = change.starts_at is None or change.starts_at <= moment
        if has_begun and change.state != State.ACTIVE:
            take_step(session, change, Step.ACTIVATE)
        elif change.state == State.APPROVED:
            take_step(session, change, Step.SCHEDULE)
    standings = session.execute(STANDINGS, {"programme_id": programme_id, "moment": moment})
    replaced = {row.change_request_id for row in standings if row.was_replaced and not row.holds_on}
    for change in changes:
        if change.change_request_id in replaced:
            take_step(session, change, Step.SUPERSEDE)
