"""Random pasts of a programme: what its admins held, what was reported in which order, what happened to its accounts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from hypothesis import strategies as st

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.behaviours.replay.history import Period
from carbonpoints.rules.campaigns import CampaignCapDefinition, CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.definitions import (
    BudgetDefinition,
    CapDefinition,
    ConditionDefinition,
    CounterDefinition,
    RuleDefinition,
)
from carbonpoints.rules.reading import as_content
from tests.behaviours.world import payment, shipped

FIRST_DAY = date(2025, 12, 29)
TURN = datetime(2026, 1, 15, tzinfo=UTC)
"""Where a version may begin or end."""
SINCE = datetime(2025, 1, 1, tzinfo=UTC)
CODES = ("non_cash_payment", "bus_trip", "metro_trip")
PAYMENTS, TRIPS = CODES[:1], CODES[1:]
"""What either source reports."""
CONSENTS = ("payments", "trips")
CUSTOMERS = ("C1", "C2", "C3")
# Few days on both sides of turns of the year and of months, so that caps and counters of every period meet.
DAYS = st.sampled_from([1, 2, 3, 4, 5, 6, 17, 18, 33, 34, 35, 36] * 2 + [59, 60, 64])


@dataclass(frozen=True)
class Act:
    customer: str
    behaviour: str
    day: int
    hour: int
    size: int
    party: str
    clash: int | None
    """Acts with the same are one act, reported twice."""

    def data(self, number: int) -> dict[str, object]:
        reference = f"R{number}" if self.clash is None else f"clash {self.clash}"
        if self.behaviour == "non_cash_payment":
            return payment(reference, amount_minor=self.size, payee_hash=self.party)
        data: dict[str, object] = {
            "distance_km": f"{self.size % 59 + 1}",
            "ticket_reference": reference,
        }
        if self.behaviour == "bus_trip":
            return {**data, "fare_medium": "qr" if self.party == "a" else "card"}
        return data

    @property
    def at(self) -> datetime:
        midnight = datetime.combine(FIRST_DAY, datetime.min.time(), tzinfo=UTC)
        return midnight + timedelta(days=self.day, hours=self.hour)


@dataclass(frozen=True)
class Again:
    """Something that was reported before, by its place, once more: as it was, otherwise, corrected or taken back."""

    place: int
    how: Literal["same", "otherwise", "outdated", "corrected", "moved", "reversed"]
    size: int
    day: int


@dataclass(frozen=True)
class Delivery:
    reports: list[Act | Again]


@dataclass(frozen=True)
class Word:
    customer: str
    consent: str
    is_given: bool


@dataclass(frozen=True)
class Standing:
    customer: str
    status: Literal["frozen", "open", "closed"]


@dataclass(frozen=True)
class Joining:
    """The last customer's account is merged into the second one's: they are one person."""


@dataclass(frozen=True)
class Erasure:
    """All inputs of an account are erased."""

    customer: str


@dataclass(frozen=True)
class Change:
    """A version that comes to be held: for what happens from TURN on, which lies behind us."""

    version: ProposedVersion


Step = Delivery | Word | Standing | Joining | Erasure | Change


@dataclass(frozen=True)
class History:
    held: list[ProposedVersion]
    steps: list[Step]

    @property
    def changed(self) -> set[str]:
        """Behaviours whose rule was changed for a time that was over: their past is judged by what was held then."""
        return {step.version.code for step in self.steps if isinstance(step, Change)}


def proposed(
    kind: VersionKind, definition: Any, valid_from: datetime | None, valid_to: datetime | None
) -> ProposedVersion:
    return ProposedVersion(
        kind=kind,
        code=definition.code,
        content=as_content(definition),
        valid_from=valid_from,
        valid_to=valid_to,
    )


AMOUNTS = [90_000, 700_000, 1_700_000, 7_000_000]
"""Around what one ride and a few rides give, in mg or millicredits."""
LIMITS = {
    "count": st.sampled_from([None, None, 2, 5]),
    "mg": st.sampled_from([None, None, *AMOUNTS]),
    "millicredits": st.sampled_from([None, None, *AMOUNTS]),
}


@st.composite
def limits(draw: st.DrawFn) -> dict[str, Any]:
    """Return what a cap limits: one measure at least."""
    found = {name: draw(limit) for name, limit in LIMITS.items()}
    return found if any(found.values()) else {"mg": draw(st.sampled_from(AMOUNTS))}


@st.composite
def caps(draw: st.DrawFn, code: str) -> tuple[CapDefinition, ...]:
    windows: Any = draw(st.lists(st.sampled_from(["event", "day", "month", "year"]), min_size=1, max_size=3))
    return tuple(
        CapDefinition(code=f"{code}_{number}", window=window, **draw(limits()))
        for number, window in enumerate(windows)
    )


WINDOWS = st.sampled_from(["day", "month", "year", "3d", "7d"])
CONDITIONS = ("{counter} < {least}", "{counter} <= {least}", "{counter} >= 1 or {number} >= {most}")
"""The last is for regulars: whose earlier acts are not known earns less, not more."""


@st.composite
def rules(draw: st.DrawFn, code: str) -> RuleDefinition:
    shipped_rule = next(rule for rule in shipped().rules if rule.code == code)
    party, number = (
        ("payee_hash", "amount_minor") if code == "non_cash_payment" else ("ticket_reference", "distance_km")
    )
    measures = {"times": "count", "total": f"sum:{number}", "parties": f"distinct:{party}"}
    counters = {
        name: CounterDefinition(
            measure=measure,
            window=draw(WINDOWS),
            per=draw(st.sampled_from([None, party])) if name != "parties" else None,
        )
        for name, measure in measures.items()
        if draw(st.booleans())
    }
    tests = [f"{number} >= {draw(st.integers(1, 10))}"] if draw(st.booleans()) else []
    for name in counters:
        least = draw(st.integers(1, 200 if name == "total" else 6))
        condition = draw(st.sampled_from(CONDITIONS))
        tests.append(
            condition.format(counter=name, number=number, least=least, most=draw(st.integers(5, 40)))
        )
    return replace(
        shipped_rule,
        methodology=None,
        samples=(),
        ineligible_samples=(),
        counters=counters,
        eligibility=tuple(
            ConditionDefinition(code=f"condition_{place}", when=test, text_en="", text_zh="")
            for place, test in enumerate(tests)
        ),
        caps=draw(caps(code)),
        purpose=draw(st.sampled_from(["reduction", "credits_only"])),
        credits=replace(shipped_rule.credits, grant_millicredits=draw(st.sampled_from([0, 700]))),
        expiry_months=draw(st.integers(1, 24)),
    )


@st.composite
def rule_timelines(draw: st.DrawFn) -> list[ProposedVersion]:
    """Rules of three behaviours, each with one version or two; one may have a time in which there is none."""
    found = []
    for code in CODES:
        ranges: Any = [[(None, None)], [(None, TURN), (TURN, None)]]
        ranges += [[(TURN, None)]] if code == "metro_trip" else []
        found += [
            proposed(VersionKind.RULE, draw(rules(code)), *valid) for valid in draw(st.sampled_from(ranges))
        ]
    return found


VALID = st.sampled_from([(None, None), (None, None), (None, TURN), (TURN, None)])


@st.composite
def shared_caps(draw: st.DrawFn, number: int) -> SharedCapDefinition:
    return SharedCapDefinition(
        code=f"shared_{number}",
        name_en="",
        name_zh="",
        behaviours=draw(st.sampled_from([CODES, TRIPS, (CODES[0], CODES[2])])),
        valid_from=SINCE,
        window=draw(st.sampled_from(["day", "month", "year"])),
        **draw(limits()),
    )


@st.composite
def campaigns(draw: st.DrawFn, number: int) -> CampaignDefinition:
    stacking: Any = draw(st.sampled_from(["exclusive", "best_of", "additive"]))
    behaviours: Any = draw(st.sampled_from([CODES, TRIPS, CODES[1:2], CODES[:1]]))
    segments = ["", "weekday <= 4", "days_since_opening >= 5"]
    segments += ['fare_medium == "qr"'] if behaviours == CODES[1:2] else []
    multiplies = draw(st.booleans())
    own: Any = draw(
        st.lists(
            st.tuples(st.sampled_from(["event", "day", "month", "year"]), st.integers(1, 2_000_000)),
            max_size=2,
        )
    )
    return CampaignDefinition(
        code=f"campaign_{number}",
        name_en="",
        name_zh="",
        text_en="",
        text_zh="",
        behaviours=behaviours,
        valid_from=SINCE,
        valid_to=datetime(2027, 1, 1, tzinfo=UTC),
        segment=draw(st.sampled_from(segments)),
        multiplier=Decimal(draw(st.sampled_from(["1.5", "3.33"]))) if multiplies else Decimal(1),
        bonus_millicredits=0 if multiplies else draw(st.sampled_from(AMOUNTS)),
        priority=draw(st.integers(0, 2)),
        stacking=stacking,
        ceiling_millicredits=draw(st.sampled_from(AMOUNTS)) if stacking == "additive" else None,
        caps=tuple(
            CampaignCapDefinition(code=f"own_{place}", window=window, millicredits=most)
            for place, (window, most) in enumerate(own)
        ),
        samples=(),
    )


@st.composite
def budgets(draw: st.DrawFn) -> list[BudgetDefinition]:
    """Budgets that are soon used up, of everything or of a campaign's bonus."""
    return [
        BudgetDefinition(
            code=f"budget_{campaign}",
            name_en="",
            name_zh="",
            period=draw(st.sampled_from(["month", "year"])),
            millicredits=draw(st.sampled_from([700_000, 9_000_000, 60_000_000])),
            campaign=campaign,
            valid_from=date(2025, 1, 1),
        )
        for campaign in (None, "campaign_0")
        if draw(st.booleans())
    ]


