"""Deliveries in programmes with budgets: all or nothing for each event, in order, and the customer is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core import clock
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from carbonpoints.ledger.posting import lock_books
from carbonpoints.ledger.reconcile import check
from tests.behaviours.api import BANK, Api, body, ends, event, refusal, ride
from tests.behaviours.undoing import merge
from tests.behaviours.world import NOW, World, payment
from tests.rules.budget_files import budget
from tests.rules.catalogue_files import read, ship, write

RIDE_MILLICREDITS = 134_500
Put = Callable[..., None]


@pytest.fixture
def put(world: World, tmp_path: Path, session: Session) -> Iterator[Put]:
    """Put budgets in force; the ledger is proven after the test."""

    def in_force(**files: str) -> None:
        ship(world.programme_id, read(write(tmp_path / "budgets", **files)))

    yield in_force
    assert [finding for finding in check(session) if finding.differences] == []


@pytest.fixture
def api(world: World, client: FlaskClient, settings: Settings) -> Api:
    return Api(client, settings)


def used(session: Session) -> list[tuple[str, str, int, int]]:
    """Code, start, millicredits and microfen of each period."""
    query = """SELECT code, starts_on::text, sum(used_millicredits)::bigint, sum(used_microfen)::bigint
        FROM budget_period JOIN budget_slice USING (budget_period_id) GROUP BY 1, 2 ORDER BY 1, 2"""
    return [tuple(row) for row in session.execute(text(query))]


def paid(world: World, *references: str, customer: str = "C1") -> list[str]:
    events = [world.event("non_cash_payment", payment(name), customer=customer) for name in references]
    return [receipt.disposition.code for receipt in world.take(*events).receipts]


def test_a_programme_without_a_budget_keeps_no_trace_of_one(world: World, session: Session) -> None:
    assert paid(world, "T-1") == ["credited"]
    assert used(session) == []
    assert session.scalar(text("SELECT count(*) FROM decision WHERE trace ? 'budgets'")) == 0


def test_awards_draw_on_every_budget_and_say_so(world: World, session: Session, put: Put) -> None:
    put(one=budget("in_credits", millicredits=10_000), two=budget("in_money", "year", fen=100))
    assert paid(world, "T-1", "T-2") == ["credited"] * 2
    assert used(session) == [
        ("in_credits", "2026-06-01", 2_000, 200_000),
        ("in_money", "2026-01-01", 2_000, 200_000),
    ]
    traces = session.scalars(text("SELECT trace FROM decision WHERE trace ? 'budgets'")).all()
    assert traces == [{"budgets": {"in_credits": [1_000, 100_000], "in_money": [1_000, 100_000]}}] * 2


def test_events_are_covered_in_order_whole_or_not_at_all(world: World, session: Session, put: Put) -> None:
    """Two payments fit, the third does not, and the budget keeps what is left of it."""
    put(one=budget(millicredits=2_999))
    assert paid(world, "T-1", "T-2", "T-3", "T-4") == ["credited"] * 2 + ["budget_exhausted"] * 2
    assert used(session) == [("everything", "2026-06-01", 2_000, 200_000)]
    assert paid(world, "T-5") == ["budget_exhausted"]
    assert session.scalar(text("SELECT awards FROM usage WHERE period = 'day'")) == 2, "refused uses no cap"


def test_a_smaller_award_still_fits(api: Api, put: Put) -> None:
    put(one=budget(millicredits=RIDE_MILLICREDITS + 2_000))
    items = api.deliver(ride("E-1"), ride("E-2"), event("E-3"), event("E-4"), event("E-5"))
    assert ends(items) == ["credited", "budget_exhausted", "credited", "credited", "budget_exhausted"]


def test_the_scarcer_budget_decides_and_the_other_gets_its_part_back(
    world: World, session: Session, put: Put
) -> None:
    put(one=budget("a_month", millicredits=10_000), two=budget("b_year", "year", millicredits=1_500))
    assert paid(world, "T-1", "T-2", "T-3") == ["credited"] + ["budget_exhausted"] * 2
    assert [row[2] for row in used(session)] == [1_000, 1_000]
    trace = session.scalars(text("SELECT trace FROM decision WHERE disposition = 4")).first()
    assert trace == {"budget": "b_year"}


def test_a_new_month_has_a_new_budget_even_for_late_events(world: World, session: Session, put: Put) -> None:
    put(one=budget(millicredits=1_000))
    assert paid(world, "T-1", "T-2") == ["credited", "budget_exhausted"]
    with clock_at(NOW + timedelta(days=16)):
        late = world.one("non_cash_payment", payment("T-3"), at=NOW)
        assert late.disposition.code == "credited"
    assert [row[:3] for row in used(session)] == [
        ("everything", "2026-06-01", 1_000),
        ("everything", "2026-07-01", 1_000),
    ]


def test_events_of_a_duplicate_delivery_draw_nothing(world: World, session: Session, put: Put) -> None:
    put(one=budget(millicredits=5_000))
    event = world.event("non_cash_payment", payment("T-1"), event_id="E-1")
    assert [world.take(event, event).receipts[n].disposition.code for n in (0, 1)] == [
        "credited",
        "duplicate",
    ]
    world.take(event)
    assert used(session)[0][2] == 1_000


def test_a_delivery_that_passes_midnight_is_booked_on_one_business_date(
    world: World, session: Session, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of its accounts moved while it was decided, and meanwhile another month began."""
    put(one=budget(millicredits=1_500))
    eve = NOW.replace(month=6, day=30, hour=15, minute=59, second=59)

    def late(*arguments: object) -> set[int]:
        lock_books(*arguments)  # type: ignore[arg-type]
        clock.set_clock(eve + timedelta(seconds=1))
        return {world.accounts["C1"]}

    monkeypatch.setattr("carbonpoints.behaviours.deciding.lock_books", late)
    with clock_at(eve):
        events = [
            world.event("non_cash_payment", payment(f"T-{name}"), customer=name, at=NOW)
            for name in ("C1", "C2")
        ]
        codes = [receipt.disposition.code for receipt in world.take(*events).receipts]
    assert codes == ["credited", "budget_exhausted"]
    dates = session.scalars(text("SELECT business_date FROM decision WHERE kind = 2")).all()
    assert dates == [date(2026, 7, 1)] * 2
    assert [row[:3] for row in used(session)] == [("everything", "2026-07-01", 1_000)]


