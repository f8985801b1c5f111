from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours import retention
from carbonpoints.behaviours.replay.errors import AwardNotFound
from carbonpoints.behaviours.replay.reexecution import Result, reexecute, reexecute_sample
from tests.behaviours.world import NOW, World, payment
from tests.replay.scenes import GRANT, pay, ride


def test_a_decision_comes_out_the_same_with_what_its_account_had_used_then(world: World) -> None:
    pay(world, 5)
    last = world.one("non_cash_payment", payment("the sixth"))
    pay(world, 1, days_ago=2)
    found = reexecute(account_id=last.account_id, account_seq=last.account_seq)
    assert found.result is Result.SAME
    assert found.replayed == {
        "disposition": "capped",
        "reduction_mg": 0,
        "amount_millicredits": 0,
        "trace": {"cap": "non_cash_payment_day", "left": 0},
    }


def test_a_late_event_is_judged_by_what_its_own_day_had_left_when_it_was_booked(world: World) -> None:
    pay(world, 5, days_ago=3)
    pay(world, 2)
    late = world.one("non_cash_payment", payment("late"), at=NOW - timedelta(days=3))
    found = reexecute(account_id=late.account_id, account_seq=late.account_seq)
    assert (found.result, found.recorded["disposition"]) == (Result.SAME, "capped")


def test_a_difference_is_shown_with_both_outcomes(world: World, session: Session) -> None:
    receipt = world.one("non_cash_payment", payment("one"))
    tamper(session, "UPDATE decision SET amount_millicredits = amount_millicredits + 1 WHERE kind = 2")
    found = reexecute(account_id=receipt.account_id, account_seq=receipt.account_seq)
    assert found.result is Result.DIFFERS
    assert found.replayed is not None
    assert (found.recorded["amount_millicredits"], found.replayed["amount_millicredits"]) == (
        GRANT + 1,
        GRANT,
    )


def test_a_counter_that_showed_something_else_is_a_difference(world: World, session: Session) -> None:
    world.one("non_cash_payment", payment("one", payee_hash="same"))
    second = world.one("non_cash_payment", payment("two", payee_hash="same"))
    assert second.reason == "payee_limit"
    assert reexecute(account_id=second.account_id, account_seq=second.account_seq).result is Result.SAME
    tamper(
        session,
        """UPDATE decision SET trace = '{"counters": {"same_payee_today": "2"}}' WHERE trace ? 'counters'""",
    )
    found = reexecute(account_id=second.account_id, account_seq=second.account_seq)
    assert found.result is Result.DIFFERS
    assert found.replayed is not None
    assert found.replayed["trace"] == {"reason": "payee_limit", "counters": {"same_payee_today": "1"}}


def test_erased_evidence_says_so(world: World) -> None:
    receipt = world.one("non_cash_payment", payment("one"))
    retention.erase_payloads(account_id=receipt.account_id, reason="a request")
    found = reexecute(account_id=receipt.account_id, account_seq=receipt.account_seq)
    assert (found.result, found.replayed) == (Result.EVIDENCE_ERASED, None)


def test_what_rests_on_erased_evidence_is_no_difference(world: World) -> None:
    for reference in ("one", "two"):
        world.one("non_cash_payment", payment(reference, payee_hash="same"))
    retention.erase_payloads(account_id=world.accounts["C1"], reason="a request")
    third = world.one("non_cash_payment", payment("three", payee_hash="same"))
    found = reexecute(account_id=third.account_id, account_seq=third.account_seq)
    assert found.recorded["disposition"] == "ineligible"
    assert found.result is Result.EVIDENCE_ERASED


def test_what_no_rule_was_asked_about_is_not_judged(world: World) -> None:
    late = world.one("non_cash_payment", payment("old"), at=NOW - timedelta(days=31))
    found = reexecute(account_id=late.account_id, account_seq=late.account_seq)
    assert (found.result, found.recorded["disposition"]) == (Result.NOT_JUDGED, "too_late")


@pytest.mark.parametrize("seq", [1, 10_000])
def test_a_number_that_is_no_event_is_not_found(world: World, seq: int) -> None:
    pay(world, 1)
    with pytest.raises(AwardNotFound):
        reexecute(account_id=world.accounts["C1"], account_seq=seq)


def test_the_nightly_sample_is_recorded_with_what_differs(world: World, session: Session) -> None:
    pay(world, 3)
    ride(world)
    pay(world, 2, customer="C2")
    assert set(reexecute_sample(world.programme_id)) == {Result.SAME}
    recorded = session.execute(text("SELECT result, outcomes, executed_at FROM reexecution")).all()
    assert {tuple(row) for row in recorded} == {("same", None, NOW)}
    assert len(recorded) > 1
    tamper(session, "UPDATE decision SET reduction_mg = reduction_mg + 1 WHERE kind = 2 AND reduction_mg > 0")
    tamper(session, "DELETE FROM reexecution")
    # Chance may leave one of six events out once in a while, not ten times.
    found = next(each for _ in range(10) if (each := reexecute_sample(world.programme_id))[Result.DIFFERS])
    assert found[Result.DIFFERS] == 1
    (outcomes,) = session.scalars(text("SELECT outcomes FROM reexecution WHERE result = 'differs'")).all()
    assert outcomes["recorded"]["reduction_mg"] == outcomes["replayed"]["reduction_mg"] + 1


def test_the_sample_of_a_programme_without_events_is_empty(world: World) -> None:
    assert reexecute_sample(world.programme_id) == Counter()


def tamper(session: Session, statement: str) -> None:
    """Change what the database refuses to change."""
    for table in ("decision", "reexecution"):
        session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
    session.execute(text(statement))
    session.commit()
