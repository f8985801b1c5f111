"""A profile at work: the cells of one line become one event, are left out, or are refused with a reason. Pure.

All expressions and checks of a profile are fused into one generated function, which writes the event as a chunk
holds it. Only when it fails is the line walked again, step by step, to say which field is wrong and why. What is
said never repeats the line's content.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from carbonpoints.behaviours.cells import BadLineError, Columns
from carbonpoints.behaviours.profiles import ProfileDefinition, expression
from carbonpoints.behaviours.targets import RUNTIME, Target, data_targets, event_targets
from carbonpoints.rules.attributes import RefusedValueError
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.language import FAILURES, EvaluationError, Expression

Tables = Mapping[str, Mapping[str, str]]
SUBJECT_FIELD = "subject"
"""Its value is needed beside the written event, constant or not."""


class MappedLine(NamedTuple):
    """The event of a line: whose it is, and its content as `staged.stage_event` writes it."""

    subject: str
    content: str


class LineMapper:
    """Maps the lines of one file. Immutable; `tables` are the lookup tables by name and key."""

    def __init__(
        self,
        *,
        profile: ProfileDefinition,
        behaviour: BehaviourDefinition,
        columns: Columns,
        tables: Tables,
        identity_key: bytes,
    ) -> None:
        self._columns = columns
        self._tables = tables
        self._source = profile.source
        self._behaviour = behaviour.code
        self._filter = None if profile.filter is None else expression(profile, profile.filter, "flag")
        self._event = event_targets(profile)
        self._data = data_targets(profile, behaviour, identity_key)
        targets = (*self._event, *self._data)
        self._names = frozenset[str]().union(*(target.expression.names for target in targets))
        self._mapped = self._generate()

    def map(self, cells: Sequence[str]) -> MappedLine | None:
        """Return the event of a line, or None when the filter leaves the line out.

        Raises BadLineError when the line is no event.
        """
        try:
            return self._mapped(cells)
        except FAILURES:
            self._explain(cells)
            raise

    def _generate(self) -> Callable[[Sequence[str]], MappedLine | None]:
        namespace: dict[str, object] = {
            **RUNTIME, **self._columns.readers, "tables": self._tables, "Line": MappedLine, "width": self._columns.width,
        }  # fmt: skip
        asked = self._filter.names if self._filter is not None else frozenset()
        names: dict[str, str] = {}
        lines = ["def mapped(cells):", " if len(cells) != width: raise ValueError"]
        lines += self._assignments(asked, names)
        if self._filter is not None:
            namespace |= self._filter.namespace
            lines.append(f" if not {self._filter.python_source(names.__getitem__)}: return None")
        lines += self._assignments(self._names - asked, names)
        written: dict[str, str] = {}
        members = ""
        for number, target in enumerate((*self._event, *sorted(self._data, key=lambda each: each.field))):
            namespace |= {**target.expression.namespace, f"check_{number}": target.check}
            constant = target.constant()
            if constant is None or target.field == SUBJECT_FIELD:
                lines += _checked_lines(target, number, names)
            text = target.written(f"f_{number}") if constant is None else _literal(constant)
            if number < len(self._event):
                written[target.field] = text
                continue
            member = _literal(f",{json.dumps(target.field)}:") + text
            if constant is None and not target.needed:
                lines.append(f" m_{number} = '' if f_{number} is None else f'{member}'")
                member = f"{{m_{number}}}"
            members += member
        lines.append(f" members = f'{members}'")
        source, behaviour = json.dumps(self._source, ensure_ascii=False), json.dumps(self._behaviour)
        content = "".join(
            [
                _literal('{"data":{'), "{members[1:]}", _literal('},"id":'), written["event_id"],
                _literal(',"revision":'), written["revision"], _literal(f',"source":{source},"subject":'),
                written["subject"], _literal(',"time_us":'), written["occurred_at"],
                _literal(f',"type":{behaviour}}}'),
            ]
        )  # fmt: skip
        lines.append(f" return Line(f_1, f'{content}')")
        # The code is written from checked expressions, numbers and quoted texts only.
        exec("\n".join(lines), namespace)  # noqa: S102
        mapped: Callable[[Sequence[str]], MappedLine | None] = namespace["mapped"]  # type: ignore[assignment]
        return mapped

    def _assignments(self, wanted: frozenset[str], names: dict[str, str]) -> list[str]:
        lines = []
        for number, (name, column) in enumerate(self._columns.columns.items()):
            if name in wanted:
                names[name] = f"c_{number}"
                lines.append(f" c_{number} = {column.code}")
        return lines

    def _explain(self, cells: Sequence[str]) -> None:
        """Walk the line step by step; raises BadLineError at the first step that fails."""
        columns = self._columns
        columns.check_width(cells)
        if self._filter is not None:
            values = columns.values(cells, self._filter.names)
            _evaluate("filter", self._filter, values, self._tables)
        values = columns.values(cells, self._names)
        for target in (*self._event, *self._data):
            value = _evaluate(target.field, target.expression, values, self._tables)
            if value is not None and value != "":
                _check(target, value)
            elif target.needed:
                raise BadLineError(target.field, "missing", "A value is needed.")


def _literal(text: str) -> str:
    """Return the code of a text inside an f-string in single quotes."""
    return repr(f'"{text}')[2:-1].replace("{", "{{").replace("}", "}}")


def _checked_lines(target: Target, number: int, names: Mapping[str, str]) -> list[str]:
    """Return the code that assigns the checked value of a target to `f_<number>`; None where it may have none."""
    value = target.expression.python_source(names.__getitem__)
    missing = "not v" if target.expression.type == "text" else "v is None"
    checked = f"f_{number} = {target.checked(f'check_{number}')}"
    if target.needed:
        return [f" v = {value}", f" if {missing}: raise ValueError", f" {checked}"]
    return [f" v = {value}", f" if {missing}: f_{number} = None", f" else: {checked}"]


def _evaluate(field: str, source: Expression, values: Mapping[str, object], tables: Tables) -> object:
    try:
        return source.evaluate(values, tables)
    except EvaluationError as error:
        raise BadLineError(field, error.code, f"{source.source}: {error}") from None


def _check(target: Target, value: object) -> None:
    try:
        target.check(value)
    except RefusedValueError as refused:
        raise BadLineError(target.field, refused.code, str(refused)) from None
