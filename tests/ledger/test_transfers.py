"""Value leaves one account and arrives in another with its expiry (M17)."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from carbonpoints.core.models import OutboxMessage
from carbonpoints.ledger import flows, posting
from carbonpoints.ledger.book import AVAILABLE, PENDING, Book, Parcel
from carbonpoints.ledger.chart import Flow
from carbonpoints.ledger.errors import AccountNotOpen, InsufficientCredits
from carbonpoints.ledger.lots import AwardPart
from carbonpoints.ledger.queries import balances_of, has_incoming_transfer
from carbonpoints.ledger.transfers import (
    TRANSFER_TOPIC,
    dump_parcels,
    everything,
    load_parcels,
    transfer_in,
    transfer_out,
)
from tests.ledger.scenes import (
    DAY,
    DECEMBER,
    NOVEMBER,
    award,
    make_book,
    make_programme,
    moment_on,
    open_one,
    reverse,
    spend,
    where_is,
)

TRANSFER = uuid.UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")


def test_everything_moves_with_its_expiry_and_its_waiting() -> None:
    source, target = make_book(1), make_book(2)
    award(source, 10, reduction_mg=3)
    award(source, 20, DECEMBER)
    award(source, 5, DECEMBER, matures_on=NOVEMBER)
    parcels = everything(source)
    assert load_parcels(dump_parcels(parcels)) == parcels
    out_seq = transfer_out(
        source, moment_on(DAY), transfer_id=TRANSFER, counterpart_account_id=2, parcels=parcels
    )
    assert not any(source.balances.values())
    assert source.pending == {}
    in_seq = transfer_in(
        target, moment_on(DAY), transfer_id=TRANSFER, counterpart_account_id=1, parcels=parcels
    )
    assert [(leg.direction, leg.decision_seq) for leg in source.legs + target.legs] == [
        ("out", out_seq),
        ("in", in_seq),
    ]
    assert target.available(NOVEMBER) == 30
    assert target.available(NOVEMBER + timedelta(days=1)) == 20
    assert balances_of(target, DAY).lifetime_reduction_mg == 3
    assert [(a.amount, a.matures_on) for a in target.pending_awards().values()] == [(5, NOVEMBER)]
    flows.mature(target, moment_on(NOVEMBER))
    assert target.available(NOVEMBER) == 35


def test_what_is_due_comes_along_and_is_settled_from_what_comes() -> None:
    source, target = make_book(1), make_book(2)
    first = award(source, 10)
    spend(source, 10)
    award(source, 20, DECEMBER)
    reverse(source, first)
    assert (source.available(DAY), source.clawback_due) == (20, 10)
    parcels = everything(source)
    transfer_out(source, moment_on(DAY), transfer_id=TRANSFER, counterpart_account_id=2, parcels=parcels)
    transfer_in(target, moment_on(DAY), transfer_id=TRANSFER, counterpart_account_id=1, parcels=parcels)
    assert (target.available(DAY), target.clawback_due) == (10, 0)
    assert [Flow(entry[9]) for entry in target.entries] == [
        Flow.TRANSFER_IN,
        Flow.TRANSFER_IN,
        Flow.SETTLE_CLAWBACK,
        Flow.DISCHARGE_CLAWBACK,
    ]


def test_a_reversal_takes_no_reduction_that_has_left() -> None:
    source = make_book(1)
    seq = award(source, 10, reduction_mg=3)
    transfer_out(
        source,
        moment_on(DAY),
        transfer_id=TRANSFER,
        counterpart_account_id=2,
        parcels=[Parcel(2, 5, 2)],
    )
    reverse(source, seq)
    assert balances_of(source, DAY).lifetime_reduction_mg == 0
    assert (source.entries[-1][9], source.entries[-1][4]) == (Flow.REVERSE_REDUCTION, 1)


class TestReversalOfWhatMoved:
    """An award is its account's: a merge sends its credits away, the undoing brings them back (M2, M6)."""

    def move(self, source: Book, target: Book, parcels: list[Parcel]) -> None:
        transfer_id, at = uuid.uuid4(), moment_on(DAY)
        to, back = target.account_id, source.account_id
        transfer_out(source, at, transfer_id=transfer_id, counterpart_account_id=to, parcels=parcels)
        transfer_in(target, at, transfer_id=transfer_id, counterpart_account_id=back, parcels=parcels)

    def test_in_the_surviving_account_it_takes_nothing_of_what_came(self) -> None:
        source, target = make_book(1), make_book(2)
        award(source, 10)
        mine = award(target, 5)
        self.move(source, target, everything(source))
        spend(target, 2)
        assert where_is(target, mine).parts == (AwardPart(1, 3, 0, 2),)
        reverse(target, mine)
        assert (target.available(DAY), target.clawback_due) == (10, 2)

    def test_what_goes_back_is_first_what_came(self) -> None:
        source, target = make_book(1), make_book(2)
        award(source, 10)
        mine = award(target, 5)
        came = everything(source)
        self.move(source, target, came)
        self.move(target, source, came)
        assert where_is(target, mine).parts == (AwardPart(1, 5, 0, 0),)

    def test_what_came_back_is_taken_and_the_rest_is_due(self) -> None:
        source, target = make_book(1), make_book(2)
        first, second = award(source, 10), award(source, 20)
        self.move(source, target, everything(source))
        spend(target, 4)
        self.move(target, source, everything(target))
        assert where_is(source, first).parts == (AwardPart(1, 6, 0, 4),)
        reverse(source, second)
        assert (source.available(DAY), source.clawback_due) == (6, 0)

    def test_a_merged_account_reverses_nothing(self) -> None:
        source, target = make_book(1), make_book(2)
        first = award(source, 10)
        self.move(source, target, everything(source))
        flows.change_status(source, moment_on(DAY), status="merged")
        last_seq = source.last_seq
        with pytest.raises(AccountNotOpen):
            reverse(source, first)
        assert (source.last_seq, source.clawback_due) == (last_seq, 0)


