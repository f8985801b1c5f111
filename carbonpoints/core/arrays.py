"""Arrays for set-based statements, written as PostgreSQL reads them.

A statement that takes thousands of rows takes one array per column (`unnest(%s::bigint[], ...)`). The driver's
own conversion of lists looks at each element's type; these know it, and cost a fraction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Any


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
    written: dict[date | datetime | None, str] = {None: "NULL"}
    texts = []
    for value in values:
        text = written.get(value)
        if text is None and value is not None:
            text = written[value] = f'"{value.isoformat()}"'
        texts.append(text or "NULL")
    return "{" + ",".join(texts) + "}"


def of_column(values: Sequence[Any]) -> str:
    """Return an array of a column whose first value says which kind it is; None is NULL."""
    kind = type(next((value for value in values if value is not None), 0))
    write = _WRITERS.get(kind)
    return write(values) if write is not None else of_texts(str(value) for value in values)


_WRITERS: dict[type, Callable[[Sequence[Any]], str]] = {
    int: of_numbers,
    bytes: of_bytes,
    str: of_texts,
    date: of_times,
    datetime: of_times,
}


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
