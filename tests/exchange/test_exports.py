"""Claims out: two persons, once, of what stands and whose customers consent, and all of it written down."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from tests.behaviours.api import Api
from tests.behaviours.world import NOW, rows
from tests.exchange.world import (
    LANZHOU,
    SHENZHEN,
    Exchange,
    consent,
    mark,
    marks_file,
    ride_mark,
    seed,
    ticket,
)

APPROVED_FROM_THE_START = """
INSERT INTO exchange_export (export_id, programme_id, agreement, period, reason, maker_person, requested_at,
    checker_person, approved_at)
SELECT gen_random_uuid(), programme_id, agreement, period, reason, maker_person, requested_at, 'zhao', now()
FROM exchange_export
"""


def refusal(answer: TestResponse) -> tuple[int, str]:
    assert answer.json is not None, answer.text
    return answer.status_code, answer.json["code"]


def asked(exchange: Exchange, **about: Any) -> str:
    answer = exchange.request(**about)
    assert answer.status_code == 201, answer.text
    assert answer.json is not None
    return str(answer.json["export_id"])


def row(session: Session) -> dict[str, Any]:
    return dict(session.execute(text("SELECT * FROM exchange_export")).mappings().one())


def test_a_file_holds_what_stands_here_and_nothing_of_persons(exchange: Exchange) -> None:
    exchange.bus("T-1")
    exchange.bus("T-2", customer="C2")
    start, end = NOW - timedelta(minutes=60), NOW - timedelta(minutes=48)
    data = {"distance_km": "2", "vehicle_hash": "b1f0", "trip_reference": "R-1"}
    exchange.world.one(
        "shared_bike_trip", {**data, "started_at": start.isoformat(), "ended_at": end.isoformat()}, at=end
    )
    header, *marks, last = [json.loads(line) for line in exchange.exported()]
    assert header == {
        "format": "cn-act-marks/1",
        "normal_form": "cn-act/1",
        "agreement": SHENZHEN.code,
        "from": "zhangye:carbon",
        "to": "shenzhen:carbon",
        "period": "2026-06",
        "time_zone": "Asia/Shanghai",
    }
    ridden = ride_mark("b1f0", start, end)
    expected = [
        {"fingerprint": mark("T-1").fingerprint.hex()},
        {
            "fingerprint": ridden.fingerprint.hex(),
            "start": "2026-06-15T03:00:00.000000Z",
            "end": "2026-06-15T03:12:00.000000Z",
        },
    ]
    assert marks == sorted(expected, key=lambda each: each["fingerprint"])
    assert last == {"marks": 2}


def test_another_agreement_and_another_period_give_other_files(exchange: Exchange) -> None:
    exchange.bus("T-1")
    assert json.loads(exchange.exported(agreement=LANZHOU.code)[1]) == {
        "fingerprint": mark("T-1", agreement=LANZHOU).fingerprint.hex()
    }
    assert exchange.exported(period="2026-07")[1:] == ['{"marks":0}']


def test_an_export_is_approved_by_another_person(exchange: Exchange, session: Session) -> None:
    export_id = asked(exchange, person="wang")
    assert refusal(exchange.file(export_id)) == (409, "export_step")
    assert refusal(exchange.approve(export_id, person="wang")) == (403, "four_eyes")
    assert (row(session)["checker_person"], row(session)["approved_at"]) == (None, None)
    approved = exchange.approve(export_id, person="zhao").json
    assert approved is not None
    assert (approved["state"], approved["maker_person"], approved["checker_person"]) == (
        "approved",
        "wang",
        "zhao",
    )
    assert refusal(exchange.approve(export_id, person="sun")) == (409, "export_step")
    assert row(session)["checker_person"] == "zhao"


def test_a_file_is_taken_once_and_what_left_is_written_down(exchange: Exchange, session: Session) -> None:
    exchange.bus("T-1")
    export_id = asked(exchange)
    exchange.approve(export_id)
    taken = exchange.file(export_id, person="sun")
    assert taken.headers["Content-Disposition"] == (
        'attachment; filename="zhangye_carbon-shenzhen_2026-2026-06.jsonl"'
    )
    assert taken.headers["Content-Type"] == "application/jsonl"
    before = row(session)
    assert refusal(exchange.file(export_id)) == (409, "export_step")
    assert row(session) == before
    assert (before["taken_by"], before["marks"]) == ("sun", 1)
    assert before["file_hash"] == hashlib.sha256(taken.data).digest()
    logged = session.execute(
        text(
            "SELECT action, actor_role, purpose, detail FROM audit_record WHERE action LIKE 'exchange.export%' ORDER BY action"
        )
    ).all()
    assert [(each.action, each.actor_role, each.purpose) for each in logged] == [
        ("exchange.export.approve", "operations", "monthly"),
        ("exchange.export.request", "operations", "monthly"),
        ("exchange.export.take", "operations", "monthly"),
    ]
    assert logged[2].detail == {
        "export_id": export_id,
        "agreement": SHENZHEN.code,
        "period": "2026-06",
        "marks": 1,
        "file_hash": before["file_hash"].hex(),
    }


def test_those_who_watch_see_every_export(exchange: Exchange) -> None:
    exchange.exported()
    exchange.exported()
    for role in (Role.AUDITOR, Role.DATA_PROTECTION):
        listed = exchange.call("GET", "/exports", role=role).json
        assert listed is not None
        assert [each["state"] for each in listed["items"]] == ["taken", "taken"]
        assert {each["export_id"] for each in listed["items"]} != {listed["items"][0]["export_id"]}
        assert exchange.call("POST", "/exports", role=role, json={}).status_code == 403


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE exchange_export SET checker_person = maker_person, approved_at = now()",
        "UPDATE exchange_export SET checker_person = 'zhao'",
        "UPDATE exchange_export SET taken_by = 'wang', taken_at = now(), marks = 0, file_hash = '\\x00'",
        "UPDATE exchange_export SET maker_person = 'somebody else'",
        "UPDATE exchange_export SET checker_person = 'zhao', approved_at = now(), period = '2026-07-01'",
        "DELETE FROM exchange_export",
        "TRUNCATE exchange_export",
        APPROVED_FROM_THE_START,
    ],
)
def test_the_database_refuses_an_export_by_one_person_or_a_change_of_it(
    exchange: Exchange, session: Session, statement: str
) -> None:
    asked(exchange)
    before = row(session)
    with pytest.raises(DBAPIError), session.begin_nested():
        session.execute(text(statement))
    assert row(session) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE exchange_export SET checker_person = 'sun'",
        "UPDATE exchange_export SET checker_person = NULL, approved_at = NULL",
        "UPDATE exchange_export SET taken_by = 'wang', taken_at = now()",
    ],
)
def test_an_approval_never_changes(exchange: Exchange, session: Session, statement: str) -> None:
    exchange.approve(asked(exchange))
    before = row(session)
    with pytest.raises(DBAPIError), session.begin_nested():
        session.execute(text(statement))
    assert row(session) == before


def test_what_left_never_changes(exchange: Exchange, session: Session) -> None:
    exchange.exported()
    before = row(session)
    with pytest.raises(DBAPIError), session.begin_nested():
        session.execute(text("UPDATE exchange_export SET marks = 7"))
    assert row(session) == before


def test_nothing_leaves_of_those_who_consent_no_more(exchange: Exchange) -> None:
    exchange.bus("T-1")
    consent(exchange.world, "C2", SHENZHEN.consent_source)
    exchange.bus("T-2", customer="C2")
    export_id = asked(exchange)
    exchange.approve(export_id)
    exchange.withdraw(SHENZHEN.consent_source)
    lines = exchange.file(export_id).get_data(as_text=True).splitlines()
    assert lines[1:] == [f'{{"fingerprint":"{mark("T-2").fingerprint.hex()}"}}', '{"marks":1}']
    # The other agreement has a consent of its own.
    assert exchange.exported(agreement=LANZHOU.code)[-1] == '{"marks":1}'


def test_a_consent_covers_acts_from_its_own_instant_on(exchange: Exchange) -> None:
    consent(exchange.world, "C2", SHENZHEN.consent_source, covers_from=NOW)
    exchange.bus("T-1", customer="C2", at=NOW - timedelta(seconds=1))
    exchange.bus("T-2", customer="C2", at=NOW)
    assert exchange.exported()[1:] == [f'{{"fingerprint":"{mark("T-2").fingerprint.hex()}"}}', '{"marks":1}']
    exchange.withdraw(SHENZHEN.consent_source, "C2")
    with clock_at(NOW + timedelta(hours=1)):
        consent_again = {"source": SHENZHEN.consent_source, "text_version": "2026-05", "channel": "app"}
        path = f"/accounts/acct_{exchange.world.accounts['C2']}/consents"
        api = Api(exchange.client, exchange.settings, role=Role.CUSTOMER, subject="C2")
        assert api.call("POST", path, json=consent_again).status_code == 200
        assert exchange.exported()[1:] == ['{"marks":0}']


def test_nothing_leaves_that_does_not_stand(exchange: Exchange) -> None:
    exchange.bus("T-reversed", event_id="E-1")
    exchange.world.take_back("E-1", behaviour="bus_trip")
    exchange.bus("T-old", event_id="E-2")
    exchange.world.one("bus_trip", ticket("T-new"), event_id="E-2", revision=1)
    exchange.take_over(mark("T-marked"))
    exchange.bus("T-marked", event_id="E-3")
    ended = [exchange.bus(f"T-{number}") for number in range(30)]
    credited = {f"T-{number}" for number, each in enumerate(ended) if each.amount_millicredits}
    assert 0 < len(credited) < 30
    found = {json.loads(line)["fingerprint"] for line in exchange.exported()[1:-1]}
    assert found == {mark(reference).fingerprint.hex() for reference in {"T-new", *credited}}


def test_an_act_that_is_free_again_leaves_under_its_new_event(exchange: Exchange) -> None:
    exchange.bus("T-1", event_id="E-1")
    exchange.world.take_back("E-1", behaviour="bus_trip")
    exchange.bus("T-1", event_id="E-2")
    assert exchange.exported()[1:] == [f'{{"fingerprint":"{mark("T-1").fingerprint.hex()}"}}', '{"marks":1}']


def test_what_is_exported_comes_in_at_the_other_side(exchange: Exchange) -> None:
    """The other programme registers the same, the other way round; here it credits the same ticket."""
    exchange.bus("T-1")
    file = "\n".join([*exchange.exported(), ""]).encode()
    other = replace(SHENZHEN, partner=SHENZHEN.known_as, known_as=SHENZHEN.partner)
    turned = file.replace(b'"from":"zhangye:carbon"', b'"from":"shenzhen:carbon"').replace(
        b'"to":"shenzhen:carbon"', b'"to":"zhangye:carbon"'
    )
    assert exchange.send(file).status_code == 422
    assert (other.partner, turned != file) == ("zhangye:carbon", True)
    answer = exchange.send(turned)
    assert answer.json is not None
    assert (answer.status_code, answer.json["conflicts"]) == (201, 1)


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"agreement": "wuhan_2026"}, (404, "unknown_agreement")),
        ({"period": "2026-04"}, (404, "unknown_agreement")),
        ({"period": "2026-13"}, (422, "invalid_request")),
        ({"role": Role.RULE_MAKER}, (403, "forbidden")),
    ],
)
def test_an_export_needs_an_agreement_of_that_month(
    exchange: Exchange, session: Session, about: dict[str, Any], expected: tuple[int, str]
) -> None:
    answer = exchange.request(**about)
    assert answer.status_code == expected[0], answer.text
    if expected[0] != 403:
        assert refusal(answer) == expected
    assert rows(session, "exchange_export") == 0
    assert refusal(exchange.approve("00000000-0000-0000-0000-000000000000")) == (404, "export_not_found")


@pytest.mark.parametrize("direction", ["import", "export"])
def test_an_agreement_covers_its_own_direction_only(
    session: Session, client: FlaskClient, settings: Settings, direction: Literal["import", "export"]
) -> None:
    with clock_at(NOW):
        exchange = Exchange(seed([replace(SHENZHEN, direction=direction)]), client, settings)
        imported, exported = exchange.send(marks_file(mark("T-1"))), exchange.request()
        refused, taken = (exported, imported) if direction == "import" else (imported, exported)
        assert refusal(refused) == (409, "other_direction")
        assert taken.status_code == 201
        assert rows(session, "exchange_import") + rows(session, "exchange_export") == 1
        session.rollback()
