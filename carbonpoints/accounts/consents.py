"""Consent: given and withdrawn source by source, never by default (M11).

Both are decisions of the account, in the order of its journal, so that a replay decides every event under the
consent that was in force then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, BigInteger, any_, literal, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from carbonpoints.accounts.access import reading_account, require_role
from carbonpoints.accounts.errors import (
    ConsentNotGiven,
    ConsentTextOutdated,
    ConsentWithdrawn,
    GuardianConsentNeeded,
)
from carbonpoints.accounts.models import Consent, Holder
from carbonpoints.accounts.opening import is_minor_on
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.work import AccountView, Work, open_work, refuse_future
from carbonpoints.core import audit
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import transaction
from carbonpoints.core.errors import FieldError, InvalidRequest
from carbonpoints.core.programmes import ConsentSource
from carbonpoints.core.roles import Role
from carbonpoints.ledger.chart import DecisionKind

GIVEN, WITHDRAWN = "given", "withdrawn"


@dataclass(frozen=True)
class ConsentWord:
    """What a holder said about one source."""

    action: str
    """`given` or `withdrawn`."""
    covers_from: datetime | None
    """Acts from this instant are covered; None when withdrawn."""
    text_version: str
    channel: str
    recorded_at: datetime


@dataclass(frozen=True)
class ConsentState:
    """A source of the programme and what the holder last said about it."""

    source: ConsentSource
    last: ConsentWord | None
    """None where the holder was never asked or never answered."""

    @property
    def state(self) -> str:
        """`given`, `withdrawn` or `not_given`."""
        return self.last.action if self.last else "not_given"


@dataclass(frozen=True)
class ConsentAnswer:
    """One source after the call, and the account with its balances."""

    consent: ConsentState
    account: AccountView


def list_consents(*, caller: Caller, account_id: int, purpose: str | None) -> Sequence[ConsentState]:
    """Return every source of the account's programme with the text that is offered and the holder's last word."""
    with reading_account(caller=caller, account_id=account_id, action="consents.read", purpose=purpose) as (
        session,
        head,
    ):
        programme = programme_settings(session, head.programme_id)
        last = last_words(session, [account_id])
        return [
            ConsentState(source, last.get((account_id, code)))
            for code, source in programme.consent_sources.items()
        ]


def record_consent(
    *,
    caller: Caller,
    account_id: int,
    source: str,
    text_version: str,
    channel: str,
    covers_from: datetime | None = None,
    reason: str | None = None,
) -> ConsentAnswer:
    """Give consent, or declare with `covers_from` and `reason` one that was given earlier.

    Raises like `give_consent` and `declare_consent`, and InvalidRequest when only one of the two is there.
    """
    if covers_from is None and reason is None:
        return give_consent(
            caller=caller, account_id=account_id, source=source, text_version=text_version, channel=channel
        )
    if covers_from is None or reason is None:
        missing = "covers_from" if covers_from is None else "reason"
        raise InvalidRequest(fields=[FieldError(missing, "required", "Missing data for required field.")])
    return declare_consent(
        caller=caller,
        account_id=account_id,
        source=source,
        text_version=text_version,
        channel=channel,
        covers_from=covers_from,
        reason=reason,
    )


def give_consent(
    *, caller: Caller, account_id: int, source: str, text_version: str, channel: str
) -> ConsentAnswer:
    """Give consent for one source, as the customer in person, to the text that is offered now.

    Acts are covered from the instant the text names, by default from now; where the same source is already
    consented to, from the instant of the earlier consent, for coverage was never interrupted. Giving it twice to
    the same text changes nothing. Raises ConsentTextOutdated, GuardianConsentNeeded, AccountClosed, AccountMerged,
    InvalidRequest.
    """
    require_role(caller, Role.CUSTOMER)
    with transaction() as session:
        work = open_work(session, caller, account_id)
        definition = _source(work, source)
        work.refuse_unless("open", "frozen")
        offered = definition.offered
        if text_version != offered.version:
            raise ConsentTextOutdated(params={"offered": offered.version})
        last = last_words(session, [account_id]).get((account_id, source))
        if last is not None and last.action == GIVEN and last.text_version == text_version:
            return ConsentAnswer(ConsentState(definition, last), work.view())
        given_at = work.moment.booked_at
        starts = [given_at, offered.covers_from, last.covers_from if last else None]
        word = ConsentWord(GIVEN, min(start for start in starts if start), text_version, channel, given_at)
        record_words(session, [(work, source, word)], declared=False)
        return ConsentAnswer(ConsentState(definition, word), work.write())


def declare_consent(
    *,
    caller: Caller,
    account_id: int,
    source: str,
    text_version: str,
    channel: str,
    covers_from: datetime,
    reason: str,
) -> ConsentAnswer:
    """Record a consent that the holder gave to the bank earlier, with the instant from which it covers acts.

    For core banking and operations only, with a reason, which the audit keeps. Raises ConsentTextOutdated for a
    text that the programme never had, ConsentWithdrawn where the holder's last word is a withdrawal, InvalidRequest
    for an instant to come, GuardianConsentNeeded, AccountClosed, AccountMerged.
    """
    require_role(caller, Role.CORE_BANKING, Role.OPERATIONS)
    with transaction() as session:
        work = open_work(session, caller, account_id)
        definition = _source(work, source)
        work.refuse_unless("open", "frozen")
        if text_version not in {text.version for text in definition.texts}:
            raise ConsentTextOutdated(params={"offered": definition.offered.version})
        refuse_future("covers_from", covers_from, work.moment.booked_at)
        last = last_words(session, [account_id]).get((account_id, source))
        if last is not None and last.action == WITHDRAWN:
            raise ConsentWithdrawn
        word = ConsentWord(GIVEN, covers_from, text_version, channel, work.moment.booked_at)
        (seq,) = record_words(session, [(work, source, word)], declared=True)
        audit.record(
            session,
            account_id=account_id,
            action="consent.declare",
            purpose=reason,
            detail={"account_seq": seq},
        )
        return ConsentAnswer(ConsentState(definition, word), work.write())


def withdraw_consent(*, caller: Caller, account_id: int, source: str, channel: str) -> ConsentAnswer:
    """Withdraw the consent for one source; from now on its events find no consent.

    The decision's trace says when the inputs of the source's events have to be gone: the retention clock starts.
    Withdrawing twice changes nothing. A frozen or closed account's holder can withdraw too. Raises
    ConsentNotGiven, InvalidRequest.
    """
    require_role(caller, Role.CUSTOMER)
    with transaction() as session:
        work = open_work(session, caller, account_id)
        definition = _source(work, source)
        last = last_words(session, [account_id]).get((account_id, source))
        if last is None:
            raise ConsentNotGiven
        if last.action == WITHDRAWN:
            return ConsentAnswer(ConsentState(definition, last), work.view())
        word = ConsentWord(WITHDRAWN, None, last.text_version, channel, work.moment.booked_at)
        record_words(session, [(work, source, word)], declared=False)
        return ConsentAnswer(ConsentState(definition, word), work.write())


def _source(work: Work, code: str) -> ConsentSource:
    definition = work.programme.consent_sources.get(code)
    if definition is None:
        raise InvalidRequest(
            fields=[FieldError("source", "unknown_consent_source", "The programme has no such source.")]
        )
    return definition


def last_words(session: Session, account_ids: Collection[int]) -> Mapping[tuple[int, str], ConsentWord]:
    """Return {(account, source): what its holder last said about it}."""
    query = (
        select(Consent)
        .where(Consent.account_id == any_(literal(list(account_ids), ARRAY(BigInteger))))
        .ext(distinct_on(Consent.account_id, Consent.source))
        .order_by(Consent.account_id, Consent.source, Consent.account_seq.desc())
    )
    return {
        (row.account_id, row.source): ConsentWord(
            row.action, row.covers_from, row.text_version, row.channel, row.recorded_at
        )
        for row in session.scalars(query)
    }


def _refuse_unguarded(session: Session, works: Sequence[Work]) -> None:
    today = {work.book.account_id: work.moment.local_date for work in works}
    unguarded = (
        select(Holder.account_id, Holder.born_on)
        .where(Holder.account_id == any_(literal(list(today), ARRAY(BigInteger))))
        .where(Holder.born_on.is_not(None), Holder.guardian_consent_at.is_(None))
    )
    for account_id, born_on in session.execute(unguarded):
        if born_on is not None and is_minor_on(born_on, today[account_id]):
            raise GuardianConsentNeeded


def consent_trace(source: ConsentSource, word: ConsentWord, *, declared: bool) -> dict[str, Any]:
    """Return what the decision keeps: enough for a replay, and from when the source's inputs are to be erased."""
    trace: dict[str, Any] = {"source": source.code, "action": word.action, "text_version": word.text_version}
    if word.covers_from is not None:
        trace |= {"covers_from": word.covers_from.isoformat(), "declared": declared}
    else:
        erase_from = word.recorded_at + timedelta(days=source.retention_days)
        trace |= {"erase_payloads_from": erase_from.isoformat()}
    return trace


