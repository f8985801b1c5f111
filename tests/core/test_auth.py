"""Tokens: which hold, which do not, and what they make of their bearer."""

from __future__ import annotations

import base64
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from flask import Flask
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from sqlalchemy.orm import Session

from carbonpoints.core.auth import (
    Authenticator,
    Caller,
    IncompatibleRoles,
    InvalidToken,
    caller_hash,
    issue_demo_token,
)
from carbonpoints.core.config import Settings
from carbonpoints.core.models import Bank
from carbonpoints.core.roles import ROLE_SCOPES, Role

A, B = "https://a.test", "https://b.test"
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
FOREIGN_KEY = ec.generate_private_key(ec.SECP256R1())


def _jwk(algorithm: Any, key: Any, kid: str) -> dict[str, Any]:
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid}


@pytest.fixture
def banks(session: Session) -> tuple[int, int]:
    rows = [
        Bank(code=code, issuer=issuer, name_en=code, name_zh=code) for code, issuer in (("a", A), ("b", B))
    ]
    session.add_all(rows)
    session.flush()
    return rows[0].bank_id, rows[1].bank_id


@pytest.fixture
def production(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with the keys of two banks and no shared secret."""
    own, other = tmp_path / "a.json", tmp_path / "b.json"
    keys = [_jwk(RSAAlgorithm, RSA_KEY, "r"), _jwk(ECAlgorithm, EC_KEY, "e"), _jwk(OKPAlgorithm, ED_KEY, "d")]
    own.write_text(json.dumps({"keys": keys}))
    other.write_text(json.dumps({"keys": [_jwk(ECAlgorithm, FOREIGN_KEY, "f")]}))
    return dataclasses.replace(
        settings, environment="production", jwt_hs256_secret="", jwks=f"{A}={own} {B}={other}"
    )


@pytest.fixture
def authenticator(production: Settings, banks: tuple[int, int]) -> Authenticator:
    return Authenticator(production)


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that hold, with changes; None takes a claim out."""
    now = int(time.time())
    standard = {"iss": A, "sub": "s", "aud": "carbonpoints", "iat": now, "exp": now + 60, "role": "customer"}
    return {name: value for name, value in {**standard, **changes}.items() if value is not None}


def signed(key: Any = EC_KEY, algorithm: str = "ES256", kid: str = "e", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers={"kid": kid})


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA_KEY, "RS256", "r"), (EC_KEY, "ES256", "e"), (ED_KEY, "EdDSA", "d")]
)
def test_a_token_signed_by_its_issuer_holds(
    authenticator: Authenticator, banks: tuple[int, int], key: Any, algorithm: str, kid: str
) -> None:
    assert authenticator.caller_of(signed(key, algorithm, kid, programme="green")) == Caller(
        bank_id=banks[0],
        issuer=A,
        subject="s",
        role=Role.CUSTOMER,
        scopes=ROLE_SCOPES[Role.CUSTOMER],
        person="s",
        programme="green",
        sources=(),
    )


def test_scope_narrows_and_never_widens(authenticator: Authenticator) -> None:
    caller = authenticator.caller_of(signed(scope="accounts:read clock:write nonsense"))
    assert caller.scopes == {"accounts:read"}
    assert authenticator.caller_of(signed(scope="")).scopes == frozenset()


def test_staff_is_told_apart_by_person_and_a_partner_by_its_sources(authenticator: Authenticator) -> None:
    assert authenticator.caller_of(signed(role="rule_maker", person="p-7")).person == "p-7"
    partner = authenticator.caller_of(signed(role="feed_partner", sources=["urn:x", "urn:y"]))
    assert (partner.person, partner.sources) == ("s", ("urn:x", "urn:y"))


