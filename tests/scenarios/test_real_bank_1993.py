"""The main job on a real bank's file, where the file is there: CARBONPOINTS_BANK_1993 names its folder."""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.approvals.requests import follow_programme
from carbonpoints.behaviours.replay.runs import continue_next_run
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from carbonpoints.ledger.reconcile import check
from carbonpoints.samples.bank_1993 import RUNS, load_1993, missing_files
from carbonpoints.samples.commands import BOOKED_AT, report
from tests.approvals.world import ChangeWorld, Seen, problem, seen

FOLDER = Path(
    os.environ.get("CARBONPOINTS_BANK_1993", Path(__file__).resolve().parents[3] / "shared/data/bank")
)
SHIPPED, DEMONSTRATION = RUNS

# The files are not ours to ship: where they are not, nothing can be held against them.
pytestmark = pytest.mark.skipif(
    bool(missing_files(FOLDER)),
    reason=f"the real bank's files are not in {FOLDER}; set CARBONPOINTS_BANK_1993 to their folder",
)


def transferred_minor() -> Decimal:
    with (FOLDER / "trans.csv").open(encoding="ascii") as file:
        rows = [line.replace('"', "").split(";") for line in file]
    return sum((Decimal(row[5]) * 100 for row in rows if row[4] == "PREVOD NA UCET"), Decimal(0))


def test_every_line_of_1993_ends_in_exactly_one_row(session: Session) -> None:
    with clock_at(BOOKED_AT):
        shipped = load_1993(FOLDER, SHIPPED)
        assert (shipped.holders, shipped.bank_accounts, shipped.progress.state) == (1_385, 1_139, "done")
        assert shipped.progress.dispositions == {
            "filtered": 24_974,
            "ineligible:not_standing_order": 3_191,
            "ineligible:not_loan_repayment": 40,
        }
        assert session.scalar(text("SELECT count(*) FROM entry")) == 0

        demonstration = load_1993(FOLDER, DEMONSTRATION)
        assert demonstration.progress.dispositions == {"filtered": 24_974, "credited": 3_231}
        assert sum(demonstration.progress.dispositions.values()) == 28_205
        earned = session.execute(
            text("SELECT count(*), sum(amount), count(DISTINCT account_id) FROM entry")
        ).one()
        assert tuple(earned) == (3_231, 3_231_000, 487)
        held = text("SELECT sum((content::json -> 'data' ->> 'amount_minor')::bigint) FROM event_payload")
        assert session.scalar(held) == 2 * transferred_minor(), "once in each programme"

        again = load_1993(FOLDER, DEMONSTRATION)
        assert again.progress.dispositions == {"filtered": 24_974, "duplicate": 3_231}
        assert [finding.code for finding in check(session) if finding.differences] == []
        assert "| **in all** | **28,205** |" in report(again)


def test_an_admin_carries_out_a_whole_change_on_the_file(
    session: Session, client: FlaskClient, settings: Settings
) -> None:
    with clock_at(BOOKED_AT):
        programme_id = load_1993(FOLDER, DEMONSTRATION).progress.programme_id
        issuer = f"https://{DEMONSTRATION.bank_code}.example"
        world = ChangeWorld(client, settings, programme_id, issuer)
        content = world.content("rules", "transfers_1993")
        content["credits"]["grant_millicredits"] = 2_000
        for sample in content["samples"]:
            sample["millicredits"] = 2_000
        draft = seen(world.draft(rule_from(content, "2026-07-01T00:00:00+02:00")))
        assert (draft.state, draft.body["missing"]) == ("draft", ["back_test"])
        report = back_tested(world, draft)
        assert (report["result"], report["events"], report["events_judged"]) == ("replayed", 3_231, 3_231)
        assert (report["accounts"], report["accounts_with_more"], report["accounts_with_less"]) == (
            487,
            487,
            0,
        )
        assert report["baseline"]["amount_millicredits"] == 3_231_000
        assert report["draft"]["amount_millicredits"] == 6_462_000
        assert len(report["sampled_accounts"]) == 20
        submitted = seen(world.step(world.look(draft), "submit", "lin"))
        assert problem(world.step(submitted, "approve", "lin", role=Role.RULE_CHECKER))[0] == 403
        approved = seen(world.step(submitted, "approve", "zhao"))
        assert approved.state == "scheduled"
    with clock_at(BOOKED_AT + timedelta(days=2)):
        follow_programme(programme_id)
        active = world.look(approved)
        assert active.state == "active"
        back = seen(
            world.step(
                active, "rollback", "lin", reason="Too generous.", valid_from="2026-09-01T00:00:00+02:00"
            )
        )
        assert back_tested(world, back)["draft"]["amount_millicredits"] == 3_231_000
        resubmitted = seen(world.step(world.look(back), "submit", "lin"))
        assert seen(world.step(resubmitted, "approve", "zhao")).state == "scheduled"
    with clock_at(BOOKED_AT + timedelta(days=70)):
        follow_programme(programme_id)
        assert (world.look(back).state, world.look(active).state) == ("active", "superseded")
    assert [finding.code for finding in check(session) if finding.differences] == []


def rule_from(content: dict[str, Any], valid_from: str) -> dict[str, Any]:
    return {"kind": "rule", "code": "transfers_1993", "content": content, "valid_from": valid_from}


def back_tested(world: ChangeWorld, change: Seen) -> dict[str, Any]:
    """Ask for a back-test of 1993 and return its report, as whoever waits for the worker sees it."""
    asked = {"change_request_id": change.number, "first_day": "1993-01-01", "last_day": "1993-12-31"}
    run_id = world.call("POST", "/backtests", json=asked).json["run_id"]  # type: ignore[index]
    while continue_next_run():
        pass
    found = world.call("GET", f"/backtests/{run_id}", "zhao").json
    assert found is not None
    assert found["state"] == "done"
    report: dict[str, Any] = found["report"]
    return report
