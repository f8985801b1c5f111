"""Who is calling: the token, its bank, its role and its scopes (M1, M21).

A token names its bank by `iss`. Its signature is checked with that issuer's keys only; HS256 works only where
a secret is configured, which production refuses.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from flask import Flask, current_app, g, request
from sqlalchemy import select

from carbonpoints.core.config import Settings
from carbonpoints.core.crypto import identity_hash
from carbonpoints.core.db import db, reading, settings
from carbonpoints.core.errors import CarbonpointsError
from carbonpoints.core.jwks import KeySet, parse_sources
from carbonpoints.core.models import Bank
from carbonpoints.core.roles import ROLE_SCOPES, STAFF, Role, are_incompatible

TOKEN_CHARACTERS = 8192
NAME_CHARACTERS = 255
REQUIRED_CLAIMS = ["exp", "iat", "iss", "sub", "aud"]
ISSUER_CACHE_S = 60.0


class Unauthenticated(CarbonpointsError):
    """No token came with the request."""

    code = "unauthenticated"
    status = 401
    title = "This needs a token."
    challenge = 'Bearer realm="carbonpoints"'


class InvalidToken(CarbonpointsError):
    """The token is malformed, expired, not signed by its issuer, or carries claims that do not go together."""

    code = "invalid_token"
    status = 401
    title = "The token is not valid."
    challenge = 'Bearer realm="carbonpoints", error="invalid_token"'


class IncompatibleRoles(InvalidToken):
    """The token carries roles that nobody may hold together."""

    code = "incompatible_roles"
    title = "These roles may not be held together."


class InsufficientScope(CarbonpointsError):
    """The token does not allow this operation."""

    code = "insufficient_scope"
    status = 403
    title = "Your token does not allow this."

    def __init__(self, scope: str) -> None:
        super().__init__("The operation needs the scope %(scope)s.", params={"scope": scope})
        self.challenge = f'Bearer realm="carbonpoints", error="insufficient_scope", scope="{scope}"'


@dataclass(frozen=True)
class Caller:
    """Whoever the token speaks for. A caller is (`issuer`, `subject`); `person` tells staff apart (M10)."""

    bank_id: int
    issuer: str
    subject: str
    role: Role
    scopes: frozenset[str]
    person: str
    """The member of staff, or for everybody else the subject."""
    programme: str | None
    """Code of the programme the token is for; None for roles that act on the whole bank."""
    sources: tuple[str, ...]
    """Event sources that a feed partner may speak for."""


def caller_hash(caller: Caller) -> bytes:
    """Return the keyed hash that stands for a caller in keys and in the audit."""
    return identity_hash(settings().identity_key, "caller", caller.issuer, caller.subject)


class Authenticator:
    """Reads tokens: the keys of each issuer, and which issuer is which bank."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        sources = parse_sources(settings.jwks, secure=settings.is_production)
        self._key_sets = {issuer: KeySet(source) for issuer, source in sources.items()}
        # Kept per database, so that what was read from one is never believed of another.
        self._banks: weakref.WeakKeyDictionary[Any, dict[str, tuple[int, float]]] = (
            weakref.WeakKeyDictionary()
        )

    def caller_of(self, token: str) -> Caller:
        """Return the caller a token speaks for; InvalidToken when it does not hold."""
        if len(token) > TOKEN_CHARACTERS:
            raise InvalidToken
        try:
            claims = self._verified(token)
        except jwt.ExpiredSignatureError as error:
            raise InvalidToken("The token has expired.") from error
        except jwt.ImmatureSignatureError as error:
            raise InvalidToken("The token is not valid yet.") from error
        except jwt.InvalidAudienceError as error:
            raise InvalidToken("The token is meant for somebody else.") from error
        except jwt.MissingRequiredClaimError as error:
            raise InvalidToken("The token lacks a required claim.") from error
        except (jwt.PyJWTError, RecursionError) as error:
            raise InvalidToken from error
        return _caller(claims, self._bank_id(claims["iss"]))

    def _verified(self, token: str) -> dict[str, Any]:
        unverified = jwt.decode_complete(token, options={"verify_signature": False})
        issuer = _name(unverified["payload"].get("iss"))
        key, algorithm = self._key(issuer, unverified["header"])
        return jwt.decode(
            token,
            key=key,
            algorithms=[algorithm],
            audience=self._settings.jwt_audience,
            issuer=issuer,
            leeway=self._settings.jwt_leeway_s,
            options={"require": REQUIRED_CLAIMS},
        )

    def _key(self, issuer: str, header: Mapping[str, Any]) -> tuple[jwt.PyJWK | bytes, str]:
        """Return the key and the one algorithm it is for: the token's header chooses neither."""
        if (
            header.get("alg") == "HS256"
            and self._settings.jwt_hs256_secret
            and not self._settings.is_production
        ):
            return self._settings.jwt_hs256_secret.encode(), "HS256"
        key_set, kid = self._key_sets.get(issuer), header.get("kid")
        key = key_set.find(kid) if key_set and isinstance(kid, str) else None
        if key is None or key.algorithm_name != header.get("alg"):
            raise InvalidToken("The token is not signed with a key that we know.")
        return key, key.algorithm_name

    def _bank_id(self, issuer: str) -> int:
        banks = self._banks.setdefault(db.engine, {})
        known = banks.get(issuer)
        if known is not None and time.monotonic() - known[1] < ISSUER_CACHE_S:
            return known[0]
        with reading() as session:
            bank_id = session.scalar(select(Bank.bank_id).where(Bank.issuer == issuer))
        if bank_id is None:
            raise InvalidToken("The token's issuer is not known here.")
        banks[issuer] = (bank_id, time.monotonic())
        return bank_id


