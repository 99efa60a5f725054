"""A whole replay against a real Envoy: every record is counted once, equal questions are put once, and an Envoy that ends is told."""

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from bartizan.compile import Compiled, compile
from bartizan.compile.read import assemble, read
from bartizan.errors import Unavailable
from bartizan.model.snapshot import Snapshot
from bartizan.replay import Candidate, Replay

TEXT = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:1"}
---
{kind: Authenticate, name: callers, any: [api_key]}
---
{kind: Authorize, name: gold, target: {paths: [/orders/gold]}, allow: principal.plan == "gold"}
---
{kind: Authorize, name: morning, target: {paths: [/orders/morning]}, allow: 'now.hour("UTC") < 12'}
---
{kind: Authorize, name: here, target: {paths: [/orders/here]}, allow: 'source.ip.within(["192.0.2.0/24"])'}
---
{kind: Authorize, name: tenant, target: {paths: [/orders/tenant]}, allow: 'request.headers["x-tenant"] == "good"'}
---
{kind: Authorize, name: zz-gold, target: {paths: [/orders/tenant]}, allow: principal.plan == "gold"}
"""


def made() -> Compiled:
    found = assemble([read(TEXT, "gateway.yaml")], {})
    assert isinstance(found, Snapshot), found
    return compile(found)


def record(i: int, path: str, plan: str = "gold", **fields: Any) -> dict[str, Any]:
    same = {"host": "localhost", "protocol": "HTTP/1.1", "policies": "Authenticate/callers", "details": "via_upstream", "status": 200}
    who = {"principal": "acme", "auth_method": "api_key", "attributes": {"plan": plan}}
    what = {"time": f"2026-11-22T{i % 24:02}:00:00.{i % 1000:03}Z", "request_id": f"r{i}", "http_method": "GET", "path": path}
    return {**same, **who, **what, "api": "orders", "route": path, "source": f"192.0.{i % 4}.1", "user_agent": f"agent/{i}", **fields}


async def test_every_record_is_counted_once_and_equal_questions_are_put_once() -> None:
    def records() -> Iterator[dict[str, Any]]:
        for i in range(1000):
            yield record(i, "/orders/gold", "gold" if i % 2 else "free")

    async with Candidate(made()) as candidate:
        tally = await Replay(candidate).run(records())
    assert (tally.counts["newly refused"], tally.counts["same"], tally.records) == (500, 500, 1000)
    assert tally.asked < 40  # one for each plan, and those that were on their way when the first answer came
    ((group, seen),) = tally.of("newly refused")
    assert (group.policy, group.where.who, seen.count) == ("Authorize/gold", "acme", 500)


async def test_what_matters_makes_another_question() -> None:
    async with Candidate(made()) as candidate:
        hours = await Replay(candidate).run(record(i, "/orders/morning") for i in range(480))
        sources = await Replay(candidate).run(record(i, "/orders/here") for i in range(400))
    assert (hours.counts["newly refused"], hours.counts["same"]) == (240, 240)
    assert (sources.counts["newly refused"], sources.counts["same"]) == (300, 100)
    assert sources.asked < 40


async def test_one_that_cannot_be_told_hides_no_other() -> None:
    async with Candidate(made()) as candidate:
        tally = await Replay(candidate).run(record(i, "/orders/tenant", "gold" if i % 2 else "free") for i in range(100))
    assert tally.of("newly refused")[0][0].policy == "Authorize/zz-gold"
    assert (tally.counts["newly refused"], tally.counts["untold"]) == (50, 50)
    assert tally.untold() == [("Authorize/tenant", ('request.headers["x-tenant"]',), 50)]


async def test_what_cannot_be_asked_or_read_is_told() -> None:
    token = {"principal": "https://x|ines", "auth_method": "jwt", "issuer": "unknown"}
    odd = [record(1, "/orders", http_method="CONNECT"), record(2, "/orders", **token), record(3, "/orders", time="never")]
    odd += [record(4, "/orders", details="http1.codec_error", status=400, api="", route=""), record(5, "/orders", host="a\r\nb")]
    async with Candidate(made()) as candidate:
        tally = await Replay(candidate).run(odd)
    assert (tally.counts["untold"], tally.judged, tally.no_decision.total()) == (3, 0, 2)
    assert any("Issuer 'unknown'" in lacks[0] for _, lacks, _ in tally.untold())


async def test_an_envoy_that_ends_is_told() -> None:
    async def one() -> None:
        async with Candidate(made()) as candidate:
            process = candidate._scratch._process
            assert process is not None
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await Replay(candidate).run(record(i, "/orders/gold") for i in range(100))

    with pytest.raises(Unavailable, match="scratch instance doesn't answer"):
        await asyncio.wait_for(one(), 30)


async def test_nothing_to_replay_is_nothing() -> None:
    async with Candidate(made()) as candidate:
        assert (await Replay(candidate).run([])).records == 0
