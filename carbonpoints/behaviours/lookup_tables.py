"""Lookup tables that are handed in with a file: standing orders, owners of accounts. Read once, kept with the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

from carbonpoints.behaviours.cells import BadLineError
from carbonpoints.behaviours.profiles import ProfileDefinition, expression
from carbonpoints.behaviours.records import BrokenFileError, Records
from carbonpoints.behaviours.segments import read_columns
from carbonpoints.core.errors import FieldError, InvalidRequest, Message
from carbonpoints.rules.attributes import is_clean
from carbonpoints.rules.language import EvaluationError

TABLE_BYTES_MAX = 16 * 1024 * 1024
"""A table lives in a worker's memory while its file is staged."""


def read_tables(profile: ProfileDefinition, files: Mapping[str, BinaryIO]) -> dict[str, dict[str, str]]:
    """Return the profile's tables by name and key.

    Raises InvalidRequest when one is missing or unknown, is too large, or has a wrong line.
    """
    wrong = [
        FieldError(name, "missing", "The profile looks things up in this table.")
        for name in profile.tables.keys() - files
    ] + [
        FieldError(name, "unknown_table", "The profile has no such table.")
        for name in files.keys() - profile.tables
    ]
    tables: dict[str, dict[str, str]] = {}
    for name in profile.tables.keys() & files.keys():
        try:
            tables[name] = _read_table(profile, name, files[name])
        except BrokenFileError as broken:
            place = {"line_no": broken.line_no, "problem": broken.detail}
            wrong.append(FieldError(name, broken.code, "line %(line_no)s: %(problem)s", place))
    if wrong:
        raise InvalidRequest(fields=sorted(wrong, key=lambda error: error.field))
    return tables


def _read_table(profile: ProfileDefinition, name: str, file: BinaryIO) -> dict[str, str]:
    definition = profile.tables[name]
    key = expression(profile, definition.key, "text", table=name)
    value = expression(profile, definition.value, "text", table=name)
    records = Records(file, profile)
    columns = read_columns(records, profile, name)
    table: dict[str, str] = {}
    for line_no, cells in records:
        if records.offset > TABLE_BYTES_MAX:
            raise BrokenFileError(
                line_no, "too_large", Message("A table has at most %(most)s bytes.", most=TABLE_BYTES_MAX)
            )
        if cells == []:
            continue
        try:
            if isinstance(cells, BadLineError):
                raise cells
            columns.check_width(cells)
            values = columns.values(cells, key.names | value.names)
            found, kept = str(key.evaluate(values)), str(value.evaluate(values))
        except (BadLineError, EvaluationError) as error:
            raise BrokenFileError(line_no, error.code, error.sentence) from None
        if not is_clean(found + kept):
            raise BrokenFileError(
                line_no, "control_character", Message("Control characters are not accepted.")
            )
        if table.setdefault(found, kept) != kept:
            raise BrokenFileError(
                line_no, "two_values", Message("An earlier line has another value for this key.")
            )
    return table
