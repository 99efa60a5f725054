"""Revoked client certificates: refused at the handshake as soon as their CA's list says so, and all of them without a good list."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.certificates import Pair, authority
from tests.e2e.gateway import Gateway, gateway
from tests.e2e.shown import client

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
blocking: {exempt: [127.0.0.0/8]}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Tls
name: safe
target: {listener: web}
certificate: FOLDER/server.pem
private_key: {file: FOLDER/server.key}
client_cas: {corp: corp.pem, others: others.pem}
crls: {corp: {file: FOLDER/corp.crl}, others: {file: FOLDER/others.crl}}
---
kind: Authenticate
name: callers
any: [api_key, {mtls: corp}, {mtls: others}]
---
kind: Consumer
name: acme
credentials: [{certificate: {ca: corp, san: "spiffe://corp/one"}}]
"""
WEB, CORP, OTHERS = authority("Web"), authority("Corp"), authority("Others")
ONE, TWO, THREE = CORP.client("spiffe://corp/one"), CORP.client("spiffe://corp/two"), OTHERS.client("spiffe://others/three")


class Calls:
    """Calls with certificates."""

    def __init__(self, gw: Gateway, folder: Path) -> None:
        self.gw, self.folder = gw, folder

    def client(self, pair: Pair | None) -> httpx.AsyncClient:
        return client(WEB, self.folder, self.gw.port, pair)

    async def status(self, pair: Pair | None) -> int:
        """On a connection of its own; 0 if the handshake was refused."""
        async with self.client(pair) as there:
            try:
                return (await there.get("/orders/1")).status_code
            except (httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError, ssl.SSLError):
                return 0

    async def becomes(self, pair: Pair, status: int, seconds: float = 2.0) -> float:
        began = time.monotonic()
        while (now := await self.status(pair)) != status:
            assert time.monotonic() < began + seconds, f"{now}, not {status}\n{self.gw.log()[-2000:]}"
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    def write(self, name: str, content: bytes) -> None:
        partial = self.folder / "partial"
        partial.write_bytes(content)
        partial.replace(self.folder / name)

    async def told(self, what: str) -> None:
        await self.gw.until(lambda now: any(what in one for one in now["warnings"]))


@pytest.fixture
async def calls(tmp_path: Path, upstream: int) -> AsyncIterator[Calls]:
    WEB.server().save(tmp_path, "server")
    (tmp_path / "corp.crl").write_bytes(CORP.crl(days=(-3, 30)))
    (tmp_path / "others.crl").write_bytes(OTHERS.crl(days=(-3, 30)))
    text = FILES.replace("UPSTREAM", str(upstream)).replace("FOLDER", str(tmp_path))
    files = {"all.yaml": text, "corp.pem": CORP.pem.decode(), "others.pem": OTHERS.pem.decode()}
    async with gateway(tmp_path, files) as gw:
        yield Calls(gw, tmp_path)


async def test_a_revoked_certificate_is_refused_and_no_other(calls: Calls) -> None:
    assert [await calls.status(one) for one in (None, ONE, TWO, THREE)] == [401, 200, 200, 200]
    revision = (await calls.gw.status())["revision"]
    async with calls.client(ONE) as there:
        assert (await there.get("/orders/1")).status_code == 200
        calls.write("corp.crl", CORP.crl(ONE, days=(-2, 30)))
        assert await calls.becomes(ONE, 0) < 1.5
        assert [await calls.status(one) for one in (None, TWO, THREE)] == [401, 200, 200]
        # A connection that is open lives on, as the manual says: its consumer is disabled, or blocked, to end it.
        assert (await there.get("/orders/1")).status_code == 200
        text = (calls.gw.files / "all.yaml").read_text()
        await calls.gw.edit("all.yaml", text.replace("name: acme", "name: acme\ndisabled: true"))
        assert (await there.get("/orders/1")).status_code == 401
    calls.write("corp.crl", CORP.crl(TWO, days=(-1.5, 30)))
    await calls.becomes(TWO, 0)
    assert (await calls.gw.status())["revision"] == revision


async def test_a_list_that_isnt_good_changes_nothing(calls: Calls) -> None:
    calls.write("corp.crl", CORP.crl(ONE, days=(-2, 30)))
    await calls.becomes(ONE, 0)
    good = CORP.crl(days=(-1, 30)).decode().splitlines()
    tampered = "\n".join([*good[:2], good[2].swapcase(), *good[3:]]).encode()
    bad = {
        b"": "has signed",
        tampered: "CA corp",
        CORP.crl(days=(-1, 30), by=OTHERS): "has signed",
        OTHERS.crl(days=(-1, 30)): "has signed",
        CORP.crl(days=(-3, 30)): "is older than",
        CORP.crl(days=(1, 30)): "isn't valid before",
    }
    for content, told in bad.items():
        calls.write("corp.crl", content)
        await calls.told(told)
        assert [await calls.status(one) for one in (ONE, TWO, THREE)] == [0, 200, 200], told
    (calls.folder / "corp.crl").unlink()
    await calls.told("can't be read; the list before counts")
    assert [await calls.status(one) for one in (ONE, TWO, THREE)] == [0, 200, 200]
    calls.write("corp.crl", CORP.crl(days=(-0.5, 30)))
    await calls.becomes(ONE, 200)


async def test_an_expired_list_refuses_every_certificate_of_its_ca(calls: Calls) -> None:
    calls.write("corp.crl", CORP.crl(days=(-2, -1)))
    await calls.becomes(ONE, 0)
    assert [await calls.status(one) for one in (None, TWO, THREE)] == [401, 0, 200]
    await calls.told("has expired at")
    calls.write("corp.crl", CORP.crl(days=(-1, 0.5)))
    await calls.becomes(ONE, 200)
    await calls.told("expires at")


async def test_nothing_begins_without_a_list_and_ca_by_ca_is_a_mistake(calls: Calls) -> None:
    text = (calls.gw.files / "all.yaml").read_text()
    wrong = await calls.gw.edit("all.yaml", text.replace("corp.crl", "gone.crl"), enforced=False)
    assert [one["code"] for one in wrong["refused"]] == ["crl-unusable"]
    some = text.replace(f", others: {{file: {calls.folder}/others.crl}}", "")
    wrong = await calls.gw.edit("all.yaml", some, enforced=False)
    assert [one["code"] for one in wrong["refused"]] == ["crl-of-some"]
    assert await calls.status(ONE) == 200
