"""Write a feed file of payments for the benchmarks: the same seed gives the same bytes.

    python -m bench.generate_feed feed.csv --events 1000000 --accounts 15000

The payments lie over a month (by default May 2026) in the order of time; `bench/payments.yaml` is the profile
that reads them.
"""

from __future__ import annotations

import argparse
import random
from calendar import monthrange
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TextIO

MONTH = date(2026, 5, 1)
PAYEES = 4_000
CATEGORIES = ("5411", "5812", "5814", "5912", "4111", "5541", "7832")
CHANNELS = ("card", "qr", "online")


def account_number(number: int) -> str:
    """Return the number of the `number`th bank account, from 0."""
    return f"62220260{number:011d}"


def write_feed(
    file: TextIO, *, events: int, accounts: int, first: int = 0, seed: int = 1, month: date = MONTH
) -> None:
    """Write the payments of `month`, numbered from `first`, without holding more than one line."""
    chance = random.Random(seed)
    payees = [f"{chance.getrandbits(128):032x}" for _ in range(PAYEES)]
    start = datetime.combine(month.replace(day=1), time())  # Local time of the bank, as its export has it.
    seconds = monthrange(month.year, month.month)[1] * 86_400
    file.write("reference,account,paid_at,channel,amount,payee,category\n")
    for number in range(events):
        paid_at = start + timedelta(seconds=number * seconds // events)
        account = account_number(chance.randrange(accounts))
        channel = CHANNELS[chance.randrange(3)]
        payee = chance.randrange(PAYEES)
        fen = 100 + chance.randrange(50_000)
        file.write(
            f"P{first + number:012d},{account},{paid_at:%Y-%m-%d %H:%M:%S},{channel},{fen // 100}.{fen % 100:02d},"
            f"{payees[payee]},{CATEGORIES[payee % len(CATEGORIES)]}\n"
        )


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=15_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first payment")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--month", type=date.fromisoformat, default=MONTH, help="a day of it, as 2026-05-01")
    arguments = vars(parser.parse_args())
    with arguments.pop("path").open("w", encoding="utf-8", newline="") as file:
        write_feed(file, **arguments)


if __name__ == "__main__":
    main()
