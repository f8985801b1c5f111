"""Cursors: opaque texts that say where the next page begins.

A page is read by key, never by offset, so that it costs the same wherever it lies and shifts with nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from marshmallow import fields, validate

from carbonpoints.core import strict_json
from carbonpoints.core.errors import FieldError, InvalidRequest
from carbonpoints.core.http import Schema

LIMIT_DEFAULT = 50
LIMIT_MAX = 500
CURSOR_CHARACTERS = 200
BIGGEST_KEY = 2**63 - 1

Row = TypeVar("Row")


class PageQuery(Schema):
    """The query of a list: `limit` and, from the second page on, the `cursor` of the page before."""

    limit = fields.Integer(load_default=LIMIT_DEFAULT, validate=validate.Range(min=1, max=LIMIT_MAX))
    cursor = fields.String(
        load_default=None,
        validate=validate.Length(max=CURSOR_CHARACTERS),
        metadata={"description": "`next_cursor` of the page before."},
    )


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows and where the next page begins; None after the last."""

    items: Sequence[Row]
    next_cursor: str | None


def encode_cursor(*keys: int | str) -> str:
    """Return the cursor for the keys of the last row of a page."""
    return base64.urlsafe_b64encode(strict_json.canonical(keys)).rstrip(b"=").decode()


def decode_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """Return the keys of a cursor, one of each kind (`int` or `str`); InvalidRequest when it is none of ours."""
    try:
        keys = strict_json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        raise _invalid_cursor() from None
    if not isinstance(keys, list) or [type(key) for key in keys] != list(kinds):
        raise _invalid_cursor()
    if any(isinstance(key, int) and abs(key) > BIGGEST_KEY for key in keys):
        raise _invalid_cursor()
    return tuple(keys)


def make_page(rows: Sequence[Row], limit: int, keys_of: Callable[[Row], tuple[int | str, ...]]) -> Page[Row]:
    """Return the page of `rows`, which were read with one more than `limit` to see whether there is more."""
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], encode_cursor(*keys_of(rows[limit - 1])))


def _invalid_cursor() -> InvalidRequest:
    return InvalidRequest(fields=[FieldError("cursor", "invalid_cursor", "This is no cursor of ours.")])