@st.composite
def held(draw: st.DrawFn, *, with_budgets: bool = True) -> list[ProposedVersion]:
    """Everything that a programme holds."""
    found = draw(rule_timelines())
    found += [
        proposed(VersionKind.SHARED_CAP, draw(shared_caps(number)), *draw(VALID))
        for number in range(draw(st.integers(0, 2)))
    ]
    for number in range(draw(st.integers(0, 3))):
        found.append(proposed(VersionKind.CAMPAIGN, draw(campaigns(number)), *draw(VALID)))
    if with_budgets:
        found += [proposed(VersionKind.BUDGET, each, None, None) for each in draw(budgets())]
    return found


CUSTOMER = st.sampled_from(CUSTOMERS)


def acts(*, clashes: bool) -> st.SearchStrategy[Act]:
    return st.builds(
        Act,
        customer=CUSTOMER,
        behaviour=st.sampled_from(CODES),
        day=DAYS,
        hour=st.integers(0, 23),
        size=st.integers(1, 60),
        party=st.sampled_from("ab"),
        clash=st.sampled_from([None] * 20 + [0, 1]) if clashes else st.none(),
    )


AGAIN = st.builds(
    Again,
    place=st.integers(0, 200),
    how=st.sampled_from(
        ["same", "otherwise", "outdated", *["corrected"] * 3, *["moved"] * 3, *["reversed"] * 4]
    ),
    size=st.integers(1, 60),
    day=DAYS,
)


