"""What the routes of change requests take and answer."""

from __future__ import annotations

from datetime import UTC, datetime

from marshmallow import ValidationError, fields, post_load, validate

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.lifecycle import State, Step
from carbonpoints.approvals.requirements import EvidenceKind, Result
from carbonpoints.approvals.steps import HIGHEST_NUMBER
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.core.http import Schema
from carbonpoints.core.pagination import PageQuery
from carbonpoints.core.timestamps import Timestamp

# What any zone can write down: neither end overflows.
INSTANT = validate.Range(min=datetime(1900, 1, 1, tzinfo=UTC), max=datetime(2199, 12, 31, tzinfo=UTC))
SAYS_SOMETHING = validate.Regexp(r"\s*\S")
ITEMS_MAX = 500
KINDS = [kind.value for kind in VersionKind if kind is not VersionKind.PROPOSAL]


DEPTH_MAX = 32


def _refuse_depth(content: dict[str, object]) -> None:
    """Refuse what readers would not come to the bottom of."""
    level: list[object] = [content]
    for _ in range(DEPTH_MAX):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ValidationError("This is nested too deeply.")


def _text(length_max: int, **given: object) -> fields.String:
    return fields.String(validate=[validate.Length(min=1, max=length_max), SAYS_SOMETHING], **given)  # type: ignore[arg-type]


class DraftItemSchema(Schema):
    """What should hold of one code, and when."""

    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    code = fields.String(required=True, validate=validate.Length(min=1, max=64))
    content = fields.Dict(
        keys=fields.String(),
        required=True,
        allow_none=True,
        validate=_refuse_depth,
        metadata={
            "description": "As `GET` of the catalogue shows it; null ends what holds of this code from `valid_from` on."
        },
    )
    valid_from = Timestamp(
        load_default=None,
        allow_none=True,
        validate=INSTANT,
        metadata={
            "description": "Takes the place of the dates in the content of rules and factors, whose days begin at "
            "midnight of the programme. Without it these hold when their content says, all other kinds since ever."
        },
    )
    valid_to = Timestamp(load_default=None, allow_none=True, validate=INSTANT)

    @post_load
    def _make(self, data: dict[str, object], **_kwargs: object) -> ProposedVersion:
        return ProposedVersion(**{**data, "kind": VersionKind(data["kind"])})  # type: ignore[arg-type]


class DraftSchema(Schema):
    """A change of what is in force, whole: an edit gives all items again."""

    title = _text(200, required=True)
    reason = _text(2000, required=True, metadata={"description": "Why; of an edit, what was edited and why."})
    items = fields.List(
        fields.Nested(DraftItemSchema), required=True, validate=validate.Length(min=1, max=ITEMS_MAX)
    )


class RemarkSchema(Schema):
    """What may be said with a step."""

    reason = _text(2000, load_default=None, allow_none=True)


class ReasonSchema(Schema):
    """What must be said with a step."""

    reason = _text(2000, required=True)


class RollBackSchema(ReasonSchema):
    """Why a change is undone, and from when on."""

    valid_from = Timestamp(
        load_default=None,
        allow_none=True,
        validate=INSTANT,
        metadata={
            "description": "From when on what was before holds again; default: the programme's next day."
        },
    )


class ChangeQuery(PageQuery):
    """Which change requests to list, the latest first."""

    state = fields.String(load_default=None, validate=validate.OneOf([state.value for state in State]))
    kind = fields.Enum(VersionKind, by_value=fields.String(validate=validate.OneOf(KINDS)), load_default=None)
    code = fields.String(load_default=None, validate=validate.Length(min=1, max=64))


class AuditQuery(Schema):
    """Which steps to export, and why."""

    purpose = fields.String(
        required=True,
        validate=[validate.Length(min=1, max=200), SAYS_SOMETHING],
        metadata={"description": "Kept in the audit trail."},
    )
    change_request_id = fields.Integer(load_default=None, validate=validate.Range(min=1, max=HIGHEST_NUMBER))
    taken_from = Timestamp(load_default=None, validate=INSTANT)
    taken_to = Timestamp(load_default=None, validate=INSTANT)


