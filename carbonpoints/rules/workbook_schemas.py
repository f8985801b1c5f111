"""What checking a workbook answers."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, pre_dump

from carbonpoints.approvals.changes import Change
from carbonpoints.approvals.schemas import FieldChangeSchema
from carbonpoints.core.http import Schema
from carbonpoints.rules.schemas import FindingFieldsSchema, finding_body
from carbonpoints.rules.workbooks import CellFinding


class CellFindingSchema(FindingFieldsSchema):
    """What there is to say of a cell, or of what the workbook would change."""

    @pre_dump
    def _in_place(self, found: CellFinding, **_: object) -> dict[str, Any]:
        return {"sheet": found.sheet, "cell": found.cell, **finding_body(found.finding)}

    sheet = fields.String(required=True, metadata={"description": "Empty where no cell is meant."})
    cell = fields.String(required=True, metadata={"description": "As in `B3`; empty where no cell is meant."})


class ProposedChangeSchema(Schema):
    """A version that would be proposed: its content, what it would replace, and each field."""

    @pre_dump
    def _flat(self, change: Change, **_: object) -> dict[str, Any]:
        return {**vars(change.proposed), "replaces": change.replaces, "changed": change.fields}

    kind = fields.String(required=True)
    code = fields.String(required=True)
    valid_from = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    valid_to = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    content = fields.Dict(keys=fields.String(), required=True)
    replaces = fields.List(fields.Integer(), required=True)
    changed = fields.List(fields.Nested(FieldChangeSchema), required=True, data_key="fields")


class WorkbookReviewSchema(Schema):
    """What is wrong with a workbook, or else what it would change; rows that are as they are now change nothing."""

    findings = fields.List(fields.Nested(CellFindingSchema), required=True)
    changes = fields.List(fields.Nested(ProposedChangeSchema), required=True)
