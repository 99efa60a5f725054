"""Whom client certificates mean."""

from bartizan.compile.client_certificates import listed
from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot
from tests.certificates import ca

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8443"}]
---
kind: Tls
name: web
certificate: a.pem
private_key: {env: KEY}
client_cas: {partners: p.pem}
---
kind: Consumer
name: acme
credentials: [{certificate: {ca: partners, san: spiffe://a}}, {fingerprint: "FF"}]
---
kind: Consumer
name: gone
disabled: true
credentials: [{certificate: {ca: partners, san: spiffe://b}}]
""".replace("FF", "a" * 64)


def _of(text: str) -> Snapshot | list[str]:
    found = assemble([read(text, "x.yaml")], {"p.pem": ca("Partners")})
    return found if isinstance(found, Snapshot) else sorted(problem.code for problem in found)


def test_those_of_disabled_consumers_mean_nobody_else() -> None:
    found = _of(FRAME)
    assert isinstance(found, Snapshot), found
    assert listed(found) == {
        "certificate:partners|spiffe://a": "acme",
        "certificate:sha256=" + "a" * 64: "acme",
        "certificate:partners|spiffe://b": "gone",
    }


def test_mistakes() -> None:
    assert _of(FRAME.replace("spiffe://b", "spiffe://a")) == ["certificate-taken"]
    assert _of(FRAME.replace("ca: partners, san: spiffe://b", "ca: other, san: b")) == ["ca-unknown"]
    assert _of(FRAME.replace("spiffe://b", "a b")) == ["certificate-name"]
