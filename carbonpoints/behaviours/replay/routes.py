"""Back-tests over HTTP: ask for one, follow it, read its report, cancel it; and what re-execution found."""

from __future__ import annotations

import uuid
from typing import Any

from flask import url_for

from carbonpoints.behaviours.replay.history import Period
from carbonpoints.behaviours.replay.reexecution import list_findings
from carbonpoints.behaviours.replay.schemas import (
    BacktestRequestSchema,
    BacktestSchema,
    FindingsQuery,
    ReexecutionFindingsSchema,
)
from carbonpoints.behaviours.replay.services import (
    BacktestProgress,
    callers_programme,
    cancel_backtest,
    read_callers_backtest,
    request_backtest,
    request_backtest_of_change,
    submission_from_content,
)
from carbonpoints.core.auth import current_caller
from carbonpoints.core.http import Blueprint, Registration

blueprint = Blueprint(
    "replays",
    __name__,
    url_prefix="/v1",
    description="What a draft would have done to past decisions, and past decisions run again.",
)


@blueprint.route("/backtests", methods=["POST"])
@blueprint.arguments(BacktestRequestSchema)
@blueprint.response(202, BacktestSchema)
def post_backtest(asked: dict[str, Any]) -> tuple[BacktestProgress, int, dict[str, str]]:
    """Replay a past period through a draft, as if that had been in force all the time.

    It runs in the background and changes nothing; of a change request, its result becomes evidence. A change request
    that proposes a restatement is held, without dates, against the period of that: the draft then is what it would post.
    """
    caller = current_caller()
    programme_id = callers_programme(caller=caller)
    period = Period(asked["first_day"], asked["last_day"]) if "first_day" in asked else None
    if period is not None and "draft" in asked:
        submission = submission_from_content(asked["draft"])
        run_id = request_backtest(programme_id=programme_id, submission=submission, period=period)
    else:
        run_id = request_backtest_of_change(
            programme_id=programme_id, change_request_id=asked["change_request_id"], period=period
        )
    progress = read_callers_backtest(caller=caller, run_id=run_id)
    return progress, 202, {"Location": url_for("replays.get_backtest", run_id=run_id)}


@blueprint.route("/backtests/<uuid:run_id>")
@blueprint.response(200, BacktestSchema)
def get_backtest(run_id: uuid.UUID) -> BacktestProgress:
    """Say how far a back-test has come; once it is done, with its report."""
    return read_callers_backtest(caller=current_caller(), run_id=run_id)


@blueprint.route("/backtests/<uuid:run_id>/cancel", methods=["POST"])
@blueprint.response(200, BacktestSchema)
def post_cancel(run_id: uuid.UUID) -> BacktestProgress:
    """End a back-test that runs; what it has added up is dropped."""
    caller = current_caller()
    cancel_backtest(programme_id=callers_programme(caller=caller), run_id=run_id)
    return read_callers_backtest(caller=caller, run_id=run_id)


@blueprint.route("/reexecutions")
@blueprint.arguments(FindingsQuery, location="query")
@blueprint.response(200, ReexecutionFindingsSchema)
def get_reexecutions(query: dict[str, Any]) -> dict[str, Any]:
    """List past decisions that came out differently when they were run again: every night a sample is."""
    return {"findings": list_findings(caller=current_caller(), limit=query["limit"])}


REPLAYS = Registration(
    blueprint,
    scopes={
        "post_backtest": "backtests:write",
        "get_backtest": "backtests:read",
        "post_cancel": "backtests:write",
        "get_reexecutions": "ledger:read",
    },
)
