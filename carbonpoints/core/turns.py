"""Long work in turns: a worker goes from page to page for a while and leaves the rest to the next worker.

Nothing is kept about how far the work has come. What is done is found done, so that after a lost message or a
killed worker the beat's next message starts over and only time is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import select

from carbonpoints.core.broker import nudge
from carbonpoints.core.db import reading
from carbonpoints.core.models import Programme

TURN_S = 60
"""After this long a worker asks for another turn, so that other tasks get theirs."""


def take_turn(
    do_page: Callable[[int], int | None], place: int, *, leave_to_next: Callable[[int], None]
) -> None:
    """Do the page at `place`, the one at the place that it returns, and so on until that is None.

    Where the turn is over before, `leave_to_next` is told the place to go on from.
    """
    end = time.monotonic() + TURN_S
    while (following := do_page(place)) is not None:
        if time.monotonic() > end:
            leave_to_next(following)
            return
        place = following


def nudge_each_programme(task: str) -> None:
    """Ask for `task` once for every programme: one that fails holds up none of the others."""
    with reading() as session:
        programme_ids = session.scalars(select(Programme.programme_id).order_by(Programme.programme_id)).all()
    for programme_id in programme_ids:
        nudge(task, programme_id)
