"""Makers and checkers of a programme with feeds, and profiles that they propose and try."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from carbonpoints.behaviours.profiles import ProfileDefinition
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from carbonpoints.rules.reading import as_content
from tests.approvals.world import ChangeWorld, Seen, seen
from tests.feeds.shipped import CALM, plain, profile

GOOD = b"T1,6220,2024-05-01,12.50,,5411\nT2,6221,2024-05-01,8,,5411\n"
MIXED = (
    b"T1,6220,2024-05-01,12.50,,5411\n"
    b"T2,6221,2024-05-01,8,,skip\n"
    b"T3,6222,2024-05-01,secret,,5411\n"
    b"T4,6223\n"
    b"T5,6224,2024-05-01,secret,,5411\n"
)


def rows(session: Session) -> dict[str, int]:
    """How many rows each table has."""
    tables = session.scalars(
        text("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    ).all()
    found = {table: session.scalar(text(f'SELECT count(*) FROM "{table}"')) or 0 for table in tables}
    session.rollback()
    return found


def files(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.spool_dir.iterdir())


class Makers(ChangeWorld):
    """Makers and checkers of the programme with feeds."""

    def proposed(self, *profiles: ProfileDefinition) -> Seen:
        """A draft of these profiles."""
        return seen(self.draft(*[item(one) for one in profiles]))

    def try_file(
        self, change: Seen, content: bytes, *, issuer: str | None = None, query: str = "", **tables: bytes
    ) -> TestResponse:
        token = issue_demo_token(
            self.settings, issuer=issuer or self.issuer, subject="lin", role=Role.RULE_MAKER
        )
        parts = {"file": content, **tables}
        return self.client.post(
            f"/v1/change-requests/{change.number}/trial-load{query}",
            headers={"Authorization": f"Bearer {token}"},
            data={name: (io.BytesIO(part), name) for name, part in parts.items()},
            content_type="multipart/form-data",
        )

    def tried(self, change: Seen, content: bytes, **given: Any) -> dict[str, Any]:
        """What a trial that took place answers."""
        answer = self.try_file(change, content, **given)
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        return dict(answer.json)

    def trials(self, change: Seen) -> list[dict[str, Any]]:
        """What there is of trial loads among the evidence of a change."""
        evidence = self.look(change).body["evidence"]
        return [one for one in evidence if one["kind"] == "trial_load"]


def item(proposed: ProfileDefinition) -> dict[str, Any]:
    return {"kind": "feed_profile", "code": proposed.code, "content": as_content(proposed)}


def new(**changes: Any) -> ProfileDefinition:
    """A profile that the programme does not have."""
    return plain(**{"code": "new", "tables": {}, "data": CALM} | changes)


def camt(**changes: Any) -> ProfileDefinition:
    """A profile of camt messages that the programme does not have."""
    return replace(profile("camt053_statements"), **{"code": "new_camt"} | changes)
