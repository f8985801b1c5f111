"""What a line must give: the fields of an event and the attributes of its behaviour, each with its check. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, Literal

from carbonpoints.behaviours.profiles import MappingDefinition, ProfileDefinition, expression
from carbonpoints.behaviours.staged import REVERSAL_REASONS, microseconds_of
from carbonpoints.core.clock import Calendar
from carbonpoints.core.crypto import identity_hash
from carbonpoints.rules.attributes import AttributeChecks, RefusedValueError, is_clean
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.language import FAILURES, Expression, ValueType

EVENT_ID_LENGTH_MAX = 128
SUBJECT_LENGTH_MAX = 200
REVISION_MAX = 32_767

Form = Literal["text", "plain", "flag", "number"]
"""How a checked value is written as JSON: text, text that needs no escapes, true or false, a whole number."""

_FORMS: dict[ValueType, Form] = {"text": "text", "flag": "flag"}

EVENT_ID_FIELD, SUBJECT_FIELD, REVERSES_FIELD = "event_id", "subject", "reverses"

RUNTIME = {"quote": encode_basestring}
"""What the code of `Target.code` calls besides the check."""

_WRITERS: dict[Form, Callable[[str], str]] = {
    "text": "{{quote({})}}".format,
    "plain": '"{{{}}}"'.format,
    "flag": '{{"true" if {} else "false"}}'.format,
    "number": "{{{}}}".format,
}


@dataclass(frozen=True)
class Target:
    """A field of the event: its expression and what its value must pass. `needed` fields must have a value."""

    field: str
    expression: Expression
    check: Callable[[Any], object]
    needed: bool
    form: Form
    longest: int = 0
    """Printable text up to this length passes the check as it is; 0 where only the check knows."""

    def constant(self) -> str | None:
        """Return the JSON of a value that is the same on every line; None where lines decide or refuse it."""
        if self.expression.names or self.expression.tables:
            return None
        try:
            return json.dumps(self.check(self.expression.evaluate({})), ensure_ascii=False)
        except FAILURES:
            return None

    def checked(self, check: str) -> str:
        """Return the code that gives the checked value of `v`, calling `check` only where it must."""
        if not self.longest:
            return f"{check}(v)"
        return f"(v if len(v) <= {self.longest} and v.isprintable() else {check}(v))"

    def written(self, value: str) -> str:
        """Return the part of an f-string, in single quotes, that writes a checked value as JSON."""
        return _WRITERS[self.form](value)


def event_targets(profile: ProfileDefinition) -> tuple[Target, ...]:
    """Return the fields of the event itself, in the order of StagedEvent."""
    occurred_at = expression(profile, profile.occurred_at, None)
    instant = _noon(profile.time_zone) if occurred_at.type == "date" else microseconds_of
    return (
        Target(
            EVENT_ID_FIELD,
            expression(profile, profile.event_id, "text"),
            _event_id,
            needed=True,
            form="text",
            longest=EVENT_ID_LENGTH_MAX,
        ),
        Target(
            SUBJECT_FIELD, expression(profile, profile.subject, "text"), _subject, needed=True, form="text"
        ),
        Target("occurred_at", occurred_at, instant, needed=True, form="number"),
        Target(
            "revision", expression(profile, profile.revision, "number"), _revision, needed=True, form="number"
        ),
    )


def reversal_targets(profile: ProfileDefinition) -> tuple[Target, ...]:
    """Return the event that a line takes back and why it does; nothing for a feed without reversals."""
    if profile.reverses is None:
        return ()
    reverses = expression(profile, profile.reverses, "text")
    reason = expression(profile, profile.reversal_reason, "text")
    return (
        Target(REVERSES_FIELD, reverses, _event_id, needed=False, form="text", longest=EVENT_ID_LENGTH_MAX),
        Target("reversal_reason", reason, _reason, needed=True, form="plain"),
    )


def data_targets(
    profile: ProfileDefinition,
    mapping: MappingDefinition,
    behaviour: BehaviourDefinition,
    identity_key: bytes,
) -> tuple[Target, ...]:
    """Return the attributes that a mapping gives, in the order of its behaviour."""
    checks = AttributeChecks(behaviour)
    targets = []
    for name, attribute in behaviour.attributes.items():
        if name not in mapping.data:
            continue
        is_keyed = name in mapping.keyed
        is_free = attribute.type == "text" and not attribute.choices and not is_keyed
        targets.append(
            Target(
                name,
                expression(profile, mapping.data[name], attribute.type),
                _keyed(checks.of[name], identity_key) if is_keyed else checks.of[name],
                needed=name in checks.needed,
                form=_FORMS.get(attribute.type, "plain"),
                longest=attribute.max_length or 0 if is_free else 0,
            )
        )
    return tuple(targets)


def _keyed(check: Callable[[object], object], key: bytes) -> Callable[[str], object]:
    def hashed(value: str) -> object:
        return check(identity_hash(key, "keyed", value).hex())

    return hashed


def _reason(value: str) -> str:
    if value not in REVERSAL_REASONS:
        raise RefusedValueError("wrong_reason", "Expected %(choices)s.", choices=", ".join(REVERSAL_REASONS))
    return value


def _event_id(value: str) -> str:
    if not (0 < len(value) <= EVENT_ID_LENGTH_MAX and is_clean(value)):
        raise RefusedValueError(
            "wrong_event_id", "Expected 1 to %(max)s characters.", max=EVENT_ID_LENGTH_MAX
        )
    return value


def _subject(value: str) -> str:
    if not (value.partition(":")[2].strip() and len(value) <= SUBJECT_LENGTH_MAX and is_clean(value)):
        raise RefusedValueError("wrong_subject", "Expected a scheme, a colon and an identifier.")
    return value


def _revision(value: Decimal) -> int:
    if not (0 <= value <= REVISION_MAX and value % 1 == 0):
        raise RefusedValueError(
            "wrong_revision", "Expected a whole number from 0 to %(max)s.", max=REVISION_MAX
        )
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
