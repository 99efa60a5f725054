"""Names of certificates as text."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from bartizan.lib.distinguished_name import rfc2253


def name(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in pairs])


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("Partners", "Partners"),
        ("a,b+c", r"a\,b\+c"),
        ('"a" <b>;', r"\"a\" \<b\>\;"),
        ("#a#", r"\#a#"),
        (" a b ", r"\ a b\ "),
        ("a\\b", r"a\\b"),
        ("Ü", r"\C3\9C"),
        ("a\x01\x7f", r"a\01\7F"),
        ("a=b", "a=b"),
    ],
)
def test_values_are_escaped(text: str, printed: str) -> None:
    assert rfc2253(name((NameOID.COMMON_NAME, text))) == f"CN={printed}"


def test_the_last_comes_first() -> None:
    assert rfc2253(name((NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Co"), (NameOID.COMMON_NAME, "a"))) == "CN=a,O=Co,C=DE"


def test_several_in_one_part() -> None:
    part = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "a"), x509.NameAttribute(NameOID.USER_ID, "b")])
    assert rfc2253(x509.Name([part])) in {"CN=a+UID=b", "UID=b+CN=a"}


def test_what_is_not_common_is_refused() -> None:
    with pytest.raises(ValueError, match="isn't common"):
        rfc2253(name((NameOID.POSTAL_ADDRESS, "a")))
