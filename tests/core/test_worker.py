"""Tasks: what runs by itself exists, has its queue, and what is nudged arrives at a worker."""

from __future__ import annotations

import pytest
from celery import Celery
from flask import Flask

from carbonpoints.core.broker import QUEUE
from carbonpoints.worker import SCHEDULE, make_worker


@pytest.fixture
def celery_app(app: Flask) -> Celery:
    return make_worker(app)


def test_whatever_the_beat_names_is_a_task(celery_app: Celery) -> None:
    assert {entry["task"] for entry in SCHEDULE.values()} <= celery_app.tasks.keys()


def test_every_task_goes_to_the_one_queue_that_workers_consume(celery_app: Celery) -> None:
    ours = [name for name in celery_app.tasks if not name.startswith("celery.")]
    assert len(ours) >= 2
    assert {
        getattr(celery_app.tasks[name], "queue", None) or celery_app.conf.task_default_queue for name in ours
    } == {QUEUE}
    assert celery_app.conf.task_routes is None
    assert not celery_app.conf.task_create_missing_queues


def test_what_a_dead_worker_had_fetched_returns_within_a_minute_and_a_half(celery_app: Celery) -> None:
    options = celery_app.conf.broker_transport_options
    interval = options["unacked_restore_interval"] * options["unacked_restore_throttle"]
    assert options["visibility_timeout"] + interval <= 90
    assert not celery_app.conf.task_acks_late
