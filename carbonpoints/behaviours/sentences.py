"""What became of an event, as one sentence in English and one in Chinese."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Protocol

from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.undone import TakenBack
from carbonpoints.core.amounts import credits_text, grams_text
from carbonpoints.core.sentences import Sentence
from carbonpoints.rules.campaigns import CampaignDefinition
from carbonpoints.rules.catalogue import PinnedRule


class Ended(Protocol):
    """How an event ended: a stored decision, or what would be one."""

    @property
    def disposition(self) -> int:
        """The code of its end."""

    @property
    def local_date(self) -> date:
        """The date of the act in the programme's zone."""

    @property
    def reduction_mg(self) -> int:
        """What was posted."""

    @property
    def amount_millicredits(self) -> int:
        """What was awarded."""

    @property
    def trace(self) -> Any:
        """What the arithmetic needs beyond inputs and versions, as `Outcome` says."""


OTHER_PROGRAMME = "other_programme"
"""Why an act earned nothing that another programme has credited."""
NOTHING: dict[Disposition, Sentence] = {
    Disposition.ACCOUNT_FROZEN: Sentence("the account was frozen", "账户处于冻结状态"),
    Disposition.ACCOUNT_CLOSED: Sentence("the account was closed", "账户已销户"),
    Disposition.TOO_LATE: Sentence(
        "it arrived after the time for late reports; you can file an appeal",
        "上报时间超过允许的延迟期限,您可以提出申诉",
    ),
    Disposition.CLAIMED_ELSEWHERE: Sentence(
        "the same act had been reported before under another event", "同一行为此前已由另一事件申报"
    ),
    Disposition.REVERSED: Sentence("it had been taken back before it arrived", "该事件到达之前已被冲正"),
}
REASONS: dict[str, Sentence] = {
    "refunded": Sentence("it was refunded", "该笔已退款"),
    "cancelled": Sentence("it was cancelled", "该行为已取消"),
    "booked_in_error": Sentence("it had been booked in error", "该笔记录有误"),
    "fraud": Sentence("it was found to be fraud", "该行为被认定为欺诈"),
    "corrected": Sentence("its source corrected it", "来源已更正"),
    "forfeited": Sentence(
        "a check found that it does not count by the rules of the programme",
        "经核查,按碳普惠项目规则不予计入",
    ),
}
"""Why an event was taken back."""
PROBLEMS: dict[str, Sentence] = {
    "no_rule_in_force": Sentence("no rule for it was in force on that day", "当日没有有效规则"),
    "factor_not_valid": Sentence(
        "a factor that its rule needs was not valid on that day", "规则所需的排放因子当日无效"
    ),
    "not_computable": Sentence(
        "its rule could not be computed from what was reported", "按上报的数据无法计算规则公式"
    ),
    "nothing_earned": Sentence("its rule gives nothing for it", "规则对其不给予积分"),
    "not_reversible": Sentence(
        "what it was to take back is a reversal itself", "拟冲正的对象本身即为一笔冲正"
    ),
}
UNDECIDED: dict[Disposition, Sentence] = {
    Disposition.NO_CONSENT: Sentence(
        "Nothing was decided: no consent covers this source at that time. Report it again once consent is given.",
        "未作处理:当时没有覆盖该数据来源的授权。取得授权后可重新上报。",
    ),
    Disposition.UNKNOWN_ACCOUNT: Sentence(
        "Nothing was decided: the subject has no account here.", "未作处理:该主体在此没有账户。"
    ),
    Disposition.UNKNOWN_BEHAVIOUR: Sentence(
        "Nothing was decided: this behaviour is not known here, or not from this source.",
        "未作处理:此处没有该行为类型,或该来源不得上报该行为。",
    ),
    Disposition.FUTURE: Sentence(
        "Nothing was decided: the act lies in the future.", "未作处理:行为时间在未来。"
    ),
    Disposition.INVALID: Sentence("Nothing was decided: a field was wrong.", "未作处理:字段有误。"),
    Disposition.AWAITING_ORIGINAL: Sentence(
        "Nothing was decided: the event that it takes back has not come. When it comes, it earns nothing.",
        "未作处理:所冲正的事件尚未到达;该事件到达后不会获得积分。",
    ),
}


def sentence_for(
    decision: Ended,
    *,
    pinned: PinnedRule | None,
    estimate_mg: int | None,
    reason: str | None,
    cap: str | None,
    boosts: Sequence[CampaignDefinition],
    budget: str | None,
) -> Sentence:
    """Return the sentence for a decided event."""
    disposition = Disposition(decision.disposition)
    names = names_of(pinned)
    day = decision.local_date.isoformat()
    if disposition in {Disposition.CREDITED, Disposition.PARTLY_CREDITED}:
        return _earned(decision, names, pinned=pinned, estimate_mg=estimate_mg, cap=cap, boosts=boosts)
    if disposition is Disposition.BUDGET_EXHAUSTED:
        return _budget_used_up(decision, names, budget)
    if reason == OTHER_PROGRAMME:
        why = Sentence(
            f"the programme “{decision.trace['name_en']}” has credited the same act",
            f"同一行为已由“{decision.trace['name_zh']}”计入",
        )
    else:
        why = _why_nothing(disposition, pinned, reason, cap)
    return Sentence(
        f"{names.en} on {day} earned nothing: {why.en}.", f"{day} 的{names.zh}未获得积分:{why.zh}。"
    )


