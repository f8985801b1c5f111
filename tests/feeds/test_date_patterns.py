"""Dates and times as banks write them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from carbonpoints.behaviours.date_patterns import DatePatternError, date_reader, instant_reader


@pytest.mark.parametrize(
    ("pattern", "text", "day"),
    [
        ("yyMMdd", "930101", date(1993, 1, 1)),
        ("yyMMdd", "700101", date(1970, 1, 1)),
        ("yyMMdd", "691231", date(2069, 12, 31)),
        ("dd.MM.yyyy", "29.02.2024", date(2024, 2, 29)),
        ("yyyy年MM月dd日", "2024年05月01日", date(2024, 5, 1)),
    ],
)
def test_dates(pattern: str, text: str, day: date) -> None:
    read = date_reader(pattern)
    assert read(text) == day
    assert read(text) == day, "and once more, remembered"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyMMdd", "931301"), ("yyMMdd", "930230"), ("yyMMdd", "93010"), ("yyMMdd", " 930101"), ("yyMMdd", "9301011"),
        ("yyyyMMdd", "２０２４0501"), ("dd.MM.yyyy", "01-05-2024"), ("yyyyMMdd", "00000101"),
    ],
)  # fmt: skip
def test_other_text_is_no_date(pattern: str, text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        date_reader(pattern)(text)


@pytest.mark.parametrize(
    ("pattern", "zone", "text", "instant"),
    [
        ("yyyy-MM-dd HH:mm:ss", "Asia/Shanghai", "2024-05-01 07:30:05", datetime(2024, 4, 30, 23, 30, 5, tzinfo=UTC)),
        ("yyyyMMddHHmm", "Asia/Shanghai", "202405010800", datetime(2024, 5, 1, tzinfo=UTC)),
        ("yyyy-MM-ddTHH:mm:ss.SSSXXX", "Asia/Shanghai", "2024-05-01T08:00:00.250-01:30",
         datetime(2024, 5, 1, 9, 30, 0, 250_000, tzinfo=UTC)),
        ("yyyy-MM-ddTHH:mm:ssXXX", "Asia/Shanghai", "2024-05-01T08:00:00Z", datetime(2024, 5, 1, 8, tzinfo=UTC)),
        ("yyyyMMdd HHmm", "Europe/Prague", "20241027 0230", datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),
        ("yyyyMMdd HHmm", "Europe/Prague", "20240331 0230", datetime(2024, 3, 31, 1, 30, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_instants(pattern: str, zone: str, text: str, instant: datetime) -> None:
    assert instant_reader(pattern, zone)(text) == instant


@pytest.mark.parametrize(
    "text",
    ["2024-05-01 24:00", "2024-05-01 8:00", "2024-05-01T08:00", "0001-01-01 00:00", "2024-05-01 08:00 "],
)
def test_other_text_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        instant_reader("yyyy-MM-dd HH:mm", "Asia/Shanghai")(text)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("yyyy-MM-DD", "'DD' is no field"), ("yyyyyMMdd", "'yyyyy' is no field"), ("yyyyMMddMM", "month is there twice"),
        ("yyyyMM", "day is missing"), ("yyyyMMdd HH", "year, month and day only"), ("", "year is missing"),
    ],
)  # fmt: skip
def test_wrong_patterns_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(DatePatternError, match=message):
        date_reader(pattern)


def test_an_instant_needs_a_time_of_day() -> None:
    with pytest.raises(DatePatternError, match="hour and minute"):
        instant_reader("yyyyMMdd", "Asia/Shanghai")
