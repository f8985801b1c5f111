"""Events in and their explanations out."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from carbonpoints.accounts.schemas import PurposeQuerySchema
from carbonpoints.behaviours import views
from carbonpoints.behaviours.cloudevents import BATCH_EVENTS, CloudEvent
from carbonpoints.behaviours.delivering import deliver_batch, deliver_event
from carbonpoints.behaviours.offers import list_tasks
from carbonpoints.behaviours.schemas import (
    DeliveredSchema,
    EventQuerySchema,
    EventSchema,
    EventStandingSchema,
    TasksQuerySchema,
    TasksSchema,
)
from carbonpoints.core.auth import current_caller
from carbonpoints.core.errors import FieldError, InvalidRequest
from carbonpoints.core.http import Blueprint, Registration, load_json
from carbonpoints.core.ids import parse_account_id
from carbonpoints.core.problems import UnsupportedMediaType

blueprint = Blueprint(
    "events", __name__, url_prefix="/v1", description="Green behaviour in, and why it earned what it earned."
)

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_BODY = {
    "required": True,
    "content": {
        ONE: {"schema": CloudEvent},
        BATCH: {"schema": {"type": "array", "items": CloudEvent, "minItems": 1, "maxItems": BATCH_EVENTS}},
    },
}


@blueprint.route("/events", methods=["POST"])
@blueprint.doc(requestBody=_BODY)
@blueprint.response(200, DeliveredSchema)
def post_events() -> Response:
    """Report green behaviour: one CloudEvent, or a batch that is answered item by item in order.

    The same event may be sent again at any time: it answers `duplicate` and changes nothing.
    """
    caller = current_caller()
    if request.mimetype == ONE:
        delivered = deliver_event(caller=caller, item=load_json(request.get_data()))
    elif request.mimetype == BATCH:
        items = load_json(request.get_data())
        if not isinstance(items, list) or not 1 <= len(items) <= BATCH_EVENTS:
            wrong = FieldError(
                "", "wrong_length", "A batch is an array of 1 to %(max)s events.", {"max": BATCH_EVENTS}
            )
            raise InvalidRequest(fields=[wrong])
        delivered = deliver_batch(caller=caller, items=items)
    else:
        raise UnsupportedMediaType("Send %(one)s or %(batch)s.", params={"one": ONE, "batch": BATCH})
    answer = views.delivered_json(delivered, shows_balances="accounts:read" in caller.scopes)
    return Response(answer, mimetype="application/json")


@blueprint.route("/events", methods=["GET"])
@blueprint.arguments(EventQuerySchema, location="query")
@blueprint.response(200, EventStandingSchema)
def find_event(query: dict[str, Any]) -> dict[str, Any]:
    """Say where an event stands, by the source and id its sender gave it."""
    return views.find_standing(caller=current_caller(), source_uri=query["source"], event_id=query["id"])


@blueprint.route("/events/<event_id>", methods=["GET"])
@blueprint.arguments(PurposeQuerySchema, location="query")
@blueprint.response(200, EventSchema)
def get_event(query: dict[str, Any], event_id: str) -> dict[str, Any]:
    """Say what became of an event and why, or why not."""
    return views.read_event(
        caller=current_caller(), event_id=event_id, purpose=query["purpose"], awards_only=False
    )


@blueprint.route("/awards/<award_id>", methods=["GET"])
@blueprint.arguments(PurposeQuerySchema, location="query")
@blueprint.response(200, EventSchema)
def get_award(query: dict[str, Any], award_id: str) -> dict[str, Any]:
    """Say why an award is what it is: rule version, each factor, each step, the cap that cut it."""
    return views.read_event(
        caller=current_caller(), event_id=award_id, purpose=query["purpose"], awards_only=True
    )


@blueprint.route("/tasks", methods=["GET"])
@blueprint.arguments(TasksQuerySchema, location="query")
@blueprint.response(200, TasksSchema)
def get_tasks(query: dict[str, Any]) -> dict[str, Any]:
    """Say what each behaviour is worth, what is left of its caps today, and whether consent is needed."""
    account = query["account_id"]
    tasks = list_tasks(
        caller=current_caller(),
        account_id=parse_account_id(account) if account else None,
        purpose=query["purpose"],
    )
    return {"tasks": tasks}


EVENTS = Registration(
    blueprint,
    scopes={
        "post_events": "events:write",
        "find_event": "events:read",
        "get_event": "events:read",
        "get_award": "events:read",
        "get_tasks": "tasks:read",
    },
)
