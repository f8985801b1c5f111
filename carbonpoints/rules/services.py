"""Taking definitions over into a programme, and reading what it holds.

Everything submitted is checked whole before anything is stored: DefinitionError names each wrong place by file
and line, and nothing has changed then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from carbonpoints.approvals import services as approvals
from carbonpoints.approvals.changes import Change, ProposedVersion, compare
from carbonpoints.approvals.services import ImportOutcome
from carbonpoints.approvals.versions import (
    StoredVersion,
    VersionKind,
    current_versions,
    list_versions,
    version_history,
)
from carbonpoints.approvals.writing import lock_programme
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.models import Bank, Programme
from carbonpoints.core.pagination import Page, decode_cursor, make_page
from carbonpoints.core.programmes import programme_of
from carbonpoints.rules.admission import check_submission, proposed_versions, review_submission
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.changes import read_in_force
from carbonpoints.rules.errors import ProgrammeNotNamed, UnknownDefinition
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.nodes import Problem
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.shipped import ShippedCatalogue
from carbonpoints.rules.submissions import KINDS, Submission, as_submission, read_proposed


@dataclass(frozen=True)
class NamedProgramme:
    """A programme that was found by its codes."""

    programme_id: int
    zone: tzinfo


@dataclass(frozen=True)
class Seeded:
    """A programme that is set up: what became of its settings and of its catalogue."""

    programme_id: int
    settings: ImportOutcome
    catalogue: ImportOutcome


@dataclass(frozen=True)
class ReviewedFinding:
    """A finding, and the definition that it is said of: a proposed one, or a rule in force that rests on one."""

    kind: VersionKind
    code: str
    place: int | None
    """Which of the proposed definitions it is; None for a rule in force."""
    finding: Finding


@dataclass(frozen=True)
class Review:
    """What is to be said of proposed definitions, and what they would change; nothing while an error stands."""

    findings: tuple[ReviewedFinding, ...]
    changes: tuple[Change, ...]


def seed_programme(
    *,
    bank_code: str,
    issuer: str,
    bank_name_en: str,
    bank_name_zh: str,
    catalogue: ShippedCatalogue,
    maker_person: str,
    checker_person: str,
) -> Seeded:
    """Set up a bank, its programme and the programme's catalogue, answered for by two persons.

    Repeatable: what is there stays, what differs becomes a draft. Raises DefinitionError, FourEyes,
    IdentityFixed.
    """
    with transaction() as session:
        settings = approvals.create_bank_and_programme(
            session,
            bank_code=bank_code,
            issuer=issuer,
            bank_name_en=bank_name_en,
            bank_name_zh=bank_name_zh,
            settings=as_content(catalogue.programme),
            maker_person=maker_person,
            checker_person=checker_person,
        )
        taken = _import_shipped(
            session,
            settings.programme_id,
            as_submission(catalogue),
            maker_person=maker_person,
            checker_person=checker_person,
        )
        return Seeded(settings.programme_id, settings, taken)


def import_shipped(
    *, programme_id: int, submission: Submission, maker_person: str, checker_person: str
) -> ImportOutcome:
    """Take over what comes with the product: new codes are in force at once, changed ones become a draft."""
    with transaction() as session:
        return _import_shipped(
            session, programme_id, submission, maker_person=maker_person, checker_person=checker_person
        )


def draft_definitions(
    *, programme_id: int, submission: Submission, maker_person: str, reason: str
) -> ImportOutcome:
    """Make a draft of whatever differs from what is in force."""
    with transaction() as session:
        return approvals.draft_change(
            session,
            programme_id=programme_id,
            proposed=_admit(session, programme_id, submission),
            maker_person=maker_person,
            reason=reason,
        )


def review_proposed(session: Session, *, programme_id: int, proposed: Sequence[ProposedVersion]) -> Review:
    """Return everything that is to be said of proposed definitions beside what the programme holds now.

    What cannot even be read is said first and alone. Otherwise each definition is checked as if all of them were in
    force, and so is every rule in force that rests on one of them. Kinds that this package does not know are left
    out. When a definition holds is read from its content. Nothing is written or locked.
    """
    submission, refused = read_proposed(proposed)
    if refused:
        return Review(tuple(_refused(proposed[place], place, problem) for place, problem in refused), ())
    in_force = read_in_force(session, session.get_one(Programme, programme_id))
    findings = tuple(
        ReviewedFinding(KINDS[type(located.definition)], located.definition.code, located.place, finding)
        for located, finding in review_submission(submission, in_force)
    )
    if any(each.finding.stops for each in findings):
        return Review(findings, ())
    versions = proposed_versions(submission, in_force.zone)
    current = {
        kind: current_versions(session, programme_id, kind) for kind in {item.kind for item in versions}
    }
    compared = (
        compare(item, [version for version in current[item.kind] if version.code == item.code])
        for item in versions
    )
    return Review(findings, tuple(change for change in compared if change is not None))


def _refused(item: ProposedVersion, place: int, problem: Problem) -> ReviewedFinding:
    finding = Finding(problem.field, 0, problem.code, problem.message)
    return ReviewedFinding(item.kind, item.code, place, finding)


def find_programme(*, bank: str | None, programme: str | None) -> NamedProgramme:
    """Return the programme of these codes, or the only one; raises ProgrammeNotNamed."""
    query = select(Programme).join(Bank, Bank.bank_id == Programme.bank_id)
    if bank is not None:
        query = query.where(Bank.code == bank)
    if programme is not None:
        query = query.where(Programme.code == programme)
    with reading() as session:
        found = session.scalars(query.limit(2)).all()
    if len(found) != 1:
        raise ProgrammeNotNamed
    return NamedProgramme(found[0].programme_id, ZoneInfo(found[0].time_zone))


def list_current(*, programme_id: int, kind: VersionKind) -> tuple[StoredVersion, ...]:
    """Return the current versions of a kind, by code and start of validity."""
    with reading() as session:
        return current_versions(session, programme_id, kind)


def list_definitions(
    *,
    caller: Caller,
    kind: VersionKind,
    at: datetime | None,
    known_at: datetime | None,
    cursor: str | None,
    limit: int,
) -> Page[StoredVersion]:
    """Return the current versions, or what was held at `known_at`; with `at`, of these what holds then."""
    after = decode_cursor(cursor, str, int) if cursor else None
    with reading() as session:
        rows = list_versions(
            session,
            programme_of(session, caller),
            kind,
            valid_at=at,
            known_at=known_at,
            after=(after[0], after[1]) if after else None,
            limit=limit + 1,
        )
    return make_page(rows, limit, lambda version: (version.code, version.version_no))


def read_definition(*, caller: Caller, kind: VersionKind, code: str) -> tuple[StoredVersion, ...]:
    """Return every version a code ever had, by number; raises UnknownDefinition when it has none."""
    with reading() as session:
        versions = version_history(session, programme_of(session, caller), kind, code)
    if not versions:
        raise UnknownDefinition
    return versions


def _import_shipped(
    session: Session, programme_id: int, submission: Submission, *, maker_person: str, checker_person: str
) -> ImportOutcome:
    outcome = approvals.import_shipped(
        session,
        programme_id=programme_id,
        proposed=_admit(session, programme_id, submission),
        maker_person=maker_person,
        checker_person=checker_person,
    )
    load_catalogue(session, programme_id)
    return outcome


def _admit(session: Session, programme_id: int, submission: Submission) -> list[ProposedVersion]:
    """Return the submission as versions to propose; raises DefinitionError unless all of it may hold."""
    in_force = read_in_force(session, lock_programme(session, programme_id))
    check_submission(submission, in_force)
    return proposed_versions(submission, in_force.zone)
