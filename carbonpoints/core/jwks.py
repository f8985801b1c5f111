"""The issuers' public keys: read from a file or an address, kept, and read again when they rotate.

`CARBONPOINTS_JWKS` lists `issuer=source` pairs, separated by spaces. A key speaks for the issuer whose source
it came from and for nobody else, so that one bank's key can never sign for another bank.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from carbonpoints.core.config import ConfigError
from carbonpoints.core.crypto import SUITE

REFETCH_S = 30.0
"""An unknown key id makes us look again, but no more often than this."""
MAX_AGE_S = 600.0
"""Keys are read again after this, so that a key that was removed stops working."""
FETCH_TIMEOUT_S = 3.0
JWKS_BYTES_MAX = 256 * 1024
RSA_BITS_MIN = 2048

log = structlog.get_logger()


def parse_sources(text: str, *, secure: bool) -> dict[str, str]:
    """Return source by issuer from `issuer=source issuer=source`.

    `secure` refuses plain http. Raises ConfigError for a pair without `=` or an issuer named twice.
    """
    sources: dict[str, str] = {}
    for pair in text.split():
        issuer, separator, source = pair.partition("=")
        if not (issuer and separator and source):
            raise ConfigError(f"CARBONPOINTS_JWKS must list issuer=path or issuer=url pairs, not {pair!r}")
        if issuer in sources:
            raise ConfigError(f"CARBONPOINTS_JWKS names the issuer {issuer!r} twice")
        if secure and source.startswith("http://"):
            raise ConfigError("CARBONPOINTS_JWKS must be fetched over https in production")
        sources[issuer] = source
    return sources


def read_source(source: str) -> bytes:
    """Return the bytes of a JWKS at a path or http(s) address; OSError or ValueError when it cannot be had."""
    if not source.startswith(("http://", "https://")):
        return Path(source).read_bytes()
    with urllib.request.urlopen(source, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310 - http(s) only, see above
        content: bytes = answer.read(JWKS_BYTES_MAX + 1)
    if len(content) > JWKS_BYTES_MAX:
        raise ValueError("the JWKS is too large")
    return content


def usable_keys(document: Any) -> dict[str, jwt.PyJWK]:
    """Return the signing keys of a JWKS by key id.

    A key that we must not use (symmetric, for encryption, of an algorithm outside the suite, too short,
    without an id) is left out and logged; the others still work. Raises ValueError when it is no JWKS.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("not a JWKS: no list of keys")
    keys: dict[str, jwt.PyJWK] = {}
    for entry in entries:
        try:
            kid, key = _usable_key(entry)
        except (ValueError, jwt.PyJWTError) as error:
            log.warning("jwks_key_ignored", kid=entry.get("kid"), reason=str(error))
        else:
            keys.setdefault(kid, key)
    return keys


def _usable_key(entry: dict[str, Any]) -> tuple[str, jwt.PyJWK]:
    kid = entry.get("kid")
    if not isinstance(kid, str):
        raise ValueError("no key id")  # noqa: TRY004 - what is wrong is the document, not our call
    if entry.get("use", "sig") != "sig":
        raise ValueError("not for signatures")
    key = jwt.PyJWK(entry)
    if key.algorithm_name not in SUITE.token_algorithms:
        raise ValueError("algorithm not in use here")
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < RSA_BITS_MIN:
        raise ValueError("RSA key too short")
    return kid, key


class KeySet:
    """The keys of one issuer. Safe between threads: one of them reads, the others go on with what is known."""

    def __init__(
        self,
        source: str,
        *,
        read: Callable[[str], bytes] = read_source,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._read = read
        self._elapsed_s = elapsed_s
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at: float | None = None

    def find(self, kid: str) -> jwt.PyJWK | None:
        """Return the key with this id; None when the issuer has no such key."""
        age_s = self._age_s()
        if age_s > MAX_AGE_S or (kid not in self._keys and age_s > REFETCH_S):
            self._refresh()
        return self._keys.get(kid)

    def _age_s(self) -> float:
        return float("inf") if self._read_at is None else self._elapsed_s() - self._read_at

    def _refresh(self) -> None:
        """Read the keys again. When that fails, the known ones stay: an outage there is none here."""
        first = self._read_at is None
        if not self._lock.acquire(blocking=first):
            return
        try:
            if self._age_s() <= REFETCH_S:
                return
            self._keys = usable_keys(json.loads(self._read(self._source)))
        except (OSError, ValueError) as error:
            log.warning("jwks_not_read", reason=type(error).__name__)
        finally:
            self._read_at = self._elapsed_s()
            self._lock.release()
