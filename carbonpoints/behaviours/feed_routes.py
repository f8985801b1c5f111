"""Files of feeds over HTTP: in, progress, and the report of refused lines."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from flask import Flask, Response, current_app, request, url_for

from carbonpoints.behaviours.feed_schemas import FeedJobSchema
from carbonpoints.behaviours.feed_services import (
    JobProgress,
    find_callers_feed,
    read_callers_progress,
    read_refused,
    receive_file,
)
from carbonpoints.behaviours.uploads import UPLOAD_BODY, read_upload
from carbonpoints.core.auth import current_caller
from carbonpoints.core.csv_lines import csv_lines
from carbonpoints.core.db import settings
from carbonpoints.core.http import Blueprint, Registration

blueprint = Blueprint(
    "feeds", __name__, url_prefix="/v1", description="Files of behaviour: in, progress, and what was refused."
)


@blueprint.route("/feeds/<profile>/files", methods=["POST"])
@blueprint.doc(requestBody=UPLOAD_BODY)
@blueprint.response(202, FeedJobSchema)
def post_file(profile: str) -> tuple[JobProgress, int, dict[str, str]]:
    """Send a file of a feed; it is read and credited in the background.

    The same file may be sent again: events that were decided before count as duplicates and earn nothing new.
    """
    caller = current_caller()
    feed = find_callers_feed(caller=caller, profile_code=profile)
    with read_upload(request, settings().spool_dir) as upload:
        job_id = receive_file(feed=feed, file_name=upload.file_name, file=upload.file, tables=upload.tables)
    progress = read_callers_progress(caller=caller, job_id=job_id)
    return progress, 202, {"Location": url_for("feeds.get_job", job_id=job_id)}


@blueprint.route("/feed-jobs/<uuid:job_id>")
@blueprint.response(200, FeedJobSchema)
def get_job(job_id: uuid.UUID) -> JobProgress:
    """Say how far a file has come and what became of its lines."""
    return read_callers_progress(caller=current_caller(), job_id=job_id)


@blueprint.route("/feed-jobs/<uuid:job_id>/refused")
@blueprint.response(200, {"type": "string"}, content_type="text/csv", description="line, field, code, reason")
def get_refused(job_id: uuid.UUID) -> Response:
    """Download the refused lines of a file, by number in the file, each with its reason."""
    progress = read_callers_progress(caller=current_caller(), job_id=job_id)
    report = _report(current_app._get_current_object(), job_id)  # type: ignore[attr-defined]  # noqa: SLF001
    response = Response(report, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="refused-{progress.job_id}.csv"'
    return response


def _report(app: Flask, job_id: uuid.UUID) -> Iterator[str]:
    """Yield the report page by page: each is read in a context of its own, for the request is over by then."""
    yield "line,field,code,reason\r\n"
    after = 0
    while True:
        with app.app_context():
            rows = read_refused(job_id=job_id, after=after)
        if not rows:
            return
        yield csv_lines(rows)
        after = rows[-1].line_no


FEEDS = Registration(
    blueprint,
    scopes={"post_file": "feeds:write", "get_job": "feeds:read", "get_refused": "feeds:read"},
    uploads=frozenset({"post_file"}),
)
