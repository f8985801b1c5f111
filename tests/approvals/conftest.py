from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carbonpoints.approvals.kinds import Checked, KnownKinds, init_kinds
from carbonpoints.approvals.requirements import EvidenceKind
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from tests.approvals.world import NOW, ChangeWorld
from tests.rules.catalogue_files import read, seed_empty, ship, tram_files


@pytest.fixture
def plain_kinds(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Know nothing of what content means: everything is read as it is, and nothing is found wrong."""
    monkeypatch.setattr(app, "extensions", dict(app.extensions))
    anything = KnownKinds(
        readers=dict.fromkeys(VersionKind, lambda item, _zone: item),
        check=lambda _session, _programme_id, _proposed: {EvidenceKind.STATIC_CHECKS: Checked()},
    )
    init_kinds(app, [anything])


def shipped_programme(folder: Path) -> int:
    """A programme with the small catalogue in force."""
    programme_id = seed_empty()
    ship(programme_id, read(tram_files(folder)))
    return programme_id


@pytest.fixture
def world(client: FlaskClient, session: Session, settings: Settings, tmp_path: Path) -> Iterator[ChangeWorld]:
    """The programme in the database that forgets, at a fixed noon."""
    with clock_at(NOW):
        yield ChangeWorld(client, settings, shipped_programme(tmp_path / "catalogue"))


@pytest.fixture
def committed_world(committed: Flask, committed_client: FlaskClient, tmp_path: Path) -> Iterator[ChangeWorld]:
    """The programme on a database of this test's own, where commits are real."""
    with clock_at(NOW), committed.app_context():
        programme_id = shipped_programme(tmp_path / "catalogue")
        yield ChangeWorld(committed_client, committed.config["CARBONPOINTS"], programme_id)
