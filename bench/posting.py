"""Events over HTTP: one by one at 1, 4 and 16 clients beside a route that does nothing, and in batches of 1,000.

The API is granian as `make demo` starts it. Each run has a database of its own with the accounts in it; the
first requests, which fill caches and open connections, are not counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg

from bench.clients import Task, Traffic, send
from bench.feed import prove_books
from bench.figures import Figure, figure, percentile
from bench.machine import core_count
from bench.payments import EventMaker
from bench.sizes import Sizes
from bench.stage import Database, Stage, say
from bench.world import ISSUER, POPULATED, SOURCE
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.roles import Role

CLIENTS = (1, 4, 16)
BATCH_CLIENTS = 3
"""One more than the API has processes: batches lock hundreds of accounts, and while one waits another works."""
BATCH_EVENTS = 1_000
SECONDS_MAX = 20.0
WARM_UP_REQUESTS = 40
PATH = "/v1/events"
NOOP_PATH = "/health/live"

Values = defaultdict[str, list[float]]
"""What the runs measured, by the figure's name."""


def measure_single_posts(stage: Stage, sizes: Sizes) -> list[Figure]:
    """Return latency and throughput of single events, and throughput of the route that does nothing."""
    values: Values = defaultdict(list)

    def measure(sender: Sender) -> None:
        for clients in CLIENTS:
            noop = sender.call_noop(clients, sizes.requests)
            posts = sender.post(clients, sizes.requests // clients)
            say(
                f"  {clients} clients: {posts.requests_per_s:,.0f} events/s; {noop.requests_per_s:,.0f} noop/s"
            )
            values[f"event_post_p50_ms_at_{clients}"].append(percentile(posts.latencies_ms, 0.50))
            values[f"event_post_p99_ms_at_{clients}"].append(percentile(posts.latencies_ms, 0.99))
            values[f"events_posted_per_s_at_{clients}"].append(posts.requests_per_s)
            values[f"noop_route_per_s_at_{clients}"].append(noop.requests_per_s)

    _run(stage, sizes, measure)
    return [figure(name, measured) for name, measured in values.items()]


def measure_batch_posts(stage: Stage, sizes: Sizes) -> list[Figure]:
    """Return the throughput of batches, and how busy the clients themselves were."""
    values: Values = defaultdict(list)

    def measure(sender: Sender) -> None:
        traffic = sender.post(BATCH_CLIENTS, sizes.batches // BATCH_CLIENTS, batch=BATCH_EVENTS)
        events_per_s = traffic.requests_per_s * BATCH_EVENTS
        say(f"  {events_per_s:,.0f} events/s in batches")
        values["batch_post_events_per_s"].append(events_per_s)
        values["batch_post_client_cpu_share"].append(traffic.cores_used / core_count())

    _run(stage, sizes, measure)
    return [figure(name, measured) for name, measured in values.items()]


class Sender:
    """Sends to one running API, and counts the events it sent."""

    def __init__(self, database: Database, port: int, accounts: int) -> None:
        self._port = port
        self._accounts = accounts
        self._series = 0
        self.events = 0
        self._token = issue_demo_token(
            database.settings,
            issuer=ISSUER,
            subject="bench",
            role=Role.CORE_BANKING,
            sources=(SOURCE,),
        )

    def post(self, clients: int, requests: int, *, batch: int = 0) -> Traffic:
        """Post so many events, or batches of them, with each of so many clients."""
        kind = "application/cloudevents-batch+json" if batch else "application/cloudevents+json"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        traffic = send(
            [
                Task(self._port, "POST", PATH, requests, SECONDS_MAX, headers, self._events(batch))
                for _ in range(clients)
            ]
        )
        self.events += traffic.requests * max(batch, 1)
        return traffic

    def call_noop(self, clients: int, requests: int) -> Traffic:
        """Call the route that does nothing."""
        task = Task(self._port, "GET", NOOP_PATH, requests, SECONDS_MAX)
        return send([task] * clients)

    def _events(self, batch: int) -> EventMaker:
        self._series += 1
        return EventMaker(SOURCE, f"H{self._series}", self._accounts, datetime.now(UTC), batch)


def _run(stage: Stage, sizes: Sizes, measure: Callable[[Sender], None]) -> None:
    """Measure so many times; RuntimeError unless each event that was sent is decided, and the books add up."""
    for _ in range(sizes.runs):
        with stage.database("posting", template=POPULATED) as database:
            with stage.api(database) as port:
                sender = Sender(database, port, sizes.accounts)
                sender.post(max(CLIENTS), WARM_UP_REQUESTS)
                measure(sender)
            decided = _decided(database)
            if decided != sender.events:
                raise RuntimeError(f"{sender.events} events were sent, {decided} decided")
            prove_books(database)


def _decided(database: Database) -> int:
    with psycopg.connect(database.url) as connection:
        row = connection.execute("SELECT count(*) FROM decision WHERE event_hash IS NOT NULL").fetchone()
    return row[0] if row else 0
