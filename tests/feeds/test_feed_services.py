"""A file comes in, is staged whole, credited, and accounted for line by line."""

from __future__ import annotations

import io
import os
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours import feed_services
from carbonpoints.behaviours.errors import FeedJobNotFound, FeedProfileNotFound, UnknownSource
from carbonpoints.behaviours.feed_services import (
    JobProgress,
    continue_next_job,
    find_feed,
    forget_finished_files,
    import_profiles,
    read_progress,
    read_refused,
    receive_file,
)
from carbonpoints.behaviours.spool import ORPHAN_AGE_S
from carbonpoints.behaviours.staging import stage_next_segment
from carbonpoints.core.config import Settings
from carbonpoints.core.crypto import SUITE
from carbonpoints.core.errors import InvalidRequest
from carbonpoints.ledger.reconcile import check
from carbonpoints.rules.nodes import DefinitionError
from tests.feeds.conftest import FedProgramme
from tests.feeds.shipped import plain, profile

GOOD = b"".join(b"T%d,%d,2024-05-01,12.50,,5411\n" % (number, 6220 + number % 7) for number in range(14))
MIXED = b"T0,6220,2024-05-01,1,,5411\nT1,6220,2024-05-01,x,,5411\nT2,6220,2024-05-01,1,,skip\nT3,9999,2024-05-01,1,,\n"


@pytest.fixture(autouse=True)
def empty_spool(settings: Settings) -> None:
    for path in settings.spool_dir.glob("*.feed"):
        path.unlink()


def receive(feed: feed_services.Feed, content: bytes) -> uuid.UUID:
    return receive_file(feed=feed, file_name="../day 1.csv", file=io.BytesIO(content), tables={})


def work() -> None:
    while continue_next_job():
        pass


def load(programme: FedProgramme, content: bytes, code: str = "plain") -> JobProgress:
    job_id = receive(programme.feed(code), content)
    work()
    return read_progress(job_id=job_id)


def test_a_received_file_is_on_the_disk_before_its_job_exists(
    programme: FedProgramme, settings: Settings
) -> None:
    job_id = receive(programme.feed(), GOOD)
    progress = read_progress(job_id=job_id)
    assert (progress.state, progress.file_name, progress.file_bytes) == ("received", "day 1.csv", len(GOOD))
    assert progress.file_hash == SUITE.digest(GOOD).hex()
    (path,) = settings.spool_dir.glob("*.feed")
    assert path.read_bytes() == GOOD
    assert path.stat().st_mode & 0o777 == 0o600
    assert (progress.line_count, progress.dispositions, progress.is_finished) == (0, {}, False)


def test_every_line_ends_in_exactly_one_row(programme: FedProgramme, session: Session) -> None:
    progress = load(programme, MIXED)
    assert progress.state == "done"
    assert progress.dispositions == {"credited": 1, "refused": 1, "filtered": 1, "unknown_account": 1}
    assert (progress.line_count, progress.event_count, progress.decided_count) == (4, 2, 2)
    assert progress.staged_bytes == progress.file_bytes == len(MIXED)
    assert [tuple(row) for row in read_refused(job_id=progress.job_id, after=0)] == [
        (2, "amount", "not_a_number", "Expected a number such as 12.50.")
    ]
    assert [finding.code for finding in check(session) if finding.differences] == []


def test_the_same_file_twice_credits_nothing_new(programme: FedProgramme, session: Session) -> None:
    assert load(programme, GOOD).dispositions == {"credited": 14}
    entries = session.scalar(text("SELECT count(*) FROM entry"))
    assert load(programme, GOOD).dispositions == {"duplicate": 14}
    assert session.scalar(text("SELECT count(*) FROM entry")) == entries
    assert [finding.code for finding in check(session) if finding.differences] == []


def test_what_was_staged_is_emptied_once_it_is_decided(programme: FedProgramme, session: Session) -> None:
    load(programme, GOOD)
    assert session.scalar(text("SELECT count(*) FROM feed_chunk")) == 1
    assert session.scalar(text("SELECT count(*) FROM feed_chunk WHERE content IS NOT NULL")) == 0


def test_a_feed_that_takes_no_bad_line_credits_nothing(programme: FedProgramme, session: Session) -> None:
    progress = load(programme, GOOD + MIXED, "strict")
    assert progress.state == "failed"
    assert progress.error == {
        "code": "bad_lines",
        "detail": "1 bad lines; this feed takes none.",
        "line_no": None,
    }
    assert progress.dispositions == {"refused": 1, "filtered": 1}
    assert [row.line_no for row in read_refused(job_id=progress.job_id, after=0)] == [16]
    assert session.scalar(text("SELECT count(*) FROM feed_chunk")) == 0
    assert session.scalar(text("SELECT count(*) FROM entry")) == 0
    assert load(programme, GOOD, "strict").dispositions == {"credited": 14}


def test_a_broken_file_credits_nothing(programme: FedProgramme, session: Session) -> None:
    progress = load(programme, GOOD + b'T9,"6220\n')
    assert progress.state == "failed"
    assert progress.error == {
        "code": "unclosed_quote",
        "detail": "The quote in this line is not closed.",
        "line_no": 15,
    }
    assert session.scalar(text("SELECT count(*) FROM feed_chunk")) == 0


def test_an_empty_file_is_done_at_once(programme: FedProgramme) -> None:
    progress = load(programme, b"")
    assert (progress.state, progress.dispositions, progress.line_count) == ("done", {}, 0)


