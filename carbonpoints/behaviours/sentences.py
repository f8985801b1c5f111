"""What became of an event, as one sentence in English and one in Chinese."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Protocol

from carbonpoints.behaviours.dispositions import Disposition
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


NOTHING: dict[Disposition, Sentence] = {
    Disposition.ACCOUNT_FROZEN: Sentence("the account was frozen", "账户处于冻结状态"),
    Disposition.ACCOUNT_CLOSED: Sentence("the account was closed", "账户已销户"),
    Disposition.TOO_LATE: Sentence(
        "it arrived after the time for late reports", "上报时间超过允许的延迟期限"
    ),
    Disposition.CLAIMED_ELSEWHERE: Sentence(
        "the same act had been reported before under another event", "同一行为此前已由另一事件申报"
    ),
    Disposition.UNDER_REVIEW: Sentence("it is under review", "该事件正在核查"),
}
PROBLEMS: dict[str, Sentence] = {
    "no_rule_in_force": Sentence("no rule for it was in force on that day", "当日没有有效规则"),
    "factor_not_valid": Sentence(
        "a factor that its rule needs was not valid on that day", "规则所需的排放因子当日无效"
    ),
    "not_computable": Sentence(
        "its rule could not be computed from what was reported", "按上报的数据无法计算规则公式"
    ),
    "nothing_earned": Sentence("its rule gives nothing for it", "规则对其不给予积分"),
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
    Disposition.CORRECTION_NOT_ENABLED: Sentence(
        "Nothing was decided: corrections and reversals are not enabled.", "未作处理:尚未启用更正与冲正。"
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
    names = (
        Sentence(pinned.behaviour.name_en, pinned.behaviour.name_zh) if pinned else Sentence("Act", "行为")
    )
    day = decision.local_date.isoformat()
    if disposition in {Disposition.CREDITED, Disposition.PARTLY_CREDITED}:
        return _earned(decision, names, pinned=pinned, estimate_mg=estimate_mg, cap=cap, boosts=boosts)
    if disposition is Disposition.BUDGET_EXHAUSTED:
        return _budget_used_up(decision, names, budget)
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
