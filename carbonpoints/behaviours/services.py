"""Use cases of events: take some in, and say what became of one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.behaviours.candidates import Candidate, Delivery, Source
from carbonpoints.behaviours.deciding import decide
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.errors import UnknownSource
from carbonpoints.behaviours.identities import remember_unread
from carbonpoints.behaviours.intake import event_hash, place, prepare
from carbonpoints.behaviours.models import EventSource
from carbonpoints.behaviours.reversing import find_originals
from carbonpoints.behaviours.staged import StagedEvent
from carbonpoints.behaviours.work import Receipt
from carbonpoints.core import clock
from carbonpoints.core.db import settings, transaction
from carbonpoints.core.programmes import ProgrammeSettings
from carbonpoints.ledger.book import Book
from carbonpoints.ledger.queries import Balances, balances_of
from carbonpoints.rules.catalogue import Catalogue, load_catalogue

ATTEMPTS = 3
"""An event delivered twice at the same instant makes one of the two start again, and then it is known."""


# By database, so that what was read from one is never believed of another.
_source_ids: weakref.WeakKeyDictionary[Any, dict[tuple[int, str], int]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Taken:
    """What became of the events of one delivery, in order, and the accounts' balances after it."""

    receipts: Sequence[Receipt]
    balances: dict[int, Balances]


@dataclass(frozen=True)
class Placed:
    """Events of one delivery after the first step: their identities are claimed, nothing is decided."""

    delivery: Delivery
    candidates: list[Candidate]


def open_delivery(
    session: Session,
    *,
    programme_id: int,
    source_uri: str,
    received_at: datetime,
    catalogue: Catalogue | None = None,
) -> Delivery:
    """Return what all events of one delivery share; UnknownSource where the source is not registered.

    The catalogue is left out where nothing is decided.
    """
    programme = programme_settings(session, programme_id)
    return _open_delivery(session, programme, source_uri, received_at, catalogue)


def _open_delivery(
    session: Session,
    programme: ProgrammeSettings,
    source_uri: str,
    received_at: datetime,
    catalogue: Catalogue | None,
) -> Delivery:
    declared = programme.event_sources.get(source_uri)
    if declared is None:
        raise UnknownSource(params={"source": source_uri})
    source_id = _source_id(session, programme.id, source_uri)
    config = settings()
    return Delivery(
        programme=programme,
        source=Source(source_id, source_uri, declared.is_backfill, frozenset(declared.consent_sources)),
        received_at=received_at,
        identity_key=config.identity_key,
        key_version=config.identity_key_version,
        budgets=catalogue.budgets if catalogue is not None else (),
        agreements=catalogue.agreements if catalogue is not None else (),
    )


def _source_id(session: Session, programme_id: int, uri: str) -> int:
    """Return the number of a source, giving it one the first time it sends; it never changes."""
    known = _source_ids.setdefault(session.get_bind(), {})
    source_id = known.get((programme_id, uri))
    if source_id is not None:
        return source_id
    query = select(EventSource.source_id).where(
        EventSource.programme_id == programme_id, EventSource.uri == uri
    )
    source_id = session.scalar(query)
    if source_id is None:
        session.execute(
            insert(EventSource).values(programme_id=programme_id, uri=uri).on_conflict_do_nothing()
        )
        # Not remembered yet: this transaction may still be rolled back.
        return session.scalars(query).one()
    known[programme_id, uri] = source_id
    return source_id


def take_events(*, programme_id: int, source_uri: str, events: Sequence[StagedEvent]) -> Taken:
    """Take a delivery of events and decide each in order.

    First the identities are claimed and committed, then the accounts are locked and the events decided, all
    or none. Safe to repeat after a failure at any point: what was decided answers `duplicate`.
    """
    with transaction() as session:
        programme = programme_settings(session, programme_id)
        catalogue = load_catalogue(session, programme_id)
        placed = place_events(session, programme, catalogue, source_uri=source_uri, events=events)
    return decide_events(placed)


def place_events(
    session: Session,
    programme: ProgrammeSettings,
    catalogue: Catalogue,
    *,
    source_uri: str,
    events: Sequence[StagedEvent],
) -> Placed:
    """Take the first step of a delivery in a transaction of the caller's, which decides nothing.

    Raises UnknownSource before anything is written.
    """
    delivery = _open_delivery(session, programme, source_uri, clock.now(), catalogue)
    candidates = prepare(delivery, catalogue, events)
    place(session, delivery, candidates)
    return Placed(delivery, candidates)


def decide_events(placed: Placed) -> Taken:
    """Take the second step: lock the accounts and decide each event in order, all or none."""
    delivery = placed.delivery
    receipts, books = decide_placed(delivery, placed.candidates)
    today = delivery.programme.calendar.business_date(delivery.received_at)
    return Taken(receipts, {account_id: balances_of(book, today) for account_id, book in books.items()})


def note_unread(*, programme_id: int, source_uri: str, unread: Mapping[str, Disposition]) -> None:
    """Let each event that went no further than being read, by its id, end in its disposition (M20).

    An event that was decided stays decided, and one that comes again in order is decided afresh. Raises
    UnknownSource.
    """
    with transaction() as session:
        delivery = open_delivery(
            session, programme_id=programme_id, source_uri=source_uri, received_at=clock.now()
        )
        key, bank_id = delivery.identity_key, delivery.programme.bank_id
        by_hash = {event_hash(key, bank_id, source_uri, event_id): end for event_id, end in unread.items()}
        remember_unread(session, delivery, by_hash)


def _nothing(*_: object) -> None:
    """Add nothing to the transaction."""


def decide_placed(
    delivery: Delivery,
    candidates: Sequence[Candidate],
    *,
    begin: Callable[[Session], None] = _nothing,
    finish: Callable[[Session, Sequence[Receipt]], None] = _nothing,
) -> tuple[list[Receipt], dict[int, Book]]:
    """Decide placed candidates in one transaction, with what `begin` and `finish` add to it.

    Returns a receipt each, in order, and the accounts' books after it.
    """
    if any(candidate.reverses for candidate in candidates):
        with transaction() as session:
            find_originals(session, delivery, candidates)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with transaction() as session:
                begin(session)
                receipts, books = decide(session, delivery, candidates)
                finish(session, receipts)
                return receipts, books
        except (IntegrityError, psycopg.IntegrityError):
            if attempt == ATTEMPTS:
                raise
            for candidate in candidates:
                candidate.is_new = False
    raise AssertionError  # the last attempt returned or raised
