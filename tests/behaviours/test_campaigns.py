"""Campaigns and shared caps from their file to a customer's answer: in force, pinned, explained."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from carbonpoints.ledger.reconcile import check
from carbonpoints.rules.nodes import DefinitionError
from carbonpoints.rules.services import import_shipped
from carbonpoints.rules.submissions import read_files
from tests.behaviours.api import TRANSIT, Api, body, ends, event, ride
from tests.behaviours.world import NOW, World
from tests.rules.term_files import NEW, terms


@pytest.fixture
def api(world: World, client: FlaskClient, settings: Settings) -> Api:
    return Api(client, settings)


def ship_terms(world: World, folder: Path, segment: str = NEW, **options: Any) -> None:
    path = folder / "terms.yaml"
    path.write_text(terms(segment, **options), "utf-8")
    import_shipped(
        programme_id=world.programme_id,
        submission=read_files([path]),
        maker_person="maker",
        checker_person="checker",
    )


def tasks(api: Api) -> dict[str, dict[str, Any]]:
    answer = body(replace(api, role=Role.CUSTOMER, subject="C1").get("/tasks"))
    return {task["behaviour"]: task for task in answer["tasks"]}


def test_a_campaign_gives_its_bonus_and_says_so(
    api: Api, world: World, tmp_path: Path, session: Session
) -> None:
    plain = api.send(ride("E-0"))
    ship_terms(world, tmp_path)
    boosted = [api.send(ride(f"E-{number}")) for number in (1, 2)]
    base = plain["amount_millicredits"]
    assert [item["amount_millicredits"] - base for item in boosted] == [10_000, 5_000]
    assert {item["reduction_mg"] for item in boosted} == {plain["reduction_mg"]}
    why = api.why(boosted[0]["event_id"])
    assert why["boosts"] == [
        {
            "campaign": "new_riders",
            "name_en": "Welcome aboard",
            "name_zh": "新客乘车",
            "text_en": "Ten credits on top of each ride in your first year.",
            "text_zh": "开户第一年内每次乘车另加10个积分。",
            "amount_millicredits": 10_000,
        }
    ]
    assert "with a bonus of the campaign “Welcome aboard”" in why["sentence"]["en"]
    assert "含活动“新客乘车”奖励" in why["sentence"]["zh"]
    assert api.why(plain["event_id"])["boosts"] == []
    assert [finding.code for finding in check(session) if finding.differences] == []


def test_a_decision_pins_the_campaigns_and_shared_caps_of_its_time(
    api: Api, world: World, tmp_path: Path, session: Session
) -> None:
    ship_terms(world, tmp_path)
    assert ends([api.send(ride("E-1"))]) == ["credited"]
    codes = session.scalars(
        text(
            "SELECT v.code FROM decision d JOIN rule_pin p USING (pin_id)"
            " JOIN version v ON p.term_version_ids @> to_jsonb(v.version_id) ORDER BY v.code"
        )
    ).all()
    assert codes == ["new_riders", "travel_day"]


def test_a_campaign_ends_with_its_window(api: Api, world: World, tmp_path: Path) -> None:
    ship_terms(world, tmp_path)
    before = api.send(ride("E-1", ticket_reference="a") | {"time": "2026-05-31T23:59:59+08:00"})
    after = api.send(ride("E-2", ticket_reference="b"))
    assert after["amount_millicredits"] - before["amount_millicredits"] == 10_000
    with clock_at(NOW + timedelta(days=30)):
        assert tasks(api)["bus_trip"]["campaigns"] == []


def test_behaviours_use_a_shared_cap_together(api: Api, world: World, tmp_path: Path) -> None:
    ship_terms(world, tmp_path, segment="days_since_opening > 9000", opened_on="2000-01-01")
    items = [
        *(ride(f"B-{number}") for number in range(2)),
        *(event(f"M-{number}", "metro_trip", data=metro(number)) for number in range(2)),
    ]
    assert ends(api.deliver(*items)) == ["credited", "credited", "credited", "capped"]
    found = tasks(api)
    for behaviour in ("bus_trip", "metro_trip"):
        shared = next(cap for cap in found[behaviour]["caps"] if cap["code"] == "travel_day")
        assert (shared["window"], shared["count"], shared["count_left"]) == ("day", 3, 0)


def metro(number: int) -> dict[str, Any]:
    return {"distance_km": "5", "ticket_reference": f"metro {number}"}


@pytest.mark.parametrize(
    ("segment", "applies"),
    [("weekday == 1", True), ("weekday == 6", False), ("fare_medium == 'qr'", None)],
)
def test_customers_see_which_campaigns_are_meant_for_them(
    api: Api, world: World, tmp_path: Path, segment: str, *, applies: bool | None
) -> None:
    day = "2026-06-13" if segment == "weekday == 6" else "2026-06-15"
    ship_terms(world, tmp_path, segment=segment.replace("'", '\\"'), day=day)
    (running,) = tasks(api)["bus_trip"]["campaigns"]
    assert (running["code"], running["applies"]) == ("new_riders", applies)
    assert running["text_zh"] == "开户第一年内每次乘车另加10个积分。"
    assert running["bonus_millicredits"] == 10_000
    assert tasks(api)["metro_trip"]["campaigns"] == []


def test_a_campaign_without_a_segment_is_for_everybody(api: Api, world: World, tmp_path: Path) -> None:
    ship_terms(world, tmp_path, segment="")
    (running,) = tasks(api)["bus_trip"]["campaigns"]
    assert (running["segment"], running["applies"]) == ("", True)


@pytest.mark.parametrize(
    ("bonus", "opened_on", "said"),
    [
        (9_999, "2026-01-01", ["the campaign gives 10000 millicredits, the sample says 9999"]),
        (0, "2020-01-01", ["at least one sample must yield something"]),
    ],
)
def test_a_campaign_whose_samples_say_something_else_is_refused(
    world: World, tmp_path: Path, bonus: int, opened_on: str, said: list[str]
) -> None:
    with pytest.raises(DefinitionError) as refused:
        ship_terms(world, tmp_path, bonus=bonus, opened_on=opened_on)
    assert [problem.message for problem in refused.value.problems] == said


def test_a_segment_that_asks_for_more_is_refused_with_its_line(world: World, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as refused:
        ship_terms(world, tmp_path, segment="weekday == 6 and distance_km > 5")
    (problem,) = refused.value.problems
    assert (problem.field, problem.line) == ("campaigns.0.segment", 19)
    assert "distance_km" in problem.message
    assert "column 18" in problem.message


def test_a_reversal_gives_back_what_a_campaign_and_a_shared_cap_gave(
    api: Api, world: World, tmp_path: Path, session: Session
) -> None:
    ship_terms(world, tmp_path)
    boosted = [api.send(ride(f"E-{number}")) for number in (1, 2)]
    back = {"source": TRANSIT, "id": "E-1", "reason": "refunded"}
    assert ends([api.send(event("R-1", type="carbonpoints.reversal", source=TRANSIT, data=back))]) == [
        "reversed"
    ]
    shared = next(cap for cap in tasks(api)["bus_trip"]["caps"] if cap["code"] == "travel_day")
    assert shared["count_left"] == 2
    again = api.send(ride("E-3"))
    assert again["amount_millicredits"] == boosted[0]["amount_millicredits"]
    assert [finding.code for finding in check(session) if finding.differences] == []
