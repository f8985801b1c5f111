"""What a staged file consists of: events in chunks, written by staging and read by crediting (M19).

A chunk is zlib (level 1) over one JSON array in UTF-8; each event is an array in the order of StagedEvent's
fields. All events of one subject of a job fall into the same bucket, and inside a bucket the order of the file
holds: chunks of different buckets may be credited side by side, those of one bucket only by rising `chunk_no`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

CHUNK_EVENTS = 5_000
"""A chunk holds at the most this many events."""
COMPRESSION_LEVEL = 1

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_FIRST_US = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
_LAST_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class StagedEvent(NamedTuple):
    """An event as a feed's profile mapped it: valid for its behaviour, not decided yet.

    `data` holds text and dates as text, flags as bool and numbers as canonical decimal text (no exponent, no
    plus sign, no superfluous zeros: `5`, `-0.25`); attributes without a value are absent.
    """

    event_id: str
    subject: str
    """`BANK_ACCOUNT:...`, `BANK_ACCOUNT:...#<customer reference>` or `CUSTOMER_REF:...`."""
    occurred_at_us: int
    """Microseconds since 1970-01-01T00:00Z."""
    revision: int
    behaviour: str
    data: dict[str, str | bool]

    @property
    def occurred_at(self) -> datetime:
        """When it happened, in UTC."""
        return instant_of(self.occurred_at_us)


def instant_of(microseconds: int) -> datetime:
    """Return the instant that lies `microseconds` after 1970-01-01T00:00Z."""
    return EPOCH + timedelta(microseconds=microseconds)


def microseconds_of(instant: datetime) -> int:
    """Return the whole microseconds from 1970-01-01T00:00Z to `instant` (aware).

    Raises OverflowError where `instant_of` could not return it: with an offset, an instant may lie outside the
    years 1 to 9999 of UTC.
    """
    microseconds = (instant - EPOCH) // MICROSECOND
    if not _FIRST_US <= microseconds <= _LAST_US:
        raise OverflowError("outside the years 1 to 9999")
    return microseconds


class ChunkWriter:
    """Collects the events of one chunk as text and compresses them all at once."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    @property
    def event_count(self) -> int:
        """How many events there are."""
        return len(self._texts)

    def add(self, text: str) -> None:
        """Append an event, written as `event_text` writes it."""
        self._texts.append(text)

    def content(self) -> bytes:
        """Return the content of the chunk."""
        return zlib.compress(f"[{','.join(self._texts)}]".encode(), COMPRESSION_LEVEL)


def event_text(event: StagedEvent) -> str:
    """Return the JSON of one event of a chunk: no spaces, nothing escaped that need not be."""
    return _encode(event)


def encode_chunk(events: Iterable[StagedEvent]) -> bytes:
    """Return the content of the chunk that holds `events` in this order."""
    writer = ChunkWriter()
    for event in events:
        writer.add(event_text(event))
    return writer.content()


def decode_chunk(content: bytes) -> list[StagedEvent]:
    """Return the events of a chunk in the order in which they were staged."""
    return [StagedEvent(*fields) for fields in json.loads(zlib.decompress(content))]
