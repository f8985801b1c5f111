"""Making versions: the first import, drafts, and their confirmation by a second person (M10).

Every function here runs inside the caller's transaction and locks the programme, so that changes of one
programme come one after the other. Nothing else writes versions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import (
    Change,
    ProposedVersion,
    compare,
    proposal_content,
    read_proposal,
    refuse_overlaps,
)
from carbonpoints.approvals.errors import (
    ChangeNotOpen,
    ChangeOutdated,
    FourEyes,
    IdentityFixed,
    UnknownChange,
)
from carbonpoints.approvals.models import ChangeRequest
from carbonpoints.approvals.versions import (
    Key,
    StoredVersion,
    VersionKind,
    content_hash,
    current_versions,
    range_without,
    ranges_overlap,
)
from carbonpoints.approvals.writing import (
    codes_with_versions,
    end_known,
    insert_versions,
    lock_programme,
    next_moment,
)
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
    _check(programme, proposed)
    known = codes_with_versions(session, programme_id)
    first = [item for item in proposed if item.key not in known]
    if first:
        moment = now()
        change = ChangeRequest(
            programme_id=programme_id,
            origin="shipped",
            title="Shipped definitions",
            reason="First import of what comes with the product.",
            state="active",
            maker_person=maker_person,
            checker_person=checker_person,
            created_at=moment,
            decided_at=moment,
        )
        insert_versions(session, change, first, moment)
    outcome = _draft(
        session,
        origin="shipped",
        programme_id=programme_id,
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
    """Make a draft of whatever differs from what is in force; nothing changes until it is confirmed."""
    _check(lock_programme(session, programme_id), proposed)
    return _draft(
        session,
        origin="admin",
        programme_id=programme_id,
        proposed=proposed,
        maker_person=maker_person,
        reason=reason,
    )


def read_draft(session: Session, *, programme_id: int, change_request_id: int) -> tuple[Change, ...]:
    """Return what a draft would change; raises UnknownChange, ChangeNotOpen."""
    change = _open_change(session, programme_id, change_request_id)
    return read_proposal(_proposal(session, change).content)


def confirm_change(
    session: Session, *, programme_id: int, change_request_id: int, checker_person: str
) -> tuple[Change, ...]:
    """Put a draft in force, by another person than its maker; returns what changed.

    From this instant on the replaced versions are known no more. Where one of them holds longer than the
    proposed version, a copy keeps the rest of its validity. Raises FourEyes, UnknownChange, ChangeNotOpen, and
    ChangeOutdated when what it was compared with is not in force any more.
    """
    lock_programme(session, programme_id)
    change = _open_change(session, programme_id, change_request_id)
    if change.maker_person == checker_person:
        raise FourEyes
    proposal = _proposal(session, change)
    changes = read_proposal(proposal.content)
    current = _current(session, programme_id, {item.proposed.kind for item in changes})
    replaced = [version for item in changes for version in _replaced(item, current[item.proposed.key])]
    moment = next_moment(session, programme_id)
    end_known(session, [proposal, *replaced], moment)
    change.state = "active"
    change.checker_person = checker_person
    change.decided_at = moment
    proposed = [item.proposed for item in changes]
    insert_versions(session, change, [*proposed, *_remainders(replaced, proposed)], moment)
    return changes


def _check(programme: Programme, proposed: Sequence[ProposedVersion]) -> None:
    refuse_overlaps(proposed)
    for item in proposed:
        if item.kind is VersionKind.PROGRAMME and (
            (item.content["time_zone"], item.content["currency"]) != (programme.time_zone, programme.currency)
        ):
            raise IdentityFixed


def _current(
    session: Session, programme_id: int, kinds: Iterable[VersionKind]
) -> defaultdict[Key, list[StoredVersion]]:
    found: defaultdict[Key, list[StoredVersion]] = defaultdict(list)
    for kind in kinds:
        for version in current_versions(session, programme_id, kind):
            found[version.key].append(version)
    return found


def _draft(
    session: Session,
    *,
    origin: str,
    programme_id: int,
    proposed: Sequence[ProposedVersion],
    maker_person: str,
    reason: str,
) -> ImportOutcome:
    current = _current(session, programme_id, {item.kind for item in proposed})
    changes = tuple(found for item in proposed if (found := compare(item, current[item.key])) is not None)
    unchanged = len(proposed) - len(changes)
    if not changes:
        return ImportOutcome(programme_id=programme_id, unchanged=unchanged)
    content = proposal_content(changes)
    fingerprint = content_hash(content)
    for waiting in current_versions(session, programme_id, VersionKind.PROPOSAL):
        if waiting.content_hash == fingerprint:
            draft_id = waiting.change_request_id
            break
    else:
        moment = now()
        change = ChangeRequest(
            programme_id=programme_id,
            origin=origin,
            title=f"{len(changes)} changed definitions",
            reason=reason,
            state="draft",
            maker_person=maker_person,
            created_at=moment,
        )
        session.add(change)
        session.flush()
        draft_id = change.change_request_id
        proposal = ProposedVersion(kind=VersionKind.PROPOSAL, code=str(draft_id), content=content)
        insert_versions(session, change, [proposal], moment)
    return ImportOutcome(programme_id=programme_id, unchanged=unchanged, draft_id=draft_id, changes=changes)


def _open_change(session: Session, programme_id: int, change_request_id: int) -> ChangeRequest:
    change = session.get(ChangeRequest, change_request_id, populate_existing=True)
    if change is None or change.programme_id != programme_id:
        raise UnknownChange
    if change.state != "draft":
        raise ChangeNotOpen
    return change


def _proposal(session: Session, change: ChangeRequest) -> StoredVersion:
    waiting = current_versions(session, change.programme_id, VersionKind.PROPOSAL)
    return next(version for version in waiting if version.change_request_id == change.change_request_id)


def _replaced(change: Change, current: Iterable[StoredVersion]) -> list[StoredVersion]:
    """Return the current versions that a change replaces; they must be those it was compared with."""
    overlapping = [version for version in current if ranges_overlap(version.valid, change.proposed.valid)]
    if [version.version_id for version in overlapping] != list(change.replaces):
        raise ChangeOutdated
    return overlapping


def _remainders(
    replaced: Iterable[StoredVersion], proposed: Iterable[ProposedVersion]
) -> list[ProposedVersion]:
    """Return what is left of the replaced versions outside the validity of what is proposed."""
    # Two proposed versions of a code may replace one and the same, whose rest lies outside both.
    rests = [(version, version.valid) for version in {item.version_id: item for item in replaced}.values()]
    for item in proposed:
        rests = [
            (version, part)
            for version, valid in rests
            for part in (range_without(valid, item.valid) if version.key == item.key else [valid])
        ]
    return [
        ProposedVersion(
            kind=version.kind, code=version.code, content=version.content, valid_from=start, valid_to=end
        )
        for version, (start, end) in rests
    ]
