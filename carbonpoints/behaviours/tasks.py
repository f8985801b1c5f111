"""Tasks of events and feeds. The rows of jobs say what is to be done; a task only starts doing it (M19).

What may not be kept any longer is found by its age, once a day.
"""

from __future__ import annotations

import time
from functools import partial

from celery import shared_task

from carbonpoints.behaviours import retention
from carbonpoints.behaviours.feed_services import CONTINUE_TASK, continue_next_job, forget_finished_files
from carbonpoints.core.broker import nudge
from carbonpoints.core.turns import TURN_S, nudge_each_programme, take_turn

PURGE_TASK = "behaviours.purge_undecided"
ERASE_TASK = "behaviours.erase_withdrawn"
UNFOLDING_LIMIT_S = 3_600
"""A camt message is unfolded in one go: a busy core has an hour for the largest upload, of which it needs 10 minutes."""


@shared_task(name=CONTINUE_TASK, time_limit=UNFOLDING_LIMIT_S)
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


@shared_task(name=PURGE_TASK)
def purge_undecided(programme_id: int | None = None) -> None:
    """Forget what a programme keeps for a time only; without a programme, every one's.

    Events that were not decided, and the words of appeals that were resolved.
    """
    if programme_id is None:
        nudge_each_programme(PURGE_TASK)
        return

    def purge_page(_place: int) -> int | None:
        is_more = retention.purge_undecided(programme_id)
        return 0 if retention.erase_old_words(programme_id) or is_more else None

    take_turn(purge_page, 0, leave_to_next=lambda _place: nudge(PURGE_TASK, programme_id))


@shared_task(name=ERASE_TASK)
def erase_withdrawn(after_account_id: int = 0) -> None:
    """Erase the inputs that withdrawn consents covered, after their retention, in the accounts after a number."""
    take_turn(retention.erase_withdrawn, after_account_id, leave_to_next=partial(nudge, ERASE_TASK))
