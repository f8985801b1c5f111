"""What may go wrong with the catalogue."""

from __future__ import annotations

from carbonpoints.core.errors import Conflict, NotFound


class RulesOverlap(Conflict):
    """Two rules would hold for one behaviour at the same instant."""

    code = "rules_overlap"
    title = "Two rules would hold for one behaviour at the same time."


class UnknownDefinition(NotFound):
    """The caller's programme never had a definition of this kind and code."""


class ProgrammeNotNamed(NotFound):
    """The bank and programme named are not there, or none was named and there are several."""

    title = "Name the bank and the programme."
