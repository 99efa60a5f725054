"""Secrets planted wherever one can go in: none comes out again, in no log, dump, answer, record or file, whatever fails meanwhile."""

import asyncio
import base64
import json
import os
import resource
import secrets
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bartizan.secrets.keyring import Keyring, load_or_create
from bartizan.secrets.places import CONTROL, NODE, ids_in
from tests.certificates import authority
from tests.e2e.agents import agent
from tests.e2e.gateway import Gateway, TokenIssuer, free_port
from tests.e2e.gateway import upstream as serving
from tests.e2e.test_admin import Admin, administered
from tests.e2e.test_secrets import bartizan

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}, {name: secure, address: "127.0.0.1:SECURE"}]
blocking: {attempts: 100000}
teams: {orders: {paths: [/orders]}}
---
kind: Tls
name: secure
target: {listener: secure}
certificate: INPUTS/server.pem
private_key: {file: INPUTS/server.key}
---
kind: Api
name: orders
team: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Api
name: partner
team: orders
paths: [/orders/partner]
upstream: {endpoints: [{url: "https://127.0.0.1:9"}], tls: {ca: INPUTS/ca.pem, private_key: {secret: partner}}}
---
kind: Authenticate
name: callers
any: [api_key, {jwt: corp}]
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: JWKS
introspection: {url: "https://127.0.0.1:9/introspect", client_id: gateway, client_secret: {secret: asks}}
---
kind: Consumer
name: acme
credentials: [{api_key: {env: PLANTED_KEY}}, {api_key: {file: INPUTS/key.txt}}, {api_key: {secret: acme-key}}]
"""
AGAIN = "\n---\nkind: IpAccess\nname: office\ntarget: {api: orders}\ndeny: [192.0.2.7]\n"


@dataclass
class Planted:
    """The secrets by what each is."""

    texts: dict[str, bytes] = field(default_factory=dict)
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    """What came out anywhere, by where."""

    def text(self, what: str, beginning: str = "planted") -> str:
        """A new secret."""
        made = f"{beginning}-{secrets.token_urlsafe(18)}"
        self.texts[what] = made.encode()
        return made

    def note(self, what: str, secret: bytes | str) -> None:
        self.texts[what] = secret.encode() if isinstance(secret, str) else secret

    def hear(self, where: str, told: bytes | str) -> None:
        self.heard.append((where, told.encode() if isinstance(told, str) else told))

    def answered(self, where: str, answer: httpx.Response) -> httpx.Response:
        """An answer that isn't the echo of an upstream."""
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.hear(f"{where} ({answer.status_code})", head.encode() + answer.content)
        return answer

    def found(self) -> list[str]:
        """Where which came out."""
        wanted = [(what, form) for what, secret in self.texts.items() for form in forms(secret)]
        return sorted({f"{what} in {where}" for where, told in self.heard for what, form in wanted if form in told})


