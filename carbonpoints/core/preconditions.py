"""Changing only what was seen: a GET answers with an ETag, and a change names it in If-Match (RFC 9110)."""

from __future__ import annotations

from collections.abc import Collection

from marshmallow import fields
from werkzeug.http import parse_etags

from carbonpoints.core.http import Schema
from carbonpoints.core.problems import PreconditionFailed, PreconditionRequired

ETAG_DOCUMENTED = {
    "ETag": {
        "description": "Names this state; a change takes it in `If-Match`.",
        "schema": {"type": "string"},
    }
}
"""For the OpenAPI document."""


class IfMatchHeaders(Schema):
    """The header that every change of something shared must carry."""

    if_match = fields.String(
        data_key="If-Match",
        load_default="",
        metadata={
            "description": "The `ETag` of the state that is changed; 428 without, 412 when it is stale."
        },
    )


def named_tags(header: str) -> frozenset[str]:
    """Return the tags of an If-Match header; PreconditionRequired when it names no particular state."""
    tags = frozenset(parse_etags(header).as_set())
    if not tags:  # "*" names none: whoever sends it has not looked.
        raise PreconditionRequired
    return tags


def refuse_stale(tags: Collection[str], current: str) -> None:
    """Raise PreconditionFailed unless `current` is among the tags that the caller names.

    Comes after the row is locked, or two callers could both be right.
    """
    if current not in tags:
        raise PreconditionFailed
