"""Change requests as they are shown: what would change, what is known about it, and what was done so far."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import Change, ProposedVersion, compare
from carbonpoints.approvals.drafts import Draft, read_draft
from carbonpoints.approvals.errors import NothingToRestore
from carbonpoints.approvals.evidence import (
    counting,
    first_start,
    list_evidence,
    missing_evidence,
    results,
    worse_by_item,
)
from carbonpoints.approvals.lifecycle import OPEN
from carbonpoints.approvals.models import ChangeRequest, ChangeStep, Version
from carbonpoints.approvals.requirements import checkers_for
from carbonpoints.approvals.steps import etag_of, find_change, makers_of
from carbonpoints.approvals.versions import VersionKind, read_versions
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading
from carbonpoints.core.pagination import Page, decode_cursor, make_page
from carbonpoints.core.programmes import programme_of

View = TypeVar("View")


@dataclass(frozen=True, kw_only=True)
class ChangeSummary:
    """A change request as its row says it."""

    change_request_id: int
    origin: str
    title: str
    reason: str
    state: str
    maker_person: str
    checker_person: str | None
    created_at: datetime
    decided_at: datetime | None
    starts_at: datetime | None
    rolls_back_id: int | None


@dataclass(frozen=True, kw_only=True)
class StepView:
    """Who did what, when and why."""

    change_request_id: int
    step_no: int
    step: str
    from_state: str | None
    to_state: str
    person: str | None
    taken_at: datetime
    reason: str | None
    content_hash: bytes | None
    request_id: str | None
    fields: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class EvidenceView:
    """A piece of evidence, and whether it is what counts for the draft as it is."""

    kind: str
    result: str
    details: dict[str, Any]
    person: str | None
    made_at: datetime
    counts: bool


@dataclass(frozen=True)
class ItemView:
    """One thing that a change proposes, with the fields in which it is worse for customers than what it replaces."""

    change: Change
    worse: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ChangeView:
    """A change request with everything about it; `etag` names this state of it."""

    summary: ChangeSummary
    etag: str
    makers: tuple[str, ...]
    items: tuple[ItemView, ...]
    evidence: tuple[EvidenceView, ...]
    missing: tuple[str, ...]
    """Evidence that the draft needs before it is submitted and lacks."""
    checkers_needed: int
    first_start: datetime | None
    """When what is worse for customers may begin if it is approved now; None for what is decided."""
    steps: tuple[StepView, ...]


def plain(kind: type[View], row: object, **given: Any) -> View:
    """Return what a row says, which stays so when its transaction is over."""
    names = {item.name for item in fields(kind)} - given.keys()  # type: ignore[arg-type]
    return kind(**{name: getattr(row, name) for name in names}, **given)


def view_change(session: Session, change: ChangeRequest) -> ChangeView:
    """Return a change request as it is shown, in the caller's transaction."""
    session.flush()
    etag = etag_of(session, change)  # First: what is read after it may be newer than its tag, never older.
    session.refresh(change)
    evidence = list_evidence(session, change)
    steps = select(ChangeStep).where(ChangeStep.change_request_id == change.change_request_id)
    try:
        draft: Draft | None = read_draft(session, change)
    except NothingToRestore:
        draft = None
    counts = counting(evidence, draft.content_hash) if draft else {}
    is_open = change.state in OPEN
    worse = worse_by_item(session, draft) if draft else []
    return ChangeView(
        summary=plain(ChangeSummary, change),
        etag=etag,
        makers=tuple(sorted(makers_of(session, change))),
        items=tuple(map(ItemView, draft.changes, worse)) if draft else _first_items(session, change),
        evidence=tuple(plain(EvidenceView, item, counts=item in counts.values()) for item in evidence),
        missing=tuple(missing_evidence(draft, counts)) if draft and is_open else (),
        checkers_needed=checkers_for(results(counts)),
        first_start=first_start(session, change.programme_id) if is_open else None,
        steps=tuple(plain(StepView, step) for step in session.scalars(steps.order_by(ChangeStep.step_no))),
    )


def _first_items(session: Session, change: ChangeRequest) -> tuple[ItemView, ...]:
    """Return what the first import of what comes with the product put in force, from its versions."""
    numbers = select(Version.version_id).where(Version.change_request_id == change.change_request_id)
    versions = sorted(
        read_versions(session, session.scalars(numbers).all()).values(),
        key=lambda version: (version.known_from, version.version_id),
    )
    first = [version for version in versions if version.known_from == versions[0].known_from]
    proposed = [
        ProposedVersion(
            kind=version.kind,
            code=version.code,
            content=version.content,
            valid_from=version.valid_from,
            valid_to=version.valid_to,
        )
        for version in first
    ]
    return tuple(ItemView(found, ()) for item in proposed if (found := compare(item, ())) is not None)


def read_change(*, caller: Caller, change_request_id: int) -> ChangeView:
    """Return a change request of the caller's programme; raises UnknownChange."""
    with reading() as session:
        return view_change(session, find_change(session, programme_of(session, caller), change_request_id))


def list_changes(
    *,
    caller: Caller,
    state: str | None,
    kind: VersionKind | None,
    code: str | None,
    cursor: str | None,
    limit: int,
) -> Page[ChangeSummary]:
    """Return the change requests of the caller's programme, the latest first."""
    after = decode_cursor(cursor, int) if cursor else None
    with reading() as session:
        query = select(ChangeRequest).where(ChangeRequest.programme_id == programme_of(session, caller))
        if after is not None:
            query = query.where(ChangeRequest.change_request_id < after[0])
        if state is not None:
            query = query.where(ChangeRequest.state == state)
        if kind is not None or code is not None:
            query = query.where(_touches(kind, code))
        query = query.order_by(ChangeRequest.change_request_id.desc()).limit(limit + 1)
        rows = [plain(ChangeSummary, row) for row in session.scalars(query)]
    return make_page(rows, limit, lambda change: (change.change_request_id,))


def _touches(kind: VersionKind | None, code: str | None) -> Any:
    """Whether a change request proposes, or ever proposed, something of this kind and code."""
    item = {"kind": kind.value if kind else None, "code": code}
    wanted = {name: value for name, value in item.items() if value is not None}
    proposes = and_(
        Version.kind == VersionKind.PROPOSAL.value, Version.content.contains({"changes": [wanted]})
    )
    made = and_(*(getattr(Version, name) == value for name, value in wanted.items()))
    return exists().where(Version.change_request_id == ChangeRequest.change_request_id, or_(proposes, made))
