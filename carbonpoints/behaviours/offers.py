"""What each behaviour is worth to one customer today: rule, caps and what is left of them, consent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.orm import Session

from carbonpoints.accounts.access import consents_in_force, reading_account
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.behaviours import usage_store
from carbonpoints.core import clock
from carbonpoints.core.amounts import plain
from carbonpoints.core.auth import Caller
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.definitions import BehaviourDefinition, RuleDefinition
from carbonpoints.rules.usage import UsageBook, period_start


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
            (pinned.behaviour, pinned.compiled.rule)
            for code in sorted(catalogue.behaviours)
            if (pinned := catalogue.rule_at(code, instant)) is not None and pinned.compiled is not None
        ]
        usage = _usage_today(session, head.account_id, [rule for _, rule in offers], today)
        return [
            _task(behaviour, rule, usage, today, (head.account_id, behaviour.consent_source) in given)
            for behaviour, rule in offers
        ]


def _usage_today(
    session: Session, account_id: int, rules: Sequence[RuleDefinition], today: date
) -> UsageBook:
    ranges: dict[tuple[int, str, str], tuple[date, date]] = {
        (account_id, rule.code, cap.window): (
            period_start(cap.window, today),
            period_start(cap.window, today),
        )
        for rule in rules
        for cap in rule.caps
        if cap.window != "event"
    }
    return usage_store.load_ranges(session, ranges).get(account_id) or UsageBook()


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)


def _task(
    behaviour: BehaviourDefinition,
    rule: RuleDefinition,
    usage: UsageBook,
    today: date,
    has_consent: bool,  # noqa: FBT001 - a private function with one caller
) -> Task:
    caps = []
    for cap in rule.caps:
        start = today if cap.window == "event" else period_start(cap.window, today)
        used = usage.row(rule.code, cap.window, start)
        caps.append(
            CapLeft(
                code=cap.code,
                window=cap.window,
                count=cap.count,
                count_left=_left(cap.count, used.awards),
                mg=cap.mg,
                mg_left=_left(cap.mg, used.reduction_mg),
                millicredits=cap.millicredits,
                millicredits_left=_left(cap.millicredits, used.amount_millicredits),
            )
        )
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
        consent_source=behaviour.consent_source,
        consent_needed=not has_consent,
    )
