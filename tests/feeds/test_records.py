"""Records are found with their exact places, and broken ones are told apart from broken files."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import islice

import pytest

from carbonpoints.behaviours.cells import BadLineError
from carbonpoints.behaviours.columns import ColumnDefinition
from carbonpoints.behaviours.profiles import ProfileDefinition
from carbonpoints.behaviours.records import LINE_BYTES_MAX, BrokenFileError, Records

PROFILE = ProfileDefinition(
    code="p", name_en="P", name_zh="甲", source="urn:p", encoding="UTF-8", delimiter=";", header=False,
    time_zone="Asia/Shanghai", on_bad="line", columns=(ColumnDefinition(name="a"),), behaviour="b", event_id="a",
    subject="a", occurred_at="a", data={},
)  # fmt: skip


def read(content: bytes, profile: ProfileDefinition = PROFILE) -> list[tuple[int, object]]:
    return [
        (line_no, cells.code if isinstance(cells, BadLineError) else cells)
        for line_no, cells in Records(io.BytesIO(content), profile)
    ]


def test_cells_and_first_lines() -> None:
    content = b'\xef\xbb\xbf1;"a;""b"""\r\n2;"x\r\ny"\n\n4;\n5;z'
    assert read(content) == [
        (1, ["1", 'a;"b"']),
        (2, ["2", "x\r\ny"]),
        (4, []),
        (5, ["4", ""]),
        (6, ["5", "z"]),
    ]


def test_gb18030_and_no_quotes() -> None:
    profile = replace(PROFILE, encoding="GB18030", delimiter="|", quote="")
    # The second byte of 誠 is the delimiter, that of 乗 a backslash.
    assert read('1|誠乗"\n2|㐀𠀀"'.encode("GB18030"), profile) == [(1, ["1", '誠乗"']), (2, ["2", '㐀𠀀"'])]


def test_the_place_after_a_record_is_where_reading_goes_on() -> None:
    content = '1;"中\n文"\n2;b\n3;"c\nd"\n4;e\n'.encode()
    whole = read(content)
    for stop in range(1, len(whole) + 1):
        first = Records(io.BytesIO(content), PROFILE)
        before = list(islice(first, stop))
        again = Records(io.BytesIO(content), PROFILE)
        again.resume(first.offset, first.line_count)
        assert [*before, *again] == whole


def test_a_line_in_another_encoding_is_refused_alone() -> None:
    assert read(b"1;a\n2;\xff\n3;c\n") == [(1, ["1", "a"]), (2, "wrong_encoding"), (3, ["3", "c"])]


def test_a_line_with_wrong_quotes_is_refused_alone() -> None:
    assert read(b'1;a\n2;"b"c\n3;c\n') == [(1, ["1", "a"]), (2, "wrong_quotes"), (3, ["3", "c"])]


@pytest.mark.parametrize(
    "content",
    [b'1;a\n2;"b\n3;c\n', b'1;a\n2;"b', b'1;a\n2;"b\nx"y\n', b'1;a\n2;"' + 140_000 * b"\n"],
)
def test_an_unclosed_quote_breaks_the_file(content: bytes) -> None:
    with pytest.raises(BrokenFileError) as broken:
        read(content)
    assert (broken.value.line_no, broken.value.code) == (2, "unclosed_quote")


def test_an_endless_line_breaks_the_file() -> None:
    with pytest.raises(BrokenFileError) as broken:
        read(b"1;a\n2;" + LINE_BYTES_MAX * b"x")
    assert (broken.value.line_no, broken.value.code) == (2, "endless_line")
    assert len(read(b"1;a\n" + b"x;" * 1000)) == 2
