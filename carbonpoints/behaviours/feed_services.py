"""Use cases of file feeds: profiles, files in, work on them, progress and the report of refused lines."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.approvals import services as approvals
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.services import ImportOutcome
from carbonpoints.approvals.versions import StoredVersion, VersionKind, current_versions
from carbonpoints.behaviours.dispositions import FILTERED, REFUSED
from carbonpoints.behaviours.errors import FeedJobNotFound, FeedProfileNotFound, SourceNotYours, UnknownSource
from carbonpoints.behaviours.jobs import JobSource, close_job_if_done, credit_next_chunk
from carbonpoints.behaviours.lookup_tables import read_tables
from carbonpoints.behaviours.profiles import ProfileDefinition, profile_from_content, validate_mapping
from carbonpoints.behaviours.spool import SpooledFile, spool_file, sweep_spool
from carbonpoints.behaviours.staging import stage_next_segment
from carbonpoints.behaviours.unfolding import unfolded_path
from carbonpoints.core import audit, clock
from carbonpoints.core.auth import Caller
from carbonpoints.core.broker import nudge
from carbonpoints.core.db import reading, settings, transaction
from carbonpoints.core.programmes import programme_of
from carbonpoints.core.roles import SYSTEMS
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.nodes import DefinitionError, Problem
from carbonpoints.rules.reading import as_content

CONTINUE_TASK = "behaviours.continue_jobs"
FILE_NAME_LENGTH_MAX = 200
REPORT_ROWS = 5_000
"""Refused lines are read this many at a time."""

INSERT_JOB = text("""
INSERT INTO feed_job (job_id, programme_id, profile_version_id, file_name, file_bytes, file_hash, spool_path, state,
                      received_at, lookup_tables)
VALUES (:job_id, :programme_id, :version_id, :file_name, :file_bytes, :file_hash, :spool_path, 'received', :now,
        CAST(:lookup_tables AS jsonb))
""")
STAGED_JOBS = text("""
SELECT j.job_id, j.programme_id, v.content ->> 'source' AS source
FROM feed_job j JOIN version v ON v.version_id = j.profile_version_id
WHERE j.state = 'staged' ORDER BY j.received_at, j.job_id
""")
READ_JOB = text("""
SELECT j.job_id, j.programme_id, v.code AS profile, v.content ->> 'source' AS source, j.file_name, j.file_bytes,
       j.file_hash, j.state, j.received_at, j.staged_at, j.finished_at, j.staged_bytes, j.line_count, j.event_count,
       j.filtered_count, j.refused_count, j.error
