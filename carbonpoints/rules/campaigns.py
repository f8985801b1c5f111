"""Caps that several behaviours share, and campaigns that boost what behaviours earn. Pure.

A boost gives bonus credits beside what the rule gives; it is marketing and never reduction (M13). Of the campaigns
that apply to an act the first in priority says how they stack:

- `exclusive`: it alone gives its bonus;
- `best_of`: of all that are `best_of`, the one that gives most;
- `additive`: all that are `additive` together, up to the least of their ceilings.

A campaign whose own caps leave nothing does not apply. A segment looks at facts about the account and at choices and
flags of the act alone: whatever else is known of a person, such as what they spend or hold, is no name there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from carbonpoints.rules.definitions import AttributeValue, BehaviourDefinition, CapDefinition
from carbonpoints.rules.language import FAILURES, Expression, Variable, compile_expression
from carbonpoints.rules.usage import Place, UsageBook, UsageRow

MULTIPLIER_MAX = 100
FACTS = {"weekday": Variable("number"), "days_since_opening": Variable("number", "day")}
"""What a segment may ask beside the act: the ISO weekday of its local date (Monday is 1), and the age of the account."""


def shared_scope(code: str) -> str:
    """Return under which the usage of a shared cap is kept."""
    return f"cap:{code}"


def campaign_scope(code: str) -> str:
    """Return under which the usage of a campaign is kept."""
    return f"campaign:{code}"


@dataclass(frozen=True, kw_only=True)
class SharedCapDefinition:
    """A limit per account and period that the awards of several behaviours use together."""

    code: str
    name_en: str
    name_zh: str
    behaviours: tuple[str, ...]
    valid_from: datetime
    valid_to: datetime | None = None
    window: Literal["day", "month", "year"]
    count: int | None = None
    mg: int | None = None
    millicredits: int | None = None

    @property
    def scope(self) -> str:
        """Under which its usage is kept."""
        return shared_scope(self.code)

    @property
    def cap(self) -> CapDefinition:
        """The limit as a rule's own caps have it."""
        return CapDefinition(
            code=self.code, window=self.window, count=self.count, mg=self.mg, millicredits=self.millicredits
        )


@dataclass(frozen=True, kw_only=True)
class CampaignCapDefinition:
    """The most that a campaign gives to one account in one event or period."""

    code: str
    window: Literal["event", "day", "month", "year"]
    millicredits: int


@dataclass(frozen=True, kw_only=True)
class CampaignSampleDefinition:
    """An award and what the campaign by itself must add to it, when nothing of its caps is used yet."""

    behaviour: str
    attributes: Mapping[str, AttributeValue]
    local_date: date
    opened_on: date
    amount_millicredits: int
    """What the rule gives."""
    bonus_millicredits: int


@dataclass(frozen=True, kw_only=True)
class CampaignDefinition:
    """A boost of some behaviours for a while: `multiplier` times what the rule gives, or a fixed bonus on top.

    `text_en` and `text_zh` tell a customer what is offered and to whom.
    """

    code: str
    name_en: str
    name_zh: str
    text_en: str
    text_zh: str
    behaviours: tuple[str, ...]
    valid_from: datetime
    valid_to: datetime
    segment: str = ""
    """A condition over FACTS and the choices and flags of the act; empty for everybody."""
    multiplier: Decimal = Decimal(1)
    bonus_millicredits: int = 0
    priority: int
    """The highest goes first; between equals the code."""
    stacking: Literal["exclusive", "best_of", "additive"]
    ceiling_millicredits: int | None = None
    """Of an additive campaign: the most that additive ones give together for one event."""
    caps: tuple[CampaignCapDefinition, ...] = ()
    samples: tuple[CampaignSampleDefinition, ...]

    @property
    def scope(self) -> str:
        """Under which its usage is kept."""
        return campaign_scope(self.code)


class Bonus(NamedTuple):
    """What one campaign gives for one act."""

    boost: Boost
    millicredits: int


def segment_variables(behaviour: BehaviourDefinition) -> dict[str, Variable]:
    """Return the names that a segment may use for acts of this behaviour."""
    attributes = {
        code: Variable(attribute.type, attribute.unit, nullable=attribute.nullable)
        for code, attribute in behaviour.attributes.items()
        if attribute.type == "flag" or attribute.choices
    }
    return attributes | FACTS


