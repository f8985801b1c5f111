"""Answers of the feeds API."""

from __future__ import annotations

from marshmallow import fields, validate

from carbonpoints.core.http import Schema
from carbonpoints.core.sentences import Told

STATES = ("received", "staged", "done", "failed")


class JobErrorSchema(Schema):
    """Why a whole file failed, of which nothing was credited then."""

    code = fields.String(required=True)
    detail = Told(required=True)
    line_no = fields.Integer(required=True, allow_none=True)


class FeedJobSchema(Schema):
    """How far a file has come: `received`, then `staged` whole, then credited chunk by chunk until `done`."""

    job_id = fields.UUID(required=True)
    profile = fields.String(required=True)
    file_name = fields.String(required=True)
    file_bytes = fields.Integer(required=True)
    file_hash = fields.String(required=True, metadata={"description": "SHA-256 of the file, hexadecimal."})
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    received_at = fields.AwareDateTime(required=True, format="iso")
    staged_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    finished_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    staged_bytes = fields.Integer(required=True)
    line_count = fields.Integer(
        required=True, metadata={"description": "Lines read below the header; a record may span several."}
    )
    event_count = fields.Integer(required=True, metadata={"description": "Records that became events."})
    decided_count = fields.Integer(
        required=True, metadata={"description": "Events that were decided so far."}
    )
    dispositions = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={
            "description": "Every record staged or decided so far, exactly once: `filtered`, `refused`, or the "
            "disposition of its event, with the reason after a colon where there is one."
        },
    )
    error = fields.Nested(JobErrorSchema, required=True, allow_none=True)
