"""Passkeys: what is asked, what holds, and each way in which an answer can be wrong."""

import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.cose import ES256
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import PublicKeyCredentialCreationOptions, PublicKeyCredentialRequestOptions
from hypothesis import given, settings
from hypothesis import strategies as st

from bartizan.errors import Invalid, Unauthenticated
from bartizan.identity.passkeys import Passkey, RelyingParty
from tests.authenticator import BE, BS, UP, UV, Authenticator, cose, new_key

ORIGIN, HOST, HANDLE = "https://login.example.com:8443", "example.com", b"\x00\xff" * 16
PARTY = RelyingParty(HOST, "Example", ORIGIN)


def made(**fields: Any) -> tuple[Authenticator, Passkey]:
    authenticator = Authenticator(ORIGIN, HOST, **fields)
    options, state = PARTY.creation(HANDLE, "ada", [])
    return authenticator, PARTY.created(state, authenticator.create(options))


def b64(value: object) -> str:
    return websafe_encode(value if isinstance(value, bytes) else json.dumps(value).encode())


def test_options_are_what_browsers_read() -> None:
    _, known = made()
    options, _ = PARTY.creation(HANDLE, "ada", [known])
    assert json.loads(json.dumps(options)) == options
    assert options["rp"] == {"id": HOST, "name": "Example"}
    assert options["user"] == {"id": websafe_encode(HANDLE), "name": "ada", "displayName": "ada"}
    assert [one["alg"] for one in options["pubKeyCredParams"]] == [-7, -8, -257]  # type: ignore[index, attr-defined]
    assert options["excludeCredentials"] == [{"type": "public-key", "id": known.id}]
    chosen = options["authenticatorSelection"]
    assert chosen == {"residentKey": "required", "requireResidentKey": True, "userVerification": "required"}
    assert (options["attestation"], options["timeout"]) == ("none", 300_000)
    assert PublicKeyCredentialCreationOptions.from_dict(options).user.id == HANDLE
    asked, _ = PARTY.request([known])
    assert asked["allowCredentials"] == [{"type": "public-key", "id": known.id}]
    assert (asked["rpId"], asked["userVerification"]) == (HOST, "required")
    assert PublicKeyCredentialRequestOptions.from_dict(asked).rp_id == HOST
    assert "allowCredentials" not in PARTY.request(None)[0]


def test_no_two_questions_are_the_same() -> None:
    asked = [PARTY.creation(HANDLE, "ada", [])[0]["challenge"], *(PARTY.request(None)[0]["challenge"] for _ in range(3))]
    assert len(set(asked)) == 4
    assert all(len(websafe_decode(str(one))) == 32 for one in asked)


@pytest.mark.parametrize("kind", ["ES256", "EdDSA", "RS256"])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_passkey_is_made_and_shown(kind: str, as_text: bool) -> None:
    authenticator, passkey = made(key=new_key(kind), flags=UP | UV | BE | BS)
    assert (passkey.id, passkey.count, passkey.backed_up) == (websafe_encode(authenticator.ident), 1, True)
    assert passkey.aaguid == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    kept = Passkey(**json.loads(json.dumps(asdict(passkey))))
    assert kept == passkey
    for known in ([kept], None):
        options, state = PARTY.request(known)
        answer = authenticator.get(options)
        sent = json.dumps(answer) if as_text else answer
        assert PARTY.holder(sent) == (passkey.id, HANDLE)
        kept = PARTY.shown(state, sent, kept)
    assert kept == replace(passkey, count=3)


def test_an_authenticator_without_a_counter_counts() -> None:
    authenticator, passkey = made(step=0)
    for _ in range(2):
        options, state = PARTY.request([passkey])
        assert PARTY.shown(state, authenticator.get(options), passkey) == passkey


def test_an_answer_without_a_handle_names_none() -> None:
    authenticator, passkey = made()
    authenticator.handle = None
    options, state = PARTY.request([passkey])
    answer = authenticator.get(options)
    for handle in ({}, {"userHandle": None}, {"userHandle": ""}):
        told = answer | {"response": answer["response"] | handle}
        assert PARTY.holder(told) == (passkey.id, b"")
        assert PARTY.shown(state, told, passkey).count == 2


