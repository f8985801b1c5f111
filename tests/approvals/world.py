"""Makers and checkers of a programme with one behaviour, its rule and its factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from carbonpoints.approvals.drafts import read_draft
from carbonpoints.approvals.evidence import record_evidence
from carbonpoints.approvals.requirements import EvidenceKind, Result
from carbonpoints.approvals.steps import find_change
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.db import transaction
from carbonpoints.core.roles import Role

NOW = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)
ISSUER = "https://hbank.test"
SOON = "2026-06-16T00:00:00+08:00"
NOTICED = "2026-08-01T00:00:00+08:00"
ROLES = {"lin": Role.RULE_MAKER, "wang": Role.RULE_MAKER, "zhao": Role.RULE_CHECKER, "sun": Role.RULE_CHECKER}


def problem(answer: TestResponse) -> tuple[int, str]:
    """Status and code of a refusal."""
    assert answer.json is not None, answer.text
    return answer.status_code, answer.json["code"]


def wrong_fields(answer: TestResponse) -> list[tuple[str, str]]:
    """Path and code of each wrong field of a refusal."""
    assert answer.json is not None, answer.text
    return [(field["field"], field["code"]) for field in answer.json["errors"]]


@dataclass
class Seen:
    """A change request as somebody saw it."""

    tag: str
    body: dict[str, Any]

    @property
    def number(self) -> int:
        return int(self.body["change"]["change_request_id"])

    @property
    def state(self) -> str:
        return str(self.body["change"]["state"])

    @property
    def steps(self) -> list[tuple[str, str | None]]:
        return [(step["step"], step["person"]) for step in self.body["steps"]]


def seen(answer: TestResponse) -> Seen:
    """What a call that worked showed."""
    assert answer.status_code < 300, answer.text
    assert answer.json is not None
    return Seen(answer.headers["ETag"], answer.json)


@dataclass
class ChangeWorld:
    """Short ways to call as anybody."""

    client: FlaskClient
    settings: Settings
    programme_id: int
    issuer: str = ISSUER

    def call(
        self,
        method: str,
        path: str,
        person: str = "lin",
        *,
        role: Role | None = None,
        json: Any = None,
        tag: str | None = None,
        issuer: str | None = None,
        **query: Any,
    ) -> TestResponse:
        token = issue_demo_token(
            self.settings, issuer=issuer or self.issuer, subject=person, role=role or ROLES[person]
        )
        headers = {"Authorization": f"Bearer {token}"} | ({"If-Match": tag} if tag is not None else {})
        return self.client.open(f"/v1{path}", method=method, json=json, headers=headers, query_string=query)

    def content(self, kind: str, code: str) -> dict[str, Any]:
        """What the catalogue holds latest."""
        answer = self.call("GET", f"/{kind}/{code}")
        assert answer.json is not None
        return dict(answer.json["versions"][-1]["content"])

    def rule(self, **changed: Any) -> dict[str, Any]:
        return {
            "kind": "rule",
            "code": "tram_trip",
            "content": {**self.content("rules", "tram_trip"), **changed},
        }

    def draft(self, *items: Mapping[str, Any], person: str = "lin", title: str = "A change") -> TestResponse:
        body = {"title": title, "reason": "It is time.", "items": list(items)}
        return self.call("POST", "/change-requests", person, json=body)

    def step(self, change: Seen, step: str, person: str, **given: Any) -> TestResponse:
        return self.call(
            "POST", f"/change-requests/{change.number}/{step}", person, json=given, tag=change.tag
        )

    def edit(self, change: Seen, *items: Mapping[str, Any], person: str = "lin") -> TestResponse:
        body = {"title": "An edit", "reason": "A better figure.", "items": list(items)}
        return self.call("PUT", f"/change-requests/{change.number}", person, json=body, tag=change.tag)

    def look(self, change: Seen) -> Seen:
        return seen(self.call("GET", f"/change-requests/{change.number}"))

    def prove(
        self,
        change: Seen,
        result: Result = Result.NO_HISTORY_YET,
        kind: EvidenceKind = EvidenceKind.BACK_TEST,
    ) -> Seen:
        """Record evidence as its producer does."""
        with transaction() as session:
            draft = read_draft(session, find_change(session, self.programme_id, change.number))
            record_evidence(session, draft, kind, result, {"events": 0})
        return self.look(change)

    def submitted(self, *items: Mapping[str, Any]) -> Seen:
        """Draft, prove and submit a change as lin."""
        return seen(self.step(self.prove(seen(self.draft(*items))), "submit", "lin"))

    def approved(self, *items: Mapping[str, Any]) -> Seen:
        """Bring a change into force with lin and zhao."""
        return seen(self.step(self.submitted(*items), "approve", "zhao"))


def later(days: int) -> datetime:
    return NOW + timedelta(days=days)


def better(world: ChangeWorld, grant: int = 500, **dates: str) -> dict[str, Any]:
    """A rule that is better for customers than what is in force: so many millicredits more for each act."""
    given = {"attributes": {"distance_km": "2", "ticket": "T1"}, "reduction_mg": 40_000}
    return (
        world.rule(
            credits={"millicredits_per_mg": "1", "grant_millicredits": grant},
            samples=[{**given, "millicredits": 40_000 + grant}],
        )
        | dates
    )
