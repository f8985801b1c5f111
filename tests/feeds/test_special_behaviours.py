"""The line decides which behaviour its event is of; and cells that must be known codes or flags."""

from __future__ import annotations

from dataclasses import replace

import pytest

from carbonpoints.behaviours.columns import ColumnDefinition, ColumnType
from carbonpoints.behaviours.profiles import (
    ProfileDefinition,
    SpecialMappingDefinition,
    validate_mapping,
    validate_profile,
)
from carbonpoints.behaviours.segments import RefusedLine
from carbonpoints.core.crypto import identity_hash
from carbonpoints.core.errors import Message
from tests.feeds.shipped import KEY, behaviours, events_of, plain, read_all

BILL = SpecialMappingDefinition(
    when='note == "4900"',
    behaviour="utility_bill_online",
    data={
        "transaction_reference": "reference",
        "bill_kind": '"water"',
        "customer_number_hash": "account",
        "amount_minor": "amount * 100",
        "currency": '"CNY"',
    },
    keyed=("customer_number_hash",),
)


def special(*mappings: SpecialMappingDefinition) -> ProfileDefinition:
    return plain(tables={}, data={**plain().data, "payee_hash": '"nobody"'}, behaviours=mappings)


def test_the_first_behaviour_that_takes_a_line_has_it() -> None:
    content = (
        b"T1,6222,2024-05-01,12.50,,5411\nT2,6222,2024-05-01,12.50,,4900\n"
        b"T3,6222,2024-05-01,1000,0,5411\nT4,6222,2024-05-01,1000,0,4900\nT5,6222,2024-05-01,1,,skip\n"
    )
    water, large = BILL, replace(BILL, when="amount >= 1000", data={**BILL.data, "bill_kind": '"gas"'})
    (segment,) = read_all(content, special(water, large))
    events = events_of([segment])
    assert [(event.event_id, event.behaviour, event.data.get("bill_kind")) for event in events] == [
        ("T1", "non_cash_payment", None),
        ("T2", "utility_bill_online", "water"),
        ("T3", "utility_bill_online", "gas"),
        ("T4", "utility_bill_online", "water"),
    ]
    assert events[1].data == {
        "transaction_reference": "T2",
        "bill_kind": "water",
        "customer_number_hash": identity_hash(KEY, "keyed", "6222").hex(),
        "amount_minor": "1250",
        "currency": "CNY",
    }
    assert (segment.event_count, segment.filtered_count, segment.refused) == (4, 1, [])


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        (b"T1,6222,2024-05-01,12.50,,5411", "behaviours.1.when", "missing_value"),
        (b"T1,6222,2024-05-01,12.50,x,5411", "fee", "not_a_number"),
        (b"T1,6222,2024-05-01,0,,4900", "amount_minor", "too_small"),
        (b"T1,,2024-05-01,1,,4900", "subject", "wrong_subject"),
        (b"T1,6222,2024-05-32,1,,4900", "paid_on", "not_a_date"),
    ],
)
def test_a_line_is_refused_by_the_behaviour_that_takes_it(line: bytes, field: str, code: str) -> None:
    large = replace(BILL, when="amount - fee >= 1000")
    good = b"T0,6222,2024-05-01,1,,4900\n"
    (segment,) = read_all(good + line + b"\n", special(BILL, large))
    assert [(bad.line_no, bad.field, bad.code) for bad in segment.refused] == [(2, field, code)]
    assert segment.event_count == 1


def test_wrong_special_behaviours_are_named() -> None:
    wrong = replace(BILL, when="note", data={**BILL.data, "colour": "note"}, keyed=("amount_minor",))
    nothing = replace(BILL, behaviour="nothing", data={}, keyed=("payee_hash",))
    profile = special(wrong, nothing)
    assert dict(validate_profile(profile)) == {
        "behaviours.0.when": "column 1: this gives a text, but true or false is needed",
        "behaviours.1.keyed": "payee_hash is not in data",
    }
    assert dict(validate_mapping(profile, behaviours())) == {
        "behaviours.0.data.colour": "utility_bill_online has no such attribute",
        "behaviours.0.keyed": "amount_minor is no text",
        "behaviours.1.behaviour": "nothing is no behaviour type",
    }


def typed(note: ColumnType) -> ProfileDefinition:
    """The plain profile whose last column is of this type and becomes the merchant category."""
    columns = (*plain().columns[:-1], ColumnDefinition(name="note", type=note))
    return plain(
        columns=columns,
        filter=None,
        tables={},
        data={**plain().data, "payee_hash": '"nobody"', "merchant_category_code": "note"},
    )


@pytest.mark.parametrize("code", [b"4111", b"4112", b"4131", b"4900", b"5552", b"5931", b"9222", b"9311"])
def test_known_merchant_categories_are_texts(code: bytes) -> None:
    (segment,) = read_all(b"T1,6222,2024-05-01,1,, %s \n" % code, typed("merchant_category"))
    assert [event.data["merchant_category_code"] for event in events_of([segment])] == [code.decode()]


def test_no_merchant_category_is_none() -> None:
    (segment,) = read_all(b"T1,6222,2024-05-01,1,,\n", typed("merchant_category"))
    assert [event.data.get("merchant_category_code") for event in events_of([segment])] == [None]


@pytest.mark.parametrize("code", ["9999", "541", "54110", "0", "abcd", "５４１１", "-541"])
def test_an_unknown_merchant_category_is_refused(code: str) -> None:
    (segment,) = read_all(f"T1,6222,2024-05-01,1,,{code}\n".encode(), typed("merchant_category"))
    assert segment.refused == [
        RefusedLine(
            1, "note", "unknown_merchant_category", Message("Expected a merchant category of ISO 18245.")
        )
    ]


@pytest.mark.parametrize("text", ["cny", "ABC"])
def test_an_unknown_currency_is_refused(text: str) -> None:
    content = f"T1,6222,2024-05-01,1,,CNY\nT2,6222,2024-05-01,1,,{text}\n".encode()
    (segment,) = read_all(content, typed("currency"))
    assert [(bad.line_no, bad.field, bad.code) for bad in segment.refused] == [
        (2, "note", "unknown_currency")
    ]
    assert [event.data["merchant_category_code"] for event in events_of([segment])] == ["CNY"]


def test_a_flag_is_true_or_false() -> None:
    data = dict(typed("flag").data)
    data["standing_order"] = data.pop("merchant_category_code")
    content = b"".join(
        b"T1,6222,2024-05-01,1,,%s\n" % text for text in (b"true", b"false", b"TRUE", b"1", b"")
    )
    (segment,) = read_all(content, replace(typed("flag"), data=data))
    assert [event.data["standing_order"] for event in events_of([segment])] == [True, False]
    assert [(bad.line_no, bad.field, bad.code) for bad in segment.refused] == [
        (3, "note", "not_a_flag"),
        (4, "note", "not_a_flag"),
        (5, "note", "missing"),
    ]
