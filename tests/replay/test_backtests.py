from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours import retention
from carbonpoints.behaviours.replay.errors import BacktestEnded, BacktestNotFound, WrongDraft
from carbonpoints.behaviours.replay.history import Period
from carbonpoints.behaviours.replay.runs import continue_next_run
from carbonpoints.behaviours.replay.services import (
    cancel_backtest,
    read_backtest,
    request_backtest,
    request_backtest_of_change,
)
from carbonpoints.core.clock import clock_at
from carbonpoints.core.ids import account_public_id
from carbonpoints.rules.definitions import CapDefinition, ConditionDefinition
from carbonpoints.rules.services import draft_definitions
from carbonpoints.rules.submissions import Located, Submission
from tests.behaviours.world import NOW, World, payment, rows, shipped
from tests.replay.scenes import (
    GRANT,
    PERIOD,
    RIDE_MG,
    ask,
    finished,
    granting,
    pay,
    ride,
    rule,
    run,
    side,
    submitted,
    work,
)
from tests.rules.budget_files import budget
from tests.rules.catalogue_files import read, ship, write


def test_a_draft_is_held_against_what_was_really_decided(world: World) -> None:
    pay(world, 2)
    pay(world, 1, customer="C2", days_ago=1)
    ride(world)
    report = run(world, granting(3 * GRANT))
    assert report["result"] == "replayed"
    assert (report["events"], report["events_judged"], report["events_untouched"]) == (4, 3, 1)
    assert (report["accounts"], report["accounts_with_more"], report["accounts_with_less"]) == (2, 2, 0)
    assert (report["more_millicredits"], report["less_millicredits"]) == (6 * GRANT, 0)
    assert report["behaviours"] == [
        {
            "behaviour": "bus_trip",
            "events": 1,
            "baseline": side(1, RIDE_MG, RIDE_MG),
            "draft": side(1, RIDE_MG, RIDE_MG),
        },
        {
            "behaviour": "non_cash_payment",
            "events": 3,
            "baseline": side(3, 3 * GRANT),
            "draft": side(3, 9 * GRANT),
        },
    ]
    assert report["days"] == [
        {"local_date": "2026-06-14", "events": 1, "baseline": side(1, GRANT), "draft": side(1, 3 * GRANT)},
        {
            "local_date": "2026-06-15",
            "events": 3,
            "baseline": side(3, 2 * GRANT + RIDE_MG, RIDE_MG),
            "draft": side(3, 6 * GRANT + RIDE_MG, RIDE_MG),
        },
    ]


def test_the_ledger_is_as_it_was(world: World, session: Session) -> None:
    pay(world, 3)
    tables = ("decision", "entry", "lot", "balance", "usage", "event_payload", "version", "rule_pin")
    before = {table: rows(session, table) for table in tables}
    run(world, granting(3 * GRANT))
    assert {table: rows(session, table) for table in tables} == before


def test_accounts_are_sampled_and_ranked_by_what_they_were_given(world: World) -> None:
    pay(world, 3)
    pay(world, 1, customer="C2")
    report = run(world, rule("non_cash_payment", caps=(CapDefinition(code="one", window="day", count=1),)))
    first, second = (account_public_id(world.accounts[name]) for name in ("C1", "C2"))
    assert sorted(report["sampled_accounts"], key=lambda one: str(one["account_id"])) == [
        {"account_id": first, "events": 3, "baseline": side(3, 3 * GRANT), "draft": side(1, GRANT)},
        {"account_id": second, "events": 1, "baseline": side(1, GRANT), "draft": side(1, GRANT)},
    ]
    assert [
        (one["decile"], one["accounts"], one["accounts_with_less"], one["baseline"], one["draft"])
        for one in report["deciles"]
    ] == [
        (1, 1, 0, side(1, GRANT), side(1, GRANT)),
        (2, 1, 1, side(3, 3 * GRANT), side(1, GRANT)),
    ]


