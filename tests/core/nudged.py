from __future__ import annotations

from queue import Empty
from typing import Any

from celery import Celery
from flask import Flask

from carbonpoints.core.broker import QUEUE


def nudged(app: Flask) -> list[tuple[str, list[Any]]]:
    """Take from the queue what was asked for: task and arguments, in order."""
    celery: Celery = app.extensions["celery"]
    found: list[tuple[str, list[Any]]] = []
    with celery.connection_for_read() as connection, connection.SimpleQueue(QUEUE) as queue:
        while True:
            try:
                message = queue.get(block=False)
            except Empty:
                return found
            message.ack()
            found.append((message.headers["task"], list(message.payload[0])))
