"""A draft as a run keeps it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.rules.drafting import JUDGING


def draft_content(draft: Sequence[ProposedVersion]) -> list[dict[str, Any]]:
    """Return what judges acts of a draft, as it is stored with a run."""
    return [
        {
            "kind": item.kind.value,
            "code": item.code,
            "content": item.content,
            "valid_from": item.valid_from.isoformat() if item.valid_from else None,
            "valid_to": item.valid_to.isoformat() if item.valid_to else None,
        }
        for item in draft
        if item.kind in JUDGING
    ]


def read_draft_content(content: Sequence[Mapping[str, Any]]) -> tuple[ProposedVersion, ...]:
    """Return the draft that `draft_content` wrote."""
    return tuple(
        ProposedVersion(
            kind=VersionKind(item["kind"]),
            code=item["code"],
            content=item["content"],
            valid_from=datetime.fromisoformat(item["valid_from"]) if item["valid_from"] else None,
            valid_to=datetime.fromisoformat(item["valid_to"]) if item["valid_to"] else None,
        )
        for item in content
    )
