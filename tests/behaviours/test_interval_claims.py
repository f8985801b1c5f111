from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.behaviours.world import NOW, World, rows


def ride(start_min: float, end_min: float, **values: object) -> dict[str, Any]:
    """A ride that began and ended so many minutes before now."""
    return {
        "distance_km": "2.5",
        "vehicle_hash": "b1f0",
        "trip_reference": f"R-{start_min}-{end_min}",
        "started_at": (NOW - timedelta(minutes=start_min)).isoformat(),
        "ended_at": (NOW - timedelta(minutes=end_min)).isoformat(),
        **values,
    }


def at(minutes: float) -> Any:
    return NOW - timedelta(minutes=minutes)


def test_a_vehicle_carries_one_person_at_a_time(world: World, session: Session) -> None:
    first = world.one("shared_bike_trip", ride(60, 48), at=at(50))
    overlapping = world.one("shared_bike_trip", ride(50, 30), at=at(40), customer="C2")
    after = world.one("shared_bike_trip", ride(48, 40), at=at(45), customer="C2")
    assert [r.disposition.code for r in (first, overlapping, after)] == [
        "credited",
        "claimed_elsewhere",
        "credited",
    ]
    assert (rows(session, "identity_interval_claim"), rows(session, "identity_claim")) == (2, 0)


@pytest.mark.parametrize(
    ("start_min", "end_min", "at_min"),
    [
        (48, 60, 50),
        (50, 50, 50),
        (60 * 24 * 366, 0, 10),
        (60, 48, 30),
        (60, 48, 61),
        (10, -60, 5),
    ],
    ids=["ends before it begins", "takes no time", "takes a year", "over before", "not begun", "to come"],
)
def test_a_ride_that_cannot_be_is_invalid_and_claims_nothing(
    world: World, session: Session, start_min: float, end_min: float, at_min: float
) -> None:
    receipt = world.one("shared_bike_trip", ride(start_min, end_min), at=at(at_min))
    assert (receipt.disposition.code, receipt.account_seq) == ("invalid", 0)
    assert (rows(session, "entry"), rows(session, "identity_interval_claim")) == (
        0,
        0,
    )
    honest = world.one("shared_bike_trip", ride(60, 48), at=at(50), customer="C2")
    assert honest.disposition.code == "credited"
