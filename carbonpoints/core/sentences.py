"""What answers say in words, in English and in Chinese at once: a caller may show either, or both."""

from __future__ import annotations

from typing import Any, NamedTuple

from marshmallow import fields

from carbonpoints.core.http import Schema
from carbonpoints.core.problems import told


class Sentence(NamedTuple):
    """The same sentence twice."""

    en: str
    zh: str


CAVEAT = Sentence(
    "An estimate by the method named with each act, for the acts of the stated time only, checked against other "
    "programmes under registered agreements and with consent only. It is not tradable and cannot be used as an offset.",
    "减排量为按各次行为所列方法、仅就所示期间的行为作出的估算,仅在已登记的合作协议和客户授权下与其他碳普惠项目核对,不可交易,"
    "不得用于碳抵消。",
)
"""What every figure of a reduction is shown with (M13)."""


class Told(fields.String):
    """A sentence in the language of the request, where it is a `Message`; any other text as it is."""

    def _serialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return told(value)


class SentenceSchema(Schema):
    """The same sentence in both languages."""

    en = fields.String(required=True)
    zh = fields.String(required=True)


class Caveat(fields.Nested):
    """The caveat of all reductions in an answer; no answer has another one."""

    _CHECK_ATTRIBUTE = False

    def __init__(self) -> None:
        super().__init__(
            SentenceSchema,
            required=True,
            metadata={"description": "Holds for every reduction in this answer."},
        )

    def _serialize(self, *_: Any, **__: Any) -> dict[str, str]:
        return CAVEAT._asdict()
