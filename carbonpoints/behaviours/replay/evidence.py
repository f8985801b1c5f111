"""A back-test's result on its way to the change request that it was made for."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.approvals.drafts import read_draft
from carbonpoints.approvals.evidence import record_evidence
from carbonpoints.approvals.lifecycle import OPEN
from carbonpoints.approvals.requirements import EvidenceKind, Result
from carbonpoints.approvals.steps import find_change
from carbonpoints.behaviours.replay.drafts import draft_content
from carbonpoints.behaviours.replay.models import BacktestRun
from carbonpoints.core import audit


def record_back_test(session: Session, run: BacktestRun) -> None:
    """Record that a run is done, in its transaction: for whoever audits, and as evidence of the change it was made for.

    A change that was edited meanwhile gets none: what was tried is not what it says now.
    """
    assert run.report is not None  # noqa: S101 - it is done
    result = result_of(run.report, restates=run.restatement is not None)
    audit.record(
        session,
        action="backtest.done",
        detail={
            "run_id": str(run.run_id),
            "change_request_id": run.change_request_id,
            "draft_hash": run.draft_hash.hex(),
            "result": result,
        },
    )
    if run.change_request_id is None:
        return
    change = find_change(session, run.programme_id, run.change_request_id)
    if change.state not in OPEN:
        return
    draft = read_draft(session, change)
    if draft_content(draft.proposed) != run.draft:
        return
    kind = EvidenceKind.BACK_TEST
    if run.restatement is not None:
        kind = EvidenceKind.RESTATEMENT
        if run.restatement not in [item.content for item in draft.proposed]:
            return
    details = {"run_id": str(run.run_id), "report": run.report}
    record_evidence(session, draft, kind, result, details)


def result_of(report: dict[str, Any], *, restates: bool = False) -> Result:
    """Return what a report comes to: a warning where a budget would be passed, and then two persons answer for it.

    A draft passes a budget where acts going on as in the period would; a restatement where what it pays at once does.
    """
    if report["result"] == Result.NO_HISTORY_YET:
        return Result.NO_HISTORY_YET
    passes = any(
        report["more_millicredits"] > forecast["left_millicredits"]
        if restates
        else forecast["draft_last_day"] is not None
        for forecast in report["budget_forecasts"]
    )
    return Result.WARNING if passes else Result.PASSED
