"""`flask feed` on the command line."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import text

from carbonpoints import behaviours
from carbonpoints.behaviours import trial_load
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import db
from carbonpoints.samples.bank_statements import SHIPPED_FILE
from tests.feeds.conftest import NOW, FedProgramme
from tests.feeds.makers import rows
from tests.feeds.shipped import PLAIN

Run = Callable[..., Result]
MIXED = b"T0,6220,2024-05-01,1,,5411\nT1,6220,2024-05-01,x,,5411\nT2,6220,2024-05-01,1,,skip\n"


@pytest.fixture
def run(committed: Flask, feed_programme: Callable[[], FedProgramme]) -> Iterator[Run]:
    """Run a command on a programme of this test's own; it waits for no worker."""
    with committed.app_context(), clock_at(NOW):
        feed_programme()
        db.session.rollback()
        runner = committed.test_cli_runner()
        yield lambda *arguments: runner.invoke(args=["feed", *map(str, arguments)])


@pytest.fixture
def day(tmp_path: Path) -> Path:
    path = tmp_path / "day.csv"
    path.write_bytes(MIXED)
    return path


def job_of(result: Result) -> str:
    word, job_id = result.output.splitlines()[0].split()
    assert word == "job"
    return str(uuid.UUID(job_id))


def test_a_file_is_loaded_and_accounted_for(run: Run, day: Path) -> None:
    loaded = run("load", "plain", day, "--inline")
    assert loaded.exit_code == 0, loaded.output
    table = [
        "plain day.csv: done",
        "           1  credited",
        "           1  filtered",
        "           1  refused",
        "           3  in all",
    ]
    assert loaded.output.splitlines()[-5:] == table
    assert run("status", job_of(loaded)).output.splitlines() == table
    assert (
        run("refused", job_of(loaded)).output == "2\tamount\tnot_a_number\tExpected a number such as 12.50.\n"
    )


def test_tables_are_named(run: Run, day: Path, tmp_path: Path) -> None:
    table = tmp_path / "payees.csv"
    table.write_bytes(b"5411,aa01\n")
    assert run("load", "tabled", day, "--inline", "--table", f"payees={table}").exit_code == 0
    missing = run("load", "tabled", day, "--inline")
    assert (missing.exit_code, "payees: The profile looks things up in this table." in missing.output) == (
        1,
        True,
    )
    for wrong in ("payees", f"payees={tmp_path / 'none.csv'}"):
        assert "is no NAME=FILE of a file that exists" in run("load", "tabled", day, "--table", wrong).output


def test_a_failed_file_ends_with_its_reason(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b'T0,"6220\n')
    failed = run("load", "plain", broken, "--inline")
    assert failed.exit_code == 1
    assert failed.output.splitlines()[-3:] == [
        "plain broken.csv: failed",
        "unclosed_quote: line 1: The quote in this line is not closed.",
        "           0  in all",
    ]


def test_unknown_names_are_one_line(run: Run, day: Path) -> None:
    assert run("load", "nothing", day).output == "Error: There is no such feed profile.\n"
    assert run("status", uuid.uuid4()).output == "Error: There is no such feed job for you.\n"
    assert (
        "no such profile: nothing; there are camt053_statements, czech_bank_1993, sample_bank_day"
        in run("import-profiles", "nothing", "--maker", "a", "--checker", "b").output
    )


def test_profiles_are_imported_once(run: Run) -> None:
    people = ("--maker", "a", "--checker", "b")
    again = run("import-profiles", "sample_bank_day", *people)
    assert (again.exit_code, again.output) == (0, "in force now: 0; unchanged: 1\n")
    assert (
        "not registered: urn:pkdd99:transactions-1993"
        in run("import-profiles", "czech_bank_1993", *people).output
    )


def test_the_business_date_holds_meanwhile(run: Run, day: Path) -> None:
    loaded = run("load", "plain", day, "--inline", "--business-date", "2024-05-20")
    assert loaded.exit_code == 0, loaded.output
    booked = db.session.scalars(text("SELECT booked_at FROM decision WHERE event_hash IS NOT NULL")).all()
    assert booked == [datetime(2024, 5, 20, 4, tzinfo=UTC)]
    assert db.session.scalars(text("SELECT count(*) FROM test_clock")).one() == 0


def test_a_profile_is_tried_without_a_trace(run: Run, day: Path, tmp_path: Path) -> None:
    used, table = tmp_path / "drafted.yaml", tmp_path / "payees.csv"
    used.write_text(PLAIN.replace("code: plain", "code: drafted"), encoding="utf-8")
    table.write_bytes(b"5411,aa01\n")
    before = rows(db.session())
    tried = run("trial", used, day, "--table", f"payees={table}")
    assert tried.exit_code == 0, tried.output
    *lines, event = tried.output.splitlines()
    assert lines == [
        "drafted day.csv: warning",
        "           1  events",
        "           1  filtered",
        "           1  refused",
        "           3  in all",
        "           1  refused: amount not_a_number",
        "2\tamount\tnot_a_number\tExpected a number such as 12.50.",
    ]
    assert (json.loads(event)["id"], json.loads(event)["data"]["payee_hash"]) == ("T0", "aa01")
    missing = run("trial", used, day)
    assert (missing.exit_code, "payees: The profile looks things up in this table." in missing.output) == (
        1,
        True,
    )
    assert rows(db.session()) == before


def test_a_trial_that_fails_says_why(
    run: Run, day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = tmp_path / "drafted.yaml"

    def tried(text: str, file: Path = day) -> list[str]:
        used.write_text(text, encoding="utf-8")
        failed = run("trial", used, file)
        assert failed.exit_code == 1
        return failed.output.splitlines()

    bare = PLAIN[: PLAIN.index("  tables:")].replace('coalesce(lookup("payees", note), "nobody")', '"nobody"')
    strict = bare.replace("on_bad: line", "on_bad: file")
    assert tried(strict)[:2] == ["plain day.csv: failed", "bad_lines: 1 bad lines; this feed takes none."]
    assert tried(bare.replace("non_cash_payment", "swimming")) == [
        "Error: plain:0: behaviour: swimming is no behaviour type"
    ]
    assert tried(bare.replace("delimiter:", "limiter:"))[0].startswith("Error: drafted.yaml:")
    used.write_bytes(b"\xff")
    assert f"Error: {used} cannot be read" in run("trial", used, day).output
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b'T0,"6220\n')
    assert tried(bare, broken)[:2] == [
        "plain broken.csv: failed",
        "unclosed_quote: line 1: The quote in this line is not closed.",
    ]
    monkeypatch.setattr(trial_load, "RECORDS_MAX", 2)
    used.write_text(bare, encoding="utf-8")
    assert "only the first 2 records were tried" in run("trial", used, day).output.splitlines()


def test_a_message_is_tried(run: Run) -> None:
    used = Path(behaviours.__file__).parent / "feeds" / "camt053_statements.yaml"
    tried = run("trial", used, SHIPPED_FILE)
    assert tried.exit_code == 0, tried.output
    assert tried.output.splitlines()[:5] == [
        "camt053_statements statements.xml: warning",
        "          28  events",
        "           3  refused",
        "           2  filtered",
        "          33  in all",
    ]
