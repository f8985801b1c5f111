"""Factors and a rule's samples as the tables of a workbook, and back to content with the cell of each problem."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date
from typing import Any, get_type_hints

from carbonpoints.core.errors import Message
from carbonpoints.rules.definitions import (
    AttributeDefinition,
    BehaviourDefinition,
    FactorDefinition,
    IneligibleSampleDefinition,
    RuleDefinition,
    SampleDefinition,
)
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.workbooks import Cell, CellFinding, Table

FACTORS, RULE, SAMPLES, INELIGIBLE = "factors", "rule", "samples", "ineligible_samples"
"""The titles of the sheets."""
COUNTER, EXPECTED = "counter:", "expected:"
"""What stands before the names of columns that are no attribute."""
_FACTOR_FIELDS = {item.name: get_type_hints(FactorDefinition)[item.name] for item in fields(FactorDefinition)}
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_WHOLE_FACTOR_FIELDS = {name for name, hint in _FACTOR_FIELDS.items() if hint in (int, int | None)}

Content = dict[str, Any]


def factor_sheet(factors: Iterable[FactorDefinition]) -> list[list[str]]:
    """Return a header of the fields' names, and a row for each version of a factor."""
    rows = [[_text(as_content(factor)[name]) for name in _FACTOR_FIELDS] for factor in factors]
    return [list(_FACTOR_FIELDS), *rows]


def read_factors(
    table: Table, exported: Sequence[Sequence[str]]
) -> tuple[dict[int, Content], list[CellFinding]]:
    """Return the content of each row by its place; rows that are as they were `exported` are left out.

    An empty cell leaves a field out.
    """
    found = list(_header(table, _FACTOR_FIELDS, _FACTOR_FIELDS))
    known = {tuple(row) for row in exported}
    contents: dict[int, Content] = {}
    for no, row in enumerate(table.rows):
        given = {
            name: cell for name, cell in row.items() if name in _FACTOR_FIELDS and cell.value is not None
        }
        if tuple(_text(given[name].value) if name in given else "" for name in _FACTOR_FIELDS) in known:
            continue
        contents[no] = {"data_year": None}  # Must be said, and an empty cell says it.
        for name, cell in given.items():
            contents[no][name] = _value(table, cell, found, whole=name in _WHOLE_FACTOR_FIELDS)
    return contents, found


def sample_sheets(rule: RuleDefinition, behaviour: BehaviourDefinition, version_id: int) -> dict[str, Any]:
    """Return the rule's samples, with a column for each attribute, counter and expected result.

    The sheet `rule` names the version that they are of.
    """
    inputs = _inputs(rule, behaviour)
    right, refused = (
        [*inputs, *_expected(SampleDefinition)],
        [*inputs, *_expected(IneligibleSampleDefinition)],
    )
    return {
        RULE: [["code", "version_id"], [rule.code, str(version_id)]],
        SAMPLES: [right, *(_sample_row(sample, right) for sample in rule.samples)],
        INELIGIBLE: [refused, *(_sample_row(sample, refused) for sample in rule.ineligible_samples)],
    }


def read_samples(
    tables: Mapping[str, Table], rule: RuleDefinition, behaviour: BehaviourDefinition
) -> tuple[Content, list[CellFinding]]:
    """Return the rule's content with the samples of the workbook in the place of its own."""
    content: Content = as_content(rule)
    found: list[CellFinding] = []
    for title, kind in ((SAMPLES, SampleDefinition), (INELIGIBLE, IneligibleSampleDefinition)):
        table = tables.get(title) or Table(title, {}, [])
        expected = _expected(kind)
        found += _header(table, [*_inputs(rule, behaviour), *expected], expected if table.rows else ())
        content[title] = [_sample(table, row, rule, behaviour, found) for row in table.rows]
    return content, found


def cell_of(tables: Mapping[str, Table], field: str) -> tuple[str, str]:
    """Return the sheet and cell of a field such as `samples.0.attributes.distance_km` or `factors.3.unit`.

    Empty texts where no cell holds it.
    """
    title, _, rest = field.partition(".")
    table = tables.get(title)
    number, _, name = rest.partition(".")
    if table is None or not number.isdecimal():
        return (title, "") if table is not None else ("", "")
    group, _, inner = name.partition(".")
    column = {"attributes": inner, "counters": COUNTER + inner}.get(group, name)
    if title != FACTORS and group not in {"attributes", "counters"}:
        column = EXPECTED + name
    return title, table.reference(int(number), column)


def _inputs(rule: RuleDefinition, behaviour: BehaviourDefinition) -> list[str]:
    return [*behaviour.attributes, *(COUNTER + code for code in rule.counters)]


def _expected(kind: type[Any]) -> list[str]:
    return [EXPECTED + item.name for item in fields(kind) if item.name not in {"attributes", "counters"}]


def _sample_row(sample: SampleDefinition | IneligibleSampleDefinition, header: Sequence[str]) -> list[str]:
    cells = {name: _text(value) for name, value in sample.attributes.items()}
    cells |= {COUNTER + code: _text(stand) for code, stand in sample.counters.items()}
    cells |= {name: _text(getattr(sample, name[len(EXPECTED) :])) for name in header if EXPECTED in name}
    return [cells.get(name, "") for name in header]


def _sample(
    table: Table,
    row: Mapping[str, Cell],
    rule: RuleDefinition,
    behaviour: BehaviourDefinition,
    found: list[CellFinding],
) -> Content:
    sample: Content = {"attributes": {}, "counters": {}}
    for name, cell in row.items():
        if cell.value is None:
            continue
        attribute = behaviour.attributes.get(name)
        if attribute is not None:
            sample["attributes"][name] = _attribute(table, cell, attribute, found)
        elif name.startswith(COUNTER) and name[len(COUNTER) :] in rule.counters:
            sample["counters"][name[len(COUNTER) :]] = _value(table, cell, found, whole=True)
        elif name.startswith(EXPECTED):
            field = name[len(EXPECTED) :]
            sample[field] = _value(table, cell, found, whole=field != "reason")
    return sample


def _attribute(
    table: Table, cell: Cell, attribute: AttributeDefinition, found: list[CellFinding]
) -> str | int | bool:
    """Return an attribute as the YAML files write it: whole numbers as numbers where there are no others."""
    if attribute.type == "flag":
        flag = str(cell.value).lower()
        return flag == "true" if flag in {"true", "false"} else str(cell.value)
    if attribute.type == "number" and isinstance(cell.value, int):
        return cell.value if attribute.decimals == 0 else str(cell.value)
    return _value(table, cell, found, whole=attribute.type == "number" and attribute.decimals == 0)


def _value(table: Table, cell: Cell, found: list[CellFinding], *, whole: bool) -> str | int:
    """Return what a cell says: a whole number where one belongs and it is one, else a text."""
    value = cell.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return int(value) if whole and _WHOLE.fullmatch(value) else value
    if not whole or isinstance(value, bool):
        message = Message("this cell is no text: format it as text and write it again")
        found.append(CellFinding(table.title, cell.reference, Finding("", 0, "cell_type", message)))
        return str(value)
    return value or 0


def _header(table: Table, known: Iterable[str], needed: Iterable[str]) -> Iterator[CellFinding]:
    known = list(known)
    for name, reference in table.header.items():
        if name not in known:
            message = Message("%(name)s is no column here", name=name)
            yield CellFinding(table.title, reference, Finding("", 0, "unknown_column", message))
    for name in needed:
        if name not in table.header:
            message = Message("the column %(name)s is missing", name=name)
            yield CellFinding(table.title, "A1", Finding("", 0, "missing_column", message))


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
