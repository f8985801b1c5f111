"""The sample day: made-up, always the same, and with something of everything in it."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

from carbonpoints.samples.bank_day import SHIPPED_DAY, SHIPPED_FILE, sample_customers, write_day
from tests.feeds.shipped import events_of, profile, read_all


def test_the_shipped_file_is_what_the_generator_writes(tmp_path: Path) -> None:
    write_day(tmp_path / "day.csv", SHIPPED_DAY)
    assert (tmp_path / "day.csv").read_bytes() == SHIPPED_FILE.read_bytes()


def test_another_day_is_another_file(tmp_path: Path) -> None:
    write_day(tmp_path / "day.csv", date(2026, 6, 2))
    (segment,) = read_all((tmp_path / "day.csv").read_bytes(), profile("sample_bank_day"))
    assert {event.occurred_at.date() for event in events_of([segment])} <= {
        date(2026, 6, 1),
        date(2026, 6, 2),
    }
    assert len(segment.refused) == 6


def test_the_profile_reads_the_shipped_file() -> None:
    (segment,) = read_all(SHIPPED_FILE.read_bytes(), profile("sample_bank_day"))
    assert [(bad.field, bad.code) for bad in segment.refused] == [
        ("金额", "not_a_number"),
        ("发生时刻", "not_an_instant"),
        ("", "wrong_columns"),
        ("event_id", "missing"),
        ("amount_minor", "too_small"),
        ("", "wrong_encoding"),
    ]
    assert (segment.line_count, segment.event_count, segment.filtered_count) == (349, 284, 59)
    events = events_of([segment])
    assert Counter(event.data["payment_channel"] for event in events) == {
        "qr": 118,
        "online": 60,
        "card": 57,
        "transfer": 49,
    }
    assert [
        reference for reference, count in Counter(event.event_id for event in events).items() if count > 1
    ] == ["20260601000201"]
    known = {customer.bank_account for customer in sample_customers()}
    assert (
        len([event for event in events if event.subject.partition(":")[2].partition("#")[0] not in known])
        == 11
    )
