"""CloudEvents 1.0 in JSON: the envelope, checked, and turned into the event that intake takes.

Binary content modes, base64 data and extensions that we do not know are refused. `revision` is our extension
(M9): 0 or absent for the first report of an act, higher for a correction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from marshmallow import ValidationError, fields, validate

from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.staged import (
    REVERSAL,
    REVERSAL_REASONS,
    StagedEvent,
    microseconds_of,
    stage_event,
)
from carbonpoints.core.errors import FieldError
from carbonpoints.core.http import Schema
from carbonpoints.core.problems import field_errors
from carbonpoints.core.timestamps import Timestamp, parse_timestamp
from carbonpoints.rules.attributes import AttributeChecks, RefusedAttributesError

TYPE_PREFIX = "carbonpoints.behaviour."
BATCH_EVENTS = 1_000
REVISION_MAX = 30_000
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)

_TYPE = re.compile(r"carbonpoints\.(behaviour\.[a-z][a-z0-9_]{0,62}|reversal)\Z")
_SUBJECT = re.compile(r"(CUSTOMER_REF|DEMO|USCC|LEI|ISIN|BANK_ACCOUNT):[^\x00-\x1f]{1,200}\Z")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]+\Z")


class CloudEvent(Schema):
    """A CloudEvent about one act of green behaviour."""

    specversion = fields.String(required=True, validate=validate.Equal("1.0"))
    id = fields.String(required=True, validate=[validate.Length(min=1, max=200), validate.Regexp(_PRINTABLE)])
    source = fields.String(
        required=True, validate=[validate.Length(min=1, max=200), validate.Regexp(_PRINTABLE)]
    )
    type = fields.String(
        required=True,
        validate=validate.Regexp(_TYPE),
        metadata={
            "description": "`carbonpoints.behaviour.` and the behaviour's code; or `carbonpoints.reversal`, which "
            "takes another event of the same source back.",
            "maxLength": 100,
        },
    )
    subject = fields.String(
        required=True,
        validate=validate.Regexp(_SUBJECT),
        metadata={
            "description": "Whose act it is: `CUSTOMER_REF:…`, or `BANK_ACCOUNT:…` with `#` and the acting "
            "customer's reference where the source knows who acted.",
            "maxLength": 220,
        },
    )
    time = Timestamp(required=True, format="iso", metadata={"description": "RFC 3339 with offset."})
    datacontenttype = fields.String(validate=validate.Equal("application/json"))
    dataschema = fields.String(validate=validate.Length(min=1, max=400))
    traceparent = fields.String(validate=validate.Length(max=100))
    tracestate = fields.String(validate=validate.Length(max=512))
    revision = fields.Integer(
        strict=True,
        validate=validate.Range(min=0, max=REVISION_MAX),
        load_default=0,
        metadata={"description": "A higher one corrects the event: what it earned before is taken back."},
    )
    data = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={
            "description": "The behaviour's attributes; numbers as decimal text or whole numbers. Of a reversal: "
            "`source` (its own) and `id` of the event that it takes back, and `reason`: "
            f"{', '.join(f'`{reason}`' for reason in REVERSAL_REASONS)}."
        },
    )


class ReversalData(Schema):
    """The data of a reversal: which event of the same source it takes back, and why."""

    source = fields.String(required=True)
    id = fields.String(required=True, validate=[validate.Length(min=1, max=200), validate.Regexp(_PRINTABLE)])
    reason = fields.String(required=True, validate=validate.OneOf(REVERSAL_REASONS))


_REVERSAL_DATA = ReversalData()
ENVELOPE = CloudEvent()
"""Says what an envelope must be, and of one that is not what is wrong with it."""

_NEEDED = frozenset({"specversion", "id", "source", "type", "subject", "time", "data"})
_PLAIN = _NEEDED | {"datacontenttype", "revision"}
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}\Z")


def load_plain(item: Any) -> dict[str, Any] | None:
    """Return what ENVELOPE loads, for the envelopes that nearly everybody sends; None leaves it to ENVELOPE.

    A batch is a thousand envelopes, and for one that is in order ENVELOPE costs ten times as much.
    """
    if type(item) is not dict or not _NEEDED <= item.keys() <= _PLAIN:
        return None
    revision = item.get("revision", 0)
    names = (item["id"], item["source"], item["type"], item["subject"], item["time"])
    if not (
        {*map(type, names)} == {str}
        and _NAME.match(names[0])
        and _NAME.match(names[1])
        and _TYPE.match(names[2])
        and _SUBJECT.match(names[3])
        and item["specversion"] == "1.0"
        and item.get("datacontenttype", "application/json") == "application/json"
        and type(revision) is int
        and 0 <= revision <= REVISION_MAX
        and type(item["data"]) is dict
    ):
        return None
    at = parse_timestamp(names[4])
    return None if at is None else {**item, "time": at, "revision": revision}


class ReadEvent(NamedTuple):
    """One item of a delivery: the event, or what is wrong with it."""

    event_id: str
    source: str
    event: StagedEvent | None
    disposition: Disposition | None = None
    """Set where the event goes no further: invalid, or a kind that is not enabled."""
    errors: tuple[FieldError, ...] = ()
    is_named: bool = True
    """Whether source and id are well-formed, so that they name an event whatever else is wrong with it."""


class RefusedReversalError(Exception):
    """A reversal names no event that it could take back."""

    def __init__(self, fields: Sequence[FieldError]) -> None:
        super().__init__("refused")
        self.fields = tuple(fields)


def _reversal_data(envelope: Mapping[str, Any]) -> dict[str, str | bool]:
    """Return the data of a reversal; raises RefusedReversalError naming each field that is wrong."""
    try:
        data: dict[str, str | bool] = _REVERSAL_DATA.load(envelope["data"])
    except ValidationError as error:
        found = field_errors(error.messages_dict)
        raise RefusedReversalError([replace(wrong, field=f"data.{wrong.field}") for wrong in found]) from None
    wrong = []
    if data["source"] != envelope["source"]:
        wrong.append(FieldError("data.source", "another_source", "A source takes back its own events only."))
    if data["id"] == envelope["id"]:
        wrong.append(FieldError("data.id", "itself", "A reversal is an event of its own, with its own id."))
    if envelope["revision"]:
        wrong.append(FieldError("revision", "not_revised", "A reversal is final and has no revisions."))
    if wrong:
        raise RefusedReversalError(wrong)
    return data


class EventReader:
    """Reads CloudEvents against the behaviours of one programme."""

    def __init__(self, checks: Mapping[str, AttributeChecks]) -> None:
        self._checks = checks

    def read(self, item: Any) -> ReadEvent:
        """Return the event that `item`, a decoded JSON value, describes, or what is wrong with it."""
        try:
            envelope = load_plain(item) or ENVELOPE.load(item)
        except ValidationError as error:
            named = item if isinstance(item, Mapping) else {}
            return ReadEvent(
                str(named.get("id") or "")[:200],
                str(named.get("source") or "")[:200],
                None,
                Disposition.INVALID,
                tuple(field_errors(error.messages_dict)),
                is_named=bool(named) and error.messages_dict.keys().isdisjoint(("id", "source")),
            )
        event_id, source = envelope["id"], envelope["source"]
        if envelope["time"] < EARLIEST:
            wrong = FieldError("time", "too_small", "Times before 1990 are not accepted.")
            return ReadEvent(event_id, source, None, Disposition.INVALID, (wrong,))
        behaviour = envelope["type"].removeprefix(TYPE_PREFIX)
        checks = self._checks.get(behaviour)
        try:
            if behaviour == REVERSAL:
                data: dict[str, str | bool] = _reversal_data(envelope)
            else:
                data = checks.canonical(envelope["data"]) if checks is not None else {}
        except RefusedReversalError as refused:
            return ReadEvent(event_id, source, None, Disposition.INVALID, refused.fields)
        except RefusedAttributesError as refused:
            errors = tuple(replace(wrong, field=f"data.{wrong.field}") for wrong in refused.fields)
            return ReadEvent(event_id, source, None, Disposition.INVALID, errors)
        event = stage_event(
            source,
            event_id=event_id,
            subject=envelope["subject"],
            occurred_at_us=microseconds_of(envelope["time"]),
            revision=envelope["revision"],
            behaviour=behaviour,
            data=data,
        )
        return ReadEvent(event_id, source, event)
