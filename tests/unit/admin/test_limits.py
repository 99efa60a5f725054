"""Bodies within bounds, and a last word for whoever is being answered when all ends."""

import asyncio
from collections.abc import Iterable

import pytest
from starlette.types import Message, Receive, Scope, Send

from bartizan.admin.limits import LARGEST, Bounded, Ending


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that reads its body, and says 400 if that is cut off."""
    status, more = 200, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            status, more = 400, False
        else:
            more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


async def answered(parts: Iterable[bytes], length: bytes | None = None) -> list[Message]:
    sent: list[Message] = []
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-length", length)] if length is not None else []
    await Bounded(reads_all)({"type": "http", "headers": headers}, receive, send)
    return sent


async def test_a_body_within_bounds_passes_to_the_last_byte() -> None:
    half = b"x" * (LARGEST // 2)
    assert [one.get("status") for one in await answered([half, half])] == [200, None]


@pytest.mark.parametrize("length", [str(LARGEST + 1).encode(), b"-1", b"1e9", b""])
async def test_an_announced_body_that_is_too_large_is_refused_unread(length: bytes) -> None:
    assert (await answered([], length))[0]["status"] == 413


async def test_one_that_only_grows_too_large_gets_one_answer_that_says_so() -> None:
    sent = await answered([b"x" * LARGEST, b"x"])
    assert [one.get("status") for one in sent] == [413, None]
    assert b"body-too-large" in sent[1]["body"]


async def test_who_is_being_answered_when_it_ends_is_told() -> None:
    sent: list[Message] = []

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    task = asyncio.create_task(Ending(never)({"type": "http"}, receive, send))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sent[0]["status"] == 503
