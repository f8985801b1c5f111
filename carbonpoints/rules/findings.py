"""What a check has to say about a definition: where, what, and whether it stands in the way. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from carbonpoints.core.errors import Message

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that a check has found in a definition."""

    field: str
    """Path in the definition's content."""
    column: int
    """Place in the field's expression, 1-based; 0 where there is no expression."""
    code: str
    """Stable and machine-readable."""
    message: Message
    severity: Severity = "error"
    """An error stands in the way; a warning is for the people who decide."""

    @property
    def sentence(self) -> Message:
        """The message, after the column where there is one."""
        if not self.column:
            return self.message
        return Message("column %(column)s: %(message)s", column=self.column, message=self.message)

    @property
    def stops(self) -> bool:
        """Whether nothing can be put in force before it is gone."""
        return self.severity == "error"
