"""The keys that sign tokens: published before they sign, dropped when nothing needs them, and never taken for something else."""

import base64
import hashlib
import hmac
import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from joserfc.jws import JWSRegistry

from bartizan.errors import Unauthenticated
from bartizan.identity.token_keys import FILE, SigningKeys
from bartizan.secrets.envelope import Envelope

DAY = 86400.0
HOUR = 3600.0
KIND = "at+jwt"
CLAIMS: dict[str, Any] = {"sub": "usr_1", "exp": 9_000_000_000}


class Rig:
    """Keys, and a clock that is set."""

    def __init__(self, folder: Path) -> None:
        self.now, self.path = 1_800_000_000.0, folder / FILE
        self.keys = self.begun()

    def begun(self) -> SigningKeys:
        return SigningKeys(self.path, Envelope(b"k" * 32), lambda: self.now)

    def kids(self) -> list[str]:
        return [key["kid"] for key in self.keys.published()["keys"]]

    def signs(self) -> str:
        return self.keys.signer()[0]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    made.keys.tend(DAY)
    return made


def refused(keys: SigningKeys, text: str, kind: str = KIND) -> None:
    with pytest.raises(Unauthenticated) as found:
        keys.read(text, kind)
    assert found.value.code == "token-unknown"


def test_the_first_key_signs_at_once_and_no_other_is_made_before_its_time(rig: Rig) -> None:
    (first,) = rig.kids()
    assert rig.signs() == first
    for seconds in (0.0, 1.0, DAY - HOUR - 2.0):
        rig.now += seconds
        rig.keys.tend(DAY)
    assert rig.kids() == [first]


def test_a_key_is_published_an_hour_before_it_signs_and_two_after_it_did(rig: Rig) -> None:
    (first,) = rig.kids()
    token = rig.keys.signed(CLAIMS, KIND)
    rig.now += DAY - HOUR
    rig.keys.tend(DAY)
    assert rig.kids()[0] == first and len(rig.kids()) == 2 and rig.signs() == first
    second = rig.kids()[1]
    rig.keys.tend(DAY)
    assert rig.kids() == [first, second], "it is made once"
    rig.now += HOUR - 0.1
    assert rig.signs() == first
    rig.now += 0.1
    assert rig.signs() == second
    rig.now += 2 * HOUR - 0.1
    rig.keys.tend(DAY)
    assert rig.kids() == [first, second] and rig.keys.read(token, KIND) == CLAIMS
    rig.now += 0.1
    rig.keys.tend(DAY)
    assert rig.kids() == [second]
    refused(rig.keys, token)


def test_who_was_away_for_long_publishes_the_next_key_before_it_signs(rig: Rig) -> None:
    (first,) = rig.kids()
    rig.now += 10 * DAY
    rig.keys.tend(DAY)
    assert rig.signs() == first and len(rig.kids()) == 2
    rig.now += HOUR
    assert rig.signs() == rig.kids()[1]


def test_a_clock_that_was_set_back_leaves_a_key_that_signs(rig: Rig) -> None:
    rig.now -= 5 * DAY
    rig.keys.tend(DAY)
    assert rig.keys.read(rig.keys.signed(CLAIMS, KIND), KIND) == CLAIMS


def test_shorter_lives_of_keys_count_at_once(rig: Rig) -> None:
    rig.now += 2 * HOUR
    rig.keys.tend(HOUR)
    assert len(rig.kids()) == 2


def test_a_rotation_takes_an_hour_and_keeps_what_was_signed(rig: Rig) -> None:
    (first,) = rig.kids()
    token = rig.keys.signed(CLAIMS, KIND)
    made = rig.keys.rotate()
    assert rig.kids() == [first, made] and rig.signs() == first
    rig.now += HOUR
    assert rig.signs() == made and rig.keys.read(token, KIND) == CLAIMS
    rig.now += 2 * HOUR
    rig.keys.tend(DAY)
    assert rig.kids() == [made]


def test_what_is_lost_counts_no_more_at_once_nor_what_would_have_come_after(rig: Rig) -> None:
    coming, token = rig.keys.rotate(), rig.keys.signed(CLAIMS, KIND)
    made = rig.keys.rotate(lost=True)
    assert rig.kids() == [made] and rig.signs() == made and made != coming
    refused(rig.keys, token)
    assert rig.keys.read(rig.keys.signed(CLAIMS, KIND), KIND) == CLAIMS


