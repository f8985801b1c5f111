"""camt.053 and camt.054: each transaction gives the same columns, whatever the version; what is no message breaks."""

from __future__ import annotations

import re
import resource
import time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonpoints.behaviours.camt import ENTRY_TRANSACTIONS_MAX, HELD_BYTES_MAX
from carbonpoints.behaviours.records import BrokenFileError
from tests.feeds.messages import MESSAGES, details, document, entry, only, rows, shape, statement, transaction

V8 = "camt.053.001.08"
TRANSFER = "<Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>DMCT</SubFmlyCd></Fmly></Domn>"


def everything(message: str, encoding: str = "UTF-8") -> bytes:
    """Two statements: a card payment; a batch in two parts; an entry without details, and a reversal."""
    return document(
        message,
        statement(
            message,
            "6220",
            entry(message, "N1", "12.5", details(transaction(message, "A1", category="5411", text="早餐 A"))),
            entry(
                message,
                "N2",
                "6.00003",
                details(
                    transaction(message, "A2", "1.00001"), transaction(message, "A3", "2.00001", to="7002")
                ),
                details(transaction(message, "A4", "3.00001")),
                codes=TRANSFER,
            ),
        ),
        statement(
            message,
            "6221",
            entry(message, "N3", "7", booked="<DtTm>2024-05-01T23:30:00.25Z</DtTm>"),
            entry(
                message, "N4", "12.5", details(transaction(message, "A5")), direction="CRDT", reversal="true"
            ),
            id_="S2",
        ),
        encoding=encoding,
    )


@pytest.mark.parametrize("message", MESSAGES)
def test_every_version_gives_the_same_columns(message: str) -> None:
    found = rows(everything(message))
    top = "Stmt" if message.startswith("camt.053") else "Ntfctn"
    assert [row["element"] for row in found] == [
        f"{top}[1]/Ntry[1]/NtryDtls[1]/TxDtls[1]",
        f"{top}[1]/Ntry[2]/NtryDtls[1]/TxDtls[1]",
        f"{top}[1]/Ntry[2]/NtryDtls[1]/TxDtls[2]",
        f"{top}[1]/Ntry[2]/NtryDtls[2]/TxDtls[1]",
        f"{top}[2]/Ntry[1]",
        f"{top}[2]/Ntry[2]/NtryDtls[1]/TxDtls[1]",
    ]
    lines = everything(message).decode().splitlines()
    for row in found:
        name = row["element"].rpartition("/")[2].partition("[")[0]
        assert lines[int(row["source_line"]) - 1].endswith(f"<{name}>"), "each says its own line"
    card = found[0]
    assert {name: text for name, text in card.items() if text} == {
        "element": f"{top}[1]/Ntry[1]/NtryDtls[1]/TxDtls[1]",
        "source_line": card["source_line"],
        "message": message,
        "statement_id": "S1",
        "account": "6220",
        "entry_reference": "N1",
        "entry_servicer_reference": "N1",
        "transaction_no": "1",
        "servicer_reference": "A1",
        "end_to_end_id": "E-A1",
        "transaction_id": "T-A1",
        "credit_debit": "DBIT",
        "is_reversal": "false",
        "status": "BOOK",
        "amount": "12.5",
        "currency": "CNY",
        "amount_minor": "1250",
        "booked_on": "2024-05-01",
        "booked_at": "2024-05-01T04:00:00.000000+00:00",
        "valued_on": "2024-05-02",
        "valued_at": "2024-05-02T04:00:00.000000+00:00",
        "acted_at": "2024-05-01T00:30:00.000000+00:00",
        "domain": "PMNT",
        "family": "CCRD",
        "sub_family": "POSD",
        "counterparty_account": "7001",
        "counterparty_name": "Payee 7001",
        "merchant_category_code": "5411",
        "remittance": "早餐 A",
        **(
            {"additional_information": "CARD MCC: 5411"}
            if shape(message) == 2
            else {"merchant_id": "POS7001"}
        ),
    }
    assert only(
        found[1:], "account", "entry_reference", "transaction_no", "amount", "amount_minor", "family"
    ) == [
        ("6220", "N2", "1", "1.00001", "100.001", "ICDT"),
        ("6220", "N2", "2", "2.00001", "200.001", "ICDT"),
        ("6220", "N2", "3", "3.00001", "300.001", "ICDT"),
        ("6221", "N3", "1", "7", "700", "CCRD"),
        ("6221", "N4", "1", "12.5", "1250", "CCRD"),
    ]
    names = ("servicer_reference", "is_reversal", "credit_debit", "counterparty_name", "booked_at")
    assert only(found[4:], *names) == [
        ("N3", "false", "DBIT", "", "2024-05-01T23:30:00.250000+00:00"),
        ("A5", "true", "CRDT", "Payee 7001", "2024-05-01T04:00:00.000000+00:00"),
    ]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "GB18030"])
