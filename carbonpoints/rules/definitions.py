"""What factors, behaviour types, rules and programmes are made of. Pure and frozen.

The same fields, under the same names, stand in the YAML files, in the stored JSON content of a version and in
these classes; `carbonpoints.rules.reading` turns one into the other. Amounts are exact: `Decimal` where a
formula reads them, integers with their unit in the name elsewhere. What each field must hold is checked in
`carbonpoints.rules.validation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Literal

from carbonpoints.core.defaults import APPEAL_RETENTION_DAYS, CORRECTION_DAYS, NOTICE_DAYS

Grade = Literal["A", "B", "C", "derived", "inference"]
"""A official text or primary data; B press quoting the official method, or a peer-reviewed abstract; C blog,
vendor or secondary code; derived: arithmetic on sourced numbers; inference: judgement without a source."""

Purpose = Literal["reduction", "credits_only"]
"""Whether milligrams may be posted, or only credits be granted (M13)."""

ValueType = Literal["number", "text", "flag", "date", "instant"]

AttributeValue = str | int | bool
"""An attribute as an event's JSON carries it: numbers exact, as text or whole; dates and instants as text."""

BehaviourClass = Literal["clothes", "food", "housing", "travel", "daily_use", "office", "digital_finance"]
"""The seven classes of T/ACEF 031-2022: 衣 食 住 行 用 办公 数字金融."""


@dataclass(frozen=True, kw_only=True)
class FactorDefinition:
    """A figure from a source, for the dates on which it may be applied."""

    code: str
    name_en: str
    name_zh: str
    value: Decimal
    unit: str
    quantity: Literal["reduction", "emission", "parameter"]
    """A net reduction per unit (the project side is already taken off), an emission per unit, or other."""
    region: str
    """ISO 3166-2 code, ISO 3166-1 country, EU or WORLD: where the figure was found."""
    data_year: int | None
    """The year the data describe; None when the source does not say."""
    source_title: str
    source_address: str
    grade: Grade
    use: Purpose
    use_reason: str = ""
    """Why the figure may carry credits only; empty when it may carry a reduction."""
    valid_from: date
    valid_to: date | None = None
    """First date on which it holds no more; None while it holds."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class AttributeDefinition:
    """One attribute of an event. `min`, `max` and `decimals` bound numbers, `max_length` and `choices` text."""

    type: ValueType
    name_en: str
    name_zh: str
    unit: str = ""
    required: bool = False
    default: AttributeValue | None = None
    """Taken when the event does not say; None leaves the attribute empty."""
    min: Decimal | None = None
    max: Decimal | None = None
    decimals: int | None = None
    max_length: int | None = None
    choices: tuple[str, ...] = ()

    @property
    def nullable(self) -> bool:
        """Whether a formula may meet no value."""
        return not self.required and self.default is None


@dataclass(frozen=True, kw_only=True)
class ClaimDefinition:
    """What makes two events the same act (M14), without the person.

    Behaviours with one `act` compete for the same act through the values of `fields`; with `interval` the
    claim covers the time between two attributes instead of a point.
    """

    act: str
    fields: tuple[str, ...]
    interval: tuple[str, ...] = ()
    interval_hours_max: int = 24
    """The longest that one act may take: nobody rides a bicycle for a year."""


@dataclass(frozen=True, kw_only=True)
class BehaviourDefinition:
    """A type of green behaviour: what its events carry and what one act of it is."""

    code: str
    name_en: str
    name_zh: str
    behaviour_class: BehaviourClass
    consent_source: str
    """Code of the programme's consent source that must be given (M11)."""
    attributes: Mapping[str, AttributeDefinition]
    evidence: tuple[str, ...]
    """Attributes that prove the act; an event without one of them is invalid."""
    claim: ClaimDefinition
    specificity: int
    """The behaviour with the highest number wins an act that several could claim."""


@dataclass(frozen=True, kw_only=True)
class CounterDefinition:
    """A bounded look back over the account's earlier awarded events of the behaviour (M23).

    The event at hand is not counted. `measure` is `count`, `sum:<attribute>` or `distinct:<attribute>`;
    `window` is day, month, year or `7d` (that many days, today included); `per` narrows the look to earlier
    events with the same value of one attribute.
    """

    measure: str
    window: str
    per: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConditionDefinition:
    """One condition of eligibility; the first that does not hold is the reason an event earns nothing."""

    code: str
    when: str
    text_en: str
    text_zh: str


@dataclass(frozen=True, kw_only=True)
class CreditsDefinition:
    """What an award gives: a rate on milligrams, and a fixed grant that is marketing money (M13)."""

    millicredits_per_mg: Decimal
    grant_millicredits: int


@dataclass(frozen=True, kw_only=True)
class CapDefinition:
    """A limit per event or per account and period; each measure that is given limits on its own."""

    code: str
    """Unique over all rules; names the cap in answers. What an account has used is kept under the rule's code."""
    window: Literal["event", "day", "month", "year"]
    count: int | None = None
    mg: int | None = None
    millicredits: int | None = None


@dataclass(frozen=True, kw_only=True)
class SampleDefinition:
    """An event and what the rule must give for it, when nothing of any cap is used yet."""

    attributes: Mapping[str, AttributeValue]
    counters: Mapping[str, int] = field(default_factory=dict)
    """Values of the rule's counters; those not named are 0."""
    reduction_mg: int
    millicredits: int


@dataclass(frozen=True, kw_only=True)
class IneligibleSampleDefinition:
    """An event that must earn nothing, and the code of the condition that says so."""

    attributes: Mapping[str, AttributeValue]
    counters: Mapping[str, int] = field(default_factory=dict)
    reason: str


