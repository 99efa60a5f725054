"""An issuer is asked about a token once at a time, and not too often."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from bartizan.callout import asking
from bartizan.callout.asking import Asker, Askers, Bucket
from bartizan.callout.verdict import Refused, Told
from tests.unit.callout.issuers import CORP

GOOD = {"active": True, "aud": "orders", "sub": "ines"}


@dataclass
class Server:
    """A real one, of a few lines."""

    port: int = 0
    asked: list[bytes] = field(default_factory=list)
    wait_s: float = 0.0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        self.asked.append(head + await reader.readexactly(length))
        await asyncio.sleep(self.wait_s)
        body = json.dumps(GOOD).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()
        writer.close()


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield made


def asker(made: Server, **more: object) -> Asker:
    return Asker(replace(CORP, url=f"http://127.0.0.1:{made.port}/", **more))  # type: ignore[arg-type]


async def test_it_is_asked_once_and_then_known() -> None:
    async with server() as made:
        made.wait_s = 0.05
        one = asker(made)
        assert one.known("a+b") is None
        found = await asyncio.gather(*(one.verdict("a+b") for _ in range(10)))
        assert all(isinstance(each, Told) for each in found) and one.known("a+b") is found[0]
        (sent,) = made.asked
        assert sent.endswith(b"\r\n\r\ntoken=a%2Bb&token_type_hint=access_token") and b"Basic Z3c6czNjcmV0" in sent
        await one.end()


async def test_id_and_secret_may_stand_in_the_form() -> None:
    async with server() as made:
        one = asker(made, post=True, client_secret="a&b")
        await one.verdict("t")
        (sent,) = made.asked
        assert sent.endswith(b"&client_id=gw&client_secret=a%26b") and b"uthorization" not in sent
        await one.end()


async def test_whoever_leaves_takes_the_answer_from_nobody() -> None:
    async with server() as made:
        made.wait_s = 0.1
        one = asker(made)
        leaves, stays = asyncio.ensure_future(one.verdict("t")), asyncio.ensure_future(one.verdict("t"))
        await asyncio.sleep(0.02)
        leaves.cancel()
        assert isinstance(await stays, Told) and len(made.asked) == 1
        await one.end()


async def test_without_a_secret_beyond_its_bound_or_too_slow_it_isnt_asked() -> None:
    async with server() as made:
        for one in (asker(made, client_secret=None), asker(made, timeout_s=0.001)):
            made.wait_s = 0.1
            assert await one.verdict("t") is Refused.UNASKED
            assert one.known("t") is None, "what couldn't be asked isn't kept"
            await one.end()
        made.asked.clear()
        made.wait_s = 0.0
        one = asker(made, per_second=2)
        found = [await one.verdict(str(i)) for i in range(5)]
        assert found[2:] == [Refused.UNASKED] * 3 and len(made.asked) == 2
        await one.end()


async def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request that waits holds a connection of Envoy's, be it for the same token."""
    monkeypatch.setattr(asking, "WAITING", 3)
    async with server() as made:
        made.wait_s = 0.1
        one = asker(made)
        found = await asyncio.gather(*(one.verdict("t") for _ in range(5)))
        assert [each is Refused.UNASKED for each in found] == [False] * 3 + [True] * 2
        assert isinstance(await one.verdict("u"), Told), "there is room again"
        await one.end()


def test_a_bucket_fills_as_time_goes_by() -> None:
    now = 0.0
    bucket = Bucket(2, lambda: now)
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    now = 100.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]


async def test_what_is_known_outlasts_what_changes_elsewhere() -> None:
    async with server() as made:
        here = replace(CORP, url=f"http://127.0.0.1:{made.port}/")
        askers = Askers()
        asked = asyncio.ensure_future(askers.verdict("corp", "t"))
        await asyncio.sleep(0.02)
        await askers.take({"corp": here})
        assert isinstance(await asked, Told), "just after a start it is waited for"
        await askers.take({"corp": replace(here), "other": replace(CORP, name="other")})
        assert isinstance(askers.known("corp", "t"), Told)
        await askers.take({"corp": replace(here, audiences=("other",))})
        assert askers.known("corp", "t") is None, "another audience is another question"
        assert await askers.verdict("corp", "t") is Refused.INACTIVE
        await askers.take({})
        assert askers.known("corp", "t") is None


async def test_who_is_waited_for_when_an_issuer_is_declared_anew_isnt_asked() -> None:
    async with server() as made:
        made.wait_s = 5.0
        askers = Askers()
        await askers.take({"corp": replace(CORP, url=f"http://127.0.0.1:{made.port}/", timeout_s=4.0)})
        asked = asyncio.ensure_future(askers.verdict("corp", "t"))
        await asyncio.sleep(0.05)
        await askers.take({"corp": replace(CORP, cache_s=1.0)})
        assert await asyncio.wait_for(asked, 1) is Refused.UNASKED
        await askers.take({})
