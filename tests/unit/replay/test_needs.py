"""What policies ask for is read off what they compile to."""

import json
from typing import Any

import pytest

from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot
from bartizan.policies import KINDS, PolicyKind
from bartizan.replay.needs import needs

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string, level: number, staff: bool, regions: list, acr: string, auth_time: number}
places: {city: a.mmdb, network: b.mmdb, anonymous: c.mmdb}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:1"}
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {keys: []}
attributes: {acr: acr, auth_time: auth_time}
---
"""


def of(text: str, files: dict[str, bytes] | None = None) -> frozenset[str]:
    found = assemble([read(FRAME + text, "gateway.yaml")], files or {})
    assert isinstance(found, Snapshot), found
    (policy,) = found.policies
    assert isinstance(policy, PolicyKind)
    return needs(policy, "orders", found)


@pytest.mark.parametrize(
    ("allow", "wanted"),
    [
        ('principal.plan == "gold"', {"principal.plan"}),
        (
            'principal.level >= 5 && principal.staff || "eu" in principal.regions',
            {"principal.level", "principal.staff", "principal.regions"},
        ),
        ('now.between("09:00", "17:00", "Europe/Berlin")', {"now"}),
        ('now.hour("UTC") < 5', {"now"}),
        ('source.ip.within(["10.0.0.0/8"]) && now.date("UTC") > "2026-01-01"', {"source.ip", "now"}),
        ('request.headers["X-Tenant"] == principal.id', {'request.headers["x-tenant"]', "principal.id"}),
        ("has(request.headers.cookie)", {'request.headers["cookie"]'}),
        ("request.size < 5", {"request.size"}),
        ('request.query.contains("x")', {"request.query", "request.path"}),
        ('device.certificate == "' + "a" * 64 + '"', {"device.certificate"}),
        ('device.type != "bot" && device.ja4 == "x"', {"device.type", "device.ja4"}),
        ('request.host == "a.example.com" && request.path.startsWith("/orders/x")', {"request.host", "request.path"}),
        (
            'request.method == "GET" ? principal.plan == "a" : request.scheme == "https"',
            {"request.method", "principal.plan", "request.scheme"},
        ),
        ("size(request.path) > principal.level", {"request.path", "principal.level"}),
        ('source.country == "DE" && !source.tor && source.asn != 1', {"source.country", "source.tor", "source.asn"}),
        ("size(source.city) < 5 || has(source.region)", {"source.city", "source.region"}),
    ],
)
def test_of_conditions(allow: str, wanted: set[str]) -> None:
    assert of(f"{{kind: Authorize, name: one, allow: {json.dumps(allow)}}}") == wanted


def document(**condition: Any) -> str:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "*", "Condition": condition}
    policy = {"kind": "ResourcePolicy", "name": "aws", "document": {"Version": "2012-10-17", "Statement": [statement]}}
    return json.dumps(policy)


def test_of_documents() -> None:
    assert "source.ip" in of(document(IpAddress={"aws:SourceIp": "10.0.0.0/8"}))
    assert 'request.headers["referer"]' in of(document(StringEquals={"aws:Referer": "x"}))
    assert "device.type" in of(document(StringEquals={"aws:UserAgent": "x"}))
    assert "request.tls" in of(document(Bool={"aws:SecureTransport": "true"}))
    assert "now" in of(document(DateGreaterThan={"aws:CurrentTime": "2026-01-01T00:00:00Z"}))
    assert "principal.plan" in of(document(StringEquals={"aws:PrincipalTag/plan": "gold"}))


def test_of_addresses_also_where_the_list_is_long() -> None:
    assert of("{kind: IpAccess, name: some, deny: [10.0.0.0/8]}") == {"source.ip"}
    many = "\n".join(f"10.0.{i}.0/24" for i in range(100)).encode()
    assert of("{kind: IpAccess, name: many, deny: {file: many.txt}}", {"many.txt": many}) == {"source.ip"}


def test_of_credentials() -> None:
    assert of("{kind: Authenticate, name: callers, any: [api_key, {jwt: corp}]}") == {
        "principal.id",
        "principal.method",
        "principal.issuer",
    }


def test_of_devices() -> None:
    assert of("{kind: AllowDevices, name: some}") == {"device.id", "device.trusted"}


def test_of_factors() -> None:
    asked = {"principal.method", "principal.acr", "principal.auth_time", "now"}
    assert of("{kind: RequireFactor, name: strong, acr: [phr], within: 10m}") == asked


def test_what_decides_nothing_needs_nothing() -> None:
    assert of("{kind: Public, name: all, reason: nothing else is looked at}") == frozenset()
    assert of('{kind: RateLimit, name: few, per: principal.id, tiers: [{windows: ["1/day"]}]}') == frozenset()


def test_every_kind_that_decides_is_here() -> None:
    deciding = {"Authorize", "ResourcePolicy", "IpAccess", "Authenticate", "RequireFactor", "AllowDevices"}
    others = {"Public", "Login", "RateLimit", "Cors", "Protect", "Tls"}
    assert {one.model_fields["kind"].default for one in KINDS} == deciding | others