@pytest.mark.parametrize("lost", [False, True])
def test_the_first_rotation_may_come_before_the_first_key(tmp_path: Path, lost: bool) -> None:
    rig = Rig(tmp_path)
    refused(rig.keys, "a.b.c")
    assert rig.keys.published() == {"keys": []}
    assert rig.keys.rotate(lost=lost) == rig.signs()


def test_a_restart_and_another_process_know_the_same_keys(rig: Rig) -> None:
    token, other = rig.keys.signed(CLAIMS, KIND), rig.begun()
    assert other.published() == rig.keys.published() and other.read(token, KIND) == CLAIMS
    made = other.rotate(lost=True)
    refused(rig.keys, token)
    assert rig.signs() == made and rig.keys.read(other.signed(CLAIMS, KIND), KIND) == CLAIMS
    rig.keys.close()
    rig.keys = rig.begun()
    assert rig.kids() == [made]


def _tends(path: Path, begin: float) -> None:
    keys = SigningKeys(path, Envelope(b"k" * 32), lambda: 1_800_000_000.0)
    time.sleep(max(0.0, begin - time.time()))
    keys.tend(DAY)


def test_of_many_processes_that_find_no_key_one_makes_it(tmp_path: Path) -> None:
    rig, forked = Rig(tmp_path), multiprocessing.get_context("fork")
    begin = time.time() + 0.2
    many = [forked.Process(target=_tends, args=(rig.path, begin)) for _ in range(6)]
    for one in many:
        one.start()
    for one in many:
        one.join(20)
    assert [one.exitcode for one in many] == [0] * 6 and len(rig.kids()) == 1


def test_nothing_private_is_published_nor_lies_open_on_the_disk(rig: Rig) -> None:
    rig.keys.rotate()
    told = rig.keys.published()["keys"]
    assert len(told) == 2
    for key in told:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")
    private = rig.keys.signer()[1].as_dict(private=True)["d"]
    assert str(private) not in json.dumps(rig.keys.published())
    assert str(private).encode() not in rig.path.read_bytes() and rig.path.stat().st_mode & 0o077 == 0
    token = rig.keys.signed(CLAIMS, KIND)
    public = KeySet.import_key_set(rig.keys.published())  # type: ignore[arg-type]
    assert jwt.decode(token, public, ["ES256"]).claims == CLAIMS, "others can check by it what we sign"