@pytest.mark.parametrize(
    "parcel",
    [
        Parcel(1, AVAILABLE, 11, None, NOVEMBER),
        Parcel(1, AVAILABLE, 1, None, DECEMBER),
        Parcel(1, AVAILABLE, 1, "batch", NOVEMBER),
        Parcel(1, PENDING, 1, None, NOVEMBER, DECEMBER),
        Parcel(2, 5, 1),
    ],
)
def test_nobody_sends_what_is_not_there(parcel: Parcel) -> None:
    book = make_book()
    award(book, 10)
    with pytest.raises(InsufficientCredits):
        transfer_out(book, moment_on(DAY), transfer_id=TRANSFER, counterpart_account_id=2, parcels=[parcel])
    assert book.lot_amounts(AVAILABLE) == {1: 10}


def test_of_two_pending_awards_the_one_of_the_parcel_is_sent() -> None:
    book = make_book()
    award(book, 10, matures_on=NOVEMBER)
    wanted = award(book, 10, matures_on=DAY + timedelta(days=9))
    parcel = Parcel(1, PENDING, 10, None, NOVEMBER, DAY + timedelta(days=9))
    with pytest.raises(InsufficientCredits):
        transfer_out(
            book,
            moment_on(DAY),
            transfer_id=TRANSFER,
            counterpart_account_id=2,
            parcels=[replace(parcel, matures_on=DECEMBER)],
        )
    transfer_out(book, moment_on(DAY), transfer_id=TRANSFER, counterpart_account_id=2, parcels=[parcel])
    assert book.pending_of(wanted) == []
    assert len(book.pending) == 1


def test_writing_a_transfer_writes_the_message_that_brings_it_in(session: Session) -> None:
    programme_id = make_programme(session)
    source, target = open_one(session, programme_id), open_one(session, programme_id)
    award(source, 10)
    parcels = everything(source)
    seq = transfer_out(
        source,
        moment_on(DAY),
        transfer_id=TRANSFER,
        counterpart_account_id=target.account_id,
        parcels=parcels,
    )
    posting.write_books(session, [source])
    session.flush()
    message = session.scalars(select(OutboxMessage)).one()
    assert (message.account_id, message.account_seq, message.message_no, message.topic) == (
        source.account_id,
        seq,
        0,
        TRANSFER_TOPIC,
    )
    assert message.body == {
        "transfer_id": str(TRANSFER),
        "to_account_id": target.account_id,
        "parcels": [
            {
                "unit_id": 1,
                "kind": 1,
                "amount": 10,
                "batch": None,
                "expires_on": "2026-11-30",
                "matures_on": None,
            }
        ],
    }
    assert has_incoming_transfer(session, target.account_id)
    transfer_in(
        target,
        moment_on(DAY),
        transfer_id=TRANSFER,
        counterpart_account_id=source.account_id,
        parcels=load_parcels(message.body["parcels"]),
    )
    posting.write_books(session, [target])
    assert not has_incoming_transfer(session, target.account_id)
