"""A day of a fictional bank, as its core system exports it at night: GB18030, `|` between cells, Chinese titles.

    python -m carbonpoints.samples.bank_day 2026-06-01 day.csv

The same day always gives the same bytes. Everything in it is made up. Some lines are no payments, some are
bad on purpose, and one comes twice. `day.csv` beside this module is the day 2026-06-01; the profile
`sample_bank_day` reads it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

SHIPPED_DAY = date(2026, 6, 1)
SHIPPED_FILE = Path(__file__).parent / "day.csv"
HEADER = "流水号|账号|客户号|交易日期|交易时间|交易类型|渠道|金额(元)|对方账号|商户类别码|标志"
SEED = 62
LINES_PER_HOUR = (3, 1, 1, 0, 1, 2, 8, 18, 22, 16, 15, 22, 30, 20, 14, 15, 16, 22, 34, 30, 22, 16, 9, 5)
MERCHANTS = tuple((f"M{number:06d}", category) for number, category in enumerate(
    ("5411", "5411", "5812", "5812", "5814", "5912", "4111", "5541", "7832", "5311", "9311", "6051"), start=100_001
))  # fmt: skip


@dataclass(frozen=True)
class SampleCustomer:
    """A made-up customer: the bank's number for them, their account, and who else may use it, if anyone."""

    customer_ref: str
    bank_account: str
    authorised_user: str | None = None


def sample_customers() -> tuple[SampleCustomer, ...]:
    """Return the customers whose acts are in the day; every fifth account has a second user."""
    return tuple(
        SampleCustomer(
            f"C{number:04d}", _account(number), f"C{number + 100:04d}" if number % 5 == 0 else None
        )
        for number in range(1, 21)
    )


def day_lines(day: date) -> Iterator[str]:
    """Yield the lines of the file for one day, without line ends."""
    chance = random.Random(f"{SEED} {day}")  # noqa: S311 - made-up data, and the same every time
    yield HEADER
    number = 0
    for hour, lines in enumerate(LINES_PER_HOUR):
        for minute in sorted(chance.choices(range(3600), k=lines)):
            number += 1
            time = f"{hour:02d}{minute // 60:02d}{minute % 60:02d}"
            line = "|".join((f"{day:%Y%m%d}{number:06d}", *_line(chance, day, time)))
            yield line
            if number == 201:  # noqa: PLR2004 - an export that repeats a line is an everyday thing
                yield line
            if number % 50 == 0:
                yield _bad_line(day, number // 50)


def write_day(path: Path, day: date) -> None:
    """Write the file for one day."""
    text = "".join(f"{line}\r\n" for line in day_lines(day))
    path.write_bytes(text.replace(_UNREADABLE, "\x00").encode("GB18030").replace(b"\x00", b"\xff"))


_UNREADABLE = "\ufffd"
"""Where a byte stands in the file that no GB18030 text has."""


def _account(number: int) -> str:
    return f"622202{number:013d}"


def _line(chance: random.Random, day: date, time: str) -> Iterator[str]:
    customer = chance.choice(sample_customers())
    acting = customer.authorised_user or customer.customer_ref
    account = customer.bank_account if chance.random() > 0.02 else _account(999)  # noqa: PLR2004
    kind = chance.choices(("消费", "转账", "取现", "存入", "结息"), weights=(66, 14, 10, 8, 2))[0]
    merchant, category = chance.choice(MERCHANTS)
    fen = chance.choice((chance.randrange(100, 6_000), chance.randrange(100, 90_000)))
    if kind == "消费":
        channel, payee, mark = chance.choice(("POS", "扫码", "扫码", "网银")), merchant, ""
    elif kind == "转账":
        channel, category, payee = "手机银行", "", _account(chance.randrange(1, 200))
        mark = chance.choice(("", "D", "L", "K", "S"))
    else:
        channel, payee, category, mark = "ATM" if kind == "取现" else "", "", "", ""
    is_said = chance.random() < 0.3  # noqa: PLR2004 - three lines in ten say who acted
    yield from (account, acting if is_said else "", f"{day:%Y%m%d}", time, kind, channel)
    yield from (f"{fen // 100}.{fen % 100:02d}", payee, category, mark)


def _bad_line(day: date, which: int) -> str:
    """Return one of the lines that no profile can read, each for another reason."""
    start = f"{day:%Y%m%d}9{which:05d}|{_account(1)}||{day:%Y%m%d}"
    end = "M100001|5411|"
    return {
        1: f"{start}|101500|消费|POS|1,250.00|{end}",
        2: f"{start}|256000|消费|POS|12.50|{end}",
        3: f"{start}|111500|消费|扫码|12.50|{end}|多出一列",
        4: f"|{_account(1)}||{day:%Y%m%d}|121500|消费|扫码|12.50|{end}",
        5: f"{start}|131500|消费|扫码|0.00|{end}",
    }.get(which, f"{start}|141500|消费|扫码|12.50|{_UNREADABLE}|5411|")


def main(arguments: list[str]) -> None:
    """Write the day and the file that the command line names."""
    write_day(Path(arguments[1]), date.fromisoformat(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
