"""What the database refuses by itself, whoever writes."""

from __future__ import annotations

import re

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.db import raw_connection
from carbonpoints.ledger import posting
from carbonpoints.ledger.book import Book
from carbonpoints.ledger.chart import (
    FIRST_HOUSE_KIND,
    MOVEMENTS,
    SCALES,
    Flow,
    Kind,
    Unit,
    allowed_movements_sql,
    movement_code,
)
from carbonpoints.ledger.seal import seal
from tests.ledger.scenes import NOVEMBER, award, make_programme, open_one

ENTRY = """
INSERT INTO entry (account_id, account_seq, occurred_at, booked_at, amount, cause_seq, business_date, lot_no, unit_id,
    flow, from_kind, to_kind)
VALUES (%(account_id)s, %(account_seq)s, now(), now(), %(amount)s, %(cause_seq)s, now(), 1, %(unit_id)s, %(flow)s,
    %(from_kind)s, %(to_kind)s)
"""
GOOD = {
    "account_seq": 10,
    "amount": 1,
    "cause_seq": 9,
    "unit_id": Unit.CREDIT,
    "flow": Flow.EARN,
    "from_kind": Kind.ISSUED,
    "to_kind": Kind.AVAILABLE,
}


@pytest.fixture
def book(session: Session) -> Book:
    opened = open_one(session, make_programme(session))
    award(opened, 10)
    posting.write_books(session, [opened])
    return opened


def refused(session: Session, statement: str, parameters: dict[str, object], constraint: str) -> None:
    connection = raw_connection(session)
    with pytest.raises(psycopg.errors.IntegrityError) as caught, connection.transaction():
        connection.execute(statement, parameters)
    assert caught.value.diag.constraint_name == constraint


@pytest.mark.parametrize("table", ["decision", "entry", "seal_batch", "sealed_range"])
@pytest.mark.parametrize(
    "statement", ["DELETE FROM {}", "TRUNCATE {} CASCADE", "UPDATE {} SET account_id = account_id"]
)
def test_the_journal_and_its_seals_are_append_only(
    session: Session, book: Book, table: str, statement: str
) -> None:
    seal(session)
    if table == "seal_batch":
        statement = statement.replace("account_id", "range_count")
    connection = raw_connection(session)
    with (
        pytest.raises(psycopg.errors.RestrictViolation, match=f"{table} is append-only"),
        connection.transaction(),
    ):
        connection.execute(statement.format(table))
    assert session.scalar(text(f"SELECT count(*) > 0 FROM {table}"))


def test_the_database_has_the_chart(session: Session) -> None:
    stored = session.scalar(
        text(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_entry_allowed_movement'"
        )
    )
    codes = {int(code) for code in re.findall(r"\d{6,}", stored)}
    assert codes == {movement_code(*movement) for movement in MOVEMENTS}
    assert codes == {int(code) for code in re.findall(r"\d{6,}", allowed_movements_sql())}
    assert dict(session.execute(text("SELECT unit_id, scale FROM unit")).all()) == SCALES


def test_every_movement_of_the_chart_and_no_other_is_taken(session: Session, book: Book) -> None:
    connection = raw_connection(session)
    taken = set()
    candidates = [
        (flow, Unit.CREDIT, from_kind, to_kind)
        for flow in (Flow.REVERSE, Flow.TRANSFER_OUT)
        for from_kind in Kind
        for to_kind in Kind
    ]
    for number, (flow, unit, from_kind, to_kind) in enumerate(candidates, start=100):
        values = {"account_seq": number, "flow": flow, "unit_id": unit, "from_kind": from_kind}
        try:
            with connection.transaction():
                connection.execute(ENTRY, GOOD | values | {"account_id": book.account_id, "to_kind": to_kind})
            taken.add((flow, unit, from_kind, to_kind))
        except psycopg.errors.CheckViolation:
            continue
    assert taken == MOVEMENTS & set(candidates)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"amount": 0}, "ck_entry_amount_positive"),
        ({"amount": -1}, "ck_entry_amount_positive"),
        ({"cause_seq": 10}, "ck_entry_cause_before"),
        ({"cause_seq": 11}, "ck_entry_cause_before"),
        ({"from_kind": Kind.AVAILABLE}, "ck_entry_allowed_movement"),
        ({"flow": Flow.REFUND}, "ck_entry_allowed_movement"),
        ({"unit_id": Unit.CNY_FEN}, "ck_entry_allowed_movement"),
        ({"account_seq": 3, "cause_seq": 2}, "pk_entry"),
    ],
)
def test_a_wrong_entry(session: Session, book: Book, values: dict[str, object], constraint: str) -> None:
    refused(session, ENTRY, GOOD | values | {"account_id": book.account_id}, constraint)


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE balance SET amount = -1", "ck_balance_not_negative"),
        ("UPDATE account SET last_seq = -1", "ck_account_last_seq"),
        ("UPDATE account SET status = 'lost'", "ck_account_status"),
        ("UPDATE account SET holder_kind = 'robot'", "ck_account_holder_kind"),
        (
            "INSERT INTO lot SELECT account_id, 2, unit_id, batch, expires_on, 9 FROM lot",
            "uq_lot_identity",
        ),
        (
            "INSERT INTO lot SELECT account_id, 0, unit_id, 'b', expires_on, 9 FROM lot",
            "ck_lot_lot_no",
        ),
        (
            "INSERT INTO hold SELECT account_id, 9, 1, 0, 0, 'r', now() FROM account",
            "ck_hold_amount_positive",
        ),
        (
            "INSERT INTO hold SELECT account_id, 9, 1, 5, 6, 'r', now() FROM account",
            "ck_hold_open_amount",
        ),
        (
            "INSERT INTO hold SELECT account_id, n, 1, 5, 5, 'r', now() FROM account, generate_series(8, 9) AS n",
            "uq_hold_account_id_reference",
        ),
        (
            "INSERT INTO pending_award SELECT account_id, 9, 1, 1, 0, now() FROM account",
            "ck_pending_award_amount_positive",
        ),
        (
            "INSERT INTO sealed_range SELECT account_id, 5, 4, 1, '' FROM account",
            "ck_sealed_range_range",
        ),
    ],
)
def test_a_wrong_row(session: Session, book: Book, statement: str, constraint: str) -> None:
    refused(session, statement, {}, constraint)


def test_one_event_revision_is_decided_once(session: Session, book: Book) -> None:
    award(book, 10, NOVEMBER, event_hash=b"e" * 16)
    award(book, 10, NOVEMBER, event_hash=b"e" * 16)
    connection = raw_connection(session)
    with pytest.raises(psycopg.errors.UniqueViolation) as caught, connection.transaction():
        posting.write_books(session, [book])
    assert caught.value.diag.constraint_name == "uq_decision_account_id_event_hash_revision"


def test_bounded_kinds_are_numbered_below_the_houses() -> None:
    assert {kind.name for kind in Kind if kind < FIRST_HOUSE_KIND} == {
        "AVAILABLE",
        "PENDING",
        "HELD",
        "CLAWBACK_DUE",
        "REDUCTION",
    }
