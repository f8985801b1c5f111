"""A real bank's transactions of 1993 (PKDD'99 Discovery Challenge), loaded as a backfill. A demonstration.

The bank's files are not part of the product; whoever has them can see the main job done on real data. They are
loaded twice: under the shipped rule for payments, dated back, and under a rule that gives something to every
transfer and is labelled for what it is. Each programme belongs to a bank of its own, for within a bank an event
and an act count once.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from carbonpoints.accounts.bulk import (
    BankLink,
    DeclaredConsent,
    consent_in_bulk,
    link_in_bulk,
    open_accounts_in_bulk,
)
from carbonpoints.accounts.linking import Relation
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.behaviours.feed_services import (
    JobProgress,
    continue_next_job,
    find_feed,
    import_profiles,
    read_progress,
    receive_file,
)
from carbonpoints.behaviours.profiles import shipped_profiles
from carbonpoints.core.db import transaction
from carbonpoints.rules.services import seed_programme
from carbonpoints.rules.shipped import (
    ShippedCatalogue,
    load_demonstration_programme,
    load_demonstration_rule,
)

PROFILE = "czech_bank_1993"
NEEDED_FILES = ("trans.csv", "order.csv", "disp.csv")
COVERS_FROM = datetime.fromisoformat("1993-01-01T00:00:00+01:00")
"""The declared beginning of the consents: this is a backfill (M11)."""
RELATIONS = {"OWNER": Relation.OWNER, "DISPONENT": Relation.AUTHORISED_USER}


@dataclass(frozen=True)
class Run:
    """One load of the file: the bank that stands for it, and the rules it runs under."""

    bank_code: str
    title: str
    catalogue: Callable[[], ShippedCatalogue]


@dataclass(frozen=True)
class Loaded:
    """What became of a load."""

    run: Run
    holders: int
    bank_accounts: int
    progress: JobProgress


def shipped_rule() -> ShippedCatalogue:
    """Return the programme under the shipped rule for payments, dated back to 1993."""
    return load_demonstration_programme("programme_1993")


def demonstration_rule() -> ShippedCatalogue:
    """Return the programme under a rule that grants one credit and 0 mg to every transfer."""
    return replace(shipped_rule(), rules=(load_demonstration_rule("transfers_1993"),), factors=())


RUNS = (
    Run("czech-1993", "The shipped rule, dated back", shipped_rule),
    Run("czech-1993-demonstration", "Demonstration, not a methodology", demonstration_rule),
)


def missing_files(folder: Path) -> list[str]:
    """Return which of the bank's files are not in `folder`."""
    return [name for name in NEEDED_FILES if not (folder / name).is_file()]


def load_1993(folder: Path, run: Run) -> Loaded:
    """Set the run's programme up, open its accounts, and load the file to its end.

    Repeatable: a second time opens nothing new, and every event is a duplicate.
    """
    programme_id = seed_programme(
        bank_code=run.bank_code,
        issuer=f"https://{run.bank_code}.example",
        bank_name_en=f"Czech bank of 1993: {run.title}",
        bank_name_zh="1993年捷克某银行",
        catalogue=run.catalogue(),
        maker_person="demonstration-maker",
        checker_person="demonstration-checker",
    ).programme_id
    import_profiles(
        programme_id=programme_id,
        profiles=[profile for profile in shipped_profiles() if profile.code == PROFILE],
        maker_person="demonstration-maker",
        checker_person="demonstration-checker",
    )
    holders, bank_accounts = _open_holders(programme_id, folder)
    feed = find_feed(programme_id=programme_id, profile_code=PROFILE)
    with (folder / "trans.csv").open("rb") as file, (folder / "order.csv").open("rb") as orders:
        job_id = receive_file(feed=feed, file_name="trans.csv", file=file, tables={"standing_orders": orders})
    while not (progress := read_progress(job_id=job_id)).is_finished:
        continue_next_job()
    return Loaded(run, holders, bank_accounts, progress)


def _open_holders(programme_id: int, folder: Path) -> tuple[int, int]:
    """Open an account for everyone who owns or may use a bank account that occurs in the file."""
    occurring = {row["account_id"] for row in _rows(folder / "trans.csv")}
    users = [row for row in _rows(folder / "disp.csv") if row["account_id"] in occurring]
    with transaction() as session:
        settings = programme_settings(session, programme_id)
        clients = list(dict.fromkeys(row["client_id"] for row in users))
        holders = [NewHolder({Scheme.CUSTOMER_REF: client}) for client in clients]
        accounts = dict(zip(clients, open_accounts_in_bulk(session, settings, holders), strict=True))
    with transaction() as session:
        links = [
            BankLink(accounts[row["client_id"]], row["account_id"], RELATIONS[row["type"]]) for row in users
        ]
        link_in_bulk(session, settings, links)
    with transaction() as session:
        consents = [
            DeclaredConsent(account, "payments", COVERS_FROM, "backfill") for account in accounts.values()
        ]
        consent_in_bulk(session, settings, consents)
    return len(accounts), len(occurring)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="ascii", newline="") as file:
        yield from csv.DictReader(file, delimiter=";")
