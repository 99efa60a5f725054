"""Which keys of a JWK Set may verify: bound to an allowed algorithm, never shared, never private, never short."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bartizan.identity.jwks import allowed_keys

RSA = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()))
_SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - must be refused
SHORT = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_SHORT.public_key()))
EC = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
PRIVATE = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=2048)))


@pytest.mark.parametrize(
    ("key", "algorithms", "found"),
    [
        (RSA, ("RS256",), ["RS256"]),
        (RSA, ("RS256", "PS512"), ["RS256", "PS512"]),
        ({**RSA, "alg": "RS256"}, ("RS256", "PS512"), ["RS256"]),
        ({**RSA, "alg": "RS512"}, ("RS256",), []),
        (RSA, ("ES256",), []),
        (EC, ("ES256", "RS256"), ["ES256"]),
        (EC, ("ES384",), []),
        ({**RSA, "use": "enc"}, ("RS256",), []),
        ({"kty": "oct", "k": "c2VjcmV0"}, ("RS256", "ES256"), []),
        ({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}, ("HS256",), []),
        (PRIVATE, ("RS256",), []),
        (SHORT, ("RS256",), []),
        ({"kty": "RSA", "n": "???", "e": "AQAB"}, ("RS256",), []),
        ({"kty": "nonsense"}, ("RS256",), []),
    ],
)
def test_which_keys_count(key: dict[str, Any], algorithms: tuple[str, ...], found: list[str]) -> None:
    kept = allowed_keys({"keys": [{"kid": "k", **key}]}, algorithms)
    assert [one["alg"] for one in kept] == sorted(found, key=["RS256", "PS512", "ES256"].index)
    assert all("d" not in one and "k" not in one for one in kept)


def test_what_is_no_key_is_left_out() -> None:
    assert allowed_keys({"keys": ["x", None, 3, {}]}, ("RS256",)) == ()
    assert allowed_keys({}, ("RS256",)) == ()
