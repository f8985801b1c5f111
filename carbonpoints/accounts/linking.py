"""The bank accounts that a holder owns or may use, by the keyed hash of their number (M2, M8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from carbonpoints.accounts import identities
from carbonpoints.accounts.access import reading_account, require_role
from carbonpoints.accounts.errors import BankAccountLinkedOtherwise, BankAccountNotLinked, BankAccountTaken
from carbonpoints.accounts.models import LinkedAccount
from carbonpoints.accounts.schemes import Scheme, check_identifier, mask
from carbonpoints.accounts.work import AccountView, open_work
from carbonpoints.core import audit
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import transaction
from carbonpoints.core.roles import Role
from carbonpoints.ledger.chart import DecisionKind


class Relation(StrEnum):
    """What a bank account is to its holder."""

    OWNER = identities.OWNER
    """Acts on the account count for the owner unless the source says who acted. One owner at a time."""
    AUTHORISED_USER = "authorised_user"


@dataclass(frozen=True)
class BankAccount:
    """A linked bank account as it may be shown."""

    relation: str
    masked_value: str
    linked_at: datetime
    unlinked_at: datetime | None


@dataclass(frozen=True)
class LinkAnswer:
    """All linked bank accounts after the call, and the account with its balances."""

    linked_accounts: Sequence[BankAccount]
    account: AccountView


def list_linked_accounts(*, caller: Caller, account_id: int, purpose: str | None) -> Sequence[BankAccount]:
    """Return the bank accounts linked to the account, masked, in the order of their linking."""
    with reading_account(
        caller=caller, account_id=account_id, action="linked_accounts.read", purpose=purpose
    ) as (session, _):
        return _linked(session, account_id)


def link_account(*, caller: Caller, account_id: int, bank_account: str, relation: Relation) -> LinkAnswer:
    """Link a bank account to the holder. For core banking and operations; linking again changes nothing.

    Raises InvalidRequest, BankAccountTaken when another holder owns it, BankAccountLinkedOtherwise when the
    holder has it in the other relation, AccountClosed, AccountMerged.
    """
    require_role(caller, Role.CORE_BANKING, Role.OPERATIONS)
    check_identifier(Scheme.BANK_ACCOUNT, bank_account, field="bank_account")
    with transaction() as session:
        work = open_work(session, caller, account_id)
        work.refuse_unless("open", "frozen")
        identity = identities.hash_identity(work.programme.id, Scheme.BANK_ACCOUNT, bank_account)
        link = (identity, account_id, relation.value)
        found = identities.claim_bank_accounts(session, [link], work.moment.booked_at)[identity].get(
            account_id
        )
        if found != relation:
            raise BankAccountTaken if found is None else BankAccountLinkedOtherwise
        masked = mask(Scheme.BANK_ACCOUNT, bank_account)
        if write_links(session, [(*link, masked)], work.moment.booked_at):
            seq = work.decide(DecisionKind.IDENTIFIER, {"linked": relation.value})
            audit.record(
                session, account_id=account_id, action="bank_account.link", detail={"account_seq": seq}
            )
        return LinkAnswer(_linked(session, account_id), work.write())


def unlink_account(*, caller: Caller, account_id: int, bank_account: str) -> LinkAnswer:
    """End the link between a bank account and the holder. For core banking and operations; once more changes nothing.

    Acts on it from now on are not the holder's, earlier ones that are reported late still are; somebody else may be
    linked as its owner. What was credited stays. Raises InvalidRequest, BankAccountNotLinked, AccountClosed,
    AccountMerged.
    """
    require_role(caller, Role.CORE_BANKING, Role.OPERATIONS)
    check_identifier(Scheme.BANK_ACCOUNT, bank_account, field="bank_account")
    with transaction() as session:
        work = open_work(session, caller, account_id)
        work.refuse_unless("open", "frozen")
        identity = identities.hash_identity(work.programme.id, Scheme.BANK_ACCOUNT, bank_account)
        link = session.get(LinkedAccount, (account_id, identity), populate_existing=True)
        if link is None:
            raise BankAccountNotLinked
        if link.unlinked_at is None:
            link.unlinked_at = work.moment.booked_at
            session.flush()
            identities.end_bank_accounts(session, account_id, [identity], link.unlinked_at)
            seq = work.decide(DecisionKind.IDENTIFIER, {"unlinked": link.relation})
            audit.record(
                session, account_id=account_id, action="bank_account.unlink", detail={"account_seq": seq}
            )
        return LinkAnswer(_linked(session, account_id), work.write())


_WRITE = text("""
INSERT INTO linked_account (account_id, identity_hash, relation, masked_value, linked_at)
SELECT account_id, hash, relation, masked, :at
FROM unnest(CAST(:account_ids AS bigint[]), CAST(:hashes AS bytea[]), CAST(:relations AS text[]),
            CAST(:masked AS text[])) AS linked (account_id, hash, relation, masked)
ON CONFLICT (account_id, identity_hash) DO UPDATE
SET relation = excluded.relation, linked_at = excluded.linked_at, unlinked_at = NULL
WHERE linked_account.unlinked_at IS NOT NULL
RETURNING account_id, identity_hash
""")

NewLink = tuple[bytes, int, str, str]
"""Hash of the bank account's number, account, relation, and the mask of its number."""


def write_links(session: Session, links: Sequence[NewLink], at: datetime) -> list[tuple[int, bytes]]:
    """Write claimed links into their locked accounts and return the (account, hash) that were not there before."""
    rows = session.execute(
        _WRITE,
        {
            "account_ids": [account_id for _, account_id, _, _ in links],
            "hashes": [identity for identity, _, _, _ in links],
            "relations": [relation for _, _, relation, _ in links],
            "masked": [masked for _, _, _, masked in links],
            "at": at,
        },
    )
    return [(row.account_id, row.identity_hash) for row in rows]


def _linked(session: Session, account_id: int) -> list[BankAccount]:
    query = select(
        LinkedAccount.relation, LinkedAccount.masked_value, LinkedAccount.linked_at, LinkedAccount.unlinked_at
    ).where(LinkedAccount.account_id == account_id)
    ordered = query.order_by(LinkedAccount.linked_at, LinkedAccount.identity_hash)
    return [BankAccount(*row) for row in session.execute(ordered)]
