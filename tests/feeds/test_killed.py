"""A worker killed with -9 half-way leaves nothing half done: another goes on and ends with the same totals."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.behaviours.feed_services import continue_next_job, read_progress, receive_file
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import db, reading
from carbonpoints.ledger.reconcile import check
from tests.feeds.conftest import NOW, FedProgramme

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
WORK = f"""
from carbonpoints.app import create_app
from carbonpoints.behaviours.feed_services import continue_next_job
from carbonpoints.behaviours.staging import stage_next_segment
from carbonpoints.core.clock import set_clock
import datetime
set_clock(datetime.datetime.fromisoformat({NOW.isoformat()!r}))
with create_app().app_context():
    while stage_next_segment(records_max={SEGMENT}):
        pass
    while continue_next_job():
        pass
"""


@pytest.fixture
def start_worker(environment: dict[str, str]) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start processes that work on jobs; none is left behind."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", WORK], env={**os.environ, **environment}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool], worker: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert worker.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
        db.session.rollback()


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


def test_killed_workers_change_no_total(
    committed: Flask,
    feed_programme: Callable[[], FedProgramme],
    start_worker: Callable[[], subprocess.Popen[bytes]],
) -> None:
    with committed.app_context(), clock_at(NOW):
        programme = feed_programme()
        feed = programme.feed("calm")
        job_id = receive_file(feed=feed, file_name="day.csv", file=io.BytesIO(CONTENT.encode()), tables={})

        def staged() -> int:
            return read_progress(job_id=job_id).line_count

        def decided() -> int:
            return read_progress(job_id=job_id).decided_count

        for reached in (
            lambda: staged() > 2 * EVENTS // 3,
            lambda: decided() > EVENTS // 4,
            lambda: decided() > EVENTS // 2,
        ):
            worker = start_worker()
            wait_for(reached, worker)
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            assert read_progress(job_id=job_id).state in {"received", "staged"}, "killed half-way"
        while continue_next_job():
            pass
        killed = read_progress(job_id=job_id)
        with reading() as session:
            assert [finding.code for finding in check(session) if finding.differences] == []
        assert (killed.state, killed.line_count) == ("done", 2 * EVENTS)
        assert killed.dispositions == expected_dispositions()
        assert db.session.scalar(text("SELECT count(*) FROM entry")) == killed.dispositions["credited"]