def b64(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def jws(header: object, claims: bytes, sign: Callable[[bytes], bytes]) -> str:
    """A token whose parts are as they are given."""
    first = b64(header if isinstance(header, bytes) else json.dumps(header).encode()) + b"." + b64(claims)
    return (first + b"." + b64(sign(first))).decode()


def ours(rig: Rig, header: object, claims: bytes = json.dumps(CLAIMS).encode()) -> str:
    """Signed with our key by somebody who has it, whatever its parts are: what is refused, isn't for its signature."""
    key = rig.keys.signer()[1]
    return jws(header, claims, lambda text: JWSRegistry.algorithms["ES256"].sign(text, key))


def head(rig: Rig, **more: object) -> dict[str, object]:
    return {"alg": "ES256", "typ": KIND, "kid": rig.signs(), **more}


def test_a_token_is_for_what_its_type_says(rig: Rig) -> None:
    assert rig.keys.read(ours(rig, head(rig)), KIND) == CLAIMS
    for kind in ("JWT", "at+JWT", "AT+JWT", "application/at+jwt", "", None, 7, [KIND]):
        refused(rig.keys, ours(rig, head(rig, typ=kind)))
    refused(rig.keys, ours(rig, {"alg": "ES256", "kid": rig.signs()}))
    refused(rig.keys, rig.keys.signed(CLAIMS, KIND), "JWT")
    assert rig.keys.read(rig.keys.signed(CLAIMS, "logout+jwt"), "logout+jwt") == CLAIMS


def test_no_other_algorithm_counts(rig: Rig) -> None:
    claims = json.dumps(CLAIMS).encode()
    key = rig.keys.published()["keys"][0]
    public = ECKey.import_key(key)
    for name in ("none", "None", "NONE", "nOnE", "", None, [], {}, "ES384", "ES256K", "EdDSA", "HS256"):
        refused(rig.keys, jws(head(rig, alg=name), claims, lambda _: b""))
        refused(rig.keys, ours(rig, head(rig, alg=name)))
    secrets = [public.as_pem(private=False), public.as_der(private=False), json.dumps(key).encode(), key["x"].encode(), b""]
    for secret in secrets:
        refused(rig.keys, jws(head(rig, alg="HS256"), claims, lambda text, own=secret: hmac.digest(own, text, hashlib.sha256)))  # type: ignore[misc]
    refused(rig.keys, jws({"typ": KIND, "kid": rig.signs()}, claims, lambda _: b""))


@pytest.mark.parametrize("more", ["jwk", "jku", "x5u", "x5c", "nothing"])
def test_a_key_that_a_token_brings_along_isnt_asked(rig: Rig, more: str) -> None:
    eves = ECKey.generate_key("P-256", {"kid": rig.signs()})
    brought: dict[str, object] = {
        "jwk": eves.as_dict(private=False),
        "jku": "https://eve.example.com/jwks",
        "x5u": "https://eve.example.com/x5u",
        "x5c": ["MIIB"],
    }
    header = {**head(rig), **({more: brought[more]} if more in brought else {})}
    refused(rig.keys, jwt.encode(header, CLAIMS, eves, ["ES256"]))


def test_the_kid_tells_which_key_and_no_other_counts(rig: Rig) -> None:
    coming = rig.keys.rotate()
    for kid in (coming, "", None, 7, ["x"], {}, rig.signs() + "\0", rig.signs().upper() + "x", "../" + rig.signs()):
        refused(rig.keys, ours(rig, head(rig, kid=kid)))
    refused(rig.keys, ours(rig, {"alg": "ES256", "typ": KIND}))


def test_what_was_changed_or_cut_doesnt_count(rig: Rig) -> None:
    token = rig.keys.signed(CLAIMS, KIND)
    parts = token.split(".")
    other = b64(json.dumps({**CLAIMS, "sub": "usr_2"}).encode()).decode()
    short = b64(base64.urlsafe_b64decode(parts[2] + "==")[:-1]).decode()
    empty = b64(bytes(64)).decode()
    for text in (
        f"{parts[0]}.{other}.{parts[2]}",
        f"{parts[0]}.{parts[1]}.{short}",
        f"{parts[0]}.{parts[1]}.{empty}",
        f"{parts[0]}.{parts[1]}.",
        f"{parts[0]}.{parts[1]}",
        f"{token}.{parts[2]}",
        f"{parts[0]}..{parts[2]}",
        f"{parts[0]}\0.{parts[1]}.{parts[2]}",
        f"{parts[0]}.{parts[1]}\0.{parts[2]}",
        f".{token}",
        "",
        "..",
        "\0",
        "é.é.é",
        "\ud800.a.b",
        "a" * 1_000_000,
        "." * 100_000,
        b64(b"[" * 200_000).decode() + ".e30.AA",
        b64(b'{"alg":' * 50_000).decode() + ".e30.AA",
    ):
        refused(rig.keys, text)


@pytest.mark.parametrize("header", [b"[]", b'["alg"]', b'"alg"', b'["alg","kid"]', b"7", b"null", b"", b"{", b"\xff", b'{"alg":"ES256"}}'])
def test_a_header_that_is_none_is_refused(rig: Rig, header: bytes) -> None:
    refused(rig.keys, jws(header, b"{}", lambda _: bytes(64)))


def test_headers_that_have_to_be_understood_are_refused(rig: Rig) -> None:
    for more in ({"crit": ["exp"], "exp": 1}, {"crit": ["b64"], "b64": False}, {"crit": "x"}):
        refused(rig.keys, ours(rig, head(rig, **more)))


@pytest.mark.parametrize("claims", [b"[]", b"7", b"null", b'"text"', b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_claims_that_are_none_are_refused(rig: Rig, claims: bytes) -> None:
    refused(rig.keys, ours(rig, head(rig), claims))


def test_nobody_can_have_a_claim_read_twice(rig: Rig) -> None:
    """Only we sign, and a mapping has a name once: what is signed is what is read."""
    signed = rig.keys.signed({**CLAIMS, "sub": 'a","sub":"b'}, KIND)
    middle = base64.urlsafe_b64decode(signed.split(".")[1] + "==")
    assert middle.count(b'"sub"') == 1 and rig.keys.read(signed, KIND)["sub"] == 'a","sub":"b'


def test_a_large_token_costs_little(rig: Rig) -> None:
    header = b64(json.dumps(head(rig)).encode()).decode()
    began = time.process_time()
    refused(rig.keys, f"{header}.{'A' * 4_000_000}.{b64(bytes(64)).decode()}")
    assert time.process_time() - began < 1
