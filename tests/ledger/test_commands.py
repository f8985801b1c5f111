"""`flask ledger check`, `seal` and `verify-seal` as an operator runs them."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.core.db import transaction
from carbonpoints.ledger import posting
from tests.ledger.scenes import award, make_programme, open_one


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
    assert len(lines) == 16
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


def test_seal_and_verify(committed: Flask, account_id: int) -> None:
    assert run(committed, "verify-seal")[0] == 0
    code, output = run(committed, "seal")
    assert code == 0
    found = re.fullmatch(r"Sealed batch 1: 4 rows in 1 ranges\.\nRoot ([0-9a-f]{64})\n", output)
    assert found is not None
    root = found[1]
    assert run(committed, "seal") == (0, "Nothing to seal.\n")
    assert run(committed, "verify-seal") == (0, f"1 batches, 4 rows examined.\nIntact. Root {root}\n")
    assert run(committed, "verify-seal", "--root", root.upper())[0] == 0
    code, output = run(committed, "verify-seal", "--root", "00")
    assert code == 1
    assert f"the last root is {root}, not the one given" in output


def test_a_changed_row_ends_with_one(committed: Flask, account_id: int) -> None:
    run(committed, "seal")
    with committed.app_context(), transaction() as session:
        session.execute(text("ALTER TABLE entry DISABLE TRIGGER entry_append_only"))
        session.execute(text("UPDATE entry SET amount = 11, lot_no = 1 WHERE unit_id = 1"))
    code, output = run(committed, "verify-seal")
    assert code == 1
    assert f"    account {account_id}: numbers 1 to 4 are not what was sealed\n" in output
