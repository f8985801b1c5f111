"""Celery on Redis: how tasks are sent and run. What a task means is its domain's business.

The truth about work is a row, never a message: a task only nudges. So messages are acknowledged before they
run, and what a killed worker leaves behind is picked up from its row by the next beat.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery import Celery, Task
from flask import Flask, current_app
from kombu.exceptions import OperationalError

from carbonpoints.core.config import Settings
from carbonpoints.core.shared_clock import follow_shared_clock

QUEUE = "carbonpoints"
"""The one queue; every worker consumes it."""
VISIBILITY_TIMEOUT_S = 60
"""After this, what a dead worker had fetched and not begun is given to another; the default is an hour."""
RESTORE_INTERVAL_S = 10
CHILD_KIB_MAX = 400_000
TASK_LIMIT_S = 600

log = structlog.get_logger()


def _configuration(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": settings.redis_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "unacked_restore_interval": RESTORE_INTERVAL_S,
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 2,
            # A nudge gives up at once; a worker tries for ever, by the setting above.
            "max_retries": 0,
        },
        "task_default_queue": QUEUE,
        "task_create_missing_queues": False,
        "task_ignore_result": True,
        "task_time_limit": TASK_LIMIT_S,
        "worker_prefetch_multiplier": 1,
        "worker_max_memory_per_child": CHILD_KIB_MAX,
        "worker_hijack_root_logger": False,
        "beat_schedule_filename": str(settings.spool_dir / "beat-schedule"),
        "timezone": "UTC",
    }


def init_broker(app: Flask, settings: Settings) -> Celery:
    """Give the app its Celery; tasks run within an app context, at the shared clock's time."""

    class AppTask(Task[..., Any]):
        """A task inside the app."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with app.app_context():
                structlog.contextvars.clear_contextvars()
                structlog.contextvars.bind_contextvars(task=self.name, task_id=self.request.id)
                follow_shared_clock()
                return self.run(*args, **kwargs)

    celery = Celery("carbonpoints", task_cls=AppTask)
    celery.conf.update(_configuration(settings))
    celery.set_default()
    app.extensions["celery"] = celery
    return celery


def nudge(task: str, *args: Any) -> None:
    """Ask for a task by name, now. Where the broker is away the beat finds the row a little later."""
    celery: Celery = current_app.extensions["celery"]
    try:
        celery.send_task(task, args=args, retry=False)
    except OperationalError:
        log.warning("nudge_not_sent", task=task)
