"""Tasks of accounts: what becomes due in their books by the date alone.

The ledger's upkeep runs from here because a programme's calendar is known here. The beat asks every hour, so that
a programme's accounts are swept within an hour of its business date's move, wherever its zone and cut-off put
that. A sweep that finds nothing due changes nothing.

What expires has to be looked for in every account, so that is done while the date is new; nobody can spend it
meanwhile. Due awards are found by an index, every hour: their holders wait for them.
"""

from __future__ import annotations

from functools import partial

from celery import shared_task

from carbonpoints.accounts import sweeping
from carbonpoints.core.broker import nudge
from carbonpoints.core.turns import nudge_each_programme, take_turn

EXPIRE_TASK = "ledger.expire_lots"
MATURE_TASK = "ledger.mature_awards"


@shared_task(name=EXPIRE_TASK)
def expire_lots(programme_id: int | None = None, after_account_id: int = 0) -> None:
    """End lots past their expiry in a programme's accounts after a number.

    Without a programme, ask for it once for each whose business date is new.
    """
    if programme_id is None:
        for each in sweeping.programmes_with_new_day():
            nudge(EXPIRE_TASK, each)
        return
    take_turn(
        partial(sweeping.expire_lots, programme_id),
        after_account_id,
        leave_to_next=partial(nudge, EXPIRE_TASK, programme_id),
    )


@shared_task(name=MATURE_TASK)
def mature_awards(programme_id: int | None = None, after_account_id: int = 0) -> None:
    """Let due awards mature in a programme's accounts after a number; without a programme, in every one's."""
    if programme_id is None:
        nudge_each_programme(MATURE_TASK)
        return
    take_turn(
        partial(sweeping.mature_awards, programme_id),
        after_account_id,
        leave_to_next=partial(nudge, MATURE_TASK, programme_id),
    )
