"""Reviews by example, with exact amounts: where an award is while it is held, and afterwards."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.ledger import flows, posting
from carbonpoints.ledger.book import Book
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.lots import AwardPart
from carbonpoints.ledger.reconcile import check
from carbonpoints.ledger.reviewing import end_review, review_account, review_event
from tests.ledger.scenes import (
    DAY,
    DECEMBER,
    NOVEMBER,
    award,
    make_book,
    make_programme,
    moment_on,
    moved,
    open_one,
    spend,
    where_is,
)

LATE = NOVEMBER + timedelta(days=2)


def review(book: Book, award_seq: int) -> int:
    return review_event(book, moment_on(DAY), event_seq=award_seq, awards=[where_is(book, award_seq)])


def forfeit(book: Book, award_seq: int) -> int:
    return flows.reverse(
        book,
        moment_on(DAY),
        award=where_is(book, award_seq),
        clawback_limit_millicredits=1_000,
        is_forfeited=True,
    )


def end(book: Book, review_seq: int, *, day: date = DAY, grace_days: int = 0) -> int:
    return end_review(
        book, moment_on(day), review_seq=review_seq, grace_days=grace_days, trace={"outcome": "released"}
    )


def test_what_is_set_aside_leaves_its_place_among_the_awards_and_comes_back_to_it() -> None:
    book = make_book()
    first, second, third = award(book, 10), award(book, 20), award(book, 30)
    spend(book, 15)
    review_seq = review(book, second)
    assert moved(book)[-1] == ("SET_ASIDE", 1, 15)
    assert book.decisions[-1][11] == DecisionKind.REVIEW
    assert book.decisions[-1][16] == {"event_seq": second, "award_seqs": [second]}
    assert where_is(book, second).parts == (AwardPart(1, 0, 0, 5),)
    spend(book, 12)
    assert where_is(book, third).parts == (AwardPart(1, 18, 0, 12),)
    end(book, review_seq)
    assert moved(book)[-1] == ("MATURE", 1, 15)
    # The earliest counts as spent first, again.
    assert where_is(book, first).parts == (AwardPart(1, 0, 0, 10),)
    assert where_is(book, second).parts == (AwardPart(1, 3, 0, 17),)
    assert where_is(book, third).parts == (AwardPart(1, 30, 0, 0),)


def test_what_is_forfeited_is_nobody_s_spent_or_expired_part() -> None:
    book = make_book()
    first, second = award(book, 10), award(book, 20)
    hold_seq = flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=15)
    review_seq = review(book, second)
    flows.release(book, moment_on(DAY), hold_seq=hold_seq, grace_days=0)
    assert where_is(book, second).parts == (AwardPart(1, 5, 0, 0),)
    forfeit(book, second)
    end(book, review_seq)
    assert moved(book)[-2:] == [("FORFEIT", 1, 15), ("FORFEIT", 1, 5)]
    assert (book.available(DAY), book.pending, book.clawback_due) == (10, {}, 0)
    assert where_is(book, first).parts == (AwardPart(1, 10, 0, 0),)
    spend(book, 10)
    assert where_is(book, first).parts == (AwardPart(1, 0, 0, 10),)


def test_an_award_in_the_lots_of_two_graces_is_held_in_both() -> None:
    book = make_book()
    seq = award(book, 20)
    holds = [
        flows.hold(book, moment_on(DAY), reference=name, amount_millicredits=10) for name in ("one", "two")
    ]
    last = LATE + timedelta(days=1)
    flows.release(book, moment_on(LATE), hold_seq=holds[0], grace_days=5)
    flows.release(book, moment_on(last), hold_seq=holds[1], grace_days=5)
    review_seq = review_event(book, moment_on(last), event_seq=seq, awards=[where_is(book, seq)])
    assert {key: each.amount for key, each in book.pending.items()} == {(seq, 2): 10, (seq, 3): 10}
    assert book.available(last) == 0
    end(book, review_seq, day=last)
    assert where_is(book, seq).parts == (AwardPart(2, 10, 0, 0), AwardPart(3, 10, 0, 0))
    review_seq = review_event(book, moment_on(last), event_seq=seq, awards=[where_is(book, seq)])
    flows.reverse(
        book, moment_on(last), award=where_is(book, seq), clawback_limit_millicredits=0, is_forfeited=True
    )
    assert (book.available(last), book.pending) == (0, {})


def test_due_credits_are_paid_before_a_grace_begins() -> None:
    book = make_book()
    spent, held = award(book, 10), award(book, 30)
    spend(book, 10)
    review_seq = review(book, held)
    flows.reverse(book, moment_on(DAY), award=where_is(book, spent), clawback_limit_millicredits=1_000)
    assert book.clawback_due == 10
    end(book, review_seq, day=LATE, grace_days=5)
    assert moved(book)[-5:] == [
        ("MATURE", 1, 10),
        ("SETTLE_CLAWBACK", 1, 10),
        ("DISCHARGE_CLAWBACK", 0, 10),
        ("GRACE", 1, 20),
        ("GRACE", 2, 20),
    ]
    assert (book.available(LATE), book.clawback_due) == (20, 0)
    assert where_is(book, held).parts == (AwardPart(1, 0, 0, 10), AwardPart(2, 20, 0, 0))


def test_what_has_its_day_to_come_waits_for_it_after_its_release() -> None:
    book = make_book()
    later = DAY + timedelta(days=9)
    seq = award(book, 10, DECEMBER, matures_on=later)
    review_seq = review(book, seq)
    assert flows.mature(book, moment_on(later)) is None
    end(book, review_seq, day=later - timedelta(days=1))
    assert [each.matures_on for each in book.pending.values()] == [later]
    assert flows.mature(book, moment_on(later)) is not None
    assert book.available(later) == 10


def test_in_an_account_under_review_nothing_matures_and_what_it_had_can_be_spent() -> None:
    book = make_book()
    award(book, 5, DECEMBER)
    award(book, 10, DECEMBER, matures_on=DAY + timedelta(days=1))
    review_seq = review_account(book, moment_on(DAY))
    award(book, 7, DECEMBER)
    assert flows.mature(book, moment_on(NOVEMBER)) is None
    assert book.available(NOVEMBER) == 5
    spend(book, 5, day=NOVEMBER)
    end(book, review_seq, day=NOVEMBER)
    assert (book.review_seq, book.available(NOVEMBER), book.pending) == (0, 17, {})


def test_the_books_say_what_is_under_review(session: Session) -> None:
    book = open_one(session, make_programme(session))
    seq = award(book, 10, DECEMBER)
    review_seq = review(book, seq)
    review_account(book, moment_on(DAY))
    award(book, 5, DECEMBER)
    posting.write_books(session, [book])
    assert [finding.code for finding in check(session) if finding.differences] == []
    for wrong in (
        f"UPDATE pending_award SET review_seq = review_seq + 1 WHERE review_seq = {review_seq}",
        "UPDATE account SET review_seq = 0",
        "UPDATE account SET review_seq = review_seq + 1",
    ):
        session.execute(text("SAVEPOINT here"))
        session.execute(text(wrong))
        assert [finding.code for finding in check(session) if finding.differences] == ["reviews"]
        session.execute(text("ROLLBACK TO here"))
