"""Tasks of replays. The rows of runs say what is to be done; a task only starts doing it (M19)."""

from __future__ import annotations

import time

from celery import shared_task

from carbonpoints.behaviours.replay import reexecution
from carbonpoints.behaviours.replay.runs import continue_next_run
from carbonpoints.behaviours.replay.services import CONTINUE_TASK
from carbonpoints.core.broker import nudge
from carbonpoints.core.turns import TURN_S, nudge_each_programme

REEXECUTE_TASK = "behaviours.reexecute_sample"


@shared_task(name=CONTINUE_TASK)
def continue_backtests() -> None:
    """Work on back-tests until nothing is left to do, or the turn is over.

    Whoever finds work calls one more worker, so that all of them come while there is something for them.
    """
    end = time.monotonic() + TURN_S
    is_first = True
    while continue_next_run():
        is_over = time.monotonic() > end
        if is_first or is_over:
            nudge(CONTINUE_TASK)
        if is_over:
            return
        is_first = False


@shared_task(name=REEXECUTE_TASK)
def reexecute_sample(programme_id: int | None = None) -> None:
    """Run a sample of a programme's past decisions again; without a programme, of every one's."""
    if programme_id is None:
        nudge_each_programme(REEXECUTE_TASK)
        return
    reexecution.reexecute_sample(programme_id)
