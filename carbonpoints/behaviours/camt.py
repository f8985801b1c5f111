"""The transactions of an ISO 20022 camt.053 or camt.054 message, versions 2 to 8, one after another. Pure.

Streamed: of a message no more is held than the transactions of one entry. Nothing in it is unfolded or fetched: a
document type is refused, entities are not resolved, and there is a bound to everything that could be endless. The
versions differ in where some values stand; a value is taken from the first place that has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import BinaryIO
from zoneinfo import ZoneInfo

from lxml import etree

from carbonpoints.behaviours.columns import CAMT_COLUMNS
from carbonpoints.behaviours.records import BrokenFileError
from carbonpoints.core.amounts import minor_digits, plain
from carbonpoints.core.errors import Message

HELD_BYTES_MAX = 4 * 1024 * 1024
"""So much of a message is read, at the most, without reaching the end of a transaction, an entry or a statement."""
ENTRY_TRANSACTIONS_MAX = 50_000
"""Those of one entry wait for its end, where it says what they have in common."""

_DOCUMENT = re.compile(r"(\{urn:iso:std:iso:20022:tech:xsd:(camt\.05[34]\.001\.0[2-8])\})Document")
_PARENTS = {
    "Stmt": ("BkToCstmrStmt",),
    "Ntfctn": ("BkToCstmrDbtCdtNtfctn",),
    "Ntry": ("Stmt", "Ntfctn"),
    "NtryDtls": ("Ntry",),
    "TxDtls": ("NtryDtls",),
}
"""The elements that are looked at while reading, and what they stand in."""

_BANK_CODES = {
    "domain": ("BkTxCd/Domn/Cd",),
    "family": ("BkTxCd/Domn/Fmly/Cd",),
    "sub_family": ("BkTxCd/Domn/Fmly/SubFmlyCd",),
    "proprietary_code": ("BkTxCd/Prtry/Cd",),
}
_TRANSACTION = {
    **_BANK_CODES,
    "servicer_reference": ("Refs/AcctSvcrRef",),
    "end_to_end_id": ("Refs/EndToEndId",),
    "transaction_id": ("Refs/TxId",),
    "credit_debit": ("CdtDbtInd",),
    "amount": ("Amt", "AmtDtls/TxAmt/Amt"),
    "currency": ("Amt/Ccy()", "AmtDtls/TxAmt/Amt/Ccy()"),
    "acted_at": ("CardTx/Tx/Indv/TxId/TxDtTm", "RltdDts/TxDtTm", "RltdDts/AccptncDtTm"),
    "purpose": ("Purp/Cd", "Purp/Prtry"),
    "card_present": ("CardTx/Tx/Indv/PmtCntxt/CardPres",),
    "merchant_id": ("CardTx/POI/Id/Id",),
    # The standard's name for it: "also known as the MerchantCategoryCode".
    "merchant_category_code": ("CardTx/Tx/Indv/TxCtgy", "CardTx/Tx/Aggtd/TxCtgy"),
    "creditor_reference": ("RmtInf/Strd/CdtrRefInf/Ref",),
    "remittance": ("RmtInf/Ustrd",),
    "transaction_information": ("AddtlTxInf",),
    **{
        f"{role}_{what}": tuple(f"RltdPties/{role}{place}" for place in places)
        for role in ("Cdtr", "Dbtr")
        for what, places in {
            "account": ("Acct/Id/IBAN", "Acct/Id/Othr/Id"),
            "name": ("/Nm", "/Pty/Nm", "/Agt/FinInstnId/Nm"),
        }.items()
    },
}
"""Column, or what one is made of -> its places in TxDtls."""
_ENTRY = {
    **_BANK_CODES,
    "entry_reference": ("NtryRef",),
    "entry_servicer_reference": ("AcctSvcrRef",),
    "credit_debit": ("CdtDbtInd",),
    "reversal": ("RvslInd",),
    "status": ("Sts", "Sts/Cd", "Sts/Prtry"),
    "booked": ("BookgDt/Dt", "BookgDt/DtTm"),
    "valued": ("ValDt/Dt", "ValDt/DtTm"),
    "merchant_id": ("CardTx/POI/Id/Id",),
    "merchant_category_code": ("CardTx/AggtdNtry/TxCtgy",),
    "entry_information": ("AddtlNtryInf",),
}
"""The same in Ntry, for all of its transactions that do not say it themselves."""
_SINGLE = {"amount": ("Amt",), "currency": ("Amt/Ccy()",), "servicer_reference": ("AcctSvcrRef",)}
"""The same in Ntry, where it is one transaction."""
_STATEMENT = {"statement_id": ("Id",), "account": ("Acct/Id/IBAN", "Acct/Id/Othr/Id")}

_AMOUNT = re.compile(r"[0-9]{1,18}(\.[0-9]{1,5})?")
_NO_AMOUNT = "not exact"
_CATEGORY_IN_TEXT = re.compile(r"\bMCC[^0-9A-Za-z]{0,3}([0-9]{4})(?![0-9])")
_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})?")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_INDICATORS = {"0": "false", "1": "true"}

_CURRENCY = "Ccy()"
"""Stands in a place for the currency that an amount has as its attribute."""

Texts = Mapping[str, list[str]]


@dataclass
class _Step:
    """An element on the way to a place: the place itself, where it is one, and what is wanted below."""

    path: str = ""
    branch: _Branch = field(default_factory=dict)


_Branch = dict[object, _Step]


class _Source:
    """A file that counts what was read since a part of it was let go."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.held_bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        block = self._file.read(size)
        self.held_bytes += len(block)
        if self.held_bytes > HELD_BYTES_MAX:
            raise _EndlessError
        return block


