"""The audit of changes, out: every step with who, when, why, and each field before and after."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_

from carbonpoints.approvals.models import ChangeRequest, ChangeStep
from carbonpoints.approvals.views import StepView, plain
from carbonpoints.core import audit
from carbonpoints.core.auth import Caller
from carbonpoints.core.csv_lines import csv_lines
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.programmes import programme_of

PAGE_STEPS = 500
"""Steps are read this many at a time."""

COLUMNS = (
    "change_request_id",
    "step_no",
    "step",
    "from_state",
    "to_state",
    "person",
    "taken_at",
    "reason",
    "content_hash",
    "request_id",
)
CSV_HEADER = csv_lines([(*COLUMNS, "field", "before", "after")])


@dataclass(frozen=True)
class StepFilter:
    """Which steps of a programme's changes are meant; None asks for all."""

    programme_id: int
    change_request_id: int | None
    taken_from: datetime | None
    taken_to: datetime | None


def begin_export(
    *,
    caller: Caller,
    purpose: str,
    form: str,
    change_request_id: int | None,
    taken_from: datetime | None,
    taken_to: datetime | None,
) -> StepFilter:
    """Write down who exports which steps and for which purpose, and return what to read (M21)."""
    with transaction() as session:
        wanted = StepFilter(programme_of(session, caller), change_request_id, taken_from, taken_to)
        detail = {
            "format": form,
            "change_request_id": change_request_id,
            "taken_from": taken_from.isoformat() if taken_from else None,
            "taken_to": taken_to.isoformat() if taken_to else None,
        }
        audit.record(session, action="changes.export", purpose=purpose, detail=detail)
    return wanted


def read_steps(wanted: StepFilter, after: tuple[int, int]) -> list[StepView]:
    """Return the next steps after (change request, number), PAGE_STEPS at the most, in this order."""
    key = tuple_(ChangeStep.change_request_id, ChangeStep.step_no)
    query = (
        select(ChangeStep)
        .join(ChangeRequest, ChangeRequest.change_request_id == ChangeStep.change_request_id)
        .where(ChangeRequest.programme_id == wanted.programme_id, key > after)
    )
    if wanted.change_request_id is not None:
        query = query.where(ChangeStep.change_request_id == wanted.change_request_id)
    if wanted.taken_from is not None:
        query = query.where(ChangeStep.taken_at >= wanted.taken_from)
    if wanted.taken_to is not None:
        query = query.where(ChangeStep.taken_at < wanted.taken_to)
    with reading() as session:
        rows = session.scalars(query.order_by(key).limit(PAGE_STEPS))
        return [plain(StepView, row) for row in rows]


def as_csv(steps: Iterable[StepView]) -> str:
    """Return steps as CSV: a line for each field, or one for a step without any."""
    return csv_lines(
        (*_step(step).values(), *cells)
        for step in steps
        for cells in ([_cells(field) for field in step.fields] or [("", "", "")])
    )


def as_json_lines(steps: Iterable[StepView]) -> str:
    """Return steps as JSON, a line for each."""
    return "".join(
        json.dumps({**_step(step), "fields": [_field(field) for field in step.fields]}, ensure_ascii=False)
        + "\n"
        for step in steps
    )


def _step(step: StepView) -> dict[str, Any]:
    shown = {name: getattr(step, name) for name in COLUMNS}
    shown["taken_at"] = step.taken_at.isoformat()
    shown["content_hash"] = step.content_hash.hex() if step.content_hash else None
    return shown


def _field(field: dict[str, Any]) -> dict[str, Any]:
    return {name: field[name] for name in ("field", "before", "after")}


def _cells(field: dict[str, Any]) -> tuple[str, str, str]:
    before, after = (_cell(field[side]) for side in ("before", "after"))
    return field["field"], before, after


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