FROM feed_job j JOIN version v ON v.version_id = j.profile_version_id WHERE j.job_id = :job_id
""")
READ_OUTCOMES = text("""
SELECT key, sum(value::bigint)::bigint AS events
FROM feed_chunk CROSS JOIN LATERAL jsonb_each_text(outcome) WHERE job_id = :job_id GROUP BY key
""")
READ_REFUSED = text("""
SELECT line_no, field, code, detail FROM feed_refused_line
WHERE job_id = :job_id AND line_no > :after ORDER BY line_no LIMIT :limit
""")
FINISHED_FILES = text("""
SELECT job_id, spool_path FROM feed_job WHERE state IN ('done', 'failed') AND spool_path IS NOT NULL
""")
FORGET_FILE = text("UPDATE feed_job SET spool_path = NULL, lookup_tables = NULL WHERE job_id = :job_id")
NAMED_FILES = text("SELECT spool_path FROM feed_job WHERE spool_path IS NOT NULL")


@dataclass(frozen=True)
class Feed:
    """A profile in force and the programme it feeds."""

    programme_id: int
    version_id: int
    profile: ProfileDefinition


@dataclass(frozen=True)
class JobProgress:
    """How far a file has come, and what became of its lines.

    `dispositions` counts every record that was staged or decided so far exactly once: `filtered`, `refused`,
    and for events the disposition, with the reason after a colon where there is one.
    """

    job_id: uuid.UUID
    programme_id: int
    profile: str
    source: str
    file_name: str
    file_bytes: int
    file_hash: str
    state: str
    received_at: datetime
    staged_at: datetime | None
    finished_at: datetime | None
    staged_bytes: int
    line_count: int
    """Lines read below the header; a record may span several."""
    event_count: int
    decided_count: int
    dispositions: dict[str, int]
    error: dict[str, Any] | None

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in {"done", "failed"}


class RefusedRow(NamedTuple):
    """A line of the report."""

    line_no: int
    field: str
    code: str
    detail: str


def import_profiles(
    *, programme_id: int, profiles: Sequence[ProfileDefinition], maker_person: str, checker_person: str
) -> ImportOutcome:
    """Take over profiles that come with the product: new ones are in force at once, changed ones become a draft.

    Raises DefinitionError when a profile does not fit its behaviour type, FourEyes, and UnknownSource when
    the programme has not registered a profile's event source.
    """
    with transaction() as session:
        registered = programme_settings(session, programme_id).event_sources
        behaviours = load_catalogue(session, programme_id).behaviours
        problems: list[Problem] = []
        for profile in profiles:
            if profile.source not in registered:
                raise UnknownSource(params={"source": profile.source})
            found = validate_mapping(profile, behaviours)
            problems += [Problem(profile.code, 0, path, message) for path, message in found]
        if problems:
            raise DefinitionError(tuple(problems))
        return approvals.import_shipped(
            session,
            programme_id=programme_id,
            proposed=[
                ProposedVersion(kind=VersionKind.FEED_PROFILE, code=profile.code, content=as_content(profile))
                for profile in profiles
            ],
            maker_person=maker_person,
            checker_person=checker_person,
        )


def find_feed(*, programme_id: int, profile_code: str) -> Feed:
    """Return the profile in force now; raises FeedProfileNotFound."""
    with reading() as session:
        return _find_feed(session, programme_id, profile_code)


def find_callers_feed(*, caller: Caller, profile_code: str) -> Feed:
    """Return a profile of the caller's programme.

    Raises FeedProfileNotFound, and SourceNotYours when the caller is a system that does not speak for it.
    """
    with reading() as session:
        feed = _find_feed(session, programme_of(session, caller), profile_code)
    if caller.role in SYSTEMS and feed.profile.source not in caller.sources:
        raise SourceNotYours(params={"source": feed.profile.source})
    return feed


def _find_feed(session: Session, programme_id: int, profile_code: str) -> Feed:
    versions = current_versions(session, programme_id, VersionKind.FEED_PROFILE)
    found: list[StoredVersion] = [
        version for version in versions if version.code == profile_code and version.holds_at(clock.now())
    ]
    if not found:
        raise FeedProfileNotFound
    return Feed(programme_id, found[0].version_id, profile_from_content(found[0].content))


def receive_file(*, feed: Feed, file_name: str, file: BinaryIO, tables: Mapping[str, BinaryIO]) -> uuid.UUID:
    """Take a file in and return its job, which a worker goes on with.

    The file is on the disk, and its tables are read, before the job exists. Raises InvalidRequest for tables
    that are missing, unknown or wrong.
    """
    lookup_tables = read_tables(feed.profile, tables)
    spooled = spool_file(file, settings().spool_dir)
    try:
        job_id = _insert_job(feed, file_name, spooled, lookup_tables)
    except BaseException:
        spooled.path.unlink(missing_ok=True)
        raise
    nudge(CONTINUE_TASK)
    return job_id


def _insert_job(
    feed: Feed, file_name: str, spooled: SpooledFile, lookup_tables: Mapping[str, Mapping[str, str]]
) -> uuid.UUID:
    job_id = uuid.uuid4()
    printable = "".join(character for character in Path(file_name).name if character.isprintable())
    with transaction() as session:
        session.execute(
            INSERT_JOB,
            {
                "job_id": job_id,
                "programme_id": feed.programme_id,
                "version_id": feed.version_id,
                "file_name": printable[:FILE_NAME_LENGTH_MAX],
                "file_bytes": spooled.size_bytes,
                "file_hash": spooled.digest,
                "spool_path": str(spooled.path),
                "now": clock.now(),
                "lookup_tables": json.dumps(lookup_tables) if lookup_tables else None,
            },
        )
        audit.record(
            session, action="receive_feed_file", detail={"job_id": str(job_id), "profile": feed.profile.code}
        )
    return job_id


def continue_next_job() -> bool:
    """Do the next piece of work on any file: a segment staged, a chunk credited, a job closed.

    False when there is nothing to do that another worker is not doing. Every piece is a transaction of its
    own, so that a worker may die at any moment.
    """
    if stage_next_segment():
        nudge(CONTINUE_TASK)  # Whoever found the file taken comes back: it may be ready to be credited.
        return True
    with reading() as session:
        jobs = [JobSource(row.job_id, row.programme_id, row.source) for row in session.execute(STAGED_JOBS)]
    return any(credit_next_chunk(job) or close_job_if_done(job.job_id) for job in jobs)


def forget_finished_files() -> None:
    """Remove the files and tables of finished jobs from the spool, and what uploads that broke off left there."""
    with reading() as session:
        finished = session.execute(FINISHED_FILES).all()
    for row in finished:
        path = Path(row.spool_path)
        path.unlink(missing_ok=True)
        unfolded_path(path).unlink(missing_ok=True)
        with transaction() as session:
            session.execute(FORGET_FILE, {"job_id": row.job_id})
    with reading() as session:
        named = set(session.scalars(NAMED_FILES))
    sweep_spool(settings().spool_dir, named)


def read_progress(*, job_id: uuid.UUID) -> JobProgress:
    """Return how far a job has come; raises FeedJobNotFound."""
    with reading() as session:
        row = session.execute(READ_JOB, {"job_id": job_id}).one_or_none()
        if row is None:
            raise FeedJobNotFound
        outcomes = {item.key: item.events for item in session.execute(READ_OUTCOMES, {"job_id": job_id})}
    return _progress(row, outcomes)


def read_callers_progress(*, caller: Caller, job_id: uuid.UUID) -> JobProgress:
    """Return how far a job of the caller's programme has come; FeedJobNotFound for anybody else's."""
    progress = read_progress(job_id=job_id)
    with reading() as session:
        is_theirs = progress.programme_id == programme_of(session, caller)
    if not is_theirs or (caller.role in SYSTEMS and progress.source not in caller.sources):
        raise FeedJobNotFound
    return progress


def _progress(row: Row[Any], outcomes: Mapping[str, int]) -> JobProgress:
    aside = {FILTERED: row.filtered_count, REFUSED: row.refused_count}
    return JobProgress(
        job_id=row.job_id,
        programme_id=row.programme_id,
        profile=row.profile,
        source=row.source,
        file_name=row.file_name,
        file_bytes=row.file_bytes,
        file_hash=row.file_hash.hex(),
        state=row.state,
        received_at=row.received_at,
        staged_at=row.staged_at,
        finished_at=row.finished_at,
        staged_bytes=row.staged_bytes,
        line_count=row.line_count,
        event_count=row.event_count,
        decided_count=sum(outcomes.values()),
        dispositions={code: count for code, count in {**aside, **outcomes}.items() if count},
        error=row.error,
    )


def read_refused(*, job_id: uuid.UUID, after: int) -> list[RefusedRow]:
    """Return the next refused lines of a job after line `after`, REPORT_ROWS at the most, in the file's order."""
    with reading() as session:
        rows = session.execute(READ_REFUSED, {"job_id": job_id, "after": after, "limit": REPORT_ROWS})
        return [RefusedRow(*row) for row in rows]
