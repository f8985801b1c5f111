"""The two steps of the intake, broken off between them, overtaken, and done again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.consents import withdraw_consent
from carbonpoints.behaviours.candidates import Candidate, Delivery
from carbonpoints.behaviours.intake import place, prepare
from carbonpoints.behaviours.services import decide_placed, open_delivery
from carbonpoints.behaviours.staged import StagedEvent
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import transaction
from carbonpoints.core.roles import Role
from carbonpoints.rules.catalogue import load_catalogue
from tests.behaviours.api import ISSUER
from tests.behaviours.world import NOW, SOURCES, World, payment, rows

Placed = tuple[Delivery, list[Candidate]]


def placed(world: World, *events: StagedEvent) -> Placed:
    """Take the first step alone, as a process that dies after it."""
    with transaction() as session:
        delivery = open_delivery(
            session,
            programme_id=world.programme_id,
            source_uri=SOURCES[events[0].behaviour],
            received_at=NOW,
        )
        candidates = prepare(delivery, load_catalogue(session, world.programme_id), events)
        place(session, delivery, candidates)
    return delivery, candidates


def decided(step: Placed) -> list[str]:
    receipts, _ = decide_placed(*step, finish=lambda _session, _receipts: None)
    return [receipt.disposition.code for receipt in receipts]


def paid(world: World, event_id: str, reference: str, **options: Any) -> StagedEvent:
    return world.event("non_cash_payment", payment(reference), event_id=event_id, **options)


def ends(world: World, *events: StagedEvent) -> list[str]:
    return [receipt.disposition.code for receipt in world.take(*events).receipts]


def withdraw(session: Session, world: World, customer: str) -> None:
    bank_id = session.scalars(text("SELECT bank_id FROM bank")).one()
    caller = Caller(bank_id, ISSUER, customer, Role.CUSTOMER, frozenset(), customer, "zhangye", ())
    withdraw_consent(caller=caller, account_id=world.accounts[customer], source="payments", channel="app")


def test_an_event_whose_process_died_is_decided_when_it_comes_again(world: World, session: Session) -> None:
    event = paid(world, "E-1", "T-1")
    placed(world, event)
    assert rows(session, "identity_event") == rows(session, "identity_claim") == 1
    assert rows(session, "event_payload") == 0
    assert ends(world, event) == ["credited"]
    assert ends(world, event) == ["duplicate"]


def test_an_identity_that_comes_twice_with_two_acts_claims_the_first_only(world: World) -> None:
    assert ends(world, paid(world, "E-1", "T-1"), paid(world, "E-1", "T-2")) == ["credited", "conflict"]
    assert ends(world, paid(world, "E-2", "T-2")) == ["credited"]
    assert ends(world, paid(world, "E-3", "T-1")) == ["claimed_elsewhere"]


def test_the_second_act_of_an_identity_earns_nothing_when_the_first_stays_undecided(
    world: World, session: Session
) -> None:
    step = placed(world, paid(world, "E-1", "T-1"), paid(world, "E-1", "T-2"))
    first, second = step[1]
    assert (first.is_claimed_elsewhere, second.is_claimed_elsewhere) == (False, True)
    assert rows(session, "identity_claim") == 1


def test_an_act_stays_with_the_undecided_event_that_claimed_it_first(world: World) -> None:
    first, second = paid(world, "E-1", "T-1"), paid(world, "E-2", "T-1")
    placed(world, first)
    assert ends(world, second) == ["claimed_elsewhere"]
    assert ends(world, first) == ["credited"]


def test_an_event_decided_in_between_is_a_duplicate_and_the_others_of_its_delivery_go_on(
    world: World, session: Session
) -> None:
    overtaken, stopped, good = (
        paid(world, "E-1", "T-1"),
        paid(world, "E-2", "T-2", customer="C2"),
        paid(world, "E-3", "T-3"),
    )
    step = placed(world, stopped, overtaken, good)
    assert ends(world, overtaken) == ["credited"]
    withdraw(session, world, "C2")
    # The first attempt finds the identity decided and is rolled back whole; the second must do all of it.
    assert decided(step) == ["no_consent", "duplicate", "credited"]
    remembered = session.scalars(text("SELECT account_id FROM identity_undecided")).all()
    assert remembered == [world.accounts["C2"]]
    claims = session.scalars(text("SELECT account_id FROM identity_claim")).all()
    assert claims == [world.accounts["C1"]] * 2


def test_deciding_the_same_step_twice_changes_nothing(world: World, session: Session) -> None:
    step = placed(world, paid(world, "E-1", "T-1"), paid(world, "E-2", "T-2"))
    assert decided(step) == ["credited", "credited"]
    before = rows(session, "decision"), rows(session, "entry")
    assert decided(step) == ["duplicate", "duplicate"]
    assert (rows(session, "decision"), rows(session, "entry")) == before


def moved_to(session: Session, world: World, *, status: str) -> None:
    """Let the first customer's number name the second's account, and give the first account a status."""
    ids = {"new": world.accounts["C2"], "old": world.accounts["C1"]}
    session.execute(text("UPDATE identity_holder SET account_id = :new WHERE account_id = :old"), ids)
    session.execute(
        text("UPDATE account SET status = :status WHERE account_id = :old"), {**ids, "status": status}
    )
    session.commit()


def test_an_undecided_event_of_an_account_that_was_merged_goes_to_the_account_it_was_merged_into(
    world: World, session: Session
) -> None:
    event = paid(world, "E-1", "T-1")
    placed(world, event)
    moved_to(session, world, status="merged")
    (receipt,) = world.take(event).receipts
    assert (receipt.disposition.code, receipt.account_id) == ("credited", world.accounts["C2"])
    (again,) = world.take(event).receipts
    assert (again.disposition.code, again.account_seq) == ("duplicate", receipt.account_seq)
    assert rows(session, "event_payload") == 1


def test_an_undecided_event_of_an_account_that_still_decides_is_no_other_accounts(
    world: World, session: Session
) -> None:
    event = paid(world, "E-1", "T-1")
    placed(world, event)
    moved_to(session, world, status="open")
    before = rows(session, "decision")
    assert ends(world, event) == ["conflict"]
    assert rows(session, "decision") == before


def test_an_act_is_given_to_whoever_bore_the_number_when_it_happened(world: World, session: Session) -> None:
    """The number of the first customer is the second's since yesterday."""
    yesterday, before = NOW - timedelta(days=1), NOW - timedelta(days=10)
    first, second = world.accounts["C1"], world.accounts["C2"]
    ended = session.execute(
        text(
            "UPDATE identity_holder SET valid_from = :before, valid = tstzrange(:before, :yesterday) "
            "WHERE account_id = :first RETURNING identity_hash"
        ),
        {"before": before, "yesterday": yesterday, "first": first},
    )
    session.execute(
        text(
            "INSERT INTO identity_holder VALUES (:number, :yesterday, tstzrange(:yesterday, NULL), :second)"
        ),
        {"number": ended.scalar_one(), "yesterday": yesterday, "second": second},
    )
    session.commit()
    times = [NOW, yesterday, yesterday - timedelta(seconds=1), before - timedelta(days=10)]
    taken = world.take(*(paid(world, f"E-{no}", f"T-{no}", at=at) for no, at in enumerate(times)))
    assert [receipt.disposition.code for receipt in taken.receipts] == ["credited"] * 4
    assert [receipt.account_id for receipt in taken.receipts] == [second, second, first, first]
