"""Versions are put in force by two persons, replaced by new ones, and never overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import FieldChange, ProposedVersion
from carbonpoints.approvals.drafts import put_in_force, read_draft
from carbonpoints.approvals.errors import (
    ChangeOutdated,
    FourEyes,
    IdentityFixed,
    StepNotAllowed,
    UnknownChange,
    UnknownProgramme,
    ValidityOverlap,
)
from carbonpoints.approvals.lifecycle import Step
from carbonpoints.approvals.services import (
    ImportOutcome,
    create_bank_and_programme,
    draft_change,
    import_shipped,
)
from carbonpoints.approvals.steps import lock_change, take_step
from carbonpoints.approvals.versions import (
    VersionKind,
    current_versions,
    list_versions,
    version_history,
    version_mark,
)
from carbonpoints.core.clock import clock_at

SEEDED = datetime(2026, 1, 1, tzinfo=UTC)
CHANGED = datetime(2026, 6, 1, tzinfo=UTC)
Y2022, Y2024 = datetime(2022, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)

SETTINGS = {
    "code": "green",
    "name_en": "Green",
    "name_zh": "绿色",
    "time_zone": "Asia/Shanghai",
    "currency": "CNY",
    "late_event_days": 30,
}


def factor(
    value: str, code: str = "BUS", valid_from: datetime | None = Y2022, valid_to: datetime | None = None
) -> ProposedVersion:
    return ProposedVersion(
        kind=VersionKind.FACTOR,
        code=code,
        content={"code": code, "value": value, "source": {"title": "S", "pages": ["1", "2"]}},
        valid_from=valid_from,
        valid_to=valid_to,
    )


def seed(session: Session, settings: Mapping[str, Any] = SETTINGS, **given: str) -> ImportOutcome:
    texts = {
        "bank_code": "hbank",
        "issuer": "https://id.hbank.test",
        "bank_name_en": "H Bank",
        "bank_name_zh": "华银行",
        "maker_person": "lin",
        "checker_person": "zhao",
    }
    return create_bank_and_programme(session, settings=settings, **{**texts, **given})


def ship(session: Session, programme_id: int, *proposed: ProposedVersion) -> ImportOutcome:
    return import_shipped(
        session, programme_id=programme_id, proposed=proposed, maker_person="lin", checker_person="zhao"
    )


@pytest.fixture
def programme_id(plain_kinds: None, session: Session) -> int:
    with clock_at(SEEDED):
        return seed(session).programme_id


def in_force(session: Session, programme_id: int, known_at: datetime | None = None) -> list[tuple[Any, ...]]:
    return [
        (version.version_no, version.content["value"], version.valid_from, version.valid_to)
        for version in current_versions(session, programme_id, VersionKind.FACTOR, known_at=known_at)
    ]


def change_requests(session: Session) -> list[tuple[Any, ...]]:
    query = (
        "SELECT origin, state, maker_person, checker_person FROM change_request ORDER BY change_request_id"
    )
    return [tuple(row) for row in session.execute(text(query))]


def test_the_first_import_is_in_force_at_once_and_answered_for_by_two(
    session: Session, programme_id: int
) -> None:
    with clock_at(SEEDED):
        outcome = ship(session, programme_id, factor("1", valid_to=Y2024), factor("2", valid_from=Y2024))
    assert outcome == ImportOutcome(
        programme_id=programme_id, unchanged=0, activated=((VersionKind.FACTOR, "BUS"),)
    )
    assert in_force(session, programme_id) == [(1, "1", Y2022, Y2024), (2, "2", Y2024, None)]
    assert change_requests(session) == [("shipped", "active", "lin", "zhao")] * 2
    (settings,) = current_versions(session, programme_id, VersionKind.PROGRAMME)
    assert (settings.code, settings.content, settings.known_from) == ("green", SETTINGS, SEEDED)


def test_the_same_again_does_nothing(session: Session, programme_id: int) -> None:
    ship(session, programme_id, factor("1"))
    before = version_mark(session, programme_id, VersionKind)
    assert ship(session, programme_id, factor("1")) == ImportOutcome(programme_id=programme_id, unchanged=1)
    assert seed(session) == ImportOutcome(programme_id=programme_id, unchanged=1)
    assert version_mark(session, programme_id, VersionKind) == before
    assert len(change_requests(session)) == 2


def test_a_changed_file_makes_one_draft_and_leaves_what_is_in_force(
    session: Session, programme_id: int
) -> None:
    ship(session, programme_id, factor("1"), factor("5", code="METRO"))
    before = version_mark(session, programme_id, [VersionKind.FACTOR])
    outcome = ship(session, programme_id, factor("1.5"), factor("5", code="METRO"))
    assert (outcome.unchanged, outcome.activated) == (1, ())
    (change,) = outcome.changes
    assert change.proposed == factor("1.5")
    assert change.fields == (FieldChange("value", "1", "1.5"),)
    assert change_requests(session)[-1] == ("shipped", "draft", "lin", None)
    assert version_mark(session, programme_id, [VersionKind.FACTOR]) == before
    again = ship(session, programme_id, factor("1.5"), factor("5", code="METRO"))
    assert (again.draft_id, len(change_requests(session))) == (outcome.draft_id, 3)


def test_a_diff_names_every_field_by_its_path(session: Session, programme_id: int) -> None:
    ship(session, programme_id, factor("1"))
    changed = ProposedVersion(
        kind=VersionKind.FACTOR,
        code="BUS",
        content={"code": "BUS", "source": {"title": "S", "pages": ["1", "3", "4"]}, "note": "new"},
        valid_from=Y2022,
    )
    outcome = draft_change(
        session, programme_id=programme_id, proposed=[changed], maker_person="lin", reason="checked"
    )
    assert outcome.changes[0].fields == (
        FieldChange("note", None, "new"),
        FieldChange("source.pages.1", "2", "3"),
        FieldChange("source.pages.2", None, "4"),
        FieldChange("value", "1", None),
    )
    assert change_requests(session)[-1] == ("admin", "draft", "lin", None)


def draft(session: Session, programme_id: int, *proposed: ProposedVersion) -> int:
    outcome = draft_change(
        session, programme_id=programme_id, proposed=proposed, maker_person="lin", reason="new figure"
    )
    assert outcome.draft_id is not None
    return outcome.draft_id


def confirm(session: Session, programme_id: int, number: int, person: str = "zhao") -> None:
    """Submit and approve, without asking for evidence and notice."""
    change = lock_change(session, programme_id, number)
    if change.state == "draft":
        take_step(session, change, Step.SUBMIT, person="lin")
    put_in_force(session, change, read_draft(session, change), person=person, reason=None)


def test_a_confirmed_change_keeps_what_was_known_before(session: Session, programme_id: int) -> None:
    with clock_at(SEEDED):
        ship(session, programme_id, factor("1"))
    with clock_at(CHANGED - timedelta(days=7)):
        number = draft(session, programme_id, factor("2", valid_from=Y2024))
    with clock_at(CHANGED):
        confirm(session, programme_id, number)
    assert in_force(session, programme_id) == [(3, "1", Y2022, Y2024), (2, "2", Y2024, None)]
    assert in_force(session, programme_id, CHANGED - timedelta(seconds=1)) == [(1, "1", Y2022, None)]
    assert in_force(session, programme_id, CHANGED) == in_force(session, programme_id)
    assert in_force(session, programme_id, SEEDED - timedelta(seconds=1)) == []
    assert current_versions(session, programme_id, VersionKind.PROPOSAL) == ()
    assert change_requests(session)[-1] == ("admin", "active", "lin", "zhao")
    with pytest.raises(StepNotAllowed):
        take_step(session, lock_change(session, programme_id, number), Step.SUBMIT, person="lin")


def test_one_version_may_be_replaced_by_two(session: Session, programme_id: int) -> None:
    ship(session, programme_id, factor("1", valid_from=None))
    y2026 = datetime(2026, 1, 1, tzinfo=UTC)
    number = draft(
        session,
        programme_id,
        factor("2", valid_from=Y2022, valid_to=Y2024),
        factor("3", valid_from=Y2024, valid_to=y2026),
    )
    confirm(session, programme_id, number)
    assert in_force(session, programme_id) == [
        (4, "1", None, Y2022),
        (2, "2", Y2022, Y2024),
        (3, "3", Y2024, y2026),
        (5, "1", y2026, None),
    ]


def test_what_is_known_never_runs_backwards(session: Session, programme_id: int) -> None:
    with clock_at(SEEDED):
        ship(session, programme_id, factor("1"))
        confirm(session, programme_id, draft(session, programme_id, factor("2")))
    replaced, replacing = version_history(session, programme_id, VersionKind.FACTOR, "BUS")
    assert (replaced.known_from, replaced.known_to) == (SEEDED, SEEDED + timedelta(microseconds=2))
    assert (replacing.known_from, replacing.known_to) == (replaced.known_to, None)


def test_a_draft_compared_with_what_has_been_replaced_is_refused(session: Session, programme_id: int) -> None:
    ship(session, programme_id, factor("1"))
    first = draft(session, programme_id, factor("2"))
    second = draft(session, programme_id, factor("3"))
    confirm(session, programme_id, first)
    with pytest.raises(ChangeOutdated):
        confirm(session, programme_id, second)
    assert in_force(session, programme_id) == [(2, "2", Y2022, None)]


def test_maker_and_checker_are_two_persons(session: Session, programme_id: int) -> None:
    ship(session, programme_id, factor("1"))
    number = draft(session, programme_id, factor("2"))
    (waiting,) = read_draft(session, lock_change(session, programme_id, number)).changes
    assert (waiting.proposed, waiting.fields) == (factor("2"), (FieldChange("value", "1", "2"),))
    with pytest.raises(FourEyes):
        confirm(session, programme_id, number, "lin")
    with pytest.raises(FourEyes):
        import_shipped(
            session, programme_id=programme_id, proposed=[], maker_person="lin", checker_person="lin"
        )
    assert in_force(session, programme_id) == [(1, "1", Y2022, None)]


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE change_request SET checker_person = maker_person", "follow from its steps"),
        ("UPDATE change_request SET checker_person = NULL", "follow from its steps"),
        ("UPDATE change_request SET state = 'rejected'", "follow from its steps"),
        ("UPDATE change_request SET maker_person = 'wang'", "began with stays"),
        ("DELETE FROM change_request", "append-only"),
    ],
)
def test_the_database_lets_nobody_rewrite_who_answers_for_a_change(
    session: Session, programme_id: int, statement: str, constraint: str
) -> None:
    with pytest.raises(DBAPIError, match=constraint):
        session.execute(text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE version SET content = '{}'",
        "UPDATE version SET known = tstzrange('2020-01-01Z', NULL)",
        "UPDATE version SET known = tstzrange(lower(known), '2030-01-01Z'), code = 'x'",
        "DELETE FROM version",
        "TRUNCATE version CASCADE",
    ],
)
def test_the_database_lets_nobody_overwrite_a_version(
    session: Session, programme_id: int, statement: str
) -> None:
    with pytest.raises(DBAPIError, match=r"never overwritten|append-only"):
        session.execute(text(statement))


COPY = """INSERT INTO version (programme_id, kind, code, version_no, content, content_hash, valid, known,
  change_request_id)
