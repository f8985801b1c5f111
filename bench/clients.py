"""Clients of the HTTP API: each a process of its own with one connection that it keeps, on the loopback only.

This module and `payments.py` import the standard library alone, so that sixteen clients start quickly.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from multiprocessing import get_context
from multiprocessing.connection import Connection

from bench.payments import EventMaker

HOST = "127.0.0.1"
START_S = 60.0


@dataclass(frozen=True)
class Task:
    """What one client sends, request after request, until it has sent all or its time is over."""

    port: int
    method: str
    path: str
    requests: int
    seconds_max: float
    headers: Mapping[str, str] = field(default_factory=dict)
    events: EventMaker | None = None
    """What makes the bodies, before the clock starts; none for requests without one."""

    def bodies(self) -> Sequence[bytes | None]:
        """Return the body of each request."""
        if self.events is None:
            return [None] * self.requests
        return list(self.events.bodies(self.requests))


@dataclass(frozen=True)
class Sent:
    """What one client saw. Instants are of the machine's one monotonic clock."""

    started_s: float
    ended_s: float
    cpu_s: float
    latencies_ms: Sequence[float]


@dataclass(frozen=True)
class Traffic:
    """What all clients together saw."""

    sent: Sequence[Sent]

    @property
    def requests(self) -> int:
        """Requests that were answered."""
        return sum(len(each.latencies_ms) for each in self.sent)

    @property
    def seconds(self) -> float:
        """From the first request of any client to the last answer."""
        return max(each.ended_s for each in self.sent) - min(each.started_s for each in self.sent)

    @property
    def requests_per_s(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.seconds

    @property
    def latencies_ms(self) -> list[float]:
        """Milliseconds from each request to the end of its answer."""
        return [latency for each in self.sent for latency in each.latencies_ms]

    @property
    def cores_used(self) -> float:
        """How many cores the clients themselves kept busy."""
        return sum(each.cpu_s for each in self.sent) / self.seconds


def send(tasks: Sequence[Task]) -> Traffic:
    """Run a client for each task, all at the same time; RuntimeError when one of them fails."""
    context = get_context("spawn")
    with ExitStack() as stack:
        pipes: list[Connection] = []
        for task in tasks:
            ours, theirs = context.Pipe()
            stack.enter_context(ours)
            process = context.Process(target=_client, args=(task, theirs), daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            pipes.append(ours)
        for pipe in pipes:
            _receive(pipe, START_S)
        for pipe in pipes:
            pipe.send("go")
        return Traffic(
            [_receive(pipe, task.seconds_max + START_S) for pipe, task in zip(pipes, tasks, strict=True)]
        )


def _receive(pipe: Connection, seconds: float) -> Sent:
    try:
        if pipe.poll(seconds):
            received: Sent = pipe.recv()
            return received
    except EOFError:
        pass
    raise RuntimeError("a client failed")


def _client(task: Task, pipe: Connection) -> None:
    bodies = task.bodies()
    with closing(HTTPConnection(HOST, task.port, timeout=START_S)) as connection:
        connection.connect()
        pipe.send("ready")
        pipe.recv()
        cpu_s = time.process_time()
        started_s = time.monotonic()
        latencies_ms = list(_answers(connection, task, bodies, started_s + task.seconds_max))
        pipe.send(Sent(started_s, time.monotonic(), time.process_time() - cpu_s, latencies_ms))


def _answers(
    connection: HTTPConnection, task: Task, bodies: Sequence[bytes | None], until_s: float
) -> Iterator[float]:
    """Yield the milliseconds of each request; RuntimeError unless it is answered with 200."""
    for body in bodies:
        began_s = time.monotonic()
        if began_s > until_s:
            return
        connection.request(task.method, task.path, body, dict(task.headers))
        answer = connection.getresponse()
        content = answer.read()
        yield (time.monotonic() - began_s) * 1_000
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"{answer.status}: {content[:500].decode(errors='replace')}")
