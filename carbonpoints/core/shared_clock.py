"""The test clock that every process shares, outside production: a row that requests and tasks look at."""

from __future__ import annotations

from datetime import datetime

from flask import Flask, current_app, g
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert

from carbonpoints.core.clock import set_clock
from carbonpoints.core.db import raw_connection, reading, settings, transaction
from carbonpoints.core.models import TestClock

_SEEN = "carbonpoints_shared_clock"
_FIXED_AT = (
    "SELECT fixed_at FROM test_clock"  # Asked by every request: the ORM would take longer than the database.
)


def follow_shared_clock() -> None:
    """Set the process's clock when the row changed since this process last looked. Nothing in production."""
    if settings().is_production:
        return
    with reading() as session:
        row = raw_connection(session).execute(_FIXED_AT).fetchone()
    fixed_at = row[0] if row is not None else None
    if fixed_at != current_app.extensions.get(_SEEN):
        current_app.extensions[_SEEN] = fixed_at
        set_clock(fixed_at)


def _follow_in_request() -> None:
    if "caller" in g:  # Public operations ask nobody, not even the database.
        follow_shared_clock()


def init_shared_clock(app: Flask) -> None:
    """Let every authorised request look at the row first."""
    app.before_request(_follow_in_request)


def fix_shared_clock(instant: datetime | None) -> None:
    """Fix the clock of every process at `instant`, or let all run again with None.

    Raises RuntimeError in production.
    """
    if settings().is_production:
        raise RuntimeError("the clock cannot be set in production")
    with transaction() as session:
        if instant is None:
            session.execute(delete(TestClock))
        else:
            values = {"fixed_at": instant}
            session.execute(
                insert(TestClock)
                .values(one_row=True, **values)
                .on_conflict_do_update(index_elements=[TestClock.one_row], set_=values)
            )
    follow_shared_clock()
