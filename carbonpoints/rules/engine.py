"""The rule engine: from attributes to reduction and credits, exactly. Pure.

Two steps, because the second needs the account's lock and the first does not:

- `CompiledRule.assess` looks at the attributes alone: conditions without counters, and the estimate
  `max(0, baseline - project - leakage)`, or the lower bound of its range, exact and rounded down once to whole mg
  (M12).
- `CompiledRule.settle` looks at what the account has used: conditions with counters, then the caps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any, NamedTuple

from carbonpoints.core.amounts import plain
from carbonpoints.rules.campaigns import Bonus, Boosts, CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.compiling import (
    Condition,
    default_of,
    estimate_source,
    fuse_conditions,
    of_one_value,
    variables_of,
)
from carbonpoints.rules.counters import Counter
from carbonpoints.rules.definitions import BehaviourDefinition, CapDefinition, RuleDefinition
from carbonpoints.rules.draws import UNLIMITED, Draw, no_budget
from carbonpoints.rules.language import (
    CONTEXT,
    FAILURES,
    EvaluationError,
    Variable,
    compile_expression,
)
from carbonpoints.rules.usage import Key, Place, UsageBook, UsageRow, usage_keys

NOT_COMPUTABLE, NOTHING_EARNED = "not_computable", "nothing_earned"
"""Reasons that are no condition of the rule."""
MG_PER_G_EXPONENT = 3
AWARD_MAX = 10**15
"""More mg or millicredits than this are no act of a person; far below what the books can hold."""
READERS: dict[str, Callable[[Any], object]] = {
    "number": Decimal,
    "date": date.fromisoformat,
    "instant": datetime.fromisoformat,
}
"""How the canonical text of an attribute becomes what expressions see; texts and flags stay what they are."""
UNUSED = UsageRow()
"""A period in which nothing was used; never changed."""
NOTHING_COUNTED: Mapping[str, object] = {}
DAYS_REMEMBERED = 4_096
Rows = Sequence[UsageRow]
"""The rows of the running periods, in the order of the rule's places, and at the end the row of one event."""


class Assessment(NamedTuple):
    """What the attributes alone say: the condition that failed, or the estimate in mg before caps."""

    reason: str | None
    estimate_mg: int
    values: dict[str, object]


class Outcome(NamedTuple):
    """What the account gets: why nothing, or how much, and the cap that cut it.

    `trace` is what the arithmetic needs beyond attributes and pinned versions, or None when it needs nothing:
    `reason`, `counters` (code -> value seen), `cap` (the code that cut last), `left` (what that cap had left),
    `boosts` (campaign -> the bonus it gave in millicredits, which is part of the amount), `budgets` (what was drawn
    on each), `budget` (the code of the one that was used up), `bonus_budget` (the one that covered no bonus).
    `granted_mg` (what the caps counted, where they cut and it was not posted).
    """

    reason: str | None
    reduction_mg: int
    amount_millicredits: int
    cap: str | None
    trace: dict[str, object] | None
    budget: str | None = None
    """The budget that did not cover its credits."""