def test_the_prolog_says_how_a_message_is_written(encoding: str) -> None:
    content = everything(V8, encoding)
    if encoding != "UTF-8":
        assert content != everything(V8)
    assert rows(content) == rows(everything(V8))


def test_a_prefix_for_the_namespace_changes_nothing() -> None:
    text = everything(V8).decode()
    prefixed = re.sub(r"<(/?)(?=[A-Z])", r"<\1ns:", text).replace("xmlns=", "xmlns:ns=")
    assert "<ns:Ntry>" in prefixed
    assert rows(prefixed.encode()) == rows(text.encode())


def test_elements_of_other_namespaces_are_none_of_ours() -> None:
    stranger = '<SplmtryData><Envlp><Ntry xmlns="urn:x"><Amt>1</Amt><TxDtls/></Ntry></Envlp></SplmtryData>'
    content = document(V8, statement(V8, "6220", entry(V8, "N1", "12.5", more=stranger)))
    assert only(rows(content), "entry_reference", "amount") == [("N1", "12.5")]


def test_comments_and_line_breaks_are_no_part_of_a_text() -> None:
    text = "<Ustrd>a\n  b<!-- x -->c</Ustrd><Ustrd>d</Ustrd>"
    part = transaction(V8, "A1", text="x").replace("<Ustrd>x</Ustrd>", text)
    (row,) = rows(document(V8, statement(V8, "6220", entry(V8, "N1", "1", details(part)))))
    assert row["remittance"] == "a bc d"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CARD MCC 5411 X", "5411"), ("MCC=5411", "5411"), ("/MCC/5411", "5411"), ("MCC5411", "5411"),
        ("MCC 54112", ""), ("AMCC 5411", ""), ("5411", ""), ("MCC ab 5411", ""),
    ],
)  # fmt: skip
def test_banks_write_merchant_categories_into_texts(text: str, found: str) -> None:
    inside = transaction(V8, "A1").replace("\n</TxDtls>", f"<AddtlTxInf>{text}</AddtlTxInf></TxDtls>")
    beside = entry(V8, "N2", "1", details(transaction(V8, "A2")), more=f"<AddtlNtryInf>{text}</AddtlNtryInf>")
    content = document(V8, statement(V8, "6220", entry(V8, "N1", "1", details(inside)), beside))
    assert only(rows(content), "merchant_category_code", "additional_information") == 2 * [(found, text)]


def test_the_category_of_an_aggregated_entry_is_that_of_its_transactions() -> None:
    card = "<CardTx><AggtdNtry><TxCtgy>4131</TxCtgy></AggtdNtry></CardTx>"
    own = transaction(V8, "A2", "1", category="4111")
    content = document(
        V8, statement(V8, "6220", entry(V8, "N1", "2", card, details(transaction(V8, "A1", "1"), own)))
    )
    assert only(rows(content), "merchant_category_code") == [("4131",), ("4111",)]


def test_in_a_batch_nobody_has_the_amount_or_reference_of_the_whole() -> None:
    bare = re.sub("<Refs>.*</Refs>", "", transaction(V8, "A1"))
    content = document(V8, statement(V8, "6220", entry(V8, "N1", "2", details(bare, bare))))
    assert only(rows(content), "amount", "amount_minor", "currency", "servicer_reference") == 2 * [
        ("", "", "", "")
    ]


@pytest.mark.parametrize(
    ("written", "day", "instant"),
    [
        ("<Dt>2024-05-01+08:00</Dt>", "2024-05-01", "2024-05-01T04:00:00.000000+00:00"),
        ("<DtTm>2024-05-01T00:15:00</DtTm>", "2024-05-01", "2024-04-30T16:15:00.000000+00:00"),
        ("<DtTm>2024-05-01T00:15:00+02:00</DtTm>", "2024-05-01", "2024-04-30T22:15:00.000000+00:00"),
        ("<Dt>2024-02-30</Dt>", "2024-02-30", "2024-02-30"),
        ("<Dt>soon</Dt>", "soon", "soon"),
        ("<DtTm>0001-01-01T00:00:00+14:00</DtTm>", "0001-01-01", "0001-01-01T00:00:00+14:00"),
        ("", "", ""),
    ],
)
def test_days_and_instants(written: str, day: str, instant: str) -> None:
    content = document(V8, statement(V8, "6220", entry(V8, "N1", "1", booked=written)))
    assert only(rows(content), "booked_on", "booked_at") == [(day, instant)]


