"""Resource policies, end to end: who may do what, as an AWS document says it."""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import Folder
from bartizan.scratch import Question, Scratch
from bartizan.telemetry.decision import Verdict, decision_of
from tests.certificates import authority
from tests.e2e import http2
from tests.e2e.gateway import Gateway, TokenIssuer, free_port, gateway, upstream

ISSUER, ROOT = TokenIssuer(), authority("Web")
PORTS = {name: free_port() for name in ("PROXIED", "SECURE")}

FILES = """
kind: Gateway
name: edge
listeners:
  - {name: web, address: "127.0.0.1:{port}"}
  - {name: proxied, address: "127.0.0.1:PROXIED", trusted_proxies: [127.0.0.1]}
  - {name: secure, address: "127.0.0.1:SECURE"}
attributes: {department: string, level: number, regions: list}
blocking: {exempt: [127.0.0.0/8]}
---
kind: Tls
name: secure
target: {listener: secure}
certificate: web.pem
private_key: {file: web.key}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Api
name: pets
paths: [/pets, /v1/pets]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
groups: [ops, 'a"b, c']
attributes: {department: finance, level: 7, regions: [eu, us]}
---
kind: Consumer
name: globex
attributes: {department: sales, level: 2, regions: [eu, "ru,x"]}
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: jwks.json}
groups: roles
attributes: {department: department, regions: regions}
---
kind: Authenticate
name: callers
target: {except: [/orders/open]}
any: [api_key, {jwt: corp}]
---
kind: Public
name: open
target: {api: orders, paths: [/orders/open]}
reason: what anonymous callers may do is told by a resource policy
"""

