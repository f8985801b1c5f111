"""Shared caps and campaigns against a plain model that remembers every award and adds them up afresh."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from carbonpoints.rules.campaigns import CampaignCapDefinition, CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.definitions import CapDefinition
from carbonpoints.rules.usage import UsageBook
from tests.rules.engine_world import FACTOR_G_PER_KM, cap, pays, settle
from tests.rules.test_campaigns import FROM, TO, ride_rule

FIRST_DAY = date(2024, 2, 27)
RULES = ("bus", "tram")
GRANT_MILLICREDITS = 700


@dataclass(frozen=True)
class Act:
    rule: str
    day: date
    metres: int


@dataclass(frozen=True)
class Award:
    act: Act
    mg: int
    millicredits: int
    bonuses: dict[str, int]


@dataclass
class Model:
    own_caps: dict[str, list[CapDefinition]]
    shared_caps: list[SharedCapDefinition]
    campaigns: list[CampaignDefinition]
    awards: list[Award] = field(default_factory=list)

    def expect(self, act: Act) -> tuple[int, int, dict[str, int]]:
        """Return mg, all millicredits and the bonuses among them, and remember the award."""
        caps = [(each, [act.rule]) for each in self.own_caps[act.rule]]
        caps += [(each.cap, list(RULES)) for each in self.shared_caps]
        mg = floor(Fraction(act.metres) * Fraction(FACTOR_G_PER_KM))
        cut = False
        for limit, rules in caps:
            used = self._within(limit.window, act.day, rules)
            if limit.count is not None and len(used) >= limit.count:
                return 0, 0, {}
            if limit.mg is not None:
                room = max(0, limit.mg - sum(award.mg for award in used))
                mg, cut = min(mg, room), cut or mg > room
        millicredits = mg // 100 + GRANT_MILLICREDITS
        for limit, rules in caps:
            if limit.millicredits is not None:
                used = self._within(limit.window, act.day, rules)
                room = max(0, limit.millicredits - sum(award.millicredits for award in used))
                millicredits, cut = min(millicredits, room), cut or millicredits > room
        if not mg and not millicredits:
            return 0, 0, {}
        bonuses = self._bonuses(act, millicredits) if millicredits or not cut else {}
        self.awards.append(Award(act, mg, millicredits, bonuses))
        return mg, millicredits + sum(bonuses.values()), bonuses

    def _within(self, window: str, day: date, rules: list[str]) -> list[Award]:
        def alike(other: date) -> bool:
            return other == day if window == "day" else (other.year, other.month) == (day.year, day.month)

        return [award for award in self.awards if award.act.rule in rules and alike(award.act.day)]

    def _bonuses(self, act: Act, millicredits: int) -> dict[str, int]:
        offers: list[tuple[CampaignDefinition, int]] = []
        for campaign in sorted(self.campaigns, key=lambda each: (-each.priority, each.code)):
            offer = floor(millicredits * (Fraction(campaign.multiplier) - 1)) + campaign.bonus_millicredits
            for own in campaign.caps:
                used = self._within(own.window, act.day, list(RULES))
                given_before = sum(award.bonuses.get(campaign.code, 0) for award in used)
                offer = min(offer, own.millicredits - given_before)
            if offer > 0:
                offers.append((campaign, offer))
        if not offers:
            return {}
        stacking = offers[0][0].stacking
        alike = [(campaign, offer) for campaign, offer in offers if campaign.stacking == stacking]
        if stacking == "exclusive":
            return {alike[0][0].code: alike[0][1]}
        if stacking == "best_of":
            most = max(offer for _, offer in alike)
            return {next(campaign.code for campaign, offer in alike if offer == most): most}
        room = min(campaign.ceiling_millicredits or 0 for campaign, _ in alike)
        found = {}
        for campaign, offer in alike:
            if given_now := min(offer, room):
                found[campaign.code] = given_now
                room -= given_now
        return found


limits = st.one_of(
    st.builds(
        lambda window, count: cap(window, count=count), st.sampled_from(["day", "month"]), st.integers(1, 4)
    ),
    st.builds(
        lambda window, mg: cap(window, mg=mg), st.sampled_from(["day", "month"]), st.integers(1, 150_000)
    ),
    st.builds(
        lambda window, amount: cap(window, millicredits=amount),
        st.sampled_from(["day", "month"]),
        st.integers(1, 4_000),
    ),
)
shared = limits.map(
    lambda limit: SharedCapDefinition(
        code=f"shared_{limit.code}",
        name_en="",
        name_zh="",
        behaviours=RULES,
        valid_from=FROM,
        window=limit.window,  # type: ignore[arg-type]
        count=limit.count,
        mg=limit.mg,
        millicredits=limit.millicredits,
    )
)


@st.composite
def campaigns(draw: st.DrawFn) -> list[CampaignDefinition]:
    found = []
    for number in range(draw(st.integers(0, 4))):
        stacking: Any = draw(st.sampled_from(["exclusive", "best_of", "additive"]))
        multiplies = draw(st.booleans())
        own: Any = draw(st.none() | st.tuples(st.sampled_from(["day", "month"]), st.integers(1, 3_000)))
        found.append(
            CampaignDefinition(
                code=f"c{number}",
                name_en="",
                name_zh="",
                text_en="",
                text_zh="",
                behaviours=RULES,
                valid_from=FROM,
                valid_to=TO,
                multiplier=Decimal(draw(st.sampled_from(["1.5", "2", "3.33"]))) if multiplies else Decimal(1),
                bonus_millicredits=0 if multiplies else draw(st.integers(1, 2_000)),
                priority=draw(st.integers(0, 2)),
                stacking=stacking,
                ceiling_millicredits=draw(st.integers(1, 3_000)) if stacking == "additive" else None,
                samples=(),
                caps=(CampaignCapDefinition(code="own", window=own[0], millicredits=own[1]),) if own else (),
            )
        )
    return found


def by_code(found: list[CapDefinition]) -> list[CapDefinition]:
    return list({each.code: each for each in found}.values())


@given(
    own=st.fixed_dictionaries({rule: st.lists(limits, max_size=2).map(by_code) for rule in RULES}),
    shared_caps=st.lists(shared, max_size=2, unique_by=lambda each: each.code),
    boosts=campaigns(),
    acts=st.lists(
        st.builds(
            Act,
            st.sampled_from(RULES),
            st.integers(0, 4).map(lambda days: FIRST_DAY + timedelta(days=days)),
            st.integers(0, 3_000),
        ),
        min_size=1,
        max_size=14,
    ),
)
def test_the_engine_gives_what_the_plain_model_gives(
    own: dict[str, list[CapDefinition]],
    shared_caps: list[SharedCapDefinition],
    boosts: list[CampaignDefinition],
    acts: list[Act],
) -> None:
    model, usage = Model(own, shared_caps, boosts), UsageBook(opened_on=FIRST_DAY)
    grant = {"credits": pays("0.01", GRANT_MILLICREDITS)}
    rules = {
        code: ride_rule(*boosts, shared_caps=shared_caps, code=code, caps=tuple(own[code]), **grant)
        for code in RULES
    }
    for act in acts:
        km = f"{act.metres // 1000}.{act.metres % 1000:03}"
        outcome = settle(rules[act.rule], {"km": km}, usage, act.day)
        bonuses = (outcome.trace or {}).get("boosts", {})
        assert (outcome.reduction_mg, outcome.amount_millicredits, bonuses) == model.expect(act)
