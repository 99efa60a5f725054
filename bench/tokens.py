"""What tokens cost: opaque ones about which the issuer was asked lately, through the process beside Envoy; and signed ones, in Envoy."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

from bench.load import Target, burst, compare, script
from bench.measures import Effort, Figures
from bench.programs import cpu_s, first_answer, free_port, gateway, nginx
from bench.world import DEPARTMENTS, ISSUER, Tokens

_USERS = 1000
_FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:PORT"}]
attributes: {department: string, plan: string}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Authenticate, name: callers, target: {api: orders}, any: [{jwt: corp}]}
---
{kind: Api, name: open, paths: [/open], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Public, name: open, target: {api: open}, reason: what a request costs without its token}
---
kind: Issuer
name: corp
issuer: "ISSUER"
audiences: [bench]
attributes: {department: department, plan: plan}
"""
_ASKED = """introspection:
  {url: "http://127.0.0.1:IDP/", client_id: gw, client_secret: {file: secret}, cache: 10m, timeout: 4s, per_second: 10000}"""


class _Says(BaseHTTPRequestHandler):
    """Says of every token that it counts."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        token = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())["token"][0]
        user = int(token.rpartition("-")[2])
        told = {"active": True, "iss": ISSUER, "aud": "bench", "sub": f"user-{user}", "exp": int(time.time()) + 3600}
        body = json.dumps({**told, "department": DEPARTMENTS[user % len(DEPARTMENTS)], "plan": "gold"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing of it."""


@contextmanager
def _issuer() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Says)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _written(folder: Path, how: str, port: int, upstream: int) -> None:
    (folder / "files").mkdir(parents=True)
    text = (_FRAME + how + "\n").replace("PORT", str(port)).replace("UPSTREAM", str(upstream)).replace("ISSUER", ISSUER)
    (folder / "files" / "all.yaml").write_text(text)
    (folder / "files" / "secret").write_text("secret-of-the-bench")


def _with_and_without(folder: Path, envoy: int, port: int, tokens: list[str]) -> dict[str, Target]:
    """The same requests where their tokens are demanded, and where they are taken out unseen."""
    scripts = {name: script(folder / f"{name}.lua", [f"/{name}/1"] * _USERS, tokens=tokens) for name in ("open", "orders")}
    return {name: Target(envoy, port, one) for name, one in scripts.items()}


def introspection(folder: Path, effort: Effort) -> Figures:
    """`introspection_cached_per_core_s`: requests in a second of a core through the process beside Envoy, with opaque tokens that are
    known; what Envoy itself needs is told beside it, and beyond the very same request where its token is taken out unseen."""
    port, upstream = free_port(), free_port()
    tokens = [f"opaque-token-of-the-benchmark-{user}" for user in range(_USERS)]
    with _issuer() as idp, nginx(folder / "upstream", upstream):
        _written(folder, _ASKED.replace("IDP", str(idp)), port, upstream)
        with gateway(folder, port) as made:
            first_answer(made, "/orders/1", {"authorization": f"Bearer {tokens[0]}"})
            pids = made.pids()
            targets = _with_and_without(folder, pids["envoy"], port, tokens)
            load = targets["orders"].script
            burst(port, load, 5)  # until all are known
            before = {name: cpu_s(pids[name]) for name in ("callout", "envoy")}
            seen = burst(port, load, effort.load_s)
            used = {name: cpu_s(pids[name]) - before[name] for name in before}
            compared = compare("open", targets, effort.rounds, effort.seconds)
    if seen.failed or seen.refused:
        raise RuntimeError(f"{seen.refused} of {seen.requests} requests were refused, {seen.failed} failed")
    return {
        "introspection_cached_per_core_s": seen.requests / used["callout"],
        "introspection_callout_us": used["callout"] * 1e6 / seen.requests,
        "introspection_envoy_us": used["envoy"] * 1e6 / seen.requests,
        "introspection_envoy_extra_us": compared.extra_us["orders"],
        "introspection_p99_ms": seen.p99_ms,
    }


def signed(folder: Path, effort: Effort) -> Figures:
    """`jwt_rs256_cached_extra_us`: Envoy's CPU for a request with an RS256 token that it has seen, beyond that for the very same request
    where its token is taken out unseen."""
    port, upstream, tokens = free_port(), free_port(), Tokens()
    _written(folder, "jwks: {file: corp.json}", port, upstream)
    (folder / "files" / "corp.json").write_text(tokens.jwks())
    texts = [tokens.of(user) for user in range(_USERS)]
    with nginx(folder / "upstream", upstream), gateway(folder, port) as made:
        first_answer(made, "/orders/1", {"authorization": f"Bearer {texts[0]}"})
        seen = compare("open", _with_and_without(folder, made.pids()["envoy"], port, texts), effort.rounds, effort.seconds)
    return {"jwt_rs256_cached_extra_us": seen.extra_us["orders"], "jwt_rs256_us": seen.us["orders"], "jwt_without_us": seen.us["open"]}
