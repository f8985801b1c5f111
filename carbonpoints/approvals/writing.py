"""Writing versions: rows are added, and the end of what was known is set; nothing is ever overwritten.

For `carbonpoints.approvals.services`, inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.errors import UnknownProgramme
from carbonpoints.approvals.models import Version
from carbonpoints.approvals.versions import Key, StoredVersion, VersionKind, content_hash
from carbonpoints.core.clock import now
from carbonpoints.core.models import Programme

_TICK = timedelta(microseconds=1)


def lock_programme(session: Session, programme_id: int) -> Programme:
    """Lock the programme, so that its changes come one after the other; UnknownProgramme when absent."""
    # NO KEY UPDATE: accounts of the programme may be opened meanwhile, other changes may not.
    query = select(Programme).where(Programme.programme_id == programme_id).with_for_update(key_share=True)
    programme = session.scalar(query)
    if programme is None:
        raise UnknownProgramme
    return programme


def codes_with_versions(session: Session, programme_id: int) -> set[Key]:
    """Return every code that ever had a version."""
    rows = session.execute(
        select(Version.kind, Version.code).where(Version.programme_id == programme_id).distinct()
    )
    return {(VersionKind(kind), code) for kind, code in rows}


def next_moment(session: Session, programme_id: int) -> datetime:
    """Return now, or just after the latest change: what is known never runs backwards."""
    latest = session.scalar(
        select(func.max(func.lower(Version.known))).where(Version.programme_id == programme_id)
    )
    return now() if latest is None else max(now(), latest + _TICK)


def end_known(session: Session, versions: Sequence[StoredVersion], moment: datetime) -> None:
    """Say that these versions are known no more from `moment` on."""
    session.execute(
        update(Version)
        .where(Version.version_id.in_([version.version_id for version in versions]))
        .values(known=func.tstzrange(func.lower(Version.known), moment))
        .execution_options(synchronize_session=False)
    )


def insert_versions(
    session: Session, programme_id: int, proposed: Sequence[tuple[int, ProposedVersion]], moment: datetime
) -> None:
    """Write versions with the change requests that answer for them, known from `moment` on.

    Each gets its code's next number; what has no content leaves no row.
    """
    keys = sorted({(item.kind.value, item.code) for _, item in proposed})
    rows = session.execute(
        select(Version.kind, Version.code, func.max(Version.version_no))
        .where(Version.programme_id == programme_id, tuple_(Version.kind, Version.code).in_(keys))
        .group_by(Version.kind, Version.code)
    )
    numbers = {(kind, code): highest for kind, code, highest in rows}
    for change_request_id, item in proposed:
        if item.content is None:
            continue
        numbers[item.key] = numbers.get(item.key, 0) + 1
        session.add(
            Version(
                programme_id=programme_id,
                kind=item.kind.value,
                code=item.code,
                version_no=numbers[item.key],
                content=item.content,
                content_hash=content_hash(item.content),
                valid=Range(item.valid_from, item.valid_to),
                known=Range(moment, None),
                change_request_id=change_request_id,
            )
        )
    session.flush()
