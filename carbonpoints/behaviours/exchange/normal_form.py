"""The published normal form `cn-act/1`: how an act is written, keyed and shown to another programme. Pure.

Published byte for byte in `docs/exchange-normal-form.md`; a test recomputes the examples of that page. Whatever changes
a byte is a new version with a new name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from carbonpoints.core.crypto import SUITE, derive_key

NORMAL_FORM = "cn-act/1"
FINGERPRINT_BYTES = 16
INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"


def netstrings(*texts: str) -> bytes:
    """Return texts so that no two lists of them give the same bytes: length in bytes, colon, UTF-8, comma."""
    encoded = (text.encode() for text in texts)
    return b"".join(b"%d:%b," % (len(each), each) for each in encoded)


def act_text(act: str, identity: Mapping[str, str | bool]) -> bytes:
    """Return an act without its person and its time: its class, and what tells it from others of the class."""
    values = ((name, _text(identity[name])) for name in sorted(identity))
    return netstrings(NORMAL_FORM, act, *(part for pair in values for part in pair))


def _text(value: str | bool) -> str:  # noqa: FBT001 - the values of an event
    if isinstance(value, bool):
        return "true" if value else "false"
    return unicodedata.normalize("NFC", value)


def period_key(secret: bytes, agreement: str, period: date) -> bytes:
    """Return the key of one agreement in one month, given its first day."""
    return derive_key(secret, netstrings(NORMAL_FORM, agreement, month_text(period)))


def fingerprint(key: bytes, act: bytes) -> bytes:
    """Return what stands for an act in one period of one agreement."""
    return SUITE.mac(key, act)[:FINGERPRINT_BYTES]


def instant_text(instant: datetime) -> str:
    """Return an instant in UTC, always with six digits of a second."""
    return instant.astimezone(UTC).strftime(INSTANT)


def parse_instant(text: str) -> datetime:
    """Return the instant that is written so; ValueError for any other way to write it."""
    instant = datetime.strptime(text, INSTANT).replace(tzinfo=UTC)
    if instant_text(instant) != text:
        raise ValueError(text)
    return instant


def month_text(period: date) -> str:
    """Return a month as files name it: `2026-06`."""
    return period.isoformat()[:7]


def parse_month(text: str) -> date:
    """Return the first day of a month; ValueError for anything else."""
    day = date.fromisoformat(f"{text}-01")
    if month_text(day) != text:
        raise ValueError(text)
    return day


def month_begin(period: date, zone: tzinfo) -> datetime:
    """Return the first instant of a month in the agreement's zone."""
    return datetime.combine(period, time(), zone)


def next_month(period: date) -> date:
    """Return the first day of the month after."""
    return (period + timedelta(days=31)).replace(day=1)


def months_of(start: datetime, end: datetime, zone: tzinfo) -> Iterator[date]:
    """Yield the first day of every month in which an act has an instant, its end included."""
    last = end.astimezone(zone).date()
    month = start.astimezone(zone).date().replace(day=1)
    while month <= last:
        yield month
        month = next_month(month)
