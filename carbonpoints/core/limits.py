"""Limits per caller: requests per minute, counted in Redis, or in the process while Redis is away.

A caller is the token's (`iss`, `sub`); whoever brings no valid token is counted by network address.
"""

from __future__ import annotations

from flask import Flask, Response, request
from flask_limiter import Limiter
from flask_limiter.constants import HeaderNames
from flask_limiter.util import get_remote_address

from carbonpoints.core.auth import InvalidToken, Unauthenticated, authenticate, caller_hash
from carbonpoints.core.config import Settings
from carbonpoints.core.problems import TooManyRequests

REDIS_TIMEOUT_S = 1
_RETRY_AFTER = "X-RateLimit-Retry-After"


def _limit_key() -> str:
    try:
        return "caller:" + caller_hash(authenticate()).hex()
    except (Unauthenticated, InvalidToken):
        return "address:" + get_remote_address()


def _place_retry_after(response: Response) -> Response:
    """Send the limiter's Retry-After with a 429 only: it has one for every answer."""
    retry_after_s = response.headers.pop(_RETRY_AFTER, None)
    if retry_after_s is not None and response.status_code == TooManyRequests.status:
        response.headers["Retry-After"] = retry_after_s
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
        header_name_mapping={HeaderNames.RETRY_AFTER: _RETRY_AFTER},
    )
    limiter.request_filter(lambda: request.endpoint in unlimited)
    app.after_request(_place_retry_after)  # Runs after the limiter's own hook: last registered, first run.
    limiter.init_app(app)
