"""One error base class with stable codes (RFC 9457); `core.http` turns it into problem+json.

A domain package declares its own subclasses in its `errors.py`. The code is stable and the same in every
language; title and detail are translated when the answer is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Self


def filled(text: str, params: Mapping[str, object]) -> str:
    """Return an English text with its `%(name)s` places filled; without `params` it has none."""
    return text % params if params else text


class Message(str):
    """An English text that remembers its `%(name)s` places, so that an answer can say it in another language."""

    __slots__ = ("params", "template")

    def __new__(cls, template: str, /, **params: object) -> Self:
        """Return the text with its places filled."""
        made = super().__new__(cls, filled(template, params))
        made.template, made.params = template, params
        return made

    @classmethod
    def said(cls, template: str, params: Mapping[str, object]) -> Self:
        """Return a sentence that stands elsewhere in the code, where it is found to be translated."""
        return cls(template, **params)

    def filling(self, **params: object) -> Self:
        """Return the same sentence with other values in its places."""
        return type(self)(self.template, **params)

    template: str
    params: Mapping[str, object]


@dataclass(frozen=True)
class FieldError:
    """One wrong field: its path (`data.distance_km`, `0.type`), a stable code and a sentence.

    `params` fill the `%(name)s` places of the sentence; `str()` gives path and sentence in English.
    """

    field: str
    code: str
    detail: str
    params: Mapping[str, object] = dataclass_field(default_factory=dict)

    @classmethod
    def saying(cls, field: str, code: str, message: Message) -> Self:
        """Return a wrong field with a sentence that was made elsewhere."""
        return cls(field, code, message.template, message.params)

    @property
    def sentence(self) -> Message:
        """The sentence with its places filled."""
        return Message.said(self.detail, self.params)

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.field, filled(self.detail, self.params))))


class CarbonpointsError(Exception):
    """Base of every error that a caller may see.

    `code` is the machine-readable name, `status` the HTTP status, `title` one sentence in English that
    Flask-Babel translates; `params` fill the `%(name)s` places of title and detail.
    """

    code = "internal"
    status = 500
    title = "Something went wrong on our side."
    retry_after_s: int | None = None

    def __init__(
        self,
        detail: str = "",
        *,
        fields: Sequence[FieldError] = (),
        params: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.fields = tuple(fields)
        self.params = dict(params or {})


class InvalidRequest(CarbonpointsError):
    """A field is missing, malformed or unknown; `fields` names each."""

    code = "invalid_request"
    status = 422
    title = "The request has a wrong field."


class NotFound(CarbonpointsError):
    """Nothing there, or not for this caller: the two are not told apart."""

    code = "not_found"
    status = 404
    title = "There is nothing here for you."


class Conflict(CarbonpointsError):
    """The request contradicts what is already stored."""

    code = "conflict"
    status = 409
    title = "This contradicts what is already stored."


class Busy(CarbonpointsError):
    """A row stayed locked longer than the lock timeout; the same call may be made again."""

    code = "busy"
    status = 503
    title = "The account is busy; please try again."
    retry_after_s = 1