def forms(secret: bytes) -> set[bytes]:
    """A secret as it is, and as it looks in base64 wherever it begins there, in hex, in a URL, and in JSON."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    found |= {"".join(f"%{one:02x}" for one in secret).encode(), "".join(f"%{one:02X}" for one in secret).encode()}
    found.add(quote(secret, safe="").encode())
    for before in range(3):
        text = base64.b64encode(bytes(before) + secret)
        text = text[(0, 2, 3)[before] : len(text) - (0, 3, 2)[(len(secret) + before) % 3]]
        found |= {text, text.replace(b"+", b"-").replace(b"/", b"_")}
    if secret.isascii() and secret.decode().isprintable():
        found.add(json.dumps(secret.decode())[1:-1].encode())
    return found


@pytest.mark.parametrize("where", ["{}", "x{}", "xx{}yyy"])
def test_what_is_looked_for_is_found_in_each_form(where: str) -> None:
    planted = Planted()
    whole = where.format(planted.text("it")).encode()
    for told in (whole, base64.b64encode(whole), base64.urlsafe_b64encode(whole), whole.hex(), quote(whole, safe="")):
        planted.heard.clear()
        planted.hear("here", told)
        assert planted.found() == ["it in here"]
    planted.heard.clear()
    planted.hear("here", base64.b64encode(os.urandom(10_000)) + b"planted-")
    assert planted.found() == []


class World:
    """A gateway into which all was planted."""

    def __init__(self, admin: Admin, planted: Planted, inputs: Path) -> None:
        self.gw, self.admin, self.planted, self.inputs = admin.gw, admin, planted, inputs
        self.ann = ""
        self.issuer: TokenIssuer
        self.good = ""

    async def cli(self, *arguments: str, state: bool = True, value: str = "") -> str:
        """A command; all that it says is heard."""
        own = ("--state", str(self.gw.state)) if state else ()
        _, out, err = await bartizan(*arguments, *own, value=value)
        self.planted.hear(f"bartizan {' '.join(arguments[:2])}", out + err)
        return out

    async def once(self, *arguments: str) -> str:
        """A command that shows a secret once, which is its work."""
        status, out, err = await bartizan(*arguments, "--state", str(self.gw.state))
        assert status == 0, err
        return out.strip()


@pytest.fixture
def cores() -> Iterator[None]:
    """As a machine has it whose processes dump cores."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def _inputs(folder: Path, planted: Planted) -> Path:
    """What the files of the gateway refer to."""
    inputs = folder / "inputs"
    inputs.mkdir()
    ca = authority("Web")
    (inputs / "ca.pem").write_bytes(ca.pem)
    (inputs / "key.txt").write_text(planted.text("the consumer's key in a file"))
    for what, name in (("the listener's private key", "server"), ("the private key towards the upstream", "partner")):
        pair = ca.server()
        pair.save(inputs, name)
        body = b"".join(pair.key.split(b"\n")[1:-2])
        planted.note(what, base64.b64decode(body)[40:64])
        planted.note(f"{what}, as PEM", pair.key.split(b"\n")[1][40:])
    return inputs


@asynccontextmanager
async def world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    planted = Planted()
    inputs, issuer = _inputs(folder, planted), TokenIssuer(key=rsa.generate_private_key(65537, 2048))
    monkeypatch.setenv("PLANTED_KEY", planted.text("the consumer's key in a variable"))
    monkeypatch.setenv("BARTIZAN_TOKEN", "")
    with serving() as port:
        state = ("--state", str(folder / "state"))
        pair = (inputs / "partner.pem").read_text() + (inputs / "partner.key").read_text()
        for name, value, more in (
            ("partner", pair, ("--team", "orders", "--to", "127.0.0.1:9")),
            ("acme-key", planted.text("the consumer's key as a named secret"), ()),
            ("asks", planted.text("the gateway's secret at an issuer"), ("--to", "127.0.0.1:9")),
        ):
            status, out, err = await bartizan("secret", "set", name, *more, *state, value=value)
            assert status == 0, err
            planted.hear("bartizan secret set", out + err)
        text = FILES.replace("INPUTS", str(inputs)).replace("UPSTREAM", str(port)).replace("SECURE", str(free_port()))
        async with administered(folder, {"gateway.yaml": text.replace("JWKS", issuer.jwks())}) as admin:
            made = World(admin, planted, inputs)
            made.issuer = issuer
            yield made


async def test_nothing_that_was_planted_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: None) -> None:
    async with world(tmp_path, monkeypatch) as one:
        await _people(one)
        await _callers(one)
        await _mistakes(one)
        await _edits(one)
        _processes(one.gw)
        await _told(one, "before", commands=False)
        await _crashes(one)
        await _callers(one)
        _keys(one, "before")
        await one.cli("secret", "rotate")
        await _told(one, "after")
    await _no_gateway(one)
    _keys(one, "after")
    _files(one, tmp_path)
    assert not (found := one.planted.found()), "\n".join(found)
    assert len(one.planted.heard) > 100
    assert len(one.planted.texts) > 25


async def _people(one: World) -> None:
    """Operators and nodes: tokens of theirs."""
    one.ann = await one.admin.token(one.admin.first, "ann", "admin")
    one.planted.note("an operator's token", one.ann)
    one.planted.note("the first token", one.admin.first)
    one.planted.note("a join token", await one.once("node", "token"))
    key = await one.once("key", "new", "acme")
    gone = await one.once("key", "new", "acme", "--name", "gone")
    one.planted.note("an API key", key)
    one.planted.note("a revoked API key", gone)
    listed = json.loads((await bartizan("key", "list", "--json", "--state", str(one.gw.state)))[1])
    await one.cli("key", "revoke", next(held["id"] for held in listed if held["name"] == "gone"))
    one.good = key


