"""What a definition must hold beyond the types of its fields. Pure.

Each function yields (path of the field, sentence) for every problem it sees; `carbonpoints.rules.parsing` adds
file and line. Units are parsed here; expressions are checked in `carbonpoints.rules.checking`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date
from itertools import pairwise
from zoneinfo import ZoneInfo

from carbonpoints.core.errors import Message
from carbonpoints.rules.campaigns import MULTIPLIER_MAX, CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.definitions import (
    AttributeDefinition,
    BehaviourDefinition,
    BudgetDefinition,
    CapDefinition,
    ClaimDefinition,
    CounterDefinition,
    FactorDefinition,
    MethodologyDefinition,
    ProgrammeDefinition,
    RuleDefinition,
    UncertaintyDefinition,
)
from carbonpoints.rules.reading import exact_decimal
from carbonpoints.rules.units import parse_unit

Found = Iterator[tuple[str, Message]]

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_FACTOR_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z")
_NAME = re.compile(r"[^\W\d]\w{0,63}\Z")
_REGION = re.compile(r"(WORLD|[A-Z]{2}(-[A-Z0-9]{1,3})?)\Z")
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:\S{1,200}\Z")
_MEASURE = re.compile(r"(count|(sum|distinct):\w+)\Z")
_WINDOW = re.compile(r"(day|month|year|[1-9][0-9]{0,2}d)\Z")
_BIGINT_MAX = 2**63 - 1
SHARED_BY_MIN = 2
PERCENT = 100
# No budget's cost in millionths of a fen passes what the database can count.
_BUDGET_MILLICREDITS_MAX = 10**13
_BUDGET_FEN_MAX = 10**12
_MILLIFEN_PER_CREDIT_MAX = 10**5


def validate_factor(factor: FactorDefinition) -> Found:
    """Code, unit, source, dates, and whether the grade allows the use (M13)."""
    if not _FACTOR_CODE.match(factor.code):
        yield "code", Message("must be capital letters, digits and underscores")
    yield from _not_empty(factor, "name_en", "name_zh", "source_title", "source_address")
    if not _REGION.match(factor.region):
        yield "region", Message("%(region)s is no ISO 3166 code, EU or WORLD", region=repr(factor.region))
    yield from _unit("unit", factor.unit)
    if factor.value < 0:
        yield "value", Message("must not be negative")
    yield from _ordered(factor.valid_from, factor.valid_to)
    yield from _validate_use(factor)


def _validate_use(factor: FactorDefinition) -> Found:
    """Allow a reduction to figures from China graded A, B or derived; anything less needs its reason."""
    if factor.use == "credits_only":
        if not factor.use_reason.strip():
            yield "use_reason", Message("must say why the factor may carry credits only")
        return
    if factor.use_reason:
        yield "use_reason", Message("is only for factors that may carry credits only")
    if factor.grade in ("C", "inference"):
        yield "use", Message("grade %(grade)s does not allow a reduction", grade=factor.grade)
    elif not factor.region.startswith("CN"):
        yield "use", Message("a figure from %(region)s does not allow a reduction", region=factor.region)


def overlapping(factors: Sequence[FactorDefinition]) -> Iterator[tuple[FactorDefinition, FactorDefinition]]:
    """Yield the pairs of one code whose validity overlaps, the earlier first."""
    ordered = sorted(factors, key=lambda factor: (factor.code, factor.valid_from))
    for earlier, later in pairwise(ordered):
        if earlier.code == later.code and (earlier.valid_to is None or later.valid_from < earlier.valid_to):
            yield earlier, later


def validate_behaviour(behaviour: BehaviourDefinition) -> Found:
    """Codes, attributes, and that evidence and claim name attributes that are always there."""
    yield from _code("code", behaviour.code)
    yield from _code("consent_source", behaviour.consent_source)
    attributes = behaviour.attributes
    for name, attribute in attributes.items():
        if not _NAME.match(name):
            yield (
                f"attributes.{name}",
                Message("must be a name: a letter, then letters, digits and underscores"),
            )
        for path, message in _validate_attribute(attribute):
            yield f"attributes.{name}.{path}", message
    for no, name in enumerate(behaviour.evidence):
        if name not in attributes:
            yield f"evidence.{no}", Message("%(name)s is no attribute", name=name)
    for path, message in _validate_claim(behaviour.claim, attributes):
        yield f"claim.{path}", message


def _validate_claim(claim: ClaimDefinition, attributes: Mapping[str, AttributeDefinition]) -> Found:
    yield from _code("act", claim.act)
    if not claim.fields:
        yield "fields", Message("must name at least one attribute")
    if len(claim.interval) not in (0, 2):
        yield "interval", Message("must name the attribute of the start and that of the end")
    for path in ("fields", "interval"):
        for no, name in enumerate(getattr(claim, path)):
            if name not in attributes:
                yield f"{path}.{no}", Message("%(name)s is no attribute", name=name)
            elif not attributes[name].required:
                yield (
                    f"{path}.{no}",
                    Message("%(name)s must be required, or the act could not be told apart", name=name),
                )
            elif path == "interval" and attributes[name].type != "instant":
                yield f"{path}.{no}", Message("%(name)s must be an instant", name=name)


def _validate_attribute(attribute: AttributeDefinition) -> Found:
    allowed = {"number": {"unit", "min", "max", "decimals"}, "text": {"max_length", "choices"}}
    for name in ("unit", "min", "max", "decimals", "max_length", "choices"):
        given = getattr(attribute, name)
        if given not in (None, "", ()) and name not in allowed.get(attribute.type, set()):
            yield name, Message("is not for a %(type)s", type=attribute.type)
    if attribute.unit:
        yield from _unit("unit", attribute.unit)
    if attribute.type == "text" and not attribute.choices and attribute.max_length is None:
        yield "max_length", Message("must bound a text without choices")
    if attribute.min is not None and attribute.max is not None and attribute.min > attribute.max:
        yield "max", Message("must not be below min")
    if attribute.required and attribute.default is not None:
        yield "default", Message("is never taken for a required attribute")
    elif attribute.default is not None and not _is_default(attribute):
        yield (
            "default",
            Message(
                "%(default)s is no %(type)s that an event could give",
                default=repr(attribute.default),
                type=attribute.type,
            ),
        )


def _is_default(attribute: AttributeDefinition) -> bool:
    default = attribute.default
    if attribute.type == "flag":
        return isinstance(default, bool)
    if attribute.type == "text":
        return isinstance(default, str) and (not attribute.choices or default in attribute.choices)
    if attribute.type != "number":
        return False
    try:
        number = exact_decimal(default)
    except ValueError:
        return False
    least, most = attribute.min, attribute.max
    return (least is None or least <= number) and (most is None or number <= most)


def validate_rule(rule: RuleDefinition) -> Found:
    """Codes, methodology, dates, counters, caps, amounts, a sample. Expressions are checked elsewhere."""
    yield from _code("code", rule.code)
    yield from _code("behaviour", rule.behaviour)
    yield from _validate_methodology(rule.methodology)
    yield from _validate_uncertainty(rule.uncertainty)
    yield from _ordered(rule.valid_from, rule.valid_to)
    yield from _repeated("factors", rule.factors)
    yield from _repeated("eligibility", [condition.code for condition in rule.eligibility])
    yield from _repeated("caps", [cap.code for cap in rule.caps])
    for code, counter in rule.counters.items():
        yield from _code(f"counters.{code}", code)
        yield from _validate_counter(f"counters.{code}", counter)
    for no, condition in enumerate(rule.eligibility):
        yield from _code(f"eligibility.{no}.code", condition.code)
    for no, cap in enumerate(rule.caps):
        yield from _code(f"caps.{no}.code", cap.code)
        yield from _validate_limits(f"caps.{no}.", cap)
        if cap.window == "event" and cap.count is not None:
            yield f"caps.{no}.count", Message("makes no sense for one event")
    if rule.credits.millicredits_per_mg < 0:
        yield "credits.millicredits_per_mg", Message("must not be negative")
    yield from _within("credits.grant_millicredits", rule.credits.grant_millicredits, 0)
    yield from _within("expiry_months", rule.expiry_months, 1, 1200)
    yield from _within("pending_days", rule.pending_days, 0, 3660)
    if not rule.samples:
        yield "samples", Message("must hold at least one: an event and what the rule gives for it")


def _validate_methodology(methodology: MethodologyDefinition | None) -> Found:
    if methodology is None:
        yield "methodology", Message("is missing")
        return
    for item in fields(methodology):
        text = getattr(methodology, item.name)
        if isinstance(text, str) and not text.strip():
            yield f"methodology.{item.name}", Message("must not be empty")
    if not methodology.monitoring:
        yield "methodology.monitoring", Message("must say where the attributes come from")
    for no, monitored in enumerate(methodology.monitoring):
        for name in ("source_en", "source_zh"):
            if not getattr(monitored, name).strip():
                yield f"methodology.monitoring.{no}.{name}", Message("must not be empty")
        if not monitored.data:
            yield f"methodology.monitoring.{no}.data", Message("must name at least one attribute")


def _validate_uncertainty(uncertainty: UncertaintyDefinition | None) -> Found:
    if uncertainty is None:
        return
    below, above = uncertainty.below_percent, uncertainty.above_percent
    if not 0 <= below <= PERCENT:
        yield "uncertainty.below_percent", Message("must be from 0 to 100")
    if above < 0:
        yield "uncertainty.above_percent", Message("must not be negative")
    if not (below or above):
        yield "uncertainty", Message("is no range: leave it out where none is known")


def _validate_limits(prefix: str, cap: CapDefinition | SharedCapDefinition) -> Found:
    measures = {name: getattr(cap, name) for name in ("count", "mg", "millicredits")}
    if all(limit is None for limit in measures.values()):
        yield prefix.rstrip(".") or "count", Message("must limit count, mg or millicredits")
    for name, limit in measures.items():
        if limit is not None:
            yield from _within(prefix + name, limit, 1)


def validate_shared_cap(cap: SharedCapDefinition) -> Found:
    """Code, names, dates, and that it limits something for at least two behaviours."""
    yield from _code("code", cap.code)
    yield from _not_empty(cap, "name_en", "name_zh")
    yield from _ordered(cap.valid_from, cap.valid_to)
    yield from _repeated("behaviours", cap.behaviours)
    if len(cap.behaviours) < SHARED_BY_MIN:
        yield "behaviours", Message("must name at least two behaviours")
    yield from _validate_limits("", cap)


def validate_campaign(campaign: CampaignDefinition) -> Found:
    """Code, texts, dates, one kind of boost, and a ceiling where campaigns add up."""
    yield from _code("code", campaign.code)
    yield from _not_empty(campaign, "name_en", "name_zh", "text_en", "text_zh")
    yield from _ordered(campaign.valid_from, campaign.valid_to)
    yield from _repeated("behaviours", campaign.behaviours)
    if not campaign.behaviours:
        yield "behaviours", Message("must name at least one behaviour")
    if not 1 <= campaign.multiplier <= MULTIPLIER_MAX:
        yield "multiplier", Message("must be from 1 to %(most)s", most=MULTIPLIER_MAX)
    yield from _within("bonus_millicredits", campaign.bonus_millicredits, 0)
    if (campaign.multiplier > 1) == (campaign.bonus_millicredits > 0):
        yield "multiplier", Message("must be above 1, or bonus_millicredits above 0: one of the two")
    if (campaign.stacking == "additive") != (campaign.ceiling_millicredits is not None):
        yield "ceiling_millicredits", Message("is needed for an additive campaign, and only there")
    elif campaign.ceiling_millicredits is not None:
        yield from _within("ceiling_millicredits", campaign.ceiling_millicredits, 1)
    if not campaign.samples:
        yield "samples", Message("must hold at least one: an award and what the campaign adds to it")
    yield from _repeated("caps", [cap.code for cap in campaign.caps])
    for no, cap in enumerate(campaign.caps):
        yield from _code(f"caps.{no}.code", cap.code)
        yield from _within(f"caps.{no}.millicredits", cap.millicredits, 1)


def _validate_counter(path: str, counter: CounterDefinition) -> Found:
    if not _MEASURE.match(counter.measure):
        yield f"{path}.measure", Message("must be count, sum:<attribute> or distinct:<attribute>")
    if not _WINDOW.match(counter.window):
        yield f"{path}.window", Message("must be day, month, year or a number of days such as 7d")
    if counter.per is not None and counter.measure.startswith("distinct:"):
        yield f"{path}.per", Message("is not for a counter of distinct values")


def validate_programme(programme: ProgrammeDefinition) -> Found:
    """Codes, time zone, currency, bounds, consent texts, and that event sources name consent sources."""
    yield from _code("code", programme.code)
    try:
        ZoneInfo(programme.time_zone)
    except (KeyError, ValueError, OSError):
        yield "time_zone", Message("%(time_zone)s is no IANA time zone", time_zone=repr(programme.time_zone))
    if not _CURRENCY.match(programme.currency):
        yield "currency", Message("%(currency)s is no ISO 4217 code", currency=repr(programme.currency))
    bounded = ("release_grace_days", "late_event_days", "future_tolerance_s", "clawback_limit_millicredits")
    days = ("correction_days", "undecided_retention_days", "appeal_retention_days", "notice_days")
    for name in (*bounded, *days):
        yield from _within(name, getattr(programme, name), 0)
    yield from _within("millifen_per_credit", programme.millifen_per_credit, 1, _MILLIFEN_PER_CREDIT_MAX)
    for code, source in programme.consent_sources.items():
        yield from _code(f"consent_sources.{code}", code)
        yield from _within(f"consent_sources.{code}.retention_days", source.retention_days, 0)
        yield from _repeated(f"consent_sources.{code}.texts", [text.version for text in source.texts])
        if not source.texts:
            yield f"consent_sources.{code}.texts", Message("must hold at least one text")
    yield from _repeated("event_sources", [source.uri for source in programme.event_sources])
    for no, event_source in enumerate(programme.event_sources):
        if not _URI.match(event_source.uri):
            yield f"event_sources.{no}.uri", Message("%(uri)s is no URI", uri=repr(event_source.uri))
        for code in event_source.consent_sources:
            if code not in programme.consent_sources:
                yield (
                    f"event_sources.{no}.consent_sources",
                    Message("%(code)s is no consent source here", code=code),
                )


def validate_budget(budget: BudgetDefinition) -> Found:
    """Codes, names, dates, and that it limits something."""
    yield from _code("code", budget.code)
    if budget.campaign is not None:
        yield from _code("campaign", budget.campaign)
    for name in ("name_en", "name_zh"):
        if not getattr(budget, name).strip():
            yield name, Message("must not be empty")
    yield from _ordered(budget.valid_from, budget.valid_to)
    if budget.millicredits is None and budget.fen is None:
        yield "millicredits", Message("must limit millicredits, fen or both")
    if budget.millicredits is not None:
        yield from _within("millicredits", budget.millicredits, 1, _BUDGET_MILLICREDITS_MAX)
    if budget.fen is not None:
        yield from _within("fen", budget.fen, 1, _BUDGET_FEN_MAX)


def _code(path: str, code: str) -> Found:
    if not _CODE.match(code):
        yield path, Message("%(code)s must be small letters, digits and underscores", code=repr(code))


def _not_empty(definition: object, *names: str) -> Found:
    for name in names:
        if not getattr(definition, name).strip():
            yield name, Message("must not be empty")


def _unit(path: str, unit: str) -> Found:
    try:
        parse_unit(unit)
    except ValueError as error:
        yield path, error.args[0]


def _ordered(valid_from: date, valid_to: date | None) -> Found:
    if valid_to is not None and valid_to <= valid_from:
        yield "valid_to", Message("must be later than valid_from")


def _repeated(path: str, codes: Iterable[str]) -> Found:
    for code, times in Counter(codes).items():
        if times > 1:
            yield path, Message("%(code)s is given %(times)s times", code=code, times=times)


def _within(path: str, value: int, least: int, most: int = _BIGINT_MAX) -> Found:
    if not least <= value <= most:
        yield (
            path,
            Message("must be from %(least)s to %(most)s, not %(value)s", least=least, most=most, value=value),
        )
