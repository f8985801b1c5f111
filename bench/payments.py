"""Payments as CloudEvents, for the clients of the HTTP API. Standard library only."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.generate_feed import CATEGORIES, CHANNELS, PAYEES, account_number

DAYS = 28
"""The payments lie over so many days past, so that no daily cap cuts them."""


@dataclass(frozen=True)
class EventMaker:
    """Makes the bodies of requests: one event each, or batches of `batch` events."""

    source: str
    series: str
    """Begins every event's id; no two clients have the same."""
    accounts: int
    now: datetime
    batch: int = 0

    def bodies(self, count: int) -> Iterator[bytes]:
        """Yield so many bodies, the same every time."""
        chance = random.Random(self.series)
        for number in range(count):
            if self.batch:
                events = [self._event(chance, number * self.batch + index) for index in range(self.batch)]
                yield json.dumps(events).encode()
            else:
                yield json.dumps(self._event(chance, number)).encode()

    def _event(self, chance: random.Random, number: int) -> dict[str, Any]:
        reference = f"{self.series}-{number:09d}"
        at = self.now - timedelta(seconds=chance.randrange(DAYS * 86_400))
        payee = chance.randrange(PAYEES)
        return {
            "specversion": "1.0",
            "id": reference,
            "source": self.source,
            "type": "carbonpoints.behaviour.non_cash_payment",
            "subject": f"BANK_ACCOUNT:{account_number(chance.randrange(self.accounts))}",
            "time": at.astimezone(UTC).isoformat(),
            "data": {
                "transaction_reference": reference,
                "payment_channel": CHANNELS[chance.randrange(len(CHANNELS))],
                "amount_minor": 100 + chance.randrange(50_000),
                "currency": "CNY",
                "payee_hash": f"{payee:032x}",
                "merchant_category_code": CATEGORIES[payee % len(CATEGORIES)],
            },
        }
