"""Factor tables and sample cases as workbooks: out, and in again as what a change request would hold, or as a draft."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from carbonpoints.approvals import services as approvals
from carbonpoints.approvals.changes import Change, ProposedVersion
from carbonpoints.approvals.services import ImportOutcome
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.approvals.writing import lock_programme
from carbonpoints.core import clock
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.errors import FieldError, InvalidRequest, Message
from carbonpoints.core.models import Programme
from carbonpoints.core.programmes import programme_of
from carbonpoints.rules.admission import factor_during
from carbonpoints.rules.catalogue import read_held
from carbonpoints.rules.definitions import BehaviourDefinition, RuleDefinition
from carbonpoints.rules.errors import UnknownDefinition
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.services import ReviewedFinding, review_proposed
from carbonpoints.rules.timelines import Held, HeldVersions
from carbonpoints.rules.workbook_tables import (
    FACTORS,
    RULE,
    cell_of,
    factor_sheet,
    read_factors,
    read_samples,
    sample_sheets,
)
from carbonpoints.rules.workbooks import Cell, CellFinding, Table, read_workbook, write_workbook

_VERSION = "version_id"


@dataclass(frozen=True)
class WorkbookReview:
    """What is to be said of a workbook, and what it would change; nothing while an error stands."""

    findings: Sequence[CellFinding]
    changes: Sequence[Change]


@dataclass(frozen=True)
class WorkbookDraft:
    """What is to be said of a workbook, and the draft that was made of it; None while an error stands."""

    findings: Sequence[CellFinding]
    outcome: ImportOutcome | None


def export_factors(*, caller: Caller) -> bytes:
    """Return a workbook of the factors of the caller's programme."""
    with reading() as session:
        return write_factors(session, programme_of(session, caller))


def export_samples(*, caller: Caller, code: str) -> bytes:
    """Return a workbook of a rule's samples; raises UnknownDefinition."""
    with reading() as session:
        return write_samples(session, programme_of(session, caller), code)


def check_workbook(*, caller: Caller, content: bytes) -> WorkbookReview:
    """Return what is wrong with a workbook, cell by cell, or what it would change; nothing is stored.

    InvalidRequest where it is no workbook, or none of ours.
    """
    with reading() as session:
        return _review(session, programme_of(session, caller), content)


def draft_workbook(*, programme_id: int, content: bytes, maker_person: str, reason: str) -> WorkbookDraft:
    """Make a draft of whatever a workbook changes; nothing is stored while an error stands.

    InvalidRequest where it is no workbook, or none of ours.
    """
    with transaction() as session:
        lock_programme(session, programme_id)
        review = _review(session, programme_id, content)
        if any(each.finding.stops for each in review.findings):
            return WorkbookDraft(review.findings, None)
        outcome = approvals.draft_change(
            session,
            programme_id=programme_id,
            proposed=[change.proposed for change in review.changes],
            maker_person=maker_person,
            reason=reason,
        )
        return WorkbookDraft(review.findings, outcome)


def write_factors(session: Session, programme_id: int) -> bytes:
    """Return a workbook of a programme's factors: a row for each version that is current, whenever it holds."""
    return write_workbook({FACTORS: _exported(session, programme_id)})


def write_samples(session: Session, programme_id: int, code: str) -> bytes:
    """Return a workbook of a rule's samples: those of the version in force now, else of the last one.

    Raises UnknownDefinition where the programme has no such rule.
    """
    held = read_held(session, programme_id)
    rules = [rule for rule in held.rules if rule.version.code == code]
    if not rules:
        raise UnknownDefinition
    rule = next((rule for rule in rules if rule.version.holds_at(clock.now())), rules[-1])
    behaviour = _behaviour(held, rule.definition)
    return write_workbook(sample_sheets(rule.definition, behaviour, rule.version.version_id))


def _review(session: Session, programme_id: int, content: bytes) -> WorkbookReview:
    tables, found = read_workbook(content)
    proposed = _proposed(session, programme_id, tables, found)
    if any(each.finding.stops for each in found):
        return WorkbookReview(found, [])
    review = review_proposed(session, programme_id=programme_id, proposed=list(proposed.values()))
    places = list(proposed)
    found += [_placed(tables, each, places) for each in review.findings]
    return WorkbookReview(found, review.changes)


def _proposed(
    session: Session, programme_id: int, tables: Mapping[str, Table], found: list[CellFinding]
) -> dict[str, ProposedVersion]:
    """Return what a workbook proposes, by the place of its fields: `factors.3.`, or nothing for a rule's own."""
    if FACTORS in tables:
        rows, wrong = read_factors(tables[FACTORS], _exported(session, programme_id))
        found += wrong
        return {
            f"{FACTORS}.{no}.": ProposedVersion(
                kind=VersionKind.FACTOR, code=str(content.get("code", "")), content=content
            )
            for no, content in rows.items()
        }
    if RULE not in tables:
        message = Message("The workbook has neither a sheet “factors” nor a sheet “rule”.")
        raise InvalidRequest(fields=[FieldError.saying("", "no_table", message)])
    held = read_held(session, programme_id)
    rule = _named_rule(tables[RULE], held, found)
    if rule is None:
        return {}
    content, wrong = read_samples(tables, rule.definition, _behaviour(held, rule.definition))
    found += wrong
    return {"": ProposedVersion(kind=VersionKind.RULE, code=rule.version.code, content=content)}


def _named_rule(table: Table, held: HeldVersions, found: list[CellFinding]) -> Held[RuleDefinition] | None:
    named = table.rows[0].get(_VERSION, Cell("A1", None)) if table.rows else Cell("A1", None)
    rule = next((rule for rule in held.rules if str(rule.version.version_id) == str(named.value)), None)
    if rule is None:
        message = Message("this names no version of a rule that is current: export the samples again")
        found.append(CellFinding(RULE, named.reference, Finding(_VERSION, 0, "outdated", message)))
    return rule


def _placed(tables: Mapping[str, Table], each: ReviewedFinding, places: Sequence[str]) -> CellFinding:
    finding = each.finding
    if each.place is None:
        message = Message("rule %(code)s: %(message)s", code=each.code, message=finding.sentence)
        return CellFinding("", "", Finding(finding.field, 0, finding.code, message, finding.severity))
    return CellFinding(*cell_of(tables, places[each.place] + finding.field), finding)


def _exported(session: Session, programme_id: int) -> list[list[str]]:
    """Return the factors as they are written out, each with its dates set to when it holds."""
    zone = ZoneInfo(session.get_one(Programme, programme_id).time_zone)
    factors = []
    for held in read_held(session, programme_id).factors:
        start, end = (bound.astimezone(zone) if bound else None for bound in held.version.valid)
        factors.append(factor_during(held.definition, start, end))
    return factor_sheet(factors)


def _behaviour(held: HeldVersions, rule: RuleDefinition) -> BehaviourDefinition:
    """Return the behaviour type of a rule, as it holds latest."""
    return next(
        behaviour.definition
        for behaviour in reversed(held.behaviours)
        if behaviour.version.code == rule.behaviour
    )
