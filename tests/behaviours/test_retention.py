"""What may not be kept goes on its day, page by page; what was decided stays, and still verifies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts import withdrawals
from carbonpoints.accounts.consents import give_consent, withdraw_consent
from carbonpoints.behaviours import retention, tasks
from carbonpoints.core import audit
from carbonpoints.core.auth import Caller, issue_demo_token
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.db import db
from carbonpoints.core.errors import NotFound
from carbonpoints.core.ids import NumberedId, account_public_id
from carbonpoints.core.roles import Role
from carbonpoints.ledger.reconcile import check
from carbonpoints.ledger.seal import seal
from tests.accounts.world import nothing_changes
from tests.behaviours.world import NOW, World, payment, rows

ISSUER = "https://bank.example/gansu"
TEXT_VERSION = "2026-01"
UNDECIDED_DAYS, PAYLOAD_DAYS = timedelta(days=90), timedelta(days=180)
AN_INSTANT = timedelta(microseconds=1)
RIDE = {"distance_km": "5", "fare_medium": "qr"}


def caller(session: Session, customer: str = "C1") -> Caller:
    bank_id = session.scalars(text("SELECT bank_id FROM bank WHERE code = 'gansu'")).one()
    return Caller(bank_id, ISSUER, customer, Role.CUSTOMER, frozenset(), customer, "zhangye", ())


def withdraw(session: Session, world: World, source: str, customer: str = "C1") -> None:
    withdraw_consent(
        caller=caller(session, customer), account_id=world.accounts[customer], source=source, channel="app"
    )


def give(session: Session, world: World, source: str) -> None:
    give_consent(
        caller=caller(session),
        account_id=world.accounts["C1"],
        source=source,
        text_version=TEXT_VERSION,
        channel="app",
    )


def pay(world: World, reference: str, **options: Any) -> int:
    """Report a payment and return its decision's number."""
    receipt = world.one("non_cash_payment", payment(reference), event_id=reference, **options)
    assert receipt.disposition.code == "credited"
    return receipt.account_seq


def ride(world: World, reference: str) -> int:
    """Report a bus trip and return its decision's number."""
    receipt = world.one("bus_trip", {**RIDE, "ticket_reference": reference}, event_id=reference)
    assert receipt.disposition.code == "credited"
    return receipt.account_seq


def kept(session: Session, world: World, customer: str = "C1") -> list[int]:
    """Numbers of the account's decisions whose inputs are there."""
    query = text("SELECT account_seq FROM event_payload WHERE account_id = :id ORDER BY account_seq")
    return list(session.scalars(query, {"id": world.accounts[customer]}))


def audited(session: Session) -> list[tuple[Any, ...]]:
    """Account, purpose and detail of each erasure."""
    query = text(
        "SELECT account_id, purpose, detail FROM audit_record WHERE action = 'payloads.erase' "
        "ORDER BY recorded_at, (detail ->> 'payloads')::int DESC"
    )
    return [tuple(row) for row in session.execute(query)]


def proven(session: Session) -> None:
    assert [finding for finding in check(session) if finding.differences] == []


def purge(session: Session, world: World) -> None:
    session.commit()  # A task has a session of its own, and what is still open here would take its work back.
    tasks.purge_undecided(world.programme_id)


def erase(session: Session) -> None:
    session.commit()  # As above.
    tasks.erase_withdrawn()


def test_what_was_not_decided_is_forgotten_after_its_retention(world: World, session: Session) -> None:
    world.one("non_cash_payment", payment("T-1"), customer="C3")
    with clock_at(NOW + timedelta(days=1)):
        world.one("non_cash_payment", payment("T-2"), customer="C3")
    with clock_at(NOW + UNDECIDED_DAYS), nothing_changes():
        purge(session, world)
    with clock_at(NOW + UNDECIDED_DAYS + AN_INSTANT):
        purge(session, world)
        received = session.scalars(text("SELECT received_at FROM identity_undecided")).all()
        assert received == [NOW + timedelta(days=1)]
        with nothing_changes():
            purge(session, world)


def test_a_redelivery_starts_the_retention_anew(world: World, session: Session) -> None:
    event = world.event("non_cash_payment", payment("T-1"), customer="C3")
    world.take(event)
    with clock_at(NOW + timedelta(days=80)):
        world.take(event)
    with clock_at(NOW + UNDECIDED_DAYS + AN_INSTANT), nothing_changes():
        purge(session, world)


