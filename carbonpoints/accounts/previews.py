"""What becomes of an account's credits when it is closed or not used, said beforehand (M2).

Nothing happens to an account for not being used: there is no such status, and no flow that would take its credits.
They end as all credits do, each lot on its own date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from carbonpoints.accounts.access import reading_account
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.status import closing_refusal
from carbonpoints.core.amounts import credits_text
from carbonpoints.core.auth import Caller
from carbonpoints.core.sentences import Sentence
from carbonpoints.ledger.queries import Balances, Ending, read_balances, read_endings


@dataclass(frozen=True)
class Closure:
    """What closing the account now would do."""

    account_id: int
    balances: Balances
    forfeited_millicredits: int
    """What is available or pending, and would be lost."""
    sentence: Sentence
    refusal: str | None
    """Code of what stands in the way; None when the account can be closed."""


@dataclass(frozen=True)
class Dormancy:
    """What not using the account does."""

    account_id: int
    balances: Balances
    forfeited_millicredits: int
    """Always 0."""
    endings: Sequence[Ending]
    sentence: Sentence


def preview_closure(*, caller: Caller, account_id: int, purpose: str | None) -> Closure:
    """Say what closing the account now would do to its credits."""
    with reading_account(caller=caller, account_id=account_id, action="closure.preview", purpose=purpose) as (
        session,
        head,
    ):
        programme = programme_settings(session, head.programme_id)
        balances = read_balances(session, account_id, programme.calendar, None)
        refusal = closing_refusal(session, caller, head.status, account_id, balances.held_millicredits)
        forfeited = balances.available_millicredits + balances.pending_millicredits
        return Closure(
            account_id, balances, forfeited, _closure_sentence(forfeited), refusal.code if refusal else None
        )


def preview_dormancy(*, caller: Caller, account_id: int, purpose: str | None) -> Dormancy:
    """Say what becomes of the account's credits while nobody uses it: they keep their last dates."""
    with reading_account(
        caller=caller, account_id=account_id, action="dormancy.preview", purpose=purpose
    ) as (session, head):
        calendar = programme_settings(session, head.programme_id).calendar
        balances = read_balances(session, account_id, calendar, None)
        endings = read_endings(session, account_id, calendar.business_date(balances.as_of))
        return Dormancy(account_id, balances, 0, endings, _dormancy_sentence(endings))


def _closure_sentence(forfeited_millicredits: int) -> Sentence:
    amount = credits_text(forfeited_millicredits)
    return Sentence(
        f"Closing is final: {amount} credits that are available or pending would be lost without compensation.",
        f"销户后不可恢复:可用和待生效的 {amount} 积分将作废,不予补偿。",
    )


def _dormancy_sentence(endings: Sequence[Ending]) -> Sentence:
    en, zh = "Not using the account takes nothing from it", "账户长期不使用不会被扣除积分"
    if not endings:
        return Sentence(f"{en}; it has no credits that could end.", f"{zh};目前没有会到期的积分。")
    amount = credits_text(sum(ending.amount_millicredits for ending in endings))
    first, day = credits_text(endings[0].amount_millicredits), endings[0].expires_on.isoformat()
    return Sentence(
        f"{en}: its {amount} credits keep their last dates. The next to end are {first} credits, after {day}.",
        f"{zh}:现有 {amount} 积分的有效期不变,其中 {first} 积分最先到期,最后可用日为 {day}。",
    )
