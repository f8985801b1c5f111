"""What each behaviour is worth to one customer today: rule, caps and budgets and what is left of them, consent."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from carbonpoints.accounts.access import consents_in_force, reading_account
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.behaviours import usage_store
from carbonpoints.behaviours.prospects import CapLeft, UsedUp, bonus_short_of, caps_left, prospect_of
from carbonpoints.core import clock
from carbonpoints.core.amounts import plain
from carbonpoints.core.auth import Caller
from carbonpoints.core.sentences import Sentence
from carbonpoints.rules.budget_views import read_budgets_left
from carbonpoints.rules.budgets import BudgetLeft
from carbonpoints.rules.campaigns import Boost, facts_of
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.usage import UsageBook


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
    budget: UsedUp | None = None
    """The budget that covers no bonus of it today."""


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
    earns_credits: bool
    """Whether an act of today can still earn credits, for all that caps and budgets have left."""
    earns_reduction: bool
    """Whether an act of today can still earn an estimated reduction."""
    used_up_cap: str | None
    """The cap because of which it cannot."""
    used_up_budget: UsedUp | None
    """The budget because of which it cannot."""
    sentence: Sentence | None
    """What is to be said of a cap or budget that is used up."""
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
        consents = {source for account_id, source in given if account_id == head.account_id}
        booked_on = settings.calendar.business_date(instant)
        budgets = read_budgets_left(session, settings, catalogue.budgets, booked_on)
        return [_task(compiled, usage, today, consents, budgets) for compiled in offers]


def _task(
    compiled: CompiledRule,
    usage: UsageBook,
    today: date,
    consents: Container[str],
    budgets: Sequence[BudgetLeft],
) -> Task:
    behaviour, rule = compiled.behaviour, compiled.rule
    caps = caps_left(compiled, usage, today)
    prospect = prospect_of(rule, caps, budgets)
    rows = compiled.rows(usage, today)
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
        caps=caps,
        campaigns=[
            replace(
                running_campaign(boost, facts_of(usage, today)),
                budget=bonus_short_of(boost, rows, prospect, budgets),
            )
            for boost in boosts
        ],
        earns_credits=prospect.earns_credits,
        earns_reduction=prospect.earns_reduction,
        used_up_cap=prospect.cap,
        used_up_budget=prospect.budget,
        sentence=prospect.sentence,
        consent_source=behaviour.consent_source,
        consent_needed=behaviour.consent_source not in consents,
    )


def running_campaign(boost: Boost, facts: Mapping[str, object]) -> RunningCampaign:
    """Return a campaign as customers see it, and whether it is for an account of which these facts are known."""
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
