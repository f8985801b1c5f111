"""Cells that no spreadsheet takes for formulas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonpoints.core.spreadsheets import FORMULA_STARTS, as_written, inert


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("-0.5", "'-0.5"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("'=1", "''=1"),
        ("0.5", "0.5"),
        ("it's", "it's"),
        ("'tis", "'tis"),
        ("", ""),
    ],
)
def test_what_begins_like_a_formula_is_marked_as_text(cell: str, written: str) -> None:
    assert inert(cell) == written


@given(st.text(alphabet="'=+-@\t\ra1", max_size=6))
def test_a_marked_cell_is_read_as_it_was_and_is_no_formula(cell: str) -> None:
    assert as_written(inert(cell)) == cell
    assert not inert(cell).startswith(FORMULA_STARTS)
