from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.versions import StoredVersion, VersionKind
from carbonpoints.rules.catalogue import catalogue_of
from carbonpoints.rules.drafting import held_since_ever, with_draft
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.timelines import Held, HeldVersions
from tests.rules.engine_world import PLAIN, RIDE

SPRING, SUMMER, AUTUMN = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 6, 9))


def stored(number: int, kind: VersionKind, definition: Any, *valid: datetime | None) -> Held[Any]:
    start, end = valid or (None, None)
    version = StoredVersion(
        version_id=number,
        programme_id=1,
        kind=kind,
        code=definition.code,
        version_no=1,
        content={},
        content_hash=b"",
        valid_from=start,
        valid_to=end,
        known_from=SPRING,
        known_to=None,
        change_request_id=1,
    )
    return Held(version, definition)


def drafted(label: str, *valid: datetime | None, code: str = "ride") -> ProposedVersion:
    start, end = valid
    rule = replace(PLAIN, code=code, label=label, factors=(), baseline="km")
    return ProposedVersion(
        kind=VersionKind.RULE, code=code, content=as_content(rule), valid_from=start, valid_to=end
    )


IN_FORCE = HeldVersions(
    [stored(1, VersionKind.BEHAVIOUR, RIDE)],
    [stored(2, VersionKind.RULE, replace(PLAIN, label="in force", factors=(), baseline="km"))],
    [],
)


def labels(held: HeldVersions, *instants: datetime) -> list[str]:
    catalogue = catalogue_of(1, held)
    found = [catalogue.rule_at("ride", instant) for instant in instants]
    return [each.rule.label if each is not None and each.rule is not None else "none" for each in found]


def test_a_draft_holds_when_it_says_and_what_is_in_force_around_it() -> None:
    held = with_draft(IN_FORCE, [drafted("draft", SUMMER, AUTUMN)])
    assert labels(held, SPRING, SUMMER, AUTUMN) == ["in force", "draft", "in force"]


def test_a_draft_takes_the_place_of_a_rule_of_another_code_too() -> None:
    held = with_draft(IN_FORCE, [drafted("draft", SUMMER, None, code="other")])
    assert labels(held, SPRING, SUMMER, AUTUMN) == ["in force", "draft", "draft"]


def test_as_if_since_ever_the_first_version_of_a_code_is_set_back_and_no_other() -> None:
    draft = [drafted("second", AUTUMN, None), drafted("first", SUMMER, AUTUMN)]
    assert labels(with_draft(IN_FORCE, held_since_ever(draft)), SPRING, SUMMER, AUTUMN) == [
        "first",
        "first",
        "second",
    ]


def test_versions_of_a_draft_are_numbered_below_zero() -> None:
    pinned = catalogue_of(1, with_draft(IN_FORCE, [drafted("draft", SUMMER, None)])).rule_at("ride", SUMMER)
    assert pinned is not None
    assert (pinned.behaviour_version_id, pinned.rule_version_id) == (1, -1)


def test_other_kinds_are_left_out() -> None:
    profile = ProposedVersion(kind=VersionKind.FEED_PROFILE, code="bank", content={"code": "bank"})
    assert labels(with_draft(IN_FORCE, [profile]), SPRING) == ["in force"]
