"""A budget gives what it has and no more, whatever is drawn, handed back, given back and changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from carbonpoints.ledger import posting
from carbonpoints.ledger.budgets import give_back, hand_back, read_burn, read_periods
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.errors import LedgerFault
from carbonpoints.ledger.reconcile import check
from carbonpoints.ledger.slices import SLICES, Amount, Limits, covered, spread
from tests.ledger.budget_scenes import PRICE, changed, drawn_on, shares, take, take_one, terms, used
from tests.ledger.scenes import DAY, make_programme, moment_on, open_one

NEXT_DAY = date(2026, 11, 3)


@pytest.fixture
def programme_id(session: Session) -> int:
    return make_programme(session)


# What is left, and how it is spread


@pytest.mark.parametrize(
    ("limits", "gone", "wanted", "expected"),
    [
        (Limits(100, None), Amount(40, 0), 50, 50),
        (Limits(100, None), Amount(40, 0), 70, 60),
        (Limits(100, None), Amount(120, 0), 70, 0),
        (Limits(None, 1_000), Amount(40, 800), 50, 10),
        (Limits(None, 1_019), Amount(40, 800), 50, 10),
        (Limits(100, 1_000), Amount(95, 800), 50, 5),
        (Limits(100, 1_000), Amount(40, 990), 50, 0),
    ],
)
def test_both_measures_cover_what_they_have(limits: Limits, gone: Amount, wanted: int, expected: int) -> None:
    assert covered(limits.left(gone), Amount(wanted, wanted * PRICE)) == expected


def test_credits_without_a_cost_are_not_limited_by_money() -> None:
    assert covered(Limits(None, 0), Amount(50, 0)) == 50


@pytest.mark.parametrize(
    ("left", "wanted", "slices"),
    [(6_400, 100, 64), (6_401, 100, 64), (640, 100, 6), (100, 100, 1), (99, 100, 1), (0, 100, 1)],
)
def test_what_is_left_goes_to_as_many_slices_as_can_cover_what_is_wanted(
    left: int, wanted: int, slices: int
) -> None:
    parts = [part.millicredits or 0 for part in spread(Limits(left, None), Amount(wanted, 0))]
    assert (len(parts), sum(parts)) == (SLICES, left)
    assert sum(1 for part in parts if part) <= slices
    assert max(parts) - min(parts[:slices]) <= 1
    assert left < wanted or min(parts[:slices]) >= wanted


def test_the_scarcer_measure_decides_how_far_it_is_spread() -> None:
    parts = spread(Limits(6_400, 4_000), Amount(100, 2_000))
    assert [part for part in parts if part.microfen] == [Limits(3_200, 2_000)] * 2
    assert spread(Limits(None, 4_000), Amount(100, 2_000))[0] == Limits(None, 2_000)


# Drawing


def test_a_period_is_cut_when_it_is_first_drawn_on(session: Session, programme_id: int) -> None:
    assert take(session, terms(programme_id, 6_400), 50) == 50
    assert sorted(shares(session)) == [100] * SLICES
    assert used(session) == Amount(50, 50 * PRICE)
    (period,) = read_periods(session, programme_id, ["everything"], DAY)
    assert (period.starts_on, period.ends_on) == (date(2026, 11, 1), date(2026, 11, 30))
    assert (period.limits, period.used) == (Limits(6_400, None), Amount(50, 50 * PRICE))


def test_a_budget_gives_all_it_has_in_pieces_of_any_size(session: Session, programme_id: int) -> None:
    held = terms(programme_id, 6_400)
    assert [take(session, held, 101) for _ in range(63)] == [101] * 63
    assert take(session, held, 101, least=1) == 37
    assert take(session, held, 1) == 0
    assert used(session).millicredits == 6_400


def test_less_than_the_smallest_award_is_left_alone(session: Session, programme_id: int) -> None:
    held = terms(programme_id, 130)
    assert take(session, held, 100) == 100
    assert take(session, held, 100, least=31) == 0
    assert take(session, held, 100, least=30) == 30


def test_a_budget_in_money_counts_what_credits_cost(session: Session, programme_id: int) -> None:
    held = terms(programme_id, None, fen=1)
    assert take(session, held, 49_000) == 49_000
    assert take(session, replace(held, millifen_per_credit=2 * PRICE), 49_000, least=1) == 500
    assert used(session) == Amount(49_500, 1_000_000)
    assert take(session, replace(held, millifen_per_credit=0), 7) == 7


def test_each_month_has_its_own_period(session: Session, programme_id: int) -> None:
    assert take(session, terms(programme_id, 100), 100) == 100
    december = terms(programme_id, 100, day=date(2026, 12, 1))
    assert take(session, december, 100) == 100
    assert take(session, december, 1) == 0


def test_budgets_are_apart_by_code_and_programme(session: Session, programme_id: int) -> None:
    assert take(session, terms(programme_id, 100), 100) == 100
    assert take(session, terms(programme_id, 100, code="bonus"), 60) == 60
    (period,) = read_periods(session, programme_id, ["bonus", "nobody's"], DAY)
    assert (period.code, period.used.millicredits) == ("bonus", 60)
    assert read_periods(session, programme_id + 1, ["bonus"], DAY) == []


# Changing the limit


def test_a_higher_limit_is_there_at_once(session: Session, programme_id: int) -> None:
    held = terms(programme_id, 100)
    assert take(session, held, 100) == 100
    assert take(session, changed(held, 250), 200, least=1) == 150


def test_a_lower_limit_leaves_what_was_given_out(session: Session, programme_id: int) -> None:
    held = terms(programme_id, 1_000)
    assert take(session, held, 600) == 600
    lower = changed(held, 500)
    assert take(session, lower, 1) == 0
    assert (used(session).millicredits, sum(shares(session))) == (600, 600)
    give_back(session, programme_id=programme_id, business_date=DAY, amounts={"everything": held.cost(150)})
    assert take(session, lower, 100, least=1) == 50, "what came back counts below the limit only"


def test_whoever_knows_of_the_change_decides(session: Session, programme_id: int) -> None:
    held = terms(programme_id, 1_000)
    lower = changed(held, 500)
    assert take(session, lower, 400) == 400
    assert take(session, held, 300, least=1) == 100, "a delivery that was begun before the change"
    assert take(session, lower, 1) == 0


def test_versions_for_different_days_take_turns(session: Session, programme_id: int) -> None:
    today = terms(programme_id, 100, version=3, known=3)
    tomorrow = replace(terms(programme_id, 150, version=2, known=3), business_date=NEXT_DAY)
    assert take(session, today, 100) == 100
    assert take(session, tomorrow, 30) == 30
    assert take(session, today, 1) == 0
    assert take(session, tomorrow, 20) == 20
    assert take(session, tomorrow, 1) == 0


def test_a_measure_may_come_and_go(session: Session, programme_id: int) -> None:
    held = terms(programme_id, 1_000)
    assert take(session, held, 600) == 600
    in_money = changed(held, None, fen=1)
    assert take(session, in_money, 60_000, least=1) == 49_400
    both = changed(in_money, 60_000, fen=2)
    assert take(session, both, 60_000, least=1) == 10_000


# Giving back


def test_what_is_handed_back_is_free_at_once(session: Session, programme_id: int) -> None:
    held = terms(programme_id, 100)
    drawn = take_one(session, held, 100)
    assert drawn is not None
    hand_back(session, drawn, 40)
    assert used(session) == Amount(60, 60 * PRICE)
    assert take(session, held, 40) == 40


def test_what_comes_back_goes_to_its_own_period(session: Session, programme_id: int) -> None:
    november, december = terms(programme_id, 100), terms(programme_id, 100, day=date(2026, 12, 1))
    assert (take(session, november, 100), take(session, december, 100)) == (100, 100)
    give_back(
        session, programme_id=programme_id, business_date=DAY, amounts={"everything": november.cost(30)}
    )
    assert take(session, december, 1) == 0
    assert take(session, november, 30) == 30
    first = date(2026, 12, 1)
    burnt = {DAY: november.cost(100), first: november.cost(100)}
    assert read_burn(session, programme_id, "everything", DAY) == burnt
    assert read_burn(session, programme_id, "everything", NEXT_DAY) == {first: november.cost(100)}


def test_more_can_come_back_than_any_slice_gave(session: Session, programme_id: int) -> None:
    held = terms(programme_id, 6_400)
    assert [take(session, held, 100) for _ in range(30)] == [100] * 30
    give_back(session, programme_id=programme_id, business_date=DAY, amounts={"everything": held.cost(2_950)})
    assert used(session) == held.cost(50)
    assert take(session, held, 6_350) == 6_350


@pytest.mark.parametrize(("code", "millicredits"), [("everything", 101), ("nothing", 1)])
def test_what_was_never_drawn_does_not_come_back(
    session: Session, programme_id: int, code: str, millicredits: int
) -> None:
    held = terms(programme_id, 1_000)
    assert take(session, held, 100) == 100
    with pytest.raises(LedgerFault):
        give_back(
            session, programme_id=programme_id, business_date=DAY, amounts={code: held.cost(millicredits)}
        )
    assert used(session) == held.cost(100)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE budget_slice SET used_millicredits = share_millicredits + 1",
        "UPDATE budget_slice SET used_microfen = share_microfen + 1",
        "UPDATE budget_slice SET used_millicredits = -1",
        "UPDATE budget_slice SET used_microfen = -1, share_microfen = NULL",
    ],
)
def test_the_database_refuses_too(session: Session, programme_id: int, statement: str) -> None:
    take(session, terms(programme_id, 1_000, fen=1), 100)
    with pytest.raises(DBAPIError, match="ck_budget_slice"):
        session.execute(text(statement))


# The proof


def award_drawn(session: Session, programme_id: int, millicredits: int) -> int:
    """Book an award that drew on the budget; returns its account."""
    held = terms(programme_id, 1_000)
    book = open_one(session, programme_id)
    moment = moment_on(DAY)
    book.decide(
        DecisionKind.EVENT,
        moment,
        occurred_at=moment.booked_at,
        received_at=moment.booked_at,
        local_date=DAY,
        trace=dict(drawn_on(held, millicredits)),
    )
    assert take(session, held, millicredits) == millicredits
    posting.write_books(session, [book])
    return book.account_id


def samples(session: Session) -> tuple[str, ...]:
    (finding,) = [finding for finding in check(session) if finding.code == "budgets"]
    return finding.samples


def test_awards_and_slices_agree(session: Session, programme_id: int) -> None:
    award_drawn(session, programme_id, 100)
    award_drawn(session, programme_id, 50)
    assert samples(session) == ()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (
            "UPDATE budget_slice SET used_millicredits = used_millicredits - 1 WHERE used_millicredits > 0",
            "budget everything from 2026-11-01: its slices do not add up",
        ),
        (
            "UPDATE budget_slice SET share_millicredits = share_millicredits + 1 WHERE slice_no = 9",
            "budget everything from 2026-11-01: its slices do not add up",
        ),
        (
            "UPDATE budget_burn SET business_date = '2026-12-01'",
            "budget everything on 2026-11-02: awards drew 100 millicredits, 2000 microfen more than slices gave",
        ),
        (
            "UPDATE budget_burn SET microfen = microfen + 1",
            "budget everything from 2026-11-01: its slices do not add up",
        ),
        (
            "UPDATE budget_period SET code = 'other'",
            "budget everything on 2026-11-02: awards drew 100 millicredits, 2000 microfen more than slices gave",
        ),
    ],
)
def test_a_difference_is_found(session: Session, programme_id: int, statement: str, found: str) -> None:
    award_drawn(session, programme_id, 100)
    session.execute(text(statement))
    assert found in samples(session)


def test_a_reversal_gives_its_award_s_budget_back(session: Session, programme_id: int) -> None:
    account_id = award_drawn(session, programme_id, 100)
    book = posting.open_books(session, [account_id])[account_id]
    moment = moment_on(NEXT_DAY)
    book.decide(
        DecisionKind.REVERSAL,
        moment,
        occurred_at=moment.booked_at,
        received_at=moment.booked_at,
        local_date=NEXT_DAY,
        trace={"award_seq": book.last_seq},
    )
    posting.write_books(session, [book])
    assert samples(session) == (
        "budget everything on 2026-11-02: awards drew -100 millicredits, -2000 microfen more than slices gave",
    )
    amounts = {"everything": terms(programme_id, 1_000).cost(100)}
    give_back(session, programme_id=programme_id, business_date=DAY, amounts=amounts)
    assert samples(session) == ()
