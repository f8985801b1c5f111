"""`flask catalogue write-factors`, `write-samples` and `read-workbook`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from openpyxl import load_workbook
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.approvals.drafts import read_draft
from carbonpoints.approvals.steps import find_change
from tests.rules.catalogue_files import (
    behaviour,
    confirm,
    factor,
    read,
    rule,
    seed_empty,
    ship,
    tram_files,
    write,
)

Run = Callable[..., Result]
FRACTION = "a fraction in a number cell is not exact: format the cell as text and write it again"


@pytest.fixture
def programme_id(session: Session, tmp_path: Path) -> int:
    """A programme with the small catalogue and a factor that no rule uses."""
    programme_id = seed_empty()
    ship(programme_id, read(tram_files(tmp_path / "a", other=factor("7", code="ZED"))))
    return programme_id


@pytest.fixture
def run(app: Flask, programme_id: int) -> Run:
    return lambda *arguments: app.test_cli_runner().invoke(args=["catalogue", *map(str, arguments)])


@pytest.fixture
def factors(run: Run, tmp_path: Path) -> Path:
    file = tmp_path / "factors.xlsx"
    written = run("write-factors", file)
    assert (written.exit_code, written.output) == (0, "")
    return file


@pytest.fixture
def samples(run: Run, tmp_path: Path) -> Path:
    file = tmp_path / "samples.xlsx"
    written = run("write-samples", "tram_trip", file)
    assert (written.exit_code, written.output) == (0, "")
    return file


def put(file: Path, sheet: str, **cells: object) -> Path:
    """Write cells of a workbook, as in a spreadsheet."""
    workbook: Any = load_workbook(file)
    for reference, value in cells.items():
        workbook[sheet][reference] = value
    workbook.save(file)
    return file


def stored(session: Session) -> tuple[int, int]:
    query = "SELECT (SELECT count(*) FROM version), (SELECT count(*) FROM change_request)"
    versions, changes = session.execute(text(query)).one()
    return versions, changes


def test_a_changed_factor_becomes_a_draft_that_another_person_decides_on(
    run: Run, factors: Path, session: Session, programme_id: int
) -> None:
    put(factors, "factors", D3="8.25")
    read_back = run("read-workbook", factors, "--maker", "lin", "--reason", "The report of 2024")
    change = find_change(session, programme_id, last_change(session))
    assert (read_back.exit_code, read_back.output.splitlines()) == (
        0,
        [
            f"1 changed: draft {change.change_request_id} waits for another person",
            "  factor ZED",
            '    value: "7" -> "8.25"',
        ],
    )
    assert (change.state, change.maker_person, change.reason) == ("draft", "lin", "The report of 2024")
    confirm(programme_id, change.change_request_id)
    run("write-factors", factors)
    assert load_workbook(factors)["factors"]["D3"].value == "8.25"


def last_change(session: Session) -> int:
    return int(session.scalar(text("SELECT max(change_request_id) FROM change_request")) or 0)


def test_added_samples_become_a_draft(run: Run, samples: Path, session: Session, programme_id: int) -> None:
    put(samples, "samples", A3="T2", B3="0.5", C3="10000", D3="10000")
    read_back = run("read-workbook", samples, "--maker", "lin")
    assert read_back.exit_code == 0, read_back.output
    (change,) = read_draft(session, find_change(session, programme_id, last_change(session))).changes
    assert [item.field for item in change.fields] == ["samples.1"]
    before = stored(session)
    assert run("read-workbook", samples, "--maker", "lin").output == read_back.output
    assert stored(session) == before


def test_what_comes_back_as_it_went_makes_no_draft(
    run: Run, factors: Path, samples: Path, session: Session
) -> None:
    before = stored(session)
    for file in (factors, samples):
        read_back = run("read-workbook", file, "--maker", "lin")
        assert (read_back.exit_code, read_back.output) == (0, "nothing differs from what is in force\n")
    assert stored(session) == before


def test_what_is_wrong_is_printed_with_sheet_and_cell_and_nothing_is_stored(
    run: Run, factors: Path, samples: Path, session: Session
) -> None:
    before = stored(session)
    put(factors, "factors", D3=7.5, E2="g/furlong")
    put(samples, "samples", A3="T2", B3="half", C3="1", D3="1")
    wrong = run("read-workbook", factors, "--maker", "lin")
    assert (wrong.exit_code, wrong.output.splitlines()) == (
        1,
        [
            f"factors!D3: error cell_type: {FRACTION}",
            "nothing was stored",
        ],
    )
    put(factors, "factors", D3="7.5")
    assert run("read-workbook", factors, "--maker", "lin").output.splitlines() == [
        "factors!E2: error invalid: unit: 'furlong' is no unit that is known here",
        "nothing was stored",
    ]
    wrong = run("read-workbook", samples, "--maker", "lin")
    assert wrong.exit_code == 1
    assert wrong.output.startswith("samples!B3: error sample_inputs: samples.1.attributes.distance_km: ")
    assert stored(session) == before


ALWAYS_TRUE = """  eligibility:
  - when: "1 < 2"
    code: always
    text_en: Never.
    text_zh: 从不。
"""


def test_a_warning_is_printed_and_stands_in_the_way_of_no_draft(
    run: Run, session: Session, programme_id: int, tmp_path: Path
) -> None:
    train = rule(code="train_trip", behaviour="train_trip") + ALWAYS_TRUE
    ship(programme_id, read(write(tmp_path / "b", behaviour=behaviour(code="train_trip"), rule=train)))
    run("write-samples", "train_trip", tmp_path / "samples.xlsx")
    put(tmp_path / "samples.xlsx", "samples", A3="T2", B3="0.5", C3="10000", D3="10000")
    read_back = run("read-workbook", tmp_path / "samples.xlsx", "--maker", "lin")
    first, second, *_ = read_back.output.splitlines()
    assert (read_back.exit_code, first) == (
        0,
        "warning always_true: eligibility.0.when: column 1: this is always true",
    )
    assert second == f"1 changed: draft {last_change(session)} waits for another person"


def test_what_cannot_be_written_or_read_ends_with_a_sentence(
    run: Run, tmp_path: Path, session: Session
) -> None:
    before = stored(session)
    unknown = run("write-samples", "train_trip", tmp_path / "none.xlsx")
    assert (unknown.exit_code, unknown.output) == (1, "Error: There is nothing here for you.\n")
    assert not (tmp_path / "none.xlsx").exists()
    (tmp_path / "bad.xlsx").write_bytes(b"code,value")
    bad = run("read-workbook", tmp_path / "bad.xlsx", "--maker", "lin")
    assert (bad.exit_code, bad.output) == (
        1,
        "Error: The request has a wrong field.\nThis is no XLSX file that can be read.\n",
    )
    nowhere = run("write-factors", tmp_path / "none.xlsx", "--bank", "none")
    assert (nowhere.exit_code, nowhere.output) == (1, "Error: Name the bank and the programme.\n")
    assert stored(session) == before


def test_samples_of_a_version_that_was_replaced_are_not_taken(
    run: Run, samples: Path, session: Session, programme_id: int, tmp_path: Path
) -> None:
    write(tmp_path / "b", rule=rule(basis="New"))
    run("import", tmp_path / "b", "--maker", "lin")
    confirm(programme_id, last_change(session))
    before = stored(session)
    outdated = run("read-workbook", samples, "--maker", "lin")
    assert outdated.exit_code == 1
    assert outdated.output.startswith("rule!B2: error outdated: version_id: this names no version of a rule")
    assert stored(session) == before
