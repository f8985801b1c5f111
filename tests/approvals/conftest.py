from __future__ import annotations

import pytest
from flask import Flask

from carbonpoints.approvals.kinds import KnownKinds, init_kinds
from carbonpoints.approvals.requirements import EvidenceKind
from carbonpoints.approvals.versions import VersionKind


@pytest.fixture
def plain_kinds(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Know nothing of what content means: everything is read as it is, and nothing is found wrong."""
    monkeypatch.setattr(app, "extensions", dict(app.extensions))
    anything = KnownKinds(
        readers=dict.fromkeys(VersionKind, lambda item, _zone: item),
        check=lambda _session, _programme_id, _proposed: {EvidenceKind.STATIC_CHECKS: ()},
    )
    init_kinds(app, [anything])
