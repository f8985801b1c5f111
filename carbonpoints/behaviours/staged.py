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
_WAITING_MAX = 32

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

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
    """Return the whole microseconds from 1970-01-01T00:00Z to `instant` (aware)."""
    return (instant - EPOCH) // MICROSECOND


class ChunkWriter:
    """Collects the events of one chunk, already compressed: a few hundred kilobytes, however many."""

    def __init__(self) -> None:
        self.event_count = 0
        self._waiting: list[StagedEvent] = []
        self._compressor = zlib.compressobj(COMPRESSION_LEVEL)
        self._parts = [self._compressor.compress(b"[")]

    def add(self, event: StagedEvent) -> None:
        """Append an event."""
        self._waiting.append(event)
        self.event_count += 1
        if len(self._waiting) == _WAITING_MAX:
            self._compress()

    def content(self) -> bytes:
        """Return the content of the chunk; the writer is used up."""
        self._compress()
        return b"".join((*self._parts, self._compressor.compress(b"]"), self._compressor.flush()))

    def _compress(self) -> None:
        if self._waiting:
            comma = "," if self.event_count > len(self._waiting) else ""
            text = comma + _encode(self._waiting)[1:-1]
            self._parts.append(self._compressor.compress(text.encode()))
            self._waiting.clear()


def encode_chunk(events: Iterable[StagedEvent]) -> bytes:
    """Return the content of the chunk that holds `events` in this order."""
    writer = ChunkWriter()
    for event in events:
        writer.add(event)
    return writer.content()


def decode_chunk(content: bytes) -> list[StagedEvent]:
    """Return the events of a chunk in the order in which they were staged."""
    return [StagedEvent(*fields) for fields in json.loads(zlib.decompress(content))]
