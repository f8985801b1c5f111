"""Workers side by side, killed with -9 wherever they are: a back-test goes on and its report is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.behaviours.replay import runs
from carbonpoints.behaviours.replay.services import cancel_backtest, read_backtest
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import db
from tests.behaviours.world import NOW, World
from tests.replay.scenes import GRANT, ask, crowd, granting, run, work

ACCOUNTS = 12
WORK = f"""
import datetime, os, sys
import psycopg
from carbonpoints.app import create_app
from carbonpoints.behaviours.replay.runs import continue_next_run
from carbonpoints.core.clock import set_clock
set_clock(datetime.datetime.fromisoformat({NOW.isoformat()!r}))
left = int(sys.argv[1])
execute = psycopg.Cursor.execute
def counted(*args, **kwargs):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)
    return execute(*args, **kwargs)
with create_app().app_context():
    psycopg.Cursor.execute = counted
    while continue_next_run():
        pass
"""
"""Works until it kills itself before so many statements, wherever that is."""


@pytest.fixture
def world(
    committed: Flask, make_world: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A world with real commits, in which every account is a partition of its own."""
    monkeypatch.setattr(runs, "PARTITION_NUMBERS", 1)
    with committed.app_context(), clock_at(NOW):
        made = make_world()
        crowd(made, ACCOUNTS)
        yield made


def start(environment: dict[str, str], statements: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORK, str(statements)], env={**os.environ, **environment})


def test_killed_workers_change_nothing_in_the_report(world: World, environment: dict[str, str]) -> None:
    expected = run(world, granting(3 * GRANT))
    assert expected["events_judged"] == 2 * ACCOUNTS
    run_id = ask(world, granting(3 * GRANT))
    db.session.rollback()
    for statements in (18, 25, 40):
        workers = [start(environment, statements + more) for more in (0, 5)]
        assert [worker.wait(timeout=120) for worker in workers] == 2 * [-signal.SIGKILL]
    killed = read_backtest(run_id=run_id)
    db.session.rollback()
    assert killed.state == "running", "killed half-way"
    assert 0 < killed.partitions_done < killed.partitions
    work()
    report = read_backtest(run_id=run_id).report
    assert report is not None
    for each in (expected, report):
        each.pop("sampled_accounts")
    assert report == expected


def test_two_workers_share_the_partitions_and_close_the_run_once(world: World, committed: Flask) -> None:
    run_id = ask(world, granting(3 * GRANT))
    db.session.rollback()
    gate = threading.Barrier(2)

    def worker() -> None:
        with committed.app_context():
            gate.wait()
            work()

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress = read_backtest(run_id=run_id)
    assert progress.report is not None
    assert progress.report["draft"]["amount_millicredits"] == 2 * ACCOUNTS * 3 * GRANT
    done = "SELECT count(*) FROM audit_record WHERE action = 'backtest.done'"
    assert db.session.scalar(text(done)) == 1


def test_whoever_cancels_waits_for_the_partition_that_is_being_stored(
    world: World, committed: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = ask(world, granting(3 * GRANT))
    db.session.rollback()
    is_storing, cancelling = threading.Event(), threading.Event()
    store = runs._store

    def slowly(*args: object) -> None:
        store(*args)  # type: ignore[arg-type]
        is_storing.set()
        cancelling.wait()

    monkeypatch.setattr(runs, "_store", slowly)

    def worker() -> None:
        with committed.app_context():
            work()

    thread = threading.Thread(target=worker)
    thread.start()
    is_storing.wait()
    threading.Timer(0.3, cancelling.set).start()
    cancel_backtest(programme_id=world.programme_id, run_id=run_id)
    thread.join()
    assert read_backtest(run_id=run_id).state == "cancelled"
    assert db.session.scalar(text("SELECT count(*) FROM backtest_account")) == 0
