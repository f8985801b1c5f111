"""Keys of the issuers: which are used, and what happens when they rotate or cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from carbonpoints.core.config import ConfigError
from carbonpoints.core.jwks import MAX_AGE_S, REFETCH_S, KeySet, parse_sources, read_source, usable_keys

RSA_KEY = rsa.generate_private_key(65537, 2048)
SHORT_RSA_KEY = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the point of the test
EC_KEY = ec.generate_private_key(ec.SECP256R1())
P384_KEY = ec.generate_private_key(ec.SECP384R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The public half of a key as a JWK."""
    algorithms: dict[type, Any] = {
        rsa.RSAPrivateKey: RSAAlgorithm,
        ec.EllipticCurvePrivateKey: ECAlgorithm,
        ed25519.Ed25519PrivateKey: OKPAlgorithm,
    }
    algorithm = next(found for kind, found in algorithms.items() if isinstance(key, kind))
    return {**json.loads(algorithm.to_jwk(key.public_key())), **members}


def test_signing_keys_of_the_three_families_are_used() -> None:
    document = {"keys": [jwk(RSA_KEY, kid="r"), jwk(EC_KEY, kid="e"), jwk(ED_KEY, kid="d", use="sig")]}
    assert {kid: key.algorithm_name for kid, key in usable_keys(document).items()} == {
        "r": "RS256",
        "e": "ES256",
        "d": "EdDSA",
    }


@pytest.mark.parametrize(
    "entry",
    [
        jwk(RSA_KEY),
        jwk(RSA_KEY, kid=7),
        jwk(RSA_KEY, kid="x", use="enc"),
        jwk(RSA_KEY, kid="x", alg="RS512"),
        jwk(RSA_KEY, kid="x", alg="HS256"),
        jwk(SHORT_RSA_KEY, kid="x"),
        jwk(P384_KEY, kid="x"),
        {"kty": "oct", "kid": "x", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "x", "n": "!", "e": "AQAB"},
        {"kty": "new", "kid": "x"},
    ],
)
def test_a_key_we_must_not_use_is_left_out_and_the_others_work(entry: dict[str, Any]) -> None:
    assert list(usable_keys({"keys": [entry, jwk(EC_KEY, kid="good")]})) == ["good"]


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": ["x"]}])
def test_what_is_no_jwks_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="not a JWKS"):
        usable_keys(document)


class Source:
    """A JWKS that changes, and counts how often it is read."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.entries: list[dict[str, Any]] = list(entries)
        self.is_away = False
        self.reads = 0
        self.time_s = 0.0
        self.keys = KeySet("anywhere", read=self.read, elapsed_s=lambda: self.time_s)

    def read(self, _source: str) -> bytes:
        self.reads += 1
        if self.is_away:
            raise OSError
        return json.dumps({"keys": self.entries}).encode()


def test_keys_are_read_once_and_an_unknown_id_makes_us_look_again_but_not_at_once() -> None:
    source = Source(jwk(EC_KEY, kid="old"))
    assert source.keys.find("old") is not None
    assert source.keys.find("old") is not None
    source.entries.append(jwk(ED_KEY, kid="new"))
    assert source.keys.find("new") is None
    assert source.reads == 1
    source.time_s += REFETCH_S + 1
    assert source.keys.find("new") is not None
    assert source.keys.find("old") is not None
    assert source.reads == 2


def test_a_removed_key_stops_working_when_the_keys_are_read_again() -> None:
    source = Source(jwk(EC_KEY, kid="old"))
    assert source.keys.find("old") is not None
    source.entries = [jwk(ED_KEY, kid="new")]
    source.time_s += MAX_AGE_S + 1
    assert source.keys.find("old") is None
    assert source.keys.find("new") is not None


def test_known_keys_outlive_an_outage_of_their_source() -> None:
    source = Source(jwk(EC_KEY, kid="old"))
    assert source.keys.find("old") is not None
    source.is_away = True
    source.time_s += MAX_AGE_S + 1
    assert source.keys.find("old") is not None
    assert source.reads == 2
    assert source.keys.find("new") is None
    assert source.reads == 2


def test_keys_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [jwk(EC_KEY, kid="old")]}))
    assert KeySet(str(file)).find("old") is not None
    assert json.loads(read_source(str(file)))["keys"][0]["kid"] == "old"


def test_sources_are_pairs_of_issuer_and_place() -> None:
    text = "https://a.test=/etc/a.json  https://b.test/realm=https://b.test/keys?x=1"
    assert parse_sources(text, secure=True) == {
        "https://a.test": "/etc/a.json",
        "https://b.test/realm": "https://b.test/keys?x=1",
    }
    assert parse_sources("", secure=True) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/etc/keys.json", "pairs, not"),
        ("=/etc/keys.json", "pairs, not"),
        ("https://a.test=", "pairs, not"),
        ("https://a.test=/a https://a.test=/b", "twice"),
        ("https://a.test=http://a.test/keys", "https"),
    ],
)
def test_a_malformed_list_of_sources_is_refused_at_start(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_sources(text, secure=True)
