"""Trial loads of the feed profiles that a draft proposes."""

from __future__ import annotations

from typing import Any

from flask import request

from carbonpoints.behaviours.trial_load import TrialLoad
from carbonpoints.behaviours.trial_schemas import TrialLoadSchema, TrialQuery
from carbonpoints.behaviours.trial_services import find_drafted_profile, load_on_trial
from carbonpoints.behaviours.uploads import UPLOAD_BODY, read_upload
from carbonpoints.core.auth import current_caller
from carbonpoints.core.db import settings
from carbonpoints.core.http import Blueprint, Registration

blueprint = Blueprint(
    "trials", __name__, url_prefix="/v1", description="What a drafted feed profile makes of a file."
)


@blueprint.route("/change-requests/<int:change_request_id>/trial-load", methods=["POST"])
@blueprint.doc(requestBody=UPLOAD_BODY)
@blueprint.arguments(TrialQuery, location="query")
@blueprint.response(200, TrialLoadSchema)
def load_trial(query: dict[str, Any], change_request_id: int) -> TrialLoad:
    """Try a file on the feed profile of a draft, which is evidence that the draft needs before it is submitted.

    Nothing is credited. The file is deleted at once; the evidence keeps counts, codes and fields alone.
    """
    caller = current_caller()
    drafted = find_drafted_profile(caller=caller, change_request_id=change_request_id, **query)
    with read_upload(request, settings().spool_dir) as upload:
        return load_on_trial(caller=caller, drafted=drafted, file=upload.file, tables=upload.tables)


TRIALS = Registration(blueprint, scopes={"load_trial": "changes:write"}, uploads=frozenset({"load_trial"}))
