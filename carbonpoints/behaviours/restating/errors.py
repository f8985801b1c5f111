"""What can go wrong with restatements."""

from __future__ import annotations

from carbonpoints.core.errors import NotFound


class RestatementNotFound(NotFound):
    """No approved restatement has this code."""

    code = "restatement_not_found"
    title = "There is no such restatement."
