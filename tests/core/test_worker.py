"""Tasks: what runs by itself exists, has its queue, and what is nudged arrives at a worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from flask import Flask
from sqlalchemy import select

from carbonpoints.core.broker import QUEUE, nudge
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.models import OutboxMessage
from carbonpoints.core.outbox import enqueue
from carbonpoints.worker import SCHEDULE, make_worker

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


@pytest.fixture
def celery_app(app: Flask) -> Celery:
    return make_worker(app)


def test_whatever_the_beat_names_is_a_task(celery_app: Celery) -> None:
    assert {entry["task"] for entry in SCHEDULE.values()} <= celery_app.tasks.keys()


def test_every_task_goes_to_the_one_queue_that_workers_consume(celery_app: Celery) -> None:
    ours = [name for name in celery_app.tasks if not name.startswith("celery.")]
    queues = {
        getattr(celery_app.tasks[name], "queue", None) or celery_app.conf.task_default_queue for name in ours
    }
    assert {"core.deliver_outbox", "core.forget_answered"} <= set(ours)
    assert queues == {QUEUE}
    assert celery_app.conf.task_routes is None
    assert not celery_app.conf.task_create_missing_queues


def test_what_a_dead_worker_had_fetched_returns_within_a_minute_and_a_half(celery_app: Celery) -> None:
    options = celery_app.conf.broker_transport_options
    interval = options["unacked_restore_interval"] * options["unacked_restore_throttle"]
    assert options["visibility_timeout"] + interval <= 90
    assert not celery_app.conf.task_acks_late


def test_a_nudge_does_not_fail_the_call_when_the_broker_is_away(environment: dict[str, str]) -> None:
    program = (
        "from carbonpoints.app import create_app\n"
        "from carbonpoints.core.broker import nudge\n"
        "with create_app().app_context():\n"
        "    nudge('core.deliver_outbox', 1)\n"
    )
    away = {**os.environ, **environment, "REDIS_URL": "redis://127.0.0.1:1/0"}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=away, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert '"event": "nudge_not_sent"' in run.stderr


@pytest.fixture
def running_worker(environment: dict[str, str]) -> Iterator[None]:
    """A worker process of its own, as operations start it."""
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "carbonpoints.worker:celery",
        "worker",
        "--concurrency",
        "1",
    ]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield
        process.terminate()


def test_a_message_that_was_committed_reaches_a_worker(committed: Flask, running_worker: None) -> None:
    with committed.app_context():
        with transaction() as session:
            enqueue(session, account_id=100_001, account_seq=1, message_no=1, topic="tests.nobody", body={})
        deadline = time.monotonic() + PATIENCE_S
        outcome = None
        while outcome is None and time.monotonic() < deadline:
            time.sleep(0.2)
            with reading() as session:
                outcome = session.scalar(select(OutboxMessage.last_error))
    assert outcome == "PermanentFailure"


def test_a_nudge_waits_for_a_worker_that_is_not_there_yet(committed: Flask, servers: object) -> None:
    with committed.app_context():
        nudge("core.forget_answered")
        celery: Celery = committed.extensions["celery"]
        with celery.connection_for_read() as connection:
            assert connection.default_channel.queue_declare(QUEUE, passive=True).message_count == 1
