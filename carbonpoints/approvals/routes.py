"""Change requests over HTTP: schema in, one service call, schema out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Flask, Response, current_app

from carbonpoints.approvals import exporting, requests, schemas, views
from carbonpoints.approvals.lifecycle import Actor
from carbonpoints.approvals.views import ChangeSummary, ChangeView, StepView
from carbonpoints.core.auth import current_caller
from carbonpoints.core.http import Blueprint, Registration
from carbonpoints.core.pagination import Page
from carbonpoints.core.preconditions import ETAG_DOCUMENTED, IfMatchHeaders, named_tags

blueprint = Blueprint(
    "changes",
    __name__,
    url_prefix="/v1",
    description="Changes of what admins own: drafted by makers, decided by another person, with evidence and audit.",
)

_ADDRESS = "/change-requests/<int:change_request_id>"
Tagged = tuple[ChangeView, int, dict[str, str]]


def _tagged(change: ChangeView, status: int = 200) -> Tagged:
    headers = {"ETag": f'"{change.etag}"'}
    if status == 201:  # noqa: PLR2004 - Created
        headers["Location"] = f"/v1/change-requests/{change.summary.change_request_id}"
    return change, status, headers


@blueprint.route("/change-requests", methods=["POST"])
@blueprint.arguments(schemas.DraftSchema)
@blueprint.response(201, schemas.ChangeSchema, headers=ETAG_DOCUMENTED)
def create_change(body: dict[str, Any]) -> Tagged:
    """Draft a change; nothing is different until another person has approved it."""
    return _tagged(requests.create_change(caller=current_caller(), **body), 201)


@blueprint.route("/change-requests")
@blueprint.arguments(schemas.ChangeQuery, location="query")
@blueprint.response(200, schemas.ChangePageSchema)
def list_changes(query: dict[str, Any]) -> Page[ChangeSummary]:
    """List change requests, the latest first."""
    return views.list_changes(caller=current_caller(), **query)


@blueprint.route(_ADDRESS)
@blueprint.response(200, schemas.ChangeSchema, headers=ETAG_DOCUMENTED)
def get_change(change_request_id: int) -> Tagged:
    """Show a change: what it proposes field by field, its evidence, what is worse for customers, every step."""
    return _tagged(views.read_change(caller=current_caller(), change_request_id=change_request_id))


@blueprint.route(_ADDRESS, methods=["PUT"])
@blueprint.arguments(IfMatchHeaders, location="headers")
@blueprint.arguments(schemas.DraftSchema)
@blueprint.response(200, schemas.ChangeSchema, headers=ETAG_DOCUMENTED)
def edit_change(headers: dict[str, str], body: dict[str, Any], change_request_id: int) -> Tagged:
    """Propose something else; what was submitted is a draft again and needs its evidence anew."""
    return _step(requests.edit_change, headers, body, change_request_id)


@blueprint.route(f"{_ADDRESS}/submit", methods=["POST"])
@blueprint.arguments(IfMatchHeaders, location="headers")
@blueprint.arguments(schemas.RemarkSchema)
@blueprint.response(200, schemas.ChangeSchema, headers=ETAG_DOCUMENTED)
def submit_change(headers: dict[str, str], body: dict[str, Any], change_request_id: int) -> Tagged:
    """Ask for approval; the draft needs all its evidence, and notice where it is worse for customers."""
    return _step(requests.submit_change, headers, body, change_request_id)


@blueprint.route(f"{_ADDRESS}/withdraw", methods=["POST"])
@blueprint.arguments(IfMatchHeaders, location="headers")
@blueprint.arguments(schemas.ReasonSchema)
@blueprint.response(200, schemas.ChangeSchema, headers=ETAG_DOCUMENTED)
def withdraw_change(headers: dict[str, str], body: dict[str, Any], change_request_id: int) -> Tagged:
    """Give a change up that is not decided."""
    return _step(requests.withdraw_change, headers, body, change_request_id)


@blueprint.route(f"{_ADDRESS}/reject", methods=["POST"])
@blueprint.arguments(IfMatchHeaders, location="headers")
@blueprint.arguments(schemas.ReasonSchema)
@blueprint.response(200, schemas.ChangeSchema, headers=ETAG_DOCUMENTED)
def reject_change(headers: dict[str, str], body: dict[str, Any], change_request_id: int) -> Tagged:
    """Refuse a change that was submitted."""
    return _step(requests.reject_change, headers, body, change_request_id)


@blueprint.route(f"{_ADDRESS}/approve", methods=["POST"])
@blueprint.arguments(IfMatchHeaders, location="headers")
@blueprint.arguments(schemas.RemarkSchema)
@blueprint.response(200, schemas.ChangeSchema, headers=ETAG_DOCUMENTED)
def approve_change(headers: dict[str, str], body: dict[str, Any], change_request_id: int) -> Tagged:
    """Approve a change that others made; where it needs two checkers, the first one agrees to it."""
    return _step(requests.approve_change, headers, body, change_request_id)


@blueprint.route(f"{_ADDRESS}/rollback", methods=["POST"])
@blueprint.arguments(IfMatchHeaders, location="headers")
@blueprint.arguments(schemas.RollBackSchema)
@blueprint.response(201, schemas.ChangeSchema, headers=ETAG_DOCUMENTED)
def roll_back_change(headers: dict[str, str], body: dict[str, Any], change_request_id: int) -> Tagged:
    """Draft a new change that restores what this one replaced; it goes the same way as any other."""
    change, _, _ = _step(requests.roll_back_change, headers, body, change_request_id)
    return _tagged(change, 201)


@blueprint.route("/change-requests/audit.csv")
@blueprint.arguments(schemas.AuditQuery, location="query")
@blueprint.response(200, {"type": "string"}, content_type="text/csv", description="A line for each field.")
def export_csv(query: dict[str, Any]) -> Response:
    """Export every step of every change as CSV: who, when, why, each field before and after."""
    return _export(query, "csv", "text/csv; charset=utf-8", exporting.as_csv, exporting.CSV_HEADER)


@blueprint.route("/change-requests/audit.jsonl")
@blueprint.arguments(schemas.AuditQuery, location="query")
@blueprint.response(
    200, {"type": "string"}, content_type="application/jsonl", description="A line for each step."
)
def export_json_lines(query: dict[str, Any]) -> Response:
    """Export every step of every change as JSON lines."""
    return _export(query, "jsonl", "application/jsonl", exporting.as_json_lines, "")


def _step(
    service: Callable[..., ChangeView], headers: dict[str, str], body: dict[str, Any], change_request_id: int
) -> Tagged:
    return _tagged(
        service(
            caller=current_caller(),
            change_request_id=change_request_id,
            tags=named_tags(headers["if_match"]),
            **body,
        )
    )


def _export(
    query: dict[str, Any],
    form: str,
    content_type: str,
    written: Callable[[Iterable[StepView]], str],
    heading: str,
) -> Response:
    wanted = exporting.begin_export(caller=current_caller(), form=form, **query)
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001

    def pages() -> Iterator[str]:
        """Yield the export page by page, each read in a context of its own: the request is over by then."""
        yield heading
        after = (0, 0)
        while True:
            with app.app_context():
                steps = exporting.read_steps(wanted, after)
            if not steps:
                return
            yield written(steps)
            after = (steps[-1].change_request_id, steps[-1].step_no)

    response = Response(pages(), content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="changes.{form}"'
    return response


SCOPE_OF = {Actor.MAKER: "changes:write", Actor.CHECKER: "changes:check"}
_READ = "changes:read"

CHANGES = Registration(
    blueprint,
    scopes={
        "create_change": SCOPE_OF[Actor.MAKER],
        "list_changes": _READ,
        "get_change": _READ,
        "edit_change": SCOPE_OF[Actor.MAKER],
        "submit_change": SCOPE_OF[Actor.MAKER],
        "withdraw_change": SCOPE_OF[Actor.MAKER],
        "reject_change": SCOPE_OF[Actor.CHECKER],
        "approve_change": SCOPE_OF[Actor.CHECKER],
        "roll_back_change": SCOPE_OF[Actor.MAKER],
        "export_csv": _READ,
        "export_json_lines": _READ,
    },
)
