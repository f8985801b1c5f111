"""The characters and words that an expression may be written with, before Python's parser sees it.

Whatever passes here holds only plain numbers, quoted texts without escapes, names, brackets that match, and
the language's own signs: Python's hexadecimal, exponent, complex and underscored numbers, f-strings, comments
and statements are refused with a sentence that says what to write instead.
"""

from __future__ import annotations

import keyword
import re

from carbonpoints.core.errors import Message
from carbonpoints.rules.language.errors import ExpressionError

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<number>[0-9][\w.]*)
    | (?P<name>[^\W\d]\w*)
    | (?P<text>"[^"\\\r\n]*"|'[^'\\\r\n]*')
    | (?P<sign>==|!=|<=|>=|[-+*/<>(),])""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_WORDS = {"and", "or", "not", "if", "else", "in", "is", "None", "True", "False"}
_HINTS = {
    "=": Message("compare with ==, not with ="),
    "!": Message("write not, or != to compare"),
    "&": Message("write and"),
    "|": Message("write or"),
    ".": Message("a dot only stands inside a number, as in 0.5"),
    "\\": Message("a text cannot hold a backslash"),
    '"': Message("this text is not closed"),
    "'": Message("this text is not closed"),
    "（": Message("write ( with the plain bracket"),
    "）": Message("write ) with the plain bracket"),
    "，": Message("write , with the plain comma"),
    "“": Message('write " with the plain quotation mark'),
    "”": Message('write " with the plain quotation mark'),
}


def scan(source: str) -> None:
    """Check every word of `source`; raises ExpressionError at the first that does not belong."""
    opened: list[int] = []
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            sign = source[position]
            hint = _HINTS.get(sign) or Message("the character %(sign)s cannot be used here", sign=repr(sign))
            raise ExpressionError("character", hint, position + 1, position + 2)
        _check_word(match)
        if match[0] == "(":
            opened.append(match.start())
        elif match[0] == ")" and not opened:
            raise ExpressionError(
                "syntax", Message("this bracket closes nothing"), match.start() + 1, match.end() + 1
            )
        elif match[0] == ")":
            opened.pop()
        position = match.end()
    if opened:
        raise ExpressionError("syntax", Message("this bracket is not closed"), opened[-1] + 1, opened[-1] + 2)


def _check_word(match: re.Match[str]) -> None:
    word = match[0]
    place = match.start() + 1, match.end() + 1
    if match.lastgroup == "number" and _NUMBER.fullmatch(word) is None:
        raise ExpressionError(
            "literal",
            Message("%(word)s is no number: write digits and one dot, as in 12.5", word=word),
            *place,
        )
    if match.lastgroup == "name":
        if keyword.iskeyword(word) and word not in _WORDS:
            raise ExpressionError(
                "not_allowed", Message("%(word)s cannot be used in an expression", word=word), *place
            )
        if not word.isidentifier():
            raise ExpressionError("character", Message("%(word)s is no name", word=repr(word)), *place)
