"""The published page and the code say the same, byte for byte."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from carbonpoints.behaviours.exchange.files import MarksFile, write_lines
from carbonpoints.behaviours.exchange.normal_form import (
    act_text,
    fingerprint,
    instant_text,
    month_begin,
    months_of,
    netstrings,
    next_month,
    parse_instant,
    parse_month,
    period_key,
)
from carbonpoints.core.crypto import derive_key
from carbonpoints.rules.shipped import load_shipped

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "exchange-normal-form.md").read_text("utf-8")
SECRET = b"a secret for examples only, 32 bytes"
ZONE = ZoneInfo("Asia/Shanghai")


def table(heading: str) -> list[list[str]]:
    """The rows of the page's table under this first cell, without the marks of code."""
    lines = PAGE.splitlines()
    start = next(no for no, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split(" | ")])
    return rows


def split(text: str) -> list[str]:
    """The texts of netstrings, read as the page says."""
    rest, texts = text.encode(), []
    while rest:
        digits, _, rest = rest.partition(b":")
        value, comma, rest = rest[: int(digits)], rest[int(digits) : int(digits) + 1], rest[int(digits) + 1 :]
        assert comma == b","
        texts.append(value.decode())
    return texts


def by_the_page(secret: bytes, info: str) -> bytes:
    """HKDF as RFC 5869 has it, with the standard library alone."""
    extracted = hmac.new(b"\0" * 32, secret, hashlib.sha256).digest()
    return hmac.new(extracted, info.encode() + b"\x01", hashlib.sha256).digest()


def test_the_secret_is_the_one_of_the_page() -> None:
    assert f"`{SECRET.decode()}`" in PAGE


def test_keys_are_those_of_the_page() -> None:
    rows = table("agreement")
    assert len(rows) == 3
    for agreement, period, info, key in rows:
        assert netstrings("cn-act/1", agreement, period).decode() == info
        assert period_key(SECRET, agreement, parse_month(period)).hex() == key
        assert by_the_page(SECRET, info).hex() == key


def test_fingerprints_are_those_of_the_page_and_differ_by_period_and_agreement() -> None:
    keys = [bytes.fromhex(row[3]) for row in table("agreement")]
    rows = [row for row in table("act") if len(row) == 4]
    assert len(rows) == 3
    for text, *found in rows:
        form, act, *pairs = split(text)
        identity: dict[str, str | bool] = dict(zip(pairs[::2], pairs[1::2], strict=True))
        assert form == "cn-act/1"
        assert act_text(act, identity).decode() == text
        assert [fingerprint(key, text.encode()).hex() for key in keys] == found
        assert [hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32] for key in keys] == found
        assert len(set(found)) == 3


def test_the_classes_of_the_page_are_those_that_behaviours_claim() -> None:
    published = {act: set(re.findall(r"\w+", fields)) for act, fields, _ in table("class")}
    claimed = {behaviour.claim.act: set(behaviour.claim.fields) for behaviour in load_shipped().behaviours}
    assert published == claimed
    with_interval = {act for act, _, text in table("class") if text.endswith("with interval")}
    assert with_interval == {b.claim.act for b in load_shipped().behaviours if b.claim.interval}


def test_the_file_of_the_page_is_read_and_written_the_same() -> None:
    lines = [line.strip() for line in PAGE.splitlines() if line.startswith('    {"')]
    written = "".join(f"{line}\n" for line in lines).encode()
    file = MarksFile(BytesIO(written))
    header = file.read_header()
    period = parse_month(header["period"])
    marks = list(file.read_marks(month_begin(period, ZONE), month_begin(next_month(period), ZONE)))
    assert [no for no, _ in marks] == [2, 3]
    assert b"".join(write_lines(header, [mark for _, mark in marks])) == written
    assert file.digest.digest() == hashlib.sha256(written).digest()


def test_a_key_is_derived_as_the_rfc_has_it() -> None:
    """RFC 5869, appendix A.3: neither salt nor info."""
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert derive_key(b"\x0b" * 22, b"").hex() == expected


def test_no_two_lists_of_texts_give_the_same_bytes() -> None:
    assert netstrings("ab", "旧") == "2:ab,3:旧,".encode()
    assert netstrings("a", "b") != netstrings("ab")
    assert netstrings("1:a,") != netstrings("a")


def test_a_value_is_written_one_way_however_it_was_composed() -> None:
    assert act_text("walk", {"device_hash": "E\u0301"}) == act_text("walk", {"device_hash": "\u00c9"})
    assert act_text("walk", {"device_hash": "a "}) != act_text("walk", {"device_hash": "a"})
    assert act_text("walk", {"device_hash": True}).endswith(b"4:true,")
    both = act_text("second_hand_order", {"platform": "x", "order_reference": "1"})
    assert both == act_text("second_hand_order", {"order_reference": "1", "platform": "x"})


@pytest.mark.parametrize(
    ("start", "minutes", "months"),
    [
        ("2026-06-30T15:59:59Z", 0, [date(2026, 6, 1)]),
        ("2026-06-30T16:00:00Z", 0, [date(2026, 7, 1)]),
        ("2026-06-30T15:50:00Z", 9, [date(2026, 6, 1)]),
        ("2026-06-30T15:50:00Z", 10, [date(2026, 6, 1), date(2026, 7, 1)]),
        ("2026-12-15T00:00:00Z", 60 * 24 * 60, [date(2026, 12, 1), date(2027, 1, 1), date(2027, 2, 1)]),
    ],
)
def test_an_act_belongs_to_every_month_in_which_it_has_an_instant(
    start: str, minutes: int, months: list[date]
) -> None:
    begin = datetime.fromisoformat(start)
    assert list(months_of(begin, begin + timedelta(minutes=minutes), ZONE)) == months


@pytest.mark.parametrize(
    "text",
    [
        "2026-06-15T04:00:00Z",
        "2026-06-15T04:00:00.0Z",
        "2026-06-15T12:00:00.000000+08:00",
        "2026-6-15T04:00:00.000000Z",
        "",
    ],
)
def test_an_instant_is_written_one_way(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_instant(text)
    instant = datetime(2026, 6, 15, 4, 0, 0, 1, tzinfo=UTC)
    assert instant_text(instant.astimezone(ZONE)) == "2026-06-15T04:00:00.000001Z"
    assert parse_instant(instant_text(instant)) == instant


@pytest.mark.parametrize("text", ["2026-6", "2026-13", "2026-06-01", "202606", "26-06", ""])
def test_a_month_is_written_one_way(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_month(text)
    assert parse_month("2026-06") == date(2026, 6, 1)
