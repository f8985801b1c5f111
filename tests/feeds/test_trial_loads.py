"""A drafted profile is tried on a file as production would read it, and nothing stays but counts, codes and fields."""

from __future__ import annotations

import io
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours import trial_load
from carbonpoints.behaviours.feed_services import continue_next_job, read_progress, read_refused, receive_file
from carbonpoints.behaviours.profiles import ProfileDefinition
from carbonpoints.core.config import Settings
from carbonpoints.core.crypto import identity_hash
from carbonpoints.samples.bank_statements import SHIPPED_FILE
from tests.approvals.world import problem, wrong_fields
from tests.feeds.conftest import FedProgramme
from tests.feeds.makers import GOOD, MIXED, Makers, camt, files, new, rows
from tests.feeds.shipped import plain


def test_what_is_counted_and_what_is_kept(makers: Makers, session: Session, settings: Settings) -> None:
    draft = makers.proposed(new())
    before, kept = rows(session), files(settings)
    tried = makers.tried(draft, MIXED)
    assert rows(session) == before | {"change_evidence": before["change_evidence"] + 1}
    assert files(settings) == kept
    refused = [
        {
            "line_no": 3,
            "field": "amount",
            "code": "not_a_number",
            "detail": "Expected a number such as 12.50.",
        },
        {"line_no": 4, "field": "", "code": "wrong_columns", "detail": "Expected 6 cells, found 2."},
    ]
    event = {
        "source": "urn:zhangye:core-banking",
        "id": "T1",
        "revision": 0,
        "type": "non_cash_payment",
        "subject": "BANK_ACCOUNT:6220",
        "time_us": 1_714_536_000_000_000,
        "data": {
            "transaction_reference": "T1",
            "payment_channel": "qr",
            "amount_minor": "1250",
            "currency": "CNY",
            "payee_hash": "T1",
        },
    }
    counts = {
        "result": "warning",
        "is_whole": True,
        "error": None,
        "record_count": 5,
        "line_count": 5,
        "event_count": 1,
        "filtered_count": 1,
        "refused_count": 3,
        "refused_by": [
            {"field": "amount", "code": "not_a_number", "count": 2},
            {"field": "", "code": "wrong_columns", "count": 1},
        ],
    }
    assert tried == counts | {"refused": [*refused, refused[0] | {"line_no": 5}], "events": [event]}
    (evidence,) = makers.trials(draft)
    assert evidence["details"] == {"items.0": counts}
    assert (evidence["result"], evidence["counts"], evidence["person"]) == ("warning", True, "lin")
    stored = session.scalars(
        text("SELECT details::text FROM change_evidence WHERE kind = 'trial_load'")
    ).one()
    assert [value for value in ("T1", "622", "secret", "12.5") if value in stored] == []


def test_a_message_is_tried_as_it_is_loaded(
    makers: Makers, programme: FedProgramme, settings: Settings
) -> None:
    content = SHIPPED_FILE.read_bytes()
    draft, kept = makers.proposed(camt()), files(settings)
    tried = makers.tried(draft, content)
    assert files(settings) == kept
    job_id = receive_file(
        feed=programme.feed("camt053_statements"), file_name="a", file=io.BytesIO(content), tables={}
    )
    while continue_next_job():
        pass
    progress = read_progress(job_id=job_id)
    assert (tried["result"], tried["is_whole"], tried["line_count"], tried["event_count"]) == (
        *("warning", True),
        *(progress.line_count, progress.event_count),
    )
    assert {"refused": tried["refused_count"], "filtered": tried["filtered_count"]} == {
        name: progress.dispositions[name] for name in ("refused", "filtered")
    }
    assert [tuple(line.values()) for line in tried["refused"]] == read_refused(job_id=job_id, after=0)
    assert len(tried["events"]) == trial_load.SAMPLE_EVENTS
    details = makers.trials(draft)[0]["details"]["items.0"]
    assert details == {name: value for name, value in tried.items() if name not in ("refused", "events")}
    assert len(details["refused_by"]) == 3


def test_keyed_attributes_are_keyed_with_another_key_than_ours(makers: Makers, settings: Settings) -> None:
    draft = makers.proposed(new(keyed=("payee_hash",)))
    first, again = (makers.tried(draft, GOOD)["events"][0]["data"]["payee_hash"] for _ in range(2))
    ours = identity_hash(settings.identity_key, "keyed", "T1").hex()
    assert {len(first), len(again)} == {len(ours)}
    assert len({first, again, ours, "T1"}) == 4


