"""Events over HTTP: one and many, who may send what, and what comes back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.intake import LocalDates
from carbonpoints.behaviours.staged import microseconds_of, stage_event
from carbonpoints.core.clock import Calendar, clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.crypto import IDENTITY_BYTES, SUITE
from carbonpoints.core.ids import account_public_id
from carbonpoints.core.roles import Role
from carbonpoints.core.sentences import CAVEAT
from carbonpoints.ledger.reconcile import check
from tests.behaviours.api import BANK, BATCH, ONE, TRANSIT, Api, body, ends, event, refusal, ride, wrong
from tests.behaviours.world import NOW, World, payment, rows

TABLES = ("decision", "entry", "event_payload", "identity_event", "identity_claim", "identity_undecided")


@pytest.fixture
def api(world: World, client: FlaskClient, settings: Settings) -> Api:
    return Api(client, settings)


def stored(session: Session) -> dict[str, int]:
    return {table: rows(session, table) for table in TABLES}


# One and many


def test_one_event_comes_back_with_its_decision_and_the_balance(api: Api, world: World) -> None:
    answer = body(api.post(ride("E-1"), ONE))
    account = account_public_id(world.accounts["C1"])
    (item,) = answer["items"]
    assert item == {
        "source": TRANSIT,
        "id": "E-1",
        "disposition": "credited",
        "event_id": item["event_id"],
        "account_id": account,
        "reduction_mg": 134_500,
        "amount_millicredits": 134_500,
        "reason": None,
        "errors": [],
    }
    assert answer["caveat"] == CAVEAT._asdict()
    balances = answer["balances"][account]
    assert (balances["available_millicredits"], balances["lifetime_reduction_mg"]) == (134_500, 134_500)


def test_a_batch_is_answered_in_order_whatever_its_sources_and_accounts(api: Api) -> None:
    customers = {"C2": "CUSTOMER_REF:C2", "C3": "CUSTOMER_REF:C3", "C9": "CUSTOMER_REF:C9"}
    sent = [
        ride("E-1"),
        event("E-2", subject=customers["C2"]),
        event("E-3", time="yesterday"),
        7,
        event("E-4", subject=customers["C3"]),
        ride("E-5", distance_km="0"),
        event("E-6", subject=customers["C9"]),
        event("E-7", time=(NOW + timedelta(days=1)).isoformat()),
        event("E-8", type="carbonpoints.behaviour.flying"),
        event("E-9", type="carbonpoints.reversal", data={"source": BANK, "id": "E-0", "reason": "fraud"}),
        ride("E-1"),
        event("E-10", source="urn:zhangye:charging"),
        event("E-11", data=payment("of E-11", standing_order=True)),
        event("E-12", time=(NOW - timedelta(days=31)).isoformat()),
    ]
    answers = api.deliver(*sent)
    assert ends(answers) == [
        "credited",
        "credited",
        "invalid",
        "invalid",
        "no_consent",
        "invalid",
        "unknown_account",
        "future",
        "unknown_behaviour",
        "awaiting_original",
        "duplicate",
        "invalid",
        "ineligible",
        "too_late",
    ]
    names = [item["id"] if isinstance(item, dict) else "" for item in sent]
    assert [item["id"] for item in answers] == names
    decided = [item["event_id"] is not None for item in answers]
    assert [index for index, is_decided in enumerate(decided) if is_decided] == [0, 1, 10, 12, 13]


def test_the_standing_of_each_item_can_be_asked_for(api: Api) -> None:
    answers = api.deliver(ride("E-1"), event("E-2", subject="CUSTOMER_REF:C3"), event("E-3", time="x"))
    found = [body(api.get("/events", source=item["source"], id=item["id"])) for item in answers]
    assert ends(found) == ends(answers) == ["credited", "no_consent", "invalid"]
    assert [item["event_id"] for item in found] == [item["event_id"] for item in answers]
    assert [bool(item["sentence"]["en"] and item["sentence"]["zh"]) for item in found] == [True] * 3
    assert refusal(api.get("/events", source=BANK, id="never sent")) == (404, "event_not_found")


def test_a_thousand_events_and_no_more(api: Api, session: Session) -> None:
    bad = [event(str(number), time="x") for number in range(1001)]
    assert ends(api.deliver(*bad[:1000])) == ["invalid"] * 1000
    before = stored(session)
    for items in (bad, []):
        answer = api.post(items, BATCH)
        assert refusal(answer) == (422, "invalid_request")
        assert wrong(answer) == [("", "wrong_length")]
    assert stored(session) == before


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "", "application/cloudevents+xml"])
def test_other_media_types_are_refused(api: Api, session: Session, media_type: str) -> None:
    before = stored(session)
    assert refusal(api.post(event("E-1"), media_type))[0] == 415
    assert stored(session) == before


def test_a_charset_is_no_other_media_type_and_the_types_are_not_confused(api: Api) -> None:
    assert api.post(event("E-1"), f"{ONE}; charset=utf-8").status_code == 200
    assert refusal(api.post([event("E-2")], ONE)) == (422, "invalid_request")
    assert refusal(api.post(event("E-2"), BATCH)) == (422, "invalid_request")


@pytest.mark.parametrize(
    "text_sent", ["{", '{"id": 1, "id": 2}', "NaN", '{"id": "\\ud800"}', "[1e999999]", "9" * 5000]
)
def test_what_is_no_strict_json_is_refused_whole(api: Api, text_sent: str) -> None:
    for media_type in (ONE, BATCH):
        answer = api.call("POST", "/events", data=text_sent, headers={"Content-Type": media_type})
        assert refusal(answer) == (400, "malformed_request")


# What is wrong, in two languages


def test_wrong_fields_have_the_same_codes_in_both_languages(api: Api) -> None:
    item = ride("E-1", distance_km="0", colour="green") | {"extra": 1}
    for broken in (item, {**item, "extra": None, "time": "x"}, ride("E-1", distance_km="0", colour="green")):
        english, chinese = (replace(api, language=tag).post(broken, ONE) for tag in ("en", "zh-CN"))
        assert refusal(english) == refusal(chinese) == (422, "invalid_request")
        assert wrong(english) == wrong(chinese)
        assert english.json is not None
        assert chinese.json is not None
        for ours, theirs in zip(english.json["errors"], chinese.json["errors"], strict=True):
            assert ours["detail"].isascii()
            assert not theirs["detail"].isascii()
    assert wrong(english) == [
        ("data.colour", "unknown_attribute"),
        ("data.distance_km", "too_small"),
    ]


# Who may send what


def test_a_partner_gets_no_balances_and_core_banking_does(api: Api, world: World) -> None:
    partner = replace(api, role=Role.FEED_PARTNER)
    assert body(partner.post(ride("E-1"), ONE))["balances"] == {}
    assert body(api.post(ride("E-2"), ONE))["balances"].keys() == {account_public_id(world.accounts["C1"])}


def test_nobody_speaks_for_anothers_source(api: Api, session: Session) -> None:
    partner = replace(api, role=Role.FEED_PARTNER, sources=[TRANSIT])
    before = stored(session)
    assert refusal(partner.post(event("E-1"), ONE)) == (403, "source_not_yours")
    assert refusal(partner.get("/events", source=BANK, id="E-1")) == (404, "event_not_found")
    assert stored(session) == before
    mixed = partner.deliver(event("E-1"), ride("E-2"), event("E-3"))
    assert ends(mixed) == ["invalid", "credited", "invalid"]
    assert [error["code"] for item in mixed for error in item["errors"]] == ["source_not_yours"] * 2


def test_a_source_that_is_not_registered_does_not_sink_the_others(api: Api, session: Session) -> None:
    partner = replace(api, sources=[TRANSIT, "urn:nobody"])
    before = stored(session)
    assert refusal(partner.post(event("E-1", source="urn:nobody"), ONE)) == (422, "unknown_source")
    assert stored(session) == before
    items = partner.deliver(event("E-1", source="urn:nobody"), ride("E-2"))
    assert ends(items) == ["invalid", "credited"]
    assert [(error["field"], error["code"]) for error in items[0]["errors"]] == [("source", "unknown_source")]


BUSES = "urn:zhangye:transit"
"""The bus company, which has nothing to say about anything but trips."""


def test_a_source_reports_the_behaviours_of_its_consents_only(api: Api, session: Session) -> None:
    case = {
        "case_hash": "9a0c",
        "category": "vehicle",
        "fully_online": True,
        "completed": True,
        "reported_by": "government_platform",
    }
    forged = event("E-1", "e_government_service", source=BUSES, data=case)
    assert ends([replace(api, sources=[BUSES]).send(forged)]) == ["unknown_behaviour"]
    assert (rows(session, "identity_event"), rows(session, "identity_claim")) == (0, 0)


# Once


def test_the_answer_to_a_repeat_names_the_first_decision(api: Api, session: Session) -> None:
    first = api.send(ride("E-1"))
    before = stored(session)
    again = api.send(ride("E-1"))
    assert again == {**first, "disposition": "duplicate", "reduction_mg": 0, "amount_millicredits": 0}
    assert ends([api.send(ride("E-1", distance_km="6"))]) == ["conflict"]
    assert stored(session) == before


def test_what_was_decided_is_answered_as_decided_when_its_consent_has_ended(
    api: Api, world: World, session: Session
) -> None:
    first = api.send(ride("E-1"))
    _withdraw(api, world, "trips")
    before = stored(session)
    again = api.send(ride("E-1"))
    assert (again["disposition"], again["event_id"]) == ("duplicate", first["event_id"])
    assert stored(session) == before
    assert ends([api.send(ride("E-2"))]) == ["no_consent"]


def test_what_was_decided_is_answered_as_decided_when_its_subject_is_gone(api: Api, session: Session) -> None:
    first = api.send(ride("E-1"))
    session.execute(text("DELETE FROM identity_holder"))
    session.commit()
    before = stored(session)
    again = api.send(ride("E-1"))
    assert (again["disposition"], again["event_id"]) == ("duplicate", first["event_id"])
    assert stored(session) == before
    assert ends([api.send(ride("E-2"))]) == ["unknown_account"]


def _withdraw(api: Api, world: World, source: str) -> None:
    customer = replace(api, role=Role.CUSTOMER, subject="C1")
    path = f"/accounts/{account_public_id(world.accounts['C1'])}/consents/{source}/withdrawal"
    body(customer.call("POST", path, json={"channel": "app"}))


def test_a_conflicting_repeat_claims_no_other_act(api: Api) -> None:
    api.send(ride("E-1"))
    assert ends([api.send(ride("E-1", ticket_reference="another"))]) == ["conflict"]
    assert ends([api.send(ride("E-2", ticket_reference="another"))]) == ["credited"]


# Odd contents


ODD = [
    'quote " and \\ backslash',
    "\\N",
    "\\.",
    "中文😀𝕏",
    "\\u0000",
    "{}",
    "%s %(x)s",
    "'; --",
]


@pytest.mark.parametrize("odd", ODD)
def test_what_was_sent_is_what_is_kept_and_what_the_commitment_covers(
    api: Api, session: Session, settings: Settings, odd: str
) -> None:
    sent = ride(f"id {odd}", ticket_reference=odd)
    item = api.send(sent)
    assert item["disposition"] == "credited"
    content = session.scalars(text("SELECT content FROM event_payload")).one()
    kept = json.loads(content)
    assert (kept["id"], kept["source"], kept["subject"]) == (sent["id"], TRANSIT, "CUSTOMER_REF:C1")
    assert (kept["data"], kept["time_us"]) == (sent["data"], microseconds_of(NOW))
    assert content == json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    commitment = session.scalars(text("SELECT commitment FROM decision WHERE commitment IS NOT NULL")).one()
    assert commitment == SUITE.mac(settings.identity_key, content.encode())[:IDENTITY_BYTES]
    assert ends([api.send(sent)]) == ["duplicate"]
    assert body(api.get("/events", source=TRANSIT, id=sent["id"]))["event_id"] == item["event_id"]


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)


@given(
    names=st.tuples(TEXTS, TEXTS, TEXTS, TEXTS),
    data=st.dictionaries(TEXTS, TEXTS | st.booleans(), max_size=4),
    number=st.integers(-(2**40), 2**40),
)
def test_the_written_out_canonical_form_is_that_of_the_general_encoder(
    names: tuple[str, str, str, str], data: dict[str, str | bool], number: int
) -> None:
    event_id, subject, behaviour, source = names
    staged = stage_event(
        source,
        event_id=event_id,
        subject=subject,
        occurred_at_us=number,
        revision=abs(number) % 30_000,
        behaviour=behaviour,
        data=data,
    )
    fields = {
        "id": event_id,
        "source": source,
        "subject": subject,
        "time_us": number,
        "revision": staged.revision,
        "type": behaviour,
        "data": data,
    }
    general = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert staged.content == general


# Time


def test_caps_go_by_the_programmes_day(api: Api, session: Session) -> None:
    times = {
        "E-1": "2026-06-14T15:59:59.999999Z",
        "E-2": "2026-06-14T16:00:00Z",
        "E-3": "2026-06-15T01:00:00+10:00",
    }
    for event_id, at in times.items():
        api.send(ride(event_id, distance_km="1") | {"time": at})
    dates = session.scalars(text("SELECT local_date FROM decision WHERE kind = 2 ORDER BY account_seq")).all()
    assert [day.isoformat() for day in dates] == ["2026-06-14", "2026-06-15", "2026-06-14"]


ZONES = (
    "Asia/Shanghai",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Pacific/Apia",
)


@given(
    zone=st.sampled_from(ZONES),
    instants=st.lists(
        st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(lambda day: day.replace(tzinfo=UTC)),  # noqa: DTZ001 - bounds that the strategy wants naive
        max_size=20,
    ),
    jitter_us=st.integers(-900_000_001, 900_000_001),
)
def test_remembered_local_dates_are_those_of_the_calendar(
    zone: str, instants: list[datetime], jitter_us: int
) -> None:
    """Also on the days on which clocks change, and on the one that Samoa left out."""
    calendar = Calendar(zone)
    dates = LocalDates(calendar)
    changes = [datetime(2011, 12, 30, 10, tzinfo=UTC), datetime(1991, 9, 14, 15, tzinfo=UTC)]
    for instant in [*instants, *changes]:
        near = instant + timedelta(microseconds=jitter_us)
        for at in (instant, near):
            assert dates.of(microseconds_of(at)) == calendar.local_date(at)


def test_booking_time_never_runs_backwards_when_the_clock_does(api: Api, session: Session) -> None:
    with clock_at(NOW + timedelta(hours=1)):
        api.send(ride("E-1", distance_km="1"))
    assert ends([api.send(ride("E-2", distance_km="1"))]) == ["credited"]
    decided = session.execute(
        text("SELECT received_at, booked_at FROM decision WHERE kind = 2 ORDER BY account_seq")
    ).all()
    later = NOW + timedelta(hours=1)
    assert decided == [(later, later), (NOW, later)]
    assert [finding.code for finding in check(session) if finding.differences] == []


def test_the_ledger_is_proven_after_everything_at_once(api: Api, session: Session) -> None:
    api.deliver(*(ride(f"E-{number}", distance_km="60") for number in range(9)), event("P-1"))
    assert [finding.code for finding in check(session) if finding.differences] == []
