"""Restated awards among campaigns, shared caps, adjustments, drafts and what comes after them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.exchange.standing import NotedAct, awards_of
from carbonpoints.behaviours.replay.reexecution import Result
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from carbonpoints.ledger.adjusting import adjust
from carbonpoints.ledger.reductions import standing_reductions
from carbonpoints.rules.definitions import CapDefinition, ConditionDefinition
from tests.behaviours.api import Api
from tests.behaviours.reviewing import (
    FORFEITED,
    RELEASED,
    Officers,
    end,
    event_id_of,
    mark_account,
    marked,
)
from tests.behaviours.test_campaigns import ship_terms
from tests.behaviours.undoing import working
from tests.behaviours.world import World
from tests.replay.scenes import rule as drafted
from tests.replay.scenes import run
from tests.replay.test_terms import results
from tests.restating.scenes import (
    KM_MG,
    POSTED_AT,
    YESTERDAY,
    Held,
    counted,
    factor,
    held,
    posted,
    restate,
    ride,
    rule,
)

LATER = POSTED_AT + timedelta(hours=1)
FAR = ConditionDefinition(code="far", when="distance_km >= 10", text_en="Far enough.", text_zh="足够远。")
BONUS = 10_000


def bonuses_used(session: Session) -> list[int]:
    found = session.execute(
        text("SELECT amount_millicredits FROM usage WHERE scope = 'campaign:new_riders' AND period = 'day'")
    )
    amounts = [int(amount) for (amount,) in found]
    session.rollback()
    return amounts


def test_a_kept_award_keeps_its_bonus_and_gives_it_back_when_it_is_reversed(
    world: World, session: Session, tmp_path: Path
) -> None:
    ship_terms(world, tmp_path)
    ride(world, "5", name="A")
    restate(world, rule(eligibility=(FAR,)))
    assert held(session, world) == Held(134_500 + BONUS, 0)
    assert counted(session, world, "day") == (1, 0, 134_500)
    assert bonuses_used(session) == [BONUS]
    world.take_back("A", behaviour="bus_trip")
    assert held(session, world) == Held(0, 0)
    assert counted(session, world, "day") is None
    assert bonuses_used(session) == [0]


def test_a_bonus_comes_with_what_should_have_been_an_award(
    world: World, session: Session, tmp_path: Path
) -> None:
    ship_terms(world, tmp_path)
    restate(world, rule(eligibility=(FAR,)), code="wrongly")
    assert ride(world, "5").reason == "far"
    restate(world, rule())
    assert held(session, world) == Held(134_500 + BONUS, 134_500)
    assert counted(session, world, "day") == (1, 134_500, 134_500)
    assert bonuses_used(session) == [BONUS]


def test_others_that_share_a_cap_are_judged_again_by_what_judged_them(
    world: World, session: Session, tmp_path: Path
) -> None:
    ship_terms(world, tmp_path)
    restate(world, rule(eligibility=(FAR,)), code="wrongly")
    ride(world, "5")
    for number in range(3):
        data: dict[str, object] = {"distance_km": "5", "ticket_reference": f"M{number}"}
        assert world.one("metro_trip", data, at=YESTERDAY).disposition.code == "credited"
    before = held(session, world)
    restate(world, rule())
    metro = before.reduction // 3
    assert held(session, world) == Held(
        before.available + 134_500 + BONUS, before.reduction + 134_500 - metro
    ), "the bus ride came first and took one of three places; what the third metro ride gave stays as credits"
    assert posted(session)["kept_millicredits"] == metro
    with clock_at(LATER):
        report = run(world, replace(drafted("metro_trip"), expiry_months=12))
    found = {each["behaviour"]: each for each in report["behaviours"]}
    assert found["bus_trip"]["baseline"] == found["bus_trip"]["draft"]
    assert found["bus_trip"]["baseline"]["amount_millicredits"] == 134_500 + BONUS


def test_what_the_restatement_does_not_name_stays_as_it_was_judged(
    world: World, session: Session, tmp_path: Path
) -> None:
    ship_terms(world, tmp_path)  # A cap that both share, so that both are judged again.
    ride(world, "5")
    data: dict[str, object] = {"distance_km": "5", "ticket_reference": "M"}
    metro = world.one("metro_trip", data, at=YESTERDAY).reduction_mg
    nothing = CapDefinition(code="one", window="event", mg=1)
    restate(world, factor("30"), rule("metro_trip", caps=(nothing,)))
    assert held(session, world).reduction == 150_000 + metro
    restate(
        world, rule("metro_trip", caps=(nothing,), expiry_months=9), code="both", behaviours=("metro_trip",)
    )
    assert held(session, world).reduction == 150_000 + 1


def test_a_draft_counts_for_itself_whatever_was_posted_since(world: World) -> None:
    for _ in range(2):
        ride(world, "20")
    restate(world, factor("45"))
    with clock_at(LATER):
        assert ride(world, "40").reduction_mg == 200_000
        caps = (CapDefinition(code="one", window="event", mg=450_000), *drafted("bus_trip").caps)
        report = run(world, replace(drafted("bus_trip"), caps=caps))
    assert report["baseline"]["reduction_mg"] == 2_000_000
    assert report["draft"]["reduction_mg"] == 3 * 450_000


def test_what_came_between_a_restatement_and_a_reversal_comes_out_the_same(
    world: World, session: Session
) -> None:
    ride(world, "20", name="A")
    ride(world, "20")
    restate(world, factor("45"))
    with clock_at(LATER):
        assert ride(world, "20").reduction_mg == 200_000
        world.take_back("A", behaviour="bus_trip")
        assert ride(world, "20").reduction_mg == 900_000
        assert results(session) == {Result.SAME: 4}


def test_what_an_adjustment_gave_is_not_given_again(world: World, session: Session) -> None:
    seq = ride(world, "5").account_seq
    other = ride(world, "5").account_seq
    with working(world) as (book, moment):
        for event_seq, mg in ((seq, 10_000), (other, 30_000)):
            adjust(
                book,
                moment,
                amount_millicredits=mg,
                reduction_mg=mg,
                expires_on=moment.business_date,
                trace={"appeal_no": event_seq, "event_seq": event_seq},
            )
    restate(world, factor("30"))
    assert held(session, world) == Held(150_000 + 134_500 + 30_000, 150_000 + 120_000 + 30_000), (
        "of the second ride two persons gave more than the figure does"
    )


def test_caps_get_back_what_they_had_counted_where_no_mg_was_posted(world: World, session: Session) -> None:
    capped = CapDefinition(code="event", window="event", mg=100_000)
    day = CapDefinition(code="day", window="day", mg=500_000)
    restate(world, rule(purpose="credits_only", caps=(capped, day)), code="wrongly")
    ride(world, "5")
    assert held(session, world) == Held(100_000, 0)
    assert counted(session, world, "day") == (1, 100_000, 100_000)
    restate(world, rule(purpose="credits_only", caps=(day,)))
    assert held(session, world) == Held(134_500, 0)
    assert counted(session, world, "day") == (1, 134_500, 134_500)
    world.take_back("T1", behaviour="bus_trip")
    assert counted(session, world, "day") is None


def test_a_correction_takes_back_what_only_a_restatement_gave(world: World, session: Session) -> None:
    restate(world, rule(eligibility=(FAR,)), code="wrongly")
    assert ride(world, "5", name="A").reason == "far"
    restate(world, rule())
    assert ride(world, "7", name="A", revision=1).disposition.code == "credited"
    assert held(session, world) == Held(7 * KM_MG, 7 * KM_MG)
    assert counted(session, world, "day") == (1, 7 * KM_MG, 7 * KM_MG)


def test_a_reversal_gives_back_by_what_judges_the_act_now(world: World, session: Session) -> None:
    ride(world, "5", name="A")
    month = CapDefinition(code="month_only", window="month", mg=5_000_000)
    restate(world, rule(caps=(month,)), factor("30"))
    assert counted(session, world, "day") is None
    assert counted(session, world, "month") == (1, 150_000, 150_000)
    world.take_back("A", behaviour="bus_trip")
    assert counted(session, world, "month") is None


@pytest.fixture
def officers(world: World, client: FlaskClient, settings: Settings) -> Officers:
    opener, maker, checker = (
        Api(client, settings, Role.RISK, name) for name in ("opener", "maker", "checker")
    )
    return Officers(opener, maker, checker)


@pytest.mark.parametrize("outcome", [RELEASED, FORFEITED])
def test_what_is_paid_for_an_event_under_review_waits_for_its_end(
    world: World, session: Session, officers: Officers, outcome: str
) -> None:
    receipt = ride(world, "5")
    review_id = marked(officers.opener, event_id=event_id_of(receipt))
    restate(world, factor("30"))
    assert held(session, world) == Held(0, 150_000)
    with clock_at(LATER):
        end(officers, review_id, outcome)
    assert held(session, world) == (Held(150_000, 150_000) if outcome == RELEASED else Held(0, 0))
    assert counted(session, world, "day") == ((1, 150_000, 150_000) if outcome == RELEASED else None)
    session.rollback()
    restate(world, factor("31"), code="again")
    assert held(session, world).reduction == (155_000 if outcome == RELEASED else 0)


def test_what_is_paid_to_an_account_under_review_waits_too(
    world: World, session: Session, officers: Officers
) -> None:
    ride(world, "5")
    review_id = mark_account(officers.opener, world)
    restate(world, factor("30"))
    assert held(session, world) == Held(134_500, 150_000)
    with clock_at(LATER):
        end(officers, review_id, RELEASED)
    assert held(session, world) == Held(150_000, 150_000)


def test_what_only_a_restatement_gave_is_forfeited_with_its_event(
    world: World, session: Session, officers: Officers
) -> None:
    restate(world, rule(eligibility=(FAR,)), code="wrongly")
    receipt = ride(world, "5")
    assert receipt.reason == "far"
    restate(world, rule())
    with clock_at(LATER):
        end(officers, marked(officers.opener, event_id=event_id_of(receipt)), FORFEITED)
    assert held(session, world) == Held(0, 0)
    assert counted(session, world, "day") is None


def test_what_stands_of_acts_knows_restatements_and_forfeitures(
    world: World, session: Session, officers: Officers
) -> None:
    kept, lost = ride(world, "5"), ride(world, "5")
    restate(world, factor("30"))
    with clock_at(LATER):
        end(officers, marked(officers.opener, event_id=event_id_of(lost)), FORFEITED)
    acts = [NotedAct(each.event_hash, each.account_id, 0, YESTERDAY) for each in (kept, lost)]
    standing, undecided = awards_of(session, acts)
    june = standing_reductions(
        session, world.programme_id, first_day=date(2026, 6, 1), last_day=date(2026, 6, 30)
    )
    session.rollback()
    assert {act: award.reduction_mg for act, award in standing.items()} == {acts[0]: 150_000}
    assert undecided == []
    assert sum(june.values()) == 150_000