def _budget_used_up(decision: Ended, names: Sentence, budget: str | None) -> Sentence:
    """Say that credits ran out, and that a reduction counts all the same."""
    day = decision.local_date.isoformat()
    en = f"{names.en} on {day} earned no credits: the budget {budget} was used up"
    zh = f"{day} 的{names.zh}未获得积分:预算 {budget} 已用完"
    if decision.reduction_mg:
        grams = grams_text(decision.reduction_mg)
        en += f"; its estimated reduction of {grams} g CO2e counts all the same"
        zh += f";估算减排量 {grams} 克二氧化碳当量照常计入"
    return Sentence(f"{en}.", f"{zh}。")


def taken_back_sentence(taken: TakenBack, names: Sentence) -> Sentence:
    """Return the sentence for an event that was taken back, and for the reversal that did it."""
    day = (taken.original or taken.by).local_date.isoformat()
    on = taken.by.business_date.isoformat()
    if taken.disposition is Disposition.CORRECTED:
        return Sentence(
            f"{names.en} on {day} was corrected on {on}: the newer report counts.",
            f"{day} 的{names.zh}已于 {on} 更正,以新的上报为准。",
        )
    trace = taken.by.trace or {}
    why = REASONS[trace["reason"]]
    en = f"{names.en} on {day} was taken back on {on}: {why.en}"
    zh = f"{day} 的{names.zh}已于 {on} 冲正:{why.zh}"
    if taken.by.amount_millicredits or taken.by.reduction_mg:
        amount, grams = credits_text(taken.by.amount_millicredits), grams_text(taken.by.reduction_mg)
        en += f"; {amount} credits and {grams} g CO2e were taken back"
        zh += f";扣回 {amount} 积分、{grams} 克二氧化碳当量"
    if trace.get("charged"):
        due = credits_text(trace["charged"])
        en += f"; {due} credits that had been spent are due"
        zh += f";已使用的 {due} 积分应予追回"
    return Sentence(f"{en}.", f"{zh}。")


def under_review_sentence(decision: Ended, names: Sentence) -> Sentence:
    """Return the sentence for an event that is under review; it says nothing of why."""
    day, amount = decision.local_date.isoformat(), credits_text(decision.amount_millicredits)
    return Sentence(
        f"{names.en} on {day} is being checked against the rules of the programme: its {amount} credits are pending and "
        "what is left of them can be used once the check has ended well.",
        f"{day} 的{names.zh}正在按碳普惠项目规则进行核查:所获 {amount} 积分暂为待生效,核查通过后剩余部分可用。",
    )


def names_of(pinned: PinnedRule | None) -> Sentence:
    """Return what the act of a decision is called."""
    if pinned is None:
        return Sentence("Act", "行为")
    return Sentence(pinned.behaviour.name_en, pinned.behaviour.name_zh)


def _earned(
    decision: Ended,
    names: Sentence,
    *,
    pinned: PinnedRule | None,
    estimate_mg: int | None,
    cap: str | None,
    boosts: Sequence[CampaignDefinition],
) -> Sentence:
    day, amount = decision.local_date.isoformat(), credits_text(decision.amount_millicredits)
    en = f"{names.en} on {day} earned {amount} credits"
    zh = f"{day} 的{names.zh}获得 {amount} 积分"
    rule = pinned.rule if pinned is not None else None
    if decision.reduction_mg:
        grams = grams_text(decision.reduction_mg)
        en += f" and an estimated reduction of {grams} g CO2e"
        zh += f",估算减排量 {grams} 克二氧化碳当量"
    elif estimate_mg:
        grams = grams_text(estimate_mg)
        en += f"; the estimate of {grams} g CO2e does not count as a reduction"
        zh += f";估算值 {grams} 克二氧化碳当量不计入减排量"
    else:
        en += " and no reduction"
        zh += ",不计减排量"
    if rule is not None:
        en += f", by the rule “{rule.title_en}”"
        zh += f",依据规则“{rule.title_zh}”"
        if rule.label:
            en += f" ({rule.label})"
            zh += f"({rule.label})"
    for campaign in boosts:
        en += f", with a bonus of the campaign “{campaign.name_en}”"
        zh += f",含活动“{campaign.name_zh}”奖励"
    if cap is not None:
        en += f"; the cap {cap} cut the rest"
        zh += f";其余部分因上限 {cap} 未计"
    return Sentence(f"{en}.", f"{zh}。")


def _why_nothing(
    disposition: Disposition, pinned: PinnedRule | None, reason: str | None, cap: str | None
) -> Sentence:
    if disposition == Disposition.CAPPED:
        return Sentence(f"the cap {cap} was used up", f"上限 {cap} 已用完")
    if disposition in NOTHING:
        return NOTHING[disposition]
    rule = pinned.rule if pinned is not None else None
    for condition in rule.eligibility if rule is not None else ():
        if condition.code == reason:
            return Sentence(condition.text_en.rstrip("."), condition.text_zh.rstrip("。"))
    return PROBLEMS.get(reason or "", PROBLEMS["nothing_earned"])
