"""What the catalogue's routes take and answer. The content of a version is described by its dataclass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import marshmallow
from marshmallow import fields, pre_dump, validate

from carbonpoints.core.http import Schema
from carbonpoints.core.pagination import PageQuery
from carbonpoints.core.problems import told
from carbonpoints.core.timestamps import Timestamp
from carbonpoints.rules.campaigns import CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.definitions import BehaviourDefinition, FactorDefinition, RuleDefinition
from carbonpoints.rules.findings import Finding, Severity

Field = fields.Field[Any]

_SCALARS: dict[Any, Callable[..., Field]] = {
    str: fields.String,
    int: fields.Integer,
    bool: fields.Boolean,
    Decimal: lambda **given: fields.String(metadata={"description": "An exact decimal."}, **given),
    date: lambda **given: fields.String(metadata={"format": "date"}, **given),
    time: lambda **given: fields.String(metadata={"format": "time"}, **given),
    datetime: lambda **given: fields.String(metadata={"format": "date-time"}, **given),
}
"""Content is stored as JSON, so that all but flags and whole numbers are texts here."""


@cache
def content_schema(kind: type[Any]) -> type[marshmallow.Schema]:
    """Return the schema of the stored content of a definition, or of a part of one."""
    hints = get_type_hints(kind)
    described = {item.name: _field(hints[item.name], required=True) for item in dataclass_fields(kind)}
    return Schema.from_dict(described, name=kind.__name__.replace("Definition", "Content"))


def _field(hint: Any, **given: Any) -> Field:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        rest = [argument for argument in arguments if argument is not NoneType]
        if NoneType in arguments:
            # What an older version was stored without is shown as none.
            given |= {"allow_none": True, "dump_default": None}
        return _field(rest[0], **given) if len(rest) == 1 else fields.Raw(**given)
    if origin is tuple:
        return fields.List(_field(arguments[0]), **given)
    if origin is Mapping:
        return fields.Dict(keys=fields.String(), values=_field(arguments[1]), **given)
    if origin is Literal:
        return fields.String(validate=validate.OneOf(arguments), **given)
    if is_dataclass(hint) and isinstance(hint, type):
        return fields.Nested(content_schema(hint), **given)
    return _SCALARS[hint](**given)


class FindingFieldsSchema(Schema):
    """What every finding says, in the language of the request."""

    field = fields.String(required=True, metadata={"description": "Path in the definition's content."})
    column = fields.Integer(
        required=True, metadata={"description": "Place in the field's expression, from 1; 0 without one."}
    )
    code = fields.String(required=True)
    severity = fields.String(required=True, validate=validate.OneOf(get_args(Severity)))
    message = fields.String(required=True)


def finding_body(finding: Finding) -> dict[str, Any]:
    """Return a finding as answers show it, in the language of the request."""
    return {**vars(finding), "message": told(finding.message)}


class FindingSchema(FindingFieldsSchema):
    """What the check has to say of a definition; an error stands in the way, a warning does not."""

    @pre_dump
    def _in_the_callers_language(self, finding: Finding, **_: object) -> dict[str, Any]:
        return finding_body(finding)


class CatalogueQuery(PageQuery):
    """Which versions to list: by default all current ones, whenever they hold."""

    at = Timestamp(
        load_default=None,
        metadata={"description": "Only what holds at this instant; mind to escape the `+`."},
    )
    known_at = Timestamp(
        load_default=None, metadata={"description": "What was held to be so at this instant; default: now."}
    )


class VersionSchema(Schema):
    """One version: what holds during `valid`, and was held to be so during `known`; a null end is open."""

    code = fields.String(required=True)
    version = fields.Integer(required=True, attribute="version_no")
    valid_from = fields.DateTime(required=True, allow_none=True)
    valid_to = fields.DateTime(required=True, allow_none=True)
    known_from = fields.DateTime(required=True)
    known_to = fields.DateTime(required=True, allow_none=True)


class Shown(NamedTuple):
    """How answers show the versions of one kind."""

    page: type[marshmallow.Schema]
    """Some of them and where the next page begins."""
    history: type[marshmallow.Schema]
    """Every version a code ever had, by number."""


def _shown(definition: type) -> Shown:
    kind = definition.__name__.removesuffix("Definition")
    content = fields.Nested(content_schema(definition), required=True)
    versions = fields.List(
        fields.Nested(VersionSchema.from_dict({"content": content}, name=f"{kind}Version")), required=True
    )
    cursor = fields.String(required=True, allow_none=True)
    return Shown(
        Schema.from_dict({"items": versions, "next_cursor": cursor}, name=f"{kind}Page"),
        Schema.from_dict({"versions": versions}, name=f"{kind}History"),
    )


FACTORS = _shown(FactorDefinition)
BEHAVIOURS = _shown(BehaviourDefinition)
RULES = _shown(RuleDefinition)
SHARED_CAPS = _shown(SharedCapDefinition)
CAMPAIGNS = _shown(CampaignDefinition)
