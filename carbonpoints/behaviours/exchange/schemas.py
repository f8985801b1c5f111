"""What callers send and see of the exchange."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from carbonpoints.accounts.schemas import PurposeQuerySchema
from carbonpoints.approvals.versions import StoredVersion
from carbonpoints.behaviours.exchange.coverage import Coverage, Part
from carbonpoints.behaviours.exchange.exports import state_of
from carbonpoints.behaviours.exchange.imports import LISTED, Conflicts, Imported
from carbonpoints.behaviours.exchange.models import ExchangeExport, ExchangeImport
from carbonpoints.behaviours.exchange.normal_form import month_text
from carbonpoints.core.http import Schema
from carbonpoints.core.sentences import Caveat

MONTH = validate.Regexp(r"(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])\Z")
HASH = {"description": "SHA-256 of the file."}
STATES = ("requested", "approved", "taken")


class MonthField(fields.String):
    """A month as in `2026-06`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            required=True, validate=MONTH, metadata={"description": "A month: `2026-06`."}, **options
        )


class ListQuery(Schema):
    """How many."""

    limit = fields.Integer(load_default=100, validate=validate.Range(min=1, max=1_000))


class AgreementSchema(Schema):
    """A version of an agreement."""

    code = fields.String(required=True)
    version_id = fields.Integer(required=True)
    change_request_id = fields.Integer(required=True)
    valid_from = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    valid_to = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    content = fields.Dict(required=True)
    has_key = fields.Boolean(required=True, metadata={"description": "Whether its secret is configured."})


class AgreementsSchema(Schema):
    """All agreements, of the past and to come too."""

    items = fields.List(fields.Nested(AgreementSchema), required=True)


class ImportSchema(Schema):
    """A file of marks that was taken over."""

    import_id = fields.UUID(required=True)
    agreement = fields.String(required=True)
    period = MonthField()
    marks = fields.Integer(required=True)
    file_hash = fields.String(required=True, metadata=HASH)
    imported_at = fields.AwareDateTime(required=True, format="iso")
    person = fields.String(required=True)


class ImportedSchema(ImportSchema):
    """An import with the number of its conflicts."""

    conflicts = fields.Integer(
        required=True, metadata={"description": "Marked acts that were credited here before, and stand."}
    )
    undecided = fields.Integer(
        required=True,
        metadata={
            "description": "Marked acts whose event here is not decided yet: ask for the conflicts again."
        },
    )


class ImportsSchema(Schema):
    """The latest imports first."""

    items = fields.List(fields.Nested(ImportSchema), required=True)


class ConflictSchema(Schema):
    """An act that was credited here and is marked: for people to decide."""

    line = fields.Integer(required=True, metadata={"description": "Of the mark in its file."})
    event_id = fields.String(required=True)
    account_id = fields.String(required=True)
    reduction_mg = fields.Integer(required=True)
    amount_millicredits = fields.Integer(required=True)


class ConflictsSchema(Schema):
    """The conflicts of an import as they stand now; at most a thousand are named."""

    total = fields.Integer(required=True)
    undecided = fields.Integer(required=True)
    items = fields.List(fields.Nested(ConflictSchema), required=True)
    caveat = Caveat()


class RequestExportSchema(Schema):
    """Which claims are to be told to whom, and why."""

    agreement = fields.String(required=True, validate=validate.Length(min=1, max=64))
    period = MonthField()
    reason = fields.String(required=True, validate=validate.Length(min=1, max=1_000))


class ExportSchema(Schema):
    """An export and who did what; nothing of it changes once it was taken."""

    export_id = fields.UUID(required=True)
    agreement = fields.String(required=True)
    period = MonthField()
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    reason = fields.String(required=True)
    maker_person = fields.String(required=True)
    requested_at = fields.AwareDateTime(required=True, format="iso")
    checker_person = fields.String(required=True, allow_none=True)
    approved_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    taken_by = fields.String(required=True, allow_none=True)
    taken_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    marks = fields.Integer(required=True, allow_none=True)
    file_hash = fields.String(required=True, allow_none=True, metadata=HASH)


class ExportsSchema(Schema):
    """The latest exports first."""

    items = fields.List(fields.Nested(ExportSchema), required=True)


class ConflictsQuery(PurposeQuerySchema):
    """Why they are read."""


