"""Acts under an agreement: keyed with their claim, and nothing where another programme has credited them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.exchange import marking
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from tests.behaviours.api import Api
from tests.behaviours.world import NOW, payment, rows
from tests.exchange.world import (
    JULY,
    LANZHOU,
    SHENZHEN,
    Exchange,
    mark,
    ride_mark,
    seed,
    ticket,
)

RIDE_START, RIDE_END = NOW - timedelta(minutes=60), NOW - timedelta(minutes=48)


def ride(vehicle: str = "b1f0", *, start: Any = RIDE_START, end: Any = RIDE_END) -> dict[str, Any]:
    return {
        "distance_km": "2.5",
        "vehicle_hash": vehicle,
        "trip_reference": f"R-{start}",
        "started_at": start.isoformat(),
        "ended_at": end.isoformat(),
    }


def ride_at(exchange: Exchange, **data: Any) -> str:
    return exchange.world.one("shared_bike_trip", ride(**data), at=data.get("end", RIDE_END)).disposition.code


def entries(session: Session) -> int:
    return rows(session, "entry")


def test_an_act_that_another_programme_has_credited_earns_nothing(
    exchange: Exchange, session: Session
) -> None:
    imported = exchange.take_over(mark("T-1"))
    assert (imported["marks"], imported["conflicts"], imported["undecided"]) == (1, 0, 0)
    receipt = exchange.bus("T-1")
    assert (receipt.disposition.code, receipt.reason) == ("claimed_elsewhere", "other_programme")
    assert (receipt.reduction_mg, receipt.amount_millicredits, entries(session)) == (0, 0, 0)
    assert receipt.account_seq > 0
    assert exchange.bus("T-2").disposition.code == "credited"
    assert exchange.conflicts(imported)["total"] == 0


def test_the_sentence_says_which_programme(exchange: Exchange) -> None:
    exchange.take_over(mark("T-1"))
    receipt = exchange.bus("T-1")
    api = Api(exchange.client, exchange.settings, role=Role.CUSTOMER, subject="C1")
    seen = api.why(f"evt_{receipt.account_id}_{receipt.account_seq}")
    assert (seen["disposition"], seen["reason"]) == ("claimed_elsewhere", "other_programme")
    assert seen["sentence"] == {
        "en": "Bus trip on 2026-06-15 earned nothing: the programme “Shenzhen carbon account” has credited the same act.",
        "zh": "2026-06-15 的公交出行未获得积分:同一行为已由“深圳碳账户”计入。",
    }


def test_an_act_without_consent_to_the_exchange_is_neither_keyed_nor_checked(
    exchange: Exchange, session: Session
) -> None:
    exchange.take_over(mark("T-1"))
    assert exchange.bus("T-1", customer="C2").disposition.code == "credited"
    assert rows(session, "identity_exchange_act") == 0


def test_what_no_agreement_covers_is_neither_keyed_nor_checked(exchange: Exchange, session: Session) -> None:
    assert exchange.world.one("non_cash_payment", payment("T-1")).disposition.code == "credited"
    before = NOW - timedelta(days=46, hours=12)
    # The last hours of April: the agreements begin with May. An older act is too late.
    assert exchange.bus("T-0", at=before).disposition.code == "too_late"
    assert rows(session, "identity_exchange_act") == 0


def test_an_act_is_keyed_under_every_agreement_that_covers_it(exchange: Exchange, session: Session) -> None:
    exchange.bus("T-1")
    ride_at(exchange)
    found = session.execute(
        text(
            "SELECT agreement, period::text, during::text FROM identity_exchange_act ORDER BY agreement, during"
        )
    ).all()
    assert [tuple(row) for row in found] == [
        (LANZHOU.code, "2026-06-01", "(,)"),
        (SHENZHEN.code, "2026-06-01", "(,)"),
        (SHENZHEN.code, "2026-06-01", '["2026-06-15 03:00:00+00","2026-06-15 03:12:00+00")'),
    ]
    kept = set(session.scalars(text("SELECT fingerprint FROM identity_exchange_act")))
    assert kept == {
        mark("T-1").fingerprint,
        mark("T-1", agreement=LANZHOU).fingerprint,
        ride_mark("b1f0", RIDE_START, RIDE_END).fingerprint,
    }


def test_a_mark_of_another_period_or_agreement_says_nothing_of_this_act(exchange: Exchange) -> None:
    exchange.take_over(mark("T-1", period=JULY), period=JULY)
    # Under the key of the other agreement or period, in the file of this one.
    exchange.take_over(mark("T-1", agreement=LANZHOU), mark("T-1", period=JULY))
    assert exchange.bus("T-1").disposition.code == "credited"


def test_a_mark_of_a_second_agreement_counts_as_well(exchange: Exchange) -> None:
    exchange.take_over(mark("T-1", agreement=LANZHOU), agreement=LANZHOU)
    receipt = exchange.bus("T-1")
    assert receipt.disposition.code == "claimed_elsewhere"


@pytest.mark.parametrize(
    ("start_min", "end_min", "end"),
    [
        (60, 48, "claimed_elsewhere"),
        (90, 59, "claimed_elsewhere"),
        (49, 10, "claimed_elsewhere"),
        (55, 50, "claimed_elsewhere"),
        (48, 10, "credited"),
        (90, 60, "credited"),
    ],
    ids=["same", "into its beginning", "into its end", "inside", "right after", "right before"],
)
def test_times_that_overlap_are_the_same_act(
    exchange: Exchange, start_min: float, end_min: float, end: str
) -> None:
    begin, until = NOW - timedelta(minutes=start_min), NOW - timedelta(minutes=end_min)
    exchange.take_over(ride_mark("b1f0", begin, until), ride_mark("other", RIDE_START, RIDE_END))
    assert ride_at(exchange) == end


def test_a_ride_over_the_end_of_a_month_is_checked_in_both(exchange: Exchange, session: Session) -> None:
    midnight = NOW.replace(month=5, day=31, hour=16)
    start, end = midnight - timedelta(minutes=10), midnight + timedelta(minutes=10)
    exchange.take_over(ride_mark("b1f0", midnight, end), ride_mark("b1f0", midnight, end))
    assert ride_at(exchange, start=start, end=end) == "claimed_elsewhere"
    periods = session.scalars(text("SELECT period::text FROM identity_exchange_act ORDER BY period")).all()
    assert periods == ["2026-05-01", "2026-06-01"]
    assert ride_at(exchange, start=start, end=midnight - timedelta(minutes=1)) == "claimed_elsewhere"


def test_the_same_event_again_is_a_duplicate_and_keyed_once(exchange: Exchange, session: Session) -> None:
    first = exchange.bus("T-1", event_id="E-1")
    exchange.take_over(mark("T-1"))
    again = exchange.bus("T-1", event_id="E-1")
    assert [r.disposition.code for r in (first, again)] == ["credited", "duplicate"]
    assert rows(session, "identity_exchange_act") == 2


def test_a_correction_of_what_was_credited_before_its_mark_came_is_left_to_people(exchange: Exchange) -> None:
    exchange.bus("T-1", event_id="E-1")
    imported = exchange.take_over(mark("T-1"))
    assert imported["conflicts"] == 1
    corrected = exchange.world.one("bus_trip", ticket("T-1", distance_km="6"), event_id="E-1", revision=1)
    assert (corrected.disposition.code, corrected.reduction_mg) == ("credited", 161_400)
    (conflict,) = exchange.conflicts(imported)["items"]
    assert conflict["reduction_mg"] == 161_400
    assert conflict["event_id"] == f"evt_{corrected.account_id}_{corrected.account_seq}"


def test_a_correction_to_an_act_that_is_marked_earns_nothing(exchange: Exchange) -> None:
    exchange.bus("T-1", event_id="E-1")
    imported = exchange.take_over(mark("T-2"))
    corrected = exchange.world.one("bus_trip", ticket("T-2"), event_id="E-1", revision=1)
    assert (corrected.disposition.code, corrected.reduction_mg) == ("claimed_elsewhere", 0)
    assert exchange.conflicts(imported)["total"] == 0


def test_a_correction_of_what_another_programme_has_credited_still_earns_nothing(exchange: Exchange) -> None:
    exchange.take_over(mark("T-1"))
    assert exchange.bus("T-1", event_id="E-1").disposition.code == "claimed_elsewhere"
    corrected = exchange.world.one("bus_trip", ticket("T-1", distance_km="6"), event_id="E-1", revision=1)
    assert corrected.disposition.code == "claimed_elsewhere"


def test_a_programme_without_an_agreement_asks_and_writes_nothing(
    session: Session, client: FlaskClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(marking, "raw_connection", refuse)
    monkeypatch.setattr(marking, "act_text", refuse)
    with clock_at(NOW):
        exchange = Exchange(seed([]), client, settings)
        assert exchange.bus("T-1").disposition.code == "credited"
        assert rows(session, "identity_exchange_act") == 0
        session.rollback()
