"""Messages come in like any other file: staged whole, credited once, accounted for transaction by transaction."""

from __future__ import annotations

import io
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.feed_services import (
    JobProgress,
    continue_next_job,
    forget_finished_files,
    read_progress,
    read_refused,
    receive_file,
)
from carbonpoints.behaviours.staging import stage_next_segment
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.db import db
from carbonpoints.ledger.reconcile import check
from carbonpoints.samples.bank_day import SHIPPED_DAY
from carbonpoints.samples.bank_statements import SHIPPED_FILE, statements
from tests.feeds.conftest import NOW, FedProgramme
from tests.feeds.messages import MESSAGES, bill, details, document, entry, statement, transaction
from tests.feeds.shipped import profile, read_message

CODE = "camt053_statements"
V8 = "camt.053.001.08"


@pytest.fixture(autouse=True)
def empty_spool(settings: Settings) -> None:
    for path in settings.spool_dir.glob("*.feed"):
        path.unlink()


def receive(programme: FedProgramme, content: bytes, code: str = CODE) -> uuid.UUID:
    return receive_file(feed=programme.feed(code), file_name="a", file=io.BytesIO(content), tables={})


def load(programme: FedProgramme, content: bytes, code: str = CODE) -> JobProgress:
    job_id = receive(programme, content, code)
    while continue_next_job():
        pass
    return read_progress(job_id=job_id)


def card(
    message: str, reference: str, *, category: str = "5411", amount: str = "12.5", to: str = "7001"
) -> str:
    return entry(
        message, reference, amount, details(transaction(message, reference, category=category, to=to))
    )


def payments(message: str, count: int, first: int = 0) -> bytes:
    """So many card payments of all seven accounts, each in a statement of its own, to as many payees."""
    return document(
        message,
        *(
            statement(message, str(6220 + number % 7), card(message, f"A{number}", to=str(number)))
            for number in range(first, first + count)
        ),
    )


@pytest.mark.parametrize("message", MESSAGES)
def test_every_version_is_credited(programme: FedProgramme, session: Session, message: str) -> None:
    content = payments(message, 7)
    progress = load(programme, content)
    assert (progress.state, progress.dispositions) == ("done", {"credited": 7})
    assert (progress.line_count, progress.staged_bytes) == (7, len(content))
    assert session.scalar(text("SELECT count(DISTINCT account_id) FROM entry")) == 7
    assert load(programme, content).dispositions == {"duplicate": 7}
    assert session.scalar(text("SELECT count(*) FROM entry")) == 7
    assert [finding.code for finding in check(session) if finding.differences] == []


def test_every_transaction_ends_in_exactly_one_row(programme: FedProgramme) -> None:
    transfers = "<Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>DMCT</SubFmlyCd></Fmly></Domn>"
    batch = details(transaction(V8, "B1", "1"), transaction(V8, "B2", "2", to="7002"))
    content = document(
        V8,
        statement(
            V8,
            "6220",
            card(V8, "A1"),
            card(V8, "A2", category="4131"),
            card(V8, "A3", category="9311"),
            card(V8, "A4", category="9222"),
            card(V8, "A5", category="9999"),
            card(V8, "A6", amount="12.505"),
            card(V8, "A7", amount="1e3"),
            entry(V8, "A8", "7", codes=transfers),
            entry(V8, "A9", "3", batch, codes=transfers),
            entry(V8, "A10", "12.5", details(transaction(V8, "A10")), direction="CRDT", reversal="true"),
            entry(V8, "A11", "12.5", details(bill(V8, "A11"))),
        ),
        statement(V8, "9999", card(V8, "A12"), id_="S2"),
    )
    progress = load(programme, content)
    assert progress.dispositions == {
        "credited": 2, "ineligible:payee_limit": 1, "ineligible:not_tax_or_fine": 2, "ineligible:everyday_channel": 2, "refused": 4,
        "filtered": 1, "unknown_account": 1,
    }  # fmt: skip
    assert progress.line_count == sum(progress.dispositions.values()) == 13
    lines = content.decode().splitlines()
    refused = read_refused(job_id=progress.job_id, after=0)
    assert [(row.line_no, row.field, row.code) for row in refused] == [
        (5, "merchant_category_code", "unknown_merchant_category"),
        (6, "amount_minor", "too_many_decimals"),
        (7, "amount_minor", "not_a_number"),
        (8, "payee_hash", "missing"),
    ]
    starts = [number for number, line in enumerate(lines, start=1) if line.startswith("<TxDtls>")]
    assert refused[0].detail == (
        f"Stmt[1]/Ntry[5]/NtryDtls[1]/TxDtls[1] in line {starts[4]}: Expected a merchant category of ISO 18245."
    )
    assert refused[3].detail.startswith("Stmt[1]/Ntry[8] in line "), (
        "an entry without details is named itself"
    )


def test_one_transaction_is_credited_once(programme: FedProgramme, session: Session) -> None:
    """Another source has it as a payment, the statement as a bill: whoever comes first has the act (M14)."""
    paid = b"A1,6220,2024-05-01,12.50,,5411\n"
    billed = document(V8, statement(V8, "6220", entry(V8, "A1", "12.5", details(bill(V8, "A1")))))
    assert load(programme, paid, "elsewhere").dispositions == {"credited": 1}
    assert load(programme, billed).dispositions == {"claimed_elsewhere": 1}
    assert load(programme, billed.replace(b"A1<", b"A2<")).dispositions == {"credited": 1}
    assert load(programme, paid.replace(b"A1", b"A2"), "elsewhere").dispositions == {"claimed_elsewhere": 1}
    kinds = """SELECT content::json ->> 'type' FROM event_payload JOIN entry USING (account_id)
               WHERE entry.cause_seq = event_payload.account_seq ORDER BY event_payload.account_seq"""
    assert session.scalars(text(kinds)).all() == ["non_cash_payment", "utility_bill_online"]


