"""Marks of other programmes in: a file is taken over whole or not at all, and the same file once.

Marks of acts that were credited here before change nothing by themselves: they are conflicts that people decide, by a
reversal here or with the other programme. Which stand is worked out whenever somebody asks.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from carbonpoints.accounts.access import require_role, stated_purpose
from carbonpoints.behaviours.delivering import EVENT_PREFIX
from carbonpoints.behaviours.exchange.agreements import Period, find_period
from carbonpoints.behaviours.exchange.errors import ImportNotFound, OtherDirection
from carbonpoints.behaviours.exchange.files import MarksFile, header_of
from carbonpoints.behaviours.exchange.marking import during_text
from carbonpoints.behaviours.exchange.models import ExchangeImport
from carbonpoints.behaviours.exchange.normal_form import parse_month
from carbonpoints.behaviours.exchange.standing import NotedAct, awards_of, consented, paged
from carbonpoints.core import audit, clock
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import raw_connection, reading, transaction
from carbonpoints.core.errors import Message
from carbonpoints.core.ids import NumberedId, account_public_id, new_uuid
from carbonpoints.core.programmes import programme_of
from carbonpoints.core.roles import Role

LISTED = 1_000
"""So many conflicts are named at once."""
COPY_MARKS = "COPY identity_exchange_mark (fingerprint, import_id, line_no, during) FROM STDIN"
OVERLAPPING = text("""
SELECT m.line_no, a.event_hash, a.account_id, a.revision, a.occurred_at
FROM identity_exchange_act a
JOIN identity_exchange_mark m ON m.fingerprint = a.fingerprint AND m.import_id = :import_id AND m.during && a.during
WHERE a.programme_id = :programme_id AND a.agreement = :agreement AND a.period = :period
ORDER BY m.line_no, a.account_id, a.event_hash, a.revision
""")


class _TakenOverError(Exception):
    """The same file was taken over before."""


@dataclass(frozen=True)
class MarkedAward:
    """A mark of an act that was credited here and stands."""

    line_no: int
    account_id: int
    account_seq: int
    reduction_mg: int
    amount_millicredits: int

    @property
    def event_id(self) -> str:
        """The id of the event."""
        return str(NumberedId(EVENT_PREFIX, self.account_id, self.account_seq))

    @property
    def account(self) -> str:
        """The public id of the account."""
        return account_public_id(self.account_id)


@dataclass(frozen=True)
class Conflicts:
    """What an import found credited here, as it stands now."""

    items: Sequence[MarkedAward]
    undecided: int
    """Marks of acts that are claimed here by events about which nothing is decided yet: ask again."""


@dataclass(frozen=True)
class Imported:
    """An import and its conflicts."""

    row: ExchangeImport
    conflicts: Conflicts
    is_new: bool


def import_marks(*, caller: Caller, file: BinaryIO) -> Imported:
    """Take a file of another programme's marks over, whole or not at all; the same file again changes nothing.

    Operations only. Raises MarksRefused, which names lines, UnknownAgreement, OtherDirection, ExchangeKeyMissing.
    """
    require_role(caller, Role.OPERATIONS)
    marks_file = MarksFile(file)
    header = marks_file.read_header()
    try:
        month = parse_month(header["period"])
    except ValueError:
        marks_file.note("period", "no_month", Message("Expected a month as in 2026-06."))
        marks_file.finish()
    is_new = True
    try:
        with transaction() as session:
            period = find_period(session, programme_of(session, caller), header["agreement"], month)
            row = _take_over(session, caller, period, marks_file, header)
    except _TakenOverError:
        is_new = False
        with reading() as session:
            row = _same_file(session, period, marks_file.digest.digest())
    with reading() as session:
        return Imported(row, _conflicts(session, period, row), is_new)


def _take_over(
    session: Session, caller: Caller, period: Period, marks_file: MarksFile, header: dict[str, str]
) -> ExchangeImport:
    agreement = period.agreement
    if not agreement.imports:
        raise OtherDirection
    period.key  # noqa: B018 - without its key nothing could be compared with the marks
    marks_file.compare(
        header,
        header_of(
            normal_form=agreement.normal_form,
            agreement=agreement.code,
            sender=agreement.partner,
            recipient=agreement.known_as,
            period=period.month,
            time_zone=period.programme.calendar.time_zone,
        ),
    )
    import_id, count = new_uuid(), 0
    with raw_connection(session).cursor() as cursor, cursor.copy(COPY_MARKS) as copy:
        for line_no, mark in marks_file.read_marks(period.begin, period.end):
            count += 1
            copy.write_row((mark.fingerprint, import_id, line_no, during_text(mark.start, mark.end)))
    values = {
        "import_id": import_id,
        "programme_id": period.programme.id,
        "agreement": agreement.code,
        "period": period.month,
        "file_hash": marks_file.digest.digest(),
        "marks": count,
        "imported_at": clock.now(),
        "person": caller.person,
    }
    added = session.execute(
        insert(ExchangeImport).values(**values).on_conflict_do_nothing().returning(ExchangeImport.import_id)
    )
    if added.one_or_none() is None:
        raise _TakenOverError
    row = ExchangeImport(**values)
    detail = {
        "import_id": str(import_id),
        "agreement": agreement.code,
        "period": header["period"],
        "marks": count,
        "file_hash": row.file_hash.hex(),
    }
    audit.record(session, action="exchange.import", detail=detail)
    return row


def _same_file(session: Session, period: Period, file_hash: bytes) -> ExchangeImport:
    return session.scalars(
        select(ExchangeImport).where(
            ExchangeImport.programme_id == period.programme.id,
            ExchangeImport.agreement == period.agreement.code,
            ExchangeImport.period == period.month,
            ExchangeImport.file_hash == file_hash,
        )
    ).one()


def _conflicts(session: Session, period: Period, row: ExchangeImport) -> Conflicts:
    """Return the acts that are credited here and marked by an import, and how many are not decided yet."""
    overlapping = session.execute(
        OVERLAPPING,
        {
            "import_id": row.import_id,
            "programme_id": row.programme_id,
            "agreement": row.agreement,
            "period": row.period,
        },
    )
    lines: dict[NotedAct, int] = {}
    for line_no, *act in overlapping:
        lines.setdefault(NotedAct(*act), line_no)
    found: list[MarkedAward] = []
    undecided_count = 0
    for page in paged(consented(session, list(lines), period.agreement.consent_source)):
        standing, undecided = awards_of(session, page)
        undecided_count += len(undecided)
        found += [
            MarkedAward(
                lines[act],
                act.account_id,
                award.decision.account_seq,
                award.reduction_mg,
                award.amount_millicredits,
            )
            for act, award in standing.items()
        ]
    return Conflicts(sorted(found, key=lambda each: (each.line_no, each.event_id)), undecided_count)


def list_imports(*, caller: Caller, limit: int) -> Sequence[ExchangeImport]:
    """Return the latest imports of the caller's programme."""
    with reading() as session:
        return session.scalars(
            select(ExchangeImport)
            .where(ExchangeImport.programme_id == programme_of(session, caller))
            .order_by(ExchangeImport.imported_at.desc(), ExchangeImport.import_id)
            .limit(limit)
        ).all()


def read_conflicts(*, caller: Caller, import_id: uuid.UUID, purpose: str | None) -> Conflicts:
    """Return what stands here of the acts that an import marks, with the events; reading it is audited (M21)."""
    stated = stated_purpose(caller, purpose)
    with transaction() as session:
        row = session.get(ExchangeImport, import_id)
        if row is None or row.programme_id != programme_of(session, caller):
            raise ImportNotFound
        period = find_period(session, row.programme_id, row.agreement, row.period)
        found = _conflicts(session, period, row)
        detail: dict[str, Any] = {"import_id": str(import_id), "conflicts": len(found.items)}
        audit.record(session, action="exchange.conflicts.read", purpose=stated, detail=detail)
    return found
