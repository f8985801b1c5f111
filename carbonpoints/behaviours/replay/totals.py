"""What a back-test adds up: per behaviour, day and rule, and per account. Without a database.

The baseline is what was really decided, the draft what it would have given. Totals of a part of the accounts are
stored once and merged at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from carbonpoints.behaviours.replay.accounts import Handling, PastEvent, Replayed
from carbonpoints.rules.engine import Outcome

CellKey = tuple[str, date, int, int]
"""Behaviour, local date, and after how many months the credits of baseline and draft expire (0 without a rule)."""


@dataclass(slots=True)
class Side:
    """What one side gave."""

    awarded: int = 0
    """Events that gave something."""
    amount_millicredits: int = 0
    reduction_mg: int = 0

    def merge(self, other: Side) -> None:
        """Add what another part gave."""
        self.awarded += other.awarded
        self.amount_millicredits += other.amount_millicredits
        self.reduction_mg += other.reduction_mg


@dataclass(slots=True)
class Compared:
    """So many events, and both sides of them."""

    events: int = 0
    baseline: Side = field(default_factory=Side)
    draft: Side = field(default_factory=Side)

    def add(self, really: PastEvent, drafted: Outcome) -> None:
        """Add one event."""
        self.events += 1
        for side, given in ((self.baseline, really), (self.draft, drafted)):
            if given.amount_millicredits or given.reduction_mg:
                side.awarded += 1
                side.amount_millicredits += given.amount_millicredits
                side.reduction_mg += given.reduction_mg

    def merge(self, other: Compared) -> None:
        """Add another part."""
        self.events += other.events
        self.baseline.merge(other.baseline)
        self.draft.merge(other.draft)

    def numbers(self) -> tuple[int, ...]:
        """Return both sides as they are stored: awarded events, millicredits and mg of the baseline, then of the draft."""
        return (
            self.baseline.awarded,
            self.baseline.amount_millicredits,
            self.baseline.reduction_mg,
            self.draft.awarded,
            self.draft.amount_millicredits,
            self.draft.reduction_mg,
        )


@dataclass
class Totals:
    """The sums of some accounts."""

    cells: dict[CellKey, Compared] = field(default_factory=dict)
    accounts: dict[int, Compared] = field(default_factory=dict)
    handled: Counter[Handling] = field(default_factory=Counter)

    def take(self, replayed: Iterable[Replayed], expiry_months: Mapping[int, int]) -> None:
        """Add events; `expiry_months` says by pin when the credits that were really given expire."""
        cells, accounts = self.cells, self.accounts
        handled = [0] * len(Handling)
        for event, handling, pinned, outcome in replayed:
            handled[handling] += 1
            drafted_months = pinned.rule.expiry_months if pinned.rule is not None else 0
            key = pinned.behaviour.code, event.local_date, expiry_months[event.pin_id], drafted_months
            cell = cells.get(key)
            if cell is None:
                cell = cells[key] = Compared()
            cell.add(event, outcome)
            account = accounts.get(event.account_id)
            if account is None:
                account = accounts[event.account_id] = Compared()
            account.add(event, outcome)
        self.handled.update(
            {handling: count for handling, count in zip(Handling, handled, strict=True) if count}
        )

    def as_content(self) -> dict[str, Any]:
        """Return the sums but those of single accounts, JSON-able."""
        return {
            "cells": [
                [behaviour, day.isoformat(), *months, compared.events, *compared.numbers()]
                for (behaviour, day, *months), compared in sorted(self.cells.items())
            ],
            "handled": {handling.name.lower(): count for handling, count in sorted(self.handled.items())},
        }

    def merge_content(self, content: Mapping[str, Any]) -> None:
        """Add what `as_content` returned for other accounts."""
        for behaviour, day, baseline_months, draft_months, events, *numbers in content["cells"]:
            key = behaviour, date.fromisoformat(day), baseline_months, draft_months
            self.cells.setdefault(key, Compared()).merge(
                Compared(events, Side(*numbers[:3]), Side(*numbers[3:]))
            )
        for name, count in content["handled"].items():
            self.handled[Handling[name.upper()]] += count