DIGITS = {"CNY": 2, "EUR": 2, "JPY": 0, "KWD": 3, "CLF": 4}


@given(
    units=st.integers(0, 10**18 - 1), fraction=st.text("0123456789", max_size=5), currency=st.sampled_from(sorted(DIGITS))
)  # fmt: skip
def test_amounts_are_exact(units: int, fraction: str, currency: str) -> None:
    amount = f"{units}.{fraction}" if fraction else str(units)
    content = document(V8, statement(V8, "6220", entry(V8, "N1", amount, currency=currency)))
    ((kept, minor),) = only(rows(content), "amount", "amount_minor")
    assert kept == amount
    whole, rest = divmod(int(units * 10**5 + int(fraction.ljust(5, "0"))), 10 ** (5 - DIGITS[currency]))
    assert Decimal(minor) == whole + Decimal(rest) / 10 ** (5 - DIGITS[currency])
    assert ("." in minor) == bool(rest), "only a whole number of units has no decimals"


@pytest.mark.parametrize("amount", ["1e5", "12,50", "-1", "1.123456", "1" * 19, ".5"])
def test_what_is_no_amount_is_no_number_of_units(amount: str) -> None:
    content = document(V8, statement(V8, "6220", entry(V8, "N1", amount)))
    assert only(rows(content), "amount", "amount_minor") == [(amount, "not exact")]


def broken(content: bytes) -> tuple[int, str, str]:
    with pytest.raises(BrokenFileError) as found:
        rows(content)
    return found.value.line_no, found.value.code, found.value.detail


WHOLE = everything(V8).decode()


def line_of(marker: str) -> int:
    """The line of the whole message in which this stands first; without it, the line after its end."""
    return WHOLE.partition(marker)[0].count("\n") + 1 if marker else WHOLE.count("\n") + 1


@pytest.mark.parametrize(
    ("content", "marker", "element"),
    [
        (WHOLE[: WHOLE.index("N3")], "N3", "/Document/BkToCstmrStmt/Stmt[2]/Ntry[1]/NtryRef: "),
        (WHOLE.replace("N2</NtryRef>", "N2</NtryRf>"), "N2", "/Document/BkToCstmrStmt/Stmt[1]/Ntry[2]/NtryRef: "),
        (WHOLE.replace("Payee 7002", "Payee & 7002"), "7002", "/Cdtr/Pty/Nm: "),
        (WHOLE.replace("Payee 7002", "Payee &x; 7002"), "7002", "/Cdtr/Pty/Nm: "),
        (WHOLE.replace("Payee 7002", "Payee \x00 7002"), "7002", "/Cdtr/Pty/Nm: "),
        (WHOLE + "<x/>", "", "/Document/BkToCstmrStmt/Stmt[2]: "),
        ("", "<?xml", "no XML"),
        ("T1,6220,2024-05-01", "<?xml", "ERR_DOCUMENT_EMPTY"),
    ],
)  # fmt: skip
def test_what_is_not_well_formed_names_line_and_element(content: str, marker: str, element: str) -> None:
    found = broken(content.encode())
    assert (found[0], found[1], element in found[2]) == (line_of(marker), "malformed", True), found
    assert "7002" not in found[2], "what is said does not repeat what the message holds"


def test_bytes_of_another_encoding_are_malformed() -> None:
    assert broken(everything(V8).replace("早餐".encode(), b"\xff\xfe"))[:2] == (line_of("早餐"), "malformed")
    assert broken(everything(V8).replace(b"UTF-8", b"klingon"))[:2] == (1, "malformed")


@pytest.mark.parametrize(
    "content",
    [
        WHOLE.replace("camt.053.001.08", "camt.053.001.09"),
        WHOLE.replace("camt.053.001.08", "camt.053.001.01"),
        WHOLE.replace("camt.053.001.08", "camt.052.001.08"),
        WHOLE.replace("Document", "Envelope"),
        f"<Envelope>{WHOLE.partition('?>')[2]}</Envelope>",
        "<html/>",
    ],
)
def test_another_message_is_none(content: str) -> None:
    assert broken(content.encode())[:2] == (1, "wrong_message")


