"""Arrays for set-based statements, written as PostgreSQL reads them.

A statement that takes thousands of rows takes one array per column (`unnest(%s::bigint[], ...)`). The driver's
own conversion of lists looks at each element's type; these know it, and cost a fraction.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime


def of_numbers(values: Iterable[int | None]) -> str:
    """Return an array of integers; None is NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def of_bytes(values: Iterable[bytes]) -> str:
    """Return an array of byte strings."""
    return "{" + ",".join([f'"\\\\x{value.hex()}"' for value in values]) + "}"


def of_texts(values: Iterable[str | None]) -> str:
    """Return an array of texts, or of JSON documents as text; None is NULL."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def of_times(values: Iterable[date | datetime | None]) -> str:
    """Return an array of dates, or of aware instants; None is NULL."""
    return "{" + ",".join(["NULL" if value is None else f'"{value.isoformat()}"' for value in values]) + "}"


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