class CompiledRule:
    """One rule version with its factors, ready to run. Immutable; safe to share between threads."""

    def __init__(
        self,
        *,
        behaviour: BehaviourDefinition,
        rule: RuleDefinition,
        factors: Mapping[str, Decimal],
        shared_caps: Sequence[SharedCapDefinition] = (),
        campaigns: Sequence[CampaignDefinition] = (),
    ) -> None:
        self.behaviour = behaviour
        self.rule = rule
        self.constants: dict[str, object] = dict(factors)
        self._readers = tuple(
            (code, READERS[attribute.type])
            for code, attribute in behaviour.attributes.items()
            if attribute.type in READERS
        )
        self.blank: dict[str, object] = {
            **{code: default_of(attribute) for code, attribute in behaviour.attributes.items()},
            **self.constants,
        }
        self.counters = tuple(Counter(code, counter) for code, counter in rule.counters.items())
        variables = variables_of(behaviour, self.constants)
        counted = {code: Variable("number") for code in rule.counters}
        self.screens: list[Condition] = []
        self.histories: list[Condition] = []
        for condition in rule.eligibility:
            test = compile_expression(condition.when, {**variables, **counted}, expects="flag")
            kind = self.histories if test.names & counted.keys() else self.screens
            kind.append(Condition(condition, test))
        self._screen = fuse_conditions(self.screens, counted=())
        self._history = fuse_conditions(self.histories, counted=counted)
        self._estimate = compile_expression(
            estimate_source(rule, f"({rule.baseline})", f"({rule.project})", f"({rule.leakage})"),
            variables,
            expects="number",
        )
        self._rate = rule.credits.millicredits_per_mg.as_integer_ratio()
        self._constant_mg: int | None = None
        if self._estimate.names <= self.constants.keys() | of_one_value(behaviour):
            with suppress(EvaluationError, *FAILURES):  # `assess` says so.
                self._constant_mg = self._estimate_mg(self.blank)
        self._set_limits(shared_caps, campaigns)

    def _set_limits(
        self, shared_caps: Sequence[SharedCapDefinition], campaigns: Sequence[CampaignDefinition]
    ) -> None:
        """Work out which usage the rule looks at, and where each cap and counter finds its row."""
        rule = self.rule
        # By code: where several caps cut, the same one is named whichever of their versions is the newer.
        shared = sorted(shared_caps, key=lambda each: each.code)
        scoped = [(rule.code, cap) for cap in rule.caps] + [(each.scope, each.cap) for each in shared]
        own: list[Place] = [(scope, cap.window) for scope, cap in scoped if cap.window != "event"]
        own += [(rule.code, counter.period) for counter in self.counters]
        bonus = [(each.scope, cap.window) for each in campaigns for cap in each.caps if cap.window != "event"]
        self.caps: tuple[CapDefinition, ...] = tuple(cap for _, cap in scoped)
        """The rule's own caps, then those it shares."""
        self.places: tuple[Place, ...] = tuple(dict.fromkeys([*own, *bonus]))
        """The usage that this rule reads and notes, first its own and the shared caps', then the campaigns'."""
        self.own_places = len(set(own))
        """How many of the places are the rule's own and those of shared caps."""
        self.measured: tuple[Place, ...] = tuple(
            (scope, cap.window) for scope, cap in scoped if cap.mg is not None and cap.window != "event"
        )
        """The places of which it asks how many milligrams were used."""
        self.looks_at: tuple[tuple[Place, int], ...] = tuple(
            (place, self.look_back_days if place == (rule.code, "day") else 0) for place in self.places
        )
        """Each place with the days before an act that rolling counters look back there."""
        self._keys: dict[date, tuple[Key, ...]] = {}
        self._counters = tuple(
            (counter, self.places.index((rule.code, counter.period))) for counter in self.counters
        )
        # Each cap with the place of its period, or of the row of one event: nothing is ever used in it.
        places = [
            self.places.index((scope, cap.window)) if cap.window != "event" else -1 for scope, cap in scoped
        ]
        self._caps = tuple(
            (place, cap.count, cap.mg, cap.code) for place, cap in zip(places, self.caps, strict=True)
        )
        self._credit_caps = tuple(
            (place, cap.millicredits, cap.code)
            for place, cap in zip(places, self.caps, strict=True)
            if cap.millicredits is not None
        )
        self.boosts = Boosts(campaigns, self.behaviour, self.places) if campaigns else None

    @property
    def look_back_days(self) -> int:
        """How many days before the act the counters look."""
        return max((counter.days - 1 for counter in self.counters if counter.days), default=0)

    def values(self, data: Mapping[str, str | bool]) -> dict[str, object]:
        """Return what the expressions see: an event's canonical data, typed, over the defaults, and the factors."""
        values = self.blank.copy()
        values.update(data)
        for code, reader in self._readers:
            if code in data:
                values[code] = reader(data[code])
        return values

    def assess(self, values: dict[str, object]) -> Assessment:
        """Judge the attributes alone, given as `values` returns them. Needs no lock and changes nothing.

        A formula that cannot be computed for these attributes, or gives more than AWARD_MAX, gives the reason
        `not_computable`.
        """
        try:
            failed = self._screen(values, NOTHING_COUNTED)
            if failed is not None:
                return Assessment(failed, 0, values)
            estimate_mg = self._constant_mg if self._constant_mg is not None else self._estimate_mg(values)
        except (EvaluationError, *FAILURES):
            return Assessment(NOT_COMPUTABLE, 0, values)
        return Assessment(None, estimate_mg, values)

    def _estimate_mg(self, values: Mapping[str, object]) -> int:
        grams = self._estimate.evaluate(values)
        assert isinstance(grams, Decimal)  # noqa: S101 - compiled with expects="number"
        estimate_mg = int(CONTEXT.scaleb(grams, MG_PER_G_EXPONENT).to_integral_value(ROUND_FLOOR))
        if max(estimate_mg, self.credits_for(estimate_mg)) > AWARD_MAX:
            raise OverflowError("more than any act can give")
        return estimate_mg

    def settle(self, assessment: Assessment, usage: UsageBook, day: date, draw: Draw = no_budget) -> Outcome:
        """Judge the history and apply caps and budgets for an act on local date `day`; an award is noted in `usage`.

        An award of zero uses nothing (M7); where no cap made it zero, its reason is `nothing_earned`. Credits that
        a budget does not cover are not given, the milligrams stand.
        """
        if assessment.reason is not None:
            return Outcome(assessment.reason, 0, 0, None, {"reason": assessment.reason})
        keys = self._keys.get(day) or self._keys_of(day)
        stored = usage.rows
        rows = [stored.get(key, UNUSED) for key in keys]
        rows.append(UNUSED)
        values = assessment.values
        parties = [counter.party(values, usage) for counter, _ in self._counters]
        counted = {
            counter.code: counter.value(self.rule.code, usage, rows[place], day, party)
            for (counter, place), party in zip(self._counters, parties, strict=True)
        }
        trace: dict[str, object] = {}
        if any(counted.values()):
            trace["counters"] = {code: plain(Decimal(value)) for code, value in counted.items() if value}
        reason = self._judge_history(values, counted) if self.histories else None
        if reason is not None:
            return Outcome(reason, 0, 0, None, {"reason": reason, **trace})
        granted_mg, amount_millicredits, cap, left = self._cut(assessment.estimate_mg, rows)
        posted_mg = granted_mg if self.rule.purpose == "reduction" else 0
        trace |= _cut_trace(cap, left, granted_mg, posted_mg)
        bonuses: list[Bonus] = []
        # A bonus comes with an award, and is no way around a cap.
        if self.boosts is not None and (amount_millicredits or (posted_mg and cap is None)):
            bonuses = self.boosts.apply(values, day, usage, rows, amount_millicredits)
        amount_millicredits, bonuses, short = _covered(draw, amount_millicredits, bonuses, trace)
        if posted_mg or amount_millicredits:
            noted = self._note(usage, keys, granted_mg, amount_millicredits)
            self._tally(noted, parties, values)
            amount_millicredits += _note_bonuses(usage, keys, bonuses, trace)
        elif cap is None and short is None:
            return Outcome(NOTHING_EARNED, 0, 0, None, {"reason": NOTHING_EARNED, **trace})
        return Outcome(None, posted_mg, amount_millicredits, cap, trace or None, short)

    def _keys_of(self, day: date) -> tuple[Key, ...]:
        """Return the key of each place on a day, and remember it."""
        if len(self._keys) >= DAYS_REMEMBERED:
            self._keys.clear()
        keys = self._keys[day] = usage_keys(self.places, day)
        return keys

    def _note(
        self, usage: UsageBook, keys: Sequence[Key], granted_mg: int, amount_millicredits: int
    ) -> list[UsageRow]:
        """Add an award to the rule's own rows and to those of shared caps, and return them."""
        noted = []
        for key in keys[: self.own_places]:
            row = usage.change(key)
            row.awards += 1
            row.reduction_mg += granted_mg
            row.amount_millicredits += amount_millicredits
            noted.append(row)
        return noted

    def used(self, usage: UsageBook, day: date) -> list[tuple[CapDefinition, UsageRow]]:
        """Return each cap with what is used of it in the period of a day."""
        rows = self.rows(usage, day)
        return [(cap, rows[place]) for cap, (place, *_) in zip(self.caps, self._caps, strict=True)]

    def rows(self, usage: UsageBook, day: date) -> list[UsageRow]:
        """Return the row of each place in the period of a day, and at the end the row of one event."""
        return [usage.rows.get(key, UNUSED) for key in usage_keys(self.places, day)] + [UNUSED]

    def _tally(self, noted: Rows, parties: Sequence[str], values: Mapping[str, object]) -> None:
        for (counter, place), party in zip(self._counters, parties, strict=True):
            if party or not counter.is_distinct:  # An act that names no party adds none.
                noted[place].tally(counter.code, party, counter.amount(values))

    def _judge_history(self, values: Mapping[str, object], counted: Mapping[str, object]) -> str | None:
        try:
            return self._history(values, counted)
        except FAILURES:
            return NOT_COMPUTABLE

    def _cut(self, estimate_mg: int, rows: Rows) -> tuple[int, int, str | None, int]:
        """Return mg and millicredits after all caps, the cap that cut last and what it had left."""
        granted_mg, cut_by, left = estimate_mg, None, 0
        for place, count, mg, code in self._caps:
            used = rows[place]
            if count is not None and used.awards >= count:
                return 0, 0, code, 0
            if mg is not None and granted_mg > (room := max(0, mg - used.reduction_mg)):
                granted_mg, cut_by, left = room, code, room
        amount_millicredits = self.credits_for(granted_mg)
        for place, millicredits, code in self._credit_caps:
            room = max(0, millicredits - rows[place].amount_millicredits)
            if amount_millicredits > room:
                amount_millicredits, cut_by, left = room, code, room
        return granted_mg, amount_millicredits, cut_by, left

    def credits_for(self, granted_mg: int) -> int:
        """Return the millicredits for so many mg: rate times mg, rounded down once, and the fixed grant."""
        numerator, denominator = self._rate
        return granted_mg * numerator // denominator + self.rule.credits.grant_millicredits


