"""The catalogue picks what held when an act happened, pins it, and is never out of date."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from carbonpoints.approvals import services as approvals
from carbonpoints.approvals.errors import EvidenceFailed, FourEyes
from carbonpoints.core.db import db, reading, transaction
from carbonpoints.rules.admission import proposed_versions
from carbonpoints.rules.catalogue import Catalogue, PinnedRule, load_catalogue, read_pin
from carbonpoints.rules.errors import RulesOverlap
from carbonpoints.rules.nodes import DefinitionError
from carbonpoints.rules.services import import_shipped
from carbonpoints.rules.submissions import Submission
from tests.rules.catalogue_files import (
    Y2025,
    behaviour,
    confirm,
    draft,
    factor,
    read,
    rule,
    seed_empty,
    ship,
    tram_files,
    write,
)

CHINA = ZoneInfo("Asia/Shanghai")
BEFORE = datetime(2023, 12, 31, 23, 59, 59, 999999, CHINA)
IN_2024 = datetime(2024, 1, 1, tzinfo=CHINA)
IN_2025 = datetime(2025, 1, 1, tzinfo=CHINA)


@pytest.fixture
def programme_id(session: Session) -> int:
    return seed_empty()


def load(programme_id: int) -> Catalogue:
    with reading() as session:
        return load_catalogue(session, programme_id)


def rule_at(programme_id: int, instant: datetime) -> PinnedRule:
    pinned = load(programme_id).rule_at("tram_trip", instant)
    assert pinned is not None
    return pinned


def store(session: Session, programme_id: int, submission: Submission) -> None:
    """Store versions without the checks and pins of an import."""
    approvals.import_shipped(
        session,
        programme_id=programme_id,
        proposed=proposed_versions(submission, CHINA),
        maker_person="lin",
        checker_person="zhao",
    )


def pins(session: Session) -> int:
    return int(session.scalar(text("SELECT count(*) FROM rule_pin")) or 0)


def test_an_act_is_judged_by_what_held_when_it_happened(programme_id: int, tmp_path: Path) -> None:
    dated = (
        factor("20").rstrip()
        + "\n  valid_to: 2025-01-01\n"
        + factor("15", "2025-01-01").removeprefix("factors:\n")
    )
    ship(programme_id, read(tram_files(tmp_path / "a", factor=dated)))
    first, second = rule_at(programme_id, IN_2024), rule_at(programme_id, IN_2025)
    assert (first.factors["TRAM"].value, second.factors["TRAM"].value) == (Decimal(20), Decimal(15))
    assert (first.factors["TRAM"].version_no, second.factors["TRAM"].version_no) == (1, 2)
    assert first.rule is not None
    assert (first.rule.code, first.rule_version_no, first.problem) == ("tram_trip", 1, None)
    assert rule_at(programme_id, IN_2025 - timedelta(microseconds=1)) is first
    assert rule_at(programme_id, datetime(2099, 1, 1, tzinfo=UTC)) is second


def test_a_behaviour_without_a_rule_in_force_is_known_and_pinned(programme_id: int, tmp_path: Path) -> None:
    ship(programme_id, read(tram_files(tmp_path / "a")))
    pinned = rule_at(programme_id, BEFORE)
    assert (pinned.rule, pinned.rule_version_id, pinned.factors) == (None, None, {})
    assert pinned.problem == "no_rule_in_force"
    assert pinned.behaviour.code == "tram_trip"
    assert pinned.pin_id != rule_at(programme_id, IN_2024).pin_id


def test_an_unknown_behaviour_has_no_rule(programme_id: int, tmp_path: Path) -> None:
    ship(programme_id, read(tram_files(tmp_path / "a")))
    assert load(programme_id).rule_at("train_trip", IN_2024) is None
    assert list(load(programme_id).behaviours) == ["tram_trip"]


def test_a_factor_that_does_not_hold_is_a_reason_and_no_crash(programme_id: int, tmp_path: Path) -> None:
    submission = read(tram_files(tmp_path / "a", factor=factor(valid_from="2025-01-01")))
    with transaction() as session:
        store(session, programme_id, submission)
    missing, there = rule_at(programme_id, IN_2024), rule_at(programme_id, IN_2025)
    assert missing.rule is not None
    assert (missing.problem, missing.factors) == ("factor_not_valid", {})
    assert (there.problem, list(there.factors)) == (None, ["TRAM"])


def test_a_confirmed_change_is_seen_by_the_next_use_and_old_pins_stay(
    session: Session, programme_id: int, tmp_path: Path
) -> None:
    ship(programme_id, read(tram_files(tmp_path / "a")))
    before = rule_at(programme_id, IN_2024)
    number = draft(
        programme_id, read(write(tmp_path / "b", factor=factor("25"), rule=rule(sample_mg=50_000)))
    )
    assert rule_at(programme_id, IN_2024) is before
    confirm(programme_id, number)
    after = rule_at(programme_id, IN_2024)
    assert (after.factors["TRAM"].value, after.rule_version_no) == (Decimal(25), 2)
    assert after.pin_id != before.pin_id
    with reading() as current:
        assert read_pin(current, before.pin_id) == before
        assert read_pin(current, after.pin_id) == after


def test_pins_are_made_once_per_combination(session: Session, programme_id: int, tmp_path: Path) -> None:
    ship(programme_id, read(tram_files(tmp_path / "a")))
    pinned = rule_at(programme_id, IN_2024)
    assert pins(session) == 2
    ship(programme_id, read(tram_files(tmp_path / "b", other=behaviour(code="train_trip"))))
    again = rule_at(programme_id, IN_2024)
    assert again is not pinned
    assert again == pinned
    assert pins(session) == 3


def test_nothing_changed_is_the_same_catalogue(programme_id: int, tmp_path: Path) -> None:
    ship(programme_id, read(tram_files(tmp_path / "a")))
    catalogue = load(programme_id)
    ship(programme_id, read(tmp_path / "a"))
    draft(programme_id, read(write(tmp_path / "b", factor=factor("25"), rule=rule(sample_mg=50_000))))
    assert load(programme_id) is catalogue


def test_what_was_rolled_back_is_not_believed(programme_id: int, tmp_path: Path) -> None:
    submission = read(tram_files(tmp_path / "a"))
    with reading() as session:
        store(session, programme_id, submission)
        assert list(load_catalogue(session, programme_id).behaviours) == ["tram_trip"]
    assert load(programme_id).behaviours == {}


def test_programmes_have_catalogues_of_their_own(programme_id: int, tmp_path: Path) -> None:
    ship(programme_id, read(tram_files(tmp_path / "a")))
    other = seed_empty("kbank")
    assert load(other).behaviours == {}
    ship(other, read(tmp_path / "a"))
    assert rule_at(other, IN_2024).pin_id != rule_at(programme_id, IN_2024).pin_id


def test_two_rules_for_one_act_never_load(programme_id: int, tmp_path: Path) -> None:
    submission = read(tram_files(tmp_path / "a"))
    twin = replace(submission.rules[0], definition=replace(submission.rules[0].definition, code="other"))
    with reading() as session:
        store(session, programme_id, replace(submission, rules=(*submission.rules, twin)))
        with pytest.raises(RulesOverlap):
            load_catalogue(session, programme_id)


def test_pins_are_never_changed(session: Session, programme_id: int, tmp_path: Path) -> None:
    ship(programme_id, read(tram_files(tmp_path / "a")))
    with pytest.raises(DBAPIError, match="append-only"):
        session.execute(text("UPDATE rule_pin SET rule_version_id = NULL"))


def test_two_who_meet_the_same_combination_first_pin_it_once(committed: Flask, tmp_path: Path) -> None:
    submission = read(tram_files(tmp_path / "a"))
    with committed.app_context():
        programme_id = seed_empty()
        with transaction() as session:
            store(session, programme_id, submission)
    together = threading.Barrier(2)
    found: list[int] = []

    def use() -> None:
        with committed.app_context():
            with transaction() as session:
                session.execute(text("SELECT 1"))
                together.wait(timeout=30)
                pinned = load_catalogue(session, programme_id).rule_at("tram_trip", IN_2024)
                assert pinned is not None
                found.append(pinned.pin_id)
            db.session.remove()

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with committed.app_context():
        assert pins(db.session()) == 2
        assert found == [rule_at(programme_id, IN_2024).pin_id] * 2


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            {"rule": rule(baseline="distance_km * TRAM + distance_km")},
            "rule.yaml:10: rule.baseline: column 22: g and km cannot be added",
        ),
        (
            {"factor": factor().replace("  source_title: Report\n", "")},
            "factor.yaml:2: factors.0.source_title: is missing",
        ),
        (
            {"factor": factor(unit="g/furlong")},
            "factor.yaml:6: factors.0.unit: 'furlong' is no unit that is known here",
        ),
        (
            {"behaviour": behaviour(consent_source="moods")},
            "behaviour.yaml:6: behaviour.consent_source: moods is no",
        ),
        (
            {"rule": rule(behaviour="train_trip")},
            "rule.yaml:3: rule.behaviour: train_trip is no behaviour type",
        ),
        ({"twin": behaviour()}, "twin.yaml:2: behaviour.code: tram_trip is given twice"),
        ({"zz": factor("21", "2024-06-01")}, "factor.yaml:14: factors.0.valid_from: TRAM"),
        ({"zz": rule(code="other", valid_from=Y2025)}, "rule.yaml:8: rule.valid_from: other"),
        ({"rule": rule(sample_mg=41_000)}, "rule.yaml:17: rule.samples.0: the rule gives 40000 mg"),
        (
            {"zz": "nothing: here\n"},
            "zz.yaml:1: file: must begin with one of factors, behaviour, rule, budgets, programme",
        ),
        ({"zz": "programme: {}\n"}, "zz.yaml:1: programme"),
    ],
)
def test_what_is_wrong_is_refused_by_line_and_nothing_changes(
    session: Session, programme_id: int, tmp_path: Path, changed: dict[str, str], problem: str
) -> None:
    before = session.scalar(text("SELECT count(*) FROM version"))
    with pytest.raises(DefinitionError) as refused:
        ship(programme_id, read(tram_files(tmp_path / "a", **changed)))
    assert any(f"a/{problem}" in line for line in str(refused.value).splitlines()), str(refused.value)
    assert session.scalar(text("SELECT count(*) FROM version")) == before


def test_all_wrong_files_are_named_together(tmp_path: Path) -> None:
    files = tram_files(tmp_path / "a", factor=factor(unit="x"), behaviour=behaviour(unit="x"))
    with pytest.raises(DefinitionError) as refused:
        read(files)
    assert [Path(item.file).name for item in refused.value.problems] == ["behaviour.yaml", "factor.yaml"]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"factor": factor("25")}, "tram_trip in force:0: samples.0: the rule gives 50000 mg"),
        ({"behaviour": behaviour(unit="m")}, "tram_trip in force:0: baseline"),
        (
            {"rule": rule(code="other", valid_from=Y2025)},
            "rule.yaml:8: rule.valid_from: tram_trip (tram_trip in force)",
        ),
        (
            {"rule": rule(valid_from="2022-06-01T00:00:00+08:00")},
            "rule.yaml:9: rule.factors.0: TRAM has no value",
        ),
    ],
)
def test_a_change_is_judged_with_what_is_in_force(
    session: Session, programme_id: int, tmp_path: Path, changed: dict[str, str], problem: str
) -> None:
    ship(programme_id, read(tram_files(tmp_path / "a")))
    with pytest.raises(DefinitionError) as refused:
        draft(programme_id, read(write(tmp_path / "b", **changed)))
    assert any(problem in line for line in str(refused.value).splitlines()), str(refused.value)
    assert session.scalar(text("SELECT count(*) FROM change_request WHERE state = 'draft'")) == 0


def test_a_later_figure_leaves_the_earlier_days_as_they_are(programme_id: int, tmp_path: Path) -> None:
    ship(programme_id, read(tram_files(tmp_path / "a")))
    confirm(programme_id, draft(programme_id, read(write(tmp_path / "b", factor=factor("30", "2025-01-01")))))
    assert rule_at(programme_id, IN_2024).factors["TRAM"].value == Decimal(20)
    assert rule_at(programme_id, IN_2025).factors["TRAM"].value == Decimal(30)


def test_a_draft_that_holds_no_more_is_not_confirmed(programme_id: int, tmp_path: Path) -> None:
    ship(programme_id, read(tram_files(tmp_path / "a")))
    train = {"behaviour": behaviour("train_trip"), "rule": rule(code="train_trip", behaviour="train_trip")}
    ship(programme_id, read(write(tmp_path / "b", behaviour=train["behaviour"])))
    stale = draft(programme_id, read(write(tmp_path / "d", rule=train["rule"])))
    both = write(tmp_path / "c", factor=factor("25"), rule=rule(sample_mg=50_000))
    current = draft(programme_id, read(both))
    confirm(programme_id, current)
    with pytest.raises(EvidenceFailed) as refused:
        confirm(programme_id, stale)
    assert refused.value.fields[0].field == "items.0.content.samples.0"


def test_a_change_needs_a_second_person(programme_id: int, tmp_path: Path) -> None:
    submission = read(tram_files(tmp_path / "a"))
    with pytest.raises(FourEyes):
        import_shipped(
            programme_id=programme_id, submission=submission, maker_person="lin", checker_person="lin"
        )
    assert load(programme_id).behaviours == {}
