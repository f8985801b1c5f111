"""Configuration: the environment, read once at start into frozen settings.

No secret has a default outside `development` and `testing`; a missing or malformed value is refused at
start with the variable's name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ENVIRONMENTS = ("development", "testing", "demo", "production")
MINIMUM_KEY_BYTES = 32


class ConfigError(Exception):
    """A setting is missing or malformed; the message names the variable."""


@dataclass(frozen=True)
class Settings:
    """Everything the process was told at start. Times in seconds, sizes in bytes, as the names say."""

    environment: str
    database_url: str
    redis_url: str
    identity_key: bytes
    """Key of the MAC over identities and payloads (M8, M15); never leaves the bank."""
    identity_key_version: int
    jwks: str
    """Where each issuer's public keys are: `issuer=path` or `issuer=url` pairs, separated by spaces; empty where
    only HS256 is used."""
    jwt_audience: str
    jwt_leeway_s: int
    jwt_hs256_secret: str
    """Only honoured in development, testing and demo; empty otherwise."""
    spool_dir: Path
    """Where uploaded feed files wait; shared by the API and the workers."""
    lock_timeout_ms: int
    statement_timeout_ms: int
    database_pool_size: int
    request_bytes_max: int
    upload_bytes_max: int
    rate_limit_per_minute: int
    exchange_keys: Mapping[str, bytes] = field(default_factory=dict, repr=False, hash=False)
    """Secrets shared with other programmes, by the key reference that an agreement names."""

    @property
    def is_production(self) -> bool:
        """Whether the test clock, HS256 and demo data are refused."""
        return self.environment == "production"


def _integer(env: Mapping[str, str], name: str, default: int, minimum: int = 0) -> int:
    text = env.get(name, "")
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        raise ConfigError(f"{name} must be a whole number, not {text!r}") from None
    if value < minimum:
        raise ConfigError(f"{name} must be at least {minimum}, not {value}")
    return value


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise ConfigError(f"{name} is not set")
    return value


def _secrets(env: Mapping[str, str], name: str) -> dict[str, bytes]:
    """Return the secrets of a JSON object of texts; no value is ever part of a message."""
    try:
        found = json.loads(env.get(name, "") or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(secret, str) for secret in found.values()):
        raise ConfigError(f"{name} must be a JSON object of texts")
    secrets = {reference: secret.encode() for reference, secret in found.items()}
    for reference, secret in secrets.items():
        if len(secret) < MINIMUM_KEY_BYTES:
            raise ConfigError(f"{name}: {reference} must have at least {MINIMUM_KEY_BYTES} bytes")
    return secrets


def load_settings(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `env` (default: the process environment).

    Raises ConfigError, naming the variable, when one is missing or malformed.
    """
    env = os.environ if env is None else env
    environment = env.get("CARBONPOINTS_ENV", "production")
    if environment not in ENVIRONMENTS:
        raise ConfigError(f"CARBONPOINTS_ENV must be one of {', '.join(ENVIRONMENTS)}, not {environment!r}")
    identity_key = _required(env, "CARBONPOINTS_IDENTITY_KEY").encode()
    if len(identity_key) < MINIMUM_KEY_BYTES:
        raise ConfigError(f"CARBONPOINTS_IDENTITY_KEY must have at least {MINIMUM_KEY_BYTES} bytes")
    secret = env.get("CARBONPOINTS_JWT_HS256_SECRET", "")
    jwks = env.get("CARBONPOINTS_JWKS", "")
    if environment == "production" and secret:
        raise ConfigError("CARBONPOINTS_JWT_HS256_SECRET is refused in production: use CARBONPOINTS_JWKS")
    if secret and len(secret.encode()) < MINIMUM_KEY_BYTES:
        raise ConfigError(f"CARBONPOINTS_JWT_HS256_SECRET must have at least {MINIMUM_KEY_BYTES} bytes")
    if not jwks and not secret:
        raise ConfigError("CARBONPOINTS_JWKS is not set: nobody could sign in")
    return Settings(
        environment=environment,
        database_url=normalise_database_url(_required(env, "DATABASE_URL")),
        redis_url=_required(env, "REDIS_URL"),
        identity_key=identity_key,
        identity_key_version=_integer(env, "CARBONPOINTS_IDENTITY_KEY_VERSION", 1, 1),
        jwks=jwks,
        jwt_audience=env.get("CARBONPOINTS_JWT_AUDIENCE", "carbonpoints"),
        jwt_leeway_s=_integer(env, "CARBONPOINTS_JWT_LEEWAY_S", 30),
        jwt_hs256_secret=secret,
        spool_dir=Path(env.get("CARBONPOINTS_SPOOL_DIR", ".local/spool")).absolute(),
        lock_timeout_ms=_integer(env, "CARBONPOINTS_LOCK_TIMEOUT_MS", 5_000, 1),
        statement_timeout_ms=_integer(env, "CARBONPOINTS_STATEMENT_TIMEOUT_MS", 60_000, 1),
        database_pool_size=_integer(env, "CARBONPOINTS_DATABASE_POOL_SIZE", 8, 1),
        request_bytes_max=_integer(env, "CARBONPOINTS_REQUEST_BYTES_MAX", 2 * 1024 * 1024, 1),
        upload_bytes_max=_integer(env, "CARBONPOINTS_UPLOAD_BYTES_MAX", 4 * 1024**3, 1),
        rate_limit_per_minute=_integer(env, "CARBONPOINTS_RATE_LIMIT_PER_MINUTE", 6_000, 1),
        exchange_keys=_secrets(env, "CARBONPOINTS_EXCHANGE_KEYS"),
    )


def normalise_database_url(url: str) -> str:
    """Name the psycopg 3 driver in a PostgreSQL URL, whatever spelling the operator used."""
    for prefix in ("postgresql+psycopg://", "postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    raise ConfigError("DATABASE_URL must be a postgresql:// address")
