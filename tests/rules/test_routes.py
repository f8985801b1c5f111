"""The catalogue over HTTP and from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carbonpoints.approvals.versions import VersionKind
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from carbonpoints.rules.definitions import FactorDefinition
from carbonpoints.rules.schemas import content_schema
from carbonpoints.rules.services import list_current
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

Get = Callable[..., Any]


@pytest.fixture
def programme_id(session: Session, tmp_path: Path) -> int:
    """A programme with the small catalogue, whose factor was replaced from 2025 on."""
    programme_id = seed_empty()
    ship(programme_id, read(tram_files(tmp_path / "a", other=factor("7", code="ZED"))))
    confirm(programme_id, draft(programme_id, read(write(tmp_path / "b", factor=factor("30", "2025-01-01")))))
    return programme_id


def bearer(settings: Settings, issuer: str = "https://hbank.test") -> dict[str, str]:
    token = issue_demo_token(settings, issuer=issuer, subject="a", role=Role.AUDITOR)
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def get(client: FlaskClient, settings: Settings, programme_id: int) -> Get:
    def ask(path: str, issuer: str = "https://hbank.test", **given: Any) -> Any:
        headers = bearer(settings, issuer) | given.pop("headers", {})
        return client.get(f"/v1/{path}", query_string=given, headers=headers)

    return ask


def shown(answer: Any) -> list[tuple[str, int, str]]:
    return [(item["code"], item["version"], item["content"]["value"]) for item in answer.json["items"]]


def test_current_factors_are_listed_page_by_page(get: Get) -> None:
    first = get("factors", limit=2)
    assert shown(first) == [("TRAM", 2, "30"), ("TRAM", 3, "20")]
    second = get("factors", limit=2, cursor=first.json["next_cursor"])
    assert (shown(second), second.json["next_cursor"]) == ([("ZED", 1, "7")], None)


def test_a_list_shows_what_held_at_an_instant(get: Get) -> None:
    assert shown(get("factors", at="2024-06-01T00:00:00+08:00")) == [("TRAM", 3, "20"), ("ZED", 1, "7")]
    assert shown(get("factors", at="2025-01-01T00:00:00+08:00")) == [("TRAM", 2, "30"), ("ZED", 1, "7")]
    assert shown(get("factors", at="2024-12-31T23:59:59+08:00"))[0] == ("TRAM", 3, "20")


def test_history_shows_what_was_known_when(get: Get) -> None:
    versions = get("factors/TRAM").json["versions"]
    assert [(item["version"], item["content"]["value"]) for item in versions] == [
        (1, "20"),
        (2, "30"),
        (3, "20"),
    ]
    first, second, third = versions
    assert first["known_to"] == second["known_from"] == third["known_from"]
    assert (second["known_to"], third["valid_to"]) == (None, "2024-12-31T16:00:00+00:00")
    assert shown(get("factors", known_at=first["known_from"]))[0] == ("TRAM", 1, "20")
    assert shown(get("factors", known_at=second["known_from"]))[0] == ("TRAM", 2, "30")


def test_a_factor_carries_its_source_and_grade(get: Get) -> None:
    content = get("factors/ZED").json["versions"][0]["content"]
    assert content == {
        "code": "ZED",
        "name_en": "Tram ride",
        "name_zh": "有轨电车",
        "value": "7",
        "unit": "g/km",
        "quantity": "reduction",
        "region": "CN",
        "data_year": 2023,
        "source_title": "Report",
        "source_address": "https://source.test/report",
        "grade": "A",
        "use": "reduction",
        "use_reason": "",
        "valid_from": "2023-01-01",
        "valid_to": None,
        "note": "",
    }
    assert content.keys() == content_schema(FactorDefinition)().fields.keys()


@pytest.mark.parametrize("kind", [VersionKind.FACTOR, VersionKind.BEHAVIOUR, VersionKind.RULE])
def test_an_answer_holds_the_stored_content_whole(get: Get, programme_id: int, kind: VersionKind) -> None:
    stored = [version.content for version in list_current(programme_id=programme_id, kind=kind)]
    listed = [item["content"] for item in get(f"{kind}s").json["items"]]
    assert sorted(listed, key=str) == sorted(stored, key=str)
    code = listed[0]["code"]
    assert get(f"{kind}s/{code}").json["versions"][-1]["content"] in listed


def test_what_has_not_changed_is_not_sent_again(get: Get) -> None:
    answer = get("rules/tram_trip")
    again = get("rules/tram_trip", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("path", ["factors/NONE", "behaviours/none", "rules/none", "rules/TRAM"])
def test_an_unknown_code_is_not_found(get: Get, path: str) -> None:
    answer = get(path)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_another_bank_sees_nothing_of_it(get: Get) -> None:
    seed_empty("kbank")
    assert get("factors", issuer="https://kbank.test").json == {"items": [], "next_cursor": None}
    assert get("factors/TRAM", issuer="https://kbank.test").status_code == 404


@pytest.mark.parametrize(
    "query",
    [{"at": "2024-06-01T00:00:00"}, {"at": "yesterday"}, {"cursor": "x"}, {"limit": 0}, {"when": "now"}],
)
def test_a_wrong_query_is_refused(get: Get, query: dict[str, str]) -> None:
    answer = get("factors", **query)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_request")
    assert [error["field"] for error in answer.json["errors"]] == list(query)


def run(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["catalogue", *arguments])


def test_the_command_line_lists_and_shows(app: Flask, programme_id: int) -> None:
    assert run(app, "list", "factor").output == (
        "TRAM                                3  2023-01-01  2025-01-01\n"
        "TRAM                                2  2025-01-01\n"
        "ZED                                 1  2023-01-01\n"
    )
    shown = run(app, "show", "rule", "tram_trip").output
    assert shown.startswith("rule tram_trip, version 1: valid from 2024-01-01T00:00:00+08:00 to no bound\n{")
    missing = run(app, "show", "rule", "none")
    assert (missing.exit_code, missing.output) == (1, "Error: there is no rule none\n")


def test_the_command_line_makes_a_draft_with_its_differences(
    app: Flask, programme_id: int, tmp_path: Path
) -> None:
    folder = write(
        tmp_path / "c", rule=rule(basis="Better"), behaviour=(tmp_path / "a/behaviour.yaml").read_text()
    )
    done = run(app, "import", str(folder), "--maker", "lin")
    assert (done.exit_code, done.output.splitlines()) == (
        0,
        [
            "1 unchanged, 0 new and in force",
            done.output.splitlines()[1],
            "  rule tram_trip",
            '    basis_en: "Basis" -> "Better"',
        ],
    )
    assert done.output.splitlines()[1].startswith("1 changed: draft ")


def test_the_command_line_refuses_wrong_files_by_line(app: Flask, programme_id: int, tmp_path: Path) -> None:
    folder = write(tmp_path / "c", factor=factor(unit="g/furlong"))
    done = run(app, "import", str(folder), "--maker", "lin")
    assert (done.exit_code, done.output.splitlines()) == (
        1,
        [
            "Error: nothing was stored",
            f"{folder}/factor.yaml:6: factors.0.unit: 'furlong' is no unit that is known here",
        ],
    )


def test_the_command_line_takes_what_ships(app: Flask, session: Session) -> None:
    programme_id = seed_empty()
    arguments = ("import", "--shipped", "--maker", "lin", "--checker", "zhao")
    first, second = run(app, *arguments), run(app, *arguments)
    in_force = sum(
        len({version.code for version in list_current(programme_id=programme_id, kind=kind)})
        for kind in (VersionKind.FACTOR, VersionKind.BEHAVIOUR, VersionKind.RULE)
    )
    versions = sum(
        len(list_current(programme_id=programme_id, kind=kind))
        for kind in (VersionKind.FACTOR, VersionKind.BEHAVIOUR, VersionKind.RULE)
    )
    assert first.output == f"0 unchanged, {in_force} new and in force\n"
    assert second.output == f"{versions} unchanged, 0 new and in force\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--maker", "lin"), "Give either PATH or --shipped."),
        (("--shipped", "--maker", "lin"), "--checker goes with --shipped"),
        (("--shipped", "--maker", "lin", "--checker", "lin"), "A change is decided by another person"),
        (
            ("--shipped", "--maker", "lin", "--checker", "zhao", "--bank", "none"),
            "Name the bank and the programme.",
        ),
    ],
)
def test_the_command_line_says_what_is_missing(
    app: Flask, programme_id: int, arguments: tuple[str, ...], message: str
) -> None:
    done = run(app, "import", *arguments)
    assert done.exit_code != 0
    assert message in done.output
