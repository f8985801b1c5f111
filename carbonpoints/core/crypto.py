"""Cryptography behind one port (M22), so that an SM2/SM3 suite can stand beside the present one.

`Suite` is the port: `mac` over identities and payloads, `digest` for seals. Signing and verifying tokens is
PyJWT's job and takes its algorithms from the same suite.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Protocol

SHA256_BLOCK_BYTES = 64
IDENTITY_BYTES = 16
"""An identity hash keeps 128 bits of its MAC: no collision among 10^15 identities, half the index."""


class RunningDigest(Protocol):
    """The unkeyed hash of what is not at hand all at once."""

    def update(self, part: bytes, /) -> None:
        """Take in the next part."""
        ...

    def digest(self) -> bytes:
        """Return the hash of all parts, 32 bytes."""
        ...


class Suite(Protocol):
    """What a cryptographic suite offers."""

    name: str
    token_algorithms: tuple[str, ...]

    def mac(self, key: bytes, message: bytes) -> bytes:
        """Return the keyed authentication code of `message`, 32 bytes."""
        ...

    def digest(self, message: bytes) -> bytes:
        """Return the unkeyed hash of `message`, 32 bytes."""
        ...

    def running_digest(self) -> RunningDigest:
        """Return the same hash, to be fed part by part."""
        ...


@lru_cache(maxsize=64)
def _keyed_states(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    block = (hashlib.sha256(key).digest() if len(key) > SHA256_BLOCK_BYTES else key).ljust(
        SHA256_BLOCK_BYTES, b"\0"
    )
    return (
        hashlib.sha256(bytes(byte ^ 0x36 for byte in block)),
        hashlib.sha256(bytes(byte ^ 0x5C for byte in block)),
    )


class InternationalSuite:
    """HMAC-SHA-256 and SHA-256; RS256, ES256 and EdDSA tokens."""

    name = "international"
    token_algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")

    def mac(self, key: bytes, message: bytes) -> bytes:
        """Return HMAC-SHA-256 (RFC 2104).

        Both hashes start from states that are made once per key: every event is authenticated several times, and
        this takes half the time of preparing the key anew.
        """
        inner, outer = _keyed_states(key)
        inside = inner.copy()
        inside.update(message)
        outside = outer.copy()
        outside.update(inside.digest())
        return outside.digest()

    def digest(self, message: bytes) -> bytes:
        """Return SHA-256."""
        return hashlib.sha256(message).digest()

    def running_digest(self) -> RunningDigest:
        """Return SHA-256, to be fed part by part."""
        return hashlib.sha256()


SUITE: Suite = InternationalSuite()


def derive_key(secret: bytes, info: bytes) -> bytes:
    """Return the key of 32 bytes that HKDF (RFC 5869, without salt) makes of a secret for one purpose, `info`."""
    extracted = SUITE.mac(bytes(32), secret)
    return SUITE.mac(extracted, info + b"\x01")


def identity_hash(key: bytes, *parts: str) -> bytes:
    """Return the keyed hash (16 bytes) that stands for an identity outside its account (M8).

    `parts` are joined by the unit separator, so that no two lists of parts give the same message.
    """
    return SUITE.mac(key, "\x1f".join(parts).encode())[:IDENTITY_BYTES]
