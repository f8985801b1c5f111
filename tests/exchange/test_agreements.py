"""Agreements are changes of two persons, with versions; what does not fit is refused by its field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import ConfigError, Settings, load_settings
from carbonpoints.core.roles import Role
from carbonpoints.rules.reading import as_content
from tests.approvals.world import ChangeWorld, problem, seen, wrong_fields
from tests.behaviours.world import NOW, rows
from tests.exchange.world import ISSUER, LANZHOU, SHENZHEN, Exchange, catalogue, mark, seed

FROM_JULY = "2026-07-01T00:00:00+08:00"


@pytest.fixture
def bare(session: Session, client: FlaskClient, settings: Settings) -> Iterator[Exchange]:
    """A programme with consent sources for exchange and the agreement with Lanzhou alone."""
    with clock_at(NOW):
        yield Exchange(seed([LANZHOU]), client, settings)
        session.rollback()


@pytest.fixture
def changes(bare: Exchange) -> ChangeWorld:
    return ChangeWorld(bare.client, bare.settings, bare.world.programme_id, issuer=ISSUER)


def item(valid_from: str | None = FROM_JULY, **content: Any) -> dict[str, Any]:
    whole = {**as_content(SHENZHEN), **content}
    return {"kind": "agreement", "code": "shenzhen_2026", "content": whole, "valid_from": valid_from}


def findings(answer: TestResponse) -> list[tuple[str, str]]:
    assert answer.json is not None
    (evidence,) = answer.json["evidence"]
    return [(each["field"], each["code"]) for each in evidence["details"]["findings"]]


def test_an_agreement_holds_once_two_persons_answer_for_it(
    bare: Exchange, changes: ChangeWorld, session: Session
) -> None:
    drafted = seen(changes.draft(item("2026-06-01T00:00:00+08:00")))
    assert drafted.body["missing"] == []
    bare.bus("T-0")
    submitted = seen(changes.step(drafted, "submit", "lin", reason="Ready."))
    assert problem(changes.step(submitted, "approve", "lin", reason="Mine."))[0] == 403
    assert bare.request().status_code == 404
    approved = seen(changes.step(submitted, "approve", "zhao", reason="As agreed."))
    assert approved.state == "active"
    bare.bus("T-1")
    found = session.execute(
        text("SELECT agreement, count(*) FROM identity_exchange_act GROUP BY 1 ORDER BY 1")
    )
    assert [tuple(row) for row in found] == [(LANZHOU.code, 2), (SHENZHEN.code, 1)]
    listed = bare.call("GET", "/agreements", role=Role.AUDITOR).json
    assert listed is not None
    assert [(each["code"], each["valid_from"], each["has_key"]) for each in listed["items"]] == [
        (LANZHOU.code, "2026-04-30T16:00:00+00:00", True),
        (SHENZHEN.code, "2026-05-31T16:00:00+00:00", True),
    ]
    assert listed["items"][1]["content"] == as_content(SHENZHEN)


def test_an_agreement_that_ends_is_asked_about_no_later_month(bare: Exchange, changes: ChangeWorld) -> None:
    end = {"kind": "agreement", "code": LANZHOU.code, "content": None, "valid_from": FROM_JULY}
    submitted = seen(changes.step(seen(changes.draft(end)), "submit", "lin", reason="Over."))
    seen(changes.step(submitted, "approve", "zhao", reason="Over."))
    assert bare.request(agreement=LANZHOU.code, period="2026-06").status_code == 201
    assert bare.request(agreement=LANZHOU.code, period="2026-07").status_code == 404
    bare.take_over(mark("T-1", agreement=LANZHOU), agreement=LANZHOU)
    assert bare.bus("T-1").disposition.code == "claimed_elsewhere"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"acts": ["cycle_ride", "flight"]}, [("items.0.content.acts.1", "unknown_act")]),
        (
            {"consent_source": "exchange_wuhan"},
            [("items.0.content.consent_source", "unknown_consent_source")],
        ),
        ({"consent_source": "trips"}, [("items.0.content.consent_source", "not_its_own")]),
        ({"consent_source": "exchange_lanzhou"}, [("items.0.content.consent_source", "not_its_own")]),
        ({"key_reference": "shenzhen-2"}, [("items.0.content.key_reference", "unknown_key")]),
    ],
)
def test_what_does_not_fit_the_programme_is_found_before_submission(
    changes: ChangeWorld, session: Session, content: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    drafted = changes.draft(item(**content))
    assert findings(drafted) == expected
    before = rows(session, "version")
    refused = changes.step(seen(drafted), "submit", "lin", reason="Ready.")
    assert problem(refused) == (422, "evidence_failed")
    assert wrong_fields(refused) == [*expected, ("evidence.static_checks", "failed")]
    assert rows(session, "version") == before


@pytest.mark.parametrize(
    ("proposed", "expected"),
    [
        (item(None), "items.0.valid_from"),
        (item("2026-07-02T00:00:00+08:00"), "items.0.valid_from"),
        (item("2026-07-01T00:00:00Z"), "items.0.valid_from"),
        ({**item(), "valid_to": "2026-08-31T00:00:00+08:00"}, "items.0.valid_to"),
        (item(code="lanzhou_2026"), "items.0.content.code"),
        (item(partner=SHENZHEN.known_as), "items.0.content.partner"),
        (item(partner_name_zh=" "), "items.0.content.partner_name_zh"),
        (item(document=""), "items.0.content.document"),
        (item(acts=[]), "items.0.content.acts"),
        (item(acts=["cycle_ride", "cycle_ride"]), "items.0.content.acts"),
        (item(consent_source="Exchange"), "items.0.content.consent_source"),
        (item(key_reference="a b"), "items.0.content.key_reference"),
        (item(direction="out"), "items.0.content.direction"),
        (item(period="week"), "items.0.content.period"),
        (item(normal_form="cn-act/2"), "items.0.content.normal_form"),
        (item(secret="a secret for examples only, 32 bytes"), "items.0.content.secret"),
    ],
)
def test_a_wrong_agreement_is_refused_by_its_field(
    changes: ChangeWorld, session: Session, proposed: dict[str, Any], expected: str
) -> None:
    before = rows(session, "change_request")
    answer = changes.draft(proposed)
    assert answer.status_code == 422, answer.text
    assert [field for field, _ in wrong_fields(answer)] == [expected]
    assert rows(session, "change_request") == before


def test_a_consent_source_of_the_same_change_counts(changes: ChangeWorld) -> None:
    own = replace(SHENZHEN, consent_source="exchange_of_this_change")
    programme = as_content(catalogue().programme)
    programme["consent_sources"][own.consent_source] = programme["consent_sources"]["exchange_lanzhou"]
    change = changes.draft(
        {"kind": "programme", "code": programme["code"], "content": programme},
        {**item(), "content": as_content(own)},
    )
    assert seen(change).body["missing"] == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("not JSON", "CARBONPOINTS_EXCHANGE_KEYS must be a JSON object of texts"),
        ('["x"]', "CARBONPOINTS_EXCHANGE_KEYS must be a JSON object of texts"),
        ('{"a": 7}', "CARBONPOINTS_EXCHANGE_KEYS must be a JSON object of texts"),
        ('{"a": "short secret"}', "CARBONPOINTS_EXCHANGE_KEYS: a must have at least 32 bytes"),
    ],
)
def test_secrets_come_from_the_environment_and_are_never_told(
    environment: dict[str, str], value: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({**environment, "CARBONPOINTS_EXCHANGE_KEYS": value})
    assert str(caught.value) == message
    told = load_settings(environment)
    assert set(told.exchange_keys) == {"shenzhen-1", "lanzhou-1"}
    assert "secret of the tests and Shenzhen" not in repr(told)
    assert load_settings({**environment, "CARBONPOINTS_EXCHANGE_KEYS": ""}).exchange_keys == {}