async def _callers(one: World) -> None:
    """Requests with every kind of credential, good and bad, and with secrets where people put them."""
    planted, issuer = one.planted, one.issuer
    tokens = {
        "good": issuer.token(),
        "expired": issuer.token(exp=int(time.time()) - 4000),
        "forged": TokenIssuer(key=rsa.generate_private_key(65537, 2048)).token(),
        "unknown key": TokenIssuer(kid="k2", key=issuer.key).token(),
        "of another issuer": TokenIssuer(url="https://other.example.com").token(),
        "cut": issuer.token()[:-9],
    }
    for what, token in tokens.items():
        planted.note(f"a token that is {what}", token.split(".")[2])
        planted.note(f"the claims of a token that is {what}", token.split(".")[1])
    tokens["opaque"] = planted.text("an opaque token")
    cases = [{"authorization": f"Bearer {token}"} for token in tokens.values()]
    cases += [
        {"x-api-key": text.decode()} for what, text in planted.texts.items() if "key" in what and text.startswith((b"bz_", b"planted"))
    ]
    wrong = one.good[:-1] + ("a" if one.good[-1] != "a" else "b")
    planted.note("a key with a typo", wrong)
    basic = base64.b64encode(f"ann:{planted.text('a password')}".encode()).decode()
    cases += [{"x-api-key": wrong}, {"authorization": f"Basic {basic}"}, {"authorization": planted.text("a scheme that isn't one")}]
    cases += [{"x-api-key": one.good, "authorization": f"Bearer {tokens['good']}"}]
    own = {"cookie": f"session={planted.text('a cookie')}", "x-partner": planted.text("a header of theirs")}
    query = f"?access_token={planted.text('a query')}&api_key={quote(one.good)}"
    for case in cases:
        for path in ("/orders/1", "/orders/partner/1", "/nowhere"):
            answer = await one.gw.get(path + query, headers={**own, **case})
            if answer.status_code != 200:
                planted.answered(path, answer)
            await one.cli("explain", answer.headers["x-request-id"]) if case is cases[0] else None
    failing = {**own, "x-api-key": one.good, "x-answer": "500"}
    await one.gw.get("/orders/1" + query, headers=failing)
    for head in (f"GET /orders/1{query} HTTP/1.1\r\nhost: a\r\nauthorization: {planted.text('a header cut off')}\0\r\n\r\n", "GET\r\n\r\n"):
        planted.hear("an answer to what is no request", await one.gw.raw(head.encode(), read_s=0.5))


async def _mistakes(one: World) -> None:
    """The admin API asked wrongly, with secrets in what it is sent."""
    planted, admin = one.planted, one.admin
    value = planted.text("a value that is set")
    planted.answered("PUT", await admin.call("PUT", "/v1/secrets/good", one.ann, json={"value": value}))
    bodies: list[Any] = [
        {"value": {"a": planted.text("a value of the wrong type")}},
        {"value": planted.text("a value with something more"), "more": planted.text("a field that isn't one")},
        {"value": [planted.text("a value in a list")]},
        {"value": planted.text("a value to a place that is none"), "to": ["??"]},
        planted.text("a value alone"),
    ]
    for body in bodies:
        planted.answered("PUT", await admin.call("PUT", "/v1/secrets/bad", one.ann, json=body))
    broken = f'{{"value": "{planted.text("a value in broken JSON")}'
    headers = {"content-type": "application/json"}
    planted.answered("PUT", await admin.call("PUT", "/v1/secrets/bad", one.ann, content=broken, headers=headers))
    for credential in (planted.text("an inline key"), {"env": {"a": planted.text("an inline key deeper")}}):
        body = {"credentials": [{"api_key": credential}]}
        planted.answered("PUT", await admin.call("PUT", "/v1/resources/Consumer/eve", one.ann, json=body))
    for token in (planted.text("a wrong token"), planted.text("a wrong token of ours", "bzt_x"), one.ann[:-1]):
        planted.answered("GET", await admin.call("GET", f"/v1/status?token={planted.text('a token in a query')}", token))
    planted.answered("GET", await admin.call("GET", "/v1/secrets/good", one.ann))


