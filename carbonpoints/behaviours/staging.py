"""Staging: a received file becomes chunks of events, segment by segment, before any of them is credited (M19).

First a segment is cut off, which only finds where it ends; then its lines are mapped. Each is a transaction that locks
what it works on: the job's row while cutting, the segment's while mapping. So several workers stage one file side by
side, a worker that dies loses one segment at the most, and no line is staged twice.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import structlog
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from carbonpoints.approvals.versions import read_versions
from carbonpoints.behaviours.cells import Columns
from carbonpoints.behaviours.mapping import LineMapper
from carbonpoints.behaviours.profiles import ProfileDefinition, line_profile, profile_from_content
from carbonpoints.behaviours.records import BrokenFileError
from carbonpoints.behaviours.segments import SEGMENT_RECORDS, Cut, Segment, cut_segment, read_segment
from carbonpoints.behaviours.unfolding import path_of_lines
from carbonpoints.core import clock
from carbonpoints.core.db import raw_connection, settings, transaction
from carbonpoints.rules.catalogue import load_catalogue

log = structlog.get_logger()

Found = TypeVar("Found")

CHUNK_NUMBERS = 1_000
"""A segment numbers its chunks from its own number times this: far more than it can have."""

NEXT_UNCUT = text("""
SELECT job_id, profile_version_id, spool_path, cut_bytes, cut_lines, segment_count
FROM feed_job WHERE state = 'received' AND NOT is_cut
ORDER BY received_at, job_id LIMIT 1 FOR UPDATE SKIP LOCKED
""")
ADD_SEGMENT = text("""
INSERT INTO feed_segment (job_id, segment_no, from_byte, to_byte, lines_before, record_count)
VALUES (:job_id, :segment_no, :from_byte, :to_byte, :lines_before, :record_count)
""")
ADVANCE_CUT = text("""
UPDATE feed_job SET cut_bytes = :to_byte, cut_lines = :lines, segment_count = segment_count + 1, is_cut = :is_last
WHERE job_id = :job_id
""")
NEXT_SEGMENT = text("""
SELECT j.job_id, j.programme_id, j.profile_version_id, j.spool_path, j.file_bytes, j.lookup_tables,
       s.segment_no, s.from_byte, s.to_byte, s.lines_before, s.record_count
FROM feed_segment s JOIN feed_job j ON j.job_id = s.job_id
WHERE s.staged_at IS NULL AND j.state = 'received'
ORDER BY j.received_at, s.job_id, s.segment_no LIMIT 1 FOR UPDATE OF s SKIP LOCKED
""")
SEGMENT_STAGED = text("""
UPDATE feed_segment SET staged_at = :now WHERE job_id = :job_id AND segment_no = :segment_no
""")
COPY_CHUNKS = "COPY feed_chunk (job_id, chunk_no, bucket, event_count, content) FROM STDIN (FORMAT BINARY)"
CHUNK_TYPES = ("uuid", "int4", "int2", "int4", "bytea")
COPY_REFUSED = "COPY feed_refused_line (job_id, line_no, code, field, detail) FROM STDIN"
# Whoever staged another segment of this job at the same time waits here, and then sees this one staged.
ADVANCE = text("""
UPDATE feed_job
SET staged_bytes = staged_bytes + :bytes, line_count = line_count + :lines, event_count = event_count + :events,
    filtered_count = filtered_count + :filtered, refused_count = refused_count + :refused
WHERE job_id = :job_id AND state = 'received' RETURNING job_id
""")
IS_STAGED = text("""
SELECT refused_count FROM feed_job j WHERE job_id = :job_id AND is_cut
    AND NOT EXISTS (SELECT FROM feed_segment s WHERE s.job_id = j.job_id AND s.staged_at IS NULL)
