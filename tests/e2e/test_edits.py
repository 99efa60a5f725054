"""Edits while it serves: none drops a request, each request is judged by exactly one revision, and the record names it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from bartizan.telemetry.decision import decision_of
from tests.e2e.gateway import Gateway, gateway, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")
EDITS = 200

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
blocking: {attempts: 5, window: 30s, duration: 2s}
---
kind: Consumer
name: acme
---
kind: Authenticate
name: callers
any: [api_key]
"""
API = """
kind: Api
name: NAME
paths: [/PATH]
upstream: http://127.0.0.1:UPSTREAM
"""
# Two policies whose answers tell which revision judged: with the same letter both let through; a mixture of two revisions refuses.
PAIR = """
kind: Authorize
name: first
target: {api: moving}
allow: request.headers["x-letter"] == "LETTER"
---
kind: Authorize
name: second
target: {api: moving}
allow: request.headers["x-letter"] == "LETTER"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with upstream() as port:
        moving = API.replace("NAME", "moving").replace("PATH", "moving").replace("UPSTREAM", str(port))
        still = API.replace("NAME", "still").replace("PATH", "still").replace("UPSTREAM", str(port))
        files = {"frame.yaml": FRAME, "moving.yaml": moving, "still.yaml": still, "pair.yaml": PAIR.replace("LETTER", "a")}
        async with gateway(tmp_path_factory.mktemp("edits"), files) as made:
            made.upstream_port = port  # type: ignore[attr-defined]
            yield made


async def _key(gw: Gateway) -> str:
    _, key = gw.new_key("acme")

    async def known() -> bool:
        return (await gw.get("/still", headers={"x-api-key": key})).status_code == 200

    await gw.eventually(known)
    return key


async def _load(gw: Gateway, headers: dict[str, str], path: str, stop: asyncio.Event, answers: list[tuple[str, int]]) -> None:
    async with httpx.AsyncClient(base_url=gw.url, timeout=10) as client:
        while not stop.is_set():
            answer = await client.get(path, headers=headers)
            answers.append((answer.headers["x-request-id"], answer.status_code))


async def test_each_request_is_judged_by_exactly_one_revision(gw: Gateway) -> None:
    key = await _key(gw)
    stop = asyncio.Event()
    answers: dict[str, list[tuple[str, int]]] = {"a": [], "b": [], "still": []}
    tasks = [
        asyncio.create_task(_load(gw, {"x-api-key": key, "x-letter": letter}, "/moving", stop, answers[letter])) for letter in "ab" * 2
    ]
    tasks.append(asyncio.create_task(_load(gw, {"x-api-key": key}, "/still", stop, answers["still"])))
    revisions: dict[str, str] = {}
    try:
        for i in range(EDITS):
            letter = "ba"[i % 2]
            # A description makes each edit a revision of its own.
            text = PAIR.replace("LETTER", letter).replace("name: first", f"name: first\ndescription: edit {i}")
            told = await gw.edit("pair.yaml", text)
            revisions[told["revision"]] = letter
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert len(revisions) == EDITS
    assert {status for _, status in answers["still"]} == {200}, "an API that nobody edited was disturbed"
    assert {status for _, status in answers["a"] + answers["b"]} <= {200, 403}
    assert min(sum(status == code for _, status in answers["a"]) for code in (200, 403)) > 10
    await asyncio.sleep(0.5)
    records = {record["request_id"]: record for record in gw.records()}
    first = (await gw.status())["revision"]
    for letter in "ab":
        for request_id, status in answers[letter]:
            record = records[request_id]
            judged_by = revisions.get(record["revision"], "a")
            assert status == (200 if judged_by == letter else 403), f"{record} under {first}"
            assert record["policies"] == "Authenticate/callers Authorize/first Authorize/second", record
            verdicts = [one for one in decision_of(record).verdicts if one.policy.startswith("Authorize/")]
            said = {one.said for one in verdicts if one.said != "not reached"}
            assert len(said) == 1, f"two verdicts of one letter differ: a mixture of revisions: {record}"
            assert record["generation"]


async def test_a_path_that_moves_between_apis_is_never_a_hole(gw: Gateway) -> None:
    key = await _key(gw)
    stop, answers = asyncio.Event(), []
    port = str(gw.upstream_port)  # type: ignore[attr-defined]
    task = asyncio.create_task(_load(gw, {"x-api-key": key}, "/still/there", stop, answers))
    try:
        for i in range(30):
            name = f"owner{i % 2}"
            await gw.edit("still.yaml", API.replace("NAME", name).replace("PATH", "still").replace("UPSTREAM", port))
    finally:
        stop.set()
        await task
        await gw.edit("still.yaml", API.replace("NAME", "still").replace("PATH", "still").replace("UPSTREAM", port))
    assert len(answers) > 30
    assert {status for _, status in answers} == {200}


async def test_a_slow_copy_is_taken_when_it_has_settled(gw: Gateway) -> None:
    before = len(_changes(gw))
    for i in range(30):
        (gw.files / f"consumer{i}.yaml").write_text(f"kind: Api\nname: copy{i}\npaths: [/copy{i}]\nupstream: http://127.0.0.1:9\n")
        await asyncio.sleep(0.02)
    await gw.until(lambda now: not now["refused"] and len(_changes(gw)) > before)
    await asyncio.sleep(0.5)
    assert len(_changes(gw)) - before <= 2, "half a copy became a revision"
    for i in range(30):
        (gw.files / f"consumer{i}.yaml").unlink()
    await gw.until(lambda now: len(_changes(gw)) >= before + 2)


def _changes(gw: Gateway) -> list[dict[str, Any]]:
    path: Path = gw.state / "records" / "changes.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_loosening_is_told_in_log_status_and_record(gw: Gateway) -> None:
    text = PAIR.replace("LETTER", "a")
    await gw.edit("pair.yaml", text)
    told = await gw.edit("pair.yaml", text.replace("name: second", "name: second\nmode: disabled"))
    sentence = "Authorize/second is in disabled mode now"
    assert any(sentence in one and told["revision"] in one for one in told["loosened"])
    assert "LOOSENS: " + sentence in gw.log()
    (change,) = [one for one in _changes(gw) if one["revision"] == told["revision"]]
    assert sentence in change["loosens"][0]
    await gw.edit("pair.yaml", text)
    assert _changes(gw)[-1]["loosens"] == []


async def test_many_failures_block_a_source_and_time_frees_it(gw: Gateway) -> None:
    key = await _key(gw)
    began = time.monotonic()

    async def blocked() -> bool:
        return (await gw.get("/still", headers={"x-api-key": "bz_wrong"})).status_code == 429

    await gw.eventually(blocked, 4)
    assert time.monotonic() - began < 3
    answer = await gw.get("/still", headers={"x-api-key": key})
    assert answer.status_code == 429, "a blocked source is refused whatever it sends"
    assert answer.json()["type"] == "urn:bartizan:problem:too-many-attempts"
    assert (await gw.status())["blocked"] == ["127.0.0.1/32"]

    async def free() -> bool:
        return (await gw.get("/still", headers={"x-api-key": key})).status_code == 200

    await gw.eventually(free, 6)