def test_backed_up_is_what_was_said_last() -> None:
    authenticator, passkey = made(flags=UP | UV | BE)
    assert not passkey.backed_up
    authenticator.flags = UP | UV | BE | BS
    options, state = PARTY.request([passkey])
    assert PARTY.shown(state, authenticator.get(options), passkey).backed_up


LIES: dict[str, dict[str, Any]] = {
    "another origin": {"origin": "https://login.example.com"},
    "another port": {"origin": "https://login.example.com:8444"},
    "the origin with a dot": {"origin": "https://login.example.com.:8443"},
    "an origin that begins so": {"origin": ORIGIN + ".evil.example"},
    "the origin in capitals": {"origin": ORIGIN.upper()},
    "without TLS": {"origin": "http://login.example.com:8443"},
    "no origin": {"client": {"origin": None}},
    "many origins": {"client": {"origin": [ORIGIN]}},
    "in a frame": {"client": {"crossOrigin": True}},
    "another host": {"host": "login.example.com"},
    "another challenge": {"client": {"challenge": websafe_encode(bytes(32))}},
    "an empty challenge": {"client": {"challenge": ""}},
    "another type": {"client": {"type": "payment.get"}},
    "no type": {"client": {"type": None}},
    "nobody there": {"flags": UV},
    "not verified": {"flags": UP},
    "backed up and never could be": {"flags": UP | UV | BS},
}
CODES = {
    "another host": "passkey-host",
    "nobody there": "passkey-unverified",
    "not verified": "passkey-unverified",
    "backed up and never could be": "passkey-malformed",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_makes_no_passkey(lie: str) -> None:
    authenticator = Authenticator(ORIGIN, HOST)
    for name, value in LIES[lie].items():
        setattr(authenticator, name, value)
    options, state = PARTY.creation(HANDLE, "ada", [])
    with pytest.raises(Invalid) as refused:
        PARTY.created(state, authenticator.create(options))
    about = "passkey-question" if "type" in lie or "challenge" in lie else "passkey-origin"
    assert refused.value.code == CODES.get(lie, about)
    assert refused.value.message.endswith(".")


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_shows_none(lie: str) -> None:
    authenticator, passkey = made()
    for name, value in LIES[lie].items():
        setattr(authenticator, name, value)
    options, state = PARTY.request([passkey])
    refused(state, authenticator.get(options), passkey)


def refused(state: str, answer: Any, passkey: Passkey) -> None:
    """No answer that is refused can be told from another."""
    with pytest.raises(Unauthenticated) as found:
        PARTY.shown(state, answer, passkey)
    assert (found.value.message, found.value.code) == ("That passkey doesn't count here.", "unauthenticated")
    assert found.value.__cause__ is not None


def test_another_question_isnt_answered() -> None:
    authenticator, passkey = made()
    options, state = PARTY.request([passkey])
    answer = authenticator.get(options)
    _, other = PARTY.request([passkey])
    _, creation = PARTY.creation(HANDLE, "ada", [])
    wrong = json.loads(state) | {"kind": "webauthn.create"}
    for bad in (other, creation, json.dumps(wrong), "", "null", "[]", "{}", '{"kind":"webauthn.get","challenge":1,"ids":null}', "\0", "é"):
        refused(bad, answer, passkey)
    assert PARTY.shown(state, answer, passkey).count == 2


def test_what_was_shown_doesnt_make_one_and_the_other_way_round() -> None:
    authenticator, passkey = made()
    options, state = PARTY.request(None)
    made_options, made_state = PARTY.creation(HANDLE, "ada", [])
    shown, created = authenticator.get(options), authenticator.create(made_options)
    for bad_state in (state, made_state, ""):
        with pytest.raises(Invalid):
            PARTY.created(bad_state, shown)
    refused(made_state, created, passkey)
    with pytest.raises(Invalid) as found:
        PARTY.created(state, created)
    assert found.value.code == "passkey-question"


def test_another_passkey_isnt_the_one_that_was_asked_for() -> None:
    (mine, passkey), (theirs, other) = made(), made()
    options, state = PARTY.request([passkey])
    refused(state, theirs.get(options), other)  # theirs, rightly signed, but nobody asked for it
    refused(state, theirs.get(options), passkey)
    mine_told = mine.get(options)
    refused(state, mine_told, other)
    refused(state, mine_told | {"id": other.id, "rawId": other.id}, other)
    _, any_of_them = unasked = PARTY.request(None)
    refused(any_of_them, mine.get(unasked[0]) | {"id": other.id, "rawId": other.id}, passkey)  # no signature covers the id
    theirs.ident = mine.ident
    refused(state, theirs.get(options), passkey)  # the id of mine, signed by their key
    nothing_known, none = PARTY.request([])
    assert nothing_known["allowCredentials"] == []
    refused(none, mine.get(nothing_known), passkey)


def test_what_was_signed_cant_be_changed() -> None:
    authenticator, passkey = made()
    options, state = PARTY.request([passkey])
    answer = authenticator.get(options)
    said = websafe_decode(answer["response"]["authenticatorData"])
    client = json.loads(websafe_decode(answer["response"]["clientDataJSON"]))
    changed = [
        {"authenticatorData": b64(said[:-1] + b"\x99")},
        {"authenticatorData": b64(said + b"\0")},
        {"clientDataJSON": b64(client | {"more": 1})},
        {"signature": b64(websafe_decode(answer["response"]["signature"])[:-1] + b"\0")},
        {"signature": b64(b"\x30\x06\x02\x01\x00\x02\x01\x00")},  # r and s are 0
        {"signature": b64(b"\0")},
        {"signature": ""},
    ]
    for one in changed:
        refused(state, answer | {"response": answer["response"] | one}, passkey)


def test_flags_that_were_set_afterwards_dont_count() -> None:
    authenticator, passkey = made()
    authenticator.flags = UP
    options, state = PARTY.request([passkey])
    answer = authenticator.get(options)
    said = bytearray(websafe_decode(answer["response"]["authenticatorData"]))
    said[32] |= UV
    refused(state, answer | {"response": answer["response"] | {"authenticatorData": b64(bytes(said))}}, passkey)


@pytest.mark.parametrize(("kept", "told"), [(5, 5), (5, 4), (5, 0), (1, 1), (2**32 - 1, 1)])
def test_a_counter_that_doesnt_grow_is_a_copy(kept: int, told: int) -> None:
    authenticator, passkey = made()
    authenticator.count, authenticator.step = told, 0
    options, state = PARTY.request([passkey])
    refused(state, authenticator.get(options), replace(passkey, count=kept))


@pytest.mark.parametrize(("kept", "told"), [(0, 1), (4, 5), (0, 2**32 - 1), (0, 0)])
def test_a_counter_that_grows_is_none(kept: int, told: int) -> None:
    authenticator, passkey = made()
    authenticator.count, authenticator.step = told, 0
    options, state = PARTY.request([passkey])
    assert PARTY.shown(state, authenticator.get(options), replace(passkey, count=kept)).count == told


def test_what_was_backed_up_cant_become_unable_to() -> None:
    authenticator, passkey = made(flags=UP | UV | BE | BS)
    authenticator.flags = UP | UV
    options, state = PARTY.request([passkey])
    refused(state, authenticator.get(options), passkey)


def test_a_known_one_isnt_made_again() -> None:
    authenticator, passkey = made()
    options, state = PARTY.creation(HANDLE, "ada", [passkey])
    with pytest.raises(Invalid) as found:
        PARTY.created(state, authenticator.create(options))
    assert found.value.code == "passkey-known"


P256 = cose(new_key("ES256"))
RSA = cose(new_key("RS256"))
KEYS: dict[str, dict[Any, Any]] = {
    "ES384": {1: 2, 3: -35, -1: 2, -2: b"x" * 48, -3: b"y" * 48},
    "an algorithm nobody knows": {1: 2, 3: -70000, -1: 1, -2: b"x", -3: b"y"},
    "an algorithm that is no number": {1: 2, 3: "ES256"},
    "a list for an algorithm": {1: 2, 3: [-7]},
    "ES256 by its other number": P256 | {3: -9},
    "a point that isn't on the curve": P256 | {-2: b"\x01" * 32},
    "another curve": P256 | {-1: 2},
    "another type of key": P256 | {1: 3},
    "no type of key": {k: v for k, v in P256.items() if k != 1},
    "half a point": {k: v for k, v in P256.items() if k != -3},
    "a number for a point": P256 | {-2: 10**9},
    "a short Ed25519 key": {1: 1, 3: -8, -1: 6, -2: b"x" * 31},
    "an Ed448 curve": {1: 1, 3: -8, -1: 7, -2: b"x" * 57},
    "a short RSA key": {1: 3, 3: -257, -1: b"\xc1" * 128, -2: b"\1\0\1"},
    "a short RSA key made long": RSA | {-1: bytes(200) + RSA[-1][:56]},
    "an RSA key that is too long": RSA | {-1: b"\xff" * 1025},
    "an exponent of 1": RSA | {-2: b"\1"},
    "an exponent that is too long": RSA | {-2: b"\1" * 200},
}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_cant_be_checked_makes_none(key: str) -> None:
    authenticator = Authenticator(ORIGIN, HOST, public=KEYS[key])
    options, state = PARTY.creation(HANDLE, "ada", [])
    with pytest.raises(Invalid) as found:
        PARTY.created(state, authenticator.create(options))
    assert found.value.code == "passkey-algorithm", found.value.message


def test_of_a_key_only_what_it_needs_is_kept() -> None:
    _, passkey = made(public=P256 | {2: b"id" * 2000, -70: "more"})
    assert cbor.decode(websafe_decode(passkey.public_key)) == P256


def test_no_attestation_is_needed_nor_believed() -> None:
    authenticator = Authenticator(ORIGIN, HOST)
    options, state = PARTY.creation(HANDLE, "ada", [])
    answer = authenticator.create(options)
    told = dict(cbor.decode(websafe_decode(answer["response"]["attestationObject"])))  # type: ignore[arg-type]
    told |= {"fmt": "packed", "attStmt": {"alg": -7, "sig": b"wrong"}}
    sent = answer | {"response": answer["response"] | {"attestationObject": b64(cbor.encode(told))}}
    assert PARTY.created(state, sent).id == websafe_encode(authenticator.ident)


def _same(ident: str) -> dict[str, str]:
    """An id that lenient readers take for the same: it differs in bits behind the last byte."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = ident[:-1] + letters[letters.index(ident[-1]) + 1]
    assert websafe_decode(other) == websafe_decode(ident)
    return {"id": other, "rawId": other}


def test_the_id_is_the_one_that_was_attested() -> None:
    authenticator = Authenticator(ORIGIN, HOST)
    options, state = PARTY.creation(HANDLE, "ada", [])
    answer = authenticator.create(options)
    other = websafe_encode(os.urandom(32))
    for ids in (
        {"id": other},
        {"rawId": other},
        {"id": other, "rawId": other},
        {"id": answer["id"] + "=", "rawId": answer["id"] + "="},
        _same(answer["id"]),
        {"id": _same(answer["id"])["id"]},
    ):
        with pytest.raises(Invalid) as found:
            PARTY.created(state, answer | ids)
        assert found.value.code == "passkey-malformed"


@pytest.mark.parametrize("ident", [b"", b"x" * 1024])
def test_an_id_has_a_length(ident: bytes) -> None:
    authenticator = Authenticator(ORIGIN, HOST, ident=ident)
    options, state = PARTY.creation(HANDLE, "ada", [])
    with pytest.raises(Invalid):
        PARTY.created(state, authenticator.create(options))


def _deep(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


GARBAGE: list[Callable[[dict[str, Any]], Any]] = [
    lambda _: None,
    lambda _: 7,
    lambda _: [],
    lambda _: {},
    lambda _: "",
    lambda _: "{",
    lambda _: "null",
    lambda _: "[]",
    lambda _: "\ud800",
    lambda _: '{"id":' * 5000,
    lambda _: "[" * 60000,
    lambda told: json.dumps(told) + " " * 70000,
    lambda told: told | {"type": "password"},
    lambda told: told | {"type": None},
    lambda told: told | {"response": None},
    lambda told: told | {"response": [1]},
    lambda told: told | {"id": 10**10, "rawId": 10**10},
    lambda told: told | {"id": None, "rawId": None},
    lambda told: told | {"id": "é", "rawId": "é"},
    lambda told: told | {"id": "a", "rawId": "a"},
    lambda told: {key: value for key, value in told.items() if key != "rawId"},
]


@pytest.mark.parametrize("number", range(len(GARBAGE)))
def test_garbage_is_no_answer(number: int) -> None:
    authenticator, passkey = made()
    options, state = PARTY.request(None)
    answer = GARBAGE[number](authenticator.get(options))
    refused(state, answer, passkey)
    with pytest.raises(Unauthenticated):
        PARTY.holder(answer)
    options, state = PARTY.creation(HANDLE, "ada", [])
    with pytest.raises(Invalid) as found:
        PARTY.created(state, GARBAGE[number](Authenticator(ORIGIN, HOST).create(options)))
    assert found.value.code == "passkey-malformed"


PARTS: list[Any] = [
    None,
    0,
    10**10,
    True,
    "",
    "=",
    "a",
    "A" * 30000,
    [],
    {},
    b64(b"\0"),
    b64(None),
    b64(10**10),
    b64([]),
    b64({"type": "webauthn.get", "challenge": 10**10, "origin": ORIGIN}),
    b64({"type": "webauthn.get", "challenge": None, "origin": ORIGIN}),
    b64({"type": {}, "challenge": "AA", "origin": {}}),
    b64({"challenge": "AA"}),
    b64(b'{"challenge":"AA","type":"webauthn.get","origin":' + b"[" * 9000),
    b64(b"\xef\xbb\xbf{}"),
    b64(b"\x81" * 16000),  # CBOR: lists in lists
    b64(b"\xa1\x68authData\x1b\x00\x00\x00\x02\x00\x00\x00\x00"),  # a number, where bytes belong
    b64(cbor.encode({"fmt": "none", "attStmt": {}, "authData": "text"})),
    b64(cbor.encode({"fmt": "none", "attStmt": {}, "authData": b"short"})),
    b64(b"\xa1\xa0\x00"),  # a map for a key
    b64(b"\xfb" + bytes(8)),
    b64(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
    b64(b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff"),
    b64(hashlib.sha256(HOST.encode()).digest() + b"\x45" + bytes(4) + bytes(16) + b"\x00\x10" + bytes(16) + cbor.encode([1])),
    b64(hashlib.sha256(HOST.encode()).digest() + b"\x45" + bytes(4) + bytes(16) + b"\xff\xff"),
]


@pytest.mark.parametrize("number", range(len(PARTS)))
def test_garbage_for_a_part_is_none_and_costs_little(number: int) -> None:
    authenticator, passkey = made()
    options, state = PARTY.request(None)
    answer = authenticator.get(options)
    creation, kept = PARTY.creation(HANDLE, "ada", [])
    created = Authenticator(ORIGIN, HOST).create(creation)
    tracemalloc.start()
    try:
        for part in ("clientDataJSON", "authenticatorData", "signature"):
            refused(state, answer | {"response": answer["response"] | {part: PARTS[number]}}, passkey)
        for part in ("clientDataJSON", "attestationObject"):
            with pytest.raises(Invalid) as found:
                PARTY.created(kept, created | {"response": created["response"] | {part: PARTS[number]}})
            assert found.value.code in {"passkey-malformed", "passkey-question"}
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    if PARTS[number] not in (None, ""):
        with pytest.raises(Unauthenticated):
            PARTY.holder(answer | {"response": answer["response"] | {"userHandle": [PARTS[number]]}})


def test_a_handle_has_a_length() -> None:
    authenticator, _ = made()
    authenticator.handle = bytes(65)
    with pytest.raises(Unauthenticated):
        PARTY.holder(authenticator.get(PARTY.request(None)[0]))
    for handle in (b"", bytes(65)):
        with pytest.raises(ValueError, match="1 to 64"):
            PARTY.creation(handle, "ada", [])


SHOWN, PASSKEY = made()
QUESTION, STATE = PARTY.request(None)
GOOD = SHOWN.get(QUESTION)
CREATION, CREATION_STATE = PARTY.creation(HANDLE, "ada", [])
CREATED = Authenticator(ORIGIN, HOST).create(CREATION)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_byte_never_passes_and_nothing_else_is_raised(data: st.DataObject) -> None:
    for state, answer, of in ((STATE, GOOD, PASSKEY), (CREATION_STATE, CREATED, None)):
        changed = deepcopy(answer)
        part = data.draw(st.sampled_from(sorted(set(changed["response"]) - {"userHandle"})))
        raw = bytearray(websafe_decode(changed["response"][part]))
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        changed["response"][part] = websafe_encode(bytes(raw))
        if changed == answer:
            continue
        try:
            if of is None:
                PARTY.created(state, changed)  # nothing is signed here: another key is another passkey
            else:
                PARTY.shown(state, changed, of)
                raise AssertionError(f"{part} was changed at {at}")
        except (Invalid, Unauthenticated):
            pass


def test_a_broken_record_of_ours_isnt_taken_for_a_wrong_answer() -> None:
    with pytest.raises((ValueError, LookupError, AttributeError)):
        PARTY.shown(STATE, GOOD, replace(PASSKEY, public_key="AA"))


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost", "http://localhost:1234"),
        ("localhost", "http://localhost"),
        ("example.com", "https://example.com"),
        ("example.com", "https://a.b.example.com:8443"),
        ("a.example.com", "https://a.example.com"),
    ],
)
def test_who_may_ask(host: str, origin: str) -> None:
    assert RelyingParty(host, "x", origin).request(None)[0]["rpId"] == host


@pytest.mark.parametrize(
    ("host", "origin", "code"),
    [
        ("example.com", "https://example.com/", "passkey-origin"),
        ("example.com", "https://example.com:443", "passkey-origin"),
        ("localhost", "http://localhost:80", "passkey-origin"),
        ("example.com", "https://EXAMPLE.com", "passkey-origin"),
        ("example.com", "https://user@example.com", "passkey-origin"),
        ("example.com", "https://example.com\n", "passkey-origin"),
        ("example.com", "example.com", "passkey-origin"),
        ("example.com", "null", "passkey-origin"),
        ("example.com", "http://example.com", "passkey-host"),
        ("example.com", "https://notexample.com", "passkey-host"),
        ("a.example.com", "https://example.com", "passkey-host"),
        ("com", "https://example.com", "passkey-host"),
        ("co.uk", "https://example.co.uk", "passkey-host"),
        ("", "https://example.com", "passkey-host"),
        ("127.0.0.1", "https://127.0.0.1:8443", "passkey-host"),
        ("127.0.0.1", "http://127.0.0.1:8443", "passkey-host"),
    ],
)
def test_who_may_not_ask(host: str, origin: str, code: str) -> None:
    with pytest.raises(Invalid) as found:
        RelyingParty(host, "x", origin)
    assert found.value.code == code


def test_the_software_authenticator_makes_other_keys_than_it_tells() -> None:
    """Else tests of wrong signatures would show nothing."""
    key = ec.generate_private_key(ec.SECP256R1())
    authenticator, passkey = made(public=dict(ES256.from_cryptography_key(key.public_key())))
    options, state = PARTY.request([passkey])
    refused(state, authenticator.get(options), passkey)
