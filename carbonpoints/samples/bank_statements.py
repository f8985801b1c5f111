"""A day of the fictional bank as ISO 20022 account statements: camt.053.001.08, a statement for each account.

    python -m carbonpoints.samples.bank_statements 2026-06-01 statements.xml

The same day always gives the same bytes. Everything in it is made up, and it is another day than that of `day.csv`:
nothing is in both. Some entries are batches, some are no payments, one is a reversal, and three are bad on purpose.
`statements.xml` beside this module is the day 2026-06-01; the profile `camt053_statements` reads it.
"""

from __future__ import annotations

import random
import sys
from datetime import date
from pathlib import Path

from lxml import etree

from carbonpoints.samples.bank_day import SampleCustomer, sample_customers

SHIPPED_FILE = Path(__file__).parent / "statements.xml"
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
SEED = 53
ACCOUNTS = 8
CATEGORIES = ("5411", "5812", "5912", "4111", "4112", "4131", "5552", "5931", "9222", "9311")
BILLS = ("电费", "水费", "燃气费")

Part = tuple[str, object]
"""An element: its name, and its text or its parts. An amount is a text after its currency: `CNY 12.50`."""


def statements(day: date) -> bytes:
    """Return the message of one day."""
    chance = random.Random(f"{SEED} {day}")  # noqa: S311 - made-up data, and the same every time
    parts: list[Part] = [("GrpHdr", [("MsgId", f"M{day:%Y%m%d}"), ("CreDtTm", f"{day}T23:00:00+08:00")])]
    parts += [("Stmt", _statement(chance, day, customer)) for customer in sample_customers()[:ACCOUNTS]]
    root = etree.Element(f"{{{NAMESPACE}}}Document", nsmap={None: NAMESPACE})
    _add(root, [("BkToCstmrStmt", parts)])
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)


def write_statements(path: Path, day: date) -> None:
    """Write the message of one day."""
    path.write_bytes(statements(day))


def _add(parent: etree._Element, parts: list[Part]) -> None:
    for name, content in parts:
        element = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
        if isinstance(content, list):
            _add(element, content)
        elif name == "Amt":
            currency, element.text = str(content).split(" ")
            element.set("Ccy", currency)
        else:
            element.text = str(content)


def _statement(chance: random.Random, day: date, customer: SampleCustomer) -> list[Part]:
    number = int(customer.bank_account[-4:])
    reference = f"S{day:%Y%m%d}{number:04d}"
    entries = [_card(chance, day, f"{reference}{count}") for count in range(1, 4)]
    if number % 4 == 1:
        entries.append(_bill(chance, day, f"{reference}4"))
    entries += {
        2: [_batch(day, f"{reference}5")],
        3: [_whole(day, f"{reference}6", "CNY 5.00", "DBIT", ("PMNT", "ICDT", "STDO"))],
        4: [_whole(day, f"{reference}7", "CNY 8600.00", "CRDT", ("PMNT", "RCDT", "SALA"))],
        5: [_reversal(day, f"{reference}8")],
        6: [_card(chance, day, f"{reference}9", category="9999")],
        7: [_card(chance, day, f"{reference}9", amount="CNY 12.505")],
    }.get(number, [])
    balance = [
        ("Tp", [("CdOrPrtry", [("Cd", "CLBD")])]),
        ("Amt", "CNY 5000.00"),
        ("CdtDbtInd", "CRDT"),
        ("Dt", [("Dt", day)]),
    ]
    account = [("Id", [("Othr", [("Id", customer.bank_account)])]), ("Ccy", "CNY")]
    return [
        ("Id", reference),
        ("CreDtTm", f"{day}T23:00:00+08:00"),
        ("Acct", account),
        ("Bal", balance),
        *(("Ntry", e) for e in entries),
    ]


def _whole(
    day: date,
    reference: str,
    amount: str,
    direction: str,
    codes: tuple[str, str, str],
    *details: Part,
    more: tuple[Part, ...] = (),
) -> list[Part]:
    domain, family, sub_family = codes
    code = [("Cd", domain), ("Fmly", [("Cd", family), ("SubFmlyCd", sub_family)])]
    return [
        ("NtryRef", reference), ("Amt", amount), ("CdtDbtInd", direction), *more, ("Sts", [("Cd", "BOOK")]),
        ("BookgDt", [("Dt", day)]), ("ValDt", [("Dt", day)]), ("AcctSvcrRef", reference), ("BkTxCd", [("Domn", code)]),
        *details,
    ]  # fmt: skip


def _card(
    chance: random.Random, day: date, reference: str, *, category: str = "", amount: str = ""
) -> list[Part]:
    fen = chance.randrange(100, 20_000)
    minute = chance.randrange(7 * 60, 22 * 60)
    merchant, kind = chance.choice(list(enumerate(CATEGORIES, start=200_001)))
    card = _card_part(
        f"M{merchant}", category or kind, f"{day}T{minute // 60:02d}:{minute % 60:02d}:00", is_present=True
    )
    details = ("NtryDtls", [("TxDtls", [("Refs", [("AcctSvcrRef", reference)]), card])])
    amount = amount or f"CNY {fen // 100}.{fen % 100:02d}"
    return _whole(day, reference, amount, "DBIT", ("PMNT", "CCRD", "POSD"), details)


def _card_part(merchant: str, category: str, instant: str, *, is_present: bool) -> Part:
    individual = [
        ("PmtCntxt", [("CardPres", "true" if is_present else "false")]), ("TxCtgy", category),
        ("TxId", [("TxDtTm", instant), ("TxRef", merchant)]),
    ]  # fmt: skip
    return ("CardTx", [("POI", [("Id", [("Id", merchant)])]), ("Tx", [("Indv", individual)])])


def _bill(chance: random.Random, day: date, reference: str) -> list[Part]:
    text = f"{day:%Y-%m} {chance.choice(BILLS)}"
    number = [("CdtrRefInf", [("Ref", f"H{chance.randrange(10**8):08d}")])]
    parts: list[Part] = [
        ("Refs", [("AcctSvcrRef", reference)]), ("RmtInf", [("Ustrd", text), ("Strd", number)]),
        _card_part("M300001", "4900", f"{day}T20:00:00", is_present=False),
    ]  # fmt: skip
    return _whole(
        day, reference, "CNY 86.40", "DBIT", ("PMNT", "CCRD", "POSC"), ("NtryDtls", [("TxDtls", parts)])
    )


def _batch(day: date, reference: str) -> list[Part]:
    transfers = [
        ("TxDtls", [
            ("Refs", [("AcctSvcrRef", f"{reference}{no}")]), ("Amt", f"CNY {no}00.00"), ("CdtDbtInd", "DBIT"),
            ("RltdPties", [("Cdtr", [("Pty", [("Nm", f"收款人{no}")])]), ("CdtrAcct", [("Id", [("Othr", [("Id", f"62170000{no}")])])])]),
        ])
        for no in (1, 2)
    ]  # fmt: skip
    details = ("NtryDtls", [("Btch", [("NbOfTxs", "2")]), *transfers])
    return _whole(day, reference, "CNY 300.00", "DBIT", ("PMNT", "ICDT", "DMCT"), details)


def _reversal(day: date, reference: str) -> list[Part]:
    return _whole(day, reference, "CNY 19.90", "CRDT", ("PMNT", "CCRD", "POSD"), more=(("RvslInd", "true"),))


def main(arguments: list[str]) -> None:
    """Write the message of the day to the file that the command line names."""
    write_statements(Path(arguments[1]), date.fromisoformat(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
