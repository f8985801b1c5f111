"""What a change would do, field by field. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from carbonpoints.approvals.errors import ValidityOverlap
from carbonpoints.approvals.versions import (
    Key,
    StoredVersion,
    TimeRange,
    VersionKind,
    content_hash,
    range_without,
    ranges_overlap,
)


@dataclass(frozen=True, kw_only=True)
class ProposedVersion:
    """Content that should hold from `valid_from` until before `valid_to`; None is no bound.

    `content` is JSON-able and was checked by whoever knows the kind. Without content, nothing of this code should
    hold then: what does is ended.
    """

    kind: VersionKind
    code: str
    content: Mapping[str, Any] | None
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    @property
    def key(self) -> Key:
        """What it is a version of."""
        return self.kind, self.code

    @property
    def valid(self) -> TimeRange:
        """When it should hold."""
        return self.valid_from, self.valid_to


@dataclass(frozen=True)
class FieldChange:
    """One field whose value would change, by its dotted path; None stands for absent as well."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Change:
    """What a proposed version would change: the versions it would replace, whole or in part, and each field.

    Fields are compared with the replaced version that holds latest; without one, every field is new.
    """

    proposed: ProposedVersion
    replaces: tuple[int, ...]
    fields: tuple[FieldChange, ...]


def compare(proposed: ProposedVersion, current: Sequence[StoredVersion]) -> Change | None:
    """Return what `proposed` would change among the current versions of its code; None when nothing."""
    replaced = [version for version in current if ranges_overlap(version.valid, proposed.valid)]
    if _holds_already(proposed, replaced):
        return None
    before = replaced[-1].content if replaced else {}
    fields = field_changes(before, proposed.content or {})
    return Change(proposed, tuple(version.version_id for version in replaced), fields)


def _holds_already(proposed: ProposedVersion, replaced: Sequence[StoredVersion]) -> bool:
    if proposed.content is None:
        return not replaced
    return (
        len(replaced) == 1
        and replaced[0].content_hash == content_hash(proposed.content)
        and not range_without(proposed.valid, replaced[0].valid)
    )


def field_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """Return each field in which two contents differ."""
    return tuple(_field_changes("", before, after))


def _field_changes(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted(before.keys() | after.keys()):
            yield from _field_changes(f"{path}.{name}" if path else name, before.get(name), after.get(name))
    elif isinstance(before, list) and isinstance(after, list):
        for number in range(max(len(before), len(after))):
            old, new = (side[number] if number < len(side) else None for side in (before, after))
            yield from _field_changes(f"{path}.{number}", old, new)
    elif before != after:
        yield FieldChange(path, before, after)


def refuse_overlaps(proposed: Sequence[ProposedVersion]) -> None:
    """Raise ValidityOverlap when two proposed versions of one code hold at the same instant."""
    for number, one in enumerate(proposed):
        for other in proposed[:number]:
            if one.key == other.key and ranges_overlap(one.valid, other.valid):
                raise ValidityOverlap("%(kind)s %(code)s", params={"kind": one.kind, "code": one.code})


def proposal_content(changes: Sequence[Change]) -> dict[str, Any]:
    """Return changes as the content of a proposal's version."""
    return {
        "changes": [
            {
                "kind": change.proposed.kind.value,
                "code": change.proposed.code,
                "content": change.proposed.content,
                "valid_from": _text(change.proposed.valid_from),
                "valid_to": _text(change.proposed.valid_to),
                "replaces": list(change.replaces),
                "fields": [
                    {"field": item.field, "before": item.before, "after": item.after}
                    for item in change.fields
                ],
            }
            for change in changes
        ]
    }


def read_proposal(content: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return the changes of a proposal's content, as `proposal_content` wrote it."""
    return tuple(
        Change(
            ProposedVersion(
                kind=VersionKind(item["kind"]),
                code=item["code"],
                content=item["content"],
                valid_from=_instant(item["valid_from"]),
                valid_to=_instant(item["valid_to"]),
            ),
            tuple(item["replaces"]),
            tuple(FieldChange(part["field"], part["before"], part["after"]) for part in item["fields"]),
        )
        for item in content["changes"]
    )


def difference(before: Sequence[Change], after: Sequence[Change]) -> tuple[FieldChange, ...]:
    """Return the fields in which two drafts differ, each behind its kind and code."""
    return field_changes(_by_code(before), _by_code(after))


def _by_code(changes: Sequence[Change]) -> dict[str, Any]:
    """Return what is proposed by kind and code; a second part of one code has its number behind it."""
    proposed: dict[str, dict[str, Any]] = {}
    for change in changes:
        item = change.proposed
        parts = proposed.setdefault(item.kind.value, {})
        number = sum(code.partition("#")[0] == item.code for code in parts)
        parts[f"{item.code}#{number + 1}" if number else item.code] = {
            "content": item.content,
            "valid_from": _text(item.valid_from),
            "valid_to": _text(item.valid_to),
        }
    return proposed


def in_force_difference(changes: Sequence[Change]) -> tuple[FieldChange, ...]:
    """Return the fields in which a draft differs from what is in force, each behind its kind and code."""
    return tuple(
        FieldChange(
            f"{change.proposed.kind.value}.{change.proposed.code}.content.{item.field}",
            item.before,
            item.after,
        )
        for change in changes
        for item in change.fields
    )


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
