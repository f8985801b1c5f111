"""The bytes of PostgreSQL's binary COPY, the cheapest way to write many rows. Pure.

A row is the number of its columns, and for each its length and value in network order. It costs server and Python
together a fifth less than text, has nothing to escape, and takes a third of what an INSERT from arrays takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

NULL = b"\xff\xff\xff\xff"
"""In the place of a column's length: it has no value."""
JSONB_VERSION = b"\x01"
"""Begins every value of type jsonb."""
BLOCK_BYTES = 1 << 20

_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
_EPOCH_DAY = date(2000, 1, 1).toordinal()


def days_of(day: date) -> int:
    """Return a date as the format has it: days since 2000-01-01."""
    return day.toordinal() - _EPOCH_DAY


def blocks_of(rows: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the stream that holds `rows`, in blocks of a bounded size."""
    data = b"".join((_HEADER, *rows, _TRAILER))
    for start in range(0, len(data), BLOCK_BYTES):
        yield data[start : start + BLOCK_BYTES]
