"""A seal finds whatever is changed, missing or added, and outlives the erasure of payloads."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import raw_connection
from carbonpoints.ledger import posting
from carbonpoints.ledger import seal as sealing
from carbonpoints.ledger.book import Book
from carbonpoints.ledger.models import SealBatch, SealedRange
from carbonpoints.ledger.seal import FIRST_ROOT, seal, verify
from tests.ledger.scenes import DAY, award, make_programme, moment_on, open_one

SEALED_AT = datetime(2026, 11, 3, tzinfo=UTC)


@pytest.fixture
def books(session: Session) -> list[Book]:
    programme_id = make_programme(session)
    opened = [open_one(session, programme_id) for _ in range(3)]
    for number, book in enumerate(opened):
        for _ in range(number + 2):
            award(book, 10, reduction_mg=1, event_hash=bytes([number, book.last_seq]) * 8)
    posting.write_books(session, opened)
    return opened


def change(session: Session, statement: str) -> None:
    """Do what the database refuses, as somebody with its superuser could."""
    for table in ("decision", "entry", "sealed_range", "seal_batch"):
        session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only"))
    session.execute(text(statement))


def test_canonical_bytes_digests_and_root_are_as_documented(session: Session, books: list[Book]) -> None:
    me = books[0].account_id
    with clock_at(SEALED_AT):
        sealed = seal(session)
    midnight = (moment_on(DAY, 0).booked_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    noon, day = midnight + 12 * 3600 * 10**6, (DAY - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    hashes = [(b"\0\1" * 8).hex(), (b"\0\4" * 8).hex()]
    commitment = (b"c" * 32).hex()
    lines = [
        f"D,{me},1,{midnight},{midnight},{midnight},0,0,,,{day},{day},1,0,,,,",
        f"D,{me},2,{noon},{noon},{noon},1,10,,,{day},{day},2,1,0,{hashes[0]},{commitment},",
        f"E,{me},3,{noon},{noon},10,2,{day},1,1,1,101,1",
        f"E,{me},4,{noon},{noon},1,2,{day},0,2,4,107,5",
        f"D,{me},5,{noon},{noon},{noon},1,10,,,{day},{day},2,1,0,{hashes[1]},{commitment},",
        f"E,{me},6,{noon},{noon},10,5,{day},1,1,1,101,1",
        f"E,{me},7,{noon},{noon},1,5,{day},0,2,4,107,5",
    ]
    digest = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).digest()
    assert session.get_one(SealedRange, (me, 1)).digest == digest
    ranges = session.query(SealedRange).order_by(SealedRange.account_id).all()
    assert [(r.account_id, r.from_seq, r.to_seq) for r in ranges] == [
        (book.account_id, 1, book.last_seq) for book in books
    ]
    block = "".join(f"{r.account_id},{r.from_seq},{r.to_seq},{r.digest.hex()}\n" for r in ranges)
    root = hashlib.sha256(bytes(32) + block.encode()).digest()
    microseconds = (SEALED_AT - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    root = hashlib.sha256(root + f"{microseconds},3,30,international\n".encode()).digest()
    assert sealed is not None
    assert (sealed.root, sealed.range_count, sealed.row_count) == (root, 3, 30)


def test_only_what_is_new_is_sealed_next(session: Session, books: list[Book]) -> None:
    first = seal(session)
    assert seal(session) is None
    award(books[1], 5)
    posting.write_books(session, books)
    second = seal(session)
    assert first is not None
    assert second is not None
    assert (second.range_count, second.row_count) == (1, 2)
    batches = session.query(SealBatch).order_by(SealBatch.seal_batch_id).all()
    assert [batch.previous_root for batch in batches] == [FIRST_ROOT, first.root]
    verification = verify(session)
    assert verification.differences == ()
    assert (verification.roots, verification.rows_examined) == ((first.root, second.root), 32)


def test_long_journals_and_many_accounts_are_sealed_in_pieces(
    session: Session, books: list[Book], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "RANGE_NUMBERS", 3)
    monkeypatch.setattr(sealing, "BLOCK_RANGES", 2)
    sealed = seal(session)
    assert sealed is not None
    assert sealed.range_count == sum(-(-book.last_seq // 3) for book in books)
    assert verify(session).differences == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET amount = amount + 1 WHERE account_seq = 3",
        "UPDATE entry SET occurred_at = occurred_at + interval '1 microsecond' WHERE account_seq = 3",
        "UPDATE decision SET disposition = 4 WHERE account_seq = 2",
        "UPDATE decision SET commitment = '\\x00' WHERE account_seq = 2",
        "UPDATE decision SET trace = '{}' WHERE account_seq = 2",
        "UPDATE decision SET pin_id = 0 WHERE account_seq = 2",
        "DELETE FROM entry WHERE account_seq = 3",
        "DELETE FROM decision WHERE account_seq = 1",
        """
        INSERT INTO entry SELECT account_id, 2, occurred_at, booked_at, amount, 1, business_date, lot_no, unit_id,
            flow, from_kind, to_kind FROM entry WHERE account_seq = 3
        """,
    ],
)
def test_a_row_that_was_changed_removed_or_added(session: Session, books: list[Book], statement: str) -> None:
    seal(session)
    change(session, statement)
    expected = {f"account {b.account_id}: numbers 1 to {b.last_seq} are not what was sealed" for b in books}
    assert expected <= set(verify(session).differences)


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        ("UPDATE sealed_range SET digest = '\\x00'", "its root is not that of its ranges"),
        (
            "DELETE FROM sealed_range WHERE account_id = (SELECT min(account_id) FROM account)",
            "2 ranges of 3, 23 rows of 30",
        ),
        ("UPDATE sealed_range SET to_seq = to_seq - 1", "its root is not that of its ranges"),
        ("UPDATE sealed_range SET from_seq = 2", "does not follow the one before it"),
        ("UPDATE sealed_range SET seal_batch_id = 99", "has no batch"),
        ("UPDATE seal_batch SET root = '\\x00'", "its root is not that of its ranges"),
        ("UPDATE seal_batch SET previous_root = '\\x00'", "does not follow the one before it"),
        (
            "UPDATE seal_batch SET sealed_at = sealed_at - interval '1 s'",
            "its root is not that of its ranges",
        ),
    ],
)
def test_a_seal_that_was_changed(
    session: Session, books: list[Book], statement: str, difference: str
) -> None:
    seal(session)
    change(session, statement)
    assert any(difference in found for found in verify(session).differences)


def test_a_change_together_with_its_digest_breaks_the_root(session: Session, books: list[Book]) -> None:
    seal(session)
    me = books[0].account_id
    change(session, f"UPDATE entry SET amount = 99 WHERE account_id = {me} AND account_seq = 3")
    digests, _ = sealing._digests(raw_connection(session), [(me, 1, books[0].last_seq)])
    change(session, f"UPDATE sealed_range SET digest = '\\x{digests[0].hex()}' WHERE account_id = {me}")
    assert [d.partition(": ")[2] for d in verify(session).differences] == [
        "its root is not that of its ranges"
    ]


def test_erased_payloads_leave_the_seal_whole(session: Session, books: list[Book]) -> None:
    me = books[0].account_id
    insert = "INSERT INTO event_payload (account_id, account_seq, content) VALUES (:me, 2, '{}')"
    session.execute(text(insert), {"me": me})
    seal(session)
    session.execute(text("DELETE FROM event_payload"))
    assert verify(session).differences == ()


def test_nothing_sealed_is_whole(session: Session) -> None:
    verification = verify(session)
    assert (verification.roots, verification.rows_not_sealed, verification.differences) == ((), 0, ())


LAST_BATCH = "seal_batch_id = (SELECT max(seal_batch_id) FROM sealed_range)"


@pytest.fixture
def two_roots(session: Session, books: list[Book]) -> tuple[bytes, bytes]:
    first = seal(session)
    award(books[1], 5)
    posting.write_books(session, books)
    second = seal(session)
    assert first is not None
    assert second is not None
    return first.root, second.root


def test_every_root_of_the_chain_is_known_again(session: Session, two_roots: tuple[bytes, bytes]) -> None:
    verification = verify(session, two_roots)
    assert (verification.roots, verification.differences) == (two_roots, ())
    assert (verification.rows_not_sealed, verification.not_sealed_since) == (0, None)


@pytest.mark.parametrize("removed", ["seal_batch", "sealed_range"])
def test_a_last_batch_without_its_ranges_or_ranges_without_it(
    session: Session, two_roots: tuple[bytes, bytes], removed: str
) -> None:
    change(session, f"DELETE FROM {removed} WHERE {LAST_BATCH}")
    assert verify(session).differences != ()


def test_only_a_filed_root_tells_that_the_chain_was_cut_back(
    session: Session, books: list[Book], two_roots: tuple[bytes, bytes]
) -> None:
    change(session, f"DELETE FROM seal_batch WHERE {LAST_BATCH}")
    change(session, f"DELETE FROM sealed_range WHERE {LAST_BATCH}")
    verification = verify(session, two_roots)
    assert verification.roots == two_roots[:1]
    assert verification.differences == (
        f"no batch has the filed root {two_roots[1].hex()}: the chain ends before it, or is another one",
    )
    assert (verification.rows_not_sealed, verification.not_sealed_since) == (2, books[1].last_booked_at)
    # Sealed anew it is another chain.
    seal(session)
    assert verify(session, two_roots[1:]).differences == verification.differences
    assert verify(session, two_roots[:1]).differences == ()


def test_where_nothing_is_sealed_no_root_is_found(session: Session) -> None:
    assert verify(session, [FIRST_ROOT]).differences == (
        f"no batch has the filed root {FIRST_ROOT.hex()}: the chain ends before it, or is another one",
    )