SELECT programme_id, kind, code, 9, content, content_hash, {valid}, {known}, change_request_id FROM version
WHERE kind = 'factor'"""


@pytest.mark.parametrize(
    ("valid", "known"),
    [("tstzrange('2030-01-01Z', NULL)", "known"), ("valid", "tstzrange('2030-01-01Z', NULL)")],
)
def test_the_database_holds_one_version_at_a_time(
    session: Session, programme_id: int, valid: str, known: str
) -> None:
    ship(session, programme_id, factor("1"))
    with pytest.raises(IntegrityError, match="ex_version_one_at_a_time"):
        session.execute(text(COPY.format(valid=valid, known=known)))


def test_two_versions_of_a_code_at_one_time_are_refused_before_anything_is_stored(
    session: Session, programme_id: int
) -> None:
    with pytest.raises(ValidityOverlap):
        ship(session, programme_id, factor("1"), factor("2", valid_from=Y2024))
    assert in_force(session, programme_id) == []


def test_issuer_time_zone_and_currency_never_change(session: Session, programme_id: int) -> None:
    with pytest.raises(IdentityFixed):
        seed(session, issuer="https://elsewhere.test")
    with pytest.raises(IdentityFixed):
        seed(session, settings={**SETTINGS, "currency": "EUR"})
    assert change_requests(session) == [("shipped", "active", "lin", "zhao")]


def test_changed_settings_wait_as_a_draft(session: Session, programme_id: int) -> None:
    outcome = seed(session, settings={**SETTINGS, "late_event_days": 60})
    assert outcome.changes[0].fields == (FieldChange("late_event_days", 30, 60),)
    (settings,) = current_versions(session, programme_id, VersionKind.PROGRAMME)
    assert settings.content["late_event_days"] == 30


def test_programmes_of_one_bank_have_versions_of_their_own(session: Session, programme_id: int) -> None:
    ship(session, programme_id, factor("1"))
    other = seed(session, settings={**SETTINGS, "code": "other"}).programme_id
    assert in_force(session, other) == []
    number = draft(session, other, factor("2"))
    with pytest.raises(UnknownChange):
        confirm(session, programme_id, number)


def test_unknown_numbers_are_refused(session: Session, programme_id: int) -> None:
    with pytest.raises(UnknownProgramme):
        ship(session, 32_000, factor("1"))
    with pytest.raises(UnknownChange):
        confirm(session, programme_id, 2_000_000_000)


def test_current_versions_are_read_page_by_page(session: Session, programme_id: int) -> None:
    with clock_at(SEEDED):
        ship(session, programme_id, factor("1"), factor("5", code="METRO"))
    confirm(session, programme_id, draft(session, programme_id, factor("2", valid_from=Y2024)))

    def page(**given: Any) -> list[tuple[str, int]]:
        versions = list_versions(session, programme_id, VersionKind.FACTOR, **{"limit": 9, **given})
        return [(version.code, version.version_no) for version in versions]

    assert page() == [("BUS", 2), ("BUS", 3), ("METRO", 1)]
    assert page(limit=2) == [("BUS", 2), ("BUS", 3)]
    assert page(after=("BUS", 3)) == [("METRO", 1)]
    assert page(valid_at=Y2024) == [("BUS", 2), ("METRO", 1)]
    assert page(known_at=SEEDED) == [("BUS", 1), ("METRO", 1)]
    assert page(valid_at=Y2022 - timedelta(seconds=1)) == []


def test_history_holds_every_version_of_a_code(session: Session, programme_id: int) -> None:
    ship(session, programme_id, factor("1"), factor("5", code="METRO"))
    confirm(session, programme_id, draft(session, programme_id, factor("2")))
    history = version_history(session, programme_id, VersionKind.FACTOR, "BUS")
    assert [(version.version_no, version.content["value"]) for version in history] == [(1, "1"), (2, "2")]
    assert history[0].known_to == history[1].known_from
    assert version_history(session, programme_id, VersionKind.FACTOR, "TRAM") == ()
