"""Reversals by example, with exact amounts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from carbonpoints.ledger import flows
from carbonpoints.ledger.book import Book
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.lots import AwardPart
from carbonpoints.ledger.queries import balances_of
from tests.ledger.scenes import (
    DAY,
    DECEMBER,
    NOVEMBER,
    award,
    make_book,
    moment_on,
    moved,
    reverse,
    spend,
    where_is,
)


class TestReversal:
    """The available part is taken, the expired part is gone, the spent and held parts become due (M6)."""

    def test_of_one_lot_the_earliest_award_counts_as_spent_first(self) -> None:
        book = make_book()
        first, second, third = award(book, 10), award(book, 20), award(book, 30)
        spend(book, 15)
        assert [(p.available, p.gone, p.owed) for p in where_is(book, first).parts] == [(0, 0, 10)]
        assert [(p.available, p.gone, p.owed) for p in where_is(book, second).parts] == [(15, 0, 5)]
        assert [(p.available, p.gone, p.owed) for p in where_is(book, third).parts] == [(30, 0, 0)]

    def test_what_is_available_is_taken_and_the_rest_is_due(self) -> None:
        book = make_book()
        award(book, 10)
        second = award(book, 20, reduction_mg=7)
        award(book, 30)
        spend(book, 15)
        seq = reverse(book, second)
        assert moved(book)[-3:] == [
            ("REVERSE", 1, 15),
            ("CHARGE_CLAWBACK", 0, 5),
            ("REVERSE_REDUCTION", 0, 7),
        ]
        assert book.decisions[-1][1] == seq
        assert book.decisions[-1][5:7] == (7, 15)
        assert book.decisions[-1][16] == {"award_seq": second, "charged": 5, "waived": 0}
        assert (book.available(DAY), book.clawback_due) == (30, 5)
        assert balances_of(book, DAY).lifetime_reduction_mg == 0

    def test_the_rest_of_a_reversed_award_counts_as_spent_before_the_others(self) -> None:
        book = make_book()
        first, second = award(book, 10), award(book, 10)
        hold_seq = flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=15)
        reverse(book, second)
        assert (book.available(DAY), book.clawback_due) == (0, 5)
        flows.release(book, moment_on(DAY), hold_seq=hold_seq, grace_days=0)
        assert (book.available(DAY), book.clawback_due) == (10, 0)
        reverse(book, first)
        assert (book.available(DAY), book.clawback_due) == (0, 0)

    def test_an_expired_part_is_gone_and_makes_no_debt(self) -> None:
        book = make_book()
        first = award(book, 10)
        spend(book, 4)
        late = NOVEMBER + timedelta(days=1)
        flows.expire(book, moment_on(late))
        assert [(p.available, p.gone, p.owed) for p in where_is(book, first).parts] == [(0, 6, 4)]
        reverse(book, first, day=late)
        assert book.clawback_due == 4

    def test_what_was_forfeited_makes_no_debt(self) -> None:
        book = make_book()
        first = award(book, 10)
        flows.close(book, moment_on(DAY))
        assert [(p.available, p.gone, p.owed) for p in where_is(book, first).parts] == [(0, 10, 0)]

    @pytest.mark.parametrize(("limit", "due"), [(0, 0), (6, 6), (10, 10), (25, 25), (99, 40)])
    def test_the_programme_limits_what_is_due_in_all(self, limit: int, due: int) -> None:
        book = make_book()
        first, second = award(book, 10), award(book, 30)
        spend(book, 40)
        reverse(book, first, limit=limit)
        reverse(book, second, limit=limit)
        assert book.clawback_due == due
        charged = [decision[16] for decision in book.decisions if decision[11] == DecisionKind.REVERSAL]
        assert sum(trace["charged"] for trace in charged) == due
        assert sum(trace["charged"] + trace["waived"] for trace in charged) == 40

    def test_it_touches_no_other_lot(self) -> None:
        book = make_book()
        first = award(book, 10)
        award(book, 20, DECEMBER)
        spend(book, 10)
        reverse(book, first)
        assert (book.available(DAY), book.clawback_due) == (20, 10)

    def test_later_earnings_settle_what_is_due(self) -> None:
        book = make_book()
        first = award(book, 10)
        spend(book, 10)
        reverse(book, first)
        award(book, 4, DECEMBER)
        assert moved(book)[-3:] == [("EARN", 2, 4), ("SETTLE_CLAWBACK", 2, 4), ("DISCHARGE_CLAWBACK", 0, 4)]
        award(book, 20, DECEMBER)
        assert moved(book)[-3:] == [
            ("EARN", 2, 20),
            ("SETTLE_CLAWBACK", 2, 6),
            ("DISCHARGE_CLAWBACK", 0, 6),
        ]
        assert (book.available(DAY), book.clawback_due) == (14, 0)

    def test_a_release_settles_what_is_due_before_its_expiry_ends_it(self) -> None:
        book = make_book()
        first = award(book, 10)
        hold_seq = flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=10)
        reverse(book, first, limit=8)
        late = moment_on(NOVEMBER + timedelta(days=1))
        flows.release(book, late, hold_seq=hold_seq, grace_days=0)
        assert moved(book)[-4:] == [
            ("RELEASE", 1, 10),
            ("SETTLE_CLAWBACK", 1, 8),
            ("DISCHARGE_CLAWBACK", 0, 8),
            ("EXPIRE_RELEASED", 1, 2),
        ]
        assert not any(book.balances.values())


class TestCarried:
    """What was carried into a lot of grace is still the award's (M6)."""

    LATE = NOVEMBER + timedelta(days=1)

    def carry(self, book: Book) -> tuple[int, int]:
        """Earn 10 and 20; spend 4 and carry 21 of them, while 5 expire; return the two awards."""
        first, second = award(book, 10), award(book, 20)
        hold_seq = flows.hold(book, moment_on(DAY), reference="order", amount_millicredits=25)
        flows.expire(book, moment_on(self.LATE))
        flows.capture(book, moment_on(self.LATE), hold_seq=hold_seq, amount_millicredits=4)
        flows.release(book, moment_on(self.LATE), hold_seq=hold_seq, grace_days=7)
        return first, second

    def test_it_is_taken_where_it_is(self) -> None:
        book = make_book()
        first, second = self.carry(book)
        assert where_is(book, first).parts == (AwardPart(1, 0, 0, 4), AwardPart(2, 6, 0, 0))
        assert where_is(book, second).parts == (AwardPart(1, 0, 5, 0), AwardPart(2, 15, 0, 0))
        reverse(book, second, day=self.LATE)
        assert moved(book)[-1] == ("REVERSE", 2, 15)
        assert (book.available(self.LATE), book.clawback_due) == (6, 0)
        assert where_is(book, first).parts == (AwardPart(1, 0, 0, 4), AwardPart(2, 6, 0, 0))
        reverse(book, first, day=self.LATE)
        assert moved(book)[-2:] == [("REVERSE", 2, 6), ("CHARGE_CLAWBACK", 0, 4)]
        assert (book.available(self.LATE), book.clawback_due) == (0, 4)

    def test_what_was_spent_of_it_is_due(self) -> None:
        book = make_book()
        first, second = self.carry(book)
        spend(book, 8, day=self.LATE)
        assert where_is(book, first).parts == (AwardPart(1, 0, 0, 4), AwardPart(2, 0, 0, 6))
        reverse(book, second, day=self.LATE)
        assert (book.available(self.LATE), book.clawback_due) == (0, 2)

    def test_with_the_grace_it_is_gone(self) -> None:
        book = make_book()
        _, second = self.carry(book)
        after = self.LATE + timedelta(days=8)
        flows.expire(book, moment_on(after))
        assert where_is(book, second).parts == (AwardPart(1, 0, 5, 0), AwardPart(2, 0, 15, 0))
        reverse(book, second, day=after)
        assert book.clawback_due == 0

    def test_it_stands_behind_what_the_other_lot_had(self) -> None:
        book = make_book()
        other = award(book, 10, self.LATE + timedelta(days=7))
        first, _ = self.carry(book)
        spend(book, 10, day=self.LATE)
        assert where_is(book, other).parts == (AwardPart(1, 0, 0, 10),)
        assert where_is(book, first).parts == (AwardPart(1, 6, 0, 0), AwardPart(2, 0, 0, 4))