def test_the_sample_is_the_same_for_the_same_run_and_has_twenty_accounts_at_the_most(
    world: World, session: Session
) -> None:
    run_id = ask(world, granting(5))
    session.execute(
        text(
            "INSERT INTO backtest_account SELECT CAST(:run_id AS uuid), n, 1, 0, 0, 0, 0, 0, 0 "
            "FROM generate_series(1, 100) AS n"
        ),
        {"run_id": run_id},
    )
    report = finished(run_id).report
    assert report is not None
    assert len({one["account_id"] for one in report["sampled_accounts"]}) == 20
    assert report["accounts"] == 100


def test_what_credits_cost_is_told_where_the_programme_says_and_rounded_up(
    world: World, session: Session
) -> None:
    pay(world, 1)
    report = run(world, granting(GRANT + 1))
    assert (report["millifen_per_credit"], report["baseline"]["cost_fen"]) == (100, 1), "a tenth of a fen"
    # What is stored as a setting is never changed; a test may.
    session.execute(text("ALTER TABLE version DISABLE TRIGGER ALL"))
    session.execute(
        text(
            "UPDATE version SET content = content || '{\"millifen_per_credit\": 2500}' WHERE kind = 'programme'"
        )
    )
    report = run(world, granting(GRANT + 1))
    assert report["millifen_per_credit"] == 2500
    assert report["baseline"]["cost_fen"] == 3, "2.5 fen for one credit"
    assert report["draft"]["cost_fen"] == 3, "2.5025 fen"


def test_the_liability_is_what_could_be_spent_at_the_end_of_the_period(world: World) -> None:
    with clock_at(NOW - timedelta(days=40)):
        pay(world, 1, days_ago=40)
    pay(world, 2)
    short = replace(granting(5 * GRANT), expiry_months=1)
    report = run(world, short)
    assert report["baseline"]["liability_millicredits"] == 3 * GRANT
    assert report["draft"]["liability_millicredits"] == GRANT + 10 * GRANT
    # At the end of July what a draft that expires after a month gave in June is still there, at the end of August not.
    for last_day, left in ((date(2026, 7, 31), 11 * GRANT), (date(2026, 8, 31), GRANT)):
        report = run(world, short, period=Period(PERIOD.first_day, last_day))
        assert report["draft"]["liability_millicredits"] == left
        assert report["baseline"]["liability_millicredits"] == 3 * GRANT


def test_caps_count_what_was_used_before_the_period(world: World) -> None:
    for days_ago in (14, 10, 3):
        pay(world, 2, days_ago=days_ago)
    caps = (CapDefinition(code="month", window="month", count=5),)
    report = run(
        world, rule("non_cash_payment", caps=caps), period=Period(date(2026, 6, 4), date(2026, 6, 12))
    )
    assert (report["baseline"]["awarded_events"], report["draft"]["awarded_events"]) == (4, 3)


def test_what_is_decided_after_the_request_does_not_count(world: World) -> None:
    pay(world, 1)
    run_id = ask(world, granting(5))
    with clock_at(NOW + timedelta(seconds=1)):
        pay(world, 1)
        report = finished(run_id).report
    assert report is not None
    assert report["events"] == 1


def test_without_an_event_the_result_is_that_there_is_no_history_yet(world: World) -> None:
    report = run(world, granting(5))
    assert (report["result"], report["events"], report["sampled_accounts"]) == ("no_history_yet", 0, [])


def test_another_condition_takes_from_some_and_gives_to_others(world: World) -> None:
    world.one("non_cash_payment", payment("small", amount_minor=50))
    world.one("non_cash_payment", payment("large", amount_minor=5_000), customer="C2")
    kept = tuple(
        replace(one, when="amount_minor < 100") if one.code == "least_amount" else one
        for one in rule("non_cash_payment").eligibility
    )
    samples = tuple(
        replace(sample, attributes={**sample.attributes, "amount_minor": 99})
        for sample in rule("non_cash_payment").samples
    )
    drafted = rule("non_cash_payment", eligibility=kept, samples=samples, ineligible_samples=())
    report = run(world, drafted)
    assert (report["accounts_with_more"], report["accounts_with_less"]) == (1, 1)
    assert report["baseline"]["awarded_accounts"] == report["draft"]["awarded_accounts"] == 1


