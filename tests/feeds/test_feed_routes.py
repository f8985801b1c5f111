"""Files over HTTP: only from whom a source belongs to, streamed, followed, and reported on."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from carbonpoints.behaviours.feed_services import continue_next_job
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from tests.feeds.conftest import FedProgramme
from tests.feeds.shipped import ISSUER

SOURCE = "urn:zhangye:core-banking"
GOOD = b"T1,6220,2024-05-01,12.50,,5411\n"
Headers = Callable[..., dict[str, str]]


@pytest.fixture
def headers(settings: Settings, programme: FedProgramme) -> Headers:
    def make(
        role: Role = Role.FEED_PARTNER, sources: tuple[str, ...] = (SOURCE,), **claims: Any
    ) -> dict[str, str]:
        token = issue_demo_token(
            settings, issuer=ISSUER, subject="partner", role=role, sources=sources, **claims
        )
        return {"Authorization": f"Bearer {token}"}

    return make


def send(
    client: FlaskClient, headers: dict[str, str], profile: str = "plain", **parts: object
) -> TestResponse:
    data = parts or {"file": (io.BytesIO(GOOD), "day.csv")}
    return client.post(
        f"/v1/feeds/{profile}/files", headers=headers, data=data, content_type="multipart/form-data"
    )


def jobs(session: Session) -> int:
    return int(session.execute(text("SELECT count(*) FROM feed_job")).scalar_one())


def test_a_file_is_accepted_and_can_be_followed(client: FlaskClient, headers: Headers) -> None:
    accepted = send(client, headers())
    assert accepted.status_code == 202
    body = accepted.get_json()
    assert accepted.headers["Location"] == f"/v1/feed-jobs/{body['job_id']}"
    assert (body["state"], body["profile"], body["file_name"]) == ("received", "plain", "day.csv")
    assert (body["file_bytes"], body["dispositions"], body["error"]) == (len(GOOD), {}, None)
    while continue_next_job():
        pass
    done = client.get(accepted.headers["Location"], headers=headers(Role.AUDITOR, ())).get_json()
    assert (done["state"], done["dispositions"], done["decided_count"]) == ("done", {"credited": 1}, 1)


@pytest.mark.parametrize("size", [2**14, 2**16, 2**17, 2**18 + 1])
def test_a_file_of_any_size_is_accepted(client: FlaskClient, headers: Headers, size: int) -> None:
    content = (GOOD * (size // len(GOOD) + 1))[:size]
    for body in (content, b"1" * size, b"\n" * size):
        accepted = send(client, headers(), file=(io.BytesIO(body), "day.csv"))
        assert (accepted.status_code, accepted.get_json()["file_bytes"]) == (202, size)


def test_tables_come_as_parts(client: FlaskClient, headers: Headers) -> None:
    refused = send(client, headers(), "tabled")
    assert refused.status_code == 422
    assert [(error["field"], error["code"]) for error in refused.get_json()["errors"]] == [
        ("payees", "missing")
    ]
    file, table = (io.BytesIO(GOOD), "day.csv"), (io.BytesIO(b"5411,aa01\n"), "payees.csv")
    assert send(client, headers(), "tabled", file=file, payees=table).status_code == 202


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"payees": (io.BytesIO(b""), "a")}, ("file", "required")),
        ({"file": (io.BytesIO(GOOD), "a"), "note": "text"}, ("note", "not_a_file")),
        ({"file": [(io.BytesIO(GOOD), "a"), (io.BytesIO(GOOD), "b")]}, ("file", "given_twice")),
        ({"file": (io.BytesIO(GOOD), "a"), "other": (io.BytesIO(b""), "b")}, ("other", "unknown_table")),
    ],
)
def test_other_parts_are_refused(
    client: FlaskClient,
    headers: Headers,
    session: Session,
    parts: dict[str, Any],
    problem: tuple[str, str],
) -> None:
    refused = send(client, headers(), **parts)
    assert refused.status_code == 422
    assert [(error["field"], error["code"]) for error in refused.get_json()["errors"]] == [problem]
    assert jobs(session) == 0


def test_a_plain_body_is_no_upload(client: FlaskClient, headers: Headers, session: Session) -> None:
    refused = client.post("/v1/feeds/plain/files", headers=headers(), data=GOOD, content_type="text/csv")
    assert (refused.status_code, refused.get_json()["code"]) == (415, "unsupported_media_type")
    assert jobs(session) == 0


def test_a_body_beyond_the_limit_is_refused(
    client: FlaskClient,
    headers: Headers,
    session: Session,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(client.application.config, "UPLOAD_BYTES_MAX", 1000)
    refused = send(client, headers(), file=(io.BytesIO(GOOD * 100), "day.csv"))
    assert (refused.status_code, refused.get_json()["code"]) == (413, "content_too_large")
    assert jobs(session) == 0
    assert [path.name for path in settings.spool_dir.iterdir() if path.suffix != ".feed"] == []


def test_a_system_speaks_for_its_own_sources_only(
    client: FlaskClient, headers: Headers, session: Session
) -> None:
    refused = send(client, headers(sources=("urn:zhangye:transit",)))
    assert (refused.status_code, refused.get_json()["code"]) == (403, "source_not_yours")
    assert jobs(session) == 0
    address = send(client, headers()).headers["Location"]
    other = headers(sources=("urn:zhangye:transit",))
    for path in (address, f"{address}/refused"):
        assert client.get(path, headers=headers()).status_code == 200
        assert client.get(path, headers=other).get_json()["code"] == "feed_job_not_found"


def test_staff_send_files_of_any_source(client: FlaskClient, headers: Headers) -> None:
    assert send(client, headers(Role.OPERATIONS, ())).status_code == 202


def test_unknown_profiles_and_jobs(client: FlaskClient, headers: Headers) -> None:
    assert send(client, headers(), "nothing").get_json()["code"] == "feed_profile_not_found"
    missing = client.get(f"/v1/feed-jobs/{uuid.uuid4()}", headers=headers())
    assert missing.get_json()["code"] == "feed_job_not_found"
    assert client.get("/v1/feed-jobs/1", headers=headers()).status_code == 404


def test_the_report_of_refused_lines(client: FlaskClient, headers: Headers) -> None:
    content = b"T1,6220,2024-05-01,x,,5411\nT2,6220,2024-05-01\n"
    address = send(client, headers(), file=(io.BytesIO(content), "day.csv")).headers["Location"]
    while continue_next_job():
        pass
    report = client.get(f"{address}/refused", headers=headers())
    assert report.content_type == "text/csv; charset=utf-8"
    assert report.headers["Content-Disposition"].startswith('attachment; filename="refused-')
    assert report.get_data(as_text=True) == (
        "line,field,code,reason\r\n"
        "1,amount,not_a_number,Expected a number such as 12.50.\r\n"
        '2,,wrong_columns,"Expected 6 cells, found 3."\r\n'
    )
