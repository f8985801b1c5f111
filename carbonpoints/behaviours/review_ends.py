"""How reviews end: released, forfeited as a reversal takes back, or because the event was reversed meanwhile (M6, M23)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from carbonpoints.accounts.models import Review
from carbonpoints.accounts.work import Work
from carbonpoints.behaviours import usage_store
from carbonpoints.behaviours.candidates import Delivery, Source
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.originals import Original, originals_of
from carbonpoints.behaviours.taking_back import FORFEITED, return_usage, take_back
from carbonpoints.behaviours.work import drawn_by
from carbonpoints.core.arrays import of_numbers
from carbonpoints.core.db import raw_connection, settings
from carbonpoints.ledger.budgets import give_back
from carbonpoints.ledger.decisions import awarded_since
from carbonpoints.ledger.loading import load_pending
from carbonpoints.ledger.posting import write_books
from carbonpoints.ledger.reviewing import end_review

RELEASED, REVERSED = "released", "reversed"
OUTCOMES = (RELEASED, FORFEITED)
"""What two persons decide on."""
NOBODY = Source(0, "", is_backfill=False, consent_sources=frozenset())
"""In the place of a source, where the events of an account are looked at whatever source they came from."""

END_REVERSED = """
WITH ended AS (
    UPDATE review SET outcome = %s, ended_at = %s, ended_seq = e.ended_seq, step_count = step_count + 1
    FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS e (account_id, review_seq, ended_seq)
    WHERE review.account_id = e.account_id AND review.review_seq = e.review_seq
    RETURNING review.account_id, review.review_seq, step_count, outcome, ended_at
)
INSERT INTO review_step (account_id, review_seq, step_no, step, taken_at) SELECT * FROM ended
"""


def end_reversed(
    session: Session, reviews: Mapping[int, Sequence[tuple[int, int]]], ended_at: datetime
) -> None:
    """End reviews whose events were reversed, in the reversals' transaction; by account, with both numbers."""
    rows = [(account_id, *numbers) for account_id, each in reviews.items() for numbers in each]
    if rows:
        columns = (of_numbers(column) for column in zip(*rows, strict=True))
        raw_connection(session).execute(END_REVERSED, (REVERSED, ended_at, *columns))


def originals_in(work: Work, event_hashes: Collection[bytes]) -> list[Original]:
    """Return events of one account, each by its highest revision, in the order in which they were decided."""
    config, account_id = settings(), work.book.account_id
    delivery = Delivery(
        programme=work.programme,
        source=NOBODY,
        received_at=work.moment.booked_at,
        identity_key=config.identity_key,
        key_version=config.identity_key_version,
    )
    wanted = {(account_id, event_hash): account_id for event_hash in event_hashes}
    found = originals_of(work.session, delivery, {account_id: work.book}, wanted)
    return sorted(found.values(), key=lambda original: original.decision.account_seq)


def end(work: Work, review: Review, outcome: str) -> int:
    """Do what two persons decided, in a locked account, and write it; returns the decision's number."""
    load_pending(work.session, [work.book])
    if outcome == FORFEITED:
        _forfeit(work, review)
    about = {} if review.event_seq is None else {"event_seq": review.event_seq}
    seq = end_review(
        work.book,
        work.moment,
        review_seq=review.review_seq,
        grace_days=work.programme.release_grace_days,
        trace={"outcome": outcome, **about},
    )
    write_books(work.session, [work.book])
    return seq


def _forfeit(work: Work, review: Review) -> None:
    """Take back what is under this review, and give back what it used of caps and budgets.

    Its acts stay claimed: nobody earns by reporting them anew, until their source reverses the events.
    """
    session, book = work.session, work.book
    if review.event_hash is None:
        hashes = awarded_since(session, book.account_id, review.review_seq)
        found = [original for original in originals_in(work, hashes) if not original.review_seq]
    else:
        found = originals_in(work, [review.event_hash])
    taken = [each for each in found if not each.is_forfeited and each.has_given]
    usage = usage_store.load(session, [each.candidate for each in taken])
    for original in taken:
        take_back(
            book,
            work.moment,
            original,
            clawback_limit_millicredits=work.programme.clawback_limit_millicredits,
            trace={"reason": FORFEITED, "review_seq": review.review_seq},
            is_forfeited=True,
            disposition=Disposition.REVERSED,
        )
        return_usage(usage, settings().identity_key, original)
    usage_store.write(session, usage)
    for code, days in sorted(drawn_by(each.decision for each in taken).items()):
        for day, amount in sorted(days.items()):
            give_back(session, programme_id=work.programme.id, business_date=day, amounts={code: amount})
