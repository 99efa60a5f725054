"""The fleet's own authority: what it certifies, and what it doesn't."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bartizan.errors import Invalid
from bartizan.fleet.authority import Authority
from bartizan.secrets.envelope import CannotOpen, Envelope

ENVELOPE = Envelope(bytes(range(32)))
NOW = 1_800_000_000.0


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "whoever") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def test_a_node_is_what_we_say_and_not_what_it_asks_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", ENVELOPE, lambda: NOW)
    issued = authority.node(request(ec.generate_private_key(ec.SECP256R1()), "admin"), "edge", 60)
    made = x509.load_pem_x509_certificate(issued.pem)
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pem))
    assert made.subject.rfc4514_string() == "CN=edge"
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert made.not_valid_after_utc.timestamp() == issued.not_after == NOW + 60
    assert made.fingerprint(hashes.SHA256()).hex() == issued.fingerprint


def test_requests_that_are_none_or_of_weak_keys_are_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", ENVELOPE)
    for bad in ("", "junk", request(rsa.generate_private_key(65537, 2048)), request(ec.generate_private_key(ec.SECP384R1()))):
        with pytest.raises(Invalid):
            authority.node(bad, "edge", 60)


def test_it_is_kept_sealed_and_the_same(tmp_path: Path) -> None:
    path = tmp_path / "authority"
    fingerprint = Authority(path, ENVELOPE).fingerprint
    assert Authority(path, ENVELOPE).fingerprint == fingerprint
    assert b"certificate" not in path.read_bytes() and path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CannotOpen):
        Authority(path, Envelope(bytes(32)))


def test_the_control_planes_own_certificate_is_a_servers(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path / "authority", ENVELOPE).server()
    made = x509.load_pem_x509_certificate(certificate)
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
