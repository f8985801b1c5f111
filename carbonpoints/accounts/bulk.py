"""Accounts, links and consents by the thousand, for loads and demonstrations, in the caller's transaction.

The same rules as one by one, in a handful of statements however many rows; repeating a load changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from carbonpoints.accounts import identities
from carbonpoints.accounts.consents import GIVEN, WITHDRAWN, ConsentWord, last_words, record_words
from carbonpoints.accounts.errors import BankAccountLinkedOtherwise, BankAccountTaken
from carbonpoints.accounts.linking import Relation, write_links
from carbonpoints.accounts.opening import NewHolder, open_holders
from carbonpoints.accounts.schemes import Scheme, check_identifier, mask
from carbonpoints.accounts.work import lock_accounts
from carbonpoints.core.clock import now
from carbonpoints.core.programmes import ProgrammeSettings
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.posting import write_books


@dataclass(frozen=True)
class BankLink:
    """A bank account of a holder."""

    account_id: int
    bank_account: str
    relation: Relation


@dataclass(frozen=True)
class DeclaredConsent:
    """A consent that a holder gave before the load."""

    account_id: int
    source: str
    covers_from: datetime
    channel: str


def open_accounts_in_bulk(
    session: Session, programme: ProgrammeSettings, holders: Sequence[NewHolder]
) -> list[int]:
    """Open an account for each person who has none yet, and return all their accounts in order.

    Every person has one identifier, checked here. Raises InvalidRequest, GuardianConsentNeeded, and
    OpenedMeanwhile when somebody else opens one of the accounts at the same time.
    """
    hashes = []
    for holder in holders:
        ((scheme, value),) = holder.identifiers.items()
        hashes.append(identities.hash_identity(programme.id, scheme, check_identifier(scheme, value)))
    known = identities.current_holders(session, hashes)
    new = {
        identity: holder for identity, holder in zip(hashes, holders, strict=True) if identity not in known
    }
    books = open_holders(session, programme, "person", list(new.values()))
    known |= {identity: book.account_id for identity, book in zip(new, books, strict=True)}
    return [known[identity] for identity in hashes]


def link_in_bulk(session: Session, programme: ProgrammeSettings, links: Sequence[BankLink]) -> int:
    """Link bank accounts to their holders and return how many links are new.

    Raises InvalidRequest, NotFound, BankAccountTaken, BankAccountLinkedOtherwise, AccountClosed, AccountMerged.
    """
    wanted = {}
    for link in links:
        number = check_identifier(Scheme.BANK_ACCOUNT, link.bank_account, field="bank_account")
        identity = identities.hash_identity(programme.id, Scheme.BANK_ACCOUNT, number)
        wanted[identity, link.account_id] = (link.relation.value, mask(Scheme.BANK_ACCOUNT, number))
    works = lock_accounts(session, programme.id, {account_id for _, account_id in wanted})
    for work in works.values():
        work.refuse_unless("open", "frozen")
    claims = [(identity, account_id, relation) for (identity, account_id), (relation, _) in wanted.items()]
    at = now()
    found = identities.claim_bank_accounts(session, claims, at)
    for identity, account_id, relation in claims:
        if account_id not in found[identity]:
            raise BankAccountTaken
        if found[identity][account_id] != relation:
            raise BankAccountLinkedOtherwise
    new = write_links(session, [(*claim, wanted[claim[0], claim[1]][1]) for claim in claims], at)
    for account_id, identity in new:
        relation, _ = wanted[identity, account_id]
        works[account_id].decide(DecisionKind.IDENTIFIER, {"linked": relation})
    write_books(session, [work.book for work in works.values()])
    return len(new)


def consent_in_bulk(
    session: Session, programme: ProgrammeSettings, consents: Sequence[DeclaredConsent]
) -> int:
    """Record declared consents to the texts offered now and return how many are new.

    Where the same source is consented to from the same instant or an earlier one, nothing changes; where the holder
    has withdrawn it, the consent is left out, for a load repeats what was said before and undoes nothing. Raises
    KeyError for a source that the programme does not have, ValueError for an instant to come, NotFound,
    GuardianConsentNeeded, AccountClosed, AccountMerged.
    """
    works = lock_accounts(session, programme.id, {consent.account_id for consent in consents})
    for work in works.values():
        work.refuse_unless("open", "frozen")
    last = dict(last_words(session, list(works)))
    words = []
    for consent in consents:
        work, key = works[consent.account_id], (consent.account_id, consent.source)
        if consent.covers_from > work.moment.booked_at:
            raise ValueError(
                f"the consent of account {consent.account_id} would cover acts from an instant to come"
            )
        said = last.get(key)
        if said is not None and (
            said.action == WITHDRAWN or (said.covers_from and said.covers_from <= consent.covers_from)
        ):
            continue
        version = programme.consent_sources[consent.source].offered.version
        word = ConsentWord(GIVEN, consent.covers_from, version, consent.channel, work.moment.booked_at)
        last[key] = word
        words.append((work, consent.source, word))
    record_words(session, words, declared=True)
    write_books(session, [work.book for work in works.values()])
    return len(words)
