from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.errors import ProgrammeNotSetUp
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.programmes import (
    ConsentText,
    EventSource,
    ProgrammeNeeded,
    ProgrammeSettings,
    parse_programme_settings,
    programme_of,
)
from carbonpoints.core.roles import Role
from tests.accounts.world import ISSUER, World

CONTENT = {
    "cut_off": "17:30",
    "holidays": ["2026-10-01"],
    "release_grace_days": 3,
    "late_event_days": 30,
    "future_tolerance_s": 300,
    "clawback_limit_millicredits": 1_000_000,
    "undecided_retention_days": 90,
    "millifen_per_credit": 100,
    "consent_sources": {
        "trips": {
            "name_en": "Trips",
            "name_zh": "出行",
            "sensitive": True,
            "retention_days": 180,
            "texts": [
                {"version": "1", "text_en": "a", "text_zh": "甲"},
                {"version": "2", "covers_from": "2026-01-01T00:00:00+08:00", "text_en": "b", "text_zh": "乙"},
            ],
        }
    },
    "event_sources": [{"uri": "https://bus.example", "consent_sources": ["trips"]}],
}


def settings(content: Mapping[str, object] = CONTENT) -> ProgrammeSettings:
    return parse_programme_settings(
        programme_id=7, bank_id=2, code="green", time_zone="Asia/Shanghai", currency="CNY", content=content
    )


def caller(bank_id: int, programme: str | None = None) -> Caller:
    return Caller(bank_id, ISSUER, "C1", Role.CUSTOMER, frozenset(), "C1", programme, ())


def test_settings_say_what_the_version_says() -> None:
    parsed = settings()
    assert (parsed.id, parsed.bank_id, parsed.code, parsed.currency) == (7, 2, "green", "CNY")
    assert (parsed.calendar.time_zone, parsed.calendar.cut_off) == ("Asia/Shanghai", time(17, 30))
    assert parsed.calendar.holidays == {date(2026, 10, 1)}
    assert (parsed.release_grace_days, parsed.late_event_days, parsed.future_tolerance_s) == (3, 30, 300)
    assert (parsed.clawback_limit_millicredits, parsed.undecided_retention_days) == (1_000_000, 90)
    assert parsed.millifen_per_credit == 100
    assert parsed.event_sources == {
        "https://bus.example": EventSource("https://bus.example", ("trips",), is_backfill=False)
    }
    trips = parsed.consent_sources["trips"]
    assert (trips.code, trips.sensitive, trips.retention_days) == ("trips", True, 180)
    assert trips.offered == ConsentText("2", datetime(2025, 12, 31, 16, tzinfo=UTC), "b", "乙")


@pytest.mark.parametrize("missing", sorted(CONTENT.keys() - {"holidays", "millifen_per_credit"}))
def test_a_gap_is_never_filled_in(missing: str) -> None:
    content = {name: value for name, value in CONTENT.items() if name != missing}
    with pytest.raises(KeyError, match=missing):
        settings(content)


def test_settings_are_read_again_when_a_version_changes(world: World) -> None:
    with reading() as session:
        before = programme_settings(session, world.programme_id)
        assert programme_settings(session, world.programme_id) is before
    with transaction() as session:
        session.execute(
            text("UPDATE version SET known = tstzrange(lower(known), now()) WHERE kind = 'programme'")
        )
    with reading() as session, pytest.raises(ProgrammeNotSetUp):
        programme_settings(session, world.programme_id)


def test_a_bank_s_only_programme_needs_no_name(world: World) -> None:
    with reading() as session:
        bank_id = programme_settings(session, world.programme_id).bank_id
        assert programme_of(session, caller(bank_id)) == world.programme_id
        assert programme_of(session, caller(bank_id, "zhangye")) == world.programme_id
        for stranger in (caller(bank_id, "another"), caller(bank_id + 1), caller(bank_id + 1, "zhangye")):
            with pytest.raises(ProgrammeNeeded):
                programme_of(session, stranger)


def add_programme(session: Session, bank_id: int) -> None:
    session.execute(
        text(
            "INSERT INTO programme (bank_id, code, name_en, name_zh, time_zone, currency) "
            "VALUES (:bank_id, 'second', 'S', 'S', 'Asia/Shanghai', 'CNY')"
        ),
        {"bank_id": bank_id},
    )


def test_with_two_programmes_the_token_says_which(world: World) -> None:
    with transaction() as session:
        bank_id = programme_settings(session, world.programme_id).bank_id
        add_programme(session, bank_id)
        with pytest.raises(ProgrammeNeeded):
            programme_of(session, caller(bank_id))
        assert programme_of(session, caller(bank_id, "zhangye")) == world.programme_id


def test_the_calendar_s_day() -> None:
    calendar = settings().calendar
    eve = datetime(2026, 9, 30, 9, 29, tzinfo=UTC)
    assert calendar.business_date(eve) == date(2026, 9, 30)
    assert calendar.business_date(eve + timedelta(minutes=1)) == date(2026, 10, 2)


def test_settings_from_before_credits_had_a_cost_say_that_they_cost_nothing() -> None:
    content = {name: value for name, value in CONTENT.items() if name != "millifen_per_credit"}
    assert settings(content).millifen_per_credit == 0
