"""What each behaviour is worth to one customer today: rule, caps and what is left of them, consent."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from carbonpoints.accounts.access import consents_in_force, reading_account
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.behaviours import usage_store
from carbonpoints.core import clock
from carbonpoints.core.amounts import plain
from carbonpoints.core.auth import Caller
from carbonpoints.rules.campaigns import Boost, facts_of
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.definitions import CapDefinition
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.usage import UsageBook, UsageRow


@dataclass(frozen=True)
class CapLeft:
    """A cap, and what this account has left of it in the running period; null where it does not limit."""

    code: str
    window: str
    count: int | None
    count_left: int | None
    mg: int | None
    mg_left: int | None
    millicredits: int | None
    millicredits_left: int | None


@dataclass(frozen=True)
class RunningCampaign:
    """A campaign of today for a behaviour: what it gives, in words and figures, and to whom."""

    code: str
    name_en: str
    name_zh: str
    text_en: str
    text_zh: str
    segment: str
    """The condition on account and act, in the expression language; empty for everybody."""
    applies: bool | None
    """Whether this account is meant; None where it depends on the act."""
    multiplier: str
    bonus_millicredits: int
    valid_from: datetime
    valid_to: datetime


@dataclass(frozen=True)
class Task:
    """One behaviour as a customer sees it."""

    behaviour: str
    name_en: str
    name_zh: str
    behaviour_class: str
    title_en: str
    title_zh: str
    label: str
    grant_millicredits: int
    millicredits_per_mg: str
    posts_reduction: bool
    """Whether awards post an estimated reduction beside credits."""
    expiry_months: int
    pending_days: int
    caps: Sequence[CapLeft]
    """The rule's own caps, and those it shares with other behaviours."""
    campaigns: Sequence[RunningCampaign]
    consent_source: str
    consent_needed: bool
    """Whether the customer must still consent before this behaviour earns anything."""


def list_tasks(*, caller: Caller, account_id: int | None, purpose: str | None) -> list[Task]:
    """Return what every behaviour with a rule in force is worth to the account today."""
    instant = clock.now()
    with reading_account(caller=caller, account_id=account_id, action="tasks.read", purpose=purpose) as (
        session,
        head,
    ):
        settings = programme_settings(session, head.programme_id)
        catalogue = load_catalogue(session, head.programme_id)
        today = settings.calendar.local_date(instant)
        given = consents_in_force(session, [head.account_id])
        offers = [
            pinned.compiled
            for code in sorted(catalogue.behaviours)
            if (pinned := catalogue.rule_at(code, instant)) is not None and pinned.compiled is not None
        ]
        ranges = usage_store.ranges_of((head.account_id, compiled, today) for compiled in offers)
        usage = usage_store.load_ranges(session, ranges).get(head.account_id) or UsageBook()
        usage.opened_on = settings.calendar.local_date(head.opened_at)
        return [_task(compiled, usage, today, given=(head.account_id, given)) for compiled in offers]


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)


def caps_left(compiled: CompiledRule, usage: UsageBook, today: date) -> list[CapLeft]:
    """Return each cap of a rule, shared ones too, with what an account has left of it on a date."""
    return [_cap_left(cap, used) for cap, used in compiled.used(usage, today)]


def _task(
    compiled: CompiledRule, usage: UsageBook, today: date, *, given: tuple[int, Container[tuple[int, str]]]
) -> Task:
    behaviour, rule = compiled.behaviour, compiled.rule
    account_id, consents = given
    boosts = compiled.boosts.ordered if compiled.boosts is not None else ()
    return Task(
        behaviour=behaviour.code,
        name_en=behaviour.name_en,
        name_zh=behaviour.name_zh,
        behaviour_class=behaviour.behaviour_class,
        title_en=rule.title_en,
        title_zh=rule.title_zh,
        label=rule.label,
        grant_millicredits=rule.credits.grant_millicredits,
        millicredits_per_mg=plain(rule.credits.millicredits_per_mg),
        posts_reduction=rule.purpose == "reduction",
        expiry_months=rule.expiry_months,
        pending_days=rule.pending_days,
        caps=caps_left(compiled, usage, today),
        campaigns=[_running(boost, facts_of(usage, today)) for boost in boosts],
        consent_source=behaviour.consent_source,
        consent_needed=(account_id, behaviour.consent_source) not in consents,
    )


def _cap_left(cap: CapDefinition, used: UsageRow) -> CapLeft:
    return CapLeft(
        code=cap.code,
        window=cap.window,
        count=cap.count,
        count_left=_left(cap.count, used.awards),
        mg=cap.mg,
        mg_left=_left(cap.mg, used.reduction_mg),
        millicredits=cap.millicredits,
        millicredits_left=_left(cap.millicredits, used.amount_millicredits),
    )


def _running(boost: Boost, facts: Mapping[str, object]) -> RunningCampaign:
    campaign = boost.definition
    return RunningCampaign(
        code=campaign.code,
        name_en=campaign.name_en,
        name_zh=campaign.name_zh,
        text_en=campaign.text_en,
        text_zh=campaign.text_zh,
        segment=campaign.segment,
        applies=None if boost.asks_the_act else boost.applies(facts),
        multiplier=plain(campaign.multiplier),
        bonus_millicredits=campaign.bonus_millicredits,
        valid_from=campaign.valid_from,
        valid_to=campaign.valid_to,
    )
