"""Acts of a delivery under the agreements with other programmes: keyed with their claim, checked when they are decided.

An act is first written down under its key and committed, and only then, when it is decided, looked for among the marks
of others. An import first commits its marks and only then looks for acts. So whichever comes first, one of the two sees
the other, and nobody waits. A programme without an agreement does none of this.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime

import structlog
from sqlalchemy.orm import Session

from carbonpoints.behaviours.candidates import Candidate, Delivery, KeyedAct
from carbonpoints.behaviours.exchange.normal_form import (
    act_text,
    fingerprint,
    month_begin,
    months_of,
    period_key,
)
from carbonpoints.core.arrays import of_bytes, of_numbers, of_texts, of_times
from carbonpoints.core.db import raw_connection, settings
from carbonpoints.rules.agreements import AgreementDefinition

Consents = Mapping[tuple[int, str], datetime]

ANY_TIME = "(,)"
NOTE = """
INSERT INTO identity_exchange_act
    (event_hash, fingerprint, revision, during, account_id, programme_id, agreement, period, occurred_at)
SELECT event_hash, fingerprint, revision, during, account_id, %s, agreement, period, occurred_at
FROM unnest(%s::bytea[], %s::bytea[], %s::smallint[], %s::tstzrange[], %s::bigint[], %s::text[], %s::date[],
            %s::timestamptz[])
     AS w (event_hash, fingerprint, revision, during, account_id, agreement, period, occurred_at)
ON CONFLICT DO NOTHING
"""
# What was credited before a mark of it came is for people to decide: a correction of it does not take it away.
MARKED = """
SELECT w.place
FROM unnest(%s::int[], %s::bytea[], %s::tstzrange[], %s::text[], %s::date[], %s::bytea[], %s::smallint[], %s::boolean[])
     AS w (place, fingerprint, during, agreement, period, event_hash, revision, was_credited)
WHERE EXISTS (
    SELECT FROM identity_exchange_mark m JOIN exchange_import i ON i.import_id = m.import_id
    WHERE m.fingerprint = w.fingerprint AND m.during && w.during
    AND i.programme_id = %s AND i.agreement = w.agreement AND i.period = w.period
    AND NOT (w.was_credited AND EXISTS (
        SELECT FROM identity_exchange_act a WHERE a.event_hash = w.event_hash AND a.fingerprint = w.fingerprint
        AND a.revision < w.revision AND a.during && m.during
    ))
)
"""

log = structlog.get_logger()


def note_acts(
    session: Session, delivery: Delivery, candidates: Iterable[Candidate], consents: Consents
) -> None:
    """Write down each claimed act under its keys, in the transaction that claims it; nothing without an agreement.

    Without the customer's consent to an agreement's exchange the act has no key under it: it is neither checked nor
    told.
    """
    if not delivery.agreements:
        return
    keys = _Keys(delivery)
    for candidate in candidates:
        if candidate.claim is not None and not candidate.is_claimed_elsewhere:
            candidate.keyed = tuple(keys.of(candidate, consents))
    rows = sorted(
        ((each.fingerprint, candidate, each) for candidate in candidates for each in candidate.keyed),
        key=lambda row: row[0],
    )
    if not rows:
        return
    raw_connection(session).execute(
        NOTE,
        (
            delivery.programme.id,
            of_bytes(candidate.event_hash for _, candidate, _ in rows),
            of_bytes(each.fingerprint for _, _, each in rows),
            of_numbers(candidate.event.revision for _, candidate, _ in rows),
            of_texts(during_text(each.start, each.end) for _, _, each in rows),
            of_numbers(candidate.account_id for _, candidate, _ in rows),
            of_texts(each.agreement.code for _, _, each in rows),
            of_times(each.period for _, _, each in rows),
            of_times(candidate.occurred_at for _, candidate, _ in rows),
        ),
    )


def find_marks(
    session: Session,
    delivery: Delivery,
    candidates: Sequence[Candidate],
    consents: Consents,
    credited: Collection[bytes],
) -> dict[bytes, AgreementDefinition]:
    """Return the events whose act another programme has credited, with the agreement that says so.

    `credited` are events whose revision before gave something: marks that this one overlapped already do not count.
    """
    if not delivery.agreements:
        return {}
    asked = [
        (candidate, each)
        for candidate in candidates
        for each in candidate.keyed
        if each.agreement.imports and _is_covered(consents, candidate, each.agreement)
    ]
    if not asked:
        return {}
    arguments = (
        of_numbers(range(len(asked))),
        of_bytes(each.fingerprint for _, each in asked),
        of_texts(during_text(each.start, each.end) for _, each in asked),
        of_texts(each.agreement.code for _, each in asked),
        of_times(each.period for _, each in asked),
        of_bytes(candidate.event_hash for candidate, _ in asked),
        of_numbers(candidate.event.revision for candidate, _ in asked),
        [candidate.event_hash in credited for candidate, _ in asked],
        delivery.programme.id,
    )
    rows = raw_connection(session).execute(MARKED, arguments).fetchall()
    found = (asked[place] for (place,) in sorted(rows, reverse=True))
    return {candidate.event_hash: each.agreement for candidate, each in found}


def during_text(start: datetime | None, end: datetime | None) -> str:
    """Return a time as PostgreSQL reads a range; an act at a point covers all times."""
    return ANY_TIME if start is None or end is None else f"[{start.isoformat()},{end.isoformat()})"


def _is_covered(consents: Consents, candidate: Candidate, agreement: AgreementDefinition) -> bool:
    covers_from = consents.get((candidate.account_id, agreement.consent_source))
    return covers_from is not None and covers_from <= candidate.occurred_at


class _Keys:
    """The keys of one delivery's periods."""

    def __init__(self, delivery: Delivery) -> None:
        self._agreements = delivery.agreements
        self._zone = delivery.programme.calendar.zone
        self._in_period: dict[date, list[tuple[AgreementDefinition, bytes]]] = {}

    def of(self, candidate: Candidate, consents: Consents) -> Iterable[KeyedAct]:
        """Yield the act under every agreement that covers it and that its customer consents to, month by month."""
        assert candidate.claim is not None  # noqa: S101 - only candidates with a claim are passed
        assert candidate.compiled is not None  # noqa: S101 - a claim comes from a compiled rule
        definition = candidate.compiled.behaviour.claim
        _, start, end = candidate.claim
        text = b""
        for month in months_of(start or candidate.occurred_at, end or candidate.occurred_at, self._zone):
            for agreement, key in self._held_in(month):
                if definition.act in agreement.acts and _is_covered(consents, candidate, agreement):
                    text = text or act_text(
                        definition.act, {name: candidate.event.data[name] for name in definition.fields}
                    )
                    yield KeyedAct(fingerprint(key, text), agreement, month, start, end)

    def _held_in(self, month: date) -> list[tuple[AgreementDefinition, bytes]]:
        """Return the agreements of a month with their keys; one whose secret is not configured checks nothing."""
        known = self._in_period.get(month)
        if known is None:
            begin, secrets = month_begin(month, self._zone), settings().exchange_keys
            held = [each.definition for each in self._agreements if each.version.holds_at(begin)]
            for agreement in held:
                if agreement.key_reference not in secrets:
                    log.error("exchange_key_missing", agreement=agreement.code)
            known = self._in_period[month] = [
                (each, period_key(secrets[each.key_reference], each.code, month))
                for each in held
                if each.key_reference in secrets
            ]
        return known
