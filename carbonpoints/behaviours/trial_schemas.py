"""What a trial load takes and answers."""

from __future__ import annotations

from marshmallow import fields, validate

from carbonpoints.approvals.requirements import Result
from carbonpoints.behaviours.feed_schemas import JobErrorSchema
from carbonpoints.behaviours.trial_load import RECORDS_MAX, SAMPLE_EVENTS, SAMPLE_REFUSED_LINES
from carbonpoints.core.http import Schema
from carbonpoints.core.sentences import Told

ITEM_MAX = 2**31 - 1


class TrialQuery(Schema):
    """Which of the change's items is tried."""

    item = fields.Integer(
        load_default=0,
        validate=validate.Range(0, ITEM_MAX),
        metadata={"description": "Number of the item that proposes the profile, from 0."},
    )


class RefusedCountSchema(Schema):
    """How many lines were refused for one field and code."""

    field = fields.String(required=True)
    code = fields.String(required=True)
    count = fields.Integer(required=True)


class RefusedLineSchema(Schema):
    """A line that is no event, by its number in the file."""

    line_no = fields.Integer(required=True)
    field = fields.String(required=True)
    code = fields.String(required=True)
    detail = Told(required=True)


class TriedEventSchema(Schema):
    """An event in canonical form, as it would be kept; keyed attributes are keyed with a key of this trial's own."""

    source = fields.String(required=True)
    id = fields.String(required=True)
    revision = fields.Integer(required=True)
    type = fields.String(required=True)
    subject = fields.String(required=True)
    time_us = fields.Integer(
        required=True, metadata={"description": "When it happened: microseconds since 1970-01-01T00:00Z."}
    )
    data = fields.Dict(keys=fields.String(), required=True)


class TrialLoadSchema(Schema):
    """What the profile makes of the file. Nothing was credited, and neither file nor samples are kept."""

    result = fields.String(
        required=True, validate=validate.OneOf([Result.PASSED, Result.WARNING, Result.FAILED])
    )
    is_whole = fields.Boolean(
        required=True,
        metadata={"description": f"Whether all of the file was tried: the first {RECORDS_MAX} records are."},
    )
    error = fields.Nested(
        JobErrorSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Why nothing of the file would be credited, where that is so."},
    )
    record_count = fields.Integer(
        required=True, metadata={"description": "Records tried: each is an event, filtered or refused."}
    )
    line_count = fields.Integer(
        required=True, metadata={"description": "Lines read below the header; a record may span several."}
    )
    event_count = fields.Integer(required=True)
    filtered_count = fields.Integer(required=True)
    refused_count = fields.Integer(required=True)
    refused_by = fields.List(fields.Nested(RefusedCountSchema), required=True)
    refused = fields.List(
        fields.Nested(RefusedLineSchema),
        required=True,
        metadata={"description": f"The first {SAMPLE_REFUSED_LINES} refused lines."},
    )
    events = fields.List(
        fields.Nested(TriedEventSchema),
        required=True,
        metadata={"description": f"Up to {SAMPLE_EVENTS} of the events."},
    )
