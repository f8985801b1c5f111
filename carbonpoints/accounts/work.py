"""One account at work: found, locked, decided about, written, and answered with its balances.

Every use case that changes an account does these steps in this order, in one transaction. A use case that
moves value does them once per Idempotency-Key (M18).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.accounts.access import readable_head
from carbonpoints.accounts.errors import AccountClosed, AccountFrozen, AccountMerged, AccountNotFrozen
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.under_review import review_sentence
from carbonpoints.core import idempotency
from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import now
from carbonpoints.core.errors import FieldError, InvalidRequest, NotFound
from carbonpoints.core.programmes import ProgrammeSettings
from carbonpoints.core.sentences import Sentence
from carbonpoints.ledger.book import Book, Moment
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.posting import open_books, write_books
from carbonpoints.ledger.queries import Balances, balances_of


@dataclass(frozen=True)
class AccountView:
    """An account as its holder sees it."""

    account_id: int
    programme: str
    """The programme's code."""
    holder_kind: str
    status: str
    balances: Balances
    under_review: Sentence | None
    """What the holder may know of open reviews; None where there is none."""


@dataclass(frozen=True)
class Work:
    """One locked account, and the instant and settings of the use case that works on it."""

    session: Session
    programme: ProgrammeSettings
    book: Book
    moment: Moment

    def decide(self, kind: DecisionKind, trace: Mapping[str, Any]) -> int:
        """Take the next number of the journal for a decision made now."""
        return self.book.decide(
            kind,
            self.moment,
            occurred_at=self.moment.booked_at,
            received_at=self.moment.booked_at,
            local_date=self.moment.local_date,
            trace=dict(trace),
        )

    def refuse_unless(self, *statuses: str) -> None:
        """Raise AccountFrozen, AccountClosed or AccountMerged unless the account has one of these statuses."""
        refuse_unless(self.book.status, *statuses)

    def view(self) -> AccountView:
        """Return the account with its balances as they stand in the book."""
        return AccountView(
            account_id=self.book.account_id,
            programme=self.programme.code,
            holder_kind=self.book.holder_kind,
            status=self.book.status,
            balances=balances_of(self.book, self.moment.business_date),
            under_review=review_sentence(self.session, self.book.account_id),
        )

    def write(self) -> AccountView:
        """Write what is new in the book and return the account with its balances after it."""
        write_books(self.session, [self.book])
        return self.view()


_REFUSALS = {"frozen": AccountFrozen, "closed": AccountClosed, "merged": AccountMerged}


def refuse_unless(status: str, *statuses: str) -> None:
    """Raise AccountFrozen, AccountClosed or AccountMerged unless `status` is one of `statuses`."""
    if status not in statuses:
        raise _REFUSALS.get(status, AccountNotFrozen)


def refuse_future(field: str, given: date | None, latest: date) -> None:
    """Raise InvalidRequest when a date or an instant is later than `latest`, which is of the same kind."""
    if given is not None and given > latest:
        raise InvalidRequest(fields=[FieldError(field, "in_future", "This is yet to come.")])


def open_work(session: Session, caller: Caller, account_id: int) -> Work:
    """Lock an account that the caller may see; NotFound otherwise. The role's own limits come before."""
    head = readable_head(session, caller, account_id)
    return lock_accounts(session, head.programme_id, [account_id])[account_id]


def lock_accounts(session: Session, programme_id: int, account_ids: Collection[int]) -> dict[int, Work]:
    """Lock accounts of one programme, in id order; NotFound when one does not exist or is another programme's."""
    programme = programme_settings(session, programme_id)
    books = open_books(session, account_ids)
    moment = Moment.at(now(), programme.calendar)
    work = {}
    for account_id in account_ids:
        book = books.get(account_id)
        if book is None or book.programme_id != programme_id:
            raise NotFound
        work[account_id] = Work(session, programme, book, book.next_moment(moment, programme.calendar))
    return work


@dataclass(frozen=True)
class Answer:
    """What a call that moves value is answered, the first time and every time it is repeated."""

    body: Mapping[str, Any]
    replay: idempotency.Replay | None = None


def answer_once(
    session: Session,
    *,
    caller: Caller,
    account_id: int,
    key: str,
    request: Mapping[str, Any],
    work: Callable[[], Mapping[str, Any]],
) -> Answer:
    """Do `work` once for this key, and answer what it answered the first time (M18).

    `request` is what was asked for, the operation's name included. Raises KeyReused and StillRunning.
    """
    replay = idempotency.replay_or_claim(session, caller, account_id, key, request)
    if replay is not None:
        return Answer(replay.answer, replay)
    body = work()
    idempotency.store_answer(session, caller, account_id, key, status=200, answer=body)
    return Answer(body)
