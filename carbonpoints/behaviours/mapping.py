"""A profile at work: the cells of one line become one event, are left out, or are refused with a reason. Pure.

All expressions and checks of a profile are fused into one generated function. Only when it fails is the line
walked again, step by step, to say which field is wrong and why. What is said never repeats the line's content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from carbonpoints.behaviours.attributes import AttributeChecks, RefusedValueError, is_clean
from carbonpoints.behaviours.cells import BadLineError, Columns
from carbonpoints.behaviours.profiles import ProfileDefinition, expression
from carbonpoints.behaviours.staged import StagedEvent, microseconds_of
from carbonpoints.core.clock import Calendar
from carbonpoints.core.crypto import identity_hash
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.language import FAILURES, EvaluationError, Expression

EVENT_ID_LENGTH_MAX = 128
SUBJECT_LENGTH_MAX = 200
REVISION_MAX = 32_767

Tables = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class _Target:
    """A field of the event: its expression and what its value must pass. `needed` fields must have a value."""

    field: str
    expression: Expression
    check: Callable[[Any], object]
    needed: bool
    longest: int = 0
    """Printable text up to this length passes the check as it is; 0 where only the check knows."""

    def constant(self) -> object:
        """Return the checked value where it is the same on every line; None where lines decide or refuse it."""
        if self.expression.names or self.expression.tables:
            return None
        try:
            return self.check(self.expression.evaluate({}))
        except FAILURES:
            return None

    def checked(self, check: str) -> str:
        """Return the code that gives the checked value of `v`, calling `check` only where it must."""
        return (
            f"v if len(v) <= {self.longest} and v.isprintable() else {check}(v)"
            if self.longest
            else f"{check}(v)"
        )


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
        self._behaviour = behaviour.code
        self._filter = None if profile.filter is None else expression(profile, profile.filter, "flag")
        self._event = _event_targets(profile)
        self._data = _data_targets(profile, behaviour, identity_key)
        self._mapped = self._generate()

    def map(self, cells: Sequence[str]) -> StagedEvent | None:
        """Return the event of a line, or None when the filter leaves the line out.

        Raises BadLineError when the line is no event.
        """
        try:
            return self._mapped(cells)
        except FAILURES:
            self._explain(cells)
            raise

    def _generate(self) -> Callable[[Sequence[str]], StagedEvent | None]:
        namespace: dict[str, object] = {
            **self._columns.readers, "tables": self._tables, "Event": StagedEvent, "width": self._columns.width,
        }  # fmt: skip
        targets = (*self._event, *self._data)
        asked = self._filter.names if self._filter is not None else frozenset()
        every = frozenset[str]().union(*(target.expression.names for target in targets))
        names: dict[str, str] = {}
        lines = ["def mapped(cells):", " if len(cells) != width: raise ValueError"]
        lines += self._assignments(asked, names)
        if self._filter is not None:
            namespace |= self._filter.namespace
            lines.append(f" if not {self._filter.python_source(names.__getitem__)}: return None")
        lines += [*self._assignments(every - asked, names), " data = {}"]
        for number, target in enumerate(targets):
            namespace |= {**target.expression.namespace, f"check_{number}": target.check}
            place = f"data[{target.field!r}]" if number >= len(self._event) else f"e_{number}"
            if (constant := target.constant()) is not None:
                namespace[f"constant_{number}"] = constant
                lines.append(f" {place} = constant_{number}")
                continue
            lines.append(f" v = {target.expression.python_source(names.__getitem__)}")
            given = "v" if target.expression.type == "text" else "v is not None"
            lines.append(f" if {given}: {place} = {target.checked(f'check_{number}')}")
            if target.needed:
                lines.append(" else: raise ValueError")
        fields = ", ".join(f"e_{number}" for number in range(len(self._event)))
        lines.append(f" return Event({fields}, {self._behaviour!r}, data)")
        # The code is written from checked expressions, numbers and quoted texts only.
        exec("\n".join(lines), namespace)  # noqa: S102
        mapped: Callable[[Sequence[str]], StagedEvent | None] = namespace["mapped"]  # type: ignore[assignment]
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
        every = frozenset[str]().union(*(target.expression.names for target in (*self._event, *self._data)))
        values = columns.values(cells, every)
        for target in (*self._event, *self._data):
            value = _evaluate(target.field, target.expression, values, self._tables)
            if value is not None and value != "":
                _check(target, value)
            elif target.needed:
                raise BadLineError(target.field, "missing", "A value is needed.")


def _evaluate(field: str, source: Expression, values: Mapping[str, object], tables: Tables) -> object:
    try:
        return source.evaluate(values, tables)
    except EvaluationError as error:
        raise BadLineError(field, error.code, f"{source.source}: {error}") from None


def _check(target: _Target, value: object) -> None:
    try:
        target.check(value)
    except RefusedValueError as refused:
        raise BadLineError(target.field, refused.code, refused.detail) from None


def _event_targets(profile: ProfileDefinition) -> tuple[_Target, ...]:
    """Return the fields of the event itself, in the order of StagedEvent."""
    occurred_at = expression(profile, profile.occurred_at, None)
    instant = _noon(profile.time_zone) if occurred_at.type == "date" else microseconds_of
    return (
        _Target(
            "event_id",
            expression(profile, profile.event_id, "text"),
            _event_id,
            needed=True,
            longest=EVENT_ID_LENGTH_MAX,
        ),
        _Target("subject", expression(profile, profile.subject, "text"), _subject, needed=True),
        _Target("occurred_at", occurred_at, instant, needed=True),
        _Target("revision", expression(profile, profile.revision, "number"), _revision, needed=True),
    )


def _data_targets(
    profile: ProfileDefinition, behaviour: BehaviourDefinition, identity_key: bytes
) -> tuple[_Target, ...]:
    """Return the attributes in the order of the behaviour."""
    checks = AttributeChecks(behaviour)
    targets = []
    for name, attribute in behaviour.attributes.items():
        if name not in profile.data:
            continue
        source = expression(profile, profile.data[name], attribute.type)
        if name in profile.keyed:
            targets.append(
                _Target(name, source, _keyed(checks.of[name], identity_key), name in checks.needed)
            )
        else:
            is_free = attribute.type == "text" and not attribute.choices
            longest = attribute.max_length or 0 if is_free else 0
            targets.append(_Target(name, source, checks.of[name], name in checks.needed, longest))
    return tuple(targets)


def _keyed(check: Callable[[object], object], key: bytes) -> Callable[[str], object]:
    def hashed(value: str) -> object:
        return check(identity_hash(key, "keyed", value).hex())

    return hashed


def _event_id(value: str) -> str:
    if not (0 < len(value) <= EVENT_ID_LENGTH_MAX and is_clean(value)):
        raise RefusedValueError("wrong_event_id", f"Expected 1 to {EVENT_ID_LENGTH_MAX} characters.")
    return value


def _subject(value: str) -> str:
    if not (value.partition(":")[2].strip() and len(value) <= SUBJECT_LENGTH_MAX and is_clean(value)):
        raise RefusedValueError("wrong_subject", "Expected a scheme, a colon and an identifier.")
    return value


def _revision(value: Decimal) -> int:
    if not (0 <= value <= REVISION_MAX and value % 1 == 0):
        raise RefusedValueError("wrong_revision", f"Expected a whole number from 0 to {REVISION_MAX}.")
    return int(value)


def _noon(time_zone: str) -> Callable[[date], int]:
    calendar = Calendar(time_zone=time_zone)
    known: dict[date, int] = {}

    def noon(day: date) -> int:
        instant = known.get(day)
        if instant is None:
            instant = known[day] = microseconds_of(calendar.noon(day))
        return instant

    return noon
