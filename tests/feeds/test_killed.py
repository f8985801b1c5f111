"""Killed with -9 half-way, a worker or the database server leave nothing half done: the totals end the same."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import flask_migrate
import psycopg
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from carbonpoints.app import create_app
from carbonpoints.behaviours.feed_services import JobProgress, continue_next_job, read_progress, receive_file
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import load_settings
from carbonpoints.core.db import db, reading
from carbonpoints.embedded import Servers, running_servers
from carbonpoints.ledger.reconcile import check
from tests.conftest import Addresses, test_environment
from tests.feeds.conftest import NOW, FedProgramme
from tests.feeds.messages import details, document, entry, statement, transaction

V8 = "camt.053.001.08"
EVENTS = 6_000
SEGMENT = 300
DAYS = range(4, 31)
"""Of April: not too late on the day of the load."""
LINES = [
    (number, 6220 + number % 7, DAYS[number % len(DAYS)], "x" if number % 100 == 7 else "12.50")
    for number in range(EVENTS)
]
CONTENT = "".join(
    f'T{number},{account},2024-04-{day:02d},{amount},,"a\nb"\n' for number, account, day, amount in LINES
)
MESSAGE = document(
    V8,
    *(
        statement(
            V8,
            str(account),
            entry(V8, f"T{number}", amount, details(transaction(V8, f"T{number}")), booked=f"<Dt>2024-04-{day:02d}</Dt>"),
        )
        for number, account, day, amount in LINES
    ),
)  # fmt: skip
CONTENTS = {"calm": CONTENT.encode(), "calm_camt": MESSAGE}
STATEMENTS, ENTRIES = "psycopg.Cursor.execute", "carbonpoints.behaviours.camt._release"
WORK = f"""
import datetime, os, pkgutil, sys, time
from carbonpoints.app import create_app
from carbonpoints.behaviours.feed_services import continue_next_job
from carbonpoints.behaviours.staging import stage_next_segment
from carbonpoints.core.clock import set_clock
set_clock(datetime.datetime.fromisoformat({NOW.isoformat()!r}))
signal, left = int(sys.argv[1]), int(sys.argv[2])
owner, _, name = sys.argv[3].rpartition(".")
owner = pkgutil.resolve_name(owner)
original = getattr(owner, name)
def counted(*args, **kwargs):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal)
    return original(*args, **kwargs)
stage_next_segment.__kwdefaults__["records_max"] = {SEGMENT}
with create_app().app_context():
    setattr(owner, name, counted)
    while True:
        if not continue_next_job():
            time.sleep(0.01)
