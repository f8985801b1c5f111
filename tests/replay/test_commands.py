"""`flask rules backtest` and `flask award replay` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from flask import Flask
from sqlalchemy import text

from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import db
from carbonpoints.rules.reading import as_content
from tests.behaviours.world import NOW, World, payment
from tests.replay.scenes import GRANT, granting, pay

Run = Callable[..., Result]


@pytest.fixture
def world(committed: Flask, make_world: Callable[[], World]) -> Iterator[World]:
    with committed.app_context(), clock_at(NOW):
        yield make_world()


@pytest.fixture
def run(committed: Flask) -> Run:
    runner = committed.test_cli_runner()
    return lambda *arguments: runner.invoke(args=list(map(str, arguments)))


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    path = tmp_path / "draft.yaml"
    path.write_text(yaml.safe_dump({"rule": as_content(granting(3 * GRANT))}, allow_unicode=True), "utf-8")
    return path


def test_a_file_is_held_against_a_period(world: World, run: Run, draft: Path) -> None:
    pay(world, 2)
    db.session.rollback()
    asked = run("rules", "backtest", draft, "--from", "2026-06-01", "--to", "2026-06-15", "--inline")
    assert asked.exit_code == 0, asked.output
    report = json.loads(asked.stdout[asked.stdout.index("{") :])
    assert report["draft"]["amount_millicredits"] == 6 * GRANT
    assert report["baseline"]["amount_millicredits"] == 2 * GRANT


def test_what_is_wrong_with_a_file_is_said_with_its_place(world: World, run: Run, draft: Path) -> None:
    draft.write_text(
        draft.read_text("utf-8").replace("payments * PAY_CASHLESS", "payments * NOBODY"), "utf-8"
    )
    asked = run("rules", "backtest", draft, "--from", "2026-06-01", "--to", "2026-06-15", "--inline")
    assert asked.exit_code == 1
    assert "rule.baseline" in asked.stderr
    backwards = run("rules", "backtest", draft, "--from", "2026-06-02", "--to", "2026-06-01")
    assert backwards.exit_code == 2


def test_an_award_is_run_again(world: World, run: Run) -> None:
    receipt = world.one("non_cash_payment", payment("one"))
    db.session.rollback()
    event_id = f"evt_{receipt.account_id}_{receipt.account_seq}"
    same = run("award", "replay", event_id)
    assert (same.exit_code, same.output.splitlines()[0]) == (0, "same")
    db.session.execute(text("ALTER TABLE decision DISABLE TRIGGER ALL"))
    db.session.execute(text("UPDATE decision SET amount_millicredits = 7 WHERE kind = 2"))
    db.session.commit()
    differs = run("award", "replay", event_id)
    assert (differs.exit_code, differs.output.splitlines()[0]) == (1, "differs")
    assert '"amount_millicredits": 7' in differs.output.splitlines()[1]
    assert f'"amount_millicredits": {GRANT}' in differs.output.splitlines()[2]
    unknown = run("award", "replay", "evt_1_1")
    assert (unknown.exit_code, unknown.stderr) == (1, "Error: There is no such award.\n")
