from __future__ import annotations

from datetime import UTC, datetime

import pytest
from marshmallow import ValidationError

from carbonpoints.core.timestamps import Timestamp, parse_timestamp

FIELD = Timestamp()


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-24T08:00:00Z", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("2026-11-24t08:00:00z", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("2026-11-24T08:00:00+08:00", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T08:00:00.5-00:30", datetime(2026, 11, 24, 8, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-11-24T08:00:00.123456789Z", datetime(2026, 11, 24, 8, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_what_rfc_3339_writes(text: str, instant: datetime) -> None:
    read = FIELD.deserialize(text)
    assert (read, read.tzinfo) == (instant, UTC)
    assert parse_timestamp(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "20261124T000000Z",
        "2026-W48-1T00:00:00Z",
        "2026-11-24T00:00Z",
        "2026-11-24 00:00:00Z",
        "2026-11-24T00:00:00+08",
        "2026-11-24T00:00:00+0800",
        "2026-11-24T00:00:00+08:00:30",
        "2026-11-24T00:00:00,5Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T00:00:00Z\n",
        "２０26-11-24T00:00:00Z",
        "9999-12-31T23:59:59-08:00",
        "2026-11-24",
        "",
        1_795_000_000,
        None,
    ],
)
def test_of_iso_8601_nothing_else(text: object) -> None:
    with pytest.raises(ValidationError):
        FIELD.deserialize(text)
    assert not isinstance(text, str) or parse_timestamp(text) is None


def test_a_missing_offset_is_told() -> None:
    with pytest.raises(ValidationError, match=r"^Not a valid aware datetime\.$"):
        FIELD.deserialize("2026-11-24T00:00:00")
    assert parse_timestamp("2026-11-24T00:00:00") is None