def test_elements_out_of_place_break_the_message() -> None:
    nested = entry(V8, "N1", "1", more=entry(V8, "N2", "1"))
    line_no, code, detail = broken(document(V8, statement(V8, "6220", nested)))
    assert (line_no, code) == (10, "misplaced_element")
    assert detail == "/Document/BkToCstmrStmt/Stmt[1]/Ntry[1]/Ntry[1]: This element does not stand here."


def laughing(times: int) -> str:
    laughs = "".join(f'<!ENTITY l{n} "{10 * f"&l{n - 1};"}">' for n in range(1, times))
    return f'<!DOCTYPE Document [<!ENTITY l0 "lol">{laughs}]>'


@pytest.mark.parametrize(
    "where",
    [
        lambda last: WHOLE.replace("Payee 7002", f"&{last};"),
        lambda last: WHOLE.replace("<Document ", f'<Document a="&{last};" '),
        lambda _: WHOLE,
    ],
)
def test_a_billion_laughs_are_refused_at_once(where) -> None:
    content = where("l9").replace("<Document", f"{laughing(10)}<Document", 1)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    line_no, code, _ = broken(content.encode())
    assert (line_no <= 2, code in {"document_type", "malformed"}) == (True, True)
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_nothing_is_fetched(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for entity in (f'SYSTEM "{secret.as_uri()}"', 'SYSTEM "http://127.0.0.1:1/x"', f'PUBLIC "x" "{secret}"'):
        doctype = f"<!DOCTYPE Document [<!ENTITY x {entity}>]>"
        content = WHOLE.replace("Payee 7002", "&x;").replace("<Document", f"{doctype}<Document", 1)
        assert broken(content.encode()) == (1, "document_type", "A document type is not accepted.")
    external = WHOLE.replace("<Document", f'<!DOCTYPE Document SYSTEM "{secret.as_uri()}"><Document', 1)
    assert broken(external.encode())[1] == "document_type"


def test_everything_has_a_bound() -> None:
    head, tail = WHOLE.split("<Acct>", 1)
    line = "<Bal><Amt>1</Amt></Bal>\n"
    line_no, code, detail = broken(
        (head + line * (HELD_BYTES_MAX // len(line) + 2) + "<Acct>" + tail).encode()
    )
    assert (line_no > 100_000, code) == (True, "endless_element")
    assert detail.startswith("/Document/BkToCstmrStmt/Stmt[1]/Bal")
    assert broken(f"<Document><a>{'x' * 11_000_000}</a></Document>".encode())[1] == "wrong_message"
    assert broken(WHOLE.replace("早餐", "x" * 11_000_000).encode())[1] in {"endless_element", "malformed"}
    deep = 300
    assert broken((head + "<Bal>" * deep + "</Bal>" * deep + "<Acct>" + tail).encode())[1] == "malformed"


def test_an_entry_has_a_bound() -> None:
    message, parts = "camt.053.001.02", "<TxDtls/>\n" * (ENTRY_TRANSACTIONS_MAX + 1)
    line_no, code, detail = broken(
        document(message, statement(message, "6220", entry(message, "N1", "1", details(parts))))
    )
    assert (line_no, code) == (ENTRY_TRANSACTIONS_MAX + 11, "endless_entry")
    assert detail.startswith("/Document/BkToCstmrStmt/Stmt[1]/Ntry[1]/NtryDtls[1]/TxDtls[50001]: ")


def test_lines_are_counted_beyond_what_a_short_number_holds() -> None:
    """Beyond 65,535 libxml2 knows the lines of texts only: of an entry it names its start or the next line."""
    count = 12_000
    content = document(V8, statement(V8, "6220", *(entry(V8, f"N{n}", "1") for n in range(count))))
    lines = content.decode().splitlines()
    starts = [number for number, line in enumerate(lines, start=1) if line == "<Ntry>"]
    found = [int(row["source_line"]) for row in rows(content.replace(b"<Amt", b"\n\n\n<Amt"))]
    assert len(found) == count
    off = [
        line - (start + 3 * number) for number, (line, start) in enumerate(zip(found, starts, strict=True))
    ]
    assert set(off) <= {0, 1}
    assert {off[number] for number in range(9_000)} == {0}
    assert found[-1] > 65_535
