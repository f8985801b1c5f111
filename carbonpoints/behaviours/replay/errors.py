"""What may go wrong with replays."""

from __future__ import annotations

from carbonpoints.core.errors import CarbonpointsError, Conflict, NotFound


class BacktestNotFound(NotFound):
    """No such back-test, or not of this caller's programme."""

    code = "backtest_not_found"
    title = "There is no such back-test for you."


class BacktestEnded(Conflict):
    """The back-test is done or was cancelled."""

    code = "backtest_ended"
    title = "This back-test has ended already."


class WrongDraft(CarbonpointsError):
    """The draft cannot be held against anything: `fields` names each wrong place."""

    code = "wrong_draft"
    status = 422
    title = "The draft is wrong."


class AwardNotFound(NotFound):
    """There is no decision of this number."""

    code = "award_not_found"
    title = "There is no such award."
