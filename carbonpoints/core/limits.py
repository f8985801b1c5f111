"""Limits per caller: requests per minute, counted in Redis, or in the process while Redis is away.

A caller is the token's (`iss`, `sub`); whoever brings no valid token is counted by network address.
"""

from __future__ import annotations

from flask import Flask, Response, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from carbonpoints.core.auth import InvalidToken, Unauthenticated, authenticate, caller_hash
from carbonpoints.core.config import Settings

REDIS_TIMEOUT_S = 1


def _limit_key() -> str:
    try:
        return "caller:" + caller_hash(authenticate()).hex()
    except (Unauthenticated, InvalidToken):
        return "address:" + get_remote_address()


def _drop_retry_after(response: Response) -> Response:
    """Flask-Limiter sends Retry-After with every answer; it belongs to refusals only."""
    if response.status_code < 400:  # noqa: PLR2004 - the first status that refuses
        response.headers.pop("Retry-After", None)
    return response


def init_limits(app: Flask, settings: Settings, *, unlimited: frozenset[str]) -> None:
    """Limit every endpoint but the `unlimited` ones; answers carry `X-RateLimit-*` and `Retry-After`."""
    limit = f"{settings.rate_limit_per_minute}/minute"
    limiter = Limiter(
        key_func=_limit_key,
        application_limits=[limit],
        headers_enabled=True,
        strategy="fixed-window",
        storage_uri=settings.redis_url,
        storage_options={"socket_connect_timeout": REDIS_TIMEOUT_S, "socket_timeout": REDIS_TIMEOUT_S},
        in_memory_fallback=[limit],
        in_memory_fallback_enabled=True,
        key_prefix="carbonpoints",
    )
    limiter.request_filter(lambda: request.endpoint in unlimited)
    app.after_request(_drop_retry_after)  # Runs after the limiter's own hook: last registered, first run.
    limiter.init_app(app)
