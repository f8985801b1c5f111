"""Evidence of change requests: what was found out about one draft, and whether that is enough to go on.

Evidence is tied to the content of a draft by its hash. An edit leaves it behind; a newer piece of the same kind takes
the place of an older one, and none is ever removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from carbonpoints.approvals.drafts import Draft
from carbonpoints.approvals.errors import EvidenceFailed, EvidenceMissing, NoticeTooShort, StepNotAllowed
from carbonpoints.approvals.kinds import CheckFinding, check_items
from carbonpoints.approvals.lifecycle import OPEN
from carbonpoints.approvals.models import ChangeEvidence, ChangeRequest
from carbonpoints.approvals.notice import worse_fields
from carbonpoints.approvals.requirements import EvidenceKind, Result, needed_for
from carbonpoints.approvals.steps import latest_evidence_no, lock_change
from carbonpoints.approvals.versions import VersionKind, current_versions, read_versions
from carbonpoints.core.clock import now
from carbonpoints.core.defaults import NOTICE_DAYS
from carbonpoints.core.errors import FieldError, filled


def record_evidence(
    session: Session,
    draft: Draft,
    kind: EvidenceKind,
    result: Result,
    details: Mapping[str, Any],
    *,
    person: str | None = None,
) -> None:
    """Keep what was found out about a draft, in the caller's transaction.

    `draft` is what it was found out about, as `read_draft` gave it: if the change was edited meanwhile, the evidence
    is kept and does not count. `details` are JSON and hold nothing personal. `person` asked for it, if anybody did.
    Raises StepNotAllowed when the change waits for nobody any more.
    """
    change = lock_change(session, draft.programme_id, draft.change_request_id)
    if change.state not in OPEN:
        raise StepNotAllowed(step="evidence", state=change.state)
    session.add(
        ChangeEvidence(
            change_request_id=change.change_request_id,
            evidence_no=latest_evidence_no(session, change) + 1,
            kind=kind.value,
            content_hash=draft.content_hash,
            result=result.value,
            details=dict(details),
            person=person,
            made_at=now(),
        )
    )
    session.flush()


def record_checks(session: Session, draft: Draft, *, person: str) -> list[FieldError]:
    """Check a draft against what is in force now, keep what comes of it, and return what stands in its way."""
    found = check_items(session, draft.programme_id, draft.proposed)
    for kind, one in found.items():
        details = {"findings": [_shown(finding) for finding in one.findings], **one.details}
        record_evidence(session, draft, kind, one.result or _result(one.findings), details, person=person)
    return [finding.error for one in found.values() for finding in one.findings if finding.stops]


def _shown(finding: CheckFinding) -> dict[str, Any]:
    error = finding.error
    return {
        "field": error.field,
        "column": finding.column,
        "code": error.code,
        "detail": filled(error.detail, error.params),
        "severity": "error" if finding.stops else "warning",
    }


def _result(findings: Sequence[CheckFinding]) -> Result:
    if any(finding.stops for finding in findings):
        return Result.FAILED
    return Result.WARNING if findings else Result.PASSED


def list_evidence(session: Session, change: ChangeRequest) -> Sequence[ChangeEvidence]:
    """Return all evidence of a change request, by number."""
    query = select(ChangeEvidence).where(ChangeEvidence.change_request_id == change.change_request_id)
    return session.scalars(query.order_by(ChangeEvidence.evidence_no)).all()


def counting(evidence: Sequence[ChangeEvidence], content_hash: bytes) -> dict[EvidenceKind, ChangeEvidence]:
    """Return what counts of the evidence for a draft: the latest of each kind that was made for its content."""
    return {EvidenceKind(item.kind): item for item in evidence if item.content_hash == content_hash}


def missing_evidence(draft: Draft, counts: Mapping[EvidenceKind, ChangeEvidence]) -> list[EvidenceKind]:
    """Return what a draft needs and lacks."""
    return sorted(needed_for(item.kind.value for item in draft.proposed) - counts.keys())


def results(counts: Mapping[EvidenceKind, ChangeEvidence]) -> dict[EvidenceKind, Result]:
    """Return what came of each."""
    return {kind: Result(item.result) for kind, item in counts.items()}


def require_evidence(
    session: Session, change: ChangeRequest, draft: Draft, *, person: str
) -> dict[EvidenceKind, Result]:
    """Check a draft again and return what came of all its evidence.

    What it rests on may have changed since. Raises EvidenceFailed, EvidenceMissing.
    """
    findings = record_checks(session, draft, person=person)
    counts = counting(list_evidence(session, change), draft.content_hash)
    found = results(counts)
    failed = [kind for kind in sorted(found) if found[kind] is Result.FAILED]
    if failed:
        others = [
            FieldError(f"evidence.{kind}", "failed", "This evidence speaks against the change.")
            for kind in failed
        ]
        raise EvidenceFailed(fields=findings + others)
    missing = missing_evidence(draft, counts)
    if missing:
        raise EvidenceMissing(
            "Missing: %(missing)s.",
            params={"missing": ", ".join(missing)},
            fields=[
                FieldError(f"evidence.{kind}", "missing", "This evidence is missing.") for kind in missing
            ],
        )
    return found


def worse_by_item(session: Session, draft: Draft) -> list[tuple[str, ...]]:
    """Return for each item of a draft the fields in which it is worse for customers than what it replaces."""
    replaced = read_versions(session, [number for change in draft.changes for number in change.replaces])
    worse: list[tuple[str, ...]] = []
    for change in draft.changes:
        item = change.proposed
        fields = {
            f"content.{field}".rstrip(".")
            for number in change.replaces
            for field in worse_fields(item.kind, replaced[number].content, item.content)
        }
        worse.append(tuple(sorted(fields)))
    return worse


def first_start(session: Session, programme_id: int) -> datetime:
    """Return when a change that is worse for customers may begin if it is approved now."""
    moment = now()
    settings = current_versions(session, programme_id, VersionKind.PROGRAMME)
    days = next(
        (version.content.get("notice_days", NOTICE_DAYS) for version in settings if version.holds_at(moment)),
        NOTICE_DAYS,
    )
    return moment + timedelta(days=days)


def require_notice(session: Session, draft: Draft) -> None:
    """Raise NoticeTooShort, naming the fields, when something gets worse before it could be announced.

    What ends before now is about acts that are done: nothing that was issued for them becomes less.
    """
    earliest, moment = first_start(session, draft.programme_id), now()
    hasty = [
        FieldError(f"items.{number}.{field}", "worse_for_customers", "This is worse for customers.")
        for number, fields in enumerate(worse_by_item(session, draft))
        for field in fields
        if ((start := draft.proposed[number].valid_from) is None or start < earliest)
        and ((end := draft.proposed[number].valid_to) is None or end > moment)
    ]
    if hasty:
        raise NoticeTooShort(
            "It may start at %(first_start)s at the earliest.",
            params={"first_start": earliest.isoformat()},
            fields=hasty,
        )
