"""The one clock, and the programme's calendar (M7).

`now()` is the only source of the current time. Outside production it can be set, for the whole process or,
through the database row `test_clock`, for every process. All instants inside are UTC and aware.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_fixed: datetime | None = None


def now() -> datetime:
    """Return the current instant in UTC, or the instant the test clock is set to."""
    return _fixed if _fixed is not None else datetime.now(UTC)


def set_clock(instant: datetime | None) -> None:
    """Fix the process's clock at `instant` (aware), or let it run again with None.

    Callers check that the environment is not production before they offer this to anybody.
    """
    global _fixed  # noqa: PLW0603 - the one clock is process-wide by definition
    if instant is not None and instant.tzinfo is None:
        raise ValueError("the clock takes an instant with its offset")
    _fixed = instant.astimezone(UTC) if instant is not None else None


@contextmanager
def clock_at(instant: datetime) -> Iterator[None]:
    """Run a block with the clock fixed at `instant`."""
    before = _fixed
    set_clock(instant)
    try:
        yield
    finally:
        set_clock(before)


@dataclass(frozen=True)
class Calendar:
    """A programme's time zone, cut-off and holidays: the one place that knows what "today" is."""

    time_zone: str
    cut_off: time = time(0, 0)
    """Local time from which an entry belongs to the next business date; 00:00 means none."""
    holidays: frozenset[date] = field(default_factory=frozenset)

    @property
    def zone(self) -> ZoneInfo:
        """The IANA zone."""
        return ZoneInfo(self.time_zone)

    def local_date(self, instant: datetime) -> date:
        """Date of `instant` in the programme's zone: the date of caps and campaigns."""
        return instant.astimezone(self.zone).date()

    def business_date(self, instant: datetime) -> date:
        """Date of the books for something booked at `instant`: expiry, journal, settlement."""
        local = instant.astimezone(self.zone)
        day = local.date()
        if self.cut_off != time(0, 0) and local.time() >= self.cut_off:
            day += timedelta(days=1)
        while day in self.holidays:
            day += timedelta(days=1)
        return day

    def opens(self, day: date) -> datetime:
        """First instant whose business date is `day` or later."""
        while day - timedelta(days=1) in self.holidays:
            day -= timedelta(days=1)
        before = 1 if self.cut_off != time(0, 0) else 0
        local = datetime.combine(day - timedelta(days=before), self.cut_off, tzinfo=self.zone)
        return local.astimezone(UTC)

    def noon(self, day: date) -> datetime:
        """12:00 local on `day`: the instant of something known by its date only."""
        return datetime.combine(day, time(12, 0), tzinfo=self.zone).astimezone(UTC)


def month_end(day: date) -> date:
    """Last day of the month of `day`."""
    first_of_next = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return first_of_next - timedelta(days=1)


def add_months(day: date, months: int) -> date:
    """Last day of the month that lies `months` months after the month of `day`."""
    index = day.year * 12 + day.month - 1 + months
    return month_end(date(index // 12, index % 12 + 1, 1))
