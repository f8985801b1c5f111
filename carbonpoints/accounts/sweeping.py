"""Sweeps over a programme's accounts, by its business date: expiry of lots, maturity of awards (M5, M7, M23)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from carbonpoints.accounts.errors import ProgrammeNotSetUp
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.core.clock import Calendar, now
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.errors import Busy
from carbonpoints.core.models import Programme
from carbonpoints.ledger import maintenance
from carbonpoints.ledger.maintenance import Page

Find = Callable[[Session, int, date, int], Page]
Book = Callable[[Session, Collection[int], Calendar], int]

NEW_DAY = timedelta(hours=3)
"""A business date is new for so long: the hourly sweep comes by three times, so that a page that was busy, or an
hour without a worker, is made up for on the same date."""

log = structlog.get_logger()


def programmes_with_new_day() -> list[int]:
    """Return the programmes whose business date has just moved, in the order of their numbers."""
    instant = now()
    found = []
    with reading() as session:
        for programme_id in session.scalars(select(Programme.programme_id).order_by(Programme.programme_id)):
            try:
                calendar = programme_settings(session, programme_id).calendar
            except ProgrammeNotSetUp:
                continue
            if calendar.business_date(instant) != calendar.business_date(instant - NEW_DAY):
                found.append(programme_id)
    return found


def expire_lots(programme_id: int, after_account_id: int) -> int | None:
    """End what lies past its expiry in the next accounts; returns the last of them, None when there was none."""
    return _sweep(maintenance.find_expired, maintenance.expire_lots, programme_id, after_account_id)


def mature_awards(programme_id: int, after_account_id: int) -> int | None:
    """Make the next due awards available; returns the last of their accounts, None when there was none."""
    return _sweep(maintenance.find_mature, maintenance.mature_awards, programme_id, after_account_id)


def _sweep(find: Find, book: Book, programme_id: int, after_account_id: int) -> int | None:
    with reading() as session:
        calendar = programme_settings(session, programme_id).calendar
        page = find(session, programme_id, calendar.business_date(now()), after_account_id)
    if page.due:
        try:
            with transaction() as session:
                book(session, page.due, calendar)
        except Busy:
            # One account at work must not hold up the others: the next sweep comes by again.
            log.warning("sweep_page_busy", after_account_id=after_account_id, last_account_id=page.last)
    return page.last