_RECORD = text("""
INSERT INTO consent (account_id, account_seq, source, action, covers_from, text_version, channel, recorded_at)
SELECT * FROM unnest(CAST(:account_ids AS bigint[]), CAST(:seqs AS bigint[]), CAST(:sources AS text[]),
                     CAST(:actions AS text[]), CAST(:covers_from AS timestamptz[]), CAST(:versions AS text[]),
                     CAST(:channels AS text[]), CAST(:recorded_at AS timestamptz[]))
""")


def record_words(
    session: Session, words: Sequence[tuple[Work, str, ConsentWord]], *, declared: bool
) -> list[int]:
    """Decide consents given or withdrawn, keep them, and return the decisions' numbers in order.

    Raises GuardianConsentNeeded where a minor would give one without a guardian's; a minor may withdraw alone.
    """
    _refuse_unguarded(session, [work for work, _, word in words if word.action == GIVEN])
    seqs = [
        work.decide(
            DecisionKind.CONSENT,
            consent_trace(work.programme.consent_sources[code], word, declared=declared),
        )
        for work, code, word in words
    ]
    session.execute(
        _RECORD,
        {
            "account_ids": [work.book.account_id for work, _, _ in words],
            "seqs": seqs,
            "sources": [code for _, code, _ in words],
            "actions": [word.action for _, _, word in words],
            "covers_from": [word.covers_from for _, _, word in words],
            "versions": [word.text_version for _, _, word in words],
            "channels": [word.channel for _, _, word in words],
            "recorded_at": [word.recorded_at for _, _, word in words],
        },
    )
    return seqs