def test_the_undecided_are_purged_page_by_page(
    world: World, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE_ROWS", 2)
    world.take(*[world.event("non_cash_payment", payment(f"T-{n}"), customer="C3") for n in range(3)])
    with clock_at(NOW + UNDECIDED_DAYS + AN_INSTANT):
        assert retention.purge_undecided(world.programme_id)
        assert rows(session, "identity_undecided") == 1
        assert not retention.purge_undecided(world.programme_id)
    assert rows(session, "identity_undecided") == 0


def test_another_programmes_undecided_are_left_alone(world: World, session: Session) -> None:
    world.one("non_cash_payment", payment("T-1"), customer="C3")
    moved = text(
        "WITH other AS (INSERT INTO programme (bank_id, code, name_en, name_zh, time_zone, currency) "
        "SELECT bank_id, 'other', 'Other', '另', 'UTC', 'CNY' FROM programme RETURNING programme_id) "
        "UPDATE event_source SET programme_id = other.programme_id FROM other"
    )
    session.execute(moved)
    session.commit()
    with clock_at(NOW + UNDECIDED_DAYS + AN_INSTANT), nothing_changes():
        purge(session, world)


def test_a_withdrawn_sources_inputs_go_after_its_retention(world: World, session: Session) -> None:
    paid, trip, paid_again = pay(world, "T-1"), ride(world, "R-1"), pay(world, "T-2")
    others = pay(world, "T-3", customer="C2")
    withdraw(session, world, "payments")
    assert seal(session) is not None
    session.commit()
    with clock_at(NOW + PAYLOAD_DAYS - AN_INSTANT), nothing_changes():
        erase(session)
    with clock_at(NOW + PAYLOAD_DAYS):
        assert kept(session, world) == [paid, trip, paid_again]
        erase(session)
        assert (kept(session, world), kept(session, world, "C2")) == ([trip], [others])
        with nothing_changes():
            erase(session)
    detail = {"payloads": 2, "consent_sources": ["payments"]}
    assert audited(session) == [(world.accounts["C1"], "consent_withdrawn", detail)]
    proven(session)


def test_only_the_inputs_go(world: World, session: Session) -> None:
    pay(world, "T-1")
    withdraw(session, world, "payments")
    tables = ("decision", "entry", "lot", "balance", "identity_event", "identity_claim", "usage", "consent")
    before = {table: session.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).all() for table in tables}
    with clock_at(NOW + PAYLOAD_DAYS):
        erase(session)
    assert rows(session, "event_payload") == 0
    assert before == {
        table: session.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).all() for table in tables
    }


def test_every_withdrawn_source_has_its_own_clock(world: World, session: Session) -> None:
    paid, trip = pay(world, "T-1"), ride(world, "R-1")
    withdraw(session, world, "trips")
    with clock_at(NOW + timedelta(days=1)):
        withdraw(session, world, "payments")
    with clock_at(NOW + PAYLOAD_DAYS):
        erase(session)
        assert kept(session, world) == [paid]
    with clock_at(NOW + PAYLOAD_DAYS + timedelta(days=1)):
        erase(session)
        assert kept(session, world) == []
    proven(session)
    assert trip != paid


def test_a_consent_given_again_covers_what_came_after_it(world: World, session: Session) -> None:
    pay(world, "T-1")
    withdraw(session, world, "payments")
    give(session, world, "payments")
    with clock_at(NOW + timedelta(days=1)):
        after = pay(world, "T-2", at=NOW + timedelta(days=1))
        withdraw(session, world, "payments")
    with clock_at(NOW + PAYLOAD_DAYS):
        erase(session)
        assert kept(session, world) == [after]
    with clock_at(NOW + PAYLOAD_DAYS + timedelta(days=1)):
        erase(session)
        assert kept(session, world) == []


