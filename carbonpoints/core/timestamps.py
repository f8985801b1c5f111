"""Instants as requests write them: RFC 3339 with its offset, and nothing else of ISO 8601."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from marshmallow import fields

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})?\Z"
)
"""The offset is optional here, so that one who forgot it is told so."""


def parse_timestamp(text: str) -> datetime | None:
    """Return the instant that RFC 3339 writes with its offset, in UTC; None for anything else."""
    if _RFC_3339.match(text) is None:
        return None
    try:
        instant = datetime.fromisoformat(text.upper())
        return None if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):  # The last hours of 9999 may lie outside UTC's years.
        return None


class Timestamp(fields.AwareDateTime):
    """An instant as RFC 3339 writes it, in UTC once it is read; what has no offset is refused as such."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if isinstance(value, str) and _RFC_3339.match(value) is not None:
            with suppress(OverflowError):  # The last hours of 9999 may lie outside UTC's years.
                return super()._deserialize(value.upper(), attr, data, **kwargs).astimezone(UTC)
        raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
