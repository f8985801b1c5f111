"""Factor tables and sample cases out and in as XLSX, with each problem on its cell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from flask.testing import FlaskClient
from openpyxl import Workbook, load_workbook
from sqlalchemy.orm import Session

from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from carbonpoints.rules.workbook_routes import XLSX
from carbonpoints.rules.workbooks import UNPACKED_BYTES_MAX
from tests.rules.catalogue_files import (
    confirm,
    draft,
    factor,
    read,
    rule,
    seed_empty,
    ship,
    tram_files,
    write,
)

Change = Callable[[Any], None]
ZED = factor("7", code="ZED").replace("  name_en: Tram ride", '  name_en: "=1+1"')


@pytest.fixture
def programme_id(session: Session, tmp_path: Path) -> int:
    """A programme with the small catalogue, whose factor was replaced from 2025 on, and a factor with odd texts."""
    programme_id = seed_empty()
    ship(programme_id, read(tram_files(tmp_path / "a", other=ZED)))
    confirm(programme_id, draft(programme_id, read(write(tmp_path / "b", factor=factor("30", "2025-01-01")))))
    return programme_id


class Desk:
    """A rule maker who downloads, changes and uploads workbooks."""

    def __init__(self, client: FlaskClient, settings: Settings, language: str = "en") -> None:
        self.client = client
        token = issue_demo_token(settings, issuer="https://hbank.test", subject="lin", role=Role.RULE_MAKER)
        self.headers = {"Authorization": f"Bearer {token}", "Accept-Language": language}

    def download(self, path: str) -> bytes:
        answer = self.client.get(f"/v1/workbooks/{path}", headers=self.headers)
        assert (answer.status_code, answer.content_type) == (200, XLSX), answer.text
        content: bytes = answer.data
        return content

    def check(self, content: bytes) -> Any:
        answer = self.client.post(
            "/v1/workbooks/check", data=content, headers={**self.headers, "Content-Type": XLSX}
        )
        return answer.json if answer.status_code == 200 else (answer.status_code, answer.json)

    def changed(self, path: str, change: Change) -> Any:
        """Check a downloaded workbook after a change in a spreadsheet."""
        workbook = load_workbook(BytesIO(self.download(path)))
        change(workbook)
        return self.check(saved(workbook))


@pytest.fixture
def desk(client: FlaskClient, settings: Settings, programme_id: int) -> Desk:
    return Desk(client, settings)


def saved(workbook: Any) -> bytes:
    file = BytesIO()
    workbook.save(file)
    return file.getvalue()


def rows(content: bytes, title: str) -> list[list[Any]]:
    return [[cell.value for cell in row] for row in load_workbook(BytesIO(content))[title].iter_rows()]


def places(review: Any) -> list[tuple[str, str, str, str]]:
    assert review["changes"] == []
    return [(one["sheet"], one["cell"], one["field"], one["code"]) for one in review["findings"]]


# Factors


def test_factors_are_written_as_text_and_nothing_is_a_formula(desk: Desk) -> None:
    content = desk.download("factors")
    header, *versions = rows(content, "factors")
    assert header[:5] == ["code", "name_en", "name_zh", "value", "unit"]
    by_name = [dict(zip(header, row, strict=True)) for row in versions]
    assert [(one["code"], one["value"], one["valid_from"], one["valid_to"]) for one in by_name] == [
        ("TRAM", "20", "2023-01-01", "2025-01-01"),
        ("TRAM", "30", "2025-01-01", None),
        ("ZED", "7", "2023-01-01", None),
    ]
    assert by_name[2]["name_en"] == "'=1+1"
    cells = [cell for row in load_workbook(BytesIO(content))["factors"].iter_rows() for cell in row]
    assert {cell.data_type for cell in cells if cell.value is not None} == {"s"}
    assert {cell.number_format for cell in cells if cell.value is not None} == {"@"}


def test_what_comes_back_as_it_went_changes_nothing(desk: Desk) -> None:
    for path in ("factors", "rules/tram_trip"):
        assert desk.check(desk.download(path)) == {"findings": [], "changes": []}
        assert desk.changed(path, lambda _: None) == {"findings": [], "changes": []}


def test_a_changed_factor_is_what_a_change_request_takes(desk: Desk) -> None:
    def new_figure(workbook: Any) -> None:
        sheet = workbook["factors"]
        sheet["D4"] = "8.25"
        sheet["P4"] = "-read again"
        sheet["N4"] = datetime(2024, 1, 1)  # noqa: DTZ001 - as a spreadsheet has it

    review = desk.changed("factors", new_figure)
    assert review["findings"] == []
    (change,) = review["changes"]
    assert (change["kind"], change["code"], change["valid_from"], change["valid_to"]) == (
        "factor",
        "ZED",
        "2024-01-01T00:00:00+08:00",
        None,
    )
    assert len(change["replaces"]) == 1
    assert change["fields"] == [
        {"field": "note", "before": "", "after": "-read again"},
        {"field": "valid_from", "before": "2023-01-01", "after": "2024-01-01"},
        {"field": "value", "before": "7", "after": "8.25"},
    ]
    assert change["content"]["name_en"] == "=1+1"
    assert change["content"]["value"] == "8.25"


def put(reference: str, value: Any) -> Change:
    def change(workbook: Any) -> None:
        workbook["factors"][reference] = value

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put("D4", "7,5"), ("factors", "D4", "value", "wrong_type")),
        (put("D4", 7.5), ("factors", "D4", "", "cell_type")),
        (put("D4", 8), ("factors", "D4", "", "cell_type")),
        (put("D4", "=3+4"), ("factors", "D4", "", "cell_type")),
        (put("D4", None), ("factors", "D4", "value", "required")),
        (put("E4", "g/furlong"), ("factors", "E4", "unit", "invalid")),
        (put("H4", "soon"), ("factors", "H4", "data_year", "wrong_type")),
        (put("K4", "C"), ("factors", "L4", "use", "invalid")),
        (put("N4", "1.1.2024"), ("factors", "N4", "valid_from", "wrong_type")),
        (put("A1", "Code"), ("factors", "A1", "", "unknown_column")),
        (put("Q4", "what is this?"), ("factors", "Q4", "", "header")),
        (put("Q1", "mood"), ("factors", "Q1", "", "unknown_column")),
        (put("B1", "code"), ("factors", "B1", "", "header")),
        (put("N4", datetime(2024, 1, 1, 12)), ("factors", "N4", "valid_from", "wrong_type")),  # noqa: DTZ001 - so in the file
        (put("O3", "2024-12-31"), ("factors", "O3", "valid_to", "invalid")),
    ],
    ids=lambda value: "-".join(value[1::2]) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_what_is_wrong_is_said_on_its_cell(
    desk: Desk, change: Change, expected: tuple[str, str, str, str]
) -> None:
    assert places(desk.changed("factors", change))[0] == expected


def test_a_rule_in_force_that_a_changed_factor_breaks_is_named(desk: Desk) -> None:
    review = desk.changed("factors", put("D2", "25"))
    assert places(review) == [("", "", "samples.0", "sample_differs")]
    assert review["findings"][0]["message"] == (
        "rule tram_trip: the rule gives 50000 mg and 50000 millicredits, "
        "the sample says 40000 mg and 40000 millicredits"
    )


def test_a_version_that_begins_earlier_takes_the_place_of_what_it_covers(desk: Desk) -> None:
    review = desk.changed("factors", put("N3", "2024-06-01"))
    (change,) = review["changes"]
    assert (review["findings"], change["code"], len(change["replaces"])) == ([], "TRAM", 2)


def test_two_rows_that_hold_at_once_are_found_out(desk: Desk) -> None:
    def twice(workbook: Any) -> None:
        sheet = workbook["factors"]
        for value in ("8", "9"):
            sheet.append([value if name == "value" else cell for name, cell in zip(
                [cell.value for cell in sheet[1]], [cell.value for cell in sheet[4]], strict=True
            )])  # fmt: skip

    assert places(desk.changed("factors", twice)) == [("factors", "N5", "valid_from", "overlap")]


# Samples


def test_samples_have_a_column_for_each_attribute_counter_and_result(desk: Desk) -> None:
    content = desk.download("rules/tram_trip")
    assert rows(content, "samples") == [
        ["ticket", "distance_km", "expected:reduction_mg", "expected:millicredits"],
        ["T1", "2", "40000", "40000"],
    ]
    assert rows(content, "ineligible_samples") == [["ticket", "distance_km", "expected:reason"]]
    assert rows(content, "rule")[1][0] == "tram_trip"


def test_changed_samples_are_what_a_change_request_takes(desk: Desk) -> None:
    def another(workbook: Any) -> None:
        workbook["samples"].append([None, None, None, None])
        workbook["samples"].append(["T2", "0.5", 10000, "10000"])

    review = desk.changed("rules/tram_trip", another)
    assert review["findings"] == []
    (change,) = review["changes"]
    assert (change["kind"], change["code"]) == ("rule", "tram_trip")
    assert change["fields"] == [
        {
            "field": "samples.1",
            "before": None,
            "after": {
                "attributes": {"distance_km": "0.5", "ticket": "T2"},
                "counters": {},
                "reduction_mg": 10000,
                "millicredits": 10000,
            },
        }
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (["T2", "0.5", "10001", "10000"], ("samples", "A4", "samples.1", "sample_differs")),
        (["T2", "0.5", "0", "0"], ("samples", "A4", "samples.1", "yields_nothing")),
        (["T2", "half", "1", "1"], ("samples", "B4", "samples.1.attributes.distance_km", "sample_inputs")),
        (["", "0.5", "1", "1"], ("samples", "A4", "samples.1.attributes.ticket", "sample_inputs")),
        (["T2", "0.5", "", "1"], ("samples", "C4", "samples.1.reduction_mg", "required")),
        (["T2", "0.5", "many", "1"], ("samples", "C4", "samples.1.reduction_mg", "wrong_type")),
        (["T2", 0.5, "1", "1"], ("samples", "B4", "", "cell_type")),
    ],
    ids=lambda value: value[3] if isinstance(value, tuple) else "",
)
def test_a_wrong_sample_is_said_on_its_cell(
    desk: Desk, row: list[Any], expected: tuple[str, str, str, str]
) -> None:
    def add(workbook: Any) -> None:
        for column, value in enumerate(row, 1):
            workbook["samples"].cell(4, column, value)

    assert places(desk.changed("rules/tram_trip", add)) == [expected]


def test_a_refused_sample_names_its_reason(desk: Desk) -> None:
    def refuse(workbook: Any) -> None:
        workbook["ineligible_samples"].append(["T1", "2", "night"])

    review = desk.changed("rules/tram_trip", refuse)
    assert places(review) == [("ineligible_samples", "A2", "ineligible_samples.0", "sample_differs")]


def test_samples_of_a_version_that_was_replaced_are_not_taken(
    desk: Desk, programme_id: int, tmp_path: Path
) -> None:
    content = desk.download("rules/tram_trip")
    confirm(programme_id, draft(programme_id, read(write(tmp_path / "c", rule=rule(basis="New")))))
    assert places(desk.check(content)) == [("rule", "B2", "version_id", "outdated")]


# What is no workbook of ours


def test_findings_are_said_in_the_callers_language(
    desk: Desk, client: FlaskClient, settings: Settings
) -> None:
    review = Desk(client, settings, "zh-CN").changed("factors", put("D4", 7.5))
    assert review["findings"][0]["message"] == "数字单元格中的小数不精确：请将单元格设为文本格式后重新填写"


def bomb() -> bytes:
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"\0" * (UNPACKED_BYTES_MAX + 1))
    return file.getvalue()


def with_entities(content: bytes) -> bytes:
    """Put a document type with an entity into the first sheet."""
    file = BytesIO()
    with ZipFile(BytesIO(content)) as old, ZipFile(file, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            if name.endswith("sheet1.xml"):
                part = (
                    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>' + part[part.index(b"<worksheet") :]
                )
            new.writestr(name, part)
    return file.getvalue()


def test_what_is_no_workbook_is_refused(desk: Desk) -> None:
    whole = desk.download("factors")
    empty = Workbook()
    for content, code in (
        (b"", "not_a_workbook"),
        (b"code,value", "not_a_workbook"),
        (whole[: len(whole) // 2], "not_a_workbook"),
        (with_entities(whole), "not_a_workbook"),
        (bomb(), "too_large"),
        (saved(empty), "no_table"),
    ):
        status, problem = desk.check(content)
        assert (status, problem["errors"][0]["code"]) == (422, code)
    answer = desk.client.post("/v1/workbooks/check", data=whole, headers=desk.headers)
    assert answer.status_code == 415


def test_a_sheet_that_says_it_is_huge_is_read_as_far_as_it_goes(desk: Desk) -> None:
    def far_away(workbook: Any) -> None:
        workbook["factors"]["A1048576"] = "FAR"

    assert ("factors", "A5002", "", "too_many_rows") in places(desk.changed("factors", far_away))


def test_a_rule_that_is_not_there_has_no_samples(desk: Desk) -> None:
    answer = desk.client.get("/v1/workbooks/rules/train_trip", headers=desk.headers)
    assert answer.status_code == 404
