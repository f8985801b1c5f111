"""Our CloudEvents schema, with the CloudEvents SDK as the oracle of what the standard says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as SdkEvent
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from carbonpoints.behaviours.cloudevents import ENVELOPE, EventReader, ReadEvent, load_plain
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.core import strict_json
from carbonpoints.rules.attributes import AttributeChecks
from tests.behaviours.world import shipped

READER = EventReader({b.code: AttributeChecks(b) for b in shipped().behaviours})
RIDE = {"distance_km": "5", "ticket_reference": "T-1", "fare_medium": "qr"}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "E-1",
    "source": "urn:zhangye:transit",
    "type": "carbonpoints.behaviour.bus_trip",
    "subject": "CUSTOMER_REF:C1",
    "time": "2026-06-15T12:00:00+08:00",
    "data": RIDE,
}
NOON_US = 1_781_496_000_000_000
ABSENT = object()


def made(**changes: object) -> dict[str, Any]:
    return {name: value for name, value in {**EVENT, **changes}.items() if value is not ABSENT}


def read(item: object) -> ReadEvent:
    return READER.read(strict_json.loads(json.dumps(item, ensure_ascii=False)))


def wrong_fields(item: object) -> list[tuple[str, str]]:
    found = read(item)
    assert (found.event, found.disposition) == (None, Disposition.INVALID)
    return [(error.field, error.code) for error in found.errors]


def sdk(item: Mapping[str, Any]) -> Any:
    return JSONFormat().read(SdkEvent, json.dumps(item))


def sdk_accepts(item: Mapping[str, Any]) -> bool:
    try:
        sdk(item)
    except (CloudEventValidationError, ValueError, TypeError):
        return False
    return True


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"datacontenttype": "application/json"},
        {"dataschema": "https://bank.example/bus_trip.json"},
        {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=b"},
        {"revision": 0},
        {"revision": 30_000},
        {"id": "中文 编号 🚌"},
        {"id": "x" * 200, "source": "s" * 200},
        {"subject": "BANK_ACCOUNT:6222#C1"},
        {"time": "2026-06-15T04:00:00Z"},
        {"time": "2026-06-14T23:00:00.000000-05:00"},
        {"time": "2024-02-29T23:59:59.999999+08:00"},
    ],
)
def test_the_sdk_and_we_read_the_same(changes: dict[str, Any]) -> None:
    item = made(**changes)
    theirs, ours = sdk(item), read(item)
    assert ours.errors == ()
    assert ours.event is not None
    assert (ours.event_id, ours.source) == (theirs.get_id(), theirs.get_source())
    assert f"carbonpoints.behaviour.{ours.event.behaviour}" == theirs.get_type()
    assert (ours.event.event_id, ours.event.subject) == (theirs.get_id(), theirs.get_subject())
    assert ours.event.occurred_at == theirs.get_time()
    assert ours.event.revision == (theirs.get_extension("revision") or 0)
    assert ours.event.data == theirs.get_data() == RIDE


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"specversion": "0.3"}, ("specversion", "not_a_choice")),
        ({"specversion": "1"}, ("specversion", "not_a_choice")),
        ({"specversion": 1}, ("specversion", "wrong_type")),
        ({"id": ""}, ("id", "wrong_length")),
        ({"id": None}, ("id", "null")),
        ({"id": 7}, ("id", "wrong_type")),
        ({"source": ABSENT}, ("source", "required")),
        ({"source": ""}, ("source", "wrong_length")),
        ({"source": ["urn:a"]}, ("source", "wrong_type")),
        ({"type": ABSENT}, ("type", "required")),
        ({"type": ""}, ("type", "wrong_format")),
        ({"subject": ""}, ("subject", "wrong_format")),
        ({"subject": 7}, ("subject", "wrong_type")),
        ({"time": "2026-06-15T12:00:00"}, ("time", "offset_missing")),
        ({"time": "yesterday"}, ("time", "wrong_format")),
        ({"time": "2026-02-29T12:00:00Z"}, ("time", "wrong_format")),
        ({"time": "2016-12-31T23:59:60Z"}, ("time", "wrong_format")),
        ({"time": "2026-06-15"}, ("time", "wrong_format")),
        ({"time": None}, ("time", "null")),
        ({"datacontenttype": ""}, ("datacontenttype", "not_a_choice")),
        ({"dataschema": ""}, ("dataschema", "wrong_length")),
        ({"dataschema": None}, ("dataschema", "null")),
        ({"Colour": "green"}, ("Colour", "unknown_field")),
    ],
)
def test_what_the_sdk_refuses_we_refuse(changes: dict[str, Any], wrong: tuple[str, str]) -> None:
    assert not sdk_accepts(made(**changes))
    assert wrong_fields(made(**changes))[0] == wrong


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        # The SDK fills these in; a bank's event must say them itself, or a repeat could not be known.
        ({"id": ABSENT}, "id"),
        ({"specversion": ABSENT}, "specversion"),
        ({"time": ABSENT}, "time"),
        # Optional in the standard: without them nobody knows whose act it is, and what.
        ({"subject": ABSENT}, "subject"),
        ({"data": ABSENT}, "data"),
        # The standard takes any text; ours are bounded, printable and of our types and subjects.
        ({"id": "x" * 201}, "id"),
        ({"id": "a\nb"}, "id"),
        ({"source": "s" * 201}, "source"),
        ({"source": "urn:a\x1fb"}, "source"),
        ({"type": "com.example.bus"}, "type"),
        ({"type": "carbonpoints.behaviour.Bus"}, "type"),
        ({"type": "carbonpoints.behaviour.bus_trip\n"}, "type"),
        ({"subject": "C1"}, "subject"),
        ({"subject": "CUSTOMER_REF:"}, "subject"),
        ({"subject": "PASSPORT:1"}, "subject"),
        # RFC 3339, as the standard says; the SDK takes all of ISO 8601.
        ({"time": "20260615T040000Z"}, "time"),
        ({"time": "2026-W25-1T04:00:00Z"}, "time"),
        ({"time": "2026-06-15T04:00Z"}, "time"),
        ({"time": "9999-12-31T23:59:59-01:00"}, "time"),
        ({"time": "1989-12-31T23:59:59Z"}, "time"),
        # Extensions that we do not know, other content and binary data.
        ({"colour": "green"}, "colour"),
        ({"revision": -1}, "revision"),
        ({"revision": 30_001}, "revision"),
        ({"revision": "1"}, "revision"),
        ({"revision": True}, "revision"),
        ({"datacontenttype": "application/xml"}, "datacontenttype"),
        ({"data": "text"}, "data"),
        ({"data": [RIDE]}, "data"),
        ({"data": None}, "data"),
    ],
)
def test_we_are_stricter_than_the_sdk(changes: dict[str, Any], field: str) -> None:
    item = made(**changes)
    assert sdk_accepts(item)
    assert [found for found, _ in wrong_fields(item)] == [field]


def test_data_in_two_forms_is_refused_by_both() -> None:
    item = made(data_base64="e30=")
    assert not sdk_accepts(item)
    assert wrong_fields(item) == [("data_base64", "unknown_field")]


def test_binary_data_alone_is_refused_although_the_sdk_takes_it() -> None:
    item = made(data=ABSENT, data_base64="e30=")
    assert sdk_accepts(item)
    assert [field for field, _ in wrong_fields(item)] == ["data", "data_base64"]


@pytest.mark.parametrize("item", [None, 7, "text", [], [EVENT]])
def test_what_is_no_object_is_no_event(item: object) -> None:
    assert wrong_fields(item) != []
    assert (read(item).event_id, read(item).source) == ("", "")


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ({**RIDE, "colour": "green"}, [("data.colour", "unknown_attribute")]),
        ({**RIDE, "distance_km": 0}, [("data.distance_km", "too_small")]),
        ({**RIDE, "distance_km": "1e1"}, [("data.distance_km", "not_a_number")]),
        ({**RIDE, "distance_km": "9" * 21}, [("data.distance_km", "not_a_number")]),
        ({**RIDE, "distance_km": 10**39}, [("data.distance_km", "not_a_number")]),
        ({**RIDE, "distance_km": True}, [("data.distance_km", "not_a_number")]),
        ({**RIDE, "distance_km": "NaN"}, [("data.distance_km", "not_a_number")]),
        ({**RIDE, "distance_km": "٥"}, [("data.distance_km", "not_a_number")]),
        ({**RIDE, "route": {"nested": 1}}, [("data.route", "not_text")]),
        ({**RIDE, "route": "6\u2028"}, [("data.route", "control_character")]),
        ({"distance_km": None}, [(f"data.{name}", "missing") for name in RIDE]),
    ],
)
def test_attributes_are_named_with_what_is_wrong_with_them(
    data: dict[str, Any], wrong: list[tuple[str, str]]
) -> None:
    assert wrong_fields(made(data=data)) == wrong


def test_numbers_arrive_exactly_and_in_one_form() -> None:
    texts = {"5": "5", "5.200": "5.2", "+5.0": "5", "0.10": "0.1"}
    for written, canonical in texts.items():
        event = read(made(data={**RIDE, "distance_km": written})).event
        assert event is not None
        assert event.data["distance_km"] == canonical
    bare = READER.read(strict_json.loads(json.dumps(EVENT).replace('"5"', "3.217"))).event
    assert bare is not None
    assert bare.data["distance_km"] == "3.217"


def test_a_reversal_is_not_enabled_and_a_behaviour_that_nobody_knows_is_left_to_the_intake() -> None:
    assert read(made(type="carbonpoints.reversal")).disposition is Disposition.INVALID
    unknown = read(made(type="carbonpoints.behaviour.flying", data={"anything": "goes"}))
    assert unknown.event is not None
    assert (unknown.event.behaviour, unknown.event.data) == ("flying", {})


def test_the_instant_is_kept_to_the_microsecond() -> None:
    event = read(made(time="2026-06-15T12:00:00.000001+08:00")).event
    assert event is not None
    assert event.occurred_at_us == NOON_US + 1
    assert event.occurred_at == datetime(2026, 6, 15, 4, 0, 0, 1, tzinfo=UTC)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*EVENT, "x"]), inner),
    max_leaves=8,
)


@given(
    changes=st.dictionaries(st.sampled_from([*EVENT, "revision", "dataschema"]), JSON, min_size=1, max_size=3)
)
def test_whatever_comes_is_an_event_or_is_refused_by_name_and_never_beyond_the_sdk(
    changes: dict[str, Any],
) -> None:
    item = {**EVENT, **changes}
    found = READER.read(item)
    if found.disposition is Disposition.INVALID:
        assert found.errors
    else:
        assert sdk_accepts(item)


def chosen(*values: object) -> st.SearchStrategy[object]:
    return st.sampled_from(values)


NAMES = st.text(st.characters(codec="utf-8"), max_size=201) | chosen(
    "x" * 200, "x" * 201, "a\x7fb", "a\n", 7, None
)
OFFSETS = ("", "Z", "z", "+08:00", "-23:59", "+24:00", "+0800", " ")
TIMES = st.builds(
    lambda at, form, fraction, offset: at.strftime(form) + fraction + offset,
    st.datetimes() | chosen(datetime.min, datetime.max),  # noqa: DTZ901 - the offset comes with the text
    chosen("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dt%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y%m%dT%H%M%S", "%Y-%m-%dT%H:%M"),
    chosen("", ".5", ".000001", ".123456789", ".1234567890", ".", ",5"),
    chosen(*OFFSETS),
)
CHANGES = {
    "specversion": chosen("1.0", "1", 1, None, ABSENT),
    "id": NAMES | chosen(ABSENT),
    "source": NAMES | chosen(ABSENT),
    "type": chosen("carbonpoints.reversal", "carbonpoints.behaviour.a", "carbonpoints.behaviour.", 7, ABSENT),
    "subject": st.builds("{}:{}".format, chosen("CUSTOMER_REF", "DEMO", "PASSPORT"), NAMES)
    | chosen(7, ABSENT),
    "time": TIMES | chosen("", 7, None, ABSENT),
    "data": chosen(RIDE, {}, {"a": None}, {"a": {"b": []}}, [], "", None, ABSENT),
    "datacontenttype": chosen("application/json", "application/xml", "", None),
    "revision": chosen(*[0, 1, 30_000, 30_001, -1, True, None, "1", Decimal(1), Decimal("1.5")]),
    "dataschema": NAMES,
    "colour": NAMES,
}


@pytest.mark.parametrize("name", CHANGES)
@given(data=st.data())
def test_the_short_way_reads_what_the_schema_reads_and_leaves_the_rest_to_it(
    name: str, data: st.DataObject
) -> None:
    item = made(**{name: data.draw(CHANGES[name])})
    plain = load_plain(item)
    try:
        loaded = ENVELOPE.load(item)
    except ValidationError:
        assert plain is None
    else:
        assert plain == (None if "dataschema" in item else loaded)
