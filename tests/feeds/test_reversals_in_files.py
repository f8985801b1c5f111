"""Lines of a file that take other lines back: refunds in a bank's export (M6, M9)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.feed_services import import_profiles
from carbonpoints.behaviours.profiles import validate_profile
from carbonpoints.behaviours.staged import REVERSAL, stage_event
from carbonpoints.ledger.reconcile import check
from tests.feeds.conftest import FedProgramme
from tests.feeds.shipped import CALM, events_of, plain, read_all
from tests.feeds.test_feed_services import load
from tests.feeds.test_mapping import NOON

REFUNDS: dict[str, Any] = {
    "code": "refunds",
    "tables": {},
    "data": CALM,
    "reverses": 'note if amount < 0 else ""',
    "reversal_reason": '"fraud" if coalesce(fee, 0) == 9 else "refunded"',
}


def test_such_a_line_becomes_a_reversal_without_data() -> None:
    used = plain(**REFUNDS, revision="3")
    (segment,) = read_all(b'T1,6222,2024-05-01,7,,\nT2,6222,2024-05-01,-7,9,T1"\n'.replace(b'"', b"x"), used)
    payment, reversal = events_of([segment])
    assert (payment.behaviour, payment.revision) == ("non_cash_payment", 3)
    assert reversal == stage_event(
        used.source,
        event_id="T2",
        subject="BANK_ACCOUNT:6222",
        occurred_at_us=NOON,
        behaviour=REVERSAL,
        data={"id": "T1x", "reason": "fraud", "source": used.source},
    )


@pytest.mark.parametrize(
    ("options", "line", "wrong"),
    [
        ({}, b"T1,6222,2024-05-01,-7,,T1", ("reverses", "itself")),
        (
            {"reverses": 'concat(note, " ", note)'},
            b"T1,6222,2024-05-01,-7,,\t",
            ("reverses", "wrong_event_id"),
        ),
        ({"reversal_reason": "note"}, b"T1,6222,2024-05-01,-7,,T0", ("reversal_reason", "wrong_reason")),
        ({"reversal_reason": '""'}, b"T1,6222,2024-05-01,-7,,T0", ("reversal_reason", "missing")),
    ],
)
def test_a_reversal_that_is_wrong_says_where(
    options: dict[str, str], line: bytes, wrong: tuple[str, str]
) -> None:
    (segment,) = read_all(
        line + b"\nT9,6222,2024-05-01,7,,x\n", plain(**{**REFUNDS, **options, "filter": None})
    )
    assert (segment.refused[0].field, segment.refused[0].code) == wrong


def test_the_expressions_are_checked_with_the_profile() -> None:
    found = validate_profile(plain(**{**REFUNDS, "reverses": "amount", "reversal_reason": "nobody"}))
    assert [path for path, _ in found] == ["reverses", "reversal_reason"]


def test_a_file_with_refunds_credits_what_was_not_refunded(programme: FedProgramme, session: Session) -> None:
    import_profiles(
        programme_id=programme.programme_id,
        profiles=[plain(**REFUNDS)],
        maker_person="maker",
        checker_person="checker",
    )
    lines = [
        "T1,6220,2024-05-01,7,,",
        "T2,6220,2024-05-01,7,,",
        "T3,6220,2024-05-01,-7,,T1",
        "T4,6221,2024-05-01,-7,,T5",
        "T5,6222,2024-05-01,7,,",
        "T6,6222,2024-05-01,7,,",
    ]
    content = "".join(f"{line}\n" for line in lines).encode()
    progress = load(programme, content, "refunds")
    # T4 may be decided before or after its event, which is another bank account's: neither credits anything.
    assert progress.dispositions == {"credited": 2, "reversed": 4}
    assert session.scalar(text("SELECT sum(amount) FROM balance")) == 2_000
    assert load(programme, content, "refunds").dispositions == {"duplicate": 6}
    assert [finding.code for finding in check(session) if finding.differences] == []
