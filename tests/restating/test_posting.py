"""Restated awards: reduction follows what judges the acts now, credits only ever grow."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.replay.reexecution import Result
from carbonpoints.core.clock import clock_at
from carbonpoints.core.errors import Busy
from carbonpoints.core.outbox import deliver_bucket, waiting_buckets
from carbonpoints.rules.definitions import ConditionDefinition
from tests.behaviours.undoing import merge, set_status, spend
from tests.behaviours.world import NOW, World
from tests.replay.scenes import GRANT, granting, run
from tests.replay.scenes import rule as bus
from tests.replay.test_terms import results
from tests.restating.scenes import (
    KM_MG,
    POSTED_AT,
    WRONG_FROM,
    YESTERDAY,
    Held,
    approve,
    counted,
    factor,
    held,
    post,
    posted,
    restate,
    restatement,
    ride,
    rule,
)

RESTATED = text("""
SELECT account_seq, occurred_at, local_date, reduction_mg, amount_millicredits, pin_id, trace FROM decision
WHERE kind = 17 ORDER BY account_id, account_seq
""")


def decisions(session: Session) -> list[tuple[object, ...]]:
    found = session.execute(
        text("SELECT * FROM decision WHERE kind = 2 ORDER BY account_id, account_seq")
    ).all()
    session.rollback()
    return [tuple(row) for row in found]


def test_what_was_too_little_is_paid_and_the_old_award_keeps_its_evidence(
    world: World, session: Session
) -> None:
    seq = ride(world, "5").account_seq
    ride(world, "5", customer="C2", at=WRONG_FROM - timedelta(seconds=1))
    before = decisions(session)
    restate(world, factor("30"))
    assert held(session, world) == Held(150_000, 150_000)
    assert held(session, world, "C2") == Held(5 * KM_MG, 5 * KM_MG), "the day before the period"
    assert decisions(session) == before
    (row,) = session.execute(RESTATED).all()
    version_id = session.scalar(text("SELECT version_id FROM version WHERE kind = 'restatement'"))
    session.rollback()
    assert row.occurred_at == YESTERDAY
    assert row.local_date == YESTERDAY.date()
    assert (row.reduction_mg, row.amount_millicredits) == (15_500, 15_500)
    assert row.trace == {
        "event_seq": seq,
        "version_id": version_id,
        "before": [134_500, 134_500],
        "after": [150_000, 150_000],
        "granted_mg": 150_000,
    }
    assert posted(session) == {
        "events": 1,
        "awards": 1,
        "accounts": 1,
        "millicredits": 15_500,
        "added_mg": 15_500,
    }
    assert counted(session, world, "day") == (1, 150_000, 150_000)


def test_what_was_too_much_is_no_reduction_and_stays_as_credits(world: World, session: Session) -> None:
    ride(world, "5")
    spend(world, 134_000)
    restate(world, factor("20"))
    assert held(session, world) == Held(500, 100_000)
    assert posted(session) == {
        "events": 1,
        "awards": 1,
        "accounts": 1,
        "taken_mg": 34_500,
        "kept_millicredits": 34_500,
    }
    assert counted(session, world, "month") == (1, 100_000, 134_500)


def test_the_same_again_posts_nothing_and_the_old_figure_takes_the_mg_back(
    world: World, session: Session
) -> None:
    ride(world, "5")
    restate(world, factor("30"))
    approve(world, restatement("again"))
    post(POSTED_AT + timedelta(days=1))
    assert posted(session, "again") == {"events": 1}
    approve(world, factor("26.9"), restatement("back"))
    post(POSTED_AT + timedelta(days=2))
    assert held(session, world) == Held(150_000, 134_500)
    assert posted(session, "back") == {
        "events": 1,
        "awards": 1,
        "accounts": 1,
        "taken_mg": 15_500,
        "kept_millicredits": 15_500,
    }
    assert counted(session, world, "year") == (1, 134_500, 150_000)


def test_all_caps_hold_in_booking_order_and_what_was_granted_under_them_stays(
    world: World, session: Session
) -> None:
    ends = [ride(world, "40").disposition.code for _ in range(2)]
    assert ends == ["credited", "partly_credited"]
    assert held(session, world) == Held(2_000_000, 2_000_000)
    restate(world, factor("30"))
    assert held(session, world) == Held(2_124_000, 2_000_000), "the day's cap of mg, and what was paid"
    assert posted(session) == {
        "events": 2,
        "awards": 2,
        "accounts": 1,
        "millicredits": 124_000,
        "added_mg": 124_000,
        "taken_mg": 124_000,
        "kept_millicredits": 124_000,
    }
    assert counted(session, world, "day") == (2, 2_000_000, 2_124_000)
    assert ride(world, "1").disposition.code == "capped", "a late one takes what is left"


def test_a_late_event_takes_what_the_restatement_left(world: World, session: Session) -> None:
    for _ in range(2):
        ride(world, "20")
    restate(world, factor("45"))
    assert held(session, world) == Held(1_800_000, 1_800_000)
    late = ride(world, "20")
    assert (late.disposition.code, late.reduction_mg) == ("partly_credited", 200_000)


def test_an_act_that_was_refused_is_paid_when_the_rule_should_have_let_it_pass(
    world: World, session: Session
) -> None:
    approve(world, rule(eligibility=(_condition("far", "distance_km >= 10"),)))
    refused = ride(world, "5")
    assert refused.reason == "far"
    restate(world, rule())
    assert held(session, world) == Held(5 * KM_MG, 5 * KM_MG)
    assert counted(session, world, "day") == (1, 5 * KM_MG, 5 * KM_MG)


def test_an_act_that_should_have_been_refused_keeps_its_credits(world: World, session: Session) -> None:
    ride(world, "5")
    restate(world, rule(eligibility=(_condition("far", "distance_km >= 10"),)))
    assert held(session, world) == Held(5 * KM_MG, 0)
    assert counted(session, world, "day") == (1, 0, 5 * KM_MG)


def _condition(code: str, when: str) -> ConditionDefinition:
    return ConditionDefinition(code=code, when=when, text_en="Far enough.", text_zh="足够远。")


def test_a_reversal_takes_back_what_was_restated(world: World, session: Session) -> None:
    ride(world, "5", name="A")
    ride(world, "1")
    restate(world, factor("30"))
    assert held(session, world) == Held(180_000, 180_000)
    assert world.take_back("A", behaviour="bus_trip").disposition.code == "reversed"
    assert held(session, world) == Held(30_000, 30_000)
    assert counted(session, world, "day") == (1, 30_000, 30_000)
    approve(world, factor("26.9"), restatement("back"))
    post(POSTED_AT + timedelta(days=1))
    assert held(session, world) == Held(30_000, KM_MG), "what was reversed is left alone"


def test_a_reversal_after_less_mg_takes_no_more_than_there_is(world: World, session: Session) -> None:
    ride(world, "5", name="A")
    ride(world, "5")
    restate(world, factor("20"))
    world.take_back("A", behaviour="bus_trip")
    assert held(session, world) == Held(134_500, 100_000)
    assert counted(session, world, "day") == (1, 100_000, 134_500)


def test_a_correction_replaces_what_was_restated(world: World, session: Session) -> None:
    ride(world, "5", name="A")
    restate(world, factor("30"))
    assert ride(world, "7", name="A", revision=1).disposition.code == "credited"
    assert held(session, world) == Held(210_000, 210_000)
    assert counted(session, world, "day") == (1, 210_000, 210_000)


def test_what_was_reversed_or_erased_or_frozen_out_is_left_alone(world: World, session: Session) -> None:
    ride(world, "5", name="A")
    world.take_back("A", behaviour="bus_trip")
    erased = ride(world, "5")
    session.execute(text("DELETE FROM event_payload WHERE account_seq = :seq"), {"seq": erased.account_seq})
    session.commit()
    set_status(session, world, "frozen", "C2")
    ride(world, "5", customer="C2")
    restate(world, factor("30"))
    assert held(session, world) == Held(5 * KM_MG, 5 * KM_MG)
    assert posted(session) == {"events": 3}


def test_an_account_that_is_frozen_now_is_paid_and_a_closed_one_is_not(
    world: World, session: Session
) -> None:
    ride(world, "5")
    ride(world, "5", customer="C2")
    set_status(session, world, "frozen", "C1")
    set_status(session, world, "closed", "C2")
    restate(world, factor("30"))
    assert held(session, world) == Held(150_000, 150_000)
    assert held(session, world, "C2") == Held(134_500, 150_000)
    found = posted(session)
    assert (found["millicredits"], found["withheld_millicredits"], found["added_mg"]) == (
        15_500,
        15_500,
        31_000,
    )


def test_what_is_pending_stays_so_until_its_day(world: World, session: Session) -> None:
    approve(world, rule(pending_days=7))
    ride(world, "5")
    restate(world, factor("30"))
    assert held(session, world) == Held(0, 150_000)
    rows = session.execute(text("SELECT amount, matures_on FROM pending_award ORDER BY award_seq")).all()
    session.rollback()
    assert [row.amount for row in rows] == [134_500, 15_500]
    assert rows[0].matures_on == rows[1].matures_on


def test_what_is_paid_late_lasts_as_long_as_if_it_were_earned_today(world: World, session: Session) -> None:
    ride(world, "5")
    approve(world, factor("30"), restatement())
    post(datetime(2026, 7, 20, 4, tzinfo=UTC))
    rows = session.execute(text("SELECT expires_on::text FROM lot ORDER BY lot_no")).scalars().all()
    session.rollback()
    assert rows == ["2028-06-30", "2028-07-31"]


def test_what_a_merged_account_had_earned_is_set_right_where_it_is_today(
    world: World, session: Session
) -> None:
    ride(world, "5", name="A", customer="C2")
    ride(world, "1")
    merge(session, world, "C2", "C1")
    restate(world, factor("30"))
    assert held(session, world) == Held(180_000, 180_000)
    assert held(session, world, "C2") == Held(0, 0)
    found = posted(session)
    assert (found["awards"], found["accounts"], found["millicredits"], found["added_mg"]) == (
        2,
        2,
        18_600,
        18_600,
    )
    approve(world, factor("20"), restatement("lower"))
    post(POSTED_AT + timedelta(days=1))
    assert held(session, world) == Held(180_000, 120_000)
    approve(world, restatement("again"))
    post(POSTED_AT + timedelta(days=2))
    assert posted(session, "again") == {"events": 2, "kept_millicredits": 60_000}
    assert world.take_back("A", behaviour="bus_trip", customer="C2").disposition.code == "reversed"
    assert held(session, world) == Held(30_000, 20_000)


def test_what_is_on_its_way_between_two_accounts_is_waited_for(world: World, session: Session) -> None:
    ride(world, "5", customer="C2")
    merge(session, world, "C2", "C1", deliver=False)
    approve(world, factor("20"), restatement())
    with pytest.raises(Busy):
        post()
    assert session.scalar(text("SELECT count(*) FROM decision WHERE kind = 17")) == 0
    session.rollback()
    for bucket in waiting_buckets():
        deliver_bucket(bucket, owner="test")
    post()
    assert held(session, world) == Held(134_500, 100_000)


def test_past_decisions_and_back_tests_come_out_the_same_afterwards(world: World, session: Session) -> None:
    for km in ("20", "20", "40"):
        ride(world, km)
    restate(world, factor("45"))
    with clock_at(POSTED_AT + timedelta(hours=1)):
        assert ride(world, "1").disposition.code == "capped"
        ride(world, "5", at=NOW)
        world.take_back("T1", behaviour="bus_trip")
        assert ride(world, "40").reduction_mg == 900_000, "what the first one had been restated to"
        assert results(session) == {Result.SAME: 6}
        report = run(world, granting(GRANT))
        again = run(world, replace(bus("bus_trip"), expiry_months=30))
    assert report["baseline"] == report["draft"]
    assert report["baseline"]["amount_millicredits"] == 900_000 + 900_000 + 924_000 + 900_000 + 5 * KM_MG
    assert report["baseline"]["reduction_mg"] == 900_000 + 900_000 + 200_000 + 900_000 + 5 * KM_MG
    assert again["draft"]["amount_millicredits"] == 2_000_000 + 900_000 + 134_500, (
        "a draft is judged in order"
    )


def test_nothing_is_posted_before_what_is_being_decided_can_be_booked(world: World, session: Session) -> None:
    ride(world, "5")
    approve(world, factor("30"), restatement())
    post(NOW + timedelta(seconds=59))
    assert held(session, world) == Held(134_500, 134_500)
    post(NOW + timedelta(seconds=61))
    assert held(session, world) == Held(150_000, 150_000)
