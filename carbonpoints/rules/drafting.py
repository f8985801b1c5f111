"""What would be in force if a draft were: its versions in the place of those that they replace. Without a database.

Nothing here is stored: the versions of a draft are numbered below zero, so that no stored one is ever taken for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.versions import (
    Key,
    StoredVersion,
    TimeRange,
    VersionKind,
    content_hash,
    range_without,
)
from carbonpoints.rules.campaigns import CampaignDefinition, SharedCapDefinition
from carbonpoints.rules.definitions import BehaviourDefinition, FactorDefinition, RuleDefinition
from carbonpoints.rules.parsing import from_content
from carbonpoints.rules.timelines import Definition, Held, HeldVersions

JUDGING = frozenset(
    {
        VersionKind.BEHAVIOUR,
        VersionKind.RULE,
        VersionKind.FACTOR,
        VersionKind.SHARED_CAP,
        VersionKind.CAMPAIGN,
    }
)
"""The kinds of version that judging an act rests on."""
_BEGINNING = datetime.min.replace(tzinfo=UTC)


def held_since_ever(proposed: Iterable[ProposedVersion]) -> list[ProposedVersion]:
    """Return a draft as if it had always been in force: the first version of each code holds from the beginning.

    A draft begins in the future, and what it would have done is asked about the past.
    """
    ordered = sorted(proposed, key=lambda item: item.valid_from or _BEGINNING)
    first: dict[Key, ProposedVersion] = {}
    for item in ordered:
        first.setdefault(item.key, item)
    return [replace(item, valid_from=None) if item is first[item.key] else item for item in ordered]


def with_draft(held: HeldVersions, proposed: Sequence[ProposedVersion]) -> HeldVersions:
    """Return what would be held if these versions were confirmed as they are; other kinds are left out.

    A version gives way to the draft of its code wherever that holds, and a rule to every drafted rule of its behaviour:
    one rule judges an act.
    """
    numbered = [(-number, item) for number, item in enumerate(proposed, 1)]
    behaviours = _drafted(BehaviourDefinition, VersionKind.BEHAVIOUR, numbered)
    rules = _drafted(RuleDefinition, VersionKind.RULE, numbered)
    factors = _drafted(FactorDefinition, VersionKind.FACTOR, numbered)
    shared_caps = _drafted(SharedCapDefinition, VersionKind.SHARED_CAP, numbered)
    campaigns = _drafted(CampaignDefinition, VersionKind.CAMPAIGN, numbered)
    ruled = [(rule.definition.behaviour, rule.version.valid) for rule in rules]
    return HeldVersions(
        _giving_way(held.behaviours, _valid(VersionKind.BEHAVIOUR, proposed), _code) + behaviours,
        _giving_way(
            _giving_way(held.rules, _valid(VersionKind.RULE, proposed), _code),
            ruled,
            lambda rule: rule.definition.behaviour,
        )
        + rules,
        _giving_way(held.factors, _valid(VersionKind.FACTOR, proposed), _code) + factors,
        _giving_way(held.shared_caps, _valid(VersionKind.SHARED_CAP, proposed), _code) + shared_caps,
        _giving_way(held.campaigns, _valid(VersionKind.CAMPAIGN, proposed), _code) + campaigns,
        held.budgets,
    )


def _valid(kind: VersionKind, proposed: Iterable[ProposedVersion]) -> list[tuple[str, TimeRange]]:
    """Return when a draft says something of each code, be it that nothing holds then."""
    return [(item.code, item.valid) for item in proposed if item.kind is kind]


def _drafted(
    of: type[Definition], kind: VersionKind, proposed: Iterable[tuple[int, ProposedVersion]]
) -> list[Held[Definition]]:
    return [
        Held(
            StoredVersion(
                version_id=number,
                programme_id=0,
                kind=kind,
                code=item.code,
                version_no=0,
                content=item.content,
                content_hash=content_hash(item.content),
                valid_from=item.valid_from,
                valid_to=item.valid_to,
                known_from=_BEGINNING,
                known_to=None,
                change_request_id=0,
            ),
            from_content(of, item.content),
        )
        for number, item in proposed
        if item.kind is kind and item.content is not None
    ]


def _code(held: Held[Definition]) -> str:
    return held.version.code


def _giving_way(
    held: Sequence[Held[Definition]],
    drafted: Sequence[tuple[str, TimeRange]],
    scope: Callable[[Held[Definition]], str],
) -> list[Held[Definition]]:
    """Return the parts of what is held during which the draft says nothing of the same scope."""
    rest: list[Held[Definition]] = []
    for each in held:
        parts = [each.version.valid]
        for of, valid in drafted:
            if of == scope(each):
                parts = [left for part in parts for left in range_without(part, valid)]
        rest += [
            Held(replace(each.version, valid_from=start, valid_to=end), each.definition)
            for start, end in parts
        ]
    return rest
