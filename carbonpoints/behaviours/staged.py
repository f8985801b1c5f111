"""Staged events: valid for their behaviour, not decided yet; and the chunks that hold those of a file (M19).

An event is written once, as its canonical JSON: those bytes go into a chunk, are committed to, and are what is kept
of it. A chunk is zlib (level 1) over one such text a line, in UTF-8. All events of one subject of a job fall into
the same bucket, and inside a bucket the order of the file holds: chunks of different buckets may be credited side by
side, those of one bucket only by rising `chunk_no`.
"""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring as _text
from typing import NamedTuple

CHUNK_EVENTS = 5_000
"""A chunk holds at the most this many events."""
COMPRESSION_LEVEL = 1

REVERSAL = "carbonpoints.reversal"
"""Stands in the place of the behaviour where an event takes another one back; no behaviour's code has a dot. Its
data are `source` and `id` of that event, and the `reason`."""
REVERSAL_REASONS = ("refunded", "cancelled", "booked_in_error", "fraud")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_FIRST_US = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
_LAST_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
_FLAGS: dict[object, str] = {True: "true", False: "false"}
_DATA_START = len('{"data":')
_AFTER_DATA = '},"id":'


class StagedEvent(NamedTuple):
    """An event as it came in, brought into canonical form.

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
    content: str
    """All of it and the source, as `stage_event` writes it."""

    @property
    def occurred_at(self) -> datetime:
        """When it happened, in UTC."""
        return instant_of(self.occurred_at_us)


def stage_event(
    source_uri: str,
    *,
    event_id: str,
    subject: str,
    occurred_at_us: int,
    behaviour: str,
    data: dict[str, str | bool],
    revision: int = 0,
) -> StagedEvent:
    """Return an event of this source; the fields are those of StagedEvent.

    Its content is canonical JSON: sorted names, no spaces, no line breaks, numbers as exact text. It is written out
    because all values are texts and flags: the general encoder costs several times as much.
    """
    members = ",".join(
        [
            f"{_text(code)}:{_text(value) if isinstance(value, str) else _FLAGS[value]}"
            for code, value in sorted(data.items())
        ]
    )
    content = (
        f'{{"data":{{{members}}},"id":{_text(event_id)},"revision":{revision},"source":{_text(source_uri)},'
        f'"subject":{_text(subject)},"time_us":{occurred_at_us},"type":{_text(behaviour)}}}'
    )
    return StagedEvent(event_id, subject, occurred_at_us, revision, behaviour, data, content)


def data_text(content: str) -> str:
    """Return the part of an event's content that holds its data: JSON, and half the length.

    The order of the names is fixed, and inside a JSON text no quotation mark stands without a backslash.
    """
    return content[_DATA_START : content.index(_AFTER_DATA) + 1]


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
    """Collects the events of one chunk and compresses them all at once."""

    def __init__(self) -> None:
        self._contents: list[str] = []

    @property
    def event_count(self) -> int:
        """How many events there are."""
        return len(self._contents)

    def add(self, content: str) -> None:
        """Append an event, written as `stage_event` writes it."""
        self._contents.append(content)

    def content(self) -> bytes:
        """Return the content of the chunk."""
        return zlib.compress("\n".join(self._contents).encode(), COMPRESSION_LEVEL)


def decode_chunk(chunk: bytes) -> list[StagedEvent]:
    """Return the events of a chunk in the order in which they were staged."""
    text = zlib.decompress(chunk).decode()
    # No line break stands inside an event, so every one of them separates two.
    events = json.loads(f"[{text.replace(chr(10), ',')}]")
    return [
        StagedEvent(
            event["id"],
            event["subject"],
            event["time_us"],
            event["revision"],
            event["type"],
            event["data"],
            content,
        )
        for event, content in zip(events, text.split("\n"), strict=True)
    ]
