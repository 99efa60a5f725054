"""The fleet's own certificate authority: made at first use, its key sealed. It knows no other names than its nodes' and its own."""

import datetime
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bartizan.errors import Invalid, Unavailable
from bartizan.lib.files import made_once
from bartizan.secrets.envelope import Envelope
from bartizan.xds.link import SERVER_NAME

_CONTEXT = "fleet authority"
_CA_YEARS = 20
_SERVER_S = 400 * 86_400.0
_EARLIER_S = 3600.0
"""Certificates count from so long before they are made, because clocks differ."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate, and how it is recognised."""

    pem: bytes
    fingerprint: str
    not_after: float
    """Unix time."""


class Authority:
    """The authority kept in `path`."""

    def __init__(self, path: Path, envelope: Envelope, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        try:
            if not path.exists():
                with envelope.kept():
                    made_once(path, envelope.seal(self._new(), _CONTEXT))
            kept = orjson.loads(envelope.open(path.read_bytes(), _CONTEXT))
        except OSError as error:
            told = f"The fleet's authority {path} can't be used: {error.strerror or error}."
            raise Unavailable(told, code="authority-unusable") from error
        key = load_der_private_key(bytes.fromhex(kept["key"]), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Unavailable(f"The fleet's authority {path} is of another kind than this version makes.", code="authority-unusable")
        self._key = key
        self._certificate = x509.load_der_x509_certificate(bytes.fromhex(kept["certificate"]))

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self._certificate.public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of its certificate."""
        return hashlib.sha256(self._certificate.public_bytes(Encoding.DER)).digest()

    def node(self, request: str, name: str, seconds: float) -> Issued:
        """A certificate for the key in a node's request. Whatever else the request says doesn't count. Invalid if it is none."""
        try:
            asked = x509.load_pem_x509_csr(request.encode())
            sound = asked.is_signature_valid
        except (ValueError, InvalidSignature) as error:
            raise Invalid("The certificate request can't be read.", code="request-malformed") from error
        key = asked.public_key()
        if not sound or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise Invalid("The certificate request has to be signed by a P-256 key.", code="request-malformed")
        return self._issued(name, key, ExtendedKeyUsageOID.CLIENT_AUTH, seconds)

    def server(self) -> tuple[bytes, bytes]:
        """A certificate and its key for the control plane itself, new each time."""
        key = ec.generate_private_key(ec.SECP256R1())
        issued = self._issued(SERVER_NAME, key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH, _SERVER_S)
        return issued.pem, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def _issued(self, name: str, key: ec.EllipticCurvePublicKey, usage: x509.ObjectIdentifier, seconds: float) -> Issued:
        now = self._clock()
        builder = (
            _builder(name, self._certificate.subject, now, seconds)
            .public_key(key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        )
        made = builder.sign(self._key, hashes.SHA256())
        return Issued(made.public_bytes(Encoding.PEM), made.fingerprint(hashes.SHA256()).hex(), made.not_valid_after_utc.timestamp())

    def _new(self) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bartizan fleet")])
        usage = {"key_cert_sign": True, "crl_sign": True, **dict.fromkeys(_OTHER_USAGES, False)}
        builder = (
            _builder("Bartizan fleet", name, self._clock(), _CA_YEARS * 366 * 86_400)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
        )
        made = builder.sign(key, hashes.SHA256())
        private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return orjson.dumps({"key": private.hex(), "certificate": made.public_bytes(Encoding.DER).hex()})


_OTHER_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "encipher_only", "decipher_only"),
)


def _builder(name: str, issuer: x509.Name, now: float, seconds: float) -> x509.CertificateBuilder:
    first, last = (datetime.datetime.fromtimestamp(at, datetime.UTC) for at in (now - _EARLIER_S, now + seconds))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    serial = x509.random_serial_number()
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).serial_number(serial)
    return builder.not_valid_before(first).not_valid_after(last)
