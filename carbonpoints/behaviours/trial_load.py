"""Trial loads: what a profile makes of the beginning of a file, without anything coming of it.

Cutting, unfolding and mapping are those of staging; what staging would write is counted and let go. The keyed
attributes are keyed with a key of the trial's own: with ours, whoever may try a profile out could find the value
behind any hash by trying values.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from carbonpoints.approvals.requirements import Result
from carbonpoints.behaviours.cells import Columns
from carbonpoints.behaviours.lookup_tables import read_tables
from carbonpoints.behaviours.mapping import LineMapper, Tables
from carbonpoints.behaviours.profiles import ProfileDefinition, line_profile
from carbonpoints.behaviours.records import BrokenFileError
from carbonpoints.behaviours.segments import RefusedLine, Segment, cut_segment, read_segment
from carbonpoints.behaviours.staged import decode_chunk
from carbonpoints.behaviours.staging import JobError, bad_lines
from carbonpoints.behaviours.unfolding import write_lines
from carbonpoints.rules.definitions import BehaviourDefinition

RECORDS_MAX = 20_000
"""So many records of a file are tried, from its beginning: as many as a caller can wait for."""
SAMPLE_REFUSED_LINES = 20
SAMPLE_EVENTS = 5
KEY_BYTES = 32


@dataclass(frozen=True)
class RefusedCount:
    """How many lines were refused for one field and code."""

    field: str
    code: str
    count: int


@dataclass(frozen=True, kw_only=True)
class TrialLoad:
    """What became of the records that were tried; every one is an event, filtered or refused."""

    result: Result
    """Failed where nothing of the file would count in production, a warning where something is refused."""
    is_whole: bool
    """Whether all of the file was tried."""
    error: JobError | None
    """Why nothing of the file would count, where that is so; of a file that is broken nothing is counted."""
    record_count: int = 0
    line_count: int = 0
    """Lines below the header; a record may span several."""
    event_count: int = 0
    filtered_count: int = 0
    refused_count: int = 0
    refused_by: Sequence[RefusedCount] = ()
    """The most frequent first."""
    refused: Sequence[RefusedLine] = ()
    """The first of them."""
    events: Sequence[Mapping[str, Any]] = ()
    """Some of them, as `staged.stage_event` writes them."""

    def details(self) -> dict[str, Any]:
        """Return what may be kept: counts, codes and fields, and nothing that the file says."""
        return {
            "result": self.result.value,
            "is_whole": self.is_whole,
            "error": self.error and {"code": self.error.code, "line_no": self.error.line_no},
            "record_count": self.record_count,
            "line_count": self.line_count,
            "event_count": self.event_count,
            "filtered_count": self.filtered_count,
            "refused_count": self.refused_count,
            "refused_by": [asdict(one) for one in self.refused_by],
        }


def try_profile(
    profile: ProfileDefinition,
    behaviours: Mapping[str, BehaviourDefinition],
    *,
    file: BinaryIO,
    tables: Mapping[str, BinaryIO],
    folder: Path,
) -> TrialLoad:
    """Return what a profile, which fits the behaviour types, makes of the first RECORDS_MAX records of a file.

    `folder` is where the lines of a camt message are kept meanwhile, without a name. Raises InvalidRequest for
    tables that are missing, unknown or wrong.
    """
    lookup_tables = read_tables(profile, tables)
    try:
        with _lines_of(file, profile, folder) as lines:
            return _try_lines(lines, line_profile(profile), behaviours, lookup_tables)
    except BrokenFileError as broken:
        error = JobError(broken.code, broken.detail, broken.line_no)
        return TrialLoad(result=Result.FAILED, is_whole=False, error=error)


@contextmanager
def _lines_of(file: BinaryIO, profile: ProfileDefinition, folder: Path) -> Iterator[BinaryIO]:
    """Give a file of lines: the file itself, or what a camt message is unfolded into as far as it is tried."""
    if profile.format == "csv":
        yield file
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as lines:
        # One more than is tried, so that a message that goes on is not taken for whole.
        write_lines(file, lines, profile, transactions_max=RECORDS_MAX + 1)
        lines.flush()
        yield lines


def _try_lines(
    file: BinaryIO, profile: ProfileDefinition, behaviours: Mapping[str, BehaviourDefinition], tables: Tables
) -> TrialLoad:
    key = secrets.token_bytes(KEY_BYTES)

    def make_mapper(columns: Columns) -> LineMapper:
        return LineMapper(
            profile=profile, behaviours=behaviours, columns=columns, tables=tables, identity_key=key
        )

    file_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    cut = cut_segment(file, profile, offset=0, line_count=0, records_max=RECORDS_MAX)
    file.seek(0)
    segment = read_segment(
        file,
        profile,
        make_mapper=make_mapper,
        file_bytes=file_bytes,
        offset=0,
        line_count=0,
        records_max=cut.record_count,
    )
    refused_by = Counter((line.field, line.code) for line in segment.refused)
    error = bad_lines(profile, len(segment.refused))
    return TrialLoad(
        result=_result(segment, error),
        is_whole=cut.offset == file_bytes,
        error=error,
        record_count=cut.record_count,
        line_count=segment.line_count,
        event_count=segment.event_count,
        filtered_count=segment.filtered_count,
        refused_count=len(segment.refused),
        refused_by=[RefusedCount(*by, count) for by, count in refused_by.most_common()],
        refused=segment.refused[:SAMPLE_REFUSED_LINES],
        events=_some_events(segment),
    )


def _result(segment: Segment, error: JobError | None) -> Result:
    if error is not None or not segment.event_count:
        return Result.FAILED
    return Result.WARNING if segment.refused else Result.PASSED


def _some_events(segment: Segment) -> list[Mapping[str, Any]]:
    events = (event for chunk in segment.chunks for event in decode_chunk(chunk.content))
    return [json.loads(event.content) for event in islice(events, SAMPLE_EVENTS)]
