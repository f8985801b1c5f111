"""What a holder may read of their account: balances now and then, transactions, statements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from carbonpoints.accounts.access import reading_account
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.under_review import review_sentence
from carbonpoints.accounts.work import AccountView, refuse_future
from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import month_end, now
from carbonpoints.core.errors import NotFound
from carbonpoints.core.pagination import Page, decode_cursor, make_page
from carbonpoints.ledger.queries import Statement, StoredEntry, list_entries, read_balances, statement

FIRST_YEAR, LAST_YEAR = 1900, 2199
"""What a calendar can be asked about: neither end overflows in any time zone."""
_PERIOD = re.compile(r"([0-9]{4})(?:-(0[1-9]|1[0-2]))?")


@dataclass(frozen=True)
class EntryFilter:
    """Which entries to list; None takes all."""

    flows: Sequence[int] | None = None
    units: Sequence[int] | None = None
    booked_from: datetime | None = None
    booked_to: datetime | None = None
    """Not included."""


def read_account(
    *, caller: Caller, account_id: int | None, as_of: datetime | None, purpose: str | None
) -> AccountView:
    """Return the account with its balances now, or as of any past instant; `account_id` None is the caller's own.

    Status and open reviews are always today's. Raises NotFound, PurposeNeeded, InvalidRequest for an instant to come.
    """
    refuse_future("as_of", as_of, now())
    with reading_account(caller=caller, account_id=account_id, action="account.read", purpose=purpose) as (
        session,
        head,
    ):
        programme = programme_settings(session, head.programme_id)
        balances = read_balances(session, head.account_id, programme.calendar, as_of)
        under_review = review_sentence(session, head.account_id)
        return AccountView(
            head.account_id, programme.code, head.holder_kind, head.status, balances, under_review
        )


def list_transactions(
    *,
    caller: Caller,
    account_id: int | None,
    wanted: EntryFilter,
    limit: int,
    cursor: str | None,
    purpose: str | None,
) -> Page[StoredEntry]:
    """Return a page of the account's entries, latest first; `account_id` None is the caller's own."""
    before_seq = decode_cursor(cursor, int)[0] if cursor else None
    with reading_account(
        caller=caller, account_id=account_id, action="transactions.read", purpose=purpose
    ) as (session, head):
        rows = list_entries(
            session,
            head.account_id,
            flows=wanted.flows,
            units=wanted.units,
            from_=wanted.booked_from,
            to=wanted.booked_to,
            before_seq=before_seq,
            limit=limit + 1,
        )
    return make_page(rows, limit, lambda row: (row.account_seq,))


def read_statement(*, caller: Caller, account_id: int | None, period: str, purpose: str | None) -> Statement:
    """Return the statement of a month (`2026-11`) or a year (`2026`) of business dates.

    A period that is still running ends today. Raises NotFound for what is no period or has not begun.
    """
    start, end = parse_period(period)
    with reading_account(caller=caller, account_id=account_id, action="statement.read", purpose=purpose) as (
        session,
        head,
    ):
        calendar = programme_settings(session, head.programme_id).calendar
        today = calendar.business_date(now())
        if start > today:
            raise NotFound
        found = statement(session, head.account_id, calendar, start, end)
        return replace(found, end=min(end, today))


def parse_period(period: str) -> tuple[date, date]:
    """Return the first and the last day of `2026-11` or `2026`; NotFound otherwise."""
    match = _PERIOD.fullmatch(period)
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise NotFound
    year, month = int(match[1]), match[2]
    if month:
        return date(year, int(month), 1), month_end(date(year, int(month), 1))
    return date(year, 1, 1), date(year, 12, 31)
