"""Passkeys (WebAuthn): what a page asks an authenticator, and whether the answer holds. Pure: nothing is read, sent or kept here.

A `RelyingParty` makes options for the page, and beside them a state, a text that the server keeps. An answer counts for its state alone.
Whoever keeps the state forgets it with the first answer, whatever that was, and after `COUNTS_S`: else the answer can be played again.

What is wrong with an answer is told when a passkey is made, to whoever has proved already who they are, and never when it is shown.
Attestation isn't asked for, so which make an authenticator is (`aaguid`) is what it says of itself.
"""

import re
import secrets
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import NamedTuple

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from fido2 import cbor
from fido2.cose import ES256, RS256, CoseKey, EdDSA
from fido2.rpid import verify_rp_id
from fido2.utils import bytes2int, sha256, websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestationConveyancePreference,
    AuthenticatorData,
    AuthenticatorSelectionCriteria,
    CollectedClientData,
    PublicKeyCredentialCreationOptions,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRequestOptions,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from bartizan.errors import Invalid, Unauthenticated

COUNTS_S = 300
"""How long a page has for its answer. Whoever keeps the state lets it count no longer."""
LONGEST_HANDLE = 64
"""Bytes of a user handle."""
_KINDS: Mapping[int, tuple[type[CoseKey], int]] = {ES256.ALGORITHM: (ES256, 2), EdDSA.ALGORITHM: (EdDSA, 1), RS256.ALGORITHM: (RS256, 3)}
"""The algorithms that count, best first: each with its type of keys in COSE."""
_KEY_PARTS = (1, 3, -1, -2, -3)
_RSA_BITS, _EXPONENT_BITS = range(2048, 4097), range(2, 33)
"""What is longer takes long to check."""
_LONGEST = 1 << 16
"""Characters of an answer."""
_LONGEST_PART = 1 << 14
"""Bytes of one of its parts: CBOR is read in time that grows with the square of it."""
_LONGEST_ID = 1023
_ORIGIN = re.compile(r"(https(?!.*:443$)|http(?!.*:80$))://[a-z0-9.-]+(:[1-9][0-9]{0,4})?")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_CREATE, _GET = CollectedClientData.TYPE.CREATE.value, CollectedClientData.TYPE.GET.value
_GARBAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, struct.error, UnsupportedAlgorithm)
"""What reading whatever somebody sent may raise."""
_REFUSED = "That passkey doesn't count here."