def _name(value: Any) -> str:
    """Return a claim that names somebody: text, not empty, bounded, printable."""
    if not isinstance(value, str) or not 0 < len(value) <= NAME_CHARACTERS or not value.isprintable():
        raise InvalidToken("The token carries a malformed claim.")
    return value


def _role(value: Any) -> Role:
    """Return the token's one role; more than one is refused, and named when the two are incompatible."""
    names = value if isinstance(value, list) else [value]
    try:
        roles = [Role(name) for name in names]
    except ValueError:
        raise InvalidToken("The token carries no role that we know.") from None
    if any(are_incompatible(one, other) for one in roles for other in roles):
        raise IncompatibleRoles
    if len(roles) != 1:
        raise InvalidToken("A token carries exactly one role.")
    return roles[0]


def _caller(claims: Mapping[str, Any], bank_id: int) -> Caller:
    role = _role(claims.get("role"))
    scopes = ROLE_SCOPES[role]
    if "scope" in claims:
        if not isinstance(claims["scope"], str):
            raise InvalidToken("The token carries a malformed claim.")
        scopes = scopes & frozenset(claims["scope"].split())
    sources = claims.get("sources", [])
    if not isinstance(sources, list):
        raise InvalidToken("The token carries a malformed claim.")
    return Caller(
        bank_id=bank_id,
        issuer=claims["iss"],
        subject=_name(claims["sub"]),
        role=role,
        scopes=scopes,
        person=_name(claims.get("person")) if role in STAFF else claims["sub"],
        programme=_name(claims["programme"]) if "programme" in claims else None,
        sources=tuple(_name(source) for source in sources),
    )


def init_auth(app: Flask, settings: Settings) -> None:
    """Give the app its authenticator; ConfigError when the key sources are malformed."""
    app.extensions["carbonpoints_auth"] = Authenticator(settings)


def authenticate() -> Caller:
    """Return the caller of this request, reading its token once; Unauthenticated or InvalidToken."""
    if "caller" not in g:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated
        authenticator: Authenticator = current_app.extensions["carbonpoints_auth"]
        g.caller = authenticator.caller_of(token.strip())
    return current_caller()


def authorise(scope: str) -> None:
    """Let the request pass when its token has `scope`; InsufficientScope otherwise."""
    if scope not in authenticate().scopes:
        raise InsufficientScope(scope)


def current_caller() -> Caller:
    """Return the caller that was authenticated for this request; Unauthenticated when there is none."""
    caller: Caller | None = g.get("caller")
    if caller is None:
        raise Unauthenticated
    return caller


def issue_demo_token(
    settings: Settings,
    *,
    issuer: str,
    subject: str,
    role: Role,
    programme: str | None = None,
    person: str | None = None,
    scope: str | None = None,
    sources: Sequence[str] = (),
    lifetime_s: int = 86_400,
) -> str:
    """Return an HS256 token for the demo and the tests.

    Staff roles take `subject` as the person unless told otherwise. Raises RuntimeError in production and
    where no secret is configured.
    """
    if settings.is_production or not settings.jwt_hs256_secret:
        raise RuntimeError("demo tokens exist outside production only, with a secret configured")
    issued_at = int(time.time())
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": subject,
        "aud": settings.jwt_audience,
        "iat": issued_at,
        "exp": issued_at + lifetime_s,
        "role": role.value,
    }
    optional = {"programme": programme, "scope": scope, "sources": list(sources) or None}
    if role in STAFF:
        optional["person"] = person or subject
    claims.update({name: value for name, value in optional.items() if value is not None})
    return jwt.encode(claims, settings.jwt_hs256_secret, algorithm="HS256")
