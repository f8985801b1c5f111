"""What can be wrong with an expression, said in a plain sentence with the place."""

from __future__ import annotations

from carbonpoints.core.errors import Message


class LanguageError(ValueError):
    """Something is wrong in the columns `column` (1-based) up to, not including, `end_column` of the source.

    `code` is stable and machine-readable, `message` a sentence without the column, `str()` the sentence
    with it: "column 15: km and g cannot be added".
    """

    def __init__(self, code: str, message: Message, column: int, end_column: int) -> None:
        super().__init__(code, message, column, end_column)
        self.code = code
        self.message = message
        self.column = column
        self.end_column = end_column

    def __str__(self) -> str:
        return self.sentence

    @property
    def sentence(self) -> Message:
        """The message after the column."""
        return Message("column %(column)s: %(message)s", column=self.column, message=self.message)


class ExpressionError(LanguageError):
    """The expression is refused: it cannot be read, or its types or units do not fit."""


class EvaluationError(LanguageError):
    """The expression has no value for these inputs: division by zero, a missing value, a number too large."""
