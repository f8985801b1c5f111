"""Profiles are checked whole, and every shipped one holds."""

from __future__ import annotations

import json

import pytest

from carbonpoints.behaviours.profiles import (
    parse_profile,
    profile_from_content,
    shipped_profiles,
    validate_mapping,
)
from carbonpoints.rules.nodes import DefinitionError
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.shipped import load_demonstration_programme
from tests.feeds.shipped import PLAIN, behaviours, catalogue, plain

SHIPPED = shipped_profiles()


@pytest.mark.parametrize("code", [profile.code for profile in SHIPPED])
def test_every_shipped_profile_holds(code: str) -> None:
    profile = next(found for found in SHIPPED if found.code == code)
    assert list(validate_mapping(profile, behaviours())) == []
    stored = json.loads(json.dumps(as_content(profile), sort_keys=True))
    assert profile_from_content(stored) == profile
    programmes = [catalogue().programme, load_demonstration_programme("programme_1993").programme]
    assert [p.code for p in programmes if profile.source in {s.uri for s in p.event_sources}] != []


def changed(old: str, new: str) -> str:
    assert PLAIN.count(old) == 1
    return PLAIN.replace(old, new)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (changed("code: plain", "code: Plain"), "plain.yaml:3: feed.code: must be small letters"),
        (
            changed("Asia/Shanghai", "Asia/Nowhere"),
            "plain.yaml:10: feed.time_zone: 'Asia/Nowhere' is no IANA",
        ),
        (changed("UTF-8", "UTF-16"), "plain.yaml:7: feed.encoding: must be one of UTF-8, GB18030"),
        (changed("yyyy-MM-dd", "yyyy-mm-dd"), "plain.yaml:15: feed.columns.2.format: the month is missing"),
        (changed("name: account", "name: reference"), "feed.columns.1.name: reference is there twice"),
        (changed("name: account", "name: ｒeference"), "feed.columns.1.name: ｒeference is there twice"),
        (changed("name: account", "name: 1st"), "feed.columns.1.name: must be a name"),
        (changed("name: account", "name: account, of: [fee]"), "feed.columns.1.of: fee is no text column"),
        (changed("name: account", "name: account, format: yy"), "feed.columns.1.format: is for dates"),
        (changed("note != ", "nota != "), "plain.yaml:19: feed.filter: column 1:"),
        (
            changed("occurred_at: paid_on", "occurred_at: note"),
            "feed.occurred_at: must be a date or an instant",
        ),
        (changed("event_id: reference", "event_id: amount"), "feed.event_id: column 1: this gives a number"),
        (changed("key: code", "key: payer"), "plain.yaml:34: feed.tables.payees.key: column 1:"),
        (changed('lookup("payees"', 'lookup("nobody"'), "feed.data.payee_hash: column 17:"),
        (changed("header: false", "header: false\n  colour: red"), "feed.colour: is not a known field here"),
        (
            changed("header: false", "format: camt"),
            "plain.yaml:12: feed.columns: are declared for csv, and only",
        ),
        (changed("header: false", "format: xml"), "plain.yaml:9: feed.format: must be one of csv, camt"),
        (PLAIN + "  keyed: [payer_hash]\n", "plain.yaml:36: feed.keyed: payer_hash is not in data"),
    ],
)
def test_a_wrong_profile_names_line_and_field(text: str, problem: str) -> None:
    with pytest.raises(DefinitionError) as wrong:
        parse_profile(text, "plain.yaml")
    assert problem in str(wrong.value)


def test_a_mapping_that_the_behaviour_does_not_take_is_named() -> None:
    data = dict(plain().data, standing_order='"yes"', colour="note")
    del data["currency"]
    profile = plain(data=data, keyed=("amount_minor",))
    problems = dict(validate_mapping(profile, behaviours()))
    assert problems == {
        "keyed": "amount_minor is no text",
        "data.standing_order": "column 1: this gives a text, but true or false is needed",
        "data.colour": "non_cash_payment has no such attribute",
        "data": "currency is missing: non_cash_payment needs it",
    }
