from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours import usage_store
from carbonpoints.behaviours.errors import UnknownSource
from tests.behaviours.world import NOW, SOURCES, World, payment, rows, shipped


def test_a_payment_earns_its_grant_once(world: World) -> None:
    first = world.take(world.event("non_cash_payment", payment("T-1"), event_id="E-1"))
    (receipt,) = first.receipts
    assert (receipt.disposition.code, receipt.amount_millicredits, receipt.reduction_mg) == (
        "credited",
        1000,
        0,
    )
    assert first.balances[world.accounts["C1"]].available_millicredits == 1000
    again = world.take(world.event("non_cash_payment", payment("T-1"), event_id="E-1"))
    assert again.receipts[0].disposition.code == "duplicate"
    assert again.receipts[0].account_seq == receipt.account_seq
    assert again.balances[world.accounts["C1"]].available_millicredits == 1000


def test_one_delivery_answers_a_repeated_event_as_a_duplicate(world: World) -> None:
    event = world.event("non_cash_payment", payment("T-1"), event_id="E-1")
    taken = world.take(event, event)
    assert [r.disposition.code for r in taken.receipts] == ["credited", "duplicate"]


def test_the_same_event_with_another_payload_is_a_conflict(world: World, session: Session) -> None:
    world.one("non_cash_payment", payment("T-1"), event_id="E-1")
    before = rows(session, "entry"), rows(session, "decision")
    other = world.one("non_cash_payment", payment("T-1", amount_minor=99_900), event_id="E-1")
    assert other.disposition.code == "conflict"
    assert (rows(session, "entry"), rows(session, "decision")) == before


def test_the_same_event_for_another_account_is_a_conflict(world: World, session: Session) -> None:
    world.one("non_cash_payment", payment("T-1"), event_id="E-1")
    before = rows(session, "entry"), rows(session, "decision")
    other = world.one("non_cash_payment", payment("T-1"), event_id="E-1", customer="C2")
    assert other.disposition.code == "conflict"
    assert (rows(session, "entry"), rows(session, "decision")) == before


def test_an_event_sent_again_after_its_customer_moved_to_another_account_is_a_duplicate(
    world: World, session: Session
) -> None:
    first = world.one("non_cash_payment", payment("T-1"), event_id="E-1")
    session.execute(
        text("UPDATE identity_holder SET account_id = :new WHERE account_id = :old"),
        {"new": world.accounts["C2"], "old": world.accounts["C1"]},
    )
    session.commit()
    before = rows(session, "entry"), rows(session, "decision")
    again = world.one("non_cash_payment", payment("T-1"), event_id="E-1")
    assert (again.disposition.code, again.account_seq) == ("duplicate", first.account_seq)
    assert (rows(session, "entry"), rows(session, "decision")) == before


def test_one_act_is_credited_once_over_two_events(world: World) -> None:
    assert world.one("non_cash_payment", payment("T-1")).disposition.code == "credited"
    twice = world.one("non_cash_payment", payment("T-1"))
    assert (twice.disposition.code, twice.amount_millicredits) == ("claimed_elsewhere", 0)


def test_the_more_specific_behaviour_wins_an_act_in_one_delivery(world: World) -> None:
    data = {**_sample("utility_bill_online"), "transaction_reference": "T-1"}
    taken = world.take(
        world.event("non_cash_payment", payment("T-1")), world.event("utility_bill_online", data)
    )
    assert [r.disposition.code for r in taken.receipts] == ["claimed_elsewhere", "credited"]


def _sample(code: str) -> dict[str, object]:
    rule = next(r for r in shipped().rules if r.behaviour == code)
    return dict(rule.samples[0].attributes)


def test_an_ineligible_act_makes_no_claim(world: World, session: Session) -> None:
    refused = world.one("non_cash_payment", payment("T-1", standing_order=True))
    assert (refused.disposition.code, refused.reason) == ("ineligible", "not_standing_order")
    assert rows(session, "identity_claim") == 0
    assert rows(session, "event_payload") == 1