class FieldChangeSchema(Schema):
    """One field before and after; null is absent too."""

    field = fields.String(required=True)
    before = fields.Raw(required=True, allow_none=True)
    after = fields.Raw(required=True, allow_none=True)


class ChangeItemSchema(Schema):
    """What should hold of one code, compared with what it replaces."""

    kind = fields.String(required=True, attribute="change.proposed.kind.value")
    code = fields.String(required=True, attribute="change.proposed.code")
    content = fields.Raw(required=True, allow_none=True, attribute="change.proposed.content")
    valid_from = fields.AwareDateTime(required=True, allow_none=True, attribute="change.proposed.valid_from")
    valid_to = fields.AwareDateTime(required=True, allow_none=True, attribute="change.proposed.valid_to")
    replaces = fields.List(
        fields.Integer(),
        required=True,
        attribute="change.replaces",
        metadata={"description": "Numbers of the versions that it takes the place of, whole or in part."},
    )
    fields_ = fields.List(
        fields.Nested(FieldChangeSchema), required=True, data_key="fields", attribute="change.fields"
    )
    worse = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Fields in which it is worse for customers, so that it needs notice."},
    )


class ChangeEvidenceSchema(Schema):
    """What was found out about a draft."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf([kind.value for kind in EvidenceKind]),
    )
    result = fields.String(required=True, validate=validate.OneOf([result.value for result in Result]))
    counts = fields.Boolean(
        required=True,
        metadata={"description": "Whether it is the latest of its kind for the draft as it is."},
    )
    details = fields.Raw(required=True)
    person = fields.String(required=True, allow_none=True)
    made_at = fields.AwareDateTime(required=True)


class ChangeStepSchema(Schema):
    """Who did what, when and why. `person` null: the state followed the clock."""

    step_no = fields.Integer(required=True)
    step = fields.String(required=True, validate=validate.OneOf([step.value for step in Step]))
    from_state = fields.String(required=True, allow_none=True)
    to_state = fields.String(required=True)
    person = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)
    fields_ = fields.List(
        fields.Nested(FieldChangeSchema), required=True, data_key="fields", attribute="fields"
    )
    taken_at = fields.AwareDateTime(required=True)


class ChangeSummarySchema(Schema):
    """A change request in a list."""

    change_request_id = fields.Integer(required=True)
    origin = fields.String(required=True, validate=validate.OneOf(["shipped", "admin"]))
    title = fields.String(required=True)
    reason = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf([state.value for state in State]))
    maker_person = fields.String(required=True)
    checker_person = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    decided_at = fields.AwareDateTime(required=True, allow_none=True)
    starts_at = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata={
            "description": "When the first of its versions begins to hold; null before approval and for ever."
        },
    )
    rolls_back_id = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The change whose effects it undoes."}
    )


class ChangePageSchema(Schema):
    """Some change requests and where the next page begins."""

    items = fields.List(fields.Nested(ChangeSummarySchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ChangeSchema(Schema):
    """A change request with everything about it."""

    change = fields.Nested(ChangeSummarySchema, required=True, attribute="summary")
    makers = fields.List(
        fields.String(),
        required=True,
        metadata={
            "description": "Every person who drafted, edited or submitted it; none of them may decide."
        },
    )
    items = fields.List(fields.Nested(ChangeItemSchema), required=True)
    evidence = fields.List(fields.Nested(ChangeEvidenceSchema), required=True)
    missing = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Evidence that the draft lacks before it can be submitted."},
    )
    checkers_needed = fields.Integer(required=True)
    first_start = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata={"description": "When what is worse for customers may begin, if it were approved now."},
    )
    steps = fields.List(fields.Nested(ChangeStepSchema), required=True)
