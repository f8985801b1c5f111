"""Sweeps: an account past its day is booked once, whoever else is at work, and one that is busy stops nobody."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.accounts import sweeping, tasks
from carbonpoints.core import turns
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import db, reading, transaction
from carbonpoints.core.ids import parse_account_id
from carbonpoints.ledger import maintenance
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.reconcile import check
from tests.accounts.world import World, nothing_changes, ok, rows
from tests.core.nudged import nudged

LAST_DAY = date(2026, 6, 30)
MIDNIGHT = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
"""The first instant of 1 July in Zhangye."""
JUST_BEFORE = MIDNIGHT - timedelta(microseconds=1)
BOOKED = "SELECT account_id, business_date, amount_millicredits FROM decision WHERE kind = :kind ORDER BY account_id"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """Processes that give up waiting for a lock soon."""
    return environment | {"CARBONPOINTS_LOCK_TIMEOUT_MS": "100"}


def earning(world: World, *subjects: str, matures_on: date | None = None) -> list[int]:
    """Accounts with 500 millicredits that end with June."""
    accounts = [world.open(subject) for subject in subjects]
    for account in accounts:
        world.earn(account, 500, expires_on=LAST_DAY, matures_on=matures_on)
    return [parse_account_id(account) for account in accounts]


def booked(kind: DecisionKind) -> list[tuple[object, ...]]:
    return rows(BOOKED, kind=int(kind))


def proven() -> None:
    with reading() as session:
        assert [finding for finding in check(session) if finding.differences] == []


def test_a_programmes_lots_end_when_its_own_day_begins(world: World) -> None:
    (account_id,) = earning(world, "C1")
    with clock_at(JUST_BEFORE), nothing_changes():
        tasks.expire_lots(world.programme_id)
    with clock_at(MIDNIGHT):
        tasks.expire_lots(world.programme_id)
        assert booked(DecisionKind.EXPIRY) == [(account_id, date(2026, 7, 1), 500)]
        with nothing_changes():
            tasks.expire_lots(world.programme_id)
    proven()


def test_a_programmes_awards_mature_when_their_own_day_begins(world: World) -> None:
    (account_id,) = earning(world, "C1", matures_on=LAST_DAY)
    last_day_begins = MIDNIGHT - timedelta(days=1)
    with clock_at(last_day_begins - timedelta(microseconds=1)), nothing_changes():
        tasks.mature_awards(world.programme_id)
    with clock_at(last_day_begins):
        tasks.mature_awards(world.programme_id)
        assert booked(DecisionKind.MATURITY) == [(account_id, LAST_DAY, 500)]
        assert ok(world.get("/accounts/mine"))["balances"]["available_millicredits"] == 500
        with nothing_changes():
            tasks.mature_awards(world.programme_id)
    proven()


@pytest.mark.parametrize(
    ("instant", "is_new"),
    [
        (JUST_BEFORE, False),
        (MIDNIGHT, True),
        (MIDNIGHT + timedelta(hours=3) - timedelta(microseconds=1), True),
        (MIDNIGHT + timedelta(hours=3), False),
    ],
)
def test_a_business_date_is_new_for_three_hours(world: World, instant: datetime, is_new: bool) -> None:  # noqa: FBT001 - a parameter of the test
    with clock_at(instant):
        assert sweeping.programmes_with_new_day() == ([world.programme_id] if is_new else [])


def test_only_a_new_day_asks_for_expiry_and_every_hour_for_maturity(app: Flask, world: World) -> None:
    with clock_at(JUST_BEFORE):
        tasks.expire_lots()
        tasks.mature_awards()
    assert nudged(app) == [("ledger.mature_awards", [world.programme_id])]
    with clock_at(MIDNIGHT):
        tasks.expire_lots()
    assert nudged(app) == [("ledger.expire_lots", [world.programme_id])]


def test_a_turn_that_is_over_leaves_the_rest_to_the_next(
    app: Flask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "PAGE_ACCOUNTS", 1)
    monkeypatch.setattr(turns, "TURN_S", -1)
    accounts = earning(world, "C1", "C2")
    with clock_at(MIDNIGHT):
        tasks.expire_lots(world.programme_id)
    assert [account_id for account_id, *_ in booked(DecisionKind.EXPIRY)] == accounts[:1]
    assert nudged(app) == [("ledger.expire_lots", [world.programme_id, accounts[0]])]


def test_a_programme_that_is_not_set_up_has_no_day(world: World) -> None:
    with transaction() as session:
        session.execute(
            text(
                "INSERT INTO programme (bank_id, code, name_en, name_zh, time_zone, currency) "
                "SELECT bank_id, 'bare', 'Bare', '空', 'UTC', 'CNY' FROM programme"
            )
        )
    with clock_at(MIDNIGHT):
        assert sweeping.programmes_with_new_day() == [world.programme_id]


def test_a_sweep_goes_on_where_it_was_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "PAGE_ACCOUNTS", 2)
    accounts = earning(world, "C1", "C2", "C3")
    with clock_at(MIDNIGHT):
        assert sweeping.expire_lots(world.programme_id, 0) == accounts[1]
        assert [account_id for account_id, *_ in booked(DecisionKind.EXPIRY)] == accounts[:2]
        tasks.expire_lots(world.programme_id, accounts[1])
        assert [account_id for account_id, *_ in booked(DecisionKind.EXPIRY)] == accounts
    proven()


def test_a_busy_account_is_left_for_the_next_sweep_and_stops_nobody(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "PAGE_ACCOUNTS", 1)
    first, second = earning(committed_world, "C1", "C2")
    with clock_at(MIDNIGHT):
        with db.engine.begin() as other:
            other.execute(text("SELECT FROM account WHERE account_id = :id FOR UPDATE"), {"id": first})
            tasks.expire_lots(committed_world.programme_id)
            assert booked(DecisionKind.EXPIRY) == [(second, date(2026, 7, 1), 500)]
        tasks.expire_lots(committed_world.programme_id)
        assert [account_id for account_id, *_ in booked(DecisionKind.EXPIRY)] == [first, second]
    proven()


def test_sweeps_side_by_side_book_everything_once(committed: Flask, committed_world: World) -> None:
    expiring = earning(committed_world, "C1", "C2", "C3")
    maturing = earning(committed_world, "C4", "C5", matures_on=LAST_DAY)

    def sweep(task: Callable[[int], None]) -> None:
        with committed.app_context():
            task(committed_world.programme_id)

    with clock_at(MIDNIGHT), ThreadPoolExecutor(4) as pool:
        list(pool.map(sweep, [tasks.expire_lots, tasks.mature_awards] * 2))
    with clock_at(MIDNIGHT):
        tasks.expire_lots(committed_world.programme_id)
    assert [account_id for account_id, *_ in booked(DecisionKind.EXPIRY)] == expiring + maturing
    assert [account_id for account_id, *_ in booked(DecisionKind.MATURITY)] == maturing
    proven()