def test_of_many_refused_lines_some_are_shown(makers: Makers) -> None:
    draft = makers.proposed(new())
    tried = makers.tried(draft, b"T3,6222\n" * 50)
    assert (tried["result"], tried["refused_count"], tried["event_count"]) == ("failed", 50, 0)
    assert [line["line_no"] for line in tried["refused"]] == list(range(1, 21))
    assert tried["refused_by"] == [{"field": "", "code": "wrong_columns", "count": 50}]


@pytest.mark.parametrize(
    ("proposed", "content", "error"),
    [
        (new(), b"", None),
        (new(), b"T2,6221,2024-05-01,8,,skip\n", None),
        (new(on_bad="file"), MIXED, {"code": "bad_lines", "line_no": None}),
        (new(), GOOD + b'T3,"6222\n', {"code": "unclosed_quote", "line_no": 3}),
        (new(header=True), GOOD, {"code": "wrong_header", "line_no": 1}),
        (camt(), b"<Document", {"code": "wrong_message", "line_no": 1}),
        (camt(), GOOD, {"code": "malformed", "line_no": 1}),
    ],
)
def test_what_would_credit_nothing_speaks_against_the_draft(
    makers: Makers,
    settings: Settings,
    proposed: ProfileDefinition,
    content: bytes,
    error: dict[str, Any] | None,
) -> None:
    draft, kept = makers.proposed(proposed), files(settings)
    tried = makers.tried(draft, content)
    assert files(settings) == kept
    found = tried["error"] and {name: tried["error"][name] for name in ("code", "line_no")}
    assert (tried["result"], found) == ("failed", error)
    (evidence,) = makers.trials(draft)
    assert (evidence["result"], evidence["details"]["items.0"]["error"]) == ("failed", error)
    refused = makers.step(makers.look(draft), "submit", "lin")
    assert (problem(refused), wrong_fields(refused)) == (
        (422, "evidence_failed"),
        [("evidence.trial_load", "failed")],
    )


@pytest.mark.parametrize(
    ("proposed", "content", "count"),
    [(new(), GOOD * 2, 4), (camt(), SHIPPED_FILE.read_bytes(), 33)],
)
def test_of_a_long_file_the_beginning_is_tried(
    makers: Makers, monkeypatch: pytest.MonkeyPatch, proposed: ProfileDefinition, content: bytes, count: int
) -> None:
    draft = makers.proposed(proposed)
    for limit, expected in ((count - 1, False), (count, True)):
        monkeypatch.setattr(trial_load, "RECORDS_MAX", limit)
        tried = makers.tried(draft, content)
        assert (tried["record_count"], tried["is_whole"]) == (limit, expected)
        assert makers.trials(draft)[-1]["details"]["items.0"]["is_whole"] is expected


def test_a_body_beyond_the_limit_is_refused(
    makers: Makers, session: Session, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = makers.proposed(new())
    monkeypatch.setitem(makers.client.application.config, "UPLOAD_BYTES_MAX", 1000)
    before, kept = rows(session), files(settings)
    assert problem(makers.try_file(draft, GOOD * 100)) == (413, "content_too_large")
    assert (rows(session), files(settings)) == (before, kept)


def test_tables_come_with_the_file(makers: Makers, session: Session) -> None:
    draft = makers.proposed(plain(code="new"))
    before = rows(session)
    assert wrong_fields(makers.try_file(draft, GOOD)) == [("payees", "missing")]
    assert rows(session) == before
    tried = makers.tried(draft, GOOD, payees=b"5411,aa01\n")
    assert [event["data"]["payee_hash"] for event in tried["events"]] == ["aa01", "aa01"]


def test_a_profile_that_does_not_fit_is_not_tried(makers: Makers, session: Session) -> None:
    draft = makers.proposed(new(behaviour="swimming", source="urn:nobody"))
    before = rows(session)
    refused = makers.try_file(draft, GOOD)
    assert (problem(refused), wrong_fields(refused)) == (
        (422, "evidence_failed"),
        [
            ("items.0.content.source", "wrong_definition"),
            ("items.0.content.behaviour", "wrong_definition"),
        ],
    )
    assert rows(session) == before
