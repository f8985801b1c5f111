"""Lines of the log: JSON, with the request's id, without what identifies anybody."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from carbonpoints.core.logging import describe_exception

PERSON = "13800138000"

PROGRAM = """
import logging, sys
import structlog
from carbonpoints.core.logging import configure_logging
configure_logging()
configure_logging()
structlog.contextvars.bind_contextvars(request_id="call-0001")
structlog.get_logger("ours").warning("something", count=3)
logging.getLogger("theirs").warning("else %s", "中文")
try:
    raise KeyError("x")
except KeyError:
    structlog.get_logger("ours").exception("failed")
"""


def test_our_lines_and_those_of_libraries_are_json_with_the_request_s_id() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines: list[dict[str, Any]] = [json.loads(line) for line in run.stderr.splitlines()]
    assert [(line["event"], line["logger"], line["level"], line["request_id"]) for line in lines] == [
        ("something", "ours", "warning", "call-0001"),
        ("else 中文", "theirs", "warning", "call-0001"),
        ("failed", "ours", "error", "call-0001"),
    ]
    assert lines[0]["count"] == 3
    assert lines[2]["exception"][0] == "KeyError: 'x'"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT :person::int + 999999999999::int",
        "INSERT INTO consent VALUES (1, 1, :person, 'neither', NULL, 'v', 'app', now())",
    ],
)
def test_a_database_error_is_described_without_its_values(session: Session, statement: str) -> None:
    with pytest.raises(DBAPIError) as failed:
        session.execute(text(statement.replace(":person::int", "CAST(:person AS int)")), {"person": PERSON})
    lines = describe_exception(failed.value)
    state = failed.value.orig.sqlstate if isinstance(failed.value.orig, psycopg.Error) else ""
    assert state
    assert state in lines[0]
    assert PERSON in str(failed.value)
    assert PERSON not in "\n".join(lines)


def test_the_chain_of_causes_is_described() -> None:
    def fail() -> None:
        try:
            int("inner")
        except ValueError as error:
            raise RuntimeError("outer") from error

    with pytest.raises(RuntimeError) as failed:
        fail()
    messages = [line for line in describe_exception(failed.value) if not line.startswith("  ")]
    assert messages == ["RuntimeError: outer", "ValueError: invalid literal for int() with base 10: 'inner'"]


def test_a_request_s_line_names_the_route_and_not_the_path(
    client: FlaskClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="carbonpoints.access"):
        client.get("/static/" + PERSON)
    (record,) = [record for record in caplog.records if record.name == "carbonpoints.access"]
    assert isinstance(record.msg, dict)
    assert (record.msg["route"], record.msg["status"]) == ("/static/<path:filename>", 404)
    assert PERSON not in str(record.msg)
