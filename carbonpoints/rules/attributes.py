"""Attributes of an event: checked against the behaviour type and brought into one canonical form.

The API and the file feeds check alike, so that the same act gives the same payload however it arrives.
Canonical: numbers as decimal text without exponent, plus sign or superfluous zeros; dates as `2024-05-01`;
instants in UTC as `2024-05-01T04:00:00+00:00`; flags as bool; text as it came. What is empty is absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Self

from carbonpoints.core.errors import FieldError, Message, filled
from carbonpoints.rules.definitions import AttributeDefinition, BehaviourDefinition

CanonicalValue = str | bool
Check = Callable[[object], CanonicalValue]

NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,12})?")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DATE_LENGTH = len("2024-05-01")


class RefusedValueError(ValueError):
    """A value that an attribute does not take: a stable code and a sentence that does not repeat the value.

    `params` fill the `%(name)s` places of the sentence.
    """

    def __init__(self, code: str, detail: str, **params: object) -> None:
        super().__init__(filled(detail, params))
        self.code = code
        self.detail = detail
        self.params = params

    @classmethod
    def saying(cls, code: str, message: Message) -> Self:
        """Return a refusal with a sentence that was made elsewhere."""
        return cls(code, message.template, **message.params)

    @property
    def sentence(self) -> Message:
        """The sentence with its places filled."""
        return Message.said(self.detail, self.params)


class RefusedAttributesError(ValueError):
    """Attributes that are not those of the behaviour; `fields` names each."""

    def __init__(self, fields: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(str(field) for field in fields))
        self.fields = fields


class AttributeChecks:
    """The checks of one behaviour type, made once. Immutable; safe to share between threads."""

    def __init__(self, behaviour: BehaviourDefinition) -> None:
        self.of = {code: make_check(attribute) for code, attribute in behaviour.attributes.items()}
        self.needed = frozenset(
            {code for code, attribute in behaviour.attributes.items() if attribute.required}
            | set(behaviour.evidence)
        )

    def canonical(self, data: Mapping[str, object]) -> dict[str, CanonicalValue]:
        """Return `data` in canonical form, in the order of the behaviour's attributes.

        Raises RefusedAttributesError with every wrong, missing or unknown attribute.
        """
        canonical: dict[str, CanonicalValue] = {}
        wrong = [
            FieldError(code, "unknown_attribute", "This behaviour has no such attribute.")
            for code in data
            if code not in self.of
        ]
        for code, check in self.of.items():
            value = data.get(code)
            if value is not None and value != "":
                try:
                    canonical[code] = check(value)
                except RefusedValueError as refused:
                    wrong.append(FieldError.saying(code, refused.code, refused.sentence))
            elif code in self.needed:
                wrong.append(FieldError(code, "missing", "A value is needed."))
        if wrong:
            raise RefusedAttributesError(tuple(wrong))
        return canonical


def make_check(attribute: AttributeDefinition) -> Check:
    """Return the function that brings a value of `attribute` into canonical form or raises RefusedValueError."""
    match attribute.type:
        case "number":
            return _number_check(attribute)
        case "text":
            return _text_check(attribute)
        case "flag":
            return _flag
        case "date":
            return _date
        case "instant":
            return _instant


def is_clean(text: str) -> bool:
    """Whether `text` holds no control characters, line breaks or halves of surrogate pairs."""
    return text.isprintable() or not _UNPRINTABLE.search(text)


def parse_number(value: object) -> Decimal:
    """Return the exact number in text or of a whole number; RefusedValueError for anything else."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or NUMBER.fullmatch(value) is None:
        raise RefusedValueError(
            "not_a_number", "Expected a decimal number as text, such as 12.50, or a whole number."
        )
    return Decimal(value)


def _number_check(attribute: AttributeDefinition) -> Check:
    low, high = attribute.min, attribute.max
    decimals = attribute.decimals

    def check(value: object) -> str:
        number = value if type(value) is Decimal else parse_number(value)
        if low is not None and number < low:
            raise RefusedValueError("too_small", "The least that is accepted is %(min)s.", min=f"{low:f}")
        if high is not None and number > high:
            raise RefusedValueError("too_large", "The most that is accepted is %(max)s.", max=f"{high:f}")
        text = f"{number:f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
            if decimals is not None and "." in text and len(text) - text.index(".") - 1 > decimals:
                raise RefusedValueError(
                    "too_many_decimals", "At most %(max)s decimals are accepted.", max=decimals
                )
        return text if number else "0"

    return check


def _text_check(attribute: AttributeDefinition) -> Check:
    longest = attribute.max_length
    choices = frozenset(attribute.choices)

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise RefusedValueError("not_text", "Expected text.")
        if longest is not None and len(value) > longest:
            raise RefusedValueError("too_long", "At most %(max)s characters are accepted.", max=longest)
        if choices and value not in choices:
            raise RefusedValueError(
                "not_a_choice", "Expected one of %(choices)s.", choices=", ".join(sorted(choices))
            )
        if not is_clean(value):
            raise RefusedValueError(
                "control_character", "Control characters and line breaks are not accepted."
            )
        return value

    return check


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise RefusedValueError("not_a_flag", "Expected true or false.")
    return value


def _date(value: object) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and len(value) == _DATE_LENGTH:
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise RefusedValueError("not_a_date", "Expected a date such as 2024-05-01.")


def _instant(value: object) -> str:
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        pass
    raise RefusedValueError(
        "not_an_instant", "Expected a time with its offset, such as 2024-05-01T12:00:00+08:00."
    )
