"""Reversals of events: what they take back, from whom, and what is free again afterwards (M6, M9)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.retention import erase_payloads
from carbonpoints.core.clock import clock_at
from carbonpoints.core.errors import Busy
from carbonpoints.ledger import flows
from carbonpoints.ledger.reconcile import check
from tests.behaviours.undoing import (
    PAYMENT,
    RIDE_MG,
    change_setting,
    deliver_all,
    end,
    has,
    merge,
    pay,
    ride,
    set_status,
    spend,
    unmerge,
    used,
    working,
)
from tests.behaviours.world import NOW, SOURCES, World, payment, rows, shipped

LATER = NOW + timedelta(hours=1)


@pytest.fixture(autouse=True)
def proven(world: World, session: Session) -> Iterator[None]:
    yield
    assert [finding.code for finding in check(session) if finding.differences] == []


def journal(session: Session) -> list[tuple[int, int, str | None]]:
    """Kind, disposition and reason of every decision of the first customer about events."""
    found = session.execute(
        text(
            "SELECT kind, disposition, trace ->> 'reason' FROM decision WHERE kind IN (2, 10) ORDER BY account_seq"
        )
    ).all()
    session.rollback()
    return [tuple(row) for row in found]


class TestWhatIsTakenBack:
    def test_all_of_a_ride_with_its_reduction_and_what_it_used_of_its_caps(
        self, world: World, session: Session
    ) -> None:
        ride(world, "E-1")
        assert has(world, session) == (RIDE_MG, 0, 0, RIDE_MG)
        receipt = world.take_back("E-1", behaviour="bus_trip")
        assert (end(receipt), receipt.amount_millicredits, receipt.reduction_mg) == ("reversed", 0, 0)
        assert receipt.account_id == world.accounts["C1"]
        assert has(world, session) == (0, 0, 0, 0)
        for period in ("day", "month", "year"):
            assert used(session, world.accounts["C1"], period) == [("bus_trip", 0, 0, 0, None)]
        assert journal(session) == [(2, 1, None), (10, 15, "refunded")]

    def test_sent_again_it_is_a_duplicate(self, world: World, session: Session) -> None:
        pay(world, "E-1")
        first = world.take_back("E-1", event_id="R-1")
        before = rows(session, "decision"), rows(session, "entry"), rows(session, "event_payload")
        again = world.take_back("E-1", event_id="R-1")
        assert (end(again), again.account_seq) == ("duplicate", first.account_seq)
        other = world.take_back("E-1", event_id="R-1", reason="fraud")
        assert end(other) == "conflict"
        assert (rows(session, "decision"), rows(session, "entry"), rows(session, "event_payload")) == before

    def test_a_reversal_that_names_another_event_the_second_time_leaves_that_alone(
        self, world: World, session: Session
    ) -> None:
        pay(world, "E-1")
        pay(world, "E-2")
        world.take_back("E-1", event_id="R-1")
        assert end(world.take_back("E-2", event_id="R-1")) == "conflict"
        assert has(world, session)[0] == PAYMENT
        assert end(world.take_back("E-2", event_id="R-2")) == "reversed"

    def test_the_spent_part_becomes_due_and_later_earnings_pay_it(
        self, world: World, session: Session
    ) -> None:
        pay(world, "E-1")
        spend(world, 700)
        assert end(world.take_back("E-1")) == "reversed"
        assert has(world, session) == (0, 0, 700, 0)
        pay(world, "E-2")
        assert has(world, session) == (300, 0, 0, 0)

    def test_the_held_part_becomes_due_and_its_release_pays_it(self, world: World, session: Session) -> None:
        pay(world, "E-1")
        hold_seq = spend(world, 600, keep_held=True)
        world.take_back("E-1")
        assert has(world, session) == (0, 600, 600, 0)
        with working(world) as (book, moment):
            flows.release(book, moment, hold_seq=hold_seq, grace_days=0)
        assert has(world, session) == (0, 0, 0, 0)

    def test_only_so_much_becomes_due_as_the_programme_says(self, world: World, session: Session) -> None:
        change_setting(world, "clawback_limit_millicredits", 250)
        pay(world, "E-1")
        spend(world, 1000)
        world.take_back("E-1")
        assert has(world, session) == (0, 0, 250, 0)
        traced = session.scalar(text("SELECT trace FROM decision WHERE kind = 10"))
        assert (traced["charged"], traced["waived"], traced["reason"]) == (250, 750, "refunded")
        session.rollback()

    def test_what_expired_is_gone_and_makes_no_debt(self, world: World, session: Session) -> None:
        ride(world, "E-1")
        change_setting(world, "correction_days", 1_000)
        with clock_at(NOW + timedelta(days=760)):
            with working(world) as (book, moment):
                assert flows.expire(book, moment) is not None
            assert end(world.take_back("E-1", behaviour="bus_trip", at=NOW)) == "reversed"
            assert has(world, session) == (0, 0, 0, 0)

    def test_a_pending_award_ends(self, world: World, session: Session) -> None:
        sold = next(r for r in shipped().rules if r.behaviour == "second_hand_sale").samples[0].attributes
        receipt = world.one("second_hand_sale", sold, event_id="E-1")
        assert has(world, session)[:2] == (0, receipt.amount_millicredits)
        assert receipt.amount_millicredits > 0
        assert end(world.take_back("E-1", behaviour="second_hand_sale")) == "reversed"
        assert has(world, session) == (0, 0, 0, 0)
        assert rows(session, "pending_award") == 0

    def test_two_awards_of_one_lot_in_one_delivery(self, world: World, session: Session) -> None:
        for number in range(3):
            pay(world, f"E-{number}")
        spend(world, 1_500)
        taken = world.take(world.reversal("E-1"), world.reversal("E-0"), source=SOURCES["non_cash_payment"])
        assert [end(receipt) for receipt in taken.receipts] == ["reversed", "reversed"]
        assert has(world, session) == (1_000, 0, 1_500, 0)
        assert taken.balances[world.accounts["C1"]].clawback_due_millicredits == 1_500

    def test_after_an_event_of_the_same_delivery_that_paid_a_debt(
        self, world: World, session: Session
    ) -> None:
        """What the earlier events of a delivery did to the lot is known to the later ones."""
        pay(world, "E-1")
        pay(world, "E-2")
        spend(world, 1_000)
        world.take_back("E-1")
        assert has(world, session) == (1_000, 0, 1_000, 0)
        taken = world.take(
            world.event("non_cash_payment", payment("T-9"), event_id="E-9"),
            world.reversal("E-2"),
            source=SOURCES["non_cash_payment"],
        )
        assert [end(receipt) for receipt in taken.receipts] == ["credited", "reversed"]
        # The new payment paid the debt out of the lot, and of a lot the earliest award counts as spent first.
        assert has(world, session) == (1_000, 0, 1_000, 0)


class TestCapsAndActs:
    def test_a_cap_is_free_again_for_later_events_and_not_for_those_already_decided(
        self, world: World, session: Session
    ) -> None:
        assert [end(pay(world, f"E-{n}")) for n in range(6)] == ["credited"] * 5 + ["capped"]
        world.take_back("E-0")
        assert has(world, session)[0] == 4 * PAYMENT
        assert end(pay(world, "E-5", reference="of E-5")) == "duplicate"
        assert end(pay(world, "E-6")) == "credited"
        assert end(pay(world, "E-7")) == "capped"
        assert has(world, session)[0] == 5 * PAYMENT

    def test_it_goes_back_to_the_day_of_the_act(self, world: World, session: Session) -> None:
        yesterday = NOW - timedelta(days=1)
        assert [end(pay(world, f"E-{n}", at=yesterday)) for n in range(6)] == ["credited"] * 5 + ["capped"]
        world.take_back("E-0")
        assert end(pay(world, "E-6", at=yesterday)) == "credited"
        assert end(pay(world, "E-7", at=yesterday)) == "capped"
        assert [row[1] for row in used(session, world.accounts["C1"])] == [5]

    def test_a_counter_forgets_the_payee(self, world: World, session: Session) -> None:
        pay(world, "E-1", data={"payee_hash": "p"})
        assert pay(world, "E-2", data={"payee_hash": "p"}).reason == "payee_limit"
        world.take_back("E-1")
        assert used(session, world.accounts["C1"]) == [
            ("non_cash_payment", 0, 0, 0, {"same_payee_today": {}})
        ]
        assert end(pay(world, "E-3", data={"payee_hash": "p"})) == "credited"

    def test_without_its_inputs_the_caps_come_back_and_the_tally_stays(
        self, world: World, session: Session
    ) -> None:
        pay(world, "E-1", data={"payee_hash": "p"})
        erase_payloads(account_id=world.accounts["C1"], reason="asked for")
        assert end(world.take_back("E-1")) == "reversed"
        ((_, awards, _, amount, tallies),) = used(session, world.accounts["C1"])
        assert (awards, amount) == (0, 0)
        assert list(tallies["same_payee_today"].values()) == [1]
        assert rows(session, "identity_claim") == 1
        assert has(world, session) == (0, 0, 0, 0)

    def test_the_act_may_be_booked_again_under_another_event(self, world: World, session: Session) -> None:
        pay(world, "E-1", reference="T-1")
        assert end(pay(world, "E-2", reference="T-1")) == "claimed_elsewhere"
        world.take_back("E-1", reason="booked_in_error")
        assert end(pay(world, "E-3", reference="T-1", customer="C2")) == "credited"
        assert end(pay(world, "E-4", reference="T-1")) == "claimed_elsewhere"
        assert (has(world, session)[0], has(world, session, "C2")[0]) == (0, PAYMENT)


class TestWhatCannotBeTakenBack:
    def test_an_event_that_earned_nothing_is_reversed_and_nothing_moves(
        self, world: World, session: Session
    ) -> None:
        pay(world, "E-1", data={"standing_order": True})
        before = rows(session, "entry"), used(session, world.accounts["C1"])
        assert end(world.take_back("E-1")) == "reversed"
        assert (rows(session, "entry"), used(session, world.accounts["C1"])) == before
        assert end(pay(world, "E-1", revision=1)) == "reversed"

    def test_a_second_reversal_of_the_same_event(self, world: World, session: Session) -> None:
        pay(world, "E-1")
        world.take_back("E-1")
        second = world.take_back("E-1")
        assert (end(second), second.account_seq > 0) == ("claimed_elsewhere", True)
        assert has(world, session) == (0, 0, 0, 0)

    def test_a_reversal_is_not_reversed(self, world: World, session: Session) -> None:
        pay(world, "E-1")
        world.take_back("E-1", event_id="R-1")
        receipt = world.take_back("R-1")
        assert (end(receipt), receipt.reason) == ("ineligible", "not_reversible")
        assert has(world, session) == (0, 0, 0, 0)
        assert rows(session, "identity_reversal") == 1

    def test_a_behaviour_under_the_id_of_a_reversal_and_the_other_way_round(
        self, world: World, session: Session
    ) -> None:
        pay(world, "E-1")
        world.take_back("E-1", event_id="R-1")
        pay(world, "E-2")
        assert end(pay(world, "R-1")) == "conflict"
        higher = pay(world, "R-1", revision=1)
        assert (end(higher), higher.reason) == ("conflict", "not_correctable")
        assert end(world.take_back("E-1", event_id="E-2")) == "conflict"
        assert has(world, session)[0] == PAYMENT

    def test_too_late_and_it_may_be_tried_again_when_the_programme_says_otherwise(
        self, world: World, session: Session
    ) -> None:
        pay(world, "E-1")
        with clock_at(NOW + timedelta(days=366)):
            late = world.take_back("E-1", at=NOW)
            assert (end(late), late.account_seq > 0) == ("too_late", True)
            assert has(world, session) == (PAYMENT, 0, 0, 0)
            change_setting(world, "correction_days", 366)
            assert end(world.take_back("E-1", at=NOW)) == "reversed"
            assert has(world, session) == (0, 0, 0, 0)


class TestBeforeItsEvent:
    def test_the_event_is_credited_nothing_when_it_comes(self, world: World, session: Session) -> None:
        waiting = world.take_back("E-1", event_id="R-1")
        assert (end(waiting), waiting.account_seq) == ("awaiting_original", 0)
        assert (rows(session, "identity_undecided"), rows(session, "event_payload")) == (1, 0)
        late = pay(world, "E-1", reference="T-1")
        assert (end(late), late.amount_millicredits) == ("reversed", 0)
        assert has(world, session) == (0, 0, 0, 0)
        assert used(session, world.accounts["C1"]) == []
        assert end(pay(world, "E-1", reference="T-1")) == "duplicate"
        assert end(pay(world, "E-1", reference="T-1", revision=1)) == "reversed"
        assert end(world.take_back("E-1", event_id="R-1")) == "reversed"
        assert end(world.take_back("E-1", event_id="R-1")) == "duplicate"
        assert end(pay(world, "E-2", reference="T-1")) == "credited"

    @pytest.mark.parametrize("is_first", [True, False], ids=["before it", "after it"])
    def test_in_one_delivery(self, world: World, session: Session, is_first: bool) -> None:  # noqa: FBT001 - a parameter of the test
        events = [
            world.event("non_cash_payment", payment("T-1"), event_id="E-1"),
            world.reversal("E-1", event_id="R-1"),
        ]
        order = events[::-1] if is_first else events
        taken = world.take(*order, source=SOURCES["non_cash_payment"])
        assert [end(receipt) for receipt in taken.receipts] == ["reversed", "reversed"]
        assert has(world, session) == (0, 0, 0, 0)
        again = world.take(*order, source=SOURCES["non_cash_payment"])
        assert [end(receipt) for receipt in again.receipts] == ["duplicate", "duplicate"]

    def test_an_event_whose_customer_agreed_later_is_not_credited_either(
        self, world: World, session: Session
    ) -> None:
        assert end(pay(world, "E-1", customer="C3")) == "no_consent"
        assert end(world.take_back("E-1", customer="C3")) == "awaiting_original"
        session.execute(
            text(
                "INSERT INTO consent SELECT :id, 99, source, action, covers_from, text_version, channel, recorded_at "
                "FROM consent WHERE account_id = :other AND source = 'payments'"
            ),
            {"id": world.accounts["C3"], "other": world.accounts["C1"]},
        )
        session.commit()
        assert end(pay(world, "E-1", customer="C3")) == "reversed"
        assert has(world, session, "C3") == (0, 0, 0, 0)


class TestStatus:
    @pytest.mark.parametrize("status", ["frozen", "closed"])
    def test_a_frozen_or_closed_account_gives_back_what_is_there(
        self, world: World, session: Session, status: str
    ) -> None:
        ride(world, "E-1")
        spend(world, 100_000)
        set_status(session, world, status)
        assert end(world.take_back("E-1", behaviour="bus_trip")) == "reversed"
        assert has(world, session) == (0, 0, 100_000, 0)

    def test_of_a_merged_account_the_surviving_one_pays(self, world: World, session: Session) -> None:
        ride(world, "E-1")
        ride(world, "E-2", customer="C2")
        merge(session, world, "C1", "C2")
        receipt = world.take_back("E-1", behaviour="bus_trip")
        assert (end(receipt), receipt.account_id) == ("reversed", world.accounts["C2"])
        assert has(world, session, "C2") == (RIDE_MG, 0, 0, RIDE_MG)
        assert has(world, session) == (0, 0, 0, 0)
        assert end(world.take_back("E-1", behaviour="bus_trip")) == "claimed_elsewhere"

    def test_what_had_been_spent_before_the_merge_is_due_after_it(
        self, world: World, session: Session
    ) -> None:
        ride(world, "E-1")
        spend(world, 100_000)
        merge(session, world, "C1", "C2")
        world.take_back("E-1", behaviour="bus_trip")
        assert has(world, session, "C2") == (0, 0, 100_000, 0)

    def test_a_pending_award_is_found_where_the_merge_brought_it(
        self, world: World, session: Session
    ) -> None:
        sold = next(r for r in shipped().rules if r.behaviour == "second_hand_sale").samples[0].attributes
        world.one("second_hand_sale", sold, event_id="E-1")
        merge(session, world, "C1", "C2")
        assert has(world, session, "C2")[1] > 0
        assert end(world.take_back("E-1", behaviour="second_hand_sale")) == "reversed"
        assert has(world, session, "C2") == (0, 0, 0, 0)

    def test_a_pending_award_that_went_and_came_back(self, world: World, session: Session) -> None:
        sold = next(r for r in shipped().rules if r.behaviour == "second_hand_sale").samples[0].attributes
        world.one("second_hand_sale", sold, event_id="E-1")
        unmerge(session, world, "C1", merge(session, world, "C1", "C2"))
        assert has(world, session)[1] > 0
        assert end(world.take_back("E-1", behaviour="second_hand_sale")) == "reversed"
        assert has(world, session) == (0, 0, 0, 0)
        assert used(session, world.accounts["C1"], "month")[0][1] == 0

    def test_a_pending_award_that_was_forfeited_makes_no_debt(self, world: World, session: Session) -> None:
        sold = next(r for r in shipped().rules if r.behaviour == "second_hand_sale").samples[0].attributes
        world.one("second_hand_sale", sold, event_id="E-1")
        with working(world) as (book, moment):
            flows.close(book, moment)
        assert end(world.take_back("E-1", behaviour="second_hand_sale")) == "reversed"
        assert has(world, session) == (0, 0, 0, 0)

    def test_while_the_value_is_on_its_way_the_sender_comes_again(
        self, world: World, session: Session
    ) -> None:
        ride(world, "E-1")
        merge(session, world, "C1", "C2", deliver=False)
        before = rows(session, "decision")
        with pytest.raises(Busy):
            world.take_back("E-1", behaviour="bus_trip", event_id="R-1")
        assert rows(session, "decision") == before
        deliver_all()
        assert end(world.take_back("E-1", behaviour="bus_trip", event_id="R-1")) == "reversed"
        assert has(world, session, "C2") == (0, 0, 0, 0)

    def test_after_a_merge_is_undone_the_account_itself_pays(self, world: World, session: Session) -> None:
        ride(world, "E-1")
        number = merge(session, world, "C1", "C2")
        unmerge(session, world, "C1", number)
        assert has(world, session) == (RIDE_MG, 0, 0, RIDE_MG)
        receipt = world.take_back("E-1", behaviour="bus_trip")
        assert (end(receipt), receipt.account_id) == ("reversed", world.accounts["C1"])
        assert has(world, session) == (0, 0, 0, 0)
