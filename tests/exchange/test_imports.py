"""Files of marks: whole or not at all, once, and conflicts for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, InternalError
from sqlalchemy.orm import Session

from carbonpoints.core.roles import Role
from tests.behaviours.world import NOW, rows
from tests.conftest import EXCHANGE_KEYS
from tests.exchange.world import (
    LANZHOU,
    SHENZHEN,
    Exchange,
    mark,
    marks_file,
    ride_mark,
)

TABLES = ("identity_exchange_mark", "exchange_import", "audit_record")
GOOD = marks_file(mark("T-1"), ride_mark("b1f0", NOW - timedelta(minutes=9), NOW))
HEADER, POINT, RIDE, END = (line + b"\n" for line in GOOD.splitlines())


def kept(session: Session) -> dict[str, int]:
    return {table: rows(session, table) for table in TABLES}


def wrong(answer: Any) -> list[tuple[str, str]]:
    assert answer.json is not None, answer.text
    return [(each["field"], each["code"]) for each in answer.json["errors"]]


def changed(line: bytes, old: str, new: str) -> bytes:
    assert old.encode() in line
    return line.replace(old.encode(), new.encode())


def test_an_import_is_kept_whole_and_written_down(exchange: Exchange, session: Session) -> None:
    before = kept(session)
    imported = exchange.send(GOOD).json
    assert imported is not None
    assert (imported["agreement"], imported["period"], imported["marks"]) == (SHENZHEN.code, "2026-06", 2)
    assert imported["person"] == "wang"
    assert kept(session) == {
        **before,
        "identity_exchange_mark": 2,
        "exchange_import": 1,
        "audit_record": before["audit_record"] + 1,
    }
    row = session.execute(
        text("SELECT action, detail FROM audit_record ORDER BY recorded_at DESC, audit_id DESC LIMIT 1")
    ).one()
    assert row.action == "exchange.import"
    assert row.detail == {
        "import_id": imported["import_id"],
        "agreement": SHENZHEN.code,
        "period": "2026-06",
        "marks": 2,
        "file_hash": imported["file_hash"],
    }
    listed = exchange.call("GET", "/imports", role=Role.DATA_PROTECTION).json
    assert listed is not None
    assert listed["items"] == [{k: v for k, v in imported.items() if k not in {"conflicts", "undecided"}}]


def test_the_same_file_again_changes_nothing(exchange: Exchange, session: Session) -> None:
    first = exchange.send(GOOD)
    before = kept(session)
    again = exchange.send(GOOD)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json
    assert kept(session) == before
    assert exchange.send(marks_file(mark("T-1"))).status_code == 201


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (b"", [("lines.1", "cut_off"), ("lines.1", "no_header")]),
        (b"[]\n", [("lines.1", "no_object"), ("lines.1", "no_header")]),
        (POINT + END, [("lines.1", "no_header")]),
        (changed(HEADER, '"to":', '"too":') + END, [("lines.1", "no_header")]),
        (changed(HEADER, '"2026-06"', "6") + END, [("lines.1", "no_header")]),
        (changed(HEADER, "cn-act-marks/1", "cn-act-marks/2") + END, [("lines.1.format", "other_value")]),
        (changed(HEADER, "2026-06", "2026-6") + END, [("lines.1.period", "no_month")]),
        (changed(HEADER, "cn-act/1", "cn-act/2") + END, [("lines.1.normal_form", "other_value")]),
        (changed(HEADER, "Shanghai", "Urumqi") + END, [("lines.1.time_zone", "other_value")]),
        (
            HEADER.replace(b'"from":"shenzhen', b'"from":"zhangye').replace(
                b'"to":"zhangye', b'"to":"shenzhen'
            )
            + END,
            [("lines.1.from", "other_value"), ("lines.1.to", "other_value")],
        ),
        (HEADER + POINT, [("lines.3", "cut_off")]),
        (HEADER + POINT + RIDE + END[:-1], [("lines.4", "cut_off")]),
        (HEADER + POINT + END, [("lines.3.marks", "other_count")]),
        (HEADER + POINT + b'{"marks":true}\n', [("lines.3.marks", "other_count")]),
        (GOOD + POINT, [("lines.4", "goes_on")]),
        (HEADER + b"\n" + END, [("lines.2", "no_object"), ("lines.3.marks", "other_count")]),
        (HEADER + b"{}\n" + b'{"marks":1}\n', [("lines.2", "fields")]),
        (HEADER + changed(POINT, '"}', '","note":""}') + b'{"marks":1}\n', [("lines.2", "fields")]),
        (HEADER + changed(RIDE, '"end"', '"ends"') + b'{"marks":1}\n', [("lines.2", "fields")]),
        (
            HEADER + POINT.upper().replace(b"FINGERPRINT", b"fingerprint") + b'{"marks":1}\n',
            [("lines.2.fingerprint", "no_fingerprint")],
        ),
        (HEADER + b'{"fingerprint":"ab"}\n{"marks":1}\n', [("lines.2.fingerprint", "no_fingerprint")]),
        (HEADER + b'{"fingerprint":7}\n{"marks":1}\n', [("lines.2.fingerprint", "no_fingerprint")]),
        (
            HEADER + changed(RIDE, ".000000Z", "Z") + b'{"marks":1}\n',
            [("lines.2.end", "no_instant"), ("lines.2.start", "no_instant")],
        ),
        (HEADER + changed(RIDE, "04:00:00", "03:51:00") + b'{"marks":1}\n', [("lines.2.end", "not_later")]),
        (
            HEADER + RIDE.replace(b"2026-06", b"2026-07") + b'{"marks":1}\n',
            [("lines.2.start", "other_period")],
        ),
        (
            HEADER + RIDE.replace(b"2026-06", b"2026-05") + b'{"marks":1}\n',
            [("lines.2.start", "other_period")],
        ),
        (HEADER + b" " * 1_001 + b"\n", [("lines.2", "too_long")]),
        (
            HEADER + b'{"fingerprint":"\xff"}\n' + b'{"marks":1}\n',
            [("lines.2", "no_object"), ("lines.3.marks", "other_count")],
        ),
    ],
)
def test_a_file_with_anything_wrong_is_refused_whole_by_line(
    exchange: Exchange, session: Session, file: bytes, expected: list[tuple[str, str]]
) -> None:
    before = kept(session)
    answer = exchange.send(file)
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["code"] == "marks_refused"
    assert sorted(wrong(answer)) == sorted(expected)
    assert kept(session) == before
    assert exchange.bus("T-1").disposition.code == "credited"


def test_a_hundred_wrong_lines_are_enough(exchange: Exchange, session: Session) -> None:
    answer = exchange.send(HEADER + b"{}\n" * 150 + b'{"marks":150}\n')
    assert wrong(answer) == [(f"lines.{no}", "fields") for no in range(2, 102)]
    assert rows(session, "identity_exchange_mark") == 0


def test_a_mark_on_the_bound_of_the_period_belongs_to_it(exchange: Exchange) -> None:
    midnight = NOW.replace(day=30, hour=16)
    last = ride_mark("b1f0", midnight - timedelta(minutes=1), midnight)
    first = ride_mark("b1f0", midnight - timedelta(days=30, minutes=1), midnight - timedelta(days=30))
    assert exchange.send(marks_file(last, first)).status_code == 201
    after = ride_mark("b1f0", midnight, midnight + timedelta(minutes=1))
    assert wrong(exchange.send(marks_file(after))) == [("lines.2.start", "other_period")]


@pytest.mark.parametrize(("old", "new"), [(SHENZHEN.code, "wuhan_2026"), ("2026-06", "2026-04")])
def test_nothing_comes_in_without_an_agreement_of_that_month(
    exchange: Exchange, session: Session, old: str, new: str
) -> None:
    before = kept(session)
    answer = exchange.send(changed(HEADER, old, new) + POINT + b'{"marks":1}\n')
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (404, "unknown_agreement")
    assert kept(session) == before


def test_nothing_comes_in_while_the_secret_is_missing(exchange: Exchange, session: Session) -> None:
    before = kept(session)
    app = exchange.client.application
    told = app.config["CARBONPOINTS"]
    app.config["CARBONPOINTS"] = replace(
        told, exchange_keys={"lanzhou-1": EXCHANGE_KEYS["lanzhou-1"].encode()}
    )
    try:
        answer = exchange.send(GOOD)
        assert exchange.request().status_code == 503
        # An act is credited, and is not checked.
        assert exchange.bus("T-1").disposition.code == "credited"
    finally:
        app.config["CARBONPOINTS"] = told
    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (503, "exchange_key_missing")
    assert {**kept(session), "audit_record": before["audit_record"]} == before
    agreements = session.scalars(text("SELECT agreement FROM identity_exchange_act")).all()
    assert agreements == [LANZHOU.code]


def test_what_was_credited_before_its_mark_came_is_a_conflict_and_stays(
    exchange: Exchange, session: Session
) -> None:
    receipt = exchange.bus("T-1", event_id="E-1")
    exchange.bus("T-2", event_id="E-2")
    before = rows(session, "decision"), rows(session, "entry")
    imported = exchange.take_over(mark("T-9"), mark("T-1"))
    assert (imported["conflicts"], imported["undecided"]) == (1, 0)
    found = exchange.conflicts(imported)
    assert {**found, "caveat": None} == {
        "total": 1,
        "undecided": 0,
        "items": [
            {
                "line": 3,
                "event_id": f"evt_{receipt.account_id}_{receipt.account_seq}",
                "account_id": f"acct_{receipt.account_id}",
                "reduction_mg": 134_500,
                "amount_millicredits": receipt.amount_millicredits,
            }
        ],
        "caveat": None,
    }
    assert (rows(session, "decision"), rows(session, "entry")) == before
    read = session.execute(
        text("SELECT purpose, detail FROM audit_record WHERE action = 'exchange.conflicts.read'")
    ).one()
    assert (read.purpose, read.detail) == ("case 7", {"import_id": imported["import_id"], "conflicts": 1})


def test_a_conflict_ends_with_a_reversal_and_its_act_is_never_credited_again(exchange: Exchange) -> None:
    exchange.bus("T-1", event_id="E-1")
    imported = exchange.take_over(mark("T-1"))
    exchange.world.take_back("E-1", behaviour="bus_trip", reason="booked_in_error")
    assert exchange.conflicts(imported)["total"] == 0
    assert exchange.bus("T-1", event_id="E-2").disposition.code == "claimed_elsewhere"


def test_conflicts_need_consent_in_force_and_a_purpose(exchange: Exchange, session: Session) -> None:
    exchange.bus("T-1")
    imported = exchange.take_over(mark("T-1"))
    path = f"/imports/{imported['import_id']}/conflicts"
    refused = exchange.call("GET", path)
    assert refused.json is not None
    assert (refused.status_code, refused.json["code"]) == (422, "purpose_needed")
    assert rows(session, "audit_record WHERE action = 'exchange.conflicts.read'") == 0
    exchange.withdraw(SHENZHEN.consent_source)
    assert exchange.conflicts(imported)["total"] == 0


def test_an_event_that_earned_nothing_here_is_no_conflict(exchange: Exchange) -> None:
    for number in range(30):
        last = exchange.bus(f"T-{number}")
        if last.disposition.code == "capped":
            break
    assert last.disposition.code == "capped"
    imported = exchange.take_over(mark(f"T-{number}"), mark("T-0"))
    assert [each["line"] for each in exchange.conflicts(imported)["items"]] == [3]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE identity_exchange_mark SET line_no = 0",
        "DELETE FROM identity_exchange_mark",
        "UPDATE exchange_import SET marks = 0",
        "DELETE FROM exchange_import",
        "TRUNCATE exchange_import",
    ],
)
def test_what_came_in_is_never_changed(exchange: Exchange, session: Session, statement: str) -> None:
    exchange.send(GOOD)
    with pytest.raises((IntegrityError, InternalError)), session.begin_nested():
        session.execute(text(statement))
    assert (rows(session, "identity_exchange_mark"), rows(session, "exchange_import")) == (2, 1)


def test_conflicts_are_those_of_one_file_and_of_times_that_overlap(exchange: Exchange) -> None:
    start, end = NOW - timedelta(minutes=60), NOW - timedelta(minutes=48)
    data = {"distance_km": "2", "vehicle_hash": "b1f0", "trip_reference": "R-1"}
    ridden = {**data, "started_at": start.isoformat(), "ended_at": end.isoformat()}
    assert exchange.world.one("shared_bike_trip", ridden, at=end).disposition.code == "credited"
    exchange.bus("T-1")
    apart = exchange.take_over(
        ride_mark("b1f0", end, NOW), ride_mark("b1f0", start - timedelta(hours=1), start)
    )
    overlapping = exchange.take_over(ride_mark("b1f0", end - timedelta(minutes=1), NOW))
    other = exchange.take_over(mark("T-1"))
    assert [each["conflicts"] for each in (apart, overlapping, other)] == [0, 1, 1]
    (found,) = exchange.conflicts(overlapping)["items"]
    assert found["reduction_mg"] == 97_400
    assert exchange.conflicts(other)["items"] != [found]
