"""Making versions: the first import, and drafts of what differs from what is in force (M10).

Every function here runs inside the caller's transaction and locks the programme, so that changes of one
programme come one after the other. `requests.py` has the use cases of makers and checkers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import Change, ProposedVersion
from carbonpoints.approvals.drafts import (
    compare_all,
    current_by_code,
    refuse_contradictions,
    waiting_draft,
    write_draft,
)
from carbonpoints.approvals.errors import FourEyes, IdentityFixed
from carbonpoints.approvals.evidence import record_checks
from carbonpoints.approvals.lifecycle import State, Step
from carbonpoints.approvals.models import ChangeRequest
from carbonpoints.approvals.steps import begin_change, follow_clock, take_step
from carbonpoints.approvals.versions import Key, VersionKind, content_hash
from carbonpoints.approvals.writing import codes_with_versions, insert_versions, lock_programme
from carbonpoints.core.clock import now
from carbonpoints.core.models import Bank, Programme


@dataclass(frozen=True, kw_only=True)
class ImportOutcome:
    """What an import did: how much was as it is already, what is in force now, what waits as a draft."""

    programme_id: int
    unchanged: int
    activated: tuple[Key, ...] = ()
    draft_id: int | None = None
    """The change request that waits for its checker; None when nothing differs."""
    changes: tuple[Change, ...] = ()
    """What the draft would change."""


def create_bank_and_programme(
    session: Session,
    *,
    bank_code: str,
    issuer: str,
    bank_name_en: str,
    bank_name_zh: str,
    settings: Mapping[str, Any],
    maker_person: str,
    checker_person: str,
) -> ImportOutcome:
    """Set up a bank and one programme of it, whose `settings` become the version of kind `programme`.

    Repeatable: what exists stays, settings that differ become a draft. Raises IdentityFixed when the bank has
    another issuer or the programme another time zone or currency, FourEyes when one person is named twice.
    """
    bank = session.scalar(select(Bank).where(Bank.code == bank_code))
    if bank is None:
        bank = Bank(code=bank_code, issuer=issuer, name_en=bank_name_en, name_zh=bank_name_zh)
        session.add(bank)
        session.flush()
    elif bank.issuer != issuer:
        raise IdentityFixed
    code = settings["code"]
    programme = session.scalar(
        select(Programme).where(Programme.bank_id == bank.bank_id, Programme.code == code)
    )
    if programme is None:
        fixed = {name: settings[name] for name in ("code", "name_en", "name_zh", "time_zone", "currency")}
        programme = Programme(bank_id=bank.bank_id, **fixed)
        session.add(programme)
        session.flush()
    proposed = ProposedVersion(kind=VersionKind.PROGRAMME, code=code, content=settings)
    return import_shipped(
        session,
        programme_id=programme.programme_id,
        proposed=[proposed],
        maker_person=maker_person,
        checker_person=checker_person,
    )


def import_shipped(
    session: Session,
    *,
    programme_id: int,
    proposed: Sequence[ProposedVersion],
    maker_person: str,
    checker_person: str,
) -> ImportOutcome:
    """Take over what comes with the product.

    A code that never had a version is put in force at once, under one change request of origin `shipped`
    that the two persons answer for. A code that has one and differs becomes a draft with its diff; what is in
    force stays in force. The same again does nothing.
    """
    if maker_person == checker_person:
        raise FourEyes
    programme = lock_programme(session, programme_id)
    refuse_contradictions(programme, proposed)
    known = codes_with_versions(session, programme_id)
    first = [item for item in proposed if item.key not in known]
    if first:
        _put_first_in_force(session, programme_id, first, maker_person, checker_person)
    outcome = _draft_differing(
        session,
        origin="shipped",
        programme=programme,
        proposed=[item for item in proposed if item.key in known],
        maker_person=maker_person,
        reason="The definitions that come with the product differ from those in force.",
    )
    return ImportOutcome(
        programme_id=programme_id,
        unchanged=outcome.unchanged,
        activated=tuple(dict.fromkeys(item.key for item in first)),
        draft_id=outcome.draft_id,
        changes=outcome.changes,
    )


def draft_change(
    session: Session,
    *,
    programme_id: int,
    proposed: Sequence[ProposedVersion],
    maker_person: str,
    reason: str,
) -> ImportOutcome:
    """Make a draft of whatever differs from what is in force; nothing changes until it is approved."""
    return _draft_differing(
        session,
        origin="admin",
        programme=lock_programme(session, programme_id),
        proposed=proposed,
        maker_person=maker_person,
        reason=reason,
    )


def _put_first_in_force(
    session: Session,
    programme_id: int,
    proposed: Sequence[ProposedVersion],
    maker_person: str,
    checker_person: str,
) -> None:
    moment = now()
    change = ChangeRequest(
        programme_id=programme_id,
        origin="shipped",
        title="Shipped definitions",
        reason="First import of what comes with the product.",
        state=State.DRAFT,
        maker_person=maker_person,
        created_at=moment,
    )
    begin_change(session, change)
    take_step(session, change, Step.SUBMIT, person=maker_person)
    take_step(session, change, Step.APPROVE, person=checker_person)
    insert_versions(session, programme_id, [(change.change_request_id, item) for item in proposed], moment)
    follow_clock(session, programme_id)


def _draft_differing(
    session: Session,
    *,
    origin: str,
    programme: Programme,
    proposed: Sequence[ProposedVersion],
    maker_person: str,
    reason: str,
) -> ImportOutcome:
    """Make a draft of what no current version of its code says; the same draft again is the one that waits."""
    programme_id = programme.programme_id
    current = current_by_code(session, programme_id, {item.kind for item in proposed})
    differing = [
        item
        for item in proposed
        if all(version.content_hash != content_hash(item.content) for version in current[item.key])
    ]
    changes = compare_all(session, programme, differing)
    unchanged = len(proposed) - len(changes)
    if not changes:
        return ImportOutcome(programme_id=programme_id, unchanged=unchanged)
    draft_id = waiting_draft(session, programme_id, changes)
    if draft_id is None:
        change = ChangeRequest(
            programme_id=programme_id,
            origin=origin,
            title=f"{len(changes)} changed definitions",
            reason=reason,
            state=State.DRAFT,
            maker_person=maker_person,
            created_at=now(),
        )
        record_checks(session, write_draft(session, change, changes), person=maker_person)
        draft_id = change.change_request_id
    return ImportOutcome(programme_id=programme_id, unchanged=unchanged, draft_id=draft_id, changes=changes)
