"""What is JSON to us, and what is not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from carbonpoints.core.strict_json import canonical, loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5.20", Decimal("5.20")),
        ("0.1", Decimal("0.1")),
        ("1e3", Decimal(1000)),
        ("12345678901234567890", 12345678901234567890),
        ('"\\u4e2d"', "中"),
        ('{"a":[true,null]}', {"a": [True, None]}),
        ('"\\ud83d\\ude00"', "😀"),
    ],
)
def test_values_are_read_exactly(text: str, value: Any) -> None:
    read = loads(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "-Infinity",
        "1e31",
        "1e-31",
        "1" * 41,
        "0." + "1" * 40,
        '{"a":1,"a":1}',
        '{"b":{"a":1,"a":2}}',
        '"\\u0000"',
        '{"\\u0000":1}',
        '["\\ud800"]',
        "[" * 100_000,
        b"\xff",
        b'\xef\xbb\xbf"a"',
    ],
)
def test_what_is_not_strict_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its kinds differ, and callers catch them all
        loads(text)


def test_equal_values_have_one_canonical_form() -> None:
    assert canonical({"b": 1, "a": [Decimal("1.50"), "中"]}) == '{"a":["1.50","中"],"b":1}'.encode()
    assert canonical({"a": [Decimal("1.50"), "中"], "b": 1}) == canonical(
        {"b": 1, "a": [Decimal("1.50"), "中"]}
    )
