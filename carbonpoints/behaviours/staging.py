"""Staging: a received file becomes chunks of events, segment by segment, before any of them is credited (M19).

Each segment is one transaction, which locks the job's row, and with the segment's chunks and refused lines it
writes how far the file was read. So a worker that dies loses one segment at the most, no line is staged twice,
and two workers never stage one file at the same time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from carbonpoints.approvals.versions import read_versions
from carbonpoints.behaviours.cells import Columns
from carbonpoints.behaviours.mapping import LineMapper
from carbonpoints.behaviours.profiles import ProfileDefinition, profile_from_content
from carbonpoints.behaviours.records import BrokenFileError
from carbonpoints.behaviours.segments import SEGMENT_RECORDS, Segment, read_segment
from carbonpoints.core import clock
from carbonpoints.core.db import raw_connection, settings, transaction
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.definitions import BehaviourDefinition

log = structlog.get_logger()

NEXT_JOB = text("""
SELECT job_id, programme_id, profile_version_id, spool_path, file_bytes, staged_bytes, line_count, lookup_tables
FROM feed_job WHERE state = 'received' ORDER BY received_at, job_id LIMIT 1 FOR UPDATE SKIP LOCKED
""")
LAST_CHUNK = text("SELECT coalesce(max(chunk_no), 0) FROM feed_chunk WHERE job_id = :job_id")
COPY_CHUNKS = "COPY feed_chunk (job_id, chunk_no, bucket, event_count, content) FROM STDIN (FORMAT BINARY)"
CHUNK_TYPES = ("uuid", "int4", "int2", "int4", "bytea")
COPY_REFUSED = "COPY feed_refused_line (job_id, line_no, code, field, detail) FROM STDIN"
ADVANCE = text("""
UPDATE feed_job
SET staged_bytes = :offset, line_count = :line_count, event_count = event_count + :events,
    filtered_count = filtered_count + :filtered, refused_count = refused_count + :refused
WHERE job_id = :job_id RETURNING refused_count
""")
STAGED = text("UPDATE feed_job SET state = 'staged', staged_at = :now WHERE job_id = :job_id")
FAILED = text("""
UPDATE feed_job SET state = 'failed', finished_at = :now, error = CAST(:error AS jsonb), lookup_tables = NULL
WHERE job_id = :job_id
""")
DROP_CHUNKS = text("DELETE FROM feed_chunk WHERE job_id = :job_id")


@dataclass(frozen=True)
class JobError:
    """Why a whole file failed: a stable code, the line where there is one, and a sentence."""

    code: str
    detail: str
    line_no: int | None = None


def stage_next_segment(*, records_max: int = SEGMENT_RECORDS) -> bool:
    """Stage a segment of the file that has waited longest; False when no file waits or is free."""
    with transaction() as session:
        job = session.execute(NEXT_JOB).one_or_none()
        if job is None:
            return False
        (version,) = read_versions(session, [job.profile_version_id]).values()
        profile = profile_from_content(version.content)
        behaviour = load_catalogue(session, job.programme_id).behaviours[profile.behaviour]
        outcome = _read(job, profile, behaviour, records_max)
        if isinstance(outcome, JobError):
            _fail(session, job, outcome)
        else:
            _write(session, job, profile, outcome)
        return True


def _read(
    job: Row[Any], profile: ProfileDefinition, behaviour: BehaviourDefinition, records_max: int
) -> Segment | JobError:
    def make_mapper(columns: Columns) -> LineMapper:
        return LineMapper(
            profile=profile,
            behaviour=behaviour,
            columns=columns,
            tables=job.lookup_tables or {},
            identity_key=settings().identity_key,
        )

    try:
        with Path(job.spool_path).open("rb") as file:
            return read_segment(
                file,
                profile,
                make_mapper=make_mapper,
                file_bytes=job.file_bytes,
                offset=job.staged_bytes,
                line_count=job.line_count,
                records_max=records_max,
            )
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


def _write(session: Session, job: Row[Any], profile: ProfileDefinition, segment: Segment) -> None:
    refused_count = session.execute(
        ADVANCE,
        {
            "job_id": job.job_id,
            "offset": segment.offset,
            "line_count": segment.line_count,
            "events": segment.event_count,
            "filtered": segment.filtered_count,
            "refused": len(segment.refused),
        },
    ).scalar_one()
    _copy_refused(session, job, segment)
    is_lost = refused_count > 0 and profile.on_bad == "file"
    if not is_lost:
        _copy_chunks(session, job, segment)
    if not segment.is_last:
        return
    if is_lost:
        _fail(session, job, JobError("bad_lines", f"{refused_count} bad lines; this feed takes none."))
    else:
        session.execute(STAGED, {"job_id": job.job_id, "now": clock.now()})


def _copy_chunks(session: Session, job: Row[Any], segment: Segment) -> None:
    last = session.scalars(LAST_CHUNK, {"job_id": job.job_id}).one()
    with raw_connection(session).cursor() as cursor, cursor.copy(COPY_CHUNKS) as copy:
        copy.set_types(CHUNK_TYPES)
        for number, chunk in enumerate(segment.chunks, start=last + 1):
            copy.write_row((job.job_id, number, chunk.bucket, chunk.event_count, chunk.content))


def _copy_refused(session: Session, job: Row[Any], segment: Segment) -> None:
    if segment.refused:
        with raw_connection(session).cursor() as cursor, cursor.copy(COPY_REFUSED) as copy:
            for line in segment.refused:
                copy.write_row((job.job_id, line.line_no, line.code, line.field, line.detail))


def _fail(session: Session, job: Row[Any], error: JobError) -> None:
    session.execute(DROP_CHUNKS, {"job_id": job.job_id})
    session.execute(FAILED, {"job_id": job.job_id, "now": clock.now(), "error": json.dumps(asdict(error))})
