"""`flask ledger check`, `seal` and `verify-seal` as an operator runs them."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.core.db import transaction
from carbonpoints.ledger import posting
from tests.ledger.scenes import DAY, award, make_programme, moment_on, open_one


@pytest.fixture
def account_id(committed: Flask) -> int:
    with committed.app_context(), transaction() as session:
        book = open_one(session, make_programme(session))
        award(book, 10, reduction_mg=1)
        posting.write_books(session, [book])
        return book.account_id


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["ledger", *arguments])
    return result.exit_code, result.output


def test_clean_books_end_with_zero(committed: Flask, account_id: int) -> None:
    code, output = run(committed, "check")
    lines = output.splitlines()
    assert code == 0
    assert lines[0].split() == ["proof", "what", "it", "says", "rows", "differences"]
    assert len(lines) == 19
    assert {line.split()[-1] for line in lines[1:]} == {"0"}
    assert re.search(r"^balances +every balance is the sum of its entries +2 +0$", output, re.MULTILINE)


def test_a_difference_is_shown_and_ends_with_one_and_nothing_is_repaired(
    committed: Flask, account_id: int
) -> None:
    with committed.app_context(), transaction() as session:
        session.execute(text("UPDATE balance SET amount = 11 WHERE kind = 1"))
    for _ in range(2):
        code, output = run(committed, "check")
        assert code == 1
        assert f"    account {account_id}: unit 1 kind 1 lot 1: balance 11, entries 10\n" in output


def make_root(app: Flask, expected: str) -> str:
    """Seal, and return the root that was printed."""
    code, output = run(app, "seal")
    assert code == 0
    found = re.fullmatch(rf"Sealed batch {expected}\.\nRoot ([0-9a-f]{{64}})\n", output)
    assert found is not None
    return found[1]


def test_seal_and_verify(committed: Flask, account_id: int) -> None:
    booked_at = moment_on(DAY, 0).booked_at.isoformat()
    assert run(committed, "verify-seal") == (
        0,
        f"0 batches, 0 rows examined.\n4 rows are not sealed, the first booked at {booked_at}.\nNothing is sealed.\n",
    )
    root = make_root(committed, "1: 4 rows in 1 ranges")
    assert run(committed, "seal") == (0, "Nothing to seal.\n")
    assert run(committed, "verify-seal") == (0, f"1 batches, 4 rows examined.\nIntact. Root {root}\n")


def test_filed_roots_are_found_in_the_chain_or_end_with_one(committed: Flask, account_id: int) -> None:
    first = make_root(committed, "1: 4 rows in 1 ranges")
    with committed.app_context(), transaction() as session:
        book = posting.open_books(session, [account_id])[account_id]
        award(book, 5)
        posting.write_books(session, [book])
    second = make_root(committed, "2: 2 rows in 1 ranges")
    assert run(committed, "verify-seal", "--root", first.upper(), "--root", second) == (
        0,
        (
            "2 batches, 6 rows examined.\n"
            f"The root {first} was filed; batches after it: 1.\n"
            f"The root {second} was filed; batches after it: 0.\n"
            f"Intact. Root {second}\n"
        ),
    )
    code, output = run(committed, "verify-seal", "--root", "00" * 32)
    assert code == 1
    assert (
        f"    no batch has the filed root {'00' * 32}: the chain ends before it, or is another one\n"
        in output
    )
    assert "Intact" not in output
    code, output = run(committed, "verify-seal", "--root", first[:-1])
    assert code == 2
    assert "a root has 64 hexadecimal digits" in output


def test_a_changed_row_ends_with_one(committed: Flask, account_id: int) -> None:
    run(committed, "seal")
    with committed.app_context(), transaction() as session:
        session.execute(text("ALTER TABLE entry DISABLE TRIGGER entry_append_only"))
        session.execute(text("UPDATE entry SET amount = 11, lot_no = 1 WHERE unit_id = 1"))
    code, output = run(committed, "verify-seal")
    assert code == 1
    assert f"    account {account_id}: numbers 1 to 4 are not what was sealed\n" in output
