"""One segment of a feed's file: where it ends, and what it holds. Reads the file, nothing else.

What a segment holds depends on the file and on the place where it starts alone, so that a segment that was lost
with its worker comes out the same again.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from carbonpoints.behaviours.cells import BadLineError, Columns, find_columns
from carbonpoints.behaviours.mapping import LineMapper
from carbonpoints.behaviours.profiles import ProfileDefinition
from carbonpoints.behaviours.records import BrokenFileError, Records
from carbonpoints.behaviours.staged import CHUNK_EVENTS, ChunkWriter
from carbonpoints.core.errors import Message

SEGMENT_RECORDS = 256_000
BUCKETS_MAX = 64
BYTES_PER_BUCKET = 512 * 1024
"""About as many bytes of a file as give one chunk."""


@dataclass(frozen=True)
class Chunk:
    """The staged events of one bucket of a segment, or a part of them."""

    bucket: int
    event_count: int
    content: bytes


@dataclass(frozen=True)
class RefusedLine:
    """A record that is no event, by the number of its first line."""

    line_no: int
    field: str
    code: str
    detail: Message


@dataclass(frozen=True)
class Cut:
    """Where a segment ends."""

    offset: int
    line_count: int
    """Lines after the header, up to the end of the segment."""
    record_count: int
    is_last: bool


@dataclass
class Segment:
    """What a part of a file holds."""

    line_count: int = 0
    """Lines after the header, up to the end of the segment."""
    event_count: int = 0
    filtered_count: int = 0
    chunks: list[Chunk] = field(default_factory=list)
    """By bucket in the order of the file."""
    refused: list[RefusedLine] = field(default_factory=list)


def bucket_count(file_bytes: int) -> int:
    """Return how many buckets the events of a file of this size are spread over.

    Many, so that the events of one account come together in few chunks; few for a small file.
    """
    return min(BUCKETS_MAX, max(1, file_bytes // BYTES_PER_BUCKET))


def cut_segment(
    file: BinaryIO, profile: ProfileDefinition, *, offset: int, line_count: int, records_max: int
) -> Cut:
    """Return the end of the segment that starts at byte `offset`, after `line_count` lines below the header.

    Raises BrokenFileError when the header does not fit the profile, or where the file cannot be read on.
    """
    records, _, header_lines = _records_from(file, profile, offset, line_count)
    seen = sum(1 for _ in islice(records, records_max))
    return Cut(records.offset, records.line_count - header_lines, seen, seen < records_max)


def _records_from(
    file: BinaryIO, profile: ProfileDefinition, offset: int, line_count: int
) -> tuple[Records, Columns, int]:
    """Return the records from a place on, the columns, and the lines of the header."""
    records = Records(file, profile)
    columns = read_columns(records, profile)
    header_lines = records.line_count
    if offset:
        records.resume(offset, header_lines + line_count)
    return records, columns, header_lines


def read_segment(
    file: BinaryIO,
    profile: ProfileDefinition,
    *,
    make_mapper: Callable[[Columns], LineMapper],
    file_bytes: int,
    offset: int,
    line_count: int,
    records_max: int = SEGMENT_RECORDS,
) -> Segment:
    """Return the segment that starts at byte `offset`, after `line_count` lines below the header.

    Raises BrokenFileError when the header does not fit the profile, or where the file cannot be read on.
    """
    records, columns, header_lines = _records_from(file, profile, offset, line_count)
    mapper = make_mapper(columns)
    buckets = bucket_count(file_bytes)
    writers = [ChunkWriter() for _ in range(buckets)]
    segment = Segment()
    seen = 0
    for line_no, cells in islice(records, records_max):
        seen += 1
        try:
            line = mapper.map(_readable(cells)) if cells else None
        except BadLineError as bad:
            place = None if isinstance(cells, BadLineError) else columns.place(cells)
            detail = Message("%(place)s: %(detail)s", place=place, detail=bad.detail) if place else bad.detail
            segment.refused.append(RefusedLine(line_no, bad.field, bad.code, detail))
            continue
        if line is None:
            continue
        segment.event_count += 1
        bucket = zlib.crc32(line.subject.encode()) % buckets
        writer = writers[bucket]
        writer.add(line.content)
        if writer.event_count == CHUNK_EVENTS:
            segment.chunks.append(Chunk(bucket, CHUNK_EVENTS, writer.content()))
            writers[bucket] = ChunkWriter()
    for bucket, writer in enumerate(writers):
        if writer.event_count:
            segment.chunks.append(Chunk(bucket, writer.event_count, writer.content()))
    segment.filtered_count = seen - segment.event_count - len(segment.refused)
    segment.line_count = records.line_count - header_lines
    return segment


def read_columns(records: Records, profile: ProfileDefinition, table: str = "") -> Columns:
    """Return the columns of the file, or of a lookup table, reading its header where it has one.

    Raises BrokenFileError when the header does not fit the profile.
    """
    if not profile.header:
        return find_columns(profile, None, table)
    _, header = next(iter(records), (1, []))
    try:
        return find_columns(profile, _readable(header), table)
    except BadLineError as bad:
        raise BrokenFileError(1, bad.code, bad.detail) from None


def _readable(cells: list[str] | BadLineError) -> list[str]:
    if isinstance(cells, BadLineError):
        raise cells
    return cells
