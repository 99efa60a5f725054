"""`bartizan bisect` finds the commit that changed the answer to a request, in what a running gateway has kept."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.e2e.gateway import Gateway, gateway, upstream

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string, level: number}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
attributes: {plan: silver, level: 3}
---
kind: Authenticate
name: callers
target: {api: orders}
any: [api_key]
"""
GOLD = "{kind: Authorize, name: plans, target: {api: orders}, allow: 'principal.plan == \"gold\"'}\n"
LEVEL = "{kind: Authorize, name: levels, target: {api: orders}, allow: principal.level >= 2}\n"
HIGHER = LEVEL.replace("2", "5")
OTHER = '{kind: IpAccess, name: strangers, target: {api: orders}, deny: ["192.0.2.1"]}\n'


async def bisected(gw: Gateway, ident: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and what is told as JSON."""
    command = [sys.executable, "-m", "bartizan.cli.main", "bisect", ident, "--state", str(gw.state), "--json", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, error = await process.communicate()
    return process.returncode or 0, json.loads(out) if out else {"error": error.decode()}


async def asked(gw: Gateway, key: str) -> tuple[int, str]:
    """The status of a request, and its id."""
    answer = await gw.get("/orders/1", headers={"x-api-key": key})
    await gw.record(answer)
    return answer.status_code, answer.headers["x-request-id"]


async def line_holds(gw: Gateway, count: int) -> None:
    """Waits until so many commits are kept."""

    async def there() -> bool:
        command = [sys.executable, "-m", "bartizan.cli.main", "log", "--state", str(gw.state), "--json"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        return len(json.loads((await process.communicate())[0])) == count

    await gw.eventually(there, 15)


async def test_the_commit_that_refused_is_found_with_who_made_it_and_why(tmp_path: Path) -> None:
    with upstream() as port:
        async with gateway(tmp_path, {"gateway.yaml": FRAME.replace("UPSTREAM", str(port))}) as gw:
            _, key = gw.new_key("acme")
            await gw.eventually(lambda: _serves(gw, key))
            good = (await asked(gw, key))[1]
            await gw.edit("more.yaml", LEVEL)
            await gw.edit("more.yaml", LEVEL + "---\n" + GOLD)  # commit 3
            status, refused = await asked(gw, key)
            assert status == 403
            await gw.edit("more.yaml", LEVEL + "---\n" + GOLD + "---\n" + OTHER)
            await line_holds(gw, 4)
            for ident, answer in ((refused, 403), (good, 200)):
                code, told = await bisected(gw, ident)
                assert code == 0, told
                (change,) = told["changes"]
                assert told["record"]["status"] == answer
                assert (change["commit"]["number"], change["before"]["number"], change["among"]) == (3, 2, [3])
                assert (change["commit"]["author"], change["commit"]["message"]) == ("files", "added Authorize/plans")
                assert (change["was"]["answer"], change["became"]["answer"]) == ("allowed", "refused")
                assert change["became"]["policy"] == "Authorize/plans"
                assert change["documents"] == [{"sign": "+", "name": "Authorize/plans"}]
            # What nobody asked for when the first request came is told to be of now.
            assert any(one["by_attributes_of_now"] for one in told["asked"])
            code, told = await bisected(gw, "7f671899-0000-4b79-8517-d8b9b76b25f2")
            assert code == 1 and "no record" in told["error"]


async def _serves(gw: Gateway, key: str) -> bool:
    return (await gw.get("/orders/1", headers={"x-api-key": key})).status_code == 200


async def test_what_changed_and_changed_back_is_found_by_asking_all(tmp_path: Path) -> None:
    with upstream() as port:
        async with gateway(tmp_path, {"gateway.yaml": FRAME.replace("UPSTREAM", str(port)), "more.yaml": LEVEL}) as gw:
            _, key = gw.new_key("acme")
            await gw.eventually(lambda: _serves(gw, key))
            first = (await asked(gw, key))[1]
            await line_holds(gw, 1)
            code, told = await bisected(gw, first)
            assert (code, told["found"], told["changes"]) == (1, False, [])
            await gw.edit("more.yaml", HIGHER)
            await gw.edit("more.yaml", LEVEL)
            await line_holds(gw, 3)
            code, told = await bisected(gw, first, "--all")
            assert code == 0
            assert [(one["commit"]["number"], one["became"]["answer"]) for one in told["changes"]] == [(3, "allowed"), (2, "refused")]
            # The latest change alone, found on the way back.
            code, told = await bisected(gw, first)
            assert [one["commit"]["number"] for one in told["changes"]] == [3]
            # Commits 1 and 3 are the same revision: it is asked once.
            assert len({one["revision"] for one in told["asked"]}) == 2


async def test_people_read_it_in_words(tmp_path: Path) -> None:
    with upstream() as port:
        async with gateway(tmp_path, {"gateway.yaml": FRAME.replace("UPSTREAM", str(port))}) as gw:
            _, key = gw.new_key("acme")
            await gw.eventually(lambda: _serves(gw, key))
            await gw.edit("more.yaml", GOLD)
            _, ident = await asked(gw, key)
            await line_holds(gw, 2)
            command = [sys.executable, "-m", "bartizan.cli.main", "bisect", ident, "--state", str(gw.state)]
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            out = (await process.communicate())[0].decode()
    assert process.returncode == 0
    assert "by acme at" in out and "answered with 403" in out
    assert "commit 2: revision" in out and "by files at" in out
    assert "since then: refused by Authorize/plans" in out
    assert "  before (commit 1, revision" in out and "let through" in out
    assert "+ Authorize/plans" in out
    assert "asked 2 of 2 commits" in out