# What the customer is told


def test_a_reduction_counts_where_the_credits_ran_out(api: Api, put: Put) -> None:
    put(one=budget("all_2026", "year", millicredits=1))
    item = api.send(ride("E-1"))
    assert (item["disposition"], item["amount_millicredits"]) == ("budget_exhausted", 0)
    assert item["reduction_mg"] == RIDE_MILLICREDITS
    why = api.why(item["event_id"])
    assert (why["budget"], why["cut_by"], why["reason"]) == ("all_2026", None, None)
    assert why["estimate_mg"] == RIDE_MILLICREDITS
    assert all(condition["holds"] for condition in why["conditions"])
    assert why["sentence"] == {
        "en": "Bus trip on 2026-06-15 earned no credits: the budget all_2026 was used up; its estimated reduction of "
        "134.5 g CO2e counts all the same.",
        "zh": "2026-06-15 的公交出行未获得积分:预算 all_2026 已用完;估算减排量 134.5 克二氧化碳当量照常计入。",
    }
    customer = replace(api, role=Role.CUSTOMER, subject="C1")
    assert body(customer.get(f"/awards/{item['event_id']}"))["reduction_mg"] == RIDE_MILLICREDITS


def test_a_payment_whose_credits_ran_out_is_no_award(api: Api, put: Put) -> None:
    put(one=budget("all_2026", "year", millicredits=1))
    item = api.send(event("E-1"))
    why = api.why(item["event_id"])
    assert why["sentence"]["en"].endswith("earned no credits: the budget all_2026 was used up.")
    assert why["sentence"]["zh"].endswith("未获得积分:预算 all_2026 已用完。")
    assert (
        refusal(replace(api, role=Role.CUSTOMER, subject="C1").get(f"/awards/{item['event_id']}"))[0] == 404
    )


def test_what_is_reversed_or_corrected_goes_back_to_its_own_period(
    world: World, session: Session, put: Put
) -> None:
    put(one=budget("in_credits", millicredits=3_000))
    assert paid(world, "T-1", "T-2") == ["credited"] * 2
    june, july = ("in_credits", "2026-06-01"), ("in_credits", "2026-07-01")
    with clock_at(NOW + timedelta(days=20)):
        assert paid(world, "T-3", "T-4", "T-5") == ["credited"] * 3
        assert used(session) == [(*june, 2_000, 200_000), (*july, 3_000, 300_000)]
        back = world.take(world.reversal("E1"), world.reversal("E3"), source=BANK).receipts
        assert [receipt.disposition.code for receipt in back] == ["reversed"] * 2
        assert used(session) == [(*june, 1_000, 100_000), (*july, 2_000, 200_000)]
        assert paid(world, "T-6", "T-7", customer="C2") == ["credited", "budget_exhausted"]
        # Its amount is below the least that counts: what it drew is there for another.
        lower = world.event("non_cash_payment", payment("T-4", amount_minor=1), event_id="E4", revision=1)
        assert world.take(lower).receipts[0].disposition.code == "ineligible"
        assert used(session)[1] == (*july, 2_000, 200_000)
        assert paid(world, "T-8", customer="C2") == ["credited"]


def test_a_merged_accounts_reversal_gives_back_what_it_had_drawn(
    world: World, session: Session, put: Put
) -> None:
    put(one=budget("in_credits", millicredits=3_000))
    assert paid(world, "T-1") == ["credited"]
    merge(session, world, "C1", "C2")
    assert world.take(world.reversal("E1"), source=BANK).receipts[0].disposition.code == "reversed"
    assert used(session) == [("in_credits", "2026-06-01", 0, 0)]
