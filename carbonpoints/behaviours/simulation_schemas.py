"""What trying out an event takes and answers."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, post_load, validate

from carbonpoints.behaviours.schemas import CapLeftSchema, EventSchema
from carbonpoints.behaviours.simulating import Draft, UsedBefore
from carbonpoints.core.http import Schema
from carbonpoints.core.timestamps import Timestamp
from carbonpoints.rules.schemas import FindingSchema
from carbonpoints.rules.usage import PERIODS

COUNTER_MAX = 100_000
AMOUNT_MAX = 10**15
CHOSEN_MAX = 100
_CONTENT = "Its content as versions have it (`/v1/%s`)."


class UsedBeforeSchema(Schema):
    """What the account has used of the rule's caps in the running day, month or year."""

    window = fields.String(required=True, validate=validate.OneOf(PERIODS))
    awards = fields.Integer(strict=True, load_default=0, validate=validate.Range(0, AMOUNT_MAX))
    reduction_mg = fields.Integer(strict=True, load_default=0, validate=validate.Range(0, AMOUNT_MAX))
    amount_millicredits = fields.Integer(strict=True, load_default=0, validate=validate.Range(0, AMOUNT_MAX))

    @post_load
    def _used(self, data: dict[str, Any], **_: object) -> UsedBefore:
        return UsedBefore(**data)


class TriedDraftSchema(Schema):
    """Definitions that are not stored; each stands in the place of what is in force under its code."""

    behaviour = fields.Dict(keys=fields.String(), metadata={"description": _CONTENT % "behaviours"})
    rule = fields.Dict(keys=fields.String(), metadata={"description": _CONTENT % "rules"})
    factors = fields.List(
        fields.Dict(keys=fields.String()),
        load_default=list,
        validate=validate.Length(max=CHOSEN_MAX),
        metadata={"description": _CONTENT % "factors"},
    )
    shared_caps = fields.List(
        fields.Dict(keys=fields.String()),
        load_default=list,
        validate=validate.Length(max=CHOSEN_MAX),
        metadata={"description": _CONTENT % "shared-caps"},
    )
    campaigns = fields.List(
        fields.Dict(keys=fields.String()),
        load_default=list,
        validate=validate.Length(max=CHOSEN_MAX),
        metadata={"description": _CONTENT % "campaigns"},
    )

    @post_load
    def _draft(self, data: dict[str, Any], **_: object) -> Draft:
        return Draft(
            behaviours={"draft.behaviour": data["behaviour"]} if "behaviour" in data else {},
            rules={"draft.rule": data["rule"]} if "rule" in data else {},
            factors=_placed(data, "factors"),
            shared_caps=_placed(data, "shared_caps"),
            campaigns=_placed(data, "campaigns"),
        )


def _placed(data: dict[str, Any], name: str) -> dict[str, Any]:
    return {f"draft.{name}.{no}": content for no, content in enumerate(data[name])}


class SimulateSchema(Schema):
    """One event, what its account has used before, and what it is judged by: by default what is in force."""

    behaviour = fields.String(required=True)
    attributes = fields.Dict(
        keys=fields.String(), required=True, metadata={"description": "As in an event's `data`."}
    )
    occurred_at = Timestamp(
        load_default=None, metadata={"description": "When the act happens; default: now."}
    )
    counters = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(strict=True, validate=validate.Range(0, COUNTER_MAX)),
        load_default=dict,
        metadata={"description": "What the rule's counters stand at before the event; default: 0."},
    )
    used = fields.List(fields.Nested(UsedBeforeSchema), load_default=list, validate=validate.Length(max=10))
    version_ids = fields.List(
        fields.Integer(strict=True, validate=validate.Range(1, 2**63 - 1)),
        load_default=list,
        validate=validate.Length(max=CHOSEN_MAX),
        metadata={
            "description": "Versions of the behaviour type, the rule and its factors to be judged by, whenever they "
            "hold or held."
        },
    )
    draft = fields.Nested(TriedDraftSchema, load_default=Draft())


class SimulationSchema(EventSchema):
    """What the event would get and why, with what each cap had left before it."""

    class Meta(Schema.Meta):
        """What only a stored event has is left out."""

        exclude = (
            *("event_id", "account_id", "occurred_at", "received_at", "booked_at"),
            *("business_date", "inputs_state"),
        )

    caps = fields.List(fields.Nested(CapLeftSchema), required=True)
    findings = fields.List(
        fields.Nested(FindingSchema),
        required=True,
        metadata={"description": "What the check says of the rule where a draft is part of it."},
    )
