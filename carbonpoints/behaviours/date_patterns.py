"""Dates and times as banks write them: a small pattern language, explicit in every digit. Pure.

`yyyy` and `yy` year, `MM` month, `dd` day, `HH` hour (00-23), `mm` minute, `ss` second, `S` to `SSSSSS`
fraction of a second, `XXX` offset (`+08:00` or `Z`); `T`, digits' separators and spaces stand for themselves.
A two-digit year is 1970 to 2069. Every field has exactly the digits of its letters.

A local time without offset is read in the feed's zone; where clocks go back it is the first of the two, where
they go forward it is counted with the offset before the change.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from carbonpoints.core.errors import Message

_FIELDS = {
    "yyyy": "year", "yy": "year", "MM": "month", "dd": "day", "HH": "hour", "mm": "minute", "ss": "second",
    "XXX": "offset",
}  # fmt: skip
_PIECE = re.compile(r"([A-Za-z])\1*|[^A-Za-z]")
_DAY = ("year", "month", "day")
_FIRST_SHORT_YEAR = 70
_FRACTION_DIGITS = 6
_CACHED = 4_096
_SECONDS = {f"{second:02d}": timedelta(seconds=second) for second in range(60)}


_SAID = {
    "year": Message("the year"),
    "month": Message("the month"),
    "day": Message("the day"),
    "hour": Message("the hour"),
    "minute": Message("the minute"),
    "second": Message("the second"),
    "fraction": Message("the fraction of a second"),
    "offset": Message("the offset"),
}


class DatePatternError(ValueError):
    """The pattern is not one of this language; the message says where."""

    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self.message = message


def _compile(pattern: str) -> tuple[re.Pattern[str], frozenset[str]]:
    parts: list[str] = []
    names: set[str] = set()
    for match in _PIECE.finditer(pattern):
        piece = match[0]
        if piece == "T" or not (piece.isascii() and piece.isalpha()):
            parts.append(re.escape(piece))
            continue
        name = (
            "fraction" if set(piece) == {"S"} and len(piece) <= _FRACTION_DIGITS else _FIELDS.get(piece, "")
        )
        if not name:
            raise DatePatternError(
                Message("%(piece)s is no field: use yyyy yy MM dd HH mm ss S XXX", piece=repr(piece))
            )
        if name in names:
            raise DatePatternError(Message("%(field)s is there twice", field=_SAID[name]))
        names.add(name)
        digits = f"[0-9]{{{len(piece)}}}" if name != "offset" else "Z|[+-][0-9]{2}:[0-9]{2}"
        parts.append(f"(?P<{name}>{digits})")
    missing = [name for name in _DAY if name not in names]
    if missing:
        raise DatePatternError(Message("%(field)s is missing", field=_SAID[missing[0]]))
    return re.compile("".join(parts)), frozenset(names)


def _year(text: str) -> int:
    number = int(text)
    if len(text) > 2:  # noqa: PLR2004 - yy has two digits
        return number
    return number + (1900 if number >= _FIRST_SHORT_YEAR else 2000)


def _offset(text: str) -> timezone:
    if text == "Z":
        return UTC
    size = timedelta(hours=int(text[1:3]), minutes=int(text[4:]))
    return timezone(-size if text[0] == "-" else size)


def date_reader(pattern: str) -> Callable[[str], date]:
    """Return the function that reads a date written in `pattern`; it raises ValueError for anything else.

    Raises DatePatternError for a pattern that is none or that has a time of day.
    """
    expression, names = _compile(pattern)
    if names != set(_DAY):
        raise DatePatternError(Message("a date has year, month and day only"))
    known: dict[str, date] = {}

    def read(text: str) -> date:
        day = known.get(text)
        if day is None:
            match = expression.fullmatch(text)
            if match is None:
                raise ValueError(pattern)
            day = date(_year(match["year"]), int(match["month"]), int(match["day"]))
            if len(known) >= _CACHED:
                known.clear()
            known[text] = day
        return day

    return read


def instant_reader(pattern: str, time_zone: str) -> Callable[[str], datetime]:
    """Return the function that reads an instant written in `pattern` as UTC; ValueError for anything else.

    Raises DatePatternError for a pattern that is none or that has no time of day.
    """
    expression, names = _compile(pattern)
    if not {"hour", "minute"} <= names:
        raise DatePatternError(Message("an instant has hour and minute"))
    zone = ZoneInfo(time_zone)

    def read(text: str) -> datetime:
        match = expression.fullmatch(text)
        if match is None:
            raise ValueError(pattern)
        found = match.groupdict("0")
        local = datetime(
            _year(found["year"]), int(found["month"]), int(found["day"]), int(found["hour"]), int(found["minute"]),
            int(found.get("second", 0)), int(found.get("fraction", "0").ljust(_FRACTION_DIGITS, "0")),
            tzinfo=zone if "offset" not in found else _offset(found["offset"]),
        )  # fmt: skip
        try:
            return local.astimezone(UTC)
        except OverflowError:
            raise ValueError(pattern) from None

    return _remembering_minutes(read, pattern.rindex("ss")) if pattern.endswith("ss") else read


def _remembering_minutes(read: Callable[[str], datetime], seconds_at: int) -> Callable[[str], datetime]:
    """Spare most of the work where only the seconds at the end differ: the offset changes on whole minutes."""
    known: dict[str, datetime] = {}

    def read_fast(text: str) -> datetime:
        minute = known.get(text[:seconds_at])
        seconds = _SECONDS.get(text[seconds_at:])
        if minute is not None and seconds is not None:
            return minute + seconds
        instant = read(text)
        if len(known) >= _CACHED:
            known.clear()
        known[text[:seconds_at]] = instant - timedelta(seconds=instant.second)
        return instant

    return read_fast