def test_an_erasure_that_breaks_off_is_finished_by_the_next(
    world: World, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE_ROWS", 2)
    pay(world, "T-1")
    first_trip = ride(world, "R-1")
    paid = pay(world, "T-2")
    second_trip = ride(world, "R-2")
    withdraw(session, world, "payments")
    record = audit.record

    def dies_at_the_second(session: Session, **values: Any) -> None:
        if rows(session, "event_payload") == 2:
            raise KeyboardInterrupt
        record(session, **values)

    with clock_at(NOW + PAYLOAD_DAYS):
        monkeypatch.setattr(audit, "record", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            retention.erase_withdrawn(0)
        assert kept(session, world) == [first_trip, paid, second_trip]
        monkeypatch.setattr(audit, "record", record)
        erase(session)
        assert kept(session, world) == [first_trip, second_trip]
    assert [detail["payloads"] for _, _, detail in audited(session)] == [1, 1]


def test_holders_are_looked_at_window_by_window(
    world: World, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawals, "PAGE_HOLDERS", 1)
    for customer in ("C1", "C2"):
        pay(world, f"T-{customer}", customer=customer)
        withdraw(session, world, "payments", customer)
    with clock_at(NOW + PAYLOAD_DAYS):
        first, second, third = world.accounts.values()
        assert retention.erase_withdrawn(0) == first
        assert (kept(session, world, "C1"), len(kept(session, world, "C2"))) == ([], 1)
        assert retention.erase_withdrawn(first) == second
        assert (retention.erase_withdrawn(second), retention.erase_withdrawn(third)) == (third, None)
    assert rows(session, "event_payload") == 0


def test_an_erased_event_says_so_and_is_still_known(
    world: World, session: Session, client: FlaskClient, settings: Settings
) -> None:
    number = pay(world, "T-1")
    assert retention.erase_payloads(account_id=world.accounts["C1"], reason="request 17") == 1
    token = issue_demo_token(settings, issuer=ISSUER, subject="C1", role=Role.CUSTOMER)
    event_id = NumberedId("evt", world.accounts["C1"], number)
    answer = client.get(f"/v1/events/{event_id}", headers={"Authorization": f"Bearer {token}"}).json
    assert answer is not None
    assert (answer["inputs_state"], answer["inputs"]) == ("erased", None)
    assert (answer["disposition"], answer["amount_millicredits"]) == ("credited", 1000)
    again = world.one("non_cash_payment", payment("T-1"), event_id="T-1")
    assert (again.disposition.code, again.account_seq) == ("duplicate", number)
    other = world.one("non_cash_payment", payment("T-1", amount_minor=1), event_id="T-1")
    assert other.disposition.code == "conflict"


def test_an_account_is_erased_page_by_page_and_audited(
    world: World, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE_ROWS", 2)
    for reference in ("T-1", "T-2"):
        pay(world, reference)
    ride(world, "R-1")
    others = pay(world, "T-3", customer="C2")
    assert seal(session) is not None
    session.commit()
    assert retention.erase_payloads(account_id=world.accounts["C1"], reason="request 17") == 3
    assert (kept(session, world), kept(session, world, "C2")) == ([], [others])
    assert audited(session) == [
        (world.accounts["C1"], "request 17", {"payloads": 2}),
        (world.accounts["C1"], "request 17", {"payloads": 1}),
    ]
    proven(session)


def test_nobodys_inputs_cannot_be_erased(world: World) -> None:
    with nothing_changes(), pytest.raises(NotFound):
        retention.erase_payloads(account_id=999, reason="request 17")


def test_the_command_erases_an_account_and_says_how_much(
    committed: Flask, make_world: Callable[[], World]
) -> None:
    with committed.app_context(), clock_at(NOW):
        world = make_world()
        pay(world, "T-1")
        db.session.rollback()
        account = account_public_id(world.accounts["C1"])
        run = committed.test_cli_runner().invoke
        erase = ["data", "erase-payloads", account, "--reason", "request 17"]
        first, second = run(args=erase), run(args=erase)
        assert (first.exit_code, first.output) == (0, "1 payloads erased\n")
        assert (second.exit_code, second.output) == (0, "0 payloads erased\n")
        nobody = run(args=["data", "erase-payloads", "acct_999", "--reason", "request 17"])
        assert (nobody.exit_code, nobody.output) == (1, "Error: there is no account acct_999\n")
        assert run(args=["data", "erase-payloads", account]).exit_code == 2
        assert [detail for _, _, detail in audited(db.session())] == [{"payloads": 1}, {"payloads": 0}]
        proven(db.session())
