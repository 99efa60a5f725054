"""A signed release arrives as it was, or not at all: whichever byte of it is changed."""

import random

import orjson
import pytest

from bartizan.secrets.signing import verified
from bartizan.xds.release import CLUSTER, EXTENSION, ROUTES, SECRET, Release, Step, resource
from bartizan.xds.signed import Address, Order, decoded_order, encoded_order, opened, signed
from tests.signing import SIGNER, STRANGER

STEPS = (
    Step((resource(CLUSTER, "up", b"\x00\xff"), resource(ROUTES, "empty", b"")), ((ROUTES, "gone"),)),
    Step(removed=((CLUSTER, "old"),)),
    Step((resource(ROUTES, "grüße", b"x" * 1000), resource(SECRET, "certificate/a", b"key"))),
)
RELEASE = Release(9, "abc", 4, STEPS)
TO = Address("edge", 1234.5)


def trusted(key: bytes, signature: bytes, data: bytes) -> bool:
    return key == SIGNER.public and verified(key, signature, data)


def test_it_arrives_as_it_was() -> None:
    told, release = opened(signed(RELEASE, "state", TO, SIGNER), trusted)
    assert release == RELEASE
    assert (told.purpose, told.group, told.not_after, told.state, told.source) == ("release", "edge", 1234.5, "state", "abc")
    assert decoded_order(encoded_order(Order(7, b"data"))) == Order(7, b"data")


def test_no_byte_can_be_changed_left_out_or_added() -> None:
    data = signed(RELEASE, "state", TO, SIGNER)
    for at in range(len(data)):
        with pytest.raises(ValueError):
            opened(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], trusted)
    draw = random.Random(1)
    for _ in range(200):
        at = draw.randrange(len(data))
        with pytest.raises(ValueError):
            opened(data[:at] + data[at + 1 :], trusted)
        with pytest.raises(ValueError):
            opened(data[:at] + b"\x00" + data[at:], trusted)
    for junk in (b"", b"\xff" * 200, data + b"x", data[:-1]):
        with pytest.raises(ValueError):
            opened(junk, trusted)


def test_a_key_that_isnt_trusted_counts_for_nothing() -> None:
    with pytest.raises(ValueError, match="isn't signed by a key that is trusted"):
        opened(signed(RELEASE, "state", TO, STRANGER), trusted)


def test_what_the_same_key_signed_for_something_else_is_no_release() -> None:
    data = signed(RELEASE, "state", TO, SIGNER)
    at = 4 + int.from_bytes(data[:4], "big")
    bare = data[:at] + SIGNER.public + SIGNER.sign(data[4:at]) + data[at + 96 :]
    with pytest.raises(ValueError, match="isn't signed"):
        opened(bare, trusted)


def test_secrets_have_a_digest_of_their_own() -> None:
    def digests(*changed: tuple[str, str, bytes]) -> tuple[str, str]:
        release = Release(1, "r", 1, (Step(tuple(resource(*one) for one in changed)),))
        told, _ = opened(signed(release, "", TO, SIGNER), trusted)
        return told.compiled, told.secrets

    plain = digests((ROUTES, "a", b"1"))
    for secret in ((SECRET, "certificate/a", b"k"), (EXTENSION, "keys/0", b"k")):
        mixed = digests((ROUTES, "a", b"1"), secret)
        assert mixed[0] == plain[0] and mixed[1] != plain[1]
    assert digests((ROUTES, "a", b"2"))[0] != plain[0]


def test_the_digests_must_be_those_of_what_it_brings() -> None:
    data = signed(RELEASE, "state", TO, SIGNER)
    at = 4 + int.from_bytes(data[:4], "big")
    said = orjson.loads(data[4:at])
    for field in ("compiled", "secrets", "source"):
        statement = orjson.dumps({**said, field: "0" * 64})
        again = SIGNER.sign(b"bartizan release v1\0" + statement)
        with pytest.raises(ValueError, match="digests"):
            opened(len(statement).to_bytes(4, "big") + statement + SIGNER.public + again + data[at + 96 :], trusted)


def test_a_cut_order_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        decoded_order(b"1234567")
