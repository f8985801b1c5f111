"""Several workers at one file at the same time: every line is staged once, and a file that fails leaves nothing."""

from __future__ import annotations

import io
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import make_url, text

from carbonpoints.behaviours import staging
from carbonpoints.behaviours.feed_services import read_progress, receive_file
from carbonpoints.behaviours.segments import Segment, read_segment
from carbonpoints.behaviours.staged import decode_chunk
from carbonpoints.behaviours.staging import stage_next_segment
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import db, reading
from tests.feeds.conftest import NOW, FedProgramme

WORKERS, SEGMENTS, RECORDS = 4, 12, 25
LINES = [f"T{number},{6220 + number % 7},2024-05-01,12.50,,5411\n" for number in range(SEGMENTS * RECORDS)]


@pytest.fixture
def job_id(committed: Flask, feed_programme: Callable[[], FedProgramme]) -> Iterator[uuid.UUID]:
    """A received file of so many segments."""
    with committed.app_context(), clock_at(NOW):
        feed = feed_programme().feed("calm")
        content = "".join(LINES).encode()
        yield receive_file(feed=feed, file_name="day.csv", file=io.BytesIO(content), tables={})
        db.session.remove()


def test_many_workers_stage_each_line_once(committed: Flask, job_id: uuid.UUID) -> None:
    gate = threading.Barrier(WORKERS)

    def work(_number: int) -> int:
        with committed.app_context():
            gate.wait()
            done = 0
            while read_progress(job_id=job_id).state == "received":
                done += stage_next_segment(records_max=RECORDS)
            db.session.remove()
            return done

    with ThreadPoolExecutor(WORKERS) as pool:
        done = list(pool.map(work, range(WORKERS)))
    # Each segment is cut and staged, and the last cut finds the end of the file behind the last full one.
    assert sum(done) == 2 * (SEGMENTS + 1)
    progress = read_progress(job_id=job_id)
    assert (progress.state, progress.line_count, progress.event_count) == ("staged", len(LINES), len(LINES))
    assert progress.staged_bytes == progress.file_bytes
    with reading() as session:
        contents = session.scalars(text("SELECT content FROM feed_chunk ORDER BY chunk_no")).all()
    staged = [event.event_id for content in contents for event in decode_chunk(content)]
    assert staged == [f"T{number}" for number in range(len(LINES))], "in the order of the file"


def test_a_segment_that_is_read_while_its_file_fails_leaves_nothing(
    committed: Flask, job_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stage_next_segment(records_max=RECORDS)
    url = make_url(committed.config["SQLALCHEMY_DATABASE_URI"]).set(drivername="postgresql")

    def fail_meanwhile(*args: Any, **kwargs: Any) -> Segment:
        segment = read_segment(*args, **kwargs)
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as another:
            another.execute("UPDATE feed_job SET state = 'failed'")
        return segment

    monkeypatch.setattr(staging, "read_segment", fail_meanwhile)
    assert stage_next_segment(records_max=RECORDS), "it did something: it found out"
    assert not stage_next_segment(records_max=RECORDS)
    progress = read_progress(job_id=job_id)
    assert (progress.state, progress.event_count, progress.staged_bytes) == ("failed", 0, 0)
    with reading() as session:
        assert session.scalar(text("SELECT count(*) FROM feed_chunk")) == 0
