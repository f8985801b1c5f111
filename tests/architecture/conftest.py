"""Two banks: one with two customers, the shipped catalogue, an event and a feed's file; one with a customer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection
from sqlalchemy.orm import Session
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from carbonpoints.accounts.bulk import DeclaredConsent, consent_in_bulk, open_accounts_in_bulk
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.approvals import services as approvals
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.services import create_bank_and_programme
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.behaviours.feed_services import import_profiles
from carbonpoints.behaviours.profiles import shipped_profiles
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.db import db, transaction
from carbonpoints.core.http import PUBLIC, scope_of
from carbonpoints.core.ids import account_public_id
from carbonpoints.core.outbox import deliver_bucket, waiting_buckets
from carbonpoints.core.roles import HOLDERS, STAFF, SYSTEMS, Role
from carbonpoints.rules.parsing import parse_terms
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.services import import_shipped, seed_programme
from carbonpoints.rules.shipped import load_shipped
from carbonpoints.rules.submissions import Located, Submission
from tests.architecture.calls import CALLS, FOREIGNER, OWNER, PATHS, SOURCE, STRANGER, feed_change
from tests.exchange.world import MAY_BEGINS, SHENZHEN
from tests.restating.scenes import put_in_force_at_once, restatement
from tests.rules.term_files import terms

NOW = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)
HOME, ABROAD = "https://login.home.test", "https://login.abroad.test"
PERSONS = {"maker_person": "maker", "checker_person": "checker"}


AGREED = ProposedVersion(
    kind=VersionKind.AGREEMENT, code=SHENZHEN.code, content=as_content(SHENZHEN), valid_from=MAY_BEGINS
)


def _open(programme_id: int, *subjects: str) -> list[int]:
    with transaction() as session:
        settings = programme_settings(session, programme_id)
        return open_accounts_in_bulk(
            session, settings, [NewHolder({Scheme.CUSTOMER_REF: subject}) for subject in subjects]
        )


def _consent_to_everything(programme_id: int, account_id: int) -> None:
    with transaction() as session:
        settings = programme_settings(session, programme_id)
        given = NOW - timedelta(days=100)
        consents = [
            DeclaredConsent(account_id, source, given, "branch") for source in settings.consent_sources
        ]
        consent_in_bulk(session, settings, consents)


def _drafted(world: World, body: dict[str, Any]) -> str:
    """Draft a change and return its number."""
    headers = {"Authorization": f"Bearer {world.token(Role.RULE_MAKER)}"}
    answer = world.client.post("/v1/change-requests", json=body, headers=headers).json
    assert answer is not None
    return str(answer["change"]["change_request_id"])


@dataclass
class World:
    """The app with two banks, and short ways to make each call of the table as anybody."""

    app: Flask
    client: FlaskClient
    settings: Settings
    ids: dict[str, str] = field(default_factory=dict)

    def protected(self) -> dict[str, Rule]:
        """Every route that needs a token, by endpoint."""
        rules = {rule.endpoint: rule for rule in self.app.url_map.iter_rules()}
        return {name: rule for name, rule in rules.items() if scope_of(self.app, name) != PUBLIC}

    def token(
        self,
        role: Role,
        *,
        subject: str = OWNER,
        issuer: str = HOME,
        scope: str | None = None,
        person: str | None = None,
    ) -> str:
        name = subject if role in HOLDERS else person or role.value
        sources = [SOURCE] if role in SYSTEMS else []
        return issue_demo_token(
            self.settings, issuer=issuer, subject=name, role=role, scope=scope, sources=sources
        )

    def filled(self, value: Any) -> Any:
        """Put the world's ids into the places of a template."""
        if isinstance(value, dict):
            return {name: self.filled(inner) for name, inner in value.items()}
        return re.sub(r"\{(\w+)\}", lambda m: self.ids[m[1]], value) if isinstance(value, str) else value

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Take back whatever the block does."""
        db.session.remove()
        ids = dict(self.ids)
        savepoint = cast("Connection", db.engine).begin_nested()  # `forgetting` has put a connection there.
        try:
            yield
        finally:
            db.session.remove()
            savepoint.rollback()
            self.ids = ids

    def places(self, endpoint: str) -> dict[str, str]:
        """Return what stands in the places of a route's path."""
        arguments = self.protected()[endpoint].arguments
        known = {name: self.ids[name] for name in arguments if name in self.ids}
        return {**known, **self.filled(PATHS.get(endpoint, {}))}

    def send(self, endpoint: str, token: str | None) -> TestResponse:
        """Make the table's call of an endpoint with this token."""
        call, rule = CALLS[endpoint], self.protected()[endpoint]
        places = self.places(endpoint)
        path = re.sub(r"<(?:[^<>]*:)?(\w+)>", lambda match: places[match[1]], rule.rule)
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        query = self.filled(dict(call.query))
        if call.role in STAFF and method == "GET" and "account_id" in rule.arguments:
            query["purpose"] = "case:1"
        headers = self.filled(dict(call.headers)) | ({"Authorization": f"Bearer {token}"} if token else {})
        body = self.filled(call.body()) if not call.uploads else call.body()
        return self.client.open(
            path, method=method, query_string=query, headers=headers, content_type=call.content_type, **body
        )

    def send_rightly(self, endpoint: str) -> TestResponse:
        """Make a call as its rightful caller, after the calls it comes after."""
        for earlier in CALLS[endpoint].before:
            answer = self.send_rightly(earlier)
            assert answer.status_code < 300, (earlier, answer.text)
            self.ids["merge_no"] = str((answer.json or {}).get("merge_no", 1))
            self.ids["etag"] = answer.headers.get("ETag", "")
            made = answer.json or {}
            self.ids |= {name: made[name] for name in ("import_id", "export_id") if name in made}
            for bucket in waiting_buckets():
                deliver_bucket(bucket, owner="test")
        call = CALLS[endpoint]
        return self.send(endpoint, self.token(call.role, person=call.person))


