"""The task that posts restatements. The rows of runs say what is to be done; a task only starts doing it (M19)."""

from __future__ import annotations

import time

from celery import shared_task

from carbonpoints.behaviours.restating.runs import continue_next_restatement
from carbonpoints.core.turns import TURN_S

CONTINUE_TASK = "behaviours.continue_restatements"


@shared_task(name=CONTINUE_TASK)
def continue_restatements() -> None:
    """Post approved restatements until nothing is left to do, or the turn is over; the next turn goes on."""
    end = time.monotonic() + TURN_S
    while time.monotonic() < end and continue_next_restatement():
        pass
