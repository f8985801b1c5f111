"""The part of Flask-Babel that we use; it ships no types."""

from collections.abc import Callable

import flask
from babel import Locale

class Babel:
    def __init__(self, app: flask.Flask, *, locale_selector: Callable[[], str | None]) -> None: ...

def gettext(string: str, **variables: object) -> str: ...
def get_locale() -> Locale: ...
