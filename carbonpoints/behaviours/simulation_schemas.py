"""What trying out an event takes and answers."""

from __future__ import annotations

from typing import Any, get_args

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from carbonpoints.behaviours.schemas import CapLeftSchema, EventSchema, RunningCampaignSchema
from carbonpoints.behaviours.simulating import Draft, UsedBefore
from carbonpoints.core.http import Schema
from carbonpoints.core.sentences import SentenceSchema
from carbonpoints.core.timestamps import Timestamp
from carbonpoints.rules.schemas import FindingSchema
from carbonpoints.rules.tracing import NoBonus
from carbonpoints.rules.usage import PERIODS

COUNTER_MAX = 100_000
AMOUNT_MAX = 10**15
CHOSEN_MAX = 100
_CONTENT = "Its content as versions have it (`/v1/%s`)."


class UsedBeforeSchema(Schema):
    """What the account has used of the rule's own caps, of a shared cap or of a campaign's, in the running period."""

    shared_cap = fields.String(load_default=None, metadata={"description": "Code of a shared cap."})
    campaign = fields.String(load_default=None, metadata={"description": "Code of a campaign."})
    window = fields.String(required=True, validate=validate.OneOf(PERIODS))
    awards = fields.Integer(strict=True, load_default=0, validate=validate.Range(0, AMOUNT_MAX))
    reduction_mg = fields.Integer(strict=True, load_default=0, validate=validate.Range(0, AMOUNT_MAX))
    amount_millicredits = fields.Integer(strict=True, load_default=0, validate=validate.Range(0, AMOUNT_MAX))

    @validates_schema
    def _one_scope(self, data: dict[str, Any], **_: object) -> None:
        if data["shared_cap"] is not None and data["campaign"] is not None:
            raise ValidationError("Name either a shared cap or a campaign.", "campaign")

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
    used = fields.List(fields.Nested(UsedBeforeSchema), load_default=list, validate=validate.Length(max=100))
    opened_on = fields.Date(
        load_default=None,
        metadata={
            "description": "When the account was opened, which campaigns ask for; default: on the day of the act."
        },
    )
    version_ids = fields.List(
        fields.Integer(strict=True, validate=validate.Range(1, 2**63 - 1)),
        load_default=list,
        validate=validate.Length(max=CHOSEN_MAX),
        metadata={
            "description": "Versions of the behaviour type, the rule, its factors, shared caps and campaigns to be "
            "judged by, whenever they hold or held."
        },
    )
    draft = fields.Nested(TriedDraftSchema, load_default=Draft())


class TriedCampaignCapSchema(Schema):
    """A cap of a campaign's own, and what it had left before the event."""

    code = fields.String(required=True)
    window = fields.String(required=True)
    millicredits = fields.Integer(required=True)
    millicredits_left = fields.Integer(required=True)


class TriedCampaignSchema(RunningCampaignSchema):
    """A campaign that held when the act happened, and what it gave or why nothing."""

    applies = fields.Boolean(
        required=True, metadata={"description": "Whether account and act are in its segment."}
    )
    values = fields.Dict(
        keys=fields.String(),
        values=fields.String(allow_none=True),
        required=True,
        metadata={"description": "What its segment was judged by, by name."},
    )
    priority = fields.Integer(required=True)
    stacking = fields.String(required=True)
    ceiling_millicredits = fields.Integer(required=True, allow_none=True)
    caps = fields.List(fields.Nested(TriedCampaignCapSchema), required=True)
    amount_millicredits = fields.Integer(required=True)
    reason = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([*get_args(NoBonus), None]),
        metadata={"description": "Why it gave nothing."},
    )
    sentence = fields.Nested(SentenceSchema, required=True)


class SimulationSchema(EventSchema):
    """What the event would get and why, with what each cap had left before it, and what each campaign made of it."""

    class Meta(Schema.Meta):
        """What only a stored event has is left out."""

        exclude = (
            *("event_id", "account_id", "occurred_at", "received_at", "booked_at"),
            *("business_date", "inputs_state"),
        )

    caps = fields.List(fields.Nested(CapLeftSchema), required=True)
    campaigns = fields.List(
        fields.Nested(TriedCampaignSchema), required=True, metadata={"description": "By priority."}
    )
    findings = fields.List(
        fields.Nested(FindingSchema),
        required=True,
        metadata={
            "description": "What the check says of the rule where a draft is part of it, and of drafted shared caps "
            "and campaigns (`campaigns.0.segment`)."
        },
    )
