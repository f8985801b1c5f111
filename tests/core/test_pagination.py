"""Cursors come back as they went out, and nothing else is one."""

from __future__ import annotations

import base64

import pytest

from carbonpoints.core.errors import InvalidRequest
from carbonpoints.core.pagination import decode_cursor, encode_cursor, make_page


def test_a_cursor_gives_back_its_keys() -> None:
    assert decode_cursor(encode_cursor(100_001, "2026-03"), int, str) == (100_001, "2026-03")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "中",
        "!!!!",
        encode_cursor(1),
        encode_cursor(1, 2),
        encode_cursor("1", "2"),
        encode_cursor(2**63, "x"),
        base64.urlsafe_b64encode(b'[true,"x"]').decode(),
        base64.urlsafe_b64encode(b'{"a":1}').decode(),
        base64.urlsafe_b64encode(b"\xff").decode(),
    ],
)
def test_what_is_no_cursor_is_a_wrong_field(cursor: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_cursor(cursor, int, str)
    assert [(field.field, field.code) for field in refused.value.fields] == [("cursor", "invalid_cursor")]


def test_a_page_says_where_the_next_begins_only_when_there_is_one() -> None:
    page = make_page([5, 4, 3], 2, lambda row: (row,))
    assert (page.items, page.next_cursor) == ([5, 4], encode_cursor(4))
    assert make_page([5, 4], 2, lambda row: (row,)).next_cursor is None
    assert make_page([], 2, lambda row: (row,)).next_cursor is None