async def _edits(one: World) -> None:
    """Files that are edited well, and with secrets where none belongs."""
    text = (one.gw.files / "gateway.yaml").read_text()
    await one.gw.edit("gateway.yaml", text + AGAIN)
    inline = one.planted.text("a key in the files")
    cases = (
        f"kind: Consumer\nname: eve\ncredentials: [{{api_key: {inline}}}]\n",
        f"kind: Consumer\nname: eve\ncredentials: [{{api_key: {{env: [{inline}]}}}}]\n",
        f"kind: Consumer\nname: eve\ncredentials: [{{api_key: {{secret: 'No Name {inline}'}}}}]\n",
        f"kind: Consumer\nname: eve\ncredentials: [{{api_key: {{file: x, value: {inline}}}}}]\n",
        f"kind: Consumer\nname: eve\ncredentials: [{{api_key: '{inline}\n",
        f"kind: Consumer\nname: eve\ncredentials: [{{api_key: !secret {inline}}}]\n",
    )
    wrong = one.inputs / "wrong"
    wrong.mkdir()
    for number, case in enumerate(cases):
        (wrong / f"{number}.yaml").write_text(case)
    await one.cli("check", "-f", str(wrong), state=False)
    for case in cases:
        await one.gw.edit("eve.yaml", case, enforced=False)
        one.planted.hear("the status", json.dumps(await one.gw.status()))
        (one.gw.files / "eve.yaml").unlink()
        await one.gw.until(lambda now: not now["refused"] and not now["pending"])


