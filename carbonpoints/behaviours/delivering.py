"""Events over the API: a delivery of CloudEvents, answered item by item in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import SETTINGS, marked_programme_of, settings_marked
from carbonpoints.approvals.versions import MarkedProgramme
from carbonpoints.behaviours.cloudevents import EventReader, ReadEvent
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.errors import SourceNotYours, UnknownSource
from carbonpoints.behaviours.services import Placed, decide_events, note_unread, place_events
from carbonpoints.behaviours.staged import StagedEvent
from carbonpoints.behaviours.work import Receipt
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import transaction
from carbonpoints.core.errors import CarbonpointsError, FieldError, InvalidRequest, Message
from carbonpoints.core.ids import NumberedId, account_public_id
from carbonpoints.ledger.queries import Balances
from carbonpoints.rules.attributes import AttributeChecks
from carbonpoints.rules.catalogue import KINDS, Catalogue, catalogue_marked

EVENT_PREFIX = "evt"


class DeliveredItem(NamedTuple):
    """What became of one item of a delivery."""

    source: str
    id: str
    disposition: str
    event_id: str | None
    """Our public id of the decision; null where nothing was decided."""
    account_id: str | None
    reduction_mg: int
    amount_millicredits: int
    reason: str | None
    errors: tuple[FieldError, ...] = ()


@dataclass(frozen=True)
class Delivered:
    """The items in order, and the balances after of each account that got a decision."""

    items: Sequence[DeliveredItem]
    balances: dict[str, Balances]


_readers: dict[int, tuple[Catalogue, EventReader]] = {}


def _reader(programme_id: int, catalogue: Catalogue) -> EventReader:
    known = _readers.get(programme_id)
    if known is None or known[0] is not catalogue:
        checks = {code: AttributeChecks(behaviour) for code, behaviour in catalogue.behaviours.items()}
        known = _readers[programme_id] = (catalogue, EventReader(checks))
    return known[1]


def deliver_event(*, caller: Caller, item: Any) -> Delivered:
    """Take one CloudEvent.

    Raises InvalidRequest, naming the fields, when it is malformed, SourceNotYours when the caller may not speak
    for its source and UnknownSource when that is not registered; everything else is a disposition.
    """
    delivered = deliver_batch(caller=caller, items=[item])
    only = delivered.items[0]
    if only.errors:
        for error in WRONG_SOURCE:
            if only.errors[0].code == error.code:
                raise error(params={"source": only.source})
        raise InvalidRequest(fields=only.errors)
    return delivered


def deliver_batch(*, caller: Caller, items: Sequence[Any]) -> Delivered:
    """Take a batch; one bad item does not sink the rest.

    What holds is looked up once, in the transaction that places the events of the first source: mostly the only one.
    """
    placed: dict[str, Placed | None] = {}
    with transaction() as session:
        here = marked_programme_of(session, caller, (*SETTINGS, *KINDS))
        catalogue = catalogue_marked(session, here.programme_id, here.mark(KINDS))
        reader = _reader(here.programme_id, catalogue)
        reads = [_allowed(caller, reader.read(item)) for item in items]
        by_source = _by_source(reads)
        for source in [*by_source][:1]:
            placed[source] = _place(session, here, catalogue, source, by_source[source])
    answers = {index: _refused(read) for index, read in enumerate(reads) if read.event is None}
    balances: dict[str, Balances] = {}
    for source, events in by_source.items():
        if source not in placed:
            with transaction() as session:
                placed[source] = _place(session, here, catalogue, source, events)
        one = placed[source]
        if one is None:
            for index in events:
                answers[index] = _refused(_of_wrong_source(reads[index], UnknownSource))
            continue
        taken = decide_events(one)
        for index, receipt in zip(events, taken.receipts, strict=True):
            answers[index] = _answered(reads[index], receipt)
        balances |= {account_public_id(account_id): held for account_id, held in taken.balances.items()}
    for source, unread in _unread(caller, reads).items():
        # A source that is not registered has no events that anybody could ask about.
        with suppress(UnknownSource):
            note_unread(programme_id=here.programme_id, source_uri=source, unread=unread)
    return Delivered([answers[index] for index in range(len(reads))], balances)


def _by_source(reads: Sequence[ReadEvent]) -> dict[str, dict[int, StagedEvent]]:
    """Return the events that were read, by source and by their place in the delivery."""
    by_source: dict[str, dict[int, StagedEvent]] = {}
    for index, read in enumerate(reads):
        if read.event is not None:
            by_source.setdefault(read.source, {})[index] = read.event
    return by_source


def _place(
    session: Session,
    here: MarkedProgramme,
    catalogue: Catalogue,
    source: str,
    events: Mapping[int, StagedEvent],
) -> Placed | None:
    """Place the events of one source; None where it is not registered."""
    programme = settings_marked(session, here.programme_id, here.mark(SETTINGS))
    try:
        return place_events(session, programme, catalogue, source_uri=source, events=[*events.values()])
    except UnknownSource:
        return None


def _allowed(caller: Caller, read: ReadEvent) -> ReadEvent:
    """Refuse what names a source the caller's token does not speak for."""
    if read.disposition is Disposition.INVALID or read.source in caller.sources:
        return read
    return _of_wrong_source(read, SourceNotYours)


WRONG_SOURCE = (SourceNotYours, UnknownSource)
"""What is wrong with the sender rather than with a field: a single event is refused with it as a whole."""


def _of_wrong_source(read: ReadEvent, error: type[CarbonpointsError]) -> ReadEvent:
    wrong = FieldError.saying("source", error.code, Message.said(error.title, {"source": read.source}))
    return ReadEvent(read.event_id, read.source, None, Disposition.INVALID, (wrong,))


def _unread(caller: Caller, reads: Sequence[ReadEvent]) -> dict[str, dict[str, Disposition]]:
    """Return the items that go no further and can be asked about: source -> id -> disposition."""
    unread: dict[str, dict[str, Disposition]] = {}
    for read in reads:
        if read.disposition is not None and read.is_named and read.source in caller.sources:
            unread.setdefault(read.source, {})[read.event_id] = read.disposition
    return unread


def _refused(read: ReadEvent) -> DeliveredItem:
    disposition = read.disposition or Disposition.INVALID
    return DeliveredItem(read.source, read.event_id, disposition.code, None, None, 0, 0, None, read.errors)


def _answered(read: ReadEvent, receipt: Receipt) -> DeliveredItem:
    is_decided = receipt.account_seq > 0
    return DeliveredItem(
        source=read.source,
        id=read.event_id,
        disposition=receipt.disposition.code,
        event_id=str(NumberedId(EVENT_PREFIX, receipt.account_id, receipt.account_seq))
        if is_decided
        else None,
        account_id=account_public_id(receipt.account_id) if is_decided else None,
        reduction_mg=receipt.reduction_mg,
        amount_millicredits=receipt.amount_millicredits,
        reason=receipt.reason,
    )
