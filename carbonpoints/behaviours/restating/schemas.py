"""What the routes of restatements answer."""

from __future__ import annotations

from marshmallow import fields

from carbonpoints.core.http import Schema


class PostedSchema(Schema):
    """What was posted, summed over all accounts."""

    events = fields.Integer(
        required=True, metadata={"description": "Looked at, whether judged again or not."}
    )
    awards = fields.Integer(required=True, metadata={"description": "That came to something else."})
    accounts = fields.Integer(required=True, metadata={"description": "With such an award."})
    millicredits = fields.Integer(required=True, metadata={"description": "Paid."})
    added_mg = fields.Integer(required=True)
    taken_mg = fields.Integer(required=True)
    kept_millicredits = fields.Integer(
        required=True,
        metadata={"description": "Granted, and not given by what judges the acts now; it stays."},
    )
    withheld_millicredits = fields.Integer(
        required=True, metadata={"description": "What closed accounts would have got."}
    )


class RestatementSchema(Schema):
    """A restatement, and how far posting it has come."""

    code = fields.String(required=True, attribute="restatement.code")
    first_day = fields.Date(required=True, attribute="restatement.first_day")
    last_day = fields.Date(required=True, attribute="restatement.last_day")
    behaviours = fields.List(fields.String(), required=True, attribute="restatement.behaviours")
    explanation_en = fields.String(required=True, attribute="restatement.explanation_en")
    explanation_zh = fields.String(required=True, attribute="restatement.explanation_zh")
    version_id = fields.Integer(required=True)
    change_request_id = fields.Integer(required=True)
    approved_at = fields.AwareDateTime(required=True, format="iso")
    finished_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    partitions = fields.Integer(required=True, metadata={"description": "Ranges of accounts."})
    partitions_done = fields.Integer(required=True)
    posted = fields.Nested(PostedSchema, required=True, allow_none=True)


class RestatementsSchema(Schema):
    """Approved restatements, latest first."""

    restatements = fields.List(fields.Nested(RestatementSchema), required=True)
