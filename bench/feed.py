"""A feed file, from bytes on the disk to committed credits, beside what COPY could do on this machine.

Each run has a database of its own with the accounts in it, and its own fresh workers. The clock starts before
the file is read for the first time and stops when the job's row says `done`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from bench import copy_limit
from bench.copy_limit import Copied
from bench.figures import Figure, at_least, at_most, figure
from bench.generate_feed import write_feed
from bench.machine import peak_mib
from bench.sizes import Sizes
from bench.stage import POLL_S, Database, Stage, say
from bench.world import MIGRATED, POPULATED, PROFILE
from carbonpoints.behaviours.feed_services import JobProgress, find_feed, read_progress, receive_file
from carbonpoints.core.db import db
from carbonpoints.embedded import Child
from carbonpoints.ledger import reconcile
from carbonpoints.rules.services import find_programme

EVENTS_PER_S = at_least(15_000)
SHARE_OF_LIMIT = at_least(0.5)
WORKER_MIB = at_most(400)


@dataclass(frozen=True)
class Load:
    """One file that was loaded."""

    seconds: float
    progress: JobProgress

    @property
    def events_per_s(self) -> float:
        """Events from bytes to credits in a second."""
        return self.progress.event_count / self.seconds

    @property
    def staging_s(self) -> float:
        """How long the file was read and checked, before the first of its events was credited."""
        assert self.progress.staged_at is not None  # noqa: S101 - it is done
        return (self.progress.staged_at - self.progress.received_at).total_seconds()


@dataclass(frozen=True)
class Run:
    """One load and the limit beside it."""

    load: Load
    copies_per_s: tuple[float, float]
    """What COPY takes in, in events, by one connection and by two."""
    rows: int
    worker_mib: float

    @property
    def limit_per_s(self) -> float:
        """The better of the two."""
        return max(self.copies_per_s)


def measure_feed(stage: Stage, sizes: Sizes) -> list[Figure]:
    """Return the figures of a feed file."""
    path = stage.directory / "feed.csv"
    say(f"Writing a file of {sizes.events:,} events ...")
    with path.open("w", encoding="utf-8", newline="") as file:
        write_feed(file, events=sizes.events, accounts=sizes.accounts)
    runs = [_run(stage, path, number) for number in range(1, sizes.runs + 1)]
    path.unlink()
    return [
        figure("feed_events_per_s", (run.load.events_per_s for run in runs), EVENTS_PER_S),
        figure("copy_limit_events_per_s", (run.limit_per_s for run in runs)),
        figure("copy_by_one_connection_events_per_s", (run.copies_per_s[0] for run in runs)),
        figure(
            "feed_share_of_copy_limit",
            (run.load.events_per_s / run.limit_per_s for run in runs),
            SHARE_OF_LIMIT,
        ),
        figure(
            "feed_share_of_copy_by_one_connection",
            (run.load.events_per_s / run.copies_per_s[0] for run in runs),
        ),
        figure("feed_rows_per_event", (run.rows / sizes.events for run in runs)),
        figure("feed_staging_share_of_time", (run.load.staging_s / run.load.seconds for run in runs)),
        figure("feed_worker_peak_mib", (run.worker_mib for run in runs), WORKER_MIB),
    ]


def _run(stage: Stage, path: Path, number: int) -> Run:
    folder = stage.directory / "rows"
    with stage.database("feed", template=POPULATED) as database:
        with stage.workers(database) as worker:
            load = load_file(database, path, worker)
            worker_mib = peak_mib(_pid(worker))
        prove_books(database)
        rows = sum(copy_limit.take_out(database.url, folder).values())
    one, two = (
        load.progress.event_count / copy_rows(stage, folder, connections).seconds for connections in (1, 2)
    )
    say(f"  run {number}: {load.events_per_s:,.0f} events/s; COPY {one:,.0f} by one, {two:,.0f} by two")
    return Run(load, (one, two), rows, worker_mib)


def load_file(database: Database, path: Path, worker: Child) -> Load:
    """Load a file as `flask feed load` does, and wait until the workers have credited all of it."""
    with database.app.app_context(), path.open("rb") as file:
        feed = find_feed(
            programme_id=find_programme(bank=None, programme=None).programme_id, profile_code=PROFILE
        )
        started = time.perf_counter()
        job_id = receive_file(feed=feed, file_name=path.name, file=file, tables={})
        progress = read_progress(job_id=job_id)
        while not progress.is_finished:
            if not worker.is_running():
                raise worker.failure()
            time.sleep(POLL_S)
            progress = read_progress(job_id=job_id)
        seconds = time.perf_counter() - started
    counts = progress.dispositions
    say(f"  {counts}")
    if progress.state != "done" or sum(counts.values()) != progress.event_count or "refused" in counts:
        raise RuntimeError(f"the file did not come through: {progress}")
    return Load(seconds, progress)


def prove_books(database: Database) -> None:
    """Prove the ledger as `flask ledger check` does; RuntimeError on any difference."""
    with database.app.app_context(), db.engine.connect() as connection:
        view = connection.execution_options(isolation_level="REPEATABLE READ")
        with Session(bind=view) as session:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            wrong = [finding for finding in reconcile.check(session) if finding.differences]
    if wrong:
        raise RuntimeError(f"the books do not add up: {wrong}")


def copy_rows(stage: Stage, folder: Path, connections: int) -> Copied:
    """Copy rows that were taken out into a fresh database."""
    with stage.database("limit", template=MIGRATED) as database:
        return copy_limit.put_in(database.url, folder, connections=connections)


def _pid(child: Child) -> int:
    if child.pid is None:
        raise child.failure()
    return child.pid
