"""Tasks of events and feeds. The rows of jobs say what is to be done; a task only starts doing it (M19)."""

from __future__ import annotations

import time

from celery import shared_task

from carbonpoints.behaviours.feed_services import CONTINUE_TASK, continue_next_job, forget_finished_files
from carbonpoints.core.broker import nudge

TURN_S = 60
"""After this long a worker asks for another turn, so that other tasks get theirs."""


@shared_task(name=CONTINUE_TASK)
def continue_jobs() -> None:
    """Work on received and staged files until nothing is left to do, or the turn is over.

    Whoever finds work calls one more worker, so that all of them come while there is something for them.
    """
    end = time.monotonic() + TURN_S
    is_first = True
    while continue_next_job():
        is_over = time.monotonic() > end
        if is_first or is_over:
            nudge(CONTINUE_TASK)
        if is_over:
            return
        is_first = False
    forget_finished_files()
