"""JSON in and out, strictly: exact numbers, no duplicate names, nothing the database cannot keep.

Fractions become Decimal, so that `5.2` stays 5.2. Numbers are bounded, because `1e999999999` is short to write
and long to compute.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from flask import Flask
from flask.json.provider import DefaultJSONProvider

NUMBER_CHARACTERS = 40
NUMBER_EXPONENT = 30


def _integer(text: str) -> int:
    if len(text) > NUMBER_CHARACTERS:
        raise ValueError("a number is too long")
    return int(text)


def _fraction(text: str) -> Decimal:
    if len(text) > NUMBER_CHARACTERS:
        raise ValueError("a number is too long")
    value = Decimal(text)
    if abs(value.adjusted()) > NUMBER_EXPONENT:
        raise ValueError("a number is out of range")
    return value


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return value


_DECODER = json.JSONDecoder(
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_refuse_constant,
    object_pairs_hook=_object,
)


def loads(text: str | bytes) -> Any:
    """Return what a JSON text says.

    Raises ValueError for whatever is not JSON in UTF-8, for a duplicate name, a number out of bounds, a NUL
    character or half a surrogate pair.
    """
    decoded = text.decode() if isinstance(text, bytes) else text
    try:
        value = _DECODER.decode(decoded)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if "\\u" in decoded:  # Only an escape can bring in what UTF-8 itself cannot.
        _refuse_unstorable(value)
    return value


def _refuse_unstorable(value: Any) -> None:
    if isinstance(value, str):
        value.encode()  # UnicodeEncodeError, a ValueError, for half a surrogate pair.
        if "\0" in value:
            raise ValueError("a text contains NUL")
    elif isinstance(value, dict):
        for name, item in value.items():
            _refuse_unstorable(name)
            _refuse_unstorable(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item)


def canonical(value: Any) -> bytes:
    """Return one and the same bytes for equal values: sorted names, no spaces, UTF-8."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str, allow_nan=False
    ).encode()


class StrictJSONProvider(DefaultJSONProvider):
    """Flask's JSON with the rules above; answers keep the order of their schema and show text as it is."""

    sort_keys = False
    ensure_ascii = False

    def loads(self, s: str | bytes, **_kwargs: Any) -> Any:
        """Return what the text says; ValueError when it is not strict JSON."""
        return loads(s)


def init_json(app: Flask) -> None:
    """Make the app read and write JSON strictly."""
    app.json = StrictJSONProvider(app)