FAR_AHEAD = 4_102_444_800
"""2100-01-01. The same in every test process: a case is known by its name."""


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"iat": None},
        {"iat": FAR_AHEAD},
        {"nbf": FAR_AHEAD},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": "a\u0000b"},
        {"aud": None},
        {"aud": "somebody else"},
        {"iss": None},
        {"iss": "https://unknown.test"},
        {"iss": B},
        {"role": None},
        {"role": "owner"},
        {"role": ["customer", "nobody"]},
        {"role": []},
        {"role": ["risk", "customer_service"], "person": "p"},
        {"role": {"a": 1}},
        {"role": "rule_maker"},
        {"scope": ["accounts:read"]},
        {"sources": "urn:x"},
        {"sources": [1]},
        {"programme": 7},
    ],
    ids=str,
)
def test_claims_that_do_not_hold(authenticator: Authenticator, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        authenticator.caller_of(signed(**changes))


def test_incompatible_roles_are_named_as_such(authenticator: Authenticator) -> None:
    with pytest.raises(IncompatibleRoles):
        authenticator.caller_of(signed(role=["rule_maker", "rule_checker"], person="p"))


def test_leeway_is_given_to_clocks_that_differ(authenticator: Authenticator, production: Settings) -> None:
    just_over = int(time.time()) - production.jwt_leeway_s + 5
    assert authenticator.caller_of(signed(exp=just_over)).subject == "s"


def test_one_bank_s_key_does_not_sign_for_another(
    authenticator: Authenticator, banks: tuple[int, int]
) -> None:
    assert authenticator.caller_of(signed(FOREIGN_KEY, kid="f", iss=B)).bank_id == banks[1]
    for token in (signed(FOREIGN_KEY, kid="f"), signed(EC_KEY, kid="e", iss=B), signed(FOREIGN_KEY, kid="e")):
        with pytest.raises(InvalidToken):
            authenticator.caller_of(token)


def _forged(header: dict[str, Any], secret: bytes) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims())]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        b".".join(parts), secret
    )
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def test_a_public_key_is_no_secret_and_none_is_no_algorithm(authenticator: Authenticator) -> None:
    public = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for header in ({"alg": "HS256", "kid": "r"}, {"alg": "RS256", "kid": "r"}, {"alg": "none", "kid": "r"}):
        with pytest.raises(InvalidToken):
            authenticator.caller_of(_forged(header, public))


def test_the_key_decides_the_algorithm(authenticator: Authenticator) -> None:
    with pytest.raises(InvalidToken):
        authenticator.caller_of(signed(RSA_KEY, "RS512", "r"))
    with pytest.raises(InvalidToken):
        authenticator.caller_of(signed(EC_KEY, "ES256", "r"))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.", "." * 9000, "W" * 8000 + ".e30.x"])
def test_garbage_is_an_invalid_token(authenticator: Authenticator, token: str) -> None:
    with pytest.raises(InvalidToken):
        authenticator.caller_of(token)


def test_production_takes_no_shared_secret(
    production: Settings, settings: Settings, banks: tuple[int, int]
) -> None:
    token = issue_demo_token(settings, issuer=A, subject="s", role=Role.CUSTOMER)
    assert Authenticator(settings).caller_of(token).bank_id == banks[0]
    with_secret = dataclasses.replace(production, jwt_hs256_secret=settings.jwt_hs256_secret)
    with pytest.raises(InvalidToken):
        Authenticator(with_secret).caller_of(token)
    with pytest.raises(RuntimeError):
        issue_demo_token(with_secret, issuer=A, subject="s", role=Role.CUSTOMER)


def test_a_caller_s_hash_tells_issuers_and_subjects_apart(app: Flask, session: Session) -> None:
    def hash_of(issuer: str, subject: str) -> bytes:
        caller = Caller(1, issuer, subject, Role.CUSTOMER, frozenset(), subject, None, ())
        return caller_hash(caller)

    assert len({hash_of("a", "bc"), hash_of("ab", "c"), hash_of("a", "b")}) == 3
    assert hash_of("a", "b") == hash_of("a", "b")
