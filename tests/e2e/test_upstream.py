"""What an Api may say of its upstream: endpoints and weights, health, retries, TLS, protocols, paths, and what it is told."""

import asyncio
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.gateway import Gateway, TokenIssuer, gateway, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")
ISSUER = TokenIssuer()


class Named(BaseHTTPRequestHandler):
    """Says its name; `/.../healthz` answers as told; fails the first `fail` connections of a path."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        """Answers."""
        self.server.seen.append(self.path)
        healthy = self.server.healthy
        status = 200 if healthy or not self.path.endswith("/healthz") else 503
        if self.path.endswith("/healthz"):
            time.sleep(self.server.slow_s)
        if self.path.endswith("/flaky") and self.server.flaky > 0:
            self.server.flaky -= 1
            status = 503
        body = json.dumps({"name": self.server.title, "path": self.path}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@contextmanager
def named(title: str, tls: ssl.SSLContext | None = None) -> Iterator[Any]:
    """A server that says its name."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Named)
    server.title, server.healthy, server.flaky, server.slow_s, server.seen = title, True, 0, 0.0, []
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def authority(folder: Path, name: str) -> ssl.SSLContext:
    """A CA in `<name>-ca.pem`, and a server context with a certificate of its for 127.0.0.1."""
    now = datetime.now(UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} CA")])

    def certificate(subject: x509.Name, public: Any, extension: Any) -> x509.Certificate:
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
        )
        made = (
            made.not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(extension, critical=False)
        )
        return made.sign(ca_key, hashes.SHA256())

    ca = certificate(ca_name, ca_key.public_key(), x509.BasicConstraints(ca=True, path_length=0))
    san = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    own = certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), san)
    (folder / f"{name}-ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.pem").write_bytes(own.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem")
    return context


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("upstream")
    right, wrong = authority(folder, "right"), authority(folder, "wrong")
    with named("a") as a, named("b") as b, named("c") as c, named("s", right) as s, named("w", wrong) as w, upstream() as echo:
        servers = {"a": a, "b": b, "c": c, "s": s, "w": w}
        port = {name: server.server_address[1] for name, server in servers.items()}
        files = f"""
kind: Gateway
name: edge
listeners: [{{name: web, address: "127.0.0.1:{{port}}"}}]
attributes: {{plan: string}}
---
kind: Api
name: weighted
paths: [/weighted]
upstream:
  endpoints: [{{url: "http://127.0.0.1:{port["a"]}", weight: 3}}, {{url: "http://127.0.0.1:{port["b"]}", weight: 1}}]
---
kind: Api
name: watched
paths: [/watched]
upstream:
  endpoints: [{{url: "http://127.0.0.1:{port["a"]}"}}, {{url: "http://127.0.0.1:{port["c"]}"}}]
  health_check: {{path: /watched/healthz, interval: 200ms, timeout: 100ms, unhealthy_after: 1, healthy_after: 1}}
---
kind: Api
name: retried
paths: [/retried]
upstream: http://127.0.0.1:{port["a"]}
retries: {{attempts: 2, on: [gateway-error]}}
---
kind: Api
name: verified
paths: [/verified]
upstream: {{endpoints: [{{url: "https://127.0.0.1:{port["s"]}"}}], tls: {{ca: {folder}/right-ca.pem}}}}
---
kind: Api
name: unverified
paths: [/unverified]
upstream: {{endpoints: [{{url: "https://127.0.0.1:{port["w"]}"}}], tls: {{ca: {folder}/right-ca.pem}}}}
---
kind: Api
name: stripped
paths: [/v1/stripped]
upstream: http://127.0.0.1:{port["a"]}
strip_path: true
---
kind: Api
name: slow
paths: [/slow]
upstream: http://127.0.0.1:{echo}
timeout: 300ms
---
kind: Api
name: hosted
hosts: [api.example.com]
paths: [/]
upstream: http://127.0.0.1:{port["b"]}
---
kind: Api
name: wild
hosts: ["*.example.com"]
paths: [/]
upstream: http://127.0.0.1:{port["c"]}
---
kind: Api
name: told
paths: [/told]
upstream: http://127.0.0.1:{echo}
identity_headers: {{x-who: id, x-how: method, x-plan: plan}}
forward_credentials: true
methods: [GET]
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {{file: jwks.json}}
attributes: {{plan: plan}}
---
kind: Public
name: all
target: {{paths: [/weighted, /watched, /retried, /verified, /unverified, /v1, /slow]}}
reason: upstreams are what is tested
---
kind: Public
name: hosted
target: {{api: hosted}}
reason: upstreams are what is tested
---
kind: Public
name: wild
target: {{api: wild}}
reason: upstreams are what is tested
---
kind: Authenticate
name: told
target: {{api: told}}
any: [{{jwt: corp}}]
"""
        (folder / "files").mkdir()
        (folder / "files" / "jwks.json").write_text(ISSUER.jwks())
        async with gateway(folder, {"all.yaml": files}) as gw:
            yield gw, servers


async def _names(gw: Gateway, path: str, count: int) -> Counter[str]:
    answers = [await gw.get(path) for _ in range(count)]
    assert {answer.status_code for answer in answers} == {200}
    return Counter(answer.json()["name"] for answer in answers)


async def test_weights_share_the_traffic(world: tuple[Gateway, Any]) -> None:
    found = await _names(world[0], "/weighted", 80)
    assert 50 <= found["a"] <= 70
    assert found["a"] + found["b"] == 80


async def test_an_endpoint_that_is_ill_is_left_out_until_it_is_well(world: tuple[Gateway, Any]) -> None:
    gw, servers = world
    servers["c"].healthy = False

    async def only_a() -> bool:
        return set(await _names(gw, "/watched", 6)) == {"a"}

    async def both() -> bool:
        return set(await _names(gw, "/watched", 6)) == {"a", "c"}

    await gw.eventually(only_a)
    servers["c"].healthy = True
    await gw.eventually(both)


async def test_a_failure_is_tried_again_as_often_as_was_said(world: tuple[Gateway, Any]) -> None:
    gw, servers = world
    servers["a"].flaky = 2
    assert (await gw.get("/retried/flaky")).status_code == 200
    servers["a"].flaky = 3
    assert (await gw.get("/retried/flaky")).status_code == 503
    servers["a"].flaky = 1
    # Callers can't ask for retries, nor for other timeouts.
    assert (await gw.get("/weighted/flaky", headers={"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3"})).status_code in {200, 503}
    servers["a"].flaky = 0


async def test_tls_to_the_upstream_is_verified(world: tuple[Gateway, Any]) -> None:
    gw, servers = world
    assert (await gw.get("/verified")).json()["name"] == "s"
    answer = await gw.get("/unverified")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert servers["w"].seen == []


async def test_a_path_is_stripped_whole_segments(world: tuple[Gateway, Any]) -> None:
    gw, _ = world
    for path, seen in (("/v1/stripped/a/b?c=d", "/a/b?c=d"), ("/v1/stripped", "/"), ("/v1/stripped/", "/"), ("/v1/stripped?x=1", "/?x=1")):
        assert (await gw.get(path)).json()["path"] == seen
    assert (await gw.get("/v1/strippedx")).status_code == 404


async def test_a_stream_ends_at_the_timeout(world: tuple[Gateway, Any]) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await world[0].get("/slow/events?n=20")


async def test_hosts_exact_before_wildcard_and_none_else(world: tuple[Gateway, Any]) -> None:
    gw, _ = world
    for host, name in (("api.example.com", "b"), ("API.example.com:8443", "b"), ("other.example.com", "c"), ("a.b.example.com", "c")):
        assert (await gw.get("/x", headers={"host": host})).json()["name"] == name, host
    for host in ("example.com", "api.example.org", "apiexample.com"):
        assert (await gw.get("/x", headers={"host": host})).status_code == 404, host


async def test_the_upstream_is_told_who_calls_and_nobody_can_pretend(world: tuple[Gateway, Any]) -> None:
    gw, _ = world
    token = ISSUER.token(plan="gold")
    spoofed = {"x-who": "root", "x-how": "magic", "x-plan": "free", "authorization": f"Bearer {token}"}
    headers = dict((await gw.get("/told", headers=spoofed)).json()["headers"])
    assert (headers["x-who"], headers["x-how"], headers["x-plan"]) == ("https://idp.example.com|ines", "jwt", "gold")
    assert headers["authorization"] == f"Bearer {token}"
    # A token without the claim: the caller's own header doesn't stand in for it.
    headers = dict((await gw.get("/told", headers={**spoofed, "authorization": f"Bearer {ISSUER.token()}"})).json()["headers"])
    assert "x-plan" not in headers


async def test_methods_are_told_to_those_who_may_know(world: tuple[Gateway, Any]) -> None:
    gw, _ = world
    assert (await gw.request("POST", "/told")).status_code == 401
    answer = await gw.request("POST", "/told", headers={"authorization": f"Bearer {ISSUER.token()}"})
    assert answer.status_code == 405
    assert {method.strip() for method in answer.headers["allow"].split(",")} >= {"GET", "HEAD"}
    assert answer.json()["type"] == "urn:bartizan:problem:method-not-allowed"
    assert (await gw.request("HEAD", "/told", headers={"authorization": f"Bearer {ISSUER.token()}"})).status_code == 200


async def test_an_upstream_that_is_gone_is_503(world: tuple[Gateway, Any], tmp_path: Path) -> None:
    gw, _ = world
    del tmp_path
    text = (gw.files / "all.yaml").read_text()
    await gw.edit(
        "all.yaml",
        text + '\n---\nkind: Api\nname: gone\npaths: [/gone]\nupstream: "http://127.0.0.1:1"\n---\nkind: Public\nname: gone\n'
        "target: {api: gone}\nreason: upstreams are what is tested\n",
    )
    answer = await gw.get("/gone")
    assert answer.status_code == 503
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    await asyncio.sleep(0)


MOVING = """
kind: Api
name: moving
paths: [/moving]
upstream: UPSTREAM
---
{kind: Public, name: moving, target: {api: moving}, reason: its upstream moves while it serves}
"""


async def test_an_upstream_that_moves_is_led_to_when_it_is_ready(world: tuple[Gateway, Any]) -> None:
    """Envoy answers 503 for a new cluster until its health is known."""
    gw, servers = world
    port = {name: server.server_address[1] for name, server in servers.items()}
    checked = "{path: /healthz, interval: 1s, timeout: 1s}"
    await gw.edit("moving.yaml", MOVING.replace("UPSTREAM", f"http://127.0.0.1:{port['a']}"))
    statuses: Counter[int] = Counter()
    moved = asyncio.Event()

    async def load() -> None:
        while not moved.is_set():
            answer = await gw.get("/moving/x")
            statuses[answer.status_code] += 1
            if answer.status_code == 200 and answer.json()["name"] == "b":
                moved.set()

    servers["b"].slow_s = 0.5
    callers = [asyncio.create_task(load()) for _ in range(4)]
    try:
        await gw.edit(
            "moving.yaml",
            MOVING.replace("UPSTREAM", f"{{endpoints: [{{url: 'http://127.0.0.1:{port['b']}'}}], health_check: {checked}}}"),
        )
        await asyncio.wait_for(asyncio.gather(*callers), 10)
    finally:
        servers["b"].slow_s = 0.0
        (gw.files / "moving.yaml").unlink()
    assert statuses.keys() == {200}
    assert statuses[200] > 50
