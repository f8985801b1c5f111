"""Claims of ours out: asked for by one person, approved by another, taken once, and written down (M21).

The file is made when it is taken, of what stands then and of the customers who consent then, and is kept nowhere.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import date
from typing import IO

from sqlalchemy import select
from sqlalchemy.orm import Session

from carbonpoints.accounts.access import require_role
from carbonpoints.approvals.errors import FourEyes
from carbonpoints.behaviours.exchange.agreements import Period, find_period
from carbonpoints.behaviours.exchange.errors import ExportNotFound, ExportStep, OtherDirection
from carbonpoints.behaviours.exchange.files import Mark, header_of, write_lines
from carbonpoints.behaviours.exchange.models import ExchangeExport
from carbonpoints.behaviours.exchange.normal_form import month_text
from carbonpoints.behaviours.exchange.standing import NotedAct, awards_of, consented
from carbonpoints.core import audit, clock
from carbonpoints.core.auth import Caller
from carbonpoints.core.crypto import SUITE
from carbonpoints.core.db import raw_connection, reading, transaction
from carbonpoints.core.ids import new_uuid
from carbonpoints.core.programmes import programme_of
from carbonpoints.core.roles import Role

PAGE_ACTS = 5_000
# By fingerprint: the order says nothing of persons or times.
ACTS = """
SELECT event_hash, account_id, revision, occurred_at, fingerprint, lower(during), upper(during)
FROM identity_exchange_act WHERE programme_id = %s AND agreement = %s AND period = %s
ORDER BY fingerprint, during, event_hash
"""


def request_export(*, caller: Caller, agreement: str, month: date, reason: str) -> ExchangeExport:
    """Ask for leave to tell another programme what is claimed here of a month.

    Operations only. Raises UnknownAgreement, OtherDirection, ExchangeKeyMissing.
    """
    require_role(caller, Role.OPERATIONS)
    with transaction() as session:
        period = _exported(session, programme_of(session, caller), agreement, month)
        row = ExchangeExport(
            export_id=new_uuid(),
            programme_id=period.programme.id,
            agreement=agreement,
            period=month,
            reason=reason,
            maker_person=caller.person,
            requested_at=clock.now(),
        )
        session.add(row)
        _note(session, row, "exchange.export.request")
        return row


def _exported(session: Session, programme_id: int, agreement: str, month: date) -> Period:
    period = find_period(session, programme_id, agreement, month)
    if not period.agreement.exports:
        raise OtherDirection
    period.key  # noqa: B018 - says at once that the secret is missing
    return period


def approve_export(*, caller: Caller, export_id: uuid.UUID) -> ExchangeExport:
    """Approve an export, as another person than the one who asked for it.

    Operations only. Raises ExportNotFound, ExportStep, FourEyes.
    """
    require_role(caller, Role.OPERATIONS)
    with transaction() as session:
        row = _locked(session, caller, export_id)
        if row.approved_at is not None:
            raise ExportStep(params={"state": state_of(row)})
        if row.maker_person == caller.person:
            raise FourEyes
        row.checker_person, row.approved_at = caller.person, clock.now()
        _note(session, row, "exchange.export.approve")
        return row


def take_export(*, caller: Caller, export_id: uuid.UUID, file: IO[bytes]) -> str:
    """Write an approved export into `file` and return a name for it, once: another needs another request.

    What leaves is written down before.

    Operations only. Raises ExportNotFound, ExportStep, and like `request_export` where the agreement has changed.
    """
    require_role(caller, Role.OPERATIONS)
    with transaction() as session:
        row = _locked(session, caller, export_id)
        if row.approved_at is None or row.taken_at is not None:
            raise ExportStep(params={"state": state_of(row)})
        period = _exported(session, row.programme_id, row.agreement, row.period)
        agreement, count = period.agreement, 0

        def counted() -> Iterator[Mark]:
            nonlocal count
            for mark in _marks(session, period):
                count += 1
                yield mark

        header = header_of(
            normal_form=agreement.normal_form,
            agreement=agreement.code,
            sender=agreement.known_as,
            recipient=agreement.partner,
            period=period.month,
            time_zone=period.programme.calendar.time_zone,
        )
        digest = SUITE.running_digest()
        for line in write_lines(header, counted()):
            digest.update(line)
            file.write(line)
        row.taken_by, row.taken_at = caller.person, clock.now()
        row.marks, row.file_hash = count, digest.digest()
        _note(session, row, "exchange.export.take")
        return f"{agreement.known_as}-{agreement.code}-{month_text(period.month)}.jsonl".replace(":", "_")


def _marks(session: Session, period: Period) -> Iterator[Mark]:
    """Yield what is claimed here in a period and stands, of customers who consent now."""
    parameters = (period.programme.id, period.agreement.code, period.month)
    with raw_connection(session).cursor("exchange_acts") as cursor:
        cursor.execute(ACTS, parameters)
        while rows := cursor.fetchmany(PAGE_ACTS):
            acts = {NotedAct(*row[:4]): Mark(*row[4:]) for row in rows}
            standing, _ = awards_of(session, consented(session, list(acts), period.agreement.consent_source))
            yield from (mark for act, mark in acts.items() if act in standing)


def list_exports(*, caller: Caller, limit: int) -> Sequence[ExchangeExport]:
    """Return the latest exports of the caller's programme, asked for, approved or taken."""
    with reading() as session:
        return session.scalars(
            select(ExchangeExport)
            .where(ExchangeExport.programme_id == programme_of(session, caller))
            .order_by(ExchangeExport.requested_at.desc(), ExchangeExport.export_id)
            .limit(limit)
        ).all()


def state_of(row: ExchangeExport) -> str:
    """Return how far an export is: `requested`, `approved`, `taken`."""
    if row.taken_at is not None:
        return "taken"
    return "requested" if row.approved_at is None else "approved"


def _locked(session: Session, caller: Caller, export_id: uuid.UUID) -> ExchangeExport:
    row = session.get(ExchangeExport, export_id, with_for_update=True, populate_existing=True)
    if row is None or row.programme_id != programme_of(session, caller):
        raise ExportNotFound
    return row


def _note(session: Session, row: ExchangeExport, action: str) -> None:
    detail = {
        "export_id": str(row.export_id),
        "agreement": row.agreement,
        "period": month_text(row.period),
        "marks": row.marks,
        "file_hash": row.file_hash.hex() if row.file_hash is not None else None,
    }
    audit.record(session, action=action, purpose=row.reason, detail=detail)
