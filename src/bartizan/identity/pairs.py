"""Whether a certificate and a private key are a pair that Envoy takes."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

_LEAST_RSA = 2048


def check_pair(pair: tuple[bytes, bytes], certificate: str, private_key: str) -> None:
    """ValueError, with what the two are called and nothing of them, if Envoy wouldn't take them as a pair."""
    chain, key = pair
    try:
        public = x509.load_pem_x509_certificates(chain)[0].public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{certificate} isn't a certificate in PEM") from None
    try:
        own = load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{private_key} isn't a private key in PEM without a password") from None
    curves = (ec.SECP256R1, ec.SECP384R1)
    good_rsa = isinstance(public, rsa.RSAPublicKey) and public.key_size >= _LEAST_RSA
    if not good_rsa and not (isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, curves)):
        raise ValueError(f"the key of {certificate} isn't RSA of 2048 bits or more, nor on P-256 or P-384")
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if own.public_bytes(*form) != public.public_bytes(*form):
        raise ValueError(f"{private_key} isn't the key of {certificate}")
