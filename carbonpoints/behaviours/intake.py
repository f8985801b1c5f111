"""The first step of an event: what it is, whose it is, and that it comes once (M8, M9, M14).

`prepare` looks at the events alone; `place` finds their accounts and claims their identities, in a
transaction of its own before any account is locked. Both are repeatable: the process may die after either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy.orm import Session

from carbonpoints.accounts.access import consents_in_force, resolve_subjects
from carbonpoints.behaviours.acts import claim_acts, widen_intervals
from carbonpoints.behaviours.candidates import Candidate, Claim, Delivery
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.exchange.marking import note_acts
from carbonpoints.behaviours.identities import (
    claim_events,
    recall,
    remember_undecided,
    take_over,
)
from carbonpoints.behaviours.reversing import claim_reversals
from carbonpoints.behaviours.staged import REVERSAL, StagedEvent, instant_of
from carbonpoints.core.clock import Calendar
from carbonpoints.core.crypto import IDENTITY_BYTES, SUITE, identity_hash
from carbonpoints.ledger.queries import KnownEvent
from carbonpoints.rules.catalogue import Catalogue
from carbonpoints.rules.engine import CompiledRule

QUARTER_US = 900_000_000
"""Every zone's offset changes on a quarter of an hour, so a quarter lies in one local date."""


def event_hash(key: bytes, bank_code: int, source_uri: str, event_id: str) -> bytes:
    """Return the keyed identity of an event: its source and id, inside one bank (M8)."""
    return identity_hash(key, "event", str(bank_code), source_uri, event_id)


class LocalDates:
    """Local dates of instants, remembered per quarter of an hour."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._known: dict[int, date] = {}

    def of(self, occurred_at_us: int) -> date:
        """Return the date of the act in the programme's zone."""
        quarter = occurred_at_us // QUARTER_US
        day = self._known.get(quarter)
        if day is None:
            day = self._known[quarter] = self._calendar.local_date(instant_of(occurred_at_us))
        return day


def prepare(delivery: Delivery, catalogue: Catalogue, events: Iterable[StagedEvent]) -> list[Candidate]:
    """Return a candidate for each event, in order; reads no account and writes nothing."""
    key, source, programme = delivery.identity_key, delivery.source, delivery.programme
    latest = delivery.received_at + timedelta(seconds=programme.future_tolerance_s)
    date_of = LocalDates(programme.calendar).of
    identity_prefix = f"event\x1f{programme.bank_id}\x1f{source.uri}\x1f"
    mac, rule_at = SUITE.mac, catalogue.rule_at
    candidates = []
    for event in events:
        event_id, _, occurred_at_us, _, behaviour, data, text = event
        content, occurred_at = text.encode(), instant_of(occurred_at_us)
        event_hash = mac(key, (identity_prefix + event_id).encode())[:IDENTITY_BYTES]
        candidate = Candidate(event, event_hash, occurred_at, content, mac(key, content)[:IDENTITY_BYTES])
        candidates.append(candidate)
        if occurred_at > latest:
            candidate.undecided = Disposition.FUTURE
            continue
        if behaviour == REVERSAL:
            reversed_identity = (identity_prefix + str(data["id"])).encode()
            candidate.reverses = mac(key, reversed_identity)[:IDENTITY_BYTES]
            candidate.local_date = date_of(occurred_at_us)
            candidate.is_new = False  # It claims an identity once it is known where its event went.
            continue
        pinned = rule_at(behaviour, occurred_at)
        if pinned is None or pinned.behaviour.consent_source not in source.consent_sources:
            candidate.undecided = Disposition.UNKNOWN_BEHAVIOUR
            continue
        candidate.pinned = pinned
        candidate.local_date = date_of(occurred_at_us)
        compiled = candidate.compiled = pinned.compiled
        if compiled is not None:
            assessment = candidate.assessment = compiled.assess(compiled.values(data))
            if assessment.reason is None:
                claim_act(delivery, compiled, candidate, latest)
    return candidates


