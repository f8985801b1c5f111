"""A profile at work: the cells of one line become one event, are left out, or are refused with a reason. Pure.

Which behaviour an event is of, the line decides: the first of the profile's special ones whose condition holds, and
the profile's own otherwise.

All expressions and checks of a profile are fused into one generated function, which writes the event as a chunk
holds it. Only when it fails is the line walked again, step by step, to say which field is wrong and why. What is
said never repeats the line's content.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from carbonpoints.behaviours.cells import BadLineError, Columns
from carbonpoints.behaviours.profiles import (
    ProfileDefinition,
    SpecialMappingDefinition,
    expression,
    mapping_paths,
)
from carbonpoints.behaviours.staged import REVERSAL
from carbonpoints.behaviours.targets import (
    EVENT_ID_FIELD,
    REVERSES_FIELD,
    RUNTIME,
    SUBJECT_FIELD,
    Target,
    data_targets,
    event_targets,
    reversal_targets,
)
from carbonpoints.core.errors import Message
from carbonpoints.rules.attributes import RefusedValueError
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.language import FAILURES, EvaluationError, Expression

Tables = Mapping[str, Mapping[str, str]]
ASSIGNED = frozenset({EVENT_ID_FIELD, SUBJECT_FIELD})
"""Fields whose values are needed beside the written event, constant or not: `f_0` and `f_1`."""


class MappedLine(NamedTuple):
    """The event of a line: whose it is, and its content as `staged.stage_event` writes it."""

    subject: str
    content: str


@dataclass(frozen=True)
class _Mapping:
    """What lines become for which `when` holds; None takes what is left."""

    behaviour: str
    when: Expression | None
    targets: tuple[Target, ...]


class LineMapper:
    """Maps the lines of one file. Immutable.

    `behaviours` are the programme's by code, `tables` the lookup tables by name and key.
    """

    def __init__(
        self,
        *,
        profile: ProfileDefinition,
        behaviours: Mapping[str, BehaviourDefinition],
        columns: Columns,
        tables: Tables,
        identity_key: bytes,
    ) -> None:
        self._columns = columns
        self._tables = tables
        self._source = profile.source
        self._filter = None if profile.filter is None else expression(profile, profile.filter, "flag")
        self._event = event_targets(profile)
        self._reversal = reversal_targets(profile)
        self._mappings = [
            _Mapping(
                mapping.behaviour,
                expression(profile, mapping.when, "flag")
                if isinstance(mapping, SpecialMappingDefinition)
                else None,
                data_targets(profile, mapping, behaviours[mapping.behaviour], identity_key),
            )
            for _, mapping in mapping_paths(profile)
        ]
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
        names: dict[str, str] = {}
        lines = ["def mapped(cells):", " if len(cells) != width: raise ValueError"]
        if self._filter is not None:
            lines += self._assignments(self._filter.names, names)
            namespace |= self._filter.namespace
            lines.append(f" if not {self._filter.python_source(names.__getitem__)}: return None")
        lines += self._assignments(_names_of(self._event), names)
        written: dict[str, str] = {}
        for number, target in enumerate(self._event):
            namespace |= {**target.expression.namespace, f"check_{number}": target.check}
            constant = target.constant()
            if constant is None or target.field in ASSIGNED:
                lines += _checked_lines(target, number, names)
            written[target.field] = target.written(f"f_{number}") if constant is None else _literal(constant)
        lines += self._assignments(_names_of(self._reversal), names)
        lines += self._reversal_lines(namespace, names, written)
        first = len(self._event)
        for mapping in self._mappings:
            if mapping.when is None:
                lines += self._mapping_lines(mapping, first, names, written, namespace)
                continue
            lines += self._assignments(mapping.when.names, names)
            namespace |= mapping.when.namespace
            lines.append(f" if {mapping.when.python_source(names.__getitem__)}:")
            inside = self._mapping_lines(mapping, first, dict(names), written, namespace)
            lines += [f" {line}" for line in inside]
            first += len(mapping.targets)
        # The code is written from checked expressions, numbers and quoted texts only.
        exec("\n".join(lines), namespace)  # noqa: S102
        mapped: Callable[[Sequence[str]], MappedLine | None] = namespace["mapped"]  # type: ignore[assignment]
        return mapped

    def _mapping_lines(
        self,
        mapping: _Mapping,
        first: int,
        names: dict[str, str],
        written: Mapping[str, str],
        namespace: dict[str, object],
    ) -> list[str]:
        """Return the code that reads the attributes, numbered from `first`, and returns the event."""
        lines = self._assignments(_names_of(mapping.targets), names)
        members = ""
        for number, target in enumerate(sorted(mapping.targets, key=lambda each: each.field), start=first):
            namespace |= {**target.expression.namespace, f"check_{number}": target.check}
            constant = target.constant()
            if constant is None:
                lines += _checked_lines(target, number, names)
            text = target.written(f"f_{number}") if constant is None else _literal(constant)
            member = _literal(f",{json.dumps(target.field)}:") + text
            if constant is None and not target.needed:
                lines.append(f" m_{number} = '' if f_{number} is None else f'{member}'")
                member = f"{{m_{number}}}"
            members += member
        lines.append(f" members = f'{members}'")
        source, behaviour = json.dumps(self._source, ensure_ascii=False), json.dumps(mapping.behaviour)
        content = "".join(
            [
                _literal('{"data":{'), "{members[1:]}", _literal('},"id":'), written["event_id"],
                _literal(',"revision":'), written["revision"], _literal(f',"source":{source},"subject":'),
                written["subject"], _literal(',"time_us":'), written["occurred_at"],
                _literal(f',"type":{behaviour}}}'),
            ]
        )  # fmt: skip
        lines.append(f" return Line(f_1, f'{content}')")
        return lines

    def _reversal_lines(
        self, namespace: dict[str, object], names: Mapping[str, str], written: Mapping[str, str]
    ) -> list[str]:
        """Return the code that ends a line which takes another event back, as `staged.stage_event` writes it."""
        if not self._reversal:
            return []
        reverses, reason = self._reversal
        for name, target in zip(("reverses", "reason"), self._reversal, strict=True):
            namespace |= {**target.expression.namespace, f"check_{name}": target.check}
        source, kind = json.dumps(self._source, ensure_ascii=False), json.dumps(REVERSAL)
        content = "".join(
            [
                _literal('{"data":{"id":'), reverses.written("f_reverses"), _literal(',"reason":'),
                reason.written("f_reason"), _literal(f',"source":{source}}},"id":'), written["event_id"],
                _literal(f',"revision":0,"source":{source},"subject":'), written["subject"],
                _literal(',"time_us":'), written["occurred_at"], _literal(f',"type":{kind}}}'),
            ]
        )  # fmt: skip
        return [
            *_checked_lines(reverses, "reverses", names),
            " if f_reverses == f_0: raise ValueError",
            " if f_reverses is not None:",
            *(f" {line}" for line in _checked_lines(reason, "reason", names)),
            f"  return Line(f_1, f'{content}')",
        ]

    def _assignments(self, wanted: frozenset[str], names: dict[str, str]) -> list[str]:
        """Return the code that reads those of the wanted columns that are not read yet, and note their names."""
        lines = []
        for number, (name, column) in enumerate(self._columns.columns.items()):
            if name in wanted and name not in names:
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
        values = columns.values(cells, _names_of((*self._event, *self._reversal)))
        found = {target.field: self._explained(target, values) for target in self._event}
        for target in self._reversal:
            found[target.field] = self._explained(target, values)
            if not found[REVERSES_FIELD]:
                break
            if found[REVERSES_FIELD] == found[EVENT_ID_FIELD]:
                raise BadLineError(REVERSES_FIELD, "itself", Message("A line cannot take itself back."))
        targets = self._mapping_of(cells).targets
        values = columns.values(cells, _names_of(targets))
        for target in targets:
            self._explained(target, values)

    def _explained(self, target: Target, values: Mapping[str, object]) -> object:
        value = _evaluate(target.field, target.expression, values, self._tables)
        if value is not None and value != "":
            _check(target, value)
        elif target.needed:
            raise BadLineError(target.field, "missing", Message("A value is needed."))
        return value

    def _mapping_of(self, cells: Sequence[str]) -> _Mapping:
        """Return the mapping that takes a line; raises BadLineError where a condition cannot be worked out."""
        for number, mapping in enumerate(self._mappings):
            if mapping.when is None:
                break
            values = self._columns.values(cells, mapping.when.names)
            if _evaluate(f"behaviours.{number}.when", mapping.when, values, self._tables):
                break
        return mapping


def _names_of(targets: Sequence[Target]) -> frozenset[str]:
    return frozenset[str]().union(*(target.expression.names for target in targets))


def _literal(text: str) -> str:
    """Return the code of a text inside an f-string in single quotes."""
    return repr(f'"{text}')[2:-1].replace("{", "{{").replace("}", "}}")


def _checked_lines(target: Target, number: int | str, names: Mapping[str, str]) -> list[str]:
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
        raise BadLineError(
            field,
            error.code,
            Message("%(expression)s: %(message)s", expression=source.source, message=error.sentence),
        ) from None


def _check(target: Target, value: object) -> None:
    try:
        target.check(value)
    except RefusedValueError as refused:
        raise BadLineError(target.field, refused.code, refused.sentence) from None
