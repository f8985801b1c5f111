"""What is to be said of proposed definitions, beside what the programme holds, and what they would change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from carbonpoints.approvals import services as approvals
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.errors import EvidenceFailed
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.core.db import reading, transaction
from carbonpoints.rules.admission import proposed_versions
from carbonpoints.rules.services import Review, review_proposed
from tests.rules.catalogue_files import (
    Y2025,
    behaviour,
    confirm,
    factor,
    read,
    rule,
    seed_empty,
    ship,
    tram_files,
    write,
)
from tests.rules.test_catalogue import CHINA


@pytest.fixture
def programme_id(session: Session, tmp_path: Path) -> int:
    programme_id = seed_empty()
    ship(programme_id, read(tram_files(tmp_path / "held")))
    return programme_id


def proposed(folder: Path, **files: str) -> list[ProposedVersion]:
    return proposed_versions(read(write(folder, **files)), CHINA)


def review(programme_id: int, items: list[ProposedVersion]) -> Review:
    with reading() as session:
        return review_proposed(session, programme_id=programme_id, proposed=items)


def said(found: Review) -> list[tuple[str, str, int | None, str, int, str, str]]:
    return [
        (each.kind.value, each.code, each.place, each.finding.field, each.finding.column, each.finding.code,
         each.finding.severity)
        for each in found.findings
    ]  # fmt: skip


def with_content(item: ProposedVersion, **changes: Any) -> ProposedVersion:
    return ProposedVersion(kind=item.kind, code=item.code, content={**(item.content or {}), **changes})


def test_what_may_be_put_in_force_says_what_it_would_change(programme_id: int, tmp_path: Path) -> None:
    items = proposed(tmp_path / "a", factor=factor("25"), rule=rule(sample_mg=50_000))
    found = review(programme_id, items)
    assert found.findings == ()
    assert [(change.proposed.kind, [field.field for field in change.fields]) for change in found.changes] == [
        (VersionKind.FACTOR, ["value"]),
        (VersionKind.RULE, ["samples.0.millicredits", "samples.0.reduction_mg"]),
    ]
    assert review(programme_id, proposed(tmp_path / "b", factor=factor(), rule=rule())) == Review((), ())


def test_every_finding_names_whose_it_is_and_nothing_would_change(programme_id: int, tmp_path: Path) -> None:
    items = proposed(
        tmp_path / "a",
        factor=factor("25"),
        other=behaviour(code="train_trip", consent_source="moods"),
        twin=rule(code="night_tram", valid_from=Y2025, baseline="distance_km * TRAM / (2 - 2)"),
    )
    found = review(programme_id, items)
    assert found.changes == ()
    assert said(found) == [
        ("behaviour", "train_trip", 0, "consent_source", 0, "unknown_consent_source", "error"),
        ("rule", "night_tram", 2, "valid_from", 0, "overlap", "error"),
        ("rule", "night_tram", 2, "baseline", 1, "division_by_zero", "error"),
        ("rule", "night_tram", 2, "samples.0", 0, "sample_differs", "error"),
        ("rule", "tram_trip", None, "samples.0", 0, "sample_differs", "error"),
    ]


def test_a_warning_stands_in_nobodys_way(programme_id: int, tmp_path: Path) -> None:
    (item,) = proposed(tmp_path / "a", rule=rule())
    always = {"code": "always", "when": "1 < 2", "text_en": "A", "text_zh": "甲"}
    found = review(programme_id, [with_content(item, eligibility=[always])])
    assert said(found) == [("rule", "tram_trip", 0, "eligibility.0.when", 1, "always_true", "warning")]
    assert len(found.changes) == 1


def test_what_cannot_be_read_is_said_first_and_other_kinds_are_left_out(
    programme_id: int, tmp_path: Path
) -> None:
    (item,) = proposed(tmp_path / "a", rule=rule(baseline="nonsense"))
    profile = ProposedVersion(kind=VersionKind.FEED_PROFILE, code="day", content={})
    without = with_content(item, methodology=None, mood="good")
    assert said(review(programme_id, [profile, without])) == [
        ("rule", "tram_trip", 1, "mood", 0, "unknown_field", "error")
    ]
    assert said(review(programme_id, [profile, with_content(item, methodology=None)])) == [
        ("rule", "tram_trip", 1, "methodology", 0, "invalid", "error")
    ]
    assert review(programme_id, [profile]) == Review((), ())


def test_a_draft_from_before_methodologies_is_refused_when_it_is_confirmed(
    programme_id: int, tmp_path: Path
) -> None:
    (item,) = proposed(tmp_path / "a", rule=rule(basis="New"))
    content = dict(item.content or {})
    del content["methodology"], content["uncertainty"]
    old = ProposedVersion(kind=item.kind, code=item.code, content=content, valid_from=item.valid_from)
    with transaction() as session:
        draft = approvals.draft_change(
            session, programme_id=programme_id, proposed=[old], maker_person="lin", reason="old"
        )
    assert draft.draft_id is not None
    with pytest.raises(EvidenceFailed) as refused:
        confirm(programme_id, draft.draft_id)
    assert [str(field) for field in refused.value.fields][:1] == ["items.0.content.methodology: is missing"]