class _EndlessError(Exception):
    """More was read than may be held."""


class CamtTransactions:
    """Reads a message from its beginning; times without an offset are in `time_zone`."""

    def __init__(self, file: BinaryIO, time_zone: str) -> None:
        self._source = _Source(file)
        self._zone = ZoneInfo(time_zone)
        self._root: etree._Element | None = None
        self._namespace = ""
        self._message = ""
        self._numbers = dict.fromkeys(_PARENTS, 0)
        """Which of its kind in its parent the last of each element is."""
        self._wanted: dict[str, _Branch] = {}
        self._statement: dict[str, str] = {}
        self._transactions: list[tuple[str, int, dict[str, str]]] = []
        """Those of the entry at hand: place, line, and what they say themselves."""

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the cells of each transaction, in the order of CAMT_COLUMNS.

        Raises BrokenFileError, with the line and the element, where the message cannot be read on.
        """
        events = etree.iterparse(
            self._source, events=("start", "end"), tag=["{*}Document", *(f"{{*}}{name}" for name in _PARENTS)],
            resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, remove_comments=True,
            remove_pis=True, collect_ids=False,
        )  # fmt: skip
        try:
            for event, element in events:
                name = self._name(element)
                if event == "start":
                    self._begin(name, element)
                elif name in _PARENTS:
                    yield from self._end(name, element)
        except etree.XMLSyntaxError as error:
            last = events.error_log.last_error
            kind = "no XML" if last is None else last.type_name
            raise self._broken(
                "malformed",
                Message("This is not well-formed (%(kind)s).", kind=kind),
                line_no=error.lineno or 0,
            ) from None
        except _EndlessError:
            raise self._broken(
                "endless_element", Message("An element has at most %(most)s bytes.", most=HELD_BYTES_MAX)
            ) from None
        if self._root is None:
            raise self._wrong_message()

    def _begin(self, name: str, element: etree._Element) -> None:
        if self._root is None:
            self._begin_document(element)
            return
        if name not in _PARENTS:
            return
        parent = element.getparent()
        if parent is None or self._name(parent) not in _PARENTS[name]:
            raise self._broken(
                "misplaced_element", Message("This element does not stand here."), element=element
            )
        self._numbers[name] += 1
        if name in ("Stmt", "Ntfctn"):
            self._statement = {}
            self._numbers["Ntry"] = 0
        elif name == "Ntry":
            # What identifies the statement stands before its entries.
            self._statement = self._statement or _collect(
                _texts(parent, self._wanted["statement"]), _STATEMENT
            )
            self._numbers["NtryDtls"] = 0
        elif name == "NtryDtls":
            self._numbers["TxDtls"] = 0

    def _begin_document(self, element: etree._Element) -> None:
        found = _DOCUMENT.fullmatch(str(element.tag))
        if found is None or element.getparent() is not None:
            raise self._wrong_message()
        if element.getroottree().docinfo.internalDTD is not None:
            raise BrokenFileError(1, "document_type", Message("A document type is not accepted."))
        self._root = element
        self._namespace, self._message = found.groups()
        self._wanted = {
            name: _wanted(places, self._namespace)
            for name, places in {
                "statement": _STATEMENT,
                "Ntry": {**_ENTRY, **_SINGLE},
                "TxDtls": _TRANSACTION,
            }.items()
        }

    def _end(self, name: str, element: etree._Element) -> Iterator[list[str]]:
        if name == "NtryDtls":
            return
        if name == "TxDtls":
            if len(self._transactions) == ENTRY_TRANSACTIONS_MAX:
                raise self._broken(
                    "endless_entry",
                    Message("An entry has at most %(most)s transactions.", most=ENTRY_TRANSACTIONS_MAX),
                    element=element,
                )
            place = self._place("Ntry", "NtryDtls", "TxDtls")
            own = _collect(_texts(element, self._wanted[name]), _TRANSACTION)
            self._transactions.append((place, element.sourceline or 0, own))
        elif name == "Ntry":
            found = _texts(element, self._wanted[name])
            whole = _collect(found, _ENTRY)
            only = _collect(found, _SINGLE) if len(self._transactions) <= 1 else {}
            parts = self._transactions or [(self._place("Ntry"), element.sourceline or 0, {})]
            for number, (place, line, own) in enumerate(parts, start=1):
                start = {"element": place, "source_line": str(line), "transaction_no": str(number)}
                cells = start | self._made({**self._statement, **only, **whole, **own})
                yield [cells.get(column.name, "") for column in CAMT_COLUMNS]
            self._transactions = []
        _release(element)
        self._source.held_bytes = 0

    def _made(self, found: dict[str, str]) -> dict[str, str]:
        """Return the cells of a transaction from what was found about it."""
        is_reversal = _flag(found.get("reversal", "false"))
        # In a reversal the parties are those of the original, which went the other way.
        role = "Cdtr" if (found.get("credit_debit") == "DBIT") is (is_reversal != "true") else "Dbtr"
        booked, valued = found.get("booked", ""), found.get("valued", "")
        information = [found.get(f"{of}_information", "") for of in ("transaction", "entry")]
        category = _CATEGORY_IN_TEXT.search(" ".join(information))
        return {
            "merchant_category_code": category[1] if category else "",
            **found,
            "message": self._message,
            "is_reversal": is_reversal,
            "card_present": _flag(found.get("card_present", "")),
            "amount_minor": _minor(found.get("amount", ""), found.get("currency", "")),
            "booked_on": _day(booked),
            "booked_at": self._instant(booked),
            "valued_on": _day(valued),
            "valued_at": self._instant(valued),
            "acted_at": self._instant(found.get("acted_at", "")),
            "counterparty_account": found.get(f"{role}_account", ""),
            "counterparty_name": found.get(f"{role}_name", ""),
            "additional_information": information[0] or information[1],
        }

    def _instant(self, text: str) -> str:
        """Return an instant as the columns have it; a day is its noon (M7). What is neither stays as it is."""
        day = _DAY.fullmatch(text)
        if day is None and _INSTANT.fullmatch(text) is None:
            return text
        try:
            instant = datetime.fromisoformat(text if day is None else f"{day[1]}T12:00")
            local = instant if instant.tzinfo is not None else instant.replace(tzinfo=self._zone)
            return local.astimezone(UTC).isoformat(timespec="microseconds")
        except (ValueError, OverflowError):
            return text

    def _name(self, element: etree._Element) -> str:
        """Return the name of an element; one of another namespace keeps it, and is none that is looked at."""
        return str(element.tag).removeprefix(self._namespace)

    def _place(self, *names: str) -> str:
        statement = "Stmt" if self._message.startswith("camt.053") else "Ntfctn"
        return "/".join(f"{name}[{self._numbers[name]}]" for name in (statement, *names))

    def _broken(
        self, code: str, detail: Message, *, line_no: int = 0, element: etree._Element | None = None
    ) -> BrokenFileError:
        """Return the error at an element, or else at the one that began last."""
        if element is None and (element := self._root) is not None:
            while len(element):
                element = element[-1]
        if element is None:
            return BrokenFileError(line_no or 1, code, detail)
        names = [self._name(each) for each in (*reversed([*element.iterancestors()]), element)]
        path = "".join(
            f"/{name}[{self._numbers[name]}]" if name in _PARENTS else f"/{name}" for name in names
        )
        return BrokenFileError(
            line_no or element.sourceline or 1,
            code,
            Message("%(place)s: %(detail)s", place=path, detail=detail),
        )

    def _wrong_message(self) -> BrokenFileError:
        return BrokenFileError(
            1, "wrong_message", Message("Expected a Document of camt.053 or camt.054, versions 2 to 8.")
        )


def _wanted(places: Mapping[str, Iterable[str]], namespace: str) -> _Branch:
    """Return the places as a tree of the tags on the way to them."""
    tree: _Branch = {}
    for path in {path for paths in places.values() for path in paths}:
        branch = tree
        *above, last = (step if step == _CURRENCY else f"{namespace}{step}" for step in path.split("/"))
        for step in above:
            branch = branch.setdefault(step, _Step()).branch
        branch.setdefault(last, _Step()).path = path
    return tree


def _texts(element: etree._Element, branch: _Branch) -> Texts:
    """Return the texts at the wanted places below an element by their paths, those of a path in their order."""
    found: dict[str, list[str]] = {}
    _add_texts(found, element, branch)
    return found


def _add_texts(found: dict[str, list[str]], element: etree._Element, branch: _Branch) -> None:
    for child in element:
        step = branch.get(child.tag)
        if step is None:
            continue
        if step.path and child.text and (text := " ".join(child.text.split())):
            found.setdefault(step.path, []).append(text)
        if step.branch:
            currency = step.branch.get(_CURRENCY)
            if currency is not None:
                found.setdefault(currency.path, []).append(child.get("Ccy", ""))
            _add_texts(found, child, step.branch)


def _collect(found: Texts, places: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return what is there, by name: all texts of the first of its places that has any."""
    collected = {}
    for name, paths in places.items():
        for path in paths:
            if path in found:
                collected[name] = " ".join(found[path])
                break
    return collected


def _release(element: etree._Element) -> None:
    """Free an element and what stands before it in its parent; lxml still needs the element itself."""
    element.clear(keep_tail=True)
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _flag(text: str) -> str:
    return _INDICATORS.get(text, text)


def _day(text: str) -> str:
    day = _DAY.fullmatch(text)
    if day is not None:
        return day[1]
    return text[:10] if _INSTANT.fullmatch(text) else text


def _minor(amount: str, currency: str) -> str:
    """Return an amount in its currency's smallest unit, whole or not; what is no amount stays none."""
    if _AMOUNT.fullmatch(amount) is None:
        return amount and _NO_AMOUNT
    return plain(Decimal(amount).scaleb(minor_digits(currency)))