@pytest.fixture
def world(app: Flask, client: FlaskClient, session: Session, settings: Settings) -> Iterator[World]:
    """The world in the database that forgets, at a fixed noon."""
    with clock_at(NOW):
        catalogue = load_shipped()
        home = seed_programme(
            bank_code="home",
            issuer=HOME,
            bank_name_en="Home",
            bank_name_zh="甲",
            catalogue=catalogue,
            **PERSONS,
        ).programme_id
        profiles = [
            profile for profile in shipped_profiles() if profile.code == PATHS["feeds.post_file"]["profile"]
        ]
        import_profiles(programme_id=home, profiles=profiles, **PERSONS)
        found = parse_terms(terms(), "terms.yaml")
        shared_caps = tuple(Located(cap, cap.code) for cap in found.shared_caps)
        campaigns = tuple(Located(campaign, campaign.code) for campaign in found.campaigns)
        import_shipped(
            programme_id=home, submission=Submission(shared_caps=shared_caps, campaigns=campaigns), **PERSONS
        )
        put_in_force_at_once(home, restatement())
        with transaction() as opened:
            approvals.import_shipped(opened, programme_id=home, proposed=[AGREED], **PERSONS)
            abroad = create_bank_and_programme(
                opened,
                bank_code="abroad",
                issuer=ABROAD,
                bank_name_en="Abroad",
                bank_name_zh="乙",
                settings=as_content(catalogue.programme),
                **PERSONS,
            ).programme_id
        owner, stranger = _open(home, OWNER, STRANGER)
        _open(abroad, FOREIGNER)
        _consent_to_everything(home, owner)
        made = World(app, client, settings)
        made.ids["account_id"] = account_public_id(owner)
        made.ids["into_account_id"] = account_public_id(stranger)
        made.ids["merge_no"] = "1"
        made.ids["appeal_id"] = f"apl_{owner}_1"
        event = made.send_rightly("events.post_events").json
        assert event is not None
        assert event.get("items", [{}])[0].get("disposition") == "credited", event
        made.ids["event_id"] = made.ids["award_id"] = event["items"][0]["event_id"]
        event_seq = int(made.ids["event_id"].rsplit("_", 1)[1])
        made.ids["review_id"] = f"rev_{owner}_{event_seq + 2}"  # After the event's one entry.
        made.ids["event_source_id"] = event["items"][0]["id"]
        made.send_rightly("exchange.approve_export")
        made.send_rightly("exchange.get_conflicts")
        change = made.send_rightly("changes.create_change")
        assert change.json is not None
        made.ids["change_request_id"] = str(change.json["change"]["change_request_id"])
        made.ids["etag"] = change.headers["ETag"]
        made.ids["feed_change_id"] = _drafted(made, feed_change(profiles[0]))
        job = made.send_rightly("feeds.post_file").json
        assert job is not None
        made.ids["job_id"] = job["job_id"]
        backtest = made.send_rightly("replays.post_backtest").json
        assert backtest is not None
        made.ids["run_id"] = backtest["run_id"]
        yield made
        session.rollback()
    # The calls of the table set the shared clock, and the database forgets it behind the app's back.
    app.extensions.pop("carbonpoints_shared_clock", None)