def test_erased_inputs_leave_their_recorded_outcome_and_what_it_used(world: World) -> None:
    pay(world, 2)
    retention.erase_payloads(account_id=world.accounts["C1"], reason="a request")
    pay(world, 2)
    pay(world, 1, customer="C2")
    caps = (CapDefinition(code="three", window="day", count=3),)
    samples = tuple(replace(sample, counters={}) for sample in rule("non_cash_payment").samples)
    blind = rule(
        "non_cash_payment", caps=caps, counters={}, eligibility=(), ineligible_samples=(), samples=samples
    )
    report = run(world, blind)
    assert report["events_evidence_erased"] == 0, "a rule without conditions needs no inputs"
    counted = {each.code for each in rule("non_cash_payment").eligibility if "same_payee" in each.when}
    uncounted = rule(
        "non_cash_payment",
        caps=caps,
        counters={},
        eligibility=tuple(one for one in rule("non_cash_payment").eligibility if one.code not in counted),
        ineligible_samples=tuple(
            one for one in rule("non_cash_payment").ineligible_samples if one.reason not in counted
        ),
        samples=samples,
    )
    report = run(world, uncounted)
    assert (report["events_judged"], report["events_evidence_erased"]) == (3, 2)
    assert (report["baseline"]["awarded_events"], report["draft"]["awarded_events"]) == (5, 4)


def test_what_rests_on_erased_inputs_keeps_its_recorded_outcome(world: World) -> None:
    world.one("non_cash_payment", payment("one", payee_hash="same"))
    world.one("non_cash_payment", payment("two", payee_hash="same"))
    retention.erase_payloads(account_id=world.accounts["C1"], reason="a request")
    assert world.one("non_cash_payment", payment("three", payee_hash="same")).reason == "payee_limit"
    pay(world, 1, days_ago=1)
    report = run(world, granting(3 * GRANT))
    assert (report["events_judged"], report["events_evidence_erased"]) == (1, 3)
    assert report["draft"]["amount_millicredits"] == GRANT + 3 * GRANT


def test_what_was_refused_for_reasons_outside_the_rules_stays_refused(world: World) -> None:
    world.one("non_cash_payment", payment("once"))
    world.one("non_cash_payment", payment("once"))
    world.one("non_cash_payment", payment("old"), at=NOW - timedelta(days=31))
    report = run(world, granting(3 * GRANT), period=Period(date(2026, 5, 1), date(2026, 6, 30)))
    assert (report["events_judged"], report["events_kept"]) == (1, 2)
    assert report["draft"]["amount_millicredits"] == 3 * GRANT


def test_a_factor_alone_can_be_tried(world: World) -> None:
    ride(world)
    factor = next(each for each in shipped().factors if each.code == "BUS_EV_SZ")
    doubled = replace(factor, value=2 * factor.value, valid_from=date(2026, 7, 1))
    samples = tuple(
        replace(sample, reduction_mg=2 * sample.reduction_mg, millicredits=2 * sample.millicredits)
        for sample in rule("bus_trip").samples
    )
    submission = Submission(
        factors=(Located(doubled, "BUS_EV_SZ"),),
        rules=(Located(rule("bus_trip", samples=samples), "bus_trip"),),
    )
    run_id = request_backtest(programme_id=world.programme_id, submission=submission, period=PERIOD)
    report = finished(run_id).report
    assert report is not None
    assert report["draft"]["reduction_mg"] == 2 * RIDE_MG


def test_a_wrong_draft_is_refused_and_nothing_is_started(world: World, session: Session) -> None:
    wrong = rule(
        "non_cash_payment",
        eligibility=(ConditionDefinition(code="odd", when="no_such_name > 1", text_en="x", text_zh="x"),),
        ineligible_samples=(),
        counters={},
    )
    with pytest.raises(WrongDraft) as refused:
        ask(world, wrong)
    assert any("eligibility" in field.field for field in refused.value.fields)
    assert rows(session, "backtest_run") == 0