def claim_act(delivery: Delivery, compiled: CompiledRule, candidate: Candidate, latest: datetime) -> None:
    """Say which act this event would claim: none where a field that identifies it is missing.

    An act that takes time must have ended by `latest`, hold the instant of the event and be no longer than its
    behaviour allows; otherwise the event is invalid.
    """
    definition = compiled.behaviour.claim
    data = candidate.event.data
    parts = [data.get(code) for code in definition.fields]
    if not all(parts) or candidate.assessment is None:
        return
    bank = str(delivery.programme.bank_id)
    fingerprint = identity_hash(delivery.identity_key, "claim", bank, definition.act, *map(str, parts))
    if not definition.interval:
        candidate.claim = Claim(fingerprint, None, None)
        return
    start, end = (candidate.assessment.values.get(code) for code in definition.interval)
    if (
        isinstance(start, datetime)
        and isinstance(end, datetime)
        and start < end <= latest
        and start <= candidate.occurred_at <= end
        and end - start <= timedelta(hours=definition.interval_hours_max)
    ):
        candidate.claim = Claim(fingerprint, start, end)
    else:
        candidate.undecided = Disposition.INVALID


def place(session: Session, delivery: Delivery, candidates: Sequence[Candidate]) -> None:
    """Find each candidate's account and claim its identity and its act; a reversal claims the event it takes back.

    Runs in its own transaction, before the accounts are locked. What stays undecided is remembered only by its
    keyed identity and reason.
    """
    open_ones = [each for each in candidates if each.undecided is None and not each.reverses]
    subjects = list(dict.fromkeys(candidate.event.subject for candidate in open_ones))
    bearers = resolve_subjects(session, delivery.programme.id, subjects)
    consents = consents_in_force(
        session, sorted({each for names in bearers.values() for each in names.account_ids})
    )
    for candidate in open_ones:
        named = bearers.get(candidate.event.subject)
        candidate.account_id = named.at(candidate.occurred_at) if named is not None else 0
        if not candidate.account_id:
            candidate.undecided = Disposition.UNKNOWN_ACCOUNT
        elif not is_covered(consents, candidate):
            candidate.undecided = Disposition.NO_CONSENT
    placed = [candidate for candidate in open_ones if candidate.undecided is None]
    claim_events(session, placed)
    decided = recall(session, candidates)
    take_over(session, [c for c in placed if c.claimed_by and c.event_hash not in decided])
    going_on = [c for c in placed if not c.claimed_by and is_newer(c, decided)]
    claiming = [c for c in _newest_of_each(going_on) if c.claim]
    claim_acts(session, claiming, delivery.key_version)
    widen_intervals(session, [c for c in claiming if c.event_hash in decided])
    note_acts(session, delivery, claiming, consents)
    claim_reversals(session, [c for c in candidates if c.reverses and is_newer(c, decided)])
    remember_undecided(session, delivery, [c for c in candidates if c.undecided is not None])


def is_newer(candidate: Candidate, decided: Mapping[bytes, KnownEvent]) -> bool:
    """Whether the event is to be decided: for the first time, or as a correction of what was decided."""
    known = decided.get(candidate.event_hash)
    return candidate.undecided is None and (known is None or candidate.event.revision > known.revision)


def _newest_of_each(candidates: Sequence[Candidate]) -> Collection[Candidate]:
    """Return, of each identity, the highest revision, the first of its kind: another of the same must claim no act.

    A lower revision is stale, whichever comes first in the delivery; one of the same revision will be a duplicate or a
    conflict. Should the chosen one stay undecided after all, the others earn nothing.
    """
    newest = {candidate.event_hash: candidate for candidate in reversed(candidates)}
    if len(newest) == len(candidates):
        return candidates
    for candidate in candidates:
        if candidate.event.revision > newest[candidate.event_hash].event.revision:
            newest[candidate.event_hash] = candidate
    for candidate in candidates:
        chosen = newest[candidate.event_hash]
        candidate.is_outdone = chosen.event.revision > candidate.event.revision
        candidate.is_claimed_elsewhere = chosen is not candidate
    return newest.values()


def is_covered(consents: Mapping[tuple[int, str], datetime], candidate: Candidate) -> bool:
    """Whether a consent in force for the behaviour's source covers the instant of the act (M11)."""
    assert candidate.pinned is not None  # noqa: S101 - an event of an unknown behaviour stays undecided
    covers_from = consents.get((candidate.account_id, candidate.pinned.behaviour.consent_source))
    return covers_from is not None and covers_from <= candidate.occurred_at