class CoverageQuery(Schema):
    """Of which month."""

    period = MonthField()


class CheckedSchema(Schema):
    """What was checked under one agreement."""

    agreement = fields.String(required=True)
    partner_name_en = fields.String(required=True)
    partner_name_zh = fields.String(required=True)
    checked_mg = fields.Integer(required=True)


class PartSchema(Schema):
    """What stands of some awards, what of it was checked elsewhere, and what was not."""

    reduction_mg = fields.Integer(required=True)
    checked_mg = fields.Integer(required=True, metadata={"description": "Under at least one agreement."})
    not_checked_mg = fields.Integer(required=True)
    not_checked_share = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "From 0 to 1, rounded up to four digits; null where nothing stands."},
    )
    agreements = fields.List(fields.Nested(CheckedSchema), required=True)


class BehaviourPartSchema(PartSchema):
    """The same of one behaviour."""

    behaviour = fields.String(required=True)


class CoverageSchema(PartSchema):
    """How much of a month's reduction was checked elsewhere, as it stands now."""

    period = MonthField()
    as_of = fields.AwareDateTime(required=True, format="iso")
    behaviours = fields.List(fields.Nested(BehaviourPartSchema), required=True)
    caveat = Caveat()


def agreement_view(version: StoredVersion, keys: frozenset[str]) -> dict[str, Any]:
    """Return a version in the shape of `AgreementSchema`."""
    names = ("code", "version_id", "change_request_id", "valid_from", "valid_to", "content")
    has_key = version.content["key_reference"] in keys
    return {**{name: getattr(version, name) for name in names}, "has_key": has_key}


def import_view(row: ExchangeImport) -> dict[str, Any]:
    """Return an import in the shape of `ImportSchema`."""
    names = ("import_id", "agreement", "marks", "imported_at", "person")
    shown = {name: getattr(row, name) for name in names}
    return {**shown, "period": month_text(row.period), "file_hash": row.file_hash.hex()}


def imported_view(imported: Imported) -> dict[str, Any]:
    """Return an import in the shape of `ImportedSchema`."""
    conflicts = imported.conflicts
    counts = {"conflicts": len(conflicts.items), "undecided": conflicts.undecided}
    return {**import_view(imported.row), **counts}


def conflicts_view(conflicts: Conflicts) -> dict[str, Any]:
    """Return conflicts in the shape of `ConflictsSchema`."""
    items = [
        {
            "line": each.line_no,
            "event_id": each.event_id,
            "account_id": each.account,
            "reduction_mg": each.reduction_mg,
            "amount_millicredits": each.amount_millicredits,
        }
        for each in conflicts.items[:LISTED]
    ]
    return {"total": len(conflicts.items), "undecided": conflicts.undecided, "items": items}


def export_view(row: ExchangeExport) -> dict[str, Any]:
    """Return an export in the shape of `ExportSchema`."""
    names = (
        "export_id",
        "agreement",
        "reason",
        "maker_person",
        "requested_at",
        "checker_person",
        "approved_at",
    )
    shown = {name: getattr(row, name) for name in (*names, "taken_by", "taken_at", "marks")}
    file_hash = row.file_hash.hex() if row.file_hash is not None else None
    return {**shown, "period": month_text(row.period), "state": state_of(row), "file_hash": file_hash}


def coverage_view(coverage: Coverage) -> dict[str, Any]:
    """Return a coverage in the shape of `CoverageSchema`."""
    behaviours = [
        {"behaviour": code, **_part_view(part, coverage)}
        for code, part in sorted(coverage.behaviours.items())
    ]
    return {
        "period": coverage.period,
        "as_of": coverage.as_of,
        **_part_view(coverage.whole, coverage),
        "behaviours": behaviours,
    }


def _part_view(part: Part, coverage: Coverage) -> dict[str, Any]:
    names = ("reduction_mg", "checked_mg", "not_checked_mg", "not_checked_share")
    agreements = [
        {
            "agreement": code,
            "partner_name_en": agreement.partner_name_en,
            "partner_name_zh": agreement.partner_name_zh,
            "checked_mg": part.by_agreement.get(code, 0),
        }
        for code, agreement in sorted(coverage.agreements.items())
    ]
    return {**{name: getattr(part, name) for name in names}, "agreements": agreements}
