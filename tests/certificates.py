"""Certificates for tests: authorities, and what they issue."""

import functools
import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def name(text: str) -> x509.Name:
    """A name with this common name."""
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests"), x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Pair:
    """A certificate (with those above it that must be sent along) and its key."""

    pem: bytes
    key: bytes

    def save(self, folder: Path, stem: str) -> tuple[str, str]:
        """Writes both, each at once; returns their paths."""
        paths = folder / f"{stem}.pem", folder / f"{stem}.key"
        for path, content in zip(paths, (self.pem, self.key), strict=True):
            partial = path.with_suffix(".partial")
            partial.write_bytes(content)
            partial.replace(path)
        return str(paths[0]), str(paths[1])

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex."""
        return x509.load_pem_x509_certificate(self.pem).fingerprint(hashes.SHA256()).hex()


@dataclass
class Authority:
    """A CA."""

    subject: x509.Name
    issuer: "Authority | None" = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        above = self.issuer or self
        self.certificate = _signed(_builder(self.subject, above.subject, self.key, (-1, 365)), above.key, ca=True)

    @property
    def pem(self) -> bytes:
        """The CA's own certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        common: str,
        sans: tuple[x509.GeneralName, ...] = (),
        days: tuple[int, int] = (-1, 30),
        above: tuple["Authority", ...] = (),
        key: PrivateKey | None = None,
    ) -> Pair:
        """A certificate; `above`: the CAs that are sent along."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name(common), self.subject, key, days)
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        made = _signed(builder, self.key, ca=False)
        chain = b"".join([made.public_bytes(Encoding.PEM), *(one.pem for one in above)])
        return Pair(chain, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def server(self, days: tuple[int, int] = (-1, 30)) -> Pair:
        """A certificate of this machine."""
        return self.issue("localhost", (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))), days)

    def client(self, uri: str, days: tuple[int, int] = (-1, 30)) -> Pair:
        """A caller's certificate."""
        return self.issue("client", (x509.UniformResourceIdentifier(uri),), days)

    def crl(self, *revoked: Pair, days: tuple[float, float] = (-1, 30), by: "Authority | None" = None) -> bytes:
        """A list of revoked certificates (PEM), signed `by` another if that is given."""
        now, (since, ends) = datetime.now(UTC), days
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.subject).last_update(now + timedelta(days=since))
        builder = builder.next_update(now + timedelta(days=ends))
        for pair in revoked:
            number = x509.load_pem_x509_certificate(pair.pem).serial_number
            one = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now + timedelta(days=since))
            builder = builder.add_revoked_certificate(one.build())
        return builder.sign((by or self).key, hashes.SHA256()).public_bytes(Encoding.PEM)


def authority(common: str) -> Authority:
    """A CA of its own."""
    return Authority(name(common))


@functools.cache
def ca(common: str) -> bytes:
    """The certificate of a CA of this name (PEM)."""
    return authority(common).pem


def _builder(subject: x509.Name, issuer: x509.Name, key: PrivateKey, days: tuple[int, int]) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
    return builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True).sign(key, hashes.SHA256())