async def _told(one: World, when: str, *, commands: bool = True) -> None:
    """All that is told of a gateway."""
    planted = one.planted
    for arguments in (
        ()
        if not commands
        else (
            *(("status",), ("status", "--json"), ("log", "--json"), ("dump",), ("dump", "1"), ("audit", "list"), ("audit", "export")),
            *(("key", "list"), ("key", "list", "--json"), ("secret", "list"), ("secret", "list", "--json"), ("secret", "keys")),
            *(("token", "list"), ("node", "list", "--json"), ("block", "list"), ("audit", "verify")),
            *((what, "-f", str(one.gw.files)) for what in ("diff", "lint", "replay")),
            ("explain", "--path", "/orders/1", "--consumer", "acme"),
        )
    ):
        await one.cli(*arguments)
    for case in ("dump", "check") if commands else ():
        await one.cli(case, "-f", str(one.gw.files), state=False)
    for path in (
        *("/v1/status", "/v1/nodes", "/v1/resources", "/v1/resources/Consumer/acme", "/v1/revisions", "/v1/secrets", "/v1/tokens"),
        *("/v1/audit", "/v1/blocks", "/v1/rollout", "/openapi.json"),
    ):
        planted.answered(f"{path} {when}", await one.admin.call("GET", path, one.ann))
    await _agents(one, when)
    transport = httpx.AsyncHTTPTransport(uds=str(one.gw.state / "run" / "admin.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://envoy") as envoy:
        for path in (
            "config_dump?include_eds",
            "certs",
            "clusters?format=json",
            "listeners",
            "stats",
            "server_info",
            "init_dump",
            "runtime",
        ):
            answer = planted.answered(f"Envoy's {path} {when}", await envoy.get(f"/{path}"))
            assert answer.status_code == 200 and answer.content, path
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{one.gw.admin}") as health:
        for path in ("metrics", "readyz", "healthz"):
            planted.answered(path, await health.get(f"/{path}"))


async def _agents(one: World, when: str) -> None:
    """What an agent is told with the token of an admin, and what it is told is wrong."""
    found = [str(record["request_id"]) for record in one.gw.records() if record.get("request_id")][-6:]
    asked: list[tuple[str, dict[str, Any]]] = [
        *((name, {}) for name in ("list_resources", "gateway_status", "list_revisions", "list_findings", "list_proposals")),
        *(
            ("read_resource", {"kind": kind, "name": name})
            for kind, name in (("Api", "partner"), ("Consumer", "acme"), ("Issuer", "corp"), ("Tls", "secure"))
        ),
        *((tool, {"request_id": ident}) for tool in ("explain_request", "request_context") for ident in found),
        (
            "check_change",
            {"put": [{"kind": "Api", "name": "eve", "upstream": {"tls": {"private_key": one.planted.text(f"a key in a draft {when}")}}}]},
        ),
    ]
    async with agent(one.admin, one.ann) as asking:
        for name, arguments in asked:
            answer = await asking.client.call_tool(name, arguments)
            assert answer.is_error == (name == "check_change"), answer
            one.planted.hear(f"an agent's {name} {when}", answer.model_dump_json())


async def _crashes(one: World) -> None:
    """Each process dies as in a crash, in the middle of requests."""
    asking = asyncio.gather(*(one.gw.get("/orders/1", headers={"x-api-key": one.good}) for _ in range(20)), return_exceptions=True)
    for what, number in (("envoy", signal.SIGSEGV), ("bartizan.node", signal.SIGABRT), ("bartizan.app", signal.SIGSEGV)):
        os.kill(one.gw.pid(what), number)
    await asking
    deadline = time.monotonic() + 30
    while True:
        try:
            status = await one.gw.status()
            ready = status["nodes"] and all(node["acknowledged"] for node in status["nodes"])
            if ready and (await one.gw.get("/orders/1", headers={"x-api-key": one.good})).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, one.gw.log()
        await asyncio.sleep(0.1)


def _processes(gw: Gateway) -> None:
    """None of them may leave a core file, and Envoy holds no variable that is none of its business."""
    for pid in (gw.process.pid, *(gw.pid(what) for what in ("envoy", "bartizan.node", "bartizan.app"))):
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (core,) = [line.split() for line in limits if line.startswith("Max core file size")]
        assert core[4:6] == ["0", "0"], (pid, core)
        assert int(Path(f"/proc/{pid}/coredump_filter").read_text(), 16) == 0
    assert b"PLANTED" not in Path(f"/proc/{gw.pid('envoy')}/environ").read_bytes()


async def _no_gateway(one: World) -> None:
    """Commands on the state alone, and ones that fail."""
    join = one.planted.texts["a join token"].decode()
    node = ("node", "run", "--control", f"127.0.0.1:{free_port()}", "--join", join, "--state", str(one.gw.folder / "node"))
    await one.cli(*node, state=False)
    for arguments in (("secret", "list"), ("key", "list"), ("audit", "list"), ("lint", "-f", str(one.gw.files))):
        await one.cli(*arguments)
    await one.cli("secret", "set", "Bad Name", value=one.planted.text("a value for a bad name"))
    await one.cli("secret", "delete", "acme-key")


def _keys(one: World, when: str) -> None:
    """The keys by which all is sealed, and those that sign: as bytes, wherever they'd be."""
    for name in ("control.key", "node.key"):
        envelope = load_or_create(one.gw.state / name)
        for number, key in enumerate(envelope._held.keys.values()):
            one.planted.note(f"data key {number} of {name} {when}", key)
        if name == "control.key":
            for file in ("signing.key", "release.key"):
                one.planted.note(f"what is in {file}", envelope.open((one.gw.state / file).read_bytes(), "signing-key"))
        one.planted.note(f"the key in {name}", (one.gw.state / name).read_bytes())


def _files(one: World, folder: Path) -> None:
    """Every file that anybody wrote, but those into which the secrets were put."""
    files = [path for path in folder.rglob("*") if path.is_file() and one.inputs not in path.parents and one.gw.files not in path.parents]
    assert not [path for path in files if path.name.startswith("core")], "a core file"
    own = {one.gw.state / name for name in ("control.key", "node.key")}
    for path in files:
        if path not in own:
            one.planted.hear(str(path.relative_to(folder)), path.read_bytes())
    assert not (one.gw.state / "first-token").exists(), "it has been used"
    places = (("control.key", CONTROL), ("node.key", NODE))
    for name, sealed in places:  # what is sealed stands in the list of what is rotated
        current = {Keyring(one.gw.state / name).read().keys[0].id}
        assert {ident for place in sealed for ident in ids_in(one.gw.state, place)} == current
        header = b"\x01" + bytes.fromhex(*current)
        known = {place.file for place in sealed} | {f"{name.removesuffix('.key')}.keyring", "../out.log"}
        for path in files:
            text = path.read_bytes()
            if any(form in text for form in (header, base64.b64encode(header), header.hex().encode())):
                assert os.path.relpath(path, one.gw.state) in known, path
