"""Why an act earned what it earned: data from which anybody can rebuild it, and one sentence in two languages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from math import floor
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.sentences import NOTHING, PROBLEMS, UNDECIDED
from carbonpoints.core.config import Settings
from carbonpoints.core.ids import account_public_id
from carbonpoints.core.roles import Role
from carbonpoints.core.sentences import CAVEAT
from carbonpoints.rules.definitions import RuleDefinition
from tests.behaviours.api import BANK, RIDE, TRANSIT, Api, body, ends, event, refusal, ride
from tests.behaviours.world import NOW, World, payment, shipped

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture
def api(world: World, client: FlaskClient, settings: Settings) -> Api:
    return Api(client, settings)


def value_of(expression: str, names: dict[str, Any]) -> Fraction:
    """Work a shipped formula out with fractions and Python's own arithmetic: no word of our language's code."""
    exact = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)", r"F('\1')", expression)
    found = eval(exact, {"__builtins__": {}, "F": Fraction, "min": min, "max": max}, dict(names))  # noqa: S307 - the shipped rules' own text
    return Fraction(found)


def rebuilt(why: dict[str, Any]) -> tuple[int, int]:
    """Return mg and millicredits before caps, from the answer alone."""
    names: dict[str, Any] = {factor["code"]: Fraction(factor["value"]) for factor in why["factors"]}
    for name, value in why["inputs"]["data"].items():
        is_number = isinstance(value, str) and re.fullmatch(r"-?[0-9.]+", value)
        names[name] = Fraction(value) if is_number else value
    for formula in why["formulas"]:
        grams = names[formula["name"]] = value_of(formula["expression"], names)
        assert Fraction(formula["result_g"]) == grams
        if formula["steps"]:
            assert formula["steps"][-1] == {"text": formula["expression"], "value": formula["result_g"]}
    mg = floor(names["estimate"] * 1000)
    rule = why["rule"]
    return mg, floor(mg * Fraction(rule["millicredits_per_mg"])) + rule["grant_millicredits"]


HOUR = ((NOW - timedelta(hours=1)).isoformat(), NOW.isoformat())
"""What an act that takes time took."""


def sample_events() -> list[tuple[str, dict[str, Any]]]:
    """The first sample of every shipped rule, with all numbers said, as an act of today."""
    events = []
    for rule in shipped().rules:
        behaviour = next(b for b in shipped().behaviours if b.code == rule.behaviour)
        defaults = {
            name: attribute.default
            for name, attribute in behaviour.attributes.items()
            if attribute.type == "number" and attribute.default is not None
        }
        taken = dict(zip(behaviour.claim.interval, HOUR, strict=False))
        events.append((rule.behaviour, {**defaults, **rule.samples[0].attributes, **taken}))
    return events


def test_every_shipped_rules_award_can_be_rebuilt_from_its_answer(api: Api, world: World) -> None:
    customer = replace(api, role=Role.CUSTOMER, subject="C1")
    for number, (behaviour, data) in enumerate(sample_events()):
        receipt = world.one(behaviour, data, event_id=f"S{number}")
        assert receipt.disposition is Disposition.CREDITED, behaviour
        why = body(customer.get(f"/awards/evt_{receipt.account_id}_{receipt.account_seq}"))
        mg, amount_millicredits = rebuilt(why)
        is_reduction = why["rule"]["purpose"] == "reduction"
        assert why["estimate_mg"] == mg, behaviour
        assert why["reduction_mg"] == receipt.reduction_mg == (mg if is_reduction else 0)
        assert why["amount_millicredits"] == receipt.amount_millicredits == amount_millicredits
        assert why["cut_by"] is None
        assert all(one["holds"] is True for one in why["conditions"])
        assert why["sentence"]["en"].isascii() or "“" in why["sentence"]["en"]
        assert CHINESE.search(why["sentence"]["zh"])


def test_an_award_says_all_there_is_to_say(api: Api, world: World) -> None:
    item = api.send(ride("E-1", distance_km="3.217", route="6"))
    why = api.why(item["event_id"])
    rule = why.pop("rule")
    (factor,) = why.pop("factors")
    assert (rule["code"], rule["purpose"], rule["millicredits_per_mg"], rule["grant_millicredits"]) == (
        "bus_trip",
        "reduction",
        "1",
        0,
    )
    assert (factor["code"], factor["value"], factor["grade"]) == ("BUS_EV_SZ", "26.9", "B")
    assert why.pop("sentence") == {
        "en": "Bus trip on 2026-06-15 earned 86.537 credits and an estimated reduction of 86.537 g CO2e, "
        "by the rule “Bus trips paid by QR code or card”.",
        "zh": "2026-06-15 的公交出行获得 86.537 积分,估算减排量 86.537 克二氧化碳当量,依据规则“扫码或刷卡乘坐公交”。",
    }
    assert (why.pop("caveat"), why.pop("restatements")) == (CAVEAT._asdict(), [])
    nothing = {"expression": "0", "steps": [], "result_g": "0"}
    assert why == {
        "event_id": item["event_id"],
        "account_id": account_public_id(world.accounts["C1"]),
        "behaviour": "bus_trip",
        "disposition": "credited",
        "reason": None,
        "reduction_mg": 86_537,
        "amount_millicredits": 86_537,
        "taken_back": None,
        "appeal": None,
        "occurred_at": NOW.isoformat(),
        "received_at": NOW.isoformat(),
        "booked_at": NOW.isoformat(),
        "local_date": "2026-06-15",
        "business_date": "2026-06-15",
        "expires_on": "2028-06-30",
        "inputs_state": "kept",
        "inputs": why["inputs"],
        "conditions": [],
        "counters": {},
        "formulas": [
            {
                "name": "baseline",
                "expression": "distance_km * BUS_EV_SZ",
                "steps": [{"text": "distance_km * BUS_EV_SZ", "value": "86.5373"}],
                "result_g": "86.5373",
            },
            {"name": "project", **nothing},
            {"name": "leakage", **nothing},
            {
                "name": "estimate",
                "expression": "max(0, baseline - project - leakage)",
                "steps": [
                    {"text": "baseline - project", "value": "86.5373"},
                    {"text": "baseline - project - leakage", "value": "86.5373"},
                    {"text": "max(0, baseline - project - leakage)", "value": "86.5373"},
                ],
                "result_g": "86.5373",
            },
        ],
        "estimate_mg": 86_537,
        "cut_by": None,
        "boosts": [],
        "budget": None,
    }
    assert why["inputs"]["data"] == {
        **RIDE,
        "ticket_reference": "of E-1",
        "distance_km": "3.217",
        "route": "6",
    }


def test_the_cap_that_cut_is_named_with_what_it_had_left(api: Api) -> None:
    items = [api.send(ride(f"E-{number}", distance_km="60")) for number in range(3)]
    assert ends(items) == ["credited", "partly_credited", "capped"]
    cuts = [api.why(item["event_id"])["cut_by"] for item in items]
    left = 2_000_000 - 1_614_000
    assert cuts == [
        None,
        {"code": "bus_trip_day", "window": "day", "left": left},
        {"code": "bus_trip_day", "window": "day", "left": 0},
    ]
    partly, capped = (api.why(item["event_id"]) for item in items[1:])
    assert (partly["reduction_mg"], partly["estimate_mg"]) == (left, 1_614_000)
    assert partly["sentence"]["en"].endswith("; the cap bus_trip_day cut the rest.")
    assert partly["sentence"]["zh"].endswith(";其余部分因上限 bus_trip_day 未计。")
    assert capped["sentence"] == {
        "en": "Bus trip on 2026-06-15 earned nothing: the cap bus_trip_day was used up.",
        "zh": "2026-06-15 的公交出行未获得积分:上限 bus_trip_day 已用完。",
    }
    assert refusal(api.get(f"/awards/{items[2]['event_id']}")) == (404, "event_not_found")


# Pinned versions


def test_what_was_pinned_explains_whatever_is_in_force_later(api: Api, session: Session) -> None:
    item = api.send(ride("E-1"))
    before = api.why(item["event_id"])
    ended = session.execute(
        text(
            "UPDATE version SET known = tstzrange(lower(known), :now) WHERE code IN ('bus_trip', 'BUS_EV_SZ')"
        ),
        {"now": NOW + timedelta(hours=1)},
    )
    session.commit()
    assert cast("Any", ended).rowcount >= 2
    assert ends([api.send(ride("E-2"))]) == ["unknown_behaviour"]
    assert api.why(item["event_id"]) == before


# Why not


INELIGIBLE: list[tuple[RuleDefinition, Any]] = [
    (rule, refused) for rule in shipped().rules for refused in rule.ineligible_samples if not refused.counters
]


def test_every_condition_of_every_shipped_rule_says_why_not_in_both_languages(api: Api, world: World) -> None:
    for number, (rule, refused) in enumerate(INELIGIBLE):
        receipt = world.one(rule.behaviour, refused.attributes, event_id=f"N{number}")
        assert (receipt.disposition, receipt.reason) == (Disposition.INELIGIBLE, refused.reason)
        why = api.why(f"evt_{receipt.account_id}_{receipt.account_seq}")
        condition_text = next(one for one in rule.eligibility if one.code == refused.reason)
        assert why["sentence"]["en"].endswith(f" earned nothing: {condition_text.text_en.rstrip('.')}.")
        assert why["sentence"]["zh"].endswith(f"未获得积分:{condition_text.text_zh}")
        held = {one["code"]: one["holds"] for one in why["conditions"]}
        assert held[refused.reason] is False
        assert [held[one.code] for one in rule.eligibility].count(True) == [
            one.code for one in rule.eligibility
        ].index(refused.reason)


def test_a_counter_says_what_it_stood_at(api: Api) -> None:
    items = [api.send(event(f"E-{n}", data=payment(f"T-{n}", payee_hash="one"))) for n in range(2)]
    why = api.why(items[1]["event_id"])
    assert (why["disposition"], why["reason"], why["counters"]) == (
        "ineligible",
        "payee_limit",
        {"same_payee_today": "1"},
    )
    assert why["sentence"] == {
        "en": "Non-cash payment on 2026-06-15 earned nothing: A payment to this payee has counted today.",
        "zh": "2026-06-15 的非现金支付未获得积分:今日向该收款方的支付已计一次。",
    }


def test_what_was_decided_before_any_rule_was_asked_says_why_not(
    api: Api, session: Session, world: World
) -> None:
    late = api.send(ride("E-1") | {"time": (NOW - timedelta(days=31)).isoformat()})
    api.send(ride("E-2"))
    twice = api.send(ride("E-3", ticket_reference="of E-2"))
    for status in ("frozen", "closed"):
        session.execute(
            text("UPDATE account SET status = :status WHERE account_id = :id"),
            {"status": status, "id": world.accounts["C1"]},
        )
        session.commit()
        api.send(ride(f"E-{status}"))
    ended = [
        late,
        twice,
        *(body(api.get("/events", source=TRANSIT, id=f"E-{s}")) for s in ("frozen", "closed")),
    ]
    assert ends(ended) == ["too_late", "claimed_elsewhere", "account_frozen", "account_closed"]
    for item in ended:
        why = api.why(item["event_id"])
        nothing = NOTHING[Disposition[item["disposition"].upper()]]
        assert why["sentence"]["en"].endswith(f" earned nothing: {nothing.en}.")
        assert why["sentence"]["zh"].endswith(f"未获得积分:{nothing.zh}。")
        assert [one["holds"] for one in why["conditions"]] == []
        assert (why["reduction_mg"], why["amount_millicredits"], why["expires_on"]) == (0, 0, None)


def test_every_way_to_earn_nothing_has_its_sentences() -> None:
    for sentence in (*NOTHING.values(), *PROBLEMS.values(), *UNDECIDED.values()):
        assert sentence.en.isascii()
        assert CHINESE.search(sentence.zh)


# Who may see it


def test_only_whose_it_is_and_who_sent_it_may_see_an_event(api: Api) -> None:
    payment_id, ride_id = api.send(event("E-1"))["event_id"], api.send(ride("E-2"))["event_id"]
    customers = {name: replace(api, role=Role.CUSTOMER, subject=name) for name in ("C1", "C2")}
    assert customers["C1"].why(payment_id)["disposition"] == "credited"
    for path in (f"/events/{payment_id}", f"/awards/{payment_id}"):
        assert refusal(customers["C2"].get(path))[0] == 404
    partner = replace(api, role=Role.FEED_PARTNER, sources=[TRANSIT])
    assert partner.why(ride_id)["disposition"] == "credited"
    assert refusal(partner.get(f"/events/{payment_id}")) == (404, "event_not_found")
    bank = replace(api, role=Role.FEED_PARTNER, sources=[BANK])
    assert refusal(bank.get(f"/events/{ride_id}")) == (404, "event_not_found")


def test_staff_say_why_they_look(api: Api, session: Session) -> None:
    event_id = api.send(ride("E-1"))["event_id"]
    auditor = replace(api, role=Role.AUDITOR)
    assert refusal(auditor.get(f"/events/{event_id}"))[1] == "purpose_needed"
    audited = "SELECT count(*) FROM audit_record WHERE action = 'event.read' AND purpose = 'case:7'"
    assert session.scalar(text(audited)) == 0
    assert auditor.why(event_id, purpose="case:7")["disposition"] == "credited"
    assert session.scalar(text(audited)) == 1


@pytest.mark.parametrize(
    "name",
    [lambda event_id: event_id + "9", lambda _: "evt_x", lambda event_id: event_id.replace("evt", "dec")],
)
def test_what_names_no_event_is_not_found(api: Api, name: Callable[[str], str]) -> None:
    event_id = api.send(ride("E-1"))["event_id"]
    assert refusal(api.get(f"/events/{name(event_id)}"))[0] in {404, 422}


def test_a_decision_that_is_no_event_is_not_found(api: Api, world: World) -> None:
    assert refusal(api.get(f"/events/evt_{world.accounts['C1']}_1"))[0] == 404
