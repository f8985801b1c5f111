"""Tasks of change requests: states that follow the clock.

Nothing waits for them. Versions hold from when they say, whether or not a state has been named after that.
"""

from __future__ import annotations

from celery import shared_task

from carbonpoints.approvals.requests import follow_programme
from carbonpoints.core.turns import nudge_each_programme

FOLLOW_TASK = "approvals.follow_clock"


@shared_task(name=FOLLOW_TASK)
def follow_clock(programme_id: int | None = None) -> None:
    """Bring the states of a programme's changes up to now; without a programme, ask for it once for each."""
    if programme_id is None:
        nudge_each_programme(FOLLOW_TASK)
        return
    follow_programme(programme_id)