def test_a_broken_second_statement_leaves_nothing(
    programme: FedProgramme, session: Session, settings: Settings
) -> None:
    whole = document(
        V8, statement(V8, "6220", card(V8, "A1")), statement(V8, "6221", card(V8, "A2"), id_="S2")
    )
    broken = whole.replace(b"<NtryRef>A2</NtryRef>", b"<NtryRef>A2</NtryRf>")
    progress = load(programme, broken)
    assert (progress.state, progress.dispositions) == ("failed", {})
    line_no = broken.decode().split("A2</NtryRf>")[0].count("\n") + 1
    assert progress.error == {
        "code": "malformed",
        "detail": "/Document/BkToCstmrStmt/Stmt[2]/Ntry[1]/NtryRef: This is not well-formed (ERR_TAG_NAME_MISMATCH).",
        "line_no": line_no,
    }
    for table in ("feed_segment", "feed_chunk", "decision WHERE event_hash IS NOT NULL", "entry"):
        assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 0
    assert len(list(settings.spool_dir.glob("*.feed"))) == 1, "of the lines nothing is left"
    assert load(programme, whole).dispositions == {"credited": 2}


@pytest.mark.parametrize("encoding", ["UTF-16", "GB18030"])
def test_the_encoding_is_the_messages_own(programme: FedProgramme, encoding: str) -> None:
    part = entry(V8, "A1", "12.5", details(transaction(V8, "A1", category="5411", text="早餐")))
    content = document(V8, statement(V8, "6220", part), encoding=encoding)
    assert load(programme, content).dispositions == {"credited": 1}


def test_lines_that_are_lost_are_made_again(programme: FedProgramme, settings: Settings) -> None:
    content = payments(V8, 10)
    job_id = receive(programme, content)
    states = []
    while stage_next_segment(records_max=4):
        (unfolded,) = settings.spool_dir.glob("*.lines.feed")
        unfolded.unlink()
        progress = read_progress(job_id=job_id)
        states.append((progress.state, progress.line_count))
    assert [state for state in states if state[1] % 4 == 0 or state[0] == "staged"][-1] == ("staged", 10)
    assert read_progress(job_id=job_id).staged_bytes == len(content)
    while continue_next_job():
        pass
    assert read_progress(job_id=job_id).dispositions == {"credited": 10}
    forget_finished_files()
    assert list(settings.spool_dir.glob("*.feed")) == []


def test_the_lines_go_with_their_message(programme: FedProgramme, settings: Settings) -> None:
    load(programme, payments(V8, 1))
    assert sorted(path.suffixes for path in settings.spool_dir.glob("*.feed")) == [
        [".feed"],
        [".lines", ".feed"],
    ]
    assert {path.stat().st_mode & 0o777 for path in settings.spool_dir.glob("*.feed")} == {0o600}
    forget_finished_files()
    assert list(settings.spool_dir.glob("*.feed")) == []


def test_the_shipped_statements_are_what_the_generator_writes() -> None:
    assert SHIPPED_FILE.read_bytes() == statements(SHIPPED_DAY)
    assert statements(date(2026, 6, 2)) != statements(SHIPPED_DAY)


def test_the_profile_reads_the_shipped_statements(tmp_path: Path) -> None:
    (segment,), events = read_message(SHIPPED_FILE, profile(CODE), tmp_path)
    assert [(bad.line_no, bad.field, bad.code) for bad in segment.refused] == [
        (13, "payee_hash", "missing"),
        (26, "merchant_category_code", "unknown_merchant_category"),
        (30, "amount_minor", "too_many_decimals"),
    ]
    assert (segment.line_count, segment.event_count, segment.filtered_count) == (33, 28, 2)
    assert Counter(event.behaviour for event in events) == {"non_cash_payment": 26, "utility_bill_online": 2}


def test_the_command_loads_the_shipped_statements(
    committed: Flask, feed_programme: Callable[[], FedProgramme], tmp_path: Path
) -> None:
    """Of its eight accounts the programme of the tests knows six, once they have its short numbers."""
    file = tmp_path / "statements.xml"
    file.write_bytes(SHIPPED_FILE.read_bytes().replace(b"<Id>622202000000000000", b"<Id>622"))
    with committed.app_context(), clock_at(NOW):
        feed_programme()
        db.session.rollback()
        arguments = ["feed", "load", CODE, str(file), "--inline", "--business-date", "2026-06-02"]
        loaded = committed.test_cli_runner().invoke(args=arguments)
    assert loaded.exit_code == 0, loaded.output
    assert loaded.output.splitlines()[-9:] == [
        f"{CODE} statements.xml: done",
        "          16  credited",
        "           6  unknown_account",
        "           3  refused",
        "           2  filtered",
        "           2  ineligible:everyday_channel",
        "           2  ineligible:not_tax_or_fine",
        "           2  ineligible:payee_limit",
        "          33  in all",
    ]
