"""The settings that a programme runs by at this instant (M1, M10)."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.accounts.errors import ProgrammeNotSetUp
from carbonpoints.approvals.versions import (
    MarkedProgramme,
    StoredVersion,
    VersionKind,
    VersionMark,
    current_versions,
    marked_programmes,
    version_mark,
)
from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import now
from carbonpoints.core.db import db
from carbonpoints.core.models import Programme
from carbonpoints.core.programmes import ProgrammeSettings, only_programme, parse_programme_settings

SETTINGS = (VersionKind.PROGRAMME,)

_Dated = tuple[tuple[StoredVersion, ProgrammeSettings], ...]

# Kept per database, so that what was read from one is never believed of another.
_known: weakref.WeakKeyDictionary[Any, dict[int, tuple[VersionMark, _Dated]]] = weakref.WeakKeyDictionary()


def programme_settings(session: Session, programme_id: int) -> ProgrammeSettings:
    """Return the settings in force now; one small query while no version changes.

    Raises ProgrammeNotSetUp when no version of the programme's settings is in force.
    """
    return settings_marked(session, programme_id, version_mark(session, programme_id, SETTINGS))


def settings_marked(session: Session, programme_id: int, mark: VersionMark) -> ProgrammeSettings:
    """Return the settings in force now, given the mark of their versions; asks nothing while that is the same.

    Raises ProgrammeNotSetUp.
    """
    cache = _known.setdefault(db.engine, {})
    if programme_id not in cache or cache[programme_id][0] != mark:
        cache[programme_id] = (mark, _read(session, programme_id))
    instant = now()
    for version, settings in cache[programme_id][1]:
        if version.holds_at(instant):
            return settings
    raise ProgrammeNotSetUp


def _read(session: Session, programme_id: int) -> _Dated:
    row = session.get_one(Programme, programme_id)
    return tuple(
        (
            version,
            parse_programme_settings(
                programme_id=row.programme_id,
                bank_id=row.bank_id,
                code=row.code,
                time_zone=row.time_zone,
                currency=row.currency,
                content=version.content,
            ),
        )
        for version in current_versions(session, programme_id, VersionKind.PROGRAMME)
    )


def marked_programme_of(session: Session, caller: Caller, kinds: Iterable[VersionKind]) -> MarkedProgramme:
    """Return the programme of `programme_of` with the marks of its current versions of these kinds: one query.

    For whoever needs several things that rest on versions: `settings_marked`, `catalogue_marked`. Raises
    ProgrammeNeeded.
    """
    return only_programme(marked_programmes(session, caller.bank_id, caller.programme, kinds))
