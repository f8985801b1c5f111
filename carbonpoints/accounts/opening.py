"""Opening accounts: a customer their own, operations an enterprise's. One account per holder and programme.

The identity's claim and the account's rows commit together, so that no identity ever leads nowhere. Of two who
open the same holder's account at the same time one waits for the other's claim, takes back its own account and
answers with the other's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts import identities
from carbonpoints.accounts.access import require_role
from carbonpoints.accounts.errors import AccountClosed, GuardianConsentNeeded, IdentifierTaken
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme, check_identifier, mask
from carbonpoints.accounts.work import AccountView, lock_accounts, refuse_future
from carbonpoints.core import audit
from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import now
from carbonpoints.core.db import transaction
from carbonpoints.core.programmes import ProgrammeSettings, programme_of
from carbonpoints.core.roles import Role
from carbonpoints.ledger.book import Book, Moment
from carbonpoints.ledger.posting import open_accounts, write_books

ADULT_AGE_YEARS = 18
"""Civil Code of the People's Republic of China, article 17."""


@dataclass(frozen=True)
class Opened:
    """The holder's account, and whether this call opened it."""

    account: AccountView
    created: bool


@dataclass(frozen=True)
class NewHolder:
    """A person or an enterprise about to get an account."""

    identifiers: Mapping[Scheme, str]
    """Checked values by scheme; at least one."""
    born_on: date | None = None
    guardian_consent_at: datetime | None = None
    name: str | None = None


class OpenedMeanwhile(IdentifierTaken):
    """Somebody else has claimed one of the identities since it was looked up."""


def open_personal_account(*, caller: Caller, born_on: date | None, guardian_consent: bool) -> Opened:
    """Open the account of the customer whom the token names, or answer with the one they have.

    `born_on` is asked for only where the programme must tell minors apart. Raises GuardianConsentNeeded,
    AccountClosed when the customer's account was closed: closing is final.
    """
    require_role(caller, Role.CUSTOMER)
    identifiers = {Scheme.CUSTOMER_REF: check_identifier(Scheme.CUSTOMER_REF, caller.subject, field="sub")}

    def attempt(session: Session) -> Opened:
        programme = programme_settings(session, programme_of(session, caller))
        found = _find(session, programme, identifiers)
        if found is not None:
            return found
        today = programme.calendar.local_date(now())
        refuse_future("born_on", born_on, today)
        is_minor = born_on is not None and is_minor_on(born_on, today)
        consent_at = now() if is_minor and guardian_consent else None
        holder = NewHolder(identifiers, born_on=born_on, guardian_consent_at=consent_at)
        return _open_one(session, programme, "person", holder)

    return _open_once(attempt)


def open_enterprise_account(*, caller: Caller, name: str, identifiers: Mapping[Scheme, str]) -> Opened:
    """Open an enterprise's account under its published identifiers, or answer with the one that has them all.

    For operations only. Raises InvalidRequest when a check character does not hold, IdentifierTaken when another
    account has some of the identifiers, AccountClosed.
    """
    require_role(caller, Role.OPERATIONS)
    for scheme, value in identifiers.items():
        check_identifier(scheme, value, field=scheme.lower())

    def attempt(session: Session) -> Opened:
        programme = programme_settings(session, programme_of(session, caller))
        found = _find(session, programme, identifiers)
        if found is not None:
            return found
        opened = _open_one(session, programme, "enterprise", NewHolder(identifiers, name=name))
        audit.record(session, account_id=opened.account.account_id, action="enterprise.open")
        return opened

    return _open_once(attempt)


_HOLDERS = text("""
INSERT INTO holder (account_id, born_on, guardian_consent_at, name)
SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:born_on AS date[]),
                     CAST(:guardian_consent_at AS timestamptz[]), CAST(:names AS text[]))
""")

_IDENTIFIERS = text("""
INSERT INTO holder_identifier (account_id, identifier_no, scheme, identity_hash, masked_value, valid_from)
SELECT account_id, identifier_no, scheme, hash, masked, :at
FROM unnest(CAST(:account_ids AS bigint[]), CAST(:numbers AS int[]), CAST(:schemes AS text[]),
            CAST(:hashes AS bytea[]), CAST(:masked AS text[]))
     AS new (account_id, identifier_no, scheme, hash, masked)
""")


def open_holders(
    session: Session, programme: ProgrammeSettings, holder_kind: str, holders: Sequence[NewHolder]
) -> list[Book]:
    """Open an account for each new holder, in order, in a handful of statements; the books are written.

    Raises GuardianConsentNeeded for a minor without one, and OpenedMeanwhile when one of the identities is already
    somebody's; the transaction must then end.
    """
    moment = Moment.at(now(), programme.calendar)
    for holder in holders:
        if (
            holder.born_on
            and not holder.guardian_consent_at
            and is_minor_on(holder.born_on, moment.local_date)
        ):
            raise GuardianConsentNeeded
    books = open_accounts(
        session, programme_id=programme.id, holder_kind=holder_kind, moment=moment, count=len(holders)
    )
    account_ids = [book.account_id for book in books]
    rows = [
        (
            account_id,
            number,
            scheme,
            identities.hash_identity(programme.id, scheme, value),
            mask(scheme, value),
        )
        for account_id, holder in zip(account_ids, holders, strict=True)
        for number, (scheme, value) in enumerate(holder.identifiers.items(), start=1)
    ]
    claims = {identity: account_id for account_id, _, _, identity, _ in rows}
    if identities.claim_holders(session, claims, moment.booked_at) != claims:
        raise OpenedMeanwhile
    session.execute(
        _HOLDERS,
        {
            "account_ids": account_ids,
            "born_on": [holder.born_on for holder in holders],
            "guardian_consent_at": [holder.guardian_consent_at for holder in holders],
            "names": [holder.name for holder in holders],
        },
    )
    names = ("account_ids", "numbers", "schemes", "hashes", "masked")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    session.execute(_IDENTIFIERS, {**columns, "at": moment.booked_at})
    write_books(session, books)
    return books


def is_minor_on(born_on: date, day: date) -> bool:
    """Whether somebody born on `born_on` is under age on `day`.

    Who was born on 29 February comes of age on 1 March.
    """
    had_birthday = (day.month, day.day) >= (born_on.month, born_on.day)
    return day.year - born_on.year - (0 if had_birthday else 1) < ADULT_AGE_YEARS


def _find(session: Session, programme: ProgrammeSettings, identifiers: Mapping[Scheme, str]) -> Opened | None:
    """Return the account that has all these identifiers; None when none of them is anybody's."""
    hashes = [identities.hash_identity(programme.id, scheme, value) for scheme, value in identifiers.items()]
    holders = identities.current_holders(session, hashes)
    if not holders:
        return None
    if len(set(holders.values())) > 1 or len(holders) < len(hashes):
        raise IdentifierTaken
    (account_id,) = set(holders.values())
    work = lock_accounts(session, programme.id, [account_id])[account_id]
    if work.book.status == "closed":
        raise AccountClosed
    return Opened(work.view(), created=False)


def _open_one(session: Session, programme: ProgrammeSettings, holder_kind: str, holder: NewHolder) -> Opened:
    (book,) = open_holders(session, programme, holder_kind, [holder])
    work = lock_accounts(session, programme.id, [book.account_id])[book.account_id]
    return Opened(work.view(), created=True)


def _open_once(attempt: Callable[[Session], Opened]) -> Opened:
    """Run an opening; where the holder's account was opened meanwhile, once more, to find it."""
    try:
        with transaction() as session:
            return attempt(session)
    except OpenedMeanwhile:
        with transaction() as session:
            return attempt(session)
