"""Clean books prove themselves; each proof finds the fault it is there for."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.db import raw_connection
from carbonpoints.ledger import flows, loading, posting
from carbonpoints.ledger.book import Book
from carbonpoints.ledger.proof import PARAMETERS, SIDES, Proof
from carbonpoints.ledger.proofs import PROOFS
from carbonpoints.ledger.reconcile import DIFFERENCES, SAMPLES, Finding, check
from carbonpoints.ledger.seal import seal
from carbonpoints.ledger.transfers import everything, transfer_in, transfer_out
from tests.ledger.scenes import DAY, DECEMBER, NOVEMBER, award, make_programme, moment_on, open_one, spend

APPEND_ONLY = ("decision", "entry", "sealed_range", "seal_batch")


@pytest.fixture
def books(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[Book]:
    """Three accounts in which everything has happened; the last one has sent the second what it had."""
    monkeypatch.setattr(posting, "SNAPSHOT_EVERY", 4)
    programme_id = make_programme(session)
    first, second, third = (open_one(session, programme_id) for _ in range(3))
    reversed_award = award(first, 100, reduction_mg=7)
    capture_seq = spend(first, 60)
    award(first, 50, DECEMBER)
    award(first, 9, DECEMBER, matures_on=NOVEMBER)
    posting.write_books(session, [first])
    found = loading.read_award(session, first, reversed_award)
    flows.reverse(first, moment_on(DAY), award=found, clawback_limit_millicredits=30)
    award(first, 20, DECEMBER)
    posting.write_books(session, [first])
    capture = loading.read_capture(session, first, capture_seq)
    late = moment_on(NOVEMBER + timedelta(days=1))
    flows.refund(first, late, capture=capture, amount_millicredits=40, grace_days=3)
    flows.hold(first, late, reference="order", amount_millicredits=5)
    posting.write_books(session, [first])
    award(third, 11, matures_on=DECEMBER)
    award(third, 12)
    parcels, transfer_id = everything(third), uuid.uuid4()
    transfer_out(
        third,
        moment_on(DAY),
        transfer_id=transfer_id,
        counterpart_account_id=second.account_id,
        parcels=parcels,
    )
    transfer_in(
        second,
        moment_on(DAY),
        transfer_id=transfer_id,
        counterpart_account_id=third.account_id,
        parcels=parcels,
    )
    posting.write_books(session, [second, third])
    session.flush()
    return [first, second, third]


def change(session: Session, *statements: str) -> None:
    for table in APPEND_ONLY:
        session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only"))
    for statement in statements:
        session.execute(text(statement))


def faults(session: Session) -> set[str]:
    return {finding.code for finding in check(session) if finding.differences}


def test_clean_books(session: Session, books: list[Book]) -> None:
    seal(session)
    findings = check(session)
    assert [finding for finding in findings if finding.differences or finding.samples] == []
    assert [finding.code for finding in findings] == [*(proof.code for proof in PROOFS), "budgets", "seals"]
    examined = {finding.code: finding.rows_examined for finding in findings}
    entries = session.scalar(text("SELECT count(*) FROM entry"))
    assert (examined["balances"], examined["lots"], examined["holds"]) == (entries, 5, 2)
    assert examined["seals"] == sum(book.last_seq for book in books)


def test_empty_books(session: Session) -> None:
    assert faults(session) == set()


FIRST = "account_id = (SELECT min(account_id) FROM account)"
THIRD = "account_id = (SELECT max(account_id) FROM account)"


@pytest.mark.parametrize(
    ("statement", "codes"),
    [
        # A balance that anybody set.
        (f"UPDATE balance SET amount = amount + 1 WHERE {FIRST} AND kind = 1 AND lot_no = 2", {"balances", "house"}),
        (f"UPDATE balance SET amount = amount + 1 WHERE {FIRST} AND kind = 3", {"balances", "house", "holds"}),
        (f"UPDATE balance SET amount = amount + 1 WHERE {THIRD} AND kind = 2", {"balances", "house", "pending"}),
        (f"UPDATE balance SET amount = amount + 1 WHERE {FIRST} AND kind = 4", {"balances", "house", "clawback"}),
        (f"DELETE FROM balance WHERE {FIRST} AND kind = 5", set()),
        (f"INSERT INTO balance SELECT account_id, 1, 1, 9, 5 FROM account WHERE {FIRST}", {"balances", "house"}),
        # Entries changed, removed, added.
        (f"UPDATE entry SET amount = amount + 1 WHERE {FIRST} AND flow = 4", {"balances", "awards", "house", "snapshots"}),
        (f"DELETE FROM entry WHERE {THIRD} AND account_seq = 3", {"numbering", "balances", "never_negative", "lots", "awards", "house", "snapshots"}),
        (f"UPDATE entry SET account_seq = 1, cause_seq = 0 WHERE {THIRD} AND account_seq = 3", {"numbering", "causes", "lots", "awards"}),
        (f"UPDATE entry SET cause_seq = 1 WHERE {THIRD} AND account_seq = 3", {"causes", "awards"}),
        (f"UPDATE entry SET booked_at = booked_at + interval '1 s' WHERE {THIRD} AND account_seq = 3", {"causes"}),
        (f"UPDATE entry SET business_date = business_date + 1 WHERE {THIRD} AND account_seq = 3", {"causes"}),
        (f"UPDATE entry SET lot_no = 0 WHERE {THIRD} AND account_seq = 3", {"balances", "never_negative", "lots", "snapshots"}),
        # Decisions.
        (f"UPDATE decision SET amount_millicredits = 13 WHERE {THIRD} AND account_seq = 2", {"awards"}),
        (f"UPDATE decision SET reduction_mg = 13 WHERE {THIRD} AND account_seq = 2", {"awards"}),
        (f"UPDATE decision SET kind = 9 WHERE {THIRD} AND account_seq = 2", {"awards"}),
        (f"UPDATE decision SET booked_at = booked_at - interval '9 h', received_at = booked_at WHERE {THIRD} AND account_seq = 6", {"times", "causes", "snapshots"}),
        (f"DELETE FROM decision WHERE {THIRD} AND account_seq = 1", {"numbering"}),
        (f"UPDATE account SET last_seq = last_seq + 1 WHERE {THIRD}", {"numbering"}),
        (f"UPDATE account SET last_booked_at = last_booked_at + interval '1 s' WHERE {THIRD}", {"numbering"}),
        # Lots.
        (f"UPDATE lot SET created_seq = created_seq + 1 WHERE {THIRD}", {"lots"}),
        (f"UPDATE lot SET unit_id = 2 WHERE {THIRD}", {"lots"}),
        (f"INSERT INTO lot SELECT account_id, 2, 1, NULL, '2030-01-31', 3 FROM account WHERE {THIRD}", {"lots"}),
        (f"UPDATE lot SET lot_no = 5 WHERE {THIRD}", {"lots"}),
        # Holds, refunds and pending awards.
        (f"UPDATE hold SET open_amount = open_amount - 1 WHERE {FIRST} AND open_amount > 0", {"holds"}),
        (f"UPDATE hold SET amount = amount + 1 WHERE {FIRST} AND open_amount = 0", {"holds"}),
        (f"DELETE FROM hold WHERE {FIRST} AND open_amount = 0", {"holds"}),
        (f"UPDATE entry SET amount = 70 WHERE {FIRST} AND flow = 51", {"refunds", "balances", "house", "snapshots"}),
        (f"UPDATE pending_award SET amount = amount + 1 WHERE {FIRST}", {"pending"}),
        (f"DELETE FROM pending_award WHERE {FIRST}", {"pending"}),
        # Snapshots.
        ("UPDATE balance_snapshot SET balances = '[[1, 1, 1, 5]]' WHERE account_seq = (SELECT max(account_seq) FROM balance_snapshot)", {"snapshots"}),
        ("UPDATE balance_snapshot SET booked_at = booked_at + interval '1 s'", {"snapshots"}),
        # Transfers.
        ("UPDATE transfer_leg SET parcels = '[]' WHERE direction = 'in'", {"transfers"}),
        ("DELETE FROM transfer_leg WHERE direction = 'out'", {"transfers"}),
        ("DELETE FROM transfer_leg WHERE direction = 'in'", {"transfers"}),
        ("UPDATE transfer_leg SET counterpart_account_id = 1 WHERE direction = 'in'", {"transfers"}),
    ],
)  # fmt: skip
def test_a_fault_is_found(session: Session, books: list[Book], statement: str, codes: set[str]) -> None:
    session.execute(text("UPDATE outbox_message SET delivered_at = now()"))
    change(session, statement)
    assert faults(session) == codes


def test_settlement_and_discharge_go_together(session: Session, books: list[Book]) -> None:
    change(session, "UPDATE entry SET amount = amount + 1 WHERE flow = 33")
    assert "clawback" in faults(session)


def test_what_is_carried_into_a_grace_comes_out(session: Session, books: list[Book]) -> None:
    change(session, "UPDATE entry SET amount = amount + 1 WHERE flow = 22 AND from_kind = 111")
    assert "house" in faults(session)


def test_what_is_on_its_way_has_its_message(session: Session, books: list[Book]) -> None:
    book = posting.open_books(session, [books[0].account_id])[books[0].account_id]
    late = moment_on(DECEMBER)
    loading.load_open_items(session, [book])
    transfer_out(
        book,
        late,
        transfer_id=uuid.uuid4(),
        counterpart_account_id=books[1].account_id,
        parcels=everything(book),
    )
    posting.write_books(session, [book])
    session.flush()
    assert faults(session) == set()
    session.execute(text("UPDATE outbox_message SET delivered_at = now()"))
    assert faults(session) == {"transfers"}


def test_a_broken_seal_is_a_fault(session: Session, books: list[Book]) -> None:
    seal(session)
    change(session, "UPDATE decision SET disposition = 5 WHERE account_seq = 2")
    assert faults(session) == {"seals"}


def test_all_differences_are_counted_and_a_few_shown(session: Session, books: list[Book]) -> None:
    change(session, "INSERT INTO balance SELECT 77, 1, 1, n, 5 FROM generate_series(1, 8) AS n")
    found = {finding.code: finding for finding in check(session)}["balances"]
    assert found == Finding(
        "balances",
        "every balance is the sum of its entries",
        found.rows_examined,
        8,
        tuple(
            f"account 77: unit 1 kind 1 lot {lot_no}: balance 5, entries 0"
            for lot_no in range(1, SAMPLES + 1)
        ),
    )


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.code)
def test_no_statistics_make_a_proof_compare_each_row_with_each(session: Session, proof: Proof) -> None:
    """After a load they are still those of empty tables. So the planner is made to see no other cost than that."""
    for way in ("hashjoin", "mergejoin", "seqscan"):
        session.execute(text(f"SET LOCAL enable_{way} = off"))
    query = DIFFERENCES.format(sides=SIDES, differences=proof.differences, samples=SAMPLES)
    plan = [line for (line,) in raw_connection(session).execute(f"EXPLAIN {query}", PARAMETERS)]
    assert [line for line in plan if "Join Filter" in line] == []