POLICIES = """
kind: ResourcePolicy
name: orders
target: {api: orders}
document:
  Version: "2012-10-17"
  Id: orders
  Statement:
    - {Sid: All, Effect: Allow, Principal: "*", Action: "execute-api:Invoke", Resource: "execute-api:/*"}
    - Sid: NoSecrets
      Effect: Deny
      Principal: "*"
      Action: execute-api:*
      Resource: arn:aws:execute-api:*:edge:orders/*/GET/orders/secret
    - Sid: RefundsByFinance
      Effect: Deny
      Principal: "*"
      Action: execute-api:Invoke
      Resource: arn:aws:execute-api:*:edge:orders/$default/POST/orders/refunds
      Condition: {StringNotEquals: {aws:PrincipalTag/department: finance}}
    - Sid: NotOverHere
      Effect: Deny
      Principal: {AWS: "arn:aws:iam::edge:user/globex"}
      Action: "*"
      Resource: execute-api:/*/*/orders/acme-only*
    - Sid: Closed
      Effect: Deny
      Principal: "*"
      Action: execute-api:Invoke
      Resource: execute-api:/*/*/orders/late
      Condition: {DateGreaterThan: {aws:CurrentTime: "2024-01-01T00:00:00Z"}}
    - Sid: TlsOnly
      Effect: Deny
      Principal: "*"
      Action: execute-api:Invoke
      Resource: execute-api:/*/*/orders/tls
      Condition: {Bool: {aws:SecureTransport: "false"}}
    - Sid: KnownCallersOnly
      Effect: Deny
      Principal: "*"
      Action: execute-api:Invoke
      Resource: execute-api:/*/POST/orders/open
      Condition: {"Null": {aws:PrincipalArn: true}}
---
kind: ResourcePolicy
name: pets
target: {api: pets}
document:
  Version: "2012-10-17"
  Statement:
    - Effect: Allow
      Principal: {AWS: ["arn:aws:iam::edge:role/ops", 'arn:aws:sts::edge:federated-user/https://idp.example.com|ines']}
      Action: execute-api:Invoke
      Resource: arn:aws:execute-api:*:edge:pets/$default/GET/v1/pets/*
    - Effect: Allow
      Principal: {Federated: "arn:aws:iam::edge:oidc-provider/corp"}
      Action: execute-api:Invoke
      Resource: execute-api:/*/GET/pets/tokens
    - Effect: Allow
      Principal: {AWS: 'arn:aws:iam::edge:role/a"b, c'}
      Action: execute-api:Invoke
      Resource: execute-api:/*/GET/pets/odd
    - Effect: Allow
      Principal: {AWS: edge}
      Action: execute-api:Invoke
      Resource: execute-api:/*/*/pets/office
      Condition:
        IpAddress: {aws:SourceIp: [203.0.113.0/24, "2001:db8::/32"]}
        NumericGreaterThanEquals: {aws:PrincipalTag/level: 5}
    - Effect: Allow
      Principal: "*"
      Action: execute-api:Invoke
      Resource: execute-api:/*/GET/pets/regions
      Condition: {"ForAllValues:StringLike": {aws:PrincipalTag/regions: [e?, us]}}
    - Effect: Deny
      NotPrincipal: {AWS: ["arn:aws:iam::edge:user/acme", "arn:aws:iam::edge:root"]}
      Action: execute-api:Invoke
      Resource: execute-api:/*/DELETE/*
    - {Effect: Allow, Principal: "*", Action: "execute-api:Invoke", Resource: "execute-api:/*/DELETE/*"}
---
kind: ResourcePolicy
name: shadowed
target: {paths: [/orders/shadow]}
mode: shadow
document: {Statement: {Effect: Deny, Principal: "*", Action: "*", Resource: "*"}}
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Keys:
    """A key of each consumer, as headers."""

    acme: dict[str, str] = {}  # noqa: RUF012 - set once, when the gateway runs
    globex: dict[str, str] = {}  # noqa: RUF012


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("resource")
    with upstream() as port:
        (folder / "files").mkdir()
        (folder / "files" / "jwks.json").write_text(ISSUER.jwks())
        ROOT.server().save(folder / "files", "web")
        text = FILES.replace("UPSTREAM", str(port))
        for name, number in PORTS.items():
            text = text.replace(name, str(number))
        async with gateway(folder, {"gateway.yaml": text, "policies.yaml": POLICIES}) as made:
            Keys.acme = {"x-api-key": made.new_key("acme")[1]}
            Keys.globex = {"x-api-key": made.new_key("globex")[1]}

            async def known() -> bool:
                answers = [await made.get("/orders", headers=one) for one in (Keys.acme, Keys.globex)]
                return all(one.status_code == 200 for one in answers)

            await made.eventually(known)
            yield made


def _token(**claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {ISSUER.token(**claims)}"}


async def _status(gw: Gateway, method: str, path: str, headers: dict[str, str]) -> int:
    answer = await gw.request(method, path, headers=headers)
    if answer.status_code == 403:
        record = await gw.record(answer)
        assert record["details"].startswith("rbac_access_denied_matched_policy[ResourcePolicy/")
        assert method == "HEAD" or answer.json()["type"] == "urn:bartizan:problem:forbidden"
    return answer.status_code


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/orders", 200),
        ("GET", "/orders/secret?x=1", 403),
        ("GET", "/orders/secret/", 403),
        ("HEAD", "/orders/secret", 403),
        ("GET", "/orders//secret", 403),
        ("GET", "/orders/x/../secret", 403),
        ("GET", "/orders/secret%3Fx", 200),
        ("GET", "/orders/%73ecret", 403),
        ("POST", "/orders/secret", 200),
        ("GET", "/orders/secrets", 200),
        ("GET", "/orders?x=/orders/secret", 200),
        ("POST", "/orders/refunds", 403),
        ("POST", "/orders/refunds?x", 403),
        ("GET", "/orders/refunds", 200),
        ("GET", "/orders/acme-only/1", 403),
        ("GET", "/orders/late", 403),
    ],
)
async def test_an_explicit_deny_holds_however_the_request_is_written(gw: Gateway, method: str, path: str, status: int) -> None:
    assert await _status(gw, method, path, Keys.globex) == status


async def test_attributes_of_keys_and_tokens_are_tags(gw: Gateway) -> None:
    for headers, status in (
        (Keys.acme, 200),
        (Keys.globex, 403),
        (_token(department="finance"), 200),
        (_token(department="sales"), 403),
        (_token(), 403),
        (_token(department=["finance"]), 403),
    ):
        assert await _status(gw, "POST", "/orders/refunds", headers) == status


async def test_an_attribute_that_changes_is_enforced_at_once(gw: Gateway) -> None:
    before = (gw.files / "gateway.yaml").read_text()
    await gw.edit("gateway.yaml", before.replace("department: sales", "department: finance"))
    assert await _status(gw, "POST", "/orders/refunds", Keys.globex) == 200
    await gw.edit("gateway.yaml", before)
    assert await _status(gw, "POST", "/orders/refunds", Keys.globex) == 403


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/v1/pets/1", (200, 403, 200, 403)),  # a role, and one subject of an issuer
        ("/pets/1", (403, 403, 403, 403)),  # no statement allows it
        ("/pets/tokens", (403, 403, 200, 200)),  # all tokens of an issuer
        ("/pets/odd", (200, 403, 403, 200)),  # a group with a quote and a comma in its name
        ("/pets/regions", (200, 403, 403, 200)),  # each of the elements, or none at all
    ],
)
async def test_principals_name_consumers_groups_and_subjects(gw: Gateway, path: str, statuses: tuple[int, ...]) -> None:
    """Of acme, globex, and two callers with tokens."""
    tokens = (_token(regions=["eu", "ru"]), _token(sub="omar", roles=["x", 'a"b, c']))
    for headers, status in zip((Keys.acme, Keys.globex, *tokens), statuses, strict=True):
        assert await _status(gw, "GET", path, headers) == status, headers


async def test_a_subject_that_only_ends_alike_is_somebody_else(gw: Gateway) -> None:
    for subject in ("x|ines", "ines|", "https://idp.example.com|ines", "INES", "ines "):
        assert await _status(gw, "GET", "/v1/pets/1", _token(sub=subject)) == 403, subject


async def test_not_principal_denies_all_but_those_named(gw: Gateway) -> None:
    assert await _status(gw, "DELETE", "/pets/1", Keys.acme) == 200
    assert await _status(gw, "DELETE", "/pets/1", Keys.globex) == 403
    assert await _status(gw, "DELETE", "/pets/1", _token()) == 403


@pytest.mark.parametrize("source", ["203.0.113.9", "2001:db8::9"])
async def test_the_source_is_the_one_that_the_gateway_believes(gw: Gateway, source: str) -> None:
    told = {"x-forwarded-for": source}
    proxied = f"http://127.0.0.1:{PORTS['PROXIED']}/pets/office"
    assert (await gw.client.get(proxied, headers={**Keys.acme, **told})).status_code == 200
    assert (await gw.client.get(proxied, headers={**Keys.globex, **told})).status_code == 403
    assert (await gw.client.get(proxied, headers={**Keys.acme, "x-forwarded-for": "198.51.100.1"})).status_code == 403
    assert await _status(gw, "GET", "/pets/office", {**Keys.acme, **told}) == 403


async def test_secure_transport_is_the_connections_own(gw: Gateway) -> None:
    for forged in ({}, {"x-forwarded-proto": "https"}, {"x-bartizan-secure": "true"}):
        assert await _status(gw, "GET", "/orders/tls", {**Keys.acme, **forged}) == 403
    proxied = f"http://127.0.0.1:{PORTS['PROXIED']}/orders/tls"
    assert (await gw.client.get(proxied, headers={**Keys.acme, "x-forwarded-proto": "https"})).status_code == 403
    headers = [(":method", "GET"), (":scheme", "https"), (":path", "/orders/tls"), (":authority", "a"), *Keys.acme.items()]
    assert (await http2.send(gw.port, headers)).status == 403
    async with httpx.AsyncClient(verify=ssl.create_default_context(cadata=ROOT.pem.decode())) as client:
        assert (await client.get(f"https://localhost:{PORTS['SECURE']}/orders/tls", headers=Keys.acme)).status_code == 200


async def test_anonymous_callers_of_public_routes_are_judged_too(gw: Gateway) -> None:
    assert await _status(gw, "GET", "/orders/open", {}) == 200
    assert await _status(gw, "POST", "/orders/open", {}) == 403


async def test_shadow_only_reports(gw: Gateway) -> None:
    answer = await gw.get("/orders/shadow", headers=Keys.acme)
    assert answer.status_code == 200
    verdicts = {one.policy: one for one in decision_of(await gw.record(answer)).verdicts}
    assert verdicts["ResourcePolicy/shadowed"] == Verdict("ResourcePolicy/shadowed", "denied", True)
    assert verdicts["ResourcePolicy/orders"] == Verdict("ResourcePolicy/orders", "allowed", False)


async def test_a_mistake_is_told_with_its_place_and_the_old_document_serves(gw: Gateway) -> None:
    told = await gw.edit("policies.yaml", POLICIES.replace("aws:PrincipalTag/department", "aws:PrincipalTag/departmint"), enforced=False)
    (one,) = told["refused"]
    assert one["code"] == "condition-key-unknown"
    assert one["path"] == "ResourcePolicy/orders: document.Statement[2].Condition.StringNotEquals.aws:PrincipalTag/departmint"
    assert POLICIES.split("\n")[one["line"] - 1].strip().startswith("Condition: {StringNotEquals")
    assert "aws:PrincipalTag/department" in one["hint"]
    assert await _status(gw, "POST", "/orders/refunds", Keys.globex) == 403
    await gw.edit("policies.yaml", POLICIES)


async def test_a_scratch_instance_decides_by_its_own_time_source_and_tls(gw: Gateway) -> None:
    snapshot = Folder(gw.files).snapshot()
    assert isinstance(snapshot, Snapshot)
    early, late = datetime(2023, 5, 1, tzinfo=UTC), datetime(2025, 5, 1, tzinfo=UTC)
    async with Scratch(snapshot) as scratch:
        acme = scratch.consumer("acme")
        for question, refused in (
            (Question("GET", "/orders/late", principal=acme, at=early), False),
            (Question("GET", "/orders/late", principal=acme, at=late), True),
            (Question("GET", "/pets/office", principal=acme, source="203.0.113.9"), False),
            (Question("GET", "/pets/office", principal=acme, source="::ffff:203.0.113.9"), False),
            (Question("GET", "/pets/office", principal=acme, source="198.51.100.1"), True),
            (Question("GET", "/orders/tls", principal=acme), True),
            (Question("GET", "/orders/tls", principal=acme, headers=(("x-bartizan-secure", "true"),)), True),
            (Question("GET", "/orders/tls", principal=acme, listener="secure"), False),
            (Question("POST", "/orders/open"), True),
        ):
            decision = await scratch.ask(question)
            assert decision.refused == refused, question
            assert not refused or decision.by.startswith("ResourcePolicy/")