"""
"""Works until it sends itself a signal before so many calls of a function: statements, wherever that is."""


class Start(Protocol):
    """Starts a process that ends itself before so many calls of a function."""

    def __call__(
        self, environment: dict[str, str], ends_by: signal.Signals, calls: int, of: str = STATEMENTS
    ) -> subprocess.Popen[bytes]: ...


@pytest.fixture
def start_worker() -> Iterator[Start]:
    """Start processes that work on jobs, in an environment; none is left behind."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        environment: dict[str, str], ends_by: signal.Signals, calls: int, of: str = STATEMENTS
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WORK, str(int(ends_by)), str(calls), of]
        started.append(subprocess.Popen(command, env={**os.environ, **environment}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def expected_dispositions() -> Counter[str]:
    """Five payments a day count, and sixty a month; said again, plainly."""
    counts: Counter[str] = Counter()
    days: Counter[tuple[int, int]] = Counter()
    months: Counter[int] = Counter()
    for _, account, day, amount in LINES:
        if amount == "x":
            counts["refused"] += 1
        elif days[account, day] < 5 and months[account] < 60:
            counts["credited"] += 1
            days[account, day] += 1
            months[account] += 1
        else:
            counts["capped"] += 1
    return counts


@pytest.mark.parametrize("code", CONTENTS)
def test_killed_workers_change_no_total(
    code: str,
    committed: Flask,
    environment: dict[str, str],
    feed_programme: Callable[[], FedProgramme],
    start_worker: Start,
) -> None:
    with committed.app_context(), clock_at(NOW):
        job_id = receive_day(feed_programme(), code)

        killed = read_progress(job_id=job_id)
        for statements in range(40, 300, 30):
            workers = [start_worker(environment, signal.SIGKILL, statements + more) for more in (0, 7)]
            assert [worker.wait(timeout=120) for worker in workers] == 2 * [-signal.SIGKILL]
            db.session.rollback()
            killed = read_progress(job_id=job_id)
            if killed.decided_count:
                break
        assert (killed.state, 0 < killed.decided_count < EVENTS) == ("staged", True), "killed half-way"
        while continue_next_job():
            pass
        prove_totals(read_progress(job_id=job_id), code)


def test_killed_while_unfolding_it_begins_again(
    committed: Flask,
    environment: dict[str, str],
    feed_programme: Callable[[], FedProgramme],
    start_worker: Start,
) -> None:
    with committed.app_context(), clock_at(NOW):
        job_id = receive_day(feed_programme(), "calm_camt")
        worker = start_worker(environment, signal.SIGKILL, EVENTS, ENTRIES)
        assert worker.wait(timeout=120) == -signal.SIGKILL
        db.session.rollback()
        spool = Path(db.session.scalars(text("SELECT spool_path FROM feed_job")).one()).parent
        assert (len(list(spool.glob("*.feed"))), list(spool.glob("*.lines.feed"))) == (2, [])
        killed = read_progress(job_id=job_id)
        assert (killed.state, killed.line_count) == ("received", 0), "killed half-way"
        while continue_next_job():
            pass
        prove_totals(read_progress(job_id=job_id), "calm_camt")


@pytest.fixture
def durable_servers(tmp_path: Path) -> Iterator[Servers]:
    """Servers for this test alone, which write as safely as in production."""
    if "DATABASE_URL" in os.environ:
        pytest.skip("the database server is not ours to kill")
    with running_servers(tmp_path / "servers") as servers:
        yield servers


def test_a_killed_database_server_changes_no_total(
    durable_servers: Servers,
    feed_programme: Callable[[], FedProgramme],
    start_worker: Start,
    tmp_path: Path,
) -> None:
    addresses = Addresses(durable_servers.database_url, durable_servers.redis_url)
    environment = test_environment(addresses, "carbonpoints", tmp_path / "spool")
    with create_app(load_settings(environment)).app_context(), clock_at(NOW):
        flask_migrate.upgrade()
        job_id = receive_day(feed_programme(), "calm")
        for statements in (60, 150):
            worker = start_worker(environment, signal.SIGSTOP, statements)
            os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
            kill_database(durable_servers)
            worker.send_signal(signal.SIGCONT)
            assert worker.wait(timeout=60) != 0, "nobody can work without a database"
            durable_servers.postgresql.restart()
            assert read_again(job_id).state in {"received", "staged"}, "killed half-way"
            db.session.rollback()
        while continue_next_job():
            pass
        prove_totals(read_progress(job_id=job_id), "calm")
        db.session.remove()
        db.engine.dispose()


def read_again(job_id: uuid.UUID) -> JobProgress:
    """What a process reads that outlived the server: its old connection fails once, then there is a new one."""
    with suppress(OperationalError, psycopg.OperationalError):
        return read_progress(job_id=job_id)
    return read_progress(job_id=job_id)


def receive_day(programme: FedProgramme, code: str) -> uuid.UUID:
    return receive_file(
        feed=programme.feed(code), file_name="day", file=io.BytesIO(CONTENTS[code]), tables={}
    )


def prove_totals(progress: JobProgress, code: str) -> None:
    with reading() as session:
        assert [finding.code for finding in check(session) if finding.differences] == []
    assert (progress.state, progress.line_count) == ("done", 2 * EVENTS if code == "calm" else EVENTS)
    assert progress.staged_bytes == len(CONTENTS[code])
    assert progress.dispositions == expected_dispositions()
    assert db.session.scalar(text("SELECT count(*) FROM entry")) == progress.dispositions["credited"]


def kill_database(servers: Servers) -> None:
    """End the server and all its processes at once, as a power failure would."""
    server = servers.postgresql.child.pid
    assert server is not None
    backends = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    for pid in (server, *map(int, backends)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
