"""Named secrets on a real gateway: they hold within a second without a revision, go where they were granted, and nowhere else."""

import asyncio
import hashlib
import json
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.certificates import Authority, Pair, authority
from tests.e2e.gateway import Gateway, TokenIssuer, free_port, gateway
from tests.e2e.gateway import upstream as serving
from tests.e2e.test_admin import Admin, administered

CA, PARTNERS = authority("Web"), authority("Partners")
GATEWAY = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
teams: {orders: {paths: [/orders]}, billing: {paths: [/bills]}}
---
kind: Public
name: all
reason: what is tested is who the gateway is, not who calls
"""
API = """
kind: Api
name: NAME
team: TEAM
paths: [PATH]
upstream: {endpoints: [{url: "https://127.0.0.1:UPSTREAM"}], tls: {ca: FOLDER/web-ca.pem, private_key: {secret: partner}}}
"""


class _Tells(BaseHTTPRequestHandler):
    """Tells who called, by the certificate that was shown."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        shown = self.connection.getpeercert(binary_form=True)  # type: ignore[attr-defined]
        body = hashlib.sha256(shown).hexdigest().encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")  # so that each request shows a certificate
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def partner(folder: Path, trusted: Authority = PARTNERS) -> Iterator[int]:
    """An upstream that wants a certificate of the partners' CA, and says which one it saw."""
    (folder / "web-ca.pem").write_bytes(CA.pem)
    (folder / "partners-ca.pem").write_bytes(trusted.pem)
    certificate, key = CA.server().save(folder, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(folder / "partners-ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), _Tells)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def client() -> Pair:
    return PARTNERS.client("spiffe://gateway")


def text_of(pair: Pair) -> str:
    return (pair.pem + pair.key).decode()


def api(folder: Path, port: int, name: str = "orders", team: str = "orders", path: str = "/orders") -> str:
    made = API.replace("NAME", name).replace("TEAM", team).replace("PATH", path)
    return made.replace("UPSTREAM", str(port)).replace("FOLDER", str(folder))


async def bartizan(*arguments: str, value: str = "") -> tuple[int, str, str]:
    """A command: its exit status and what it says."""
    command = (sys.executable, "-m", "bartizan.cli.main", *arguments)
    pipe = asyncio.subprocess.PIPE
    env = {**os.environ, "NO_COLOR": "1"}
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env=env)
    out, err = await asyncio.wait_for(process.communicate(value.encode()), 120)
    return process.returncode or 0, out.decode(), err.decode()


async def secret(gw: Gateway, *arguments: str, value: str = "") -> Any:
    status, out, err = await bartizan("secret", *arguments, "--state", str(gw.state), "--json", value=value)
    assert status == 0, err
    return json.loads(out)


async def shown(gw: Gateway, path: str = "/orders/1") -> str:
    """The certificate that the upstream saw, or the status."""
    answer = await gw.get(path)
    return answer.text if answer.status_code == 200 else str(answer.status_code)


async def until(gw: Gateway, wanted: str, path: str = "/orders/1") -> float:
    """Waits until the upstream sees this. How long it took."""
    began = time.monotonic()
    while (now := await shown(gw, path)) != wanted:
        assert time.monotonic() < began + 5, f"{now}, not {wanted}\n{gw.log()}"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[int]:
    with partner(tmp_path) as port:
        yield port


async def test_nothing_starts_without_a_secret_that_it_needs_and_the_answer_says_how_to_make_it(tmp_path: Path, upstream: int) -> None:
    files = {"gateway.yaml": GATEWAY, "orders.yaml": api(tmp_path, upstream)}
    async with gateway(tmp_path, files, wait=False) as gw:
        assert await asyncio.wait_for(gw.process.wait(), 20) == 1
        assert "the team orders has no secret 'partner'" in gw.log()
        assert f"bartizan secret set partner --team orders --to 127.0.0.1:{upstream}" in gw.log()
        assert "orders.yaml:6" in gw.log()


async def test_a_secret_shows_the_gateway_to_its_upstream_and_follows_what_is_set(tmp_path: Path, upstream: int) -> None:
    state, first, second = str(tmp_path / "state"), client(), client()
    to = ("--team", "orders", "--to", f"127.0.0.1:{upstream}")
    status, _, err = await bartizan("secret", "set", "partner", *to, "--state", state, value=text_of(first))
    assert status == 0, err
    async with gateway(tmp_path, {"gateway.yaml": GATEWAY, "orders.yaml": api(tmp_path, upstream)}) as gw:
        assert await shown(gw) == first.fingerprint
        before = await gw.status()
        await secret(gw, "set", "partner", *to, value=text_of(second))
        assert await until(gw, second.fingerprint) < 1
        # What can't be a pair changes nothing, and is told.
        await secret(gw, "set", "partner", *to, value="no pair")
        await gw.until(lambda now: any("its secret holds no private key" in one for one in now["warnings"]))
        assert await shown(gw) == second.fingerprint
        # One that may go elsewhere only doesn't go here any more, whatever the revision says.
        await secret(gw, "set", "partner", "--team", "orders", "--to", "partner.example.com", value=text_of(second))
        assert await until(gw, "503") < 1
        await secret(gw, "set", "partner", *to, value=text_of(first))
        assert await until(gw, first.fingerprint) < 1
        refused = await bartizan("secret", "delete", "partner", "--team", "orders", "--state", state)
        assert refused[0] == 1 and "used by Api/orders" in refused[2]
        assert await shown(gw) == first.fingerprint
        await secret(gw, "delete", "partner", "--team", "orders", "--force")
        assert await until(gw, "503") < 1
        now = await gw.status()
        assert now["revision"] == before["revision"] and now["generation"] > before["generation"]
        # It was used, so it holds up no other edit; and a new use of it is a problem.
        await gw.edit("more.yaml", "kind: Consumer\nname: acme\n")
        wrong = await gw.edit("bills.yaml", api(tmp_path, upstream, "bills", "billing", "/bills"), enforced=False)
        assert [one["code"] for one in wrong["refused"]] == ["secret-unknown"]
        told = (await bartizan("audit", "export", "--state", state))[1]
        actions = [json.loads(line)["action"] for line in told.splitlines()]
        assert actions.count("secret.set") == 5 and actions.count("secret.delete") == 1
    _nowhere(tmp_path, first, second)


def _nowhere(folder: Path, *pairs: Pair) -> None:
    """No line of a key is in a file, be it a log, a database or a journal."""
    lines = [line for pair in pairs for line in pair.key.splitlines() if b"-----" not in line]
    assert lines
    for path in (folder / "out.log", *(folder / "state").rglob("*")):
        if path.is_file() and not path.is_socket():
            held = path.read_bytes()
            assert not [line for line in lines if line in held], path


async def test_a_secret_of_another_name_or_team_is_another_and_two_teams_dont_share_one(tmp_path: Path, upstream: int) -> None:
    hers, theirs = client(), client()
    files = {"gateway.yaml": GATEWAY, "orders.yaml": api(tmp_path, upstream)}
    to = ("--to", f"127.0.0.1:{upstream}", "--state", str(tmp_path / "state"))
    await bartizan("secret", "set", "partner", "--team", "orders", *to, value=text_of(hers))
    async with gateway(tmp_path, files) as gw:
        bills = api(tmp_path, upstream, "bills", "billing", "/bills")
        wrong = await gw.edit("bills.yaml", bills, enforced=False)
        assert [one["code"] for one in wrong["refused"]] == ["secret-unknown"]
        await bartizan("secret", "set", "partner", "--team", "billing", *to, value=text_of(theirs))
        await gw.edit("bills.yaml", bills + "\n")
        assert (await shown(gw), await shown(gw, "/bills/1")) == (hers.fingerprint, theirs.fingerprint)


CALLERS = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {secret: corp-keys}
---
kind: Consumer
name: acme
credentials: [{api_key: {secret: acme-key}}]
---
kind: Authenticate
name: callers
target: {api: orders}
any: [api_key, {jwt: corp}]
"""


async def test_keys_of_consumers_and_issuers_come_and_go_with_their_secrets(tmp_path: Path) -> None:
    issuer, other = TokenIssuer(), TokenIssuer(kid="k2")
    state = str(tmp_path / "state")
    for name, value in (("acme-key", "first-key-of-acme-00\n"), ("corp-keys", issuer.jwks())):
        assert (await bartizan("secret", "set", name, "--state", state, value=value))[0] == 0
    with serving() as port:
        async with gateway(tmp_path, {"all.yaml": CALLERS.replace("UPSTREAM", str(port))}) as gw:

            async def answers(key: str = "", token: str = "", wanted: int = 200) -> float:
                headers = {"x-api-key": key} if key else {"authorization": f"Bearer {token}"}
                began = time.monotonic()
                while (now := (await gw.get("/orders/1", headers=headers)).status_code) != wanted:
                    assert time.monotonic() < began + 5, (now, wanted)
                    await asyncio.sleep(0.02)
                return time.monotonic() - began

            await answers("first-key-of-acme-00")
            await answers(token=issuer.token())
            await secret(gw, "set", "acme-key", value="second-key-of-acme-0")
            assert await answers("second-key-of-acme-0") < 1
            await answers("first-key-of-acme-00", wanted=401)
            await secret(gw, "set", "corp-keys", value=other.jwks())
            assert await answers(token=other.token()) < 1
            await answers(token=issuer.token(), wanted=401)
            # What goes somewhere isn't for a consumer.
            await secret(gw, "set", "acme-key", "--to", "partner.example.com", value="third-key-of-acme-00")
            assert await answers("second-key-of-acme-0", wanted=401) < 1
            await answers("third-key-of-acme-00", wanted=401)
            await secret(gw, "delete", "corp-keys", "--force")
            assert await answers(token=other.token(), wanted=503) < 1  # an issuer without keys
            assert any("the secret corp-keys isn't there" in one for one in (await gw.status())["warnings"])


async def test_through_the_api_an_editor_names_secrets_and_nothing_else(tmp_path: Path, upstream: int) -> None:
    files = {"gateway.yaml": GATEWAY, "orders.yaml": api(tmp_path, upstream).replace(", private_key: {secret: partner}", "")}
    async with administered(tmp_path, files) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        bob = await admin.token(ann, "bob", "editor", team="orders")
        eve = await admin.token(ann, "eve", "editor", team="billing")
        kim = await admin.token(ann, "kim", "editor")
        pair, at = client(), "/v1/secrets/partner"
        body = {"value": text_of(pair), "to": [f"127.0.0.1:{upstream}"]}
        assert (await admin.call("PUT", at, kim, json=body)).status_code == 403  # of no team, and no admin
        made = await admin.call("PUT", at, bob, json=body)
        assert made.status_code == 200 and made.json()["team"] == "orders" and "value" not in made.json()
        await _strangers(admin, eve, bob, body)
        document = {"team": "orders", "paths": ["/orders"]}
        tls = {"ca": f"{tmp_path}/web-ca.pem", "private_key": {"secret": "partner"}}
        orders = {**document, "upstream": {"endpoints": [{"url": f"https://127.0.0.1:{upstream}"}], "tls": tls}}
        assert (await admin.call("PUT", "/v1/resources/Api/orders", bob, json=orders)).status_code == 200
        await until(admin.gw, pair.fingerprint)
        # To another upstream it doesn't go, nor does a file or a variable of the machine.
        elsewhere = {**orders, "upstream": {"endpoints": [{"url": "https://203.0.113.7"}], "tls": {"private_key": {"secret": "partner"}}}}
        answer = await admin.call("PUT", "/v1/resources/Api/orders", bob, json=elsewhere)
        assert (answer.status_code, [one["code"] for one in answer.json()["problems"]]) == (422, ["secret-not-granted"])
        assert "may not be sent to 203.0.113.7:443" in answer.text
        for reference in ({"env": "HOME"}, {"file": "/etc/passwd"}):
            reaching = {**orders, "upstream": {**orders["upstream"], "tls": {**tls, "private_key": reference}}}
            assert (await admin.call("PUT", "/v1/resources/Api/orders", bob, json=reaching)).status_code == 403
        # Who grants it another destination has to have it.
        more = await admin.call("PUT", at, bob, json={"to": ["203.0.113.7"]})
        assert more.status_code == 422
        assert (await admin.call("DELETE", at, bob)).status_code == 409
        assert (await admin.call("DELETE", f"{at}?force=true", bob)).status_code == 200
        assert await until(admin.gw, "503") < 1
    _nowhere(tmp_path, pair)


async def _strangers(admin: Admin, eve: str, bob: str, body: dict[str, Any]) -> None:
    """Somebody of another team can't tell a secret that is there from one that isn't."""

    def alike(one: httpx.Response, other: httpx.Response) -> bool:
        mask = [{**each.json(), "request_id": ""} for each in (one, other)]
        return one.status_code == other.status_code and json.dumps(mask[0]).replace("partner", "nothing") == json.dumps(mask[1])

    calls = [await admin.call("DELETE", f"/v1/secrets/{name}", eve) for name in ("partner", "nothing")]
    assert calls[0].status_code == 404 and alike(*calls)
    calls = [await admin.call("DELETE", f"/v1/secrets/{name}?team=orders", eve) for name in ("partner", "nothing")]
    assert calls[0].status_code == 403 and alike(*calls)
    assert (await admin.call("PUT", "/v1/secrets/partner", eve, json={**body, "team": "orders"})).status_code == 403
    assert (await admin.call("GET", "/v1/secrets", eve)).json() == []
    assert [one["name"] for one in (await admin.call("GET", "/v1/secrets", bob)).json()] == ["partner"]
    far = {"team": "billing", "paths": ["/bills"], "upstream": {"endpoints": [{"url": "https://203.0.113.7"}]}}
    for name in ("partner", "nothing"):
        far["upstream"]["tls"] = {"private_key": {"secret": name}}  # type: ignore[index]
        calls.append(await admin.call("PUT", "/v1/resources/Api/bills", eve, json=far))
    assert calls[-1].status_code == 422 and alike(*calls[-2:])
    told = (await admin.call("GET", "/v1/resources/Api/orders", eve)).json()["document"]
    assert told["upstream"]["tls"] == {"ca": "***"}
    assert (await admin.call("GET", "/v1/audit", eve)).status_code == 403


async def test_without_a_gateway_the_command_writes_the_state_and_deletes_by_force_alone(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"))
    file = tmp_path / "value"
    file.write_text("what nobody is to see\n")
    assert (await bartizan("secret", "set", "one", "--from-file", str(file), *state))[1] == "one is set\n"
    assert (await bartizan("secret", "set", "two", "--team", "orders", "--to", "B.example:443", "--to", "a.example", *state, value="x"))[
        0
    ] == 0
    status, out, _ = await bartizan("secret", "list", "--json", *state)
    held = [(one["name"], one["team"], one["to"]) for one in json.loads(out)]
    assert (status, held) == (0, [("one", None, []), ("two", "orders", ["a.example", "b.example:443"])])
    _, shown, _ = await bartizan("secret", "list", *state)
    assert "to a.example, b.example:443" in shown and "to nowhere" in shown and "nobody is to see" not in out + shown
    for wrong in (("set", "Three"), ("set", "three", "--to", "*"), ("set", "three", "--from-file", str(tmp_path / "none"))):
        status, _, err = await bartizan("secret", *wrong, *state, value="what nobody is to see")
        assert status == 1 and "nobody is to see" not in err, wrong
    assert (await bartizan("secret", "set", "three", *state))[0] == 1
    assert (await bartizan("secret", "set", "three", "a-value", *state))[0] == 64
    status, _, err = await bartizan("secret", "delete", "one", *state)
    assert status == 1 and "nobody can tell what refers to it" in err
    assert (await bartizan("secret", "delete", "two", "--force", *state))[0] == 1  # that is the team's
    assert (await bartizan("secret", "delete", "one", "--force", *state))[0] == 0
    assert [one["name"] for one in json.loads((await bartizan("secret", "list", "--json", *state))[1])] == ["two"]


async def test_going_back_brings_no_secret_back_and_holds_up_nothing(tmp_path: Path, upstream: int) -> None:
    state, pair, whole = str(tmp_path / "state"), client(), api(tmp_path, upstream)
    to = ("--team", "orders", "--to", f"127.0.0.1:{upstream}", "--state", state)
    assert (await bartizan("secret", "set", "partner", *to, value=text_of(pair)))[0] == 0
    files = {"gateway.yaml": GATEWAY, "orders.yaml": whole}
    async with gateway(tmp_path, files) as gw:
        assert await shown(gw) == pair.fingerprint
        revision = (await gw.status())["revision"]
        await gw.edit("orders.yaml", whole.replace(", private_key: {secret: partner}", ""))
        await gw.until(lambda now: now["revision"] != revision)
        await secret(gw, "delete", "partner", "--team", "orders")  # nothing refers to it any more
        status, _, err = await bartizan("rollback", revision, "-m", "a test", "--state", state)
        assert status == 0, err
        assert (await gw.status())["revision"] == revision
        assert await shown(gw) == "503"
        assert any("its secret isn't there" in one for one in (await gw.status())["warnings"])
        before = gw.pid("bartizan.app")
        os.kill(before, signal.SIGKILL)
        await gw.eventually(lambda: _restarted(gw, before), 15)
        assert (await gw.status())["revision"] == revision
        assert await shown(gw) == "503"
        await secret(gw, "set", "partner", *to[:4], value=text_of(pair))
        assert await until(gw, pair.fingerprint) < 1


async def _restarted(gw: Gateway, before: int) -> bool:
    """Whether another control plane serves."""
    try:
        return gw.pid("bartizan.app") != before and bool((await gw.status())["revision"])
    except (AssertionError, httpx.TransportError):
        return False
