"""What is left of a budget, and how long it will last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from carbonpoints.ledger.budgets import Wanted, draw
from carbonpoints.ledger.slices import Amount, Limits
from carbonpoints.rules.budget_forecast import Forecast, Outlook, forecast_last_day
from carbonpoints.rules.budget_views import forecast_budget
from carbonpoints.rules.budgets import terms_on
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.parsing import parse_budgets
from tests.rules.budget_files import budget
from tests.rules.catalogue_files import confirm, draft, read, seed_empty, ship, write

NOON = datetime(2026, 6, 15, 4, tzinfo=UTC)
TODAY, END = date(2026, 6, 15), date(2026, 6, 30)


def burnt(**days: int) -> dict[date, Amount]:
    """What was given out so many days ago (`ago_3`), at ten microfen a millicredit."""
    return {
        TODAY - timedelta(days=int(name.removeprefix("ago_"))): Amount(amount, amount * 10)
        for name, amount in days.items()
    }


@pytest.mark.parametrize(
    ("burn", "left", "expected"),
    [
        ({}, Limits(100, None), Forecast(Outlook.NO_HISTORY_YET)),
        (burnt(ago_0=50), Limits(100, None), Forecast(Outlook.NO_HISTORY_YET)),
        (burnt(ago_15=50), Limits(100, None), Forecast(Outlook.NO_HISTORY_YET)),
        (burnt(ago_1=50), Limits(0, None), Forecast(Outlook.USED_UP)),
        (burnt(ago_1=50), Limits(100, 0), Forecast(Outlook.USED_UP)),
        # 30 a day: 90 last today and two days more, one more lasts for a part of the next.
        (burnt(ago_1=30), Limits(90, None), (date(2026, 6, 17), 1, 30)),
        (burnt(ago_1=30), Limits(91, None), (date(2026, 6, 18), 1, 30)),
        (burnt(ago_1=30), Limits(1, None), (TODAY, 1, 30)),
        # Days on which nothing was given out count from the first on which something was.
        (burnt(ago_0=999, ago_1=60, ago_4=60), Limits(90, None), (date(2026, 6, 17), 4, 120)),
        # The scarcer measure decides.
        (burnt(ago_1=30), Limits(90, 300), (TODAY, 1, 30)),
        (burnt(ago_1=30), Limits(None, 900), (date(2026, 6, 17), 1, 30)),
        (burnt(ago_1=30), Limits(30 * 15, None), (date(2026, 6, 29), 1, 30)),
    ],
)
def test_the_mean_of_the_last_days_goes_on(
    burn: dict[date, Amount], left: Limits, expected: Forecast | tuple[date, int, int]
) -> None:
    found = forecast_last_day(burn, left=left, today=TODAY, ends_on=END)
    if isinstance(expected, tuple):
        last_day, days, total = expected
        expected = Forecast(Outlook.RUNS_OUT, last_day, days, Amount(total, total * 10))
    assert found == expected


@pytest.mark.parametrize(
    ("burn", "left"),
    [
        (burnt(ago_1=30), Limits(30 * 15 + 1, None)),
        (burnt(ago_1=1), Limits(10**13, None)),
        (burnt(ago_1=30, ago_2=-30), Limits(5, None)),
    ],
)
def test_what_reaches_the_last_day_lasts(burn: dict[date, Amount], left: Limits) -> None:
    found = forecast_last_day(burn, left=left, today=TODAY, ends_on=END)
    assert (found.outlook, found.last_day) == (Outlook.LASTS, None)


# Over HTTP

Get = Callable[..., Any]


@pytest.fixture
def programme_id(session: Session) -> Iterator[int]:
    with clock_at(NOON):
        yield seed_empty()


@pytest.fixture
def get(client: FlaskClient, settings: Settings, programme_id: int) -> Get:
    def ask(role: Role = Role.FINANCE, **query: str) -> Any:
        token = issue_demo_token(settings, issuer="https://hbank.test", subject="a", role=role)
        return client.get("/v1/budgets", query_string=query, headers={"Authorization": f"Bearer {token}"})

    return ask


def give_out(session: Session, programme_id: int, day: date, millicredits: int) -> None:
    budgets = load_catalogue(session, programme_id).budgets
    for terms in terms_on(budgets, programme_settings(session, programme_id), day):
        drawn = draw(session, terms, Wanted(millicredits, 1))
        assert drawn is not None
        assert drawn.millicredits == millicredits
    session.commit()


def test_a_budget_shows_what_is_left_and_for_how_long(
    get: Get, session: Session, programme_id: int, tmp_path: Path
) -> None:
    ship(programme_id, read(write(tmp_path, one=budget(millicredits=100_000, fen=50, campaign="spring"))))
    give_out(session, programme_id, date(2026, 6, 11), 20_000)
    give_out(session, programme_id, TODAY, 5_000)
    answer = get()
    assert answer.status_code == 200
    assert answer.json == {
        "business_date": "2026-06-15",
        "items": [
            {
                "code": "everything",
                "name_en": "All credits",
                "name_zh": "全部积分",
                "campaign": "spring",
                "period": "month",
                "starts_on": "2026-06-01",
                "ends_on": "2026-06-30",
                "limit_millicredits": 100_000,
                "used_millicredits": 25_000,
                "left_millicredits": 75_000,
                "limit_fen": 50,
                "used_fen": 3,
                "left_fen": 47,
                "forecast": {
                    "outlook": "runs_out",
                    "last_day": "2026-06-29",
                    "days": 4,
                    "burn_millicredits": 20_000,
                    "burn_fen": 2,
                    "method": {
                        "en": "A forecast and no promise: it goes on from today as on the days before, from the first "
                        "of the last 14 on which anything was given out.",
                        "zh": "仅为预测,不构成承诺:自最近14天内首个发放日起计算日均发放量,并假定今后按此继续。",
                    },
                },
            }
        ],
    }


def test_another_date_shows_its_own_period_without_a_forecast(
    get: Get, session: Session, programme_id: int, tmp_path: Path
) -> None:
    ship(programme_id, read(write(tmp_path, one=budget(millicredits=100_000))))
    give_out(session, programme_id, date(2026, 5, 31), 20_000)
    (may,) = get(on="2026-05-01").json["items"]
    assert (may["used_millicredits"], may["left_millicredits"], may["forecast"]) == (20_000, 80_000, None)
    (june,) = get(on="2026-06-30").json["items"]
    assert (june["used_millicredits"], june["limit_fen"], june["left_fen"]) == (0, None, None)
    assert june["forecast"]["outlook"] == "no_history_yet", "the last of May is fifteen days ago"
    assert get(on="2025-12-31").json["items"] == []


def test_a_limit_below_what_was_given_out_leaves_nothing(
    get: Get, session: Session, programme_id: int, tmp_path: Path
) -> None:
    ship(programme_id, read(write(tmp_path / "a", one=budget(millicredits=100_000))))
    give_out(session, programme_id, TODAY, 20_000)
    lower = read(write(tmp_path / "b", one=budget(millicredits=5_000)))
    # Its forecast is a warning, and then two persons answer for it.
    confirm(programme_id, draft(programme_id, lower), checkers=("zhao", "sun"))
    (june,) = get().json["items"]
    assert (june["used_millicredits"], june["left_millicredits"]) == (20_000, 0)
    assert june["forecast"]["outlook"] == "used_up"


@pytest.mark.parametrize("on", ["June", "1899-12-31", "9999-12-31"])
def test_a_wrong_date_is_refused(get: Get, on: str) -> None:
    answer = get(on=on)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "on")


def test_a_proposed_budget_is_forecast_from_what_its_code_gave_out(
    session: Session, programme_id: int, tmp_path: Path
) -> None:
    settings = programme_settings(session, programme_id)
    (proposed,) = parse_budgets(budget(millicredits=30_000), "file.yaml")
    assert forecast_budget(session, settings, proposed).outlook is Outlook.NO_HISTORY_YET
    ship(programme_id, read(write(tmp_path, one=budget(millicredits=100_000))))
    give_out(session, programme_id, date(2026, 6, 14), 10_000)
    found = forecast_budget(session, settings, proposed)
    assert (found.outlook, found.last_day) == (Outlook.RUNS_OUT, date(2026, 6, 16))
