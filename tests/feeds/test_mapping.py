"""Lines become events, are left out, or are refused with field, code and reason; nothing is lost on the way."""

from __future__ import annotations

import io
import zlib
from datetime import UTC, datetime

import pytest

from carbonpoints.behaviours.lookup_tables import TABLE_BYTES_MAX, read_tables
from carbonpoints.behaviours.profiles import ProfileDefinition
from carbonpoints.behaviours.records import BrokenFileError
from carbonpoints.behaviours.segments import BYTES_PER_BUCKET, Cut, RefusedLine, bucket_count
from carbonpoints.behaviours.staged import (
    CHUNK_EVENTS,
    StagedEvent,
    decode_chunk,
    microseconds_of,
    stage_event,
)
from carbonpoints.core.crypto import identity_hash
from carbonpoints.core.errors import FieldError, InvalidRequest, Message
from tests.feeds.shipped import KEY, cut_all, events_of, plain, profile, read_all

NOON = microseconds_of(datetime(2024, 5, 1, 4, tzinfo=UTC))


def test_a_line_becomes_an_event() -> None:
    content = b"T1,6222,2024-05-01, 12.50 ,,5411\n"
    (segment,) = read_all(content, plain(), {"payees": {"5411": "aa01"}})
    assert events_of([segment]) == [
        stage_event(
            plain().source, event_id="T1", subject="BANK_ACCOUNT:6222", occurred_at_us=NOON,
            behaviour="non_cash_payment",
            data={
                "transaction_reference": "T1", "payment_channel": "qr", "amount_minor": "1250", "currency": "CNY",
                "payee_hash": "aa01", "merchant_category_code": "5411",
            },
        )
    ]  # fmt: skip
    assert (segment.event_count, segment.filtered_count, segment.refused) == (1, 0, [])
    assert segment.line_count == 1
    assert cut_all(content, plain()) == [Cut(33, 1, 1, is_last=True)]


def test_the_generated_content_is_that_of_the_plain_encoder() -> None:
    data = {**plain().data, "standing_order": 'note == "back\u3000quote"', "loan_repayment": 'note != ""'}
    used = plain(
        data={**data, "payee_hash": 'coalesce(lookup("payees", note), note)'},
        event_id="concat(reference, note)",
    )
    content = (
        'T"1,62"22,2024-05-01,0.10,0.01,5411\n"T\\2",6222,2024-05-01,7,,𠀀公\nT3,6222,2024-05-01,7,,"x"""\n'
    )
    (segment,) = read_all(content.encode(), used)
    (chunk,) = segment.chunks
    events = decode_chunk(chunk.content)
    assert [event.event_id for event in events] == ['T"15411', "T\\2𠀀公", 'T3x"']
    assert [event.data["amount_minor"] for event in events] == ["9", "700", "700"]
    assert [(event.data["standing_order"], event.data["loan_repayment"]) for event in events] == 3 * [
        (False, True)
    ]
    assert events == [as_staged(used, event) for event in events]
    assert zlib.decompress(chunk.content).decode().split("\n") == [event.content for event in events]


def test_constants_of_any_characters_are_written_as_the_plain_encoder_writes_them() -> None:
    constant = """concat("it's {all} of ", 'them "{0}" %s')"""
    used = plain(
        data={**plain().data, "payee_hash": constant, "merchant_category_code": 'lookup("payees", note)'}
    )
    content = "T1,6222,2024-05-01,7,,\nT2,6222,2024-05-01,7,,x\n"
    (segment,) = read_all(content.encode(), used, {"payees": {"x": "5411"}})
    events = events_of([segment])
    assert [event.data["payee_hash"] for event in events] == 2 * ['it\'s {all} of them "{0}" %s']
    assert [event.data.get("merchant_category_code") for event in events] == [None, "5411"]
    assert events == [as_staged(used, event) for event in events]


def as_staged(used: ProfileDefinition, event: StagedEvent) -> StagedEvent:
    """The same event, written by the plain encoder."""
    return stage_event(
        used.source,
        event_id=event.event_id,
        subject=event.subject,
        occurred_at_us=event.occurred_at_us,
        revision=event.revision,
        behaviour=event.behaviour,
        data=event.data,
    )