""")
STAGED = text("UPDATE feed_job SET state = 'staged', staged_at = :now WHERE job_id = :job_id")
FAILED = text("""
UPDATE feed_job SET state = 'failed', finished_at = :now, error = CAST(:error AS jsonb), lookup_tables = NULL
WHERE job_id = :job_id AND state = 'received'
""")
DROP_CHUNKS = text("DELETE FROM feed_chunk WHERE job_id = :job_id")


class JobOverError(Exception):
    """The file failed by another of its segments while this one was read."""


@dataclass(frozen=True)
class JobError:
    """Why a whole file failed: a stable code, the line where there is one, and a sentence."""

    code: str
    detail: str
    line_no: int | None = None


def bad_lines(profile: ProfileDefinition, refused_count: int) -> JobError | None:
    """Return why nothing of a file with so many bad lines counts; None where the others do."""
    if refused_count and profile.on_bad == "file":
        return JobError("bad_lines", f"{refused_count} bad lines; this feed takes none.")
    return None


def stage_next_segment(*, records_max: int = SEGMENT_RECORDS) -> bool:
    """Stage a segment of the file that has waited longest, or cut one off; False when no file waits or is free."""
    return _stage_segment() or _cut_segment(records_max)


def _cut_segment(records_max: int) -> bool:
    with transaction() as session:
        job = session.execute(NEXT_UNCUT).one_or_none()
        if job is None:
            return False
        profile = _profile(session, job)

        def cut(file: BinaryIO) -> Cut:
            return cut_segment(
                file, profile, offset=job.cut_bytes, line_count=job.cut_lines, records_max=records_max
            )

        outcome = _read(job, profile, cut)
        if isinstance(outcome, JobError):
            _fail(session, job.job_id, outcome)
            return True
        session.execute(
            ADD_SEGMENT,
            {
                "job_id": job.job_id,
                "segment_no": job.segment_count + 1,
                "from_byte": job.cut_bytes,
                "to_byte": outcome.offset,
                "lines_before": job.cut_lines,
                "record_count": outcome.record_count,
            },
        )
        end = {"to_byte": outcome.offset, "lines": outcome.line_count, "is_last": outcome.is_last}
        session.execute(ADVANCE_CUT, {"job_id": job.job_id, **end})
        return True


def _stage_segment() -> bool:
    try:
        with transaction() as session:
            part = session.execute(NEXT_SEGMENT).one_or_none()
            if part is None:
                return False
            profile = _profile(session, part)
            behaviours = load_catalogue(session, part.programme_id).behaviours

            def make_mapper(columns: Columns) -> LineMapper:
                return LineMapper(
                    profile=profile,
                    behaviours=behaviours,
                    columns=columns,
                    tables=part.lookup_tables or {},
                    identity_key=settings().identity_key,
                )

            def read(file: BinaryIO) -> tuple[Segment, int]:
                bytes_of_lines = os.fstat(file.fileno()).st_size
                segment = read_segment(
                    file,
                    profile,
                    make_mapper=make_mapper,
                    file_bytes=bytes_of_lines,
                    offset=part.from_byte,
                    line_count=part.lines_before,
                    records_max=part.record_count,
                )
                return segment, bytes_of_lines

            outcome = _read(part, profile, read)
            if isinstance(outcome, JobError):
                _fail(session, part.job_id, outcome)
            else:
                _write(session, part, profile, *outcome)
    except JobOverError:
        pass
    return True


def _profile(session: Session, job: Row[Any]) -> ProfileDefinition:
    (version,) = read_versions(session, [job.profile_version_id]).values()
    return line_profile(profile_from_content(version.content))


def _read(job: Row[Any], profile: ProfileDefinition, read: Callable[[BinaryIO], Found]) -> Found | JobError:
    """Return what `read` finds in the lines of the job's file, or why it cannot be read."""
    try:
        with path_of_lines(Path(job.spool_path), profile).open("rb") as file:
            return read(file)
    except BrokenFileError as broken:
        return JobError(broken.code, broken.detail, broken.line_no)
    except FileNotFoundError:
        return JobError("file_gone", "The file is not in the spool any more.")
    except OSError:
        raise
    except Exception:
        # A fault of ours in one file must not hold up all the others for ever.
        log.exception("staging_failed", job_id=str(job.job_id))
        return JobError("internal", "The file could not be read; our log says why.")


def _write(
    session: Session, part: Row[Any], profile: ProfileDefinition, segment: Segment, bytes_of_lines: int
) -> None:
    """Write a segment; the job's row comes last, because all who stage the file need it.

    Raises JobOverError.
    """
    # Progress is in bytes of the received file, of which the lines may be another number.
    start, end = (
        place * part.file_bytes // max(bytes_of_lines, 1) for place in (part.from_byte, part.to_byte)
    )
    _copy_chunks(session, part, segment)
    _copy_refused(session, part.job_id, segment)
    key = {"job_id": part.job_id, "segment_no": part.segment_no}
    session.execute(SEGMENT_STAGED, {**key, "now": clock.now()})
    advanced = session.execute(
        ADVANCE,
        {
            "job_id": part.job_id,
            "bytes": end - start,
            "lines": segment.line_count - part.lines_before,
            "events": segment.event_count,
            "filtered": segment.filtered_count,
            "refused": len(segment.refused),
        },
    )
    if advanced.one_or_none() is None:
        raise JobOverError
    refused_count = session.scalars(IS_STAGED, {"job_id": part.job_id}).one_or_none()
    if refused_count is None:
        return
    error = bad_lines(profile, refused_count)
    if error is not None:
        _fail(session, part.job_id, error)
    else:
        session.execute(STAGED, {"job_id": part.job_id, "now": clock.now()})


def _copy_chunks(session: Session, part: Row[Any], segment: Segment) -> None:
    first = part.segment_no * CHUNK_NUMBERS
    with raw_connection(session).cursor() as cursor, cursor.copy(COPY_CHUNKS) as copy:
        copy.set_types(CHUNK_TYPES)
        for number, chunk in enumerate(segment.chunks, start=first):
            copy.write_row((part.job_id, number, chunk.bucket, chunk.event_count, chunk.content))


def _copy_refused(session: Session, job_id: uuid.UUID, segment: Segment) -> None:
    if segment.refused:
        with raw_connection(session).cursor() as cursor, cursor.copy(COPY_REFUSED) as copy:
            for line in segment.refused:
                copy.write_row((job_id, line.line_no, line.code, line.field, line.detail))


def _fail(session: Session, job_id: uuid.UUID, error: JobError) -> None:
    session.execute(FAILED, {"job_id": job_id, "now": clock.now(), "error": json.dumps(asdict(error))})
    session.execute(DROP_CHUNKS, {"job_id": job_id})