def test_without_consent_only_a_keyed_identity_remains(world: World, session: Session) -> None:
    before = {table: rows(session, table) for table in ("decision", "entry", "event_payload")}
    event = world.event("non_cash_payment", payment("T-1"), customer="C3")
    assert world.take(event).receipts[0].disposition.code == "no_consent"
    assert {table: rows(session, table) for table in before} == before
    assert (rows(session, "identity_event"), rows(session, "identity_claim")) == (0, 0)
    assert rows(session, "identity_undecided") == 1


def test_an_act_before_the_consent_covers_is_not_decided(world: World) -> None:
    early = world.one("non_cash_payment", payment("T-1"), at=NOW - timedelta(days=101))
    assert early.disposition.code == "no_consent"


def test_an_unknown_subject_and_an_act_to_come_stay_undecided(world: World, session: Session) -> None:
    assert world.one("non_cash_payment", payment("T-1"), customer="nobody").disposition.code == (
        "unknown_account"
    )
    ahead = world.one("non_cash_payment", payment("T-2"), at=NOW + timedelta(hours=1))
    assert ahead.disposition.code == "future"
    assert rows(session, "identity_undecided") == 2
    assert world.one("non_cash_payment", payment("T-2"), event_id="late").disposition.code == "credited"


def test_an_act_older_than_the_late_window_is_too_late(world: World) -> None:
    late = world.one("non_cash_payment", payment("T-1"), at=NOW - timedelta(days=31))
    assert (late.disposition.code, late.amount_millicredits) == ("too_late", 0)
    just = world.one("non_cash_payment", payment("T-2"), at=NOW - timedelta(days=30))
    assert just.disposition.code == "credited"


def test_caps_count_per_local_day_and_a_late_event_takes_what_its_own_day_has_left(world: World) -> None:
    codes = [world.one("non_cash_payment", payment(f"T-{n}")).disposition.code for n in range(7)]
    assert codes == ["credited"] * 5 + ["capped"] * 2
    yesterday = world.one("non_cash_payment", payment("T-8"), at=NOW - timedelta(days=1))
    assert yesterday.disposition.code == "credited"


def test_a_counter_sees_earlier_awards_to_the_same_payee(world: World) -> None:
    receipts = [world.one("non_cash_payment", payment(f"T-{n}", payee_hash="p")) for n in range(2)]
    assert [r.disposition.code for r in receipts] == ["credited", "ineligible"]
    assert receipts[1].reason == "payee_limit"


@pytest.mark.parametrize(("status", "code"), [("frozen", "account_frozen"), ("closed", "account_closed")])
def test_a_frozen_or_closed_account_earns_nothing(
    world: World, session: Session, status: str, code: str
) -> None:
    session.execute(
        text("UPDATE account SET status = :status WHERE account_id = :id"),
        {"status": status, "id": world.accounts["C1"]},
    )
    session.commit()
    receipt = world.one("non_cash_payment", payment("T-1"))
    assert (receipt.disposition.code, receipt.amount_millicredits) == (code, 0)
    assert receipt.account_seq > 0


def test_an_unregistered_source_is_refused_and_nothing_changes(world: World, session: Session) -> None:
    before = rows(session, "identity_undecided"), rows(session, "decision")
    with pytest.raises(UnknownSource):
        world.take(world.event("non_cash_payment", payment("T-1")), source="urn:nobody")
    assert (rows(session, "identity_undecided"), rows(session, "decision")) == before


def test_a_reduction_is_posted_where_the_factor_allows_it(world: World) -> None:
    data = {**_sample("bus_trip")}
    receipt = world.one("bus_trip", data)
    assert receipt.disposition.code == "credited"
    assert receipt.reduction_mg > 0
    assert SOURCES["bus_trip"] != SOURCES["non_cash_payment"]


def test_usage_that_is_gone_since_it_was_loaded_is_no_silent_loss(world: World, session: Session) -> None:
    world.one("non_cash_payment", payment("T-1"))
    account_id, key = world.accounts["C1"], ("non_cash_payment", "day", NOW.date())
    books = usage_store.load_ranges(session, {(account_id, *key[:2]): (key[2], key[2])})
    row = books[account_id].change(key)
    assert (row.awards, row.is_stored) == (1, True)
    session.execute(text("DELETE FROM usage"))
    with pytest.raises(RuntimeError, match="usage that was loaded"):
        usage_store.write(session, books)
    session.rollback()