def test_a_file_that_vanished_fails_its_own_job_only(programme: FedProgramme, settings: Settings) -> None:
    gone = receive(programme.feed(), GOOD)
    for path in settings.spool_dir.glob("*.feed"):
        path.unlink()
    assert load(programme, GOOD).state == "done"
    progress = read_progress(job_id=gone)
    assert progress.state == "failed"
    assert progress.error == {
        "code": "file_gone",
        "detail": "The file is not in the spool any more.",
        "line_no": None,
    }


def test_staging_goes_on_where_it_stopped(programme: FedProgramme, session: Session) -> None:
    job_id = receive(programme.feed(), MIXED + GOOD)
    states = []
    while stage_next_segment(records_max=5):
        progress = read_progress(job_id=job_id)
        states.append((progress.state, progress.line_count, progress.event_count))
    assert states == [
        ("received", 0, 0), ("received", 5, 3), ("received", 5, 3), ("received", 10, 8),
        ("received", 10, 8), ("received", 15, 13), ("received", 15, 13), ("staged", 18, 16),
    ], "one after the other is cut off and then staged"  # fmt: skip
    chunks = session.scalars(text("SELECT chunk_no FROM feed_chunk ORDER BY chunk_no")).all()
    assert chunks == [1_000, 2_000, 3_000, 4_000]
    work()
    # T0 comes twice, with different amounts; what was refused, filtered or of an unknown account comes again, whole.
    assert read_progress(job_id=job_id).dispositions == {
        "credited": 14, "refused": 1, "filtered": 1, "unknown_account": 1, "conflict": 1,
    }  # fmt: skip


def test_tables_come_with_the_file_and_go_with_it(
    programme: FedProgramme, session: Session, settings: Settings
) -> None:
    tables = {"payees": io.BytesIO(b"5411,aa01\n")}
    job_id = receive_file(feed=programme.feed("tabled"), file_name="a", file=io.BytesIO(GOOD), tables=tables)
    work()
    assert read_progress(job_id=job_id).dispositions == {"credited": 7, "ineligible:payee_limit": 7}
    payees = session.scalars(
        text("SELECT DISTINCT content::json -> 'data' ->> 'payee_hash' FROM event_payload")
    ).all()
    assert payees == ["aa01"]
    forget_finished_files()
    assert list(settings.spool_dir.glob("*.feed")) == []
    assert session.execute(text("SELECT spool_path, lookup_tables FROM feed_job")).all() == [(None, None)]


def test_a_missing_table_makes_no_job(programme: FedProgramme, session: Session, settings: Settings) -> None:
    with pytest.raises(InvalidRequest):
        receive(programme.feed("tabled"), GOOD)
    assert session.scalar(text("SELECT count(*) FROM feed_job")) == 0
    assert list(settings.spool_dir.glob("*.feed")) == []


def test_only_old_files_without_a_job_are_swept(programme: FedProgramme, settings: Settings) -> None:
    receive(programme.feed(), GOOD)
    (waiting,) = settings.spool_dir.glob("*.feed")
    young, old = settings.spool_dir / "young.feed", settings.spool_dir / "old.feed"
    for path in (young, old):
        path.touch()
    long_ago = time.time() - ORPHAN_AGE_S - 60
    for path in (waiting, old):
        os.utime(path, (long_ago, long_ago))
    forget_finished_files()
    assert sorted(settings.spool_dir.glob("*.feed")) == sorted([waiting, young])
    young.unlink()


def test_profiles_are_taken_over_once(programme: FedProgramme) -> None:
    def take(**changes: str) -> tuple[int, int | None]:
        outcome = import_profiles(
            programme_id=programme.programme_id,
            profiles=[plain(code="tabled", **changes)],
            maker_person="maker",
            checker_person="checker",
        )
        return len(outcome.activated), outcome.draft_id

    assert take() == (0, None)
    activated, draft_id = take(name_en="Other")
    assert activated == 0
    assert draft_id is not None
    assert programme.feed("tabled").profile.name_en == "Plain", "what is in force stays in force"


def test_profiles_that_do_not_fit_are_refused(programme: FedProgramme) -> None:
    people = {"maker_person": "maker", "checker_person": "checker"}
    with pytest.raises(UnknownSource):
        import_profiles(programme_id=programme.programme_id, profiles=[profile("czech_bank_1993")], **people)
    wrong = plain(code="wrong", data={**plain().data, "colour": "note"})
    with pytest.raises(DefinitionError, match=r"data\.colour: non_cash_payment has no such attribute"):
        import_profiles(programme_id=programme.programme_id, profiles=[wrong], **people)
    with pytest.raises(DefinitionError, match="nothing is no behaviour type"):
        import_profiles(programme_id=programme.programme_id, profiles=[plain(behaviour="nothing")], **people)


def test_unknown_profiles_and_jobs_are_not_found(programme: FedProgramme) -> None:
    with pytest.raises(FeedProfileNotFound):
        find_feed(programme_id=programme.programme_id, profile_code="nothing")
    with pytest.raises(FeedJobNotFound):
        read_progress(job_id=uuid.uuid4())


def test_the_spool_refuses_nothing_and_leaves_nothing_when_reading_breaks_off(
    programme: FedProgramme, settings: Settings
) -> None:
    class Breaking(io.RawIOBase):
        def __init__(self) -> None:
            self.left = 1

        def readable(self) -> bool:
            return True

        def read(self, _size: int = -1) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise ConnectionError
            return b"T1"

    with pytest.raises(ConnectionError):
        receive_file(feed=programme.feed(), file_name="a", file=Breaking(), tables={})  # type: ignore[arg-type]
    assert list(Path(settings.spool_dir).glob("*.feed")) == []
