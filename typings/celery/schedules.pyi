"""Schedules."""

class crontab:
    def __init__(self, *, minute: str = ..., hour: str = ...) -> None: ...
