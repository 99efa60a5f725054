"""The gateway's own certificates towards upstreams, where a named secret holds them: each as a Secret of Envoy's, for one use alone."""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bartizan.compile.referring import Reference, towards
from bartizan.envoy import message, names
from bartizan.identity.named import NamedSecrets
from bartizan.identity.pairs import check_pair
from bartizan.model.snapshot import Snapshot

_log = logging.getLogger("bartizan")
_KEY = re.compile(rb"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----.*?-----END ([A-Z]+ )?PRIVATE KEY-----\s*", re.DOTALL)
_NOBODYS = "the upstream gets a certificate of nobody's"
_LASTS = timedelta(days=3650)
Pair = tuple[bytes, bytes]


@dataclass(slots=True)
class _Held:
    version: int
    pair: Pair | None
    error: str


@dataclass(slots=True)
class Towards:
    """The pairs of all that is served. A secret that isn't there, or isn't for this use, gives one that no upstream knows: given none,
    Envoy would go on with what it has."""

    named: NamedSecrets
    _held: dict[Reference, _Held] = field(default_factory=dict)
    _nobody: Pair | None = None

    def bodies(self, snapshots: Iterable[Snapshot]) -> dict[str, bytes]:
        """The serialized Secrets by name."""
        wanted = {one for snapshot in snapshots for one in towards(snapshot)}
        self._held = {one: self._read(one) for one in sorted(wanted, key=str)}
        return {_name(one): _body(_name(one), held.pair or self._unknown()) for one, held in self._held.items()}

    def warnings(self) -> list[str]:
        """What `status` tells. No secret is named."""
        return [f"{one.kind}/{one.owner}: upstream.tls.private_key: {held.error}" for one, held in self._held.items() if held.error]

    def _read(self, one: Reference) -> _Held:
        known = self._held.get(one)
        try:
            found = self.named.used(one.name, one.use)
        except KeyError:
            return _told(one, known, _Held(0, None, f"its secret isn't there, or isn't for this upstream; {_NOBODYS}"))
        if known is not None and known.version == found.version:
            return known
        try:
            pair = pair_of(found.value.reveal().encode())
        except ValueError as error:
            before = known.pair if known is not None else None
            then = "the one before is used on" if before else _NOBODYS
            return _told(one, known, _Held(found.version, before, f"{error}; {then}"))
        return _Held(found.version, pair, "")

    def _unknown(self) -> Pair:
        if self._nobody is None:
            self._nobody = _nobodys()
        return self._nobody


def _name(one: Reference) -> str:
    return names.towards(one.name, one.use)


def _told(one: Reference, known: _Held | None, held: _Held) -> _Held:
    if known is None or known.error != held.error:
        _log.error("%s/%s: %s", one.kind, one.owner, held.error)
    return held


def pair_of(text: bytes) -> Pair:
    """The certificate, with those above it, and the private key that stand in one text. ValueError, without either, if they aren't good."""
    found = _KEY.search(text)
    if found is None:
        raise ValueError("its secret holds no private key in PEM")
    pair = text[: found.start()] + text[found.end() :], found[0]
    check_pair(pair, "the certificate in its secret", "the key in its secret")
    return pair


def _body(name: str, pair: Pair) -> bytes:
    certificate = {"certificate_chain": {"inline_bytes": pair[0]}, "private_key": {"inline_bytes": pair[1]}}
    made = message("envoy.extensions.transport_sockets.tls.v3.Secret", name=name, tls_certificate=certificate)
    return bytes(made.SerializeToString(deterministic=True))


def _nobodys() -> Pair:
    """A certificate that nobody has issued, with a key that nobody keeps."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + _LASTS)
    made = builder.sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