def facts_of(usage: UsageBook, day: date) -> dict[str, Decimal]:
    """Return FACTS about an account for an act on local date `day`."""
    age_days = max(0, (day - (usage.opened_on or day)).days)
    return {"weekday": Decimal(day.isoweekday()), "days_since_opening": Decimal(age_days)}


class Boost:
    """A campaign, compiled for one behaviour. Immutable."""

    def __init__(
        self, definition: CampaignDefinition, behaviour: BehaviourDefinition, places: Sequence[Place]
    ) -> None:
        self.definition = definition
        self._segment: Expression | None = None
        if definition.segment:
            self._segment = compile_expression(
                definition.segment, segment_variables(behaviour), expects="flag"
            )
        self._caps = [
            (places.index((definition.scope, cap.window)) if cap.window != "event" else -1, cap.millicredits)
            for cap in definition.caps
        ]
        self.places = sorted({place for place, _ in self._caps if place >= 0})
        """The rows that its awards are noted in."""
        self._extra = (definition.multiplier - 1).as_integer_ratio()

    def applies(self, facts: Mapping[str, object]) -> bool:
        """Whether the act and its account are in the segment; a condition without a value does not hold."""
        if self._segment is None:
            return True
        try:
            return self._segment.evaluate(facts) is True
        except FAILURES:
            return False

    @property
    def names(self) -> frozenset[str]:
        """What its segment looks at."""
        return self._segment.names if self._segment is not None else frozenset()

    @property
    def asks_the_act(self) -> bool:
        """Whether its segment looks at the act, not at the account alone."""
        return not self.names <= FACTS.keys()

    def offer(self, amount_millicredits: int, rows: Sequence[UsageRow]) -> int:
        """Return its bonus on what the rule gives, after its own caps; `rows` end with the row of a single event."""
        return min([self.uncapped(amount_millicredits), *self.caps_left(rows)])

    def uncapped(self, amount_millicredits: int) -> int:
        """Return its bonus on what the rule gives, before its own caps."""
        numerator, denominator = self._extra
        return amount_millicredits * numerator // denominator + self.definition.bonus_millicredits

    def caps_left(self, rows: Sequence[UsageRow]) -> list[int]:
        """Return the millicredits that each of its own caps has left."""
        return [max(0, millicredits - rows[place].amount_millicredits) for place, millicredits in self._caps]


class Boosts:
    """The campaigns for one behaviour at one time, in the order of their priority. Immutable."""

    def __init__(
        self,
        campaigns: Sequence[CampaignDefinition],
        behaviour: BehaviourDefinition,
        places: Sequence[Place],
    ) -> None:
        ordered = sorted(campaigns, key=lambda campaign: (-campaign.priority, campaign.code))
        self.ordered = [Boost(campaign, behaviour, places) for campaign in ordered]

    def apply(
        self,
        values: Mapping[str, object],
        day: date,
        usage: UsageBook,
        rows: Sequence[UsageRow],
        amount_millicredits: int,
    ) -> list[Bonus]:
        """Return the bonuses for an act on local date `day` to which the rule gives an award."""
        facts = {**values, **facts_of(usage, day)}
        offers = [
            Bonus(boost, offer)
            for boost in self.ordered
            if boost.applies(facts) and (offer := boost.offer(amount_millicredits, rows)) > 0
        ]
        stacking = offers[0].boost.definition.stacking if offers else ""
        alike = [bonus for bonus in offers if bonus.boost.definition.stacking == stacking]
        if stacking == "additive":
            return list(_below_ceiling(alike))
        return [max(alike, key=lambda bonus: bonus.millicredits)] if stacking == "best_of" else alike[:1]


def _below_ceiling(bonuses: Sequence[Bonus]) -> Iterator[Bonus]:
    """Yield bonuses in order as long as their sum stays within the least of their ceilings, the last one cut."""
    ceilings = [bonus.boost.definition.ceiling_millicredits for bonus in bonuses]
    room = min(ceiling for ceiling in ceilings if ceiling is not None)
    for boost, millicredits in bonuses:
        given = min(millicredits, room)
        room -= given
        if given:
            yield Bonus(boost, given)