def _cut_trace(cap: str | None, left: int, granted_mg: int, posted_mg: int) -> dict[str, object]:
    if cap is None:
        return {}
    cut: dict[str, object] = {"cap": cap, "left": left}
    return cut if posted_mg == granted_mg else {**cut, "granted_mg": granted_mg}


def _covered(
    draw: Draw, amount_millicredits: int, bonuses: list[Bonus], trace: dict[str, object]
) -> tuple[int, list[Bonus], str | None]:
    """Return the rule's own credits and the bonuses that budgets cover, and the budget that is short if they get none.

    Where they cover no bonus the rule's own credits are asked for alone.
    """
    if not amount_millicredits and not bonuses:
        return 0, [], None
    amounts: dict[str | None, int] = {boost.definition.code: millicredits for boost, millicredits in bonuses}
    amounts[None] = amount_millicredits + sum(amounts.values())
    drawn = draw(amounts)
    if drawn.short is not None and bonuses:
        trace["bonus_budget"], bonuses = drawn.short, []
        drawn = draw({None: amount_millicredits}) if amount_millicredits else UNLIMITED
    trace |= drawn.trace()
    return (amount_millicredits, bonuses, None) if drawn.short is None else (0, [], drawn.short)


def _note_bonuses(
    usage: UsageBook, keys: Sequence[Key], bonuses: Sequence[Bonus], trace: dict[str, object]
) -> int:
    """Add each bonus to its campaign's rows and to the trace, and return their sum."""
    for boost, millicredits in bonuses:
        for place in boost.places:
            row = usage.change(keys[place])
            row.awards += 1
            row.amount_millicredits += millicredits
    if bonuses:
        trace["boosts"] = {boost.definition.code: millicredits for boost, millicredits in bonuses}
    return sum(bonus.millicredits for bonus in bonuses)