def test_a_run_goes_with_its_change_request_and_says_so_in_the_audit(world: World, session: Session) -> None:
    pay(world, 1)
    draft_id = draft_definitions(
        programme_id=world.programme_id,
        submission=submitted(granting(7 * GRANT)),
        maker_person="maker",
        reason="more",
    ).draft_id
    assert draft_id is not None
    run_id = request_backtest_of_change(
        programme_id=world.programme_id, change_request_id=draft_id, period=PERIOD
    )
    progress = finished(run_id)
    assert progress.change_request_id == draft_id
    assert progress.report is not None
    assert progress.report["draft"]["amount_millicredits"] == 7 * GRANT
    audited = session.scalar(text("SELECT detail FROM audit_record WHERE action = 'backtest.done'"))
    assert audited == {
        "run_id": str(run_id),
        "change_request_id": draft_id,
        "draft_hash": progress.draft_hash,
        "result": "passed",
    }
    found = session.execute(text("SELECT kind, result, details ->> 'run_id' FROM change_evidence")).all()
    assert [tuple(each) for each in found if each[0] == "back_test"] == [("back_test", "passed", str(run_id))]


def test_a_forecast_beyond_a_budget_asks_for_two_persons(
    world: World, session: Session, tmp_path: Path
) -> None:
    ship(world.programme_id, read(write(tmp_path, budgets=budget(millicredits=3 * GRANT))))
    pay(world, 1)
    draft_id = draft_definitions(
        programme_id=world.programme_id,
        submission=submitted(granting(70 * GRANT)),
        maker_person="maker",
        reason="more",
    ).draft_id
    assert draft_id is not None
    progress = finished(
        request_backtest_of_change(programme_id=world.programme_id, change_request_id=draft_id, period=PERIOD)
    )
    assert progress.report is not None
    (forecast,) = progress.report["budget_forecasts"]
    assert (forecast["left_millicredits"], forecast["baseline_last_day"]) == (2 * GRANT, None)
    assert forecast["draft_last_day"] is not None
    assert session.scalar(text("SELECT result FROM change_evidence WHERE kind = 'back_test'")) == "warning"


def test_a_cancelled_run_ends_at_once_and_leaves_nothing_behind(world: World, session: Session) -> None:
    pay(world, 1)
    run_id = ask(world, granting(5))
    assert continue_next_run(), "its partition is replayed"
    assert rows(session, "backtest_account") == 1
    cancel_backtest(programme_id=world.programme_id, run_id=run_id)
    assert not continue_next_run()
    progress = read_backtest(run_id=run_id)
    assert (progress.state, progress.report, progress.finished_at) == ("cancelled", None, NOW)
    assert rows(session, "backtest_account") == 0
    with pytest.raises(BacktestEnded):
        cancel_backtest(programme_id=world.programme_id, run_id=run_id)


def test_a_run_of_another_programme_cannot_be_cancelled(world: World) -> None:
    run_id = ask(world, granting(5))
    with pytest.raises(BacktestNotFound):
        cancel_backtest(programme_id=world.programme_id + 1, run_id=run_id)
    assert read_backtest(run_id=run_id).state == "running"


def test_a_run_knows_how_far_it_is_and_forgets_the_accounts_when_it_is_done(
    world: World, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carbonpoints.behaviours.replay.runs.PARTITION_NUMBERS", 1)
    pay(world, 2)
    pay(world, 1, customer="C2")
    run_id = ask(world, granting(5))
    progress = read_backtest(run_id=run_id)
    assert (progress.partitions, progress.partitions_done, progress.events) == (3, 0, 0)
    continue_next_run()
    progress = read_backtest(run_id=run_id)
    assert (progress.partitions_done, progress.events, progress.state) == (1, 2, "running")
    work()
    progress = read_backtest(run_id=run_id)
    assert (progress.partitions_done, progress.events, progress.state) == (3, 3, "done")
    assert rows(session, "backtest_account") == 0