WORDS = st.builds(Word, CUSTOMER, st.sampled_from(CONSENTS), st.booleans())
STANDINGS = st.builds(Standing, CUSTOMER, st.sampled_from(["frozen", "open", "open"]))
CLOSINGS = st.just(Standing(CUSTOMERS[-1], "closed")) | st.just(Joining())
ERASURES = st.builds(Erasure, st.sampled_from(CUSTOMERS[1:]))
CHANGES = (
    st.sampled_from(TRIPS)
    .flatmap(rules)
    .map(lambda rule: Change(proposed(VersionKind.RULE, rule, TURN, None)))
)


@st.composite
def steps(draw: st.DrawFn, *others: st.SearchStrategy[Any], clashes: bool) -> list[Step]:
    """Return deliveries, in any order of days, so that many acts are reported late; now and then something else."""
    act = acts(clashes=clashes)
    reports: list[st.SearchStrategy[Any]] = [act, act, act, AGAIN]
    found: list[Step] = []
    for _ in range(draw(st.integers(6, 8))):
        kind = draw(st.integers(0, 2 * len(others) - 1))
        if kind < len(others) and found:
            found.append(draw(others[kind]))
        found.append(
            Delivery([draw(draw(st.sampled_from(reports))) for _ in range(draw(st.integers(10, 20)))])
        )
    return found


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Return a past with everything in it."""
    return History(draw(held()), draw(steps(WORDS, STANDINGS, CLOSINGS, ERASURES, CHANGES, clashes=True)))


@st.composite
def plain_histories(draw: st.DrawFn) -> History:
    """Return a past whose events go to the same decisions whatever the rules say: no budgets, no act reported twice.

    Nor is anything erased, nor a rule changed.
    """
    return History(draw(held(with_budgets=False)), draw(steps(WORDS, STANDINGS, CLOSINGS, clashes=False)))


@st.composite
def periods(draw: st.DrawFn) -> Period:
    """Return a period that has something before and after it."""
    first, last = draw(st.sampled_from([2, 2, 3, 4, 5, 18])), draw(st.sampled_from([5, 18, 34, 36, 59]))
    return Period(*sorted([FIRST_DAY + timedelta(days=first), FIRST_DAY + timedelta(days=last)]))
