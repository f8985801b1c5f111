"""CSV that a spreadsheet shows and does not compute."""

from __future__ import annotations

import pytest

from carbonpoints.core.csv_lines import csv_lines


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert csv_lines([(1, f"{start}1+1", "code", f"{start}cmd")]) == f"1,'{start}1+1,code,'{start}cmd\r\n"


def test_numbers_and_other_texts_stay_as_they_are() -> None:
    assert csv_lines([(-5, "a=b", None), (2, 'say "x, y"', "")]) == '-5,a=b,\r\n2,"say ""x, y""",\r\n'