def test_a_filtered_line_may_hold_anything_else() -> None:
    (segment,) = read_all(b",,not a date,not a number,,skip\n\n", plain())
    assert (segment.event_count, segment.filtered_count, segment.refused) == (0, 2, [])


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        (b"T1,6222,2024-05-01,12.50,5411", "", "wrong_columns"),
        (b"T1,6222,2024-05-01,12.50,,5411,", "", "wrong_columns"),
        (b"T1,6222,2024-5-1,12.50,,5411", "paid_on", "not_a_date"),
        (b"T1,6222,,12.50,,5411", "paid_on", "missing"),
        (b'T1,6222,2024-05-01,"12,50",,5411', "amount", "not_a_number"),
        (b"T1,6222,2024-05-01,1e3,,5411", "amount", "not_a_number"),
        (b"T1,6222,2024-05-01,,,5411", "amount", "missing"),
        (b"T1,6222,2024-05-01,12.50,x,5411", "fee", "not_a_number"),
        (b"T1,6222,2024-05-01,12.505,,5411", "amount_minor", "too_many_decimals"),
        (b"T1,6222,2024-05-01,1,1,5411", "amount_minor", "too_small"),
        (b"T1,6222,2024-05-01,1000000000.01,,5411", "amount_minor", "too_large"),
        (b",6222,2024-05-01,12.50,,5411", "event_id", "missing"),
        (b'"T\n1",6222,2024-05-01,12.50,,5411', "event_id", "wrong_event_id"),
        (b"T" * 129 + b",6222,2024-05-01,12.50,,5411", "event_id", "wrong_event_id"),
        (b"T" * 65 + b",6222,2024-05-01,12.50,,5411", "transaction_reference", "too_long"),
        (b"T1, ,2024-05-01,12.50,,5411", "subject", "wrong_subject"),
        (b"T1,6222,2024-05-01,12.50,,54110", "merchant_category_code", "too_long"),
        (b"T1,6222,2024-05-01,12.50,,\x00", "merchant_category_code", "control_character"),
        (b"T1,6222,2024-05-01,12.50,,\xff", "", "wrong_encoding"),
        (b'T1,6222,2024-05-01,12.50,,"5"411', "", "wrong_quotes"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason(line: bytes, field: str, code: str) -> None:
    good = b"T0,6222,2024-05-01,1,,\n"
    (segment,) = read_all(good + line + b"\n" + good, plain())
    assert [(bad.line_no, bad.field, bad.code) for bad in segment.refused] == [(2, field, code)]
    assert (segment.event_count, segment.filtered_count) == (2, 0)
    assert "6222" not in segment.refused[0].detail, "the report does not repeat what the line holds"


def test_an_expression_without_a_value_names_its_column() -> None:
    used = plain(data={**plain().data, "amount_minor": "amount - fee"})
    (segment,) = read_all(b"T1,6222,2024-05-01,12.50,,5411\n", used)
    assert segment.refused == [
        RefusedLine(1, "amount_minor", "missing_value", Message("amount - fee: column 10: fee has no value"))
    ]


def test_keyed_attributes_are_never_kept_as_they_came() -> None:
    (segment,) = read_all(b"T1,6222,2024-05-01,12.50,,5411\n", plain(keyed=("merchant_category_code",)))
    assert [(bad.field, bad.code) for bad in segment.refused] == [("merchant_category_code", "too_long")]
    used = plain(keyed=("payee_hash",))
    (segment,) = read_all(b"T1,6222,2024-05-01,12.50,,5411\n", used, {"payees": {"5411": "6217"}})
    assert events_of([segment])[0].data["payee_hash"] == identity_hash(KEY, "keyed", "6217").hex()


def test_a_decimal_comma() -> None:
    (segment,) = read_all(
        b'T1;6222;2024-05-01;12,5;;\nT2;6222;2024-05-01;"1.000";;\n', plain(decimal=",", delimiter=";")
    )
    assert [event.data["amount_minor"] for event in events_of([segment])] == ["1250"]
    assert [(bad.line_no, bad.field, bad.code) for bad in segment.refused] == [(2, "amount", "not_a_number")]


def test_a_header_finds_columns_in_any_order() -> None:
    content = b"more,note,amount,fee,paid_on,account,reference\nx,5411,1,,2024-05-01,6222,T1\n"
    (segment,) = read_all(content, plain(header=True))
    assert [event.event_id for event in events_of([segment])] == ["T1"]
    assert segment.line_count == 1


@pytest.mark.parametrize(
    "header", [b"reference,account\n", b"", b"reference,reference,account,paid_on,amount,fee,note\n"]
)
def test_a_header_that_does_not_fit_breaks_the_file(header: bytes) -> None:
    with pytest.raises(BrokenFileError) as broken:
        read_all(header, plain(header=True))
    assert (broken.value.line_no, broken.value.code) == (1, "wrong_header")


def lines(count: int) -> bytes:
    return b"header,is,not,used,at,all\n" + b"".join(
        b'T%d,%d,2024-05-01,%s,,"a\nb"\n' % (number, number % 7, b"x" if number % 10 == 3 else b"1")
        for number in range(count)
    )


@pytest.mark.parametrize("records_max", [1, 7, 50])
def test_segments_of_any_size_hold_the_same(records_max: int) -> None:
    used = plain(data={**plain().data, "merchant_category_code": '"5411"'})
    content = lines(53)
    (whole,) = read_all(content, used)
    parts = read_all(content, used, records_max=records_max)
    assert events_of(parts) == events_of([whole])
    assert [bad for part in parts for bad in part.refused] == whole.refused
    assert [bad.line_no for bad in whole.refused] == [1, 8, 28, 48, 68, 88]
    assert parts[-1].line_count == whole.line_count == 107
    assert cut_all(content, used, records_max=records_max)[-1].offset == len(content)
    assert cut_all(content, used)[-1].offset == len(content)
    assert sum(part.event_count for part in parts) == whole.event_count == 48


def test_a_large_file_is_spread_by_subject_into_full_chunks() -> None:
    assert [bucket_count(size) for size in (0, BYTES_PER_BUCKET - 1, 3 * BYTES_PER_BUCKET, 1 << 40)] == [
        1,
        1,
        3,
        64,
    ]
    content = b"".join(b"T%d,%d,2024-05-01,1,,\n" % (number, number % 50) for number in range(60_000))
    (segment,) = read_all(content, plain())
    buckets: dict[int, list[StagedEvent]] = {}
    sizes: dict[int, list[int]] = {}
    for chunk in segment.chunks:
        found = decode_chunk(chunk.content)
        assert len(found) == chunk.event_count <= CHUNK_EVENTS
        buckets.setdefault(chunk.bucket, []).extend(found)
        sizes.setdefault(chunk.bucket, []).append(len(found))
    assert sorted(buckets) == [0, 1]
    assert all(size == CHUNK_EVENTS for found in sizes.values() for size in found[:-1])
    subjects = [{event.subject for event in found} for found in buckets.values()]
    assert len(subjects[0] | subjects[1]) == 50
    assert subjects[0].isdisjoint(subjects[1])
    for found in buckets.values():
        assert found == sorted(found, key=lambda event: int(event.event_id[1:])), (
            "the order of the file holds"
        )


def tables(content: bytes) -> dict[str, dict[str, str]]:
    return read_tables(plain(), {"payees": io.BytesIO(content)})


def test_a_table_is_read_by_key() -> None:
    assert tables(b"5411,aa01\n\n5812,aa02\n5411,aa01\n") == {"payees": {"5411": "aa01", "5812": "aa02"}}


@pytest.mark.parametrize(
    ("content", "code", "start"),
    [
        (b"5411,a\n5411,b\n", "two_values", "line 2:"),
        (b"5411\n", "wrong_columns", "line 1:"),
        (b"5411,a\n\xff,b\n", "wrong_encoding", "line 2:"),
        (b'"5411', "unclosed_quote", "line 1:"),
        (b"5411,\x00\n", "control_character", "line 1:"),
        (b"5411,%s\n" % (b"x" * 1000) * (TABLE_BYTES_MAX // 1000), "too_large", "line "),
    ],
)
def test_a_wrong_table_is_refused(content: bytes, code: str, start: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        tables(content)
    (problem,) = refused.value.fields
    assert (problem.field, problem.code) == ("payees", code)
    assert str(problem).startswith(f"payees: {start}")


def test_missing_and_unknown_tables_are_named() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_tables(plain(), {"payers": io.BytesIO()})
    assert refused.value.fields == (
        FieldError("payees", "missing", "The profile looks things up in this table."),
        FieldError("payers", "unknown_table", "The profile has no such table."),
    )


def test_the_czech_profile_flags_standing_orders_and_loans() -> None:
    used = profile("czech_bank_1993")
    orders = io.BytesIO(
        b'"order_id";"account_id";"bank_to";"account_to";"amount";"k_symbol"\r\n29401;1;"YZ";"87144583";2452.00;"SIPO"\r\n'
    )
    found = read_tables(used, {"standing_orders": orders})
    head = b'"trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account"\r\n'
    body = (
        b'1;1;930101;"VYDAJ";"PREVOD NA UCET";2452.0;0;"SIPO";"YZ";87144583\r\n'
        b'2;1;930701;"VYDAJ";"PREVOD NA UCET";2452.5;0;"UVER";"YZ";87144583\r\n'
        b'3;1;930701;"VYDAJ";"VYBER";2452.5;0;"";;\r\n'
    )
    (segment,) = read_all(head + body, used, found)
    first, second = events_of([segment])
    assert (first.event_id, first.subject, first.occurred_at) == (
        "1",
        "BANK_ACCOUNT:1",
        datetime(1993, 1, 1, 11, tzinfo=UTC),
    )
    assert second.occurred_at == datetime(1993, 7, 1, 10, tzinfo=UTC), "summer time in Prague"
    assert [event.data["standing_order"] for event in (first, second)] == [True, False]
    assert [event.data["loan_repayment"] for event in (first, second)] == [False, True]
    assert first.data["amount_minor"] == "245200"
    assert segment.filtered_count == 1
