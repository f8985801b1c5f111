"""The Celery worker and beat: `celery -A carbonpoints.worker worker` and `... beat`.

The beat's one schedule is here; tasks belong to the domains and are named, not imported.
"""

from __future__ import annotations

import importlib
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import worker_process_init
from flask import Flask

from carbonpoints.app import create_app
from carbonpoints.core.db import db

TASK_MODULES = (
    "carbonpoints.core.tasks",
    "carbonpoints.approvals.tasks",
    "carbonpoints.accounts.tasks",
    "carbonpoints.behaviours.tasks",
    "carbonpoints.behaviours.replay.tasks",
    "carbonpoints.behaviours.restating.tasks",
)
"""Where tasks and the outbox's handlers are declared."""

SCHEDULE: dict[str, dict[str, Any]] = {
    "deliver what the outbox holds": {"task": "core.deliver_outbox", "schedule": 10.0},
    "go on with feed files": {
        "task": "behaviours.continue_jobs",
        "schedule": 10.0,
        "options": {"expires": 10.0},
    },
    "name the states that changes have come to": {
        "task": "approvals.follow_clock",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "go on with back-tests": {
        "task": "behaviours.continue_backtests",
        "schedule": 10.0,
        "options": {"expires": 10.0},
    },
    "go on with restatements": {
        "task": "behaviours.continue_restatements",
        "schedule": 10.0,
        "options": {"expires": 10.0},
    },
    "let pending awards mature": {"task": "ledger.mature_awards", "schedule": crontab(minute="1")},
    "end lots past their expiry": {"task": "ledger.expire_lots", "schedule": crontab(minute="5")},
    "forget answered keys": {"task": "core.forget_answered", "schedule": crontab(hour="18", minute="10")},
    "forget what was not decided": {
        "task": "behaviours.purge_undecided",
        "schedule": crontab(hour="18", minute="20"),
    },
    "erase what withdrawn consents covered": {
        "task": "behaviours.erase_withdrawn",
        "schedule": crontab(hour="18", minute="30"),
    },
    "run a sample of past decisions again": {
        "task": "behaviours.reexecute_sample",
        "schedule": crontab(hour="18", minute="40"),
    },
}
"""Every task that runs by itself. Times are UTC; what depends on a programme's day runs every hour, because
some programme's day begins then."""


def make_worker(app: Flask) -> Celery:
    """Return the app's Celery with every task and the schedule."""
    celery: Celery = app.extensions["celery"]
    for module in TASK_MODULES:
        importlib.import_module(module)
    celery.conf.beat_schedule = SCHEDULE

    def forget_connections(**_signal: Any) -> None:
        """Leave the connections of its parent to the parent: this runs in each forked child."""
        with app.app_context():
            db.engine.dispose(close=False)

    worker_process_init.connect(forget_connections, weak=False)
    return celery


def __getattr__(name: str) -> Celery:
    """Make the worker when the `celery` command asks for it, not when this module is read."""
    if name == "celery":
        return make_worker(create_app())
    raise AttributeError(name)
