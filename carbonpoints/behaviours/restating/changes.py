"""What a change that restates must hold, and the work that its approval leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import tzinfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.kinds import Checked, CheckFinding, Findings, KnownKinds
from carbonpoints.approvals.requirements import EvidenceKind
from carbonpoints.approvals.versions import VersionKind, version_history
from carbonpoints.behaviours.replay.restatement import (
    RestatementDefinition,
    read_restatement,
    validate_restatement,
)
from carbonpoints.behaviours.restating.models import RestatementRun
from carbonpoints.core.clock import now
from carbonpoints.core.db import raw_connection
from carbonpoints.core.errors import FieldError, InvalidRequest, Message
from carbonpoints.ledger.history import partition_accounts
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.changes import read_definition

PARTITION_NUMBERS = 5_000
"""A partition's accounts are locked together: some two thousand events, a fraction of a second."""
PARTITIONS_MAX = 100_000

INSERT_PARTITIONS = """
INSERT INTO restatement_partition (version_id, partition_no, first_account_id, last_account_id)
VALUES (%s, %s, %s, %s)
"""
WITHOUT_RUN = text("""
SELECT version_id, lower(known) AS approved_at FROM version v
WHERE programme_id = :programme_id AND kind = 'restatement' AND upper_inf(known)
    AND NOT EXISTS (SELECT FROM restatement_run r WHERE r.version_id = v.version_id)
ORDER BY version_id
""")


def _read(item: ProposedVersion, _zone: tzinfo) -> ProposedVersion:
    if item.content is None:
        raise InvalidRequest(
            fields=[
                FieldError("content", "null", "What was restated stays; another restatement can correct it.")
            ]
        )
    for name, bound in (("valid_from", item.valid_from), ("valid_to", item.valid_to)):
        if bound is not None:
            raise InvalidRequest(
                fields=[FieldError(name, "not_dated", "A restatement names its days in its content.")]
            )
    return read_definition(RestatementDefinition, item, validate_restatement)


def _check(session: Session, programme_id: int, proposed: Sequence[ProposedVersion]) -> Findings:
    """Judge a restatement by the programme as it is; what it comes to is for a run over the period to say."""
    found = [
        CheckFinding(FieldError.saying(f"items.{number}.{field}", code, message))
        for number, item in enumerate(proposed)
        if item.kind is VersionKind.RESTATEMENT
        for field, code, message in _wrong(session, programme_id, item)
    ]
    several = [number for number, item in enumerate(proposed) if item.kind is VersionKind.RESTATEMENT][1:]
    message = Message("one change restates once")
    found += [
        CheckFinding(FieldError.saying(f"items.{number}.kind", "given_twice", message)) for number in several
    ]
    return {EvidenceKind.STATIC_CHECKS: Checked(found)}


def _wrong(session: Session, programme_id: int, item: ProposedVersion) -> Iterator[tuple[str, str, Message]]:
    restatement = read_restatement(item.content)
    if version_history(session, programme_id, VersionKind.RESTATEMENT, item.code):
        yield (
            "code",
            "code_taken",
            Message("%(code)s was restated already: take another code", code=item.code),
        )
    today = programme_settings(session, programme_id).calendar.local_date(now())
    if restatement.last_day >= today:
        yield "content.last_day", "not_over", Message("must be over: before %(day)s", day=today.isoformat())
    known = load_catalogue(session, programme_id).behaviours
    for place, code in enumerate(restatement.behaviours):
        if code not in known:
            message = Message("%(code)s is no behaviour type of this programme", code=code)
            yield f"content.behaviours.{place}", "unknown_behaviour", message


def start_runs(session: Session, programme_id: int) -> None:
    """Write what restatements that were just approved leave to be done, in the transaction of their approval."""
    for version_id, approved_at in session.execute(WITHOUT_RUN, {"programme_id": programme_id}).all():
        session.add(RestatementRun(version_id=version_id, programme_id=programme_id, approved_at=approved_at))
        session.flush()
        ranges = partition_accounts(session, programme_id, least=PARTITION_NUMBERS, most=PARTITIONS_MAX)
        with raw_connection(session).cursor() as cursor:
            cursor.executemany(
                INSERT_PARTITIONS, [(version_id, number, *range_) for number, range_ in enumerate(ranges, 1)]
            )


RESTATEMENT_KINDS = KnownKinds(readers={VersionKind.RESTATEMENT: _read}, check=_check, settle=start_runs)
