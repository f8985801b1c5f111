"""Budgets as definitions: read, checked beside what is in force, and what holds of them on a business date."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.approvals.versions import VersionKind, version_history
from carbonpoints.core.db import reading
from carbonpoints.ledger.slices import Amount, Limits, Terms
from carbonpoints.rules.budgets import Purse, recorded, terms_on
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.definitions import BudgetDefinition
from carbonpoints.rules.draws import Drawn
from carbonpoints.rules.nodes import DefinitionError
from carbonpoints.rules.parsing import from_content, parse_budgets
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.usage import UsageBook
from tests.rules.budget_files import budget
from tests.rules.catalogue_files import confirm, draft, read, seed_empty, ship, write
from tests.rules.engine_world import cap, compiled, pays, settle

JUNE = date(2026, 6, 15)


@pytest.fixture
def programme_id(session: Session) -> int:
    return seed_empty()


def terms(programme_id: int, day: date = JUNE) -> tuple[Terms, ...]:
    with reading() as session:
        budgets = load_catalogue(session, programme_id).budgets
        return terms_on(budgets, programme_settings(session, programme_id), day)


# What a file says


def test_a_budget_is_read_and_written_whole() -> None:
    (found,) = parse_budgets(budget(millicredits=5_000, campaign="spring"), "file.yaml")
    assert found == BudgetDefinition(
        code="everything",
        name_en="All credits",
        name_zh="全部积分",
        period="month",
        millicredits=5_000,
        campaign="spring",
        valid_from=date(2026, 1, 1),
    )
    assert from_content(BudgetDefinition, as_content(found)) == found


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        (budget("Everything", fen=1), 2, "budgets.0.code"),
        (budget(period="week", fen=1), 5, "budgets.0.period"),
        (budget(fen=1, campaign="Spring"), 8, "budgets.0.campaign"),
        (budget(fen=1).replace("全部积分", '""'), 4, "budgets.0.name_zh"),
        (budget(fen=1, valid_to="2026-01-01"), 8, "budgets.0.valid_to"),
        (budget(), 2, "budgets.0.millicredits"),
        (budget(millicredits=0), 7, "budgets.0.millicredits"),
        (budget(millicredits=10**13 + 1), 7, "budgets.0.millicredits"),
        (budget(fen=10**12 + 1), 7, "budgets.0.fen"),
        (budget(fen='"1"'), 7, "budgets.0.fen"),
        (budget(credits=1), 7, "budgets.0.credits"),
    ],
)
def test_a_wrong_budget_is_refused_with_its_line(text: str, line: int, field: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_budgets(text, "file.yaml")
    assert [(problem.line, problem.field) for problem in caught.value.problems] == [(line, field)]


# What may be put in force


def refused(programme_id: int, session: Session, folder: Path, **files: str) -> str:
    before = version_history(session, programme_id, VersionKind.BUDGET, "everything")
    with pytest.raises(DefinitionError) as caught:
        ship(programme_id, read(write(folder, **files)))
    session.rollback()
    assert version_history(session, programme_id, VersionKind.BUDGET, "everything") == before
    return str(caught.value).partition(".yaml:")[2]


def test_a_budget_keeps_its_period(programme_id: int, session: Session, tmp_path: Path) -> None:
    ship(programme_id, read(write(tmp_path / "a", budgets=budget(fen=1))))
    files = {"budgets": budget(period="year", fen=1)}
    assert refused(programme_id, session, tmp_path / "b", **files) == (
        "5: budgets.0.period: must stay month: give another period another code"
    )


def test_a_budget_stands_once_at_a_time(programme_id: int, session: Session, tmp_path: Path) -> None:
    files = {"one": budget(fen=1, valid_to="2026-07-01"), "two": budget(fen=2, valid_from="2026-06-30")}
    assert refused(programme_id, session, tmp_path, **files).startswith("6: budgets.0.valid_from: everything")


def test_a_budget_in_money_needs_to_know_what_a_credit_costs(
    programme_id: int, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = version_history(session, programme_id, VersionKind.PROGRAMME, "zhangye")[0]
    content = {name: value for name, value in old.content.items() if name != "millifen_per_credit"}
    monkeypatch.setattr(
        "carbonpoints.rules.changes.current_versions",
        lambda *_: (type(old)(**{**old.__dict__, "content": content}),),
    )
    assert refused(programme_id, session, tmp_path, budgets=budget(millicredits=1, fen=1)) == (
        "8: budgets.0.fen: needs millifen_per_credit in the programme's settings"
    )


# What holds on a day


def test_terms_follow_the_business_date(programme_id: int, tmp_path: Path) -> None:
    ship(programme_id, read(write(tmp_path / "a", budgets=budget(millicredits=9_000, fen=2))))
    (found,) = terms(programme_id)
    assert (found.starts_on, found.ends_on) == (date(2026, 6, 1), date(2026, 6, 30))
    assert found.limits == Limits(9_000, 2_000_000)
    assert found.cost(1_500) == Amount(1_500, 150_000), "1.5 credits of a tenth of a fen"
    assert found.version_id == found.known_version_id
    assert terms(programme_id, date(2025, 12, 31)) == ()
    (later,) = terms(programme_id, date(2028, 2, 29))
    assert (later.starts_on, later.ends_on) == (date(2028, 2, 1), date(2028, 2, 29))


def test_a_change_holds_from_its_day_and_whoever_knows_of_it_knows_more(
    programme_id: int, tmp_path: Path
) -> None:
    ship(programme_id, read(write(tmp_path / "a", budgets=budget(period="year", millicredits=9_000))))
    (before,) = terms(programme_id)
    changed = budget(period="year", millicredits=5_000, valid_from="2026-06-16")
    confirm(programme_id, draft(programme_id, read(write(tmp_path / "b", budgets=changed))))
    (today,), (tomorrow,) = terms(programme_id), terms(programme_id, date(2026, 6, 16))
    assert (today.limits.millicredits, tomorrow.limits.millicredits) == (9_000, 5_000)
    assert (tomorrow.starts_on, tomorrow.ends_on) == (date(2026, 1, 1), date(2026, 12, 31))
    assert today.known_version_id == tomorrow.known_version_id > before.known_version_id
    assert tomorrow.replaces(today.version_id, today.known_version_id)
    assert today.replaces(before.version_id, before.known_version_id)
    assert not before.replaces(tomorrow.version_id, tomorrow.known_version_id)
    assert not today.replaces(today.version_id, today.known_version_id)


# What awards get


ALL = Terms(
    programme_id=1,
    code="all",
    campaign=None,
    business_date=JUNE,
    starts_on=JUNE,
    ends_on=JUNE,
    limits=Limits(1, 1),
    millifen_per_credit=20,
    version_id=1,
    known_version_id=1,
)
SPRING = Terms(**{**ALL.__dict__, "code": "spring_budget", "campaign": "spring"})


def test_an_unasked_purse_covers_everything_and_says_what_that_costs() -> None:
    purse = Purse([ALL, SPRING])
    assert purse.draw({None: 50}) == Drawn(None, {"all": [50, 1_000]})
    assert purse.draw({None: 50, "spring": 20}) == Drawn(
        None, {"all": [50, 1_000], "spring_budget": [20, 400]}
    )


def test_a_purse_covers_an_award_whole_or_not_at_all() -> None:
    left = {"all": 100, "spring_budget": 10}
    purse = Purse([ALL, SPRING], left)
    assert purse.draw({None: 60, "spring": 20}) == Drawn("spring_budget", {})
    assert purse.draw({None: 101}) == Drawn("all", {})
    assert left == {"all": 100, "spring_budget": 10}, "what was refused took nothing"
    assert purse.draw({None: 60, "spring": 10}).short is None
    assert left == {"all": 40, "spring_budget": 0}
    assert purse.draw({None: 41}) == Drawn("all", {})
    assert purse.draw({None: 40}).short is None


def test_a_budget_that_gave_nothing_refuses() -> None:
    assert Purse([ALL], {}).draw({None: 1}) == Drawn("all", {})


def test_replay_takes_the_recorded_outcome() -> None:
    for drawn in (Drawn(None, {}), Drawn(None, {"all": [50, 1_000]}), Drawn("all", {})):
        assert recorded(drawn.trace())({None: 50}) == drawn
    assert recorded(None)({None: 50}) == Drawn(None, {})
    bonus_short = {"bonus_budget": "spring", "budgets": {"all": [50, 1_000]}}
    assert recorded(bonus_short)({None: 70, "spring": 20}) == Drawn("spring", {})
    assert recorded(bonus_short)({None: 50}) == Drawn(None, {"all": [50, 1_000]})


# What the engine makes of it


def test_credits_that_are_not_covered_leave_the_reduction_and_use_no_credits_of_caps() -> None:
    rule = compiled(caps=(cap("day", count=2, millicredits=50_000),))
    usage = UsageBook()
    outcome = settle(rule, {"km": "1"}, usage, draw=Purse([ALL], {"all": 26_899}).draw)
    assert (outcome.reason, outcome.reduction_mg, outcome.amount_millicredits) == (None, 26_900, 0)
    assert (outcome.budget, outcome.trace) == ("all", {"budget": "all"})
    (row,) = usage.rows.values()
    assert (row.awards, row.reduction_mg, row.amount_millicredits) == (1, 26_900, 0)
    outcome = settle(rule, {"km": "1"}, usage, draw=Purse([ALL], {"all": 26_900}).draw)
    assert (outcome.amount_millicredits, outcome.budget) == (26_900, None)
    assert outcome.trace == {"budgets": {"all": [26_900, 538_000]}}
    assert (row.awards, row.amount_millicredits) == (2, 26_900)


def test_nothing_is_used_where_neither_credits_nor_a_reduction_remain() -> None:
    rule = compiled(purpose="credits_only", credits=pays("0", 1_000), caps=(cap("day", count=1),))
    usage = UsageBook()
    outcome = settle(rule, {"km": "1"}, usage, draw=Purse([ALL], {}).draw)
    assert (outcome.reason, outcome.reduction_mg, outcome.amount_millicredits) == (None, 0, 0)
    assert (outcome.budget, usage.touched) == ("all", set())
    assert settle(rule, {"km": "1"}, usage).amount_millicredits == 1_000


def test_budgets_are_asked_for_what_caps_have_left() -> None:
    rule = compiled(caps=(cap("event", millicredits=5),))
    outcome = settle(rule, {"km": "1"}, draw=Purse([ALL]).draw)
    assert outcome.trace == {"cap": "event_millicredits", "left": 5, "budgets": {"all": [5, 100]}}
    nothing = settle(compiled(project="km * BUS"), {"km": "1"}, draw=Purse([ALL], {}).draw)
    assert nothing.reason == "nothing_earned", "nothing is asked for nothing"
