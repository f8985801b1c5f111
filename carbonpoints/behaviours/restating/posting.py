"""What a restatement finds, posted award by award under the locks of the accounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.accounts.identities import surviving_accounts
from carbonpoints.accounts.under_review import open_event_reviews
from carbonpoints.behaviours import usage_store
from carbonpoints.behaviours.deciding import expiry_of
from carbonpoints.behaviours.replay.accounts import PastEvent, Replayed, assess, recorded_mg
from carbonpoints.behaviours.replay.history import Extent, read_facts
from carbonpoints.behaviours.replay.prepared import Prepared, replay_extent
from carbonpoints.behaviours.replay.restatement import Standing
from carbonpoints.core.db import settings
from carbonpoints.core.errors import Busy
from carbonpoints.core.programmes import ProgrammeSettings
from carbonpoints.ledger.decisions import find_decisions
from carbonpoints.ledger.flows import Book, Moment
from carbonpoints.ledger.loading import load_pending
from carbonpoints.ledger.posting import open_books, write_books
from carbonpoints.ledger.queries import has_incoming_transfer
from carbonpoints.ledger.restating import Difference, restate, restate_merged
from carbonpoints.rules.engine import Assessment, CompiledRule
from carbonpoints.rules.returning import Counted, count_award, counted_mg, give_back
from carbonpoints.rules.usage import UsageBook

Posted = Counter[str]


@dataclass(frozen=True)
class Approved:
    """A restatement that is to be posted."""

    version_id: int
    programme: ProgrammeSettings
    prepared: Prepared
    pins: Mapping[bytes, int]
    """The stored pin of everything that may judge, by its hash."""


@dataclass(frozen=True)
class _Side:
    """What an act is judged by on one side of a restatement, and what its award counts for there."""

    compiled: CompiledRule | None
    assessment: Assessment | None
    counted: Counted | None
    """None where it gives nothing."""

    def values(self) -> Mapping[str, object] | None:
        return self.assessment.values if self.assessment is not None else None


def post_differences(
    session: Session, approved: Approved, account_ids: Sequence[int], moment: Moment
) -> Posted:
    """Lock accounts, judge their period again, post every difference, and return what was posted.

    Once for ever: what was posted counts as decided, and a second time nothing differs. Raises Busy.
    """
    posted: Posted = Counter(awards=0, accounts=0)
    if not account_ids:
        return posted
    calendar = approved.programme.calendar
    survivors = surviving_accounts(session, account_ids)
    books = open_books(session, {*account_ids, *survivors.values()})
    _refuse_moving(session, account_ids, survivors)
    load_pending(session, books.values())
    extent = Extent(min(account_ids), max(account_ids))
    facts = read_facts(session, extent, calendar)
    standing = Standing(facts)
    found: dict[int, list[Replayed]] = {}
    for replayed in standing.of(replay_extent(session, approved.prepared, extent, facts)):
        event, _, _, outcome = replayed
        posted["events"] += 1
        if (event.reduction_mg, event.amount_millicredits) != (
            outcome.reduction_mg,
            outcome.amount_millicredits,
        ):
            found.setdefault(event.account_id, []).append(replayed)
    usage, reviews = _load_usage(session, approved, found), _reviews(session, found)
    for account_id, differences in found.items():
        book, survivor = books[account_id], books[survivors[account_id]]
        used = usage.setdefault(account_id, UsageBook(secret=settings().identity_key))
        at = survivor.next_moment(book.next_moment(moment, calendar), calendar)
        posted["accounts"] += 1
        for replayed in differences:
            before = _side_before(approved, replayed.event)
            after = _side_after(replayed, before)
            for side, count in ((before, give_back), (after, count_award)):
                if side.compiled is not None and side.counted is not None:
                    count(side.compiled, side.values(), used, replayed.event.local_date, side.counted)
            _post(
                approved,
                (book, survivor),
                at,
                replayed,
                trace=_trace(approved, replayed, after),
                review_seq=reviews.get((account_id, replayed.event.account_seq), 0),
            )
            _add(posted, replayed)
    posted.update(standing.left())
    write_books(session, [book for book in books.values() if book.decisions])
    usage_store.write(session, usage)
    return posted


def _refuse_moving(session: Session, account_ids: Sequence[int], survivors: Mapping[int, int]) -> None:
    """Raise Busy where an account was merged or unmerged just now, or what it earned is on its way."""
    if survivors != surviving_accounts(session, account_ids):
        raise Busy
    for account_id, survivor_id in survivors.items():
        if survivor_id != account_id and has_incoming_transfer(session, survivor_id):
            raise Busy


def _reviews(session: Session, account_ids: Collection[int]) -> dict[tuple[int, int], int]:
    """Return the open reviews of events, by account and number of the event: what is added waits for them too."""
    reviews = open_event_reviews(session, account_ids)
    decisions = find_decisions(session, list(reviews)) if reviews else {}
    return {(each.account_id, each.account_seq): reviews[key] for key, each in decisions.items()}


def _load_usage(
    session: Session, approved: Approved, found: Mapping[int, Sequence[Replayed]]
) -> dict[int, UsageBook]:
    """Return the usage that the awards count in, on either side."""
    looked_at = [
        (account_id, compiled, event.local_date)
        for account_id, differences in found.items()
        for event, _, pinned, _ in differences
        for compiled in (approved.prepared.judges[event.pin_id].recorded.compiled, pinned.compiled)
        if compiled is not None
    ]
    return usage_store.load_ranges(session, usage_store.ranges_of(looked_at))


def _add(posted: Posted, replayed: Replayed) -> None:
    event, _, _, outcome = replayed
    change_mg = outcome.reduction_mg - event.reduction_mg
    posted.update(
        awards=1,
        millicredits=outcome.amount_millicredits - event.amount_millicredits,
        added_mg=max(0, change_mg),
        taken_mg=max(0, -change_mg),
    )


def _post(
    approved: Approved,
    books: tuple[Book, Book],
    moment: Moment,
    replayed: Replayed,
    *,
    trace: Mapping[str, Any],
    review_seq: int,
) -> None:
    """Post one difference to the account of the event, or to the one that has today what that earned."""
    event, _, pinned, outcome = replayed
    book, survivor = books
    waiting = [each.matures_on for each in book.pending_of(event.account_seq)]
    rule = pinned.rule
    difference = Difference(
        occurred_at=event.occurred_at,
        local_date=event.local_date,
        amount_millicredits=outcome.amount_millicredits - event.amount_millicredits,
        reduction_mg=outcome.reduction_mg - event.reduction_mg,
        # From today, so that nobody is paid what has expired.
        expires_on=expiry_of(rule, moment.business_date) if rule is not None else moment.business_date,
        matures_on=max(waiting, default=None),
        review_seq=review_seq,
    )
    pin_id = approved.pins[pinned.pin_hash]
    if survivor is book:
        restate(book, moment, difference, pin_id=pin_id, trace=trace)
    else:
        restate_merged(book, survivor, moment, difference, pin_id=pin_id, trace=trace)


def _side_before(approved: Approved, event: PastEvent) -> _Side:
    judge = approved.prepared.judges[event.pin_id]
    compiled = judge.recorded.compiled
    if compiled is None:
        return _Side(None, None, None)
    assessment = assess(compiled, event)
    if not (event.reduction_mg or event.amount_millicredits):
        return _Side(compiled, assessment, None)
    bonuses = (event.trace or {}).get("boosts", {})
    granted_mg = recorded_mg(event, judge) or 0  # It was judged again: whatever it takes is there.
    return _Side(compiled, assessment, Counted(granted_mg, event.amount_millicredits, bonuses))


def _side_after(replayed: Replayed, before: _Side) -> _Side:
    event, _, pinned, outcome = replayed
    compiled = pinned.compiled
    if compiled is None:
        return _Side(None, None, None)
    assessment = assess(compiled, event)
    if not (outcome.reduction_mg or outcome.amount_millicredits):
        return _Side(compiled, assessment, None)
    trace: Mapping[str, Any] = outcome.trace or {}
    bonuses = trace.get("boosts", {})
    if outcome.amount_millicredits == event.amount_millicredits and before.counted is not None:
        bonuses = before.counted.bonuses  # The credits are those that were granted.
    granted_mg = counted_mg(compiled.rule, outcome.reduction_mg, trace, assessment.estimate_mg)
    return _Side(compiled, assessment, Counted(granted_mg, outcome.amount_millicredits, bonuses))


def _trace(approved: Approved, replayed: Replayed, after: _Side) -> dict[str, Any]:
    event, _, _, outcome = replayed
    counted = after.counted
    trace: dict[str, Any] = {
        "event_seq": event.account_seq,
        "version_id": approved.version_id,
        "before": [event.reduction_mg, event.amount_millicredits],
        "after": [outcome.reduction_mg, outcome.amount_millicredits],
        "granted_mg": counted.granted_mg if counted is not None else 0,
    }
    if counted is not None and counted.bonuses:
        trace["boosts"] = dict(counted.bonuses)
    return trace
