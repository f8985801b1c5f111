"""Use cases of back-tests: ask for one, follow it, cancel it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.drafts import read_draft
from carbonpoints.approvals.errors import StepNotAllowed
from carbonpoints.approvals.lifecycle import OPEN
from carbonpoints.approvals.steps import find_change
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.behaviours.replay.errors import BacktestEnded, BacktestNotFound, WrongDraft
from carbonpoints.behaviours.replay.history import Period
from carbonpoints.behaviours.replay.models import BacktestRun
from carbonpoints.behaviours.replay.restatement import RestatementDefinition, read_restatement
from carbonpoints.behaviours.replay.runs import cancel_run, start_run
from carbonpoints.core import audit
from carbonpoints.core.auth import Caller
from carbonpoints.core.broker import nudge
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.errors import FieldError
from carbonpoints.core.models import Programme
from carbonpoints.core.programmes import programme_of
from carbonpoints.rules.admission import proposed_versions, review_submission
from carbonpoints.rules.changes import read_in_force
from carbonpoints.rules.drafting import JUDGING
from carbonpoints.rules.submissions import Located, Submission, read_proposed

CONTINUE_TASK = "behaviours.continue_backtests"

COUNT_PARTITIONS = text("""
SELECT count(*) AS partitions, count(totals) AS partitions_done,
    coalesce(sum((SELECT sum(value::bigint) FROM jsonb_each_text(totals -> 'handled'))), 0)::bigint AS events
FROM backtest_partition WHERE run_id = :run_id
""")


@dataclass(frozen=True)
class BacktestProgress:
    """How far a back-test has come; its report once it is done."""

    run_id: uuid.UUID
    programme_id: int
    change_request_id: int | None
    draft_hash: str
    first_day: str
    last_day: str
    state: str
    requested_at: datetime
    finished_at: datetime | None
    partitions: int
    partitions_done: int
    events: int
    report: dict[str, Any] | None

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state != "running"


def submission_from_content(items: Sequence[Mapping[str, Any]]) -> Submission:
    """Return the definitions of a draft, `kind` and `content` each; raises WrongDraft that names each field."""
    proposed = [
        ProposedVersion(
            kind=VersionKind(item["kind"]), code=str(item["content"].get("code", "")), content=item["content"]
        )
        for item in items
    ]
    submission, refused = read_proposed(proposed)
    if refused:
        raise WrongDraft(
            fields=[
                FieldError.saying(f"draft.{place}.content.{problem.field}", problem.code, problem.message)
                for place, problem in refused
            ]
        )
    return submission


def request_backtest(*, programme_id: int, submission: Submission, period: Period) -> uuid.UUID:
    """Ask for a back-test of definitions over local dates; a worker goes on with it.

    Raises WrongDraft where they are wrong or may not stand beside what is in force.
    """
    with transaction() as session:
        in_force = read_in_force(session, session.get_one(Programme, programme_id))
        wrong = [
            FieldError.saying(_place(located, finding.field), finding.code, finding.sentence)
            for located, finding in review_submission(submission, in_force)
            if finding.stops
        ]
        if wrong:
            raise WrongDraft(fields=wrong)
        draft = proposed_versions(submission, in_force.zone)
        run_id = _start(session, programme_id, draft, period)
    nudge(CONTINUE_TASK)
    return run_id


def _place(located: Located[Any], field: str) -> str:
    """Return where a field stands: in the request, in a file, or in what is in force already."""
    if located.place is not None:
        return f"draft.{located.place}.content.{field}"
    return f"{located.file}.{located.full_path(field)}"


def request_backtest_of_change(
    *, programme_id: int, change_request_id: int, period: Period | None
) -> uuid.UUID:
    """Ask for a back-test of what a change request proposes; its result is evidence for that.

    Without a period, for what the restatement that it proposes would post. Raises UnknownChange, StepNotAllowed and
    WrongDraft.
    """
    with transaction() as session:
        change = find_change(session, programme_id, change_request_id)
        if change.state not in OPEN:
            raise StepNotAllowed(step="back_test", state=change.state)
        draft = read_draft(session, change).proposed
        restatement = None if period is not None else _restatement_in(draft)
        run_id = _start(
            session, programme_id, draft, period, change_request_id=change_request_id, restatement=restatement
        )
    nudge(CONTINUE_TASK)
    return run_id


def _restatement_in(draft: Sequence[ProposedVersion]) -> RestatementDefinition:
    for item in draft:
        if item.kind is VersionKind.RESTATEMENT:
            return read_restatement(item.content)
    raise WrongDraft("It proposes no restatement: say which period to replay.")


def _start(
    session: Session,
    programme_id: int,
    draft: Sequence[ProposedVersion],
    period: Period | None,
    *,
    change_request_id: int | None = None,
    restatement: RestatementDefinition | None = None,
) -> uuid.UUID:
    if restatement is not None:
        period = Period(restatement.first_day, restatement.last_day)
    elif not any(item.kind in JUDGING for item in draft):
        raise WrongDraft("It holds nothing that judges acts.")
    assert period is not None  # noqa: S101 - a restatement has its own
    run_id = start_run(
        session, programme_id, draft, period, change_request_id=change_request_id, restatement=restatement
    )
    audit.record(
        session,
        action="backtest.request",
        detail={"run_id": str(run_id), "change_request_id": change_request_id},
    )
    return run_id


def read_backtest(*, run_id: uuid.UUID) -> BacktestProgress:
    """Return how far a back-test has come; raises BacktestNotFound."""
    with reading() as session:
        run = session.get(BacktestRun, run_id, populate_existing=True)
        if run is None:
            raise BacktestNotFound
        counted = session.execute(COUNT_PARTITIONS, {"run_id": run_id}).one()
    return BacktestProgress(
        run_id=run.run_id,
        programme_id=run.programme_id,
        change_request_id=run.change_request_id,
        draft_hash=run.draft_hash.hex(),
        first_day=run.first_day.isoformat(),
        last_day=run.last_day.isoformat(),
        state=run.state,
        requested_at=run.requested_at,
        finished_at=run.finished_at,
        report=run.report,
        **counted._asdict(),
    )


def read_callers_backtest(*, caller: Caller, run_id: uuid.UUID) -> BacktestProgress:
    """Return a back-test of the caller's programme; BacktestNotFound for anybody else's."""
    progress = read_backtest(run_id=run_id)
    with reading() as session:
        if progress.programme_id != programme_of(session, caller):
            raise BacktestNotFound
    return progress


def callers_programme(*, caller: Caller) -> int:
    """Return the programme that a caller asks about; raises ProgrammeNeeded."""
    with reading() as session:
        return programme_of(session, caller)


def cancel_backtest(*, programme_id: int, run_id: uuid.UUID) -> None:
    """End a running back-test of a programme; raises BacktestNotFound, BacktestEnded."""
    with transaction() as session:
        run = session.get(BacktestRun, run_id, populate_existing=True, with_for_update=True)
        if run is None or run.programme_id != programme_id:
            raise BacktestNotFound
        if run.state != "running":
            raise BacktestEnded
        cancel_run(session, run)
        audit.record(session, action="backtest.cancel", detail={"run_id": str(run_id)})
