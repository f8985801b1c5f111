"""The main job on a real bank's file, where the file is there: CARBONPOINTS_BANK_1993 names its folder."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.clock import clock_at
from carbonpoints.ledger.reconcile import check
from carbonpoints.samples.bank_1993 import RUNS, load_1993, missing_files
from carbonpoints.samples.commands import BOOKED_AT, report

FOLDER = Path(
    os.environ.get("CARBONPOINTS_BANK_1993", Path(__file__).resolve().parents[3] / "shared/data/bank")
)
SHIPPED, DEMONSTRATION = RUNS

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
