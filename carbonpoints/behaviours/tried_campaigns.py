"""What each campaign made of an event that was tried out: as data, and as a sentence in English and in Chinese."""

from __future__ import annotations

from typing import Any

from carbonpoints.behaviours.offers import running_campaign
from carbonpoints.core.amounts import credits_text
from carbonpoints.core.sentences import Sentence
from carbonpoints.rules.tracing import CampaignResult, NoBonus

NO_BONUS: dict[NoBonus, Sentence] = {
    "no_award": Sentence(
        "the act earns no award that a bonus could be added to", "该行为未获得可附加奖励的积分"
    ),
    "not_in_segment": Sentence("the account or the act is not in its segment", "账户或行为不符合其客群条件"),
    "nothing_to_multiply": Sentence(
        "the rule gives no credits that it could multiply", "规则未给予可按倍数计算的积分"
    ),
    "cap_used_up": Sentence("one of its own caps is used up", "活动自身的上限已用完"),
    "ceiling_reached": Sentence(
        "campaigns before it have reached the ceiling", "顺序在前的活动奖励已达到叠加封顶值"
    ),
    "not_stacked": Sentence(
        "another campaign goes before it and does not go together with it", "另一活动优先适用,两者不可叠加"
    ),
}


def tried_campaign(result: CampaignResult) -> dict[str, Any]:
    """Return a campaign and what it made of an event, in the shape of `TriedCampaignSchema`."""
    campaign = result.boost.definition
    return {
        **vars(running_campaign(result.boost, {})),
        "applies": result.applies,
        "values": result.values,
        "priority": campaign.priority,
        "stacking": campaign.stacking,
        "ceiling_millicredits": campaign.ceiling_millicredits,
        "caps": [
            {**vars(cap), "millicredits_left": left}
            for cap, left in zip(campaign.caps, result.caps_left, strict=True)
        ],
        "amount_millicredits": result.amount_millicredits,
        "reason": result.reason,
        "sentence": _sentence(result)._asdict(),
    }


def _sentence(result: CampaignResult) -> Sentence:
    campaign = result.boost.definition
    en, zh = f"The campaign “{campaign.name_en}” gives", f"活动“{campaign.name_zh}”"
    if result.reason is None:
        amount = credits_text(result.amount_millicredits)
        return Sentence(f"{en} a bonus of {amount} credits.", f"{zh}奖励 {amount} 积分。")
    why = NO_BONUS[result.reason]
    return Sentence(f"{en} nothing: {why.en}.", f"{zh}不给予奖励:{why.zh}。")
