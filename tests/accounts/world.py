"""A bank with a programme, and short ways to call it as anybody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.ids import parse_account_id
from carbonpoints.core.roles import STAFF, Role
from carbonpoints.ledger import flows
from carbonpoints.ledger.book import Moment
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.posting import open_books, write_books

NOW = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)
"""Noon in Zhangye."""
ISSUER = "https://bank.example/gansu"
TEXT_VERSION = "2026-01"
BANK_ACCOUNT = "6222020200012345678"
EXPIRES_ON = date(2028, 6, 30)

FREEZE = {"reason_code": "fraud_suspected", "reason": "three devices in an hour"}
CLOSE = {"reason_code": "customer_request", "reason": "moves away"}

TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name
"""


def contents() -> dict[str, str]:
    """A digest of every table's rows: equal before and after where nothing changed."""
    with reading() as session:
        tables = session.scalars(text(TABLES)).all()
        return {
            table: hashlib.sha256(
                repr(sorted(map(repr, session.execute(text(f'SELECT * FROM "{table}"'))))).encode()
            ).hexdigest()
            for table in tables
        }


@contextmanager
def nothing_changes() -> Iterator[None]:
    before = contents()
    yield
    assert contents() == before


@dataclass(frozen=True)
class World:
    """The API of a bank, and what stands behind it."""

    client: FlaskClient
    settings: Settings
    programme_id: int

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        role: Role = Role.CUSTOMER,
        subject: str = "C1",
        key: str | None = None,
        issuer: str = ISSUER,
        **query: str,
    ) -> TestResponse:
        token = issue_demo_token(self.settings, issuer=issuer, subject=subject, role=role)
        headers = {"Authorization": f"Bearer {token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        if role in STAFF and method == "GET":
            query.setdefault("purpose", "case:1")
        return self.client.open(f"/v1{path}", method=method, json=body, headers=headers, query_string=query)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, body: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        return self.call("POST", path, body or {}, **options)

    def operate(self, path: str, body: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        return self.post(path, body, role=Role.OPERATIONS, subject="ops", **options)

    def core(self, path: str, body: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        return self.post(path, body, role=Role.CORE_BANKING, subject="core", **options)

    def open(self, subject: str = "C1") -> str:
        """Open a customer's account and return its public id."""
        answer = self.post("/accounts", subject=subject)
        assert answer.status_code == 201, answer.text
        return str(ok(answer)["account_id"])

    def earn(
        self, account: str, amount_millicredits: int, *, expires_on: date = EXPIRES_ON, **options: Any
    ) -> None:
        """Credit an award, as an event would."""
        with transaction() as session:
            moment = Moment.at(
                options.pop("at", NOW), programme_settings(session, self.programme_id).calendar
            )
            book = open_books(session, [parse_account_id(account)])[parse_account_id(account)]
            seq = book.decide(
                DecisionKind.EVENT,
                moment,
                occurred_at=moment.booked_at,
                received_at=moment.booked_at,
                local_date=moment.local_date,
                amount_millicredits=amount_millicredits,
            )
            flows.earn(
                book,
                moment,
                cause_seq=seq,
                occurred_at=moment.booked_at,
                amount_millicredits=amount_millicredits,
                expires_on=expires_on,
                **options,
            )
            write_books(session, [book])


def hold(world: World, account: str, amount_millicredits: int) -> int:
    account_id = parse_account_id(account)
    with transaction() as session:
        moment = Moment.at(NOW, programme_settings(session, world.programme_id).calendar)
        book = open_books(session, [account_id])[account_id]
        seq = flows.hold(book, moment, reference="order-1", amount_millicredits=amount_millicredits)
        write_books(session, [book])
    return seq


def identifier(value: str, **more: Any) -> dict[str, Any]:
    return {"scheme": "CUSTOMER_REF", "value": value, **more}


def link(relation: str = "owner", number: str = BANK_ACCOUNT) -> dict[str, str]:
    return {"bank_account": number, "relation": relation}


def ok(answer: TestResponse) -> dict[str, Any]:
    """The body of an answer that is none of a refusal."""
    assert answer.status_code < 300, answer.text
    body = answer.json
    assert isinstance(body, dict)
    return body


def code(answer: TestResponse) -> tuple[int, str]:
    """Status and code of a refusal."""
    assert isinstance(answer.json, dict), answer.text
    return answer.status_code, answer.json["code"]


def fields(answer: TestResponse) -> list[tuple[str, str]]:
    """The wrong fields of a refusal, with the code of each."""
    assert isinstance(answer.json, dict), answer.text
    return [(error["field"], error["code"]) for error in answer.json["errors"]]


def rows(statement: str, **parameters: object) -> list[tuple[Any, ...]]:
    with reading() as session:
        return [tuple(row) for row in session.execute(text(statement), parameters)]
