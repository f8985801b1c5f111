"""camt messages of our own, in the shapes that the versions of the schema have."""

from __future__ import annotations

import io
from collections.abc import Iterable

from carbonpoints.behaviours.camt import CamtTransactions
from carbonpoints.behaviours.columns import CAMT_COLUMNS

MESSAGES = [f"camt.05{kind}.001.0{version}" for kind in (3, 4) for version in range(2, 9)]


def shape(message: str) -> int:
    """Return the version of a message."""
    return int(message[-2:])


def document(message: str, *statements: str, encoding: str = "UTF-8") -> bytes:
    """A whole message around its statements."""
    body, _ = bodies(message)
    text = "\n".join(
        [
            f'<?xml version="1.0" encoding="{encoding}"?>',
            f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{message}">',
            f"<{body}>",
            "<GrpHdr><MsgId>M1</MsgId><CreDtTm>2024-05-01T23:00:00+08:00</CreDtTm></GrpHdr>",
            *statements,
            f"</{body}>",
            "</Document>",
            "",
        ]
    )
    return text.encode(encoding)


def bodies(message: str) -> tuple[str, str]:
    """The element of the message, and that of a statement in it."""
    if message.startswith("camt.053"):
        return "BkToCstmrStmt", "Stmt"
    return "BkToCstmrDbtCdtNtfctn", "Ntfctn"


def statement(message: str, account: str, *entries: str, id_: str = "S1") -> str:
    """A statement of an account that is no IBAN."""
    _, name = bodies(message)
    return "\n".join(
        [
            f"<{name}>",
            f"<Id>{id_}</Id><CreDtTm>2024-05-01T23:00:00+08:00</CreDtTm>",
            f"<Acct><Id><Othr><Id>{account}</Id></Othr></Id><Ccy>CNY</Ccy></Acct>",
            *entries,
            f"</{name}>",
        ]
    )


def entry(
    message: str,
    reference: str,
    amount: str,
    *details: str,
    currency: str = "CNY",
    direction: str = "DBIT",
    booked: str = "<Dt>2024-05-01</Dt>",
    codes: str = "<Domn><Cd>PMNT</Cd><Fmly><Cd>CCRD</Cd><SubFmlyCd>POSD</SubFmlyCd></Fmly></Domn>",
    reversal: str = "",
    more: str = "",
) -> str:
    """An entry that is booked."""
    status = "BOOK" if shape(message) < 7 else "<Cd>BOOK</Cd>"
    return (
        f'<Ntry>\n<NtryRef>{reference}</NtryRef>\n<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd>'
        f"{reversal and f'<RvslInd>{reversal}</RvslInd>'}<Sts>{status}</Sts><BookgDt>{booked}</BookgDt>"
        f"<ValDt><Dt>2024-05-02</Dt></ValDt><AcctSvcrRef>{reference}</AcctSvcrRef><BkTxCd>{codes}</BkTxCd>"
        f"{''.join(details)}{more}\n</Ntry>"
    )


def details(*transactions: str) -> str:
    """The details of an entry, or a part of them."""
    return f"<NtryDtls>\n{''.join(transactions)}</NtryDtls>\n"


def transaction(
    message: str, reference: str, amount: str = "", *, to: str = "7001", category: str = "", text: str = ""
) -> str:
    """A payment to somebody; where the version has no amount or category, they stand where banks put them then."""
    version = shape(message)
    money = amount and f'<Amt Ccy="CNY">{amount}</Amt>'
    if money:
        money = (
            f"<AmtDtls><TxAmt>{money}</TxAmt></AmtDtls>"
            if version == 2
            else f"{money}<CdtDbtInd>DBIT</CdtDbtInd>"
        )
    name = f"<Nm>Payee {to}</Nm>" if version < 7 else f"<Pty><Nm>Payee {to}</Nm></Pty>"
    card = more = ""
    if category and version == 2:
        more = f"<AddtlTxInf>CARD MCC: {category}</AddtlTxInf>"
    elif category:
        card = f"<CardTx><POI><Id><Id>POS{to}</Id></Id></POI><Tx><Indv><TxCtgy>{category}</TxCtgy></Indv></Tx></CardTx>"
    return (
        f"<TxDtls>\n<Refs><AcctSvcrRef>{reference}</AcctSvcrRef><EndToEndId>E-{reference}</EndToEndId>"
        f"<TxId>T-{reference}</TxId></Refs>{money}"
        f"<RltdPties><Dbtr>{name.replace('Payee', 'Payer')}</Dbtr><DbtrAcct><Id><Othr><Id>own</Id></Othr></Id></DbtrAcct>"
        f"<Cdtr>{name}</Cdtr><CdtrAcct><Id><IBAN>{to}</IBAN></Id></CdtrAcct></RltdPties>"
        f"{text and f'<RmtInf><Ustrd>{text}</Ustrd></RmtInf>'}"
        f"<RltdDts><TxDtTm>2024-05-01T08:30:00</TxDtTm></RltdDts>{card}{more}\n</TxDtls>\n"
    )


def bill(message: str, reference: str, number: str = "H1") -> str:
    """A water bill paid by a card that was not there."""
    card = (
        "<CardTx><POI><Id><Id>POS9</Id></Id></POI><Tx><Indv><PmtCntxt><CardPres>false</CardPres></PmtCntxt>"
        "<TxCtgy>4900</TxCtgy></Indv></Tx></CardTx>"
    )
    told = f"<Ustrd>水费</Ustrd><Strd><CdtrRefInf><Ref>{number}</Ref></CdtrRefInf></Strd>"
    part = transaction(message, reference, text="x").replace("<Ustrd>x</Ustrd>", told)
    return part.replace("\n</TxDtls>", f"{card}</TxDtls>")


def rows(content: bytes, time_zone: str = "Asia/Shanghai") -> list[dict[str, str]]:
    """What each transaction gives, by column."""
    names = [column.name for column in CAMT_COLUMNS]
    return [
        dict(zip(names, cells, strict=True)) for cells in CamtTransactions(io.BytesIO(content), time_zone)
    ]


def only(found: Iterable[dict[str, str]], *names: str) -> list[tuple[str, ...]]:
    """These columns alone."""
    return [tuple(row[name] for name in names) for row in found]