@dataclass(frozen=True, kw_only=True)
class MonitoredDefinition:
    """Attributes of the events and where their values come from."""

    data: tuple[str, ...]
    source_en: str
    source_zh: str


@dataclass(frozen=True, kw_only=True)
class MethodologyDefinition:
    """Why the figures of a rule may be believed, in words; nothing is claimed without its source."""

    applicability_en: str
    applicability_zh: str
    additionality_en: str
    additionality_zh: str
    baseline_scenario_en: str
    baseline_scenario_zh: str
    leakage_en: str
    leakage_zh: str
    uncertainty_en: str
    uncertainty_zh: str
    double_counting_en: str
    double_counting_zh: str
    monitoring: tuple[MonitoredDefinition, ...]
    author: str
    document: str
    """Reference of the method that the rule follows, or that none was found."""


@dataclass(frozen=True, kw_only=True)
class UncertaintyDefinition:
    """The range in which the true reduction lies, in percent of the estimate; its lower bound is credited (M12)."""

    below_percent: Decimal
    above_percent: Decimal


@dataclass(frozen=True, kw_only=True)
class RuleDefinition:
    """How events of one behaviour are turned into milligrams and credits.

    `baseline`, `project` and `leakage` give grams; the estimate is max(0, baseline - project - leakage), or its
    lower bound where `uncertainty` gives a range. With purpose `credits_only` it remains an estimate on which
    credits may rest, and 0 mg are posted.
    """

    code: str
    behaviour: str
    title_en: str
    title_zh: str
    basis_en: str
    basis_zh: str
    label: str = ""
    """Shown beside every award when the rule is not an ordinary one."""
    methodology: MethodologyDefinition | None = None
    """None in versions that were stored before it was asked for; nothing is submitted without it."""
    valid_from: datetime
    valid_to: datetime | None = None
    factors: tuple[str, ...] = ()
    counters: Mapping[str, CounterDefinition] = field(default_factory=dict)
    eligibility: tuple[ConditionDefinition, ...] = ()
    baseline: str
    project: str
    leakage: str
    uncertainty: UncertaintyDefinition | None = None
    """None where no source gives a range."""
    purpose: Purpose
    credits: CreditsDefinition
    caps: tuple[CapDefinition, ...] = ()
    expiry_months: int
    pending_days: int = 0
    samples: tuple[SampleDefinition, ...]
    ineligible_samples: tuple[IneligibleSampleDefinition, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BudgetDefinition:
    """The most that a programme gives out in a period: in credits, in what they cost, or in both.

    An award belongs to the period of its business date. What a credit costs is a setting of the programme.
    """

    code: str
    name_en: str
    name_zh: str
    period: Literal["month", "year"]
    """Calendar month or year; it never changes, or what was given out would belong to two periods."""
    millicredits: int | None = None
    fen: int | None = None
    campaign: str | None = None
    """Limits the bonus credits of this campaign only; None limits all credits of the programme."""
    valid_from: date
    """First business date whose awards draw on it."""
    valid_to: date | None = None
    """First business date whose awards do so no more."""


@dataclass(frozen=True, kw_only=True)
class ConsentTextDefinition:
    """One version of what a holder agrees to: what is collected, for what, how long, how to withdraw."""

    version: str
    covers_from: datetime | None = None
    """Acts from this instant are covered; None means from the instant the consent is given."""
    text_en: str
    text_zh: str


@dataclass(frozen=True, kw_only=True)
class ConsentSourceDefinition:
    """A source of personal data that a holder agrees to on its own (M11)."""

    name_en: str
    name_zh: str
    sensitive: bool
    retention_days: int
    """How long the inputs of its events are kept after the consent is withdrawn."""
    texts: tuple[ConsentTextDefinition, ...]
    """Oldest first; the last one is offered."""


@dataclass(frozen=True, kw_only=True)
class EventSourceDefinition:
    """Who may send events, under which CloudEvents `source`, and which consents their events need."""

    uri: str
    operator_en: str
    operator_zh: str
    consent_sources: tuple[str, ...]
    is_backfill: bool = False
    """Its events are old: expiry counts from the month of booking (M5)."""


@dataclass(frozen=True, kw_only=True)
class DatedCopyDefinition:
    """A shipped rule that the programme takes over with another start."""

    rule: str
    valid_from: datetime


@dataclass(frozen=True, kw_only=True)
class ProgrammeDefinition:
    """A programme's calendar and settings. Every figure here is a parameter that its admins set."""

    code: str
    name_en: str
    name_zh: str
    time_zone: str
    currency: str
    cut_off: time
    """Local time from which a booking belongs to the next business date; 00:00 means none."""
    holidays: tuple[date, ...] = ()
    release_grace_days: int
    late_event_days: int
    """An event older than this when it arrives is too late; backfill sources are exempt."""
    correction_days: int = CORRECTION_DAYS
    """A reversal or a correction that comes more days than this after its event was booked is too late."""
    future_tolerance_s: int
    clawback_limit_millicredits: int
    undecided_retention_days: int
    millifen_per_credit: int
    """What a credit costs the bank, in thousandths of a fen: the measure of budgets in money."""
    appeal_retention_days: int = APPEAL_RETENTION_DAYS
    """How long the words of an appeal are kept after it was resolved."""
    notice_days: int = NOTICE_DAYS
    """A change that is worse for customers starts so long after its approval, at the earliest."""
    consent_sources: Mapping[str, ConsentSourceDefinition]
    event_sources: tuple[EventSourceDefinition, ...]
    dated_copies: tuple[DatedCopyDefinition, ...] = ()