Answer = Mapping[str, object] | str
"""What the page sent: `credential.toJSON()`, as its JSON text or read from it."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """A credential that an authenticator made for one person here; nothing of it is secret."""

    id: str
    """Base64url."""
    public_key: str
    """The COSE key, in base64url."""
    count: int
    """The authenticator's counter of signatures; 0 for good with those that don't count."""
    backed_up: bool
    """Whether it exists outside of one device."""
    aaguid: str
    """The make of the authenticator, as it says."""


def thumbprint(passkey: Passkey) -> str:
    """How a passkey is called where its id would be too long: the SHA-256 of its id, in base64url."""
    return websafe_encode(sha256(websafe_decode(passkey.id)))


class _Read(NamedTuple):
    """An answer, read and not yet believed."""

    id: str
    client: CollectedClientData
    authenticator: AuthenticatorData
    signature: bytes
    handle: bytes


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Who asks for passkeys: `host` is what they are bound to, `origin` the one place of pages that may ask for them.

    Raises Invalid if no browser would let that origin ask for that host.
    """

    host: str
    name: str
    """What people are shown."""
    origin: str
    """As browsers write it: `https://login.example.com`, with a port if it isn't 443."""

    def __post_init__(self) -> None:
        if not _ORIGIN.fullmatch(self.origin):
            raise Invalid(f"{self.origin!r} is no origin as browsers write it: https://HOST or https://HOST:PORT.", code="passkey-origin")
        if re.fullmatch(r"[0-9.]+", self.host) or not verify_rp_id(self.host, self.origin):
            why = "it has to be its host or a domain above it, no address, and served with TLS (localhost doesn't have to be)"
            raise Invalid(f"Pages of {self.origin} can't ask for passkeys of {self.host!r}: {why}.", code="passkey-host")

    def creation(self, handle: bytes, name: str, known: Iterable[Passkey]) -> tuple[dict[str, object], str]:
        """Options for `navigator.credentials.create`, as JSON for the page, and the state.

        `handle` (1 to 64 bytes) stands for a person, and should say nothing about them. An authenticator that holds one of the `known`
        makes no other.
        """
        if not 1 <= len(handle) <= LONGEST_HANDLE:
            raise ValueError("a user handle has 1 to 64 bytes")
        ids, challenge = [one.id for one in known], secrets.token_bytes(32)
        options = PublicKeyCredentialCreationOptions(
            rp=PublicKeyCredentialRpEntity(id=self.host, name=self.name),
            user=PublicKeyCredentialUserEntity(id=handle, name=name, display_name=name),
            challenge=challenge,
            pub_key_cred_params=[PublicKeyCredentialParameters(type=PublicKeyCredentialType.PUBLIC_KEY, alg=alg) for alg in _KINDS],
            timeout=COUNTS_S * 1000,
            exclude_credentials=_described(ids),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
            attestation=AttestationConveyancePreference.NONE,
        )
        return orjson.loads(orjson.dumps(dict(options))), _state(_CREATE, challenge, ids)

    def created(self, state: str, answer: Answer) -> Passkey:
        """The passkey that an authenticator made. Raises Invalid, with a message for whoever wanted it, if the answer doesn't hold.

        That nobody else has a passkey of this id is for whoever keeps them to see to.
        """
        read, (challenge, ids) = _read(answer, _CREATE), _asked(state, _CREATE)
        self._check(read, _CREATE, challenge)
        _unless(ids is not None and read.id not in ids, "known")
        made = read.authenticator.credential_data
        if made is None or websafe_encode(made.credential_id) != read.id:
            raise Invalid(_WHY["malformed"], code="passkey-malformed")
        return Passkey(
            read.id,
            websafe_encode(cbor.encode(_sound(made.public_key))),
            read.authenticator.counter,
            read.authenticator.is_backed_up(),
            str(made.aaguid),
        )

    def request(self, known: Iterable[Passkey] | None) -> tuple[dict[str, object], str]:
        """Options for `navigator.credentials.get`, as JSON for the page, and the state.

        One of the `known` has to be shown: none counts, if there are none. With None it is any that an authenticator holds for this host,
        and the answer names whose it is.
        """
        ids, challenge = None if known is None else [one.id for one in known], secrets.token_bytes(32)
        options = PublicKeyCredentialRequestOptions(
            challenge=challenge,
            timeout=COUNTS_S * 1000,
            rp_id=self.host,
            allow_credentials=None if ids is None else _described(ids),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return orjson.loads(orjson.dumps(dict(options))), _state(_GET, challenge, ids)

    @staticmethod
    def holder(answer: Answer) -> tuple[str, bytes]:
        """The passkey's id and the user handle (empty if there is none) that an answer names, to look up what to give to `shown`.

        Nothing of it is verified, and no signature covers the handle: the person is whoever the passkey of this id belongs to, and a handle
        that names somebody else is a reason to refuse. Raises Unauthenticated for what is no answer.
        """
        try:
            read = _read(answer, _GET)
        except Invalid as exc:
            raise Unauthenticated(_REFUSED) from exc
        return read.id, read.handle

    def shown(self, state: str, answer: Answer, passkey: Passkey) -> Passkey:
        """The passkey as it is after it was shown: keep it, for its counter.

        Raises Unauthenticated in all other cases, not told apart; `__cause__` knows why. A counter that didn't grow is a sign of a copied
        authenticator, and refused.
        """
        key = CoseKey.parse(cbor.decode(websafe_decode(passkey.public_key)))  # type: ignore[arg-type]  # what `created` wrote
        try:
            read, (challenge, ids) = _read(answer, _GET), _asked(state, _GET)
            self._check(read, _GET, challenge)
            _unless(read.id == passkey.id and (ids is None or read.id in ids), "other")
            key.verify(read.authenticator + read.client.hash, read.signature)
            count, backed_up = read.authenticator.counter, read.authenticator.is_backed_up()
            _unless(count > passkey.count or count == passkey.count == 0, "copied")
            _unless(read.authenticator.is_backup_eligible() or not passkey.backed_up, "changed")
        except (Invalid, InvalidSignature) as exc:
            raise Unauthenticated(_REFUSED) from exc
        return replace(passkey, count=count, backed_up=backed_up)

    def _check(self, read: _Read, kind: str, challenge: bytes) -> None:
        """What holds for both kinds of answers. Raises Invalid."""
        client, authenticator = read.client, read.authenticator
        _unless(client.type == kind and compare_digest(client.challenge, challenge), "question")
        _unless(client.origin == self.origin and not client.cross_origin, "origin")
        _unless(compare_digest(authenticator.rp_id_hash, sha256(self.host.encode())), "host")
        _unless(authenticator.is_user_present() and authenticator.is_user_verified(), "unverified")
        _unless(authenticator.is_backup_eligible() or not authenticator.is_backed_up(), "malformed")


_WHY = {
    "question": "That answers another question, or an old one. Load the page again and repeat it.",
    "origin": "That was answered on another page than this one.",
    "host": "That is a passkey of another site.",
    "unverified": "The authenticator didn't check that it is you. Set a PIN, a fingerprint or your face up on it, and repeat it.",
    "algorithm": "The authenticator can't make a key that counts here: it has to be ES256, EdDSA or RS256 of 2048 bits or more.",
    "known": "This authenticator holds a passkey of yours already.",
    "malformed": "That is no answer of an authenticator.",
    "other": "It is another passkey than was asked for.",
    "copied": "Its counter didn't grow: there may be a copy of it.",
    "changed": "It was backed up before, and says now that it can't be.",
}


def _unless(holds: bool, code: str) -> None:
    if not holds:
        raise Invalid(_WHY[code], code=f"passkey-{code}")


def _described(ids: Iterable[str]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(type=PublicKeyCredentialType.PUBLIC_KEY, id=websafe_decode(one)) for one in ids]


def _state(kind: str, challenge: bytes, ids: list[str] | None) -> str:
    return orjson.dumps({"kind": kind, "challenge": websafe_encode(challenge), "ids": ids}).decode()


def _asked(state: str, kind: str) -> tuple[bytes, list[str] | None]:
    """The challenge and the ids that a state holds. Raises Invalid if it isn't of this kind."""
    try:
        held = orjson.loads(state)
        found = websafe_decode(held["challenge"]), held["ids"], held["kind"]
    except _GARBAGE as exc:
        raise Invalid(_WHY["question"], code="passkey-question") from exc
    _unless(found[2] == kind, "question")
    return found[0], found[1]


def _read(answer: Answer, kind: str) -> _Read:
    """The answer, read. Raises Invalid for what is none."""
    try:
        return _parts(answer, kind)
    except _GARBAGE as exc:
        raise Invalid(_WHY["malformed"], code="passkey-malformed") from exc


def _parts(answer: Answer, kind: str) -> _Read:
    """Each part is looked at before the library sees it: a number where it expects a text would have it allocate so many bytes."""
    if isinstance(answer, str) and len(answer) > _LONGEST:
        raise ValueError("too long")
    told = _mapping(orjson.loads(answer) if isinstance(answer, str) else answer)
    response, ident = _mapping(told["response"]), websafe_encode(_bytes(told["id"], _LONGEST_ID))
    if told["type"] != PublicKeyCredentialType.PUBLIC_KEY.value or not told["id"] == told["rawId"] == ident:
        raise ValueError("no credential")
    client = _client(_bytes(response["clientDataJSON"]))
    if kind == _CREATE:
        return _Read(ident, client, _attested(_bytes(response["attestationObject"])), b"", b"")
    handle = response.get("userHandle")
    found = b"" if handle is None or handle == "" else _bytes(handle, LONGEST_HANDLE)
    return _Read(ident, client, AuthenticatorData(_bytes(response["authenticatorData"])), _bytes(response["signature"]), found)


def _mapping(found: object) -> Mapping[str, object]:
    if not isinstance(found, Mapping):
        raise TypeError("no mapping")
    return found


def _bytes(text: object, longest: int = _LONGEST_PART) -> bytes:
    """What a text in base64url stands for."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        raise ValueError("no base64url")
    found = websafe_decode(text)
    if len(found) > longest:
        raise ValueError("too long")
    return found


def _client(raw: bytes) -> CollectedClientData:
    """What the browser says of its page."""
    if not isinstance(_mapping(orjson.loads(raw))["challenge"], str):
        raise TypeError("no challenge")
    return CollectedClientData(raw)


def _attested(raw: bytes) -> AuthenticatorData:
    """What the authenticator says of what it made. Its attestation isn't asked for, so it isn't looked at."""
    found = _mapping(cbor.decode(raw))["authData"]
    if not isinstance(found, bytes):
        raise TypeError("no bytes")
    return AuthenticatorData(found)


def _sound(key: CoseKey) -> dict[int, object]:
    """The key, without what isn't of it. Raises Invalid if signatures by it can't be checked, or are too weak or too dear to check."""
    try:
        kind, of = _KINDS[key[3]]
        _unless(key[1] == of, "algorithm")
        if kind is RS256:
            _unless(bytes2int(key[-1]).bit_length() in _RSA_BITS and bytes2int(key[-2]).bit_length() in _EXPONENT_BITS, "algorithm")
        kind(key).verify(b"", b"")  # raises something else if the key is none
    except InvalidSignature:
        return {part: key[part] for part in _KEY_PARTS if part in key}
    except _GARBAGE as exc:
        raise Invalid(_WHY["algorithm"], code="passkey-algorithm") from exc
    raise Invalid(_WHY["algorithm"], code="passkey-algorithm")
