"""Tests, diffs, explanations and replays through the admin API, and by the command line from another machine."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.gateway import upstream
from tests.e2e.test_admin import Admin, administered

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Consumer, name: acme, attributes: {plan: gold}}
---
{kind: Consumer, name: globex, attributes: {plan: silver}}
---
{kind: Authenticate, name: callers, target: {api: orders}, any: [api_key]}
"""
GOLD = {"kind": "Authorize", "name": "plans", "target": {"api": "orders"}, "allow": 'principal.plan == "gold"'}
CASES = """
cases:
- {name: globex may read, given: {principal: globex, path: /orders/1}, expect: allow}
invariants:
- {name: nobody unknown, never: {who: anonymous, path: /orders}}
"""
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class World:
    """A gateway that has served some, and its operators' tokens."""

    admin: Admin
    ann: str
    vic: str
    refused: str
    """The id of a request that was refused."""

    async def post(self, url: str, token: str = "", **body: Any) -> Any:
        answer = await self.admin.call("POST", url, token or self.ann, json=body)
        assert answer.status_code in {200, 202}, answer.text
        return answer.json()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with upstream() as port:
        files = {"all.yaml": FILES.replace("UPSTREAM", str(port))}
        async with administered(tmp_path_factory.mktemp("trials"), files) as admin:
            gw, ann = admin.gw, await admin.token(admin.first, "ann", "admin")
            vic = await admin.token(ann, "vic", "viewer")
            _, key = gw.new_key("globex")

            async def serves() -> bool:
                return (await gw.get("/orders/1", headers={"x-api-key": key})).status_code == 200

            await gw.eventually(serves)
            (gw.files / "orders.test.yaml").write_text(CASES)
            refused = await gw.get("/orders/1")
            await gw.record(refused)
            yield World(admin, ann, vic, refused.headers["x-request-id"])


async def test_the_tests_beside_the_policies_are_asked(world: World) -> None:
    told = await world.post("/v1/tests")
    assert (told["passed"], told["failed"]) == (2, 0)
    assert [one["name"] for one in told["cases"] + told["invariants"]] == ["globex may read", "nobody unknown"]
    assert told["revision"] == (await world.admin.gw.status())["revision"]
    missing = await world.admin.call("POST", "/v1/tests", world.ann, json={"revision": "999"})
    assert missing.status_code == 404


async def test_a_diff_tells_text_and_meaning(world: World) -> None:
    told = await world.post("/v1/diff", put=[GOLD])
    assert (told["added"], told["changed"], told["removed"]) == (["Authorize/plans"], [], [])
    (group,) = told["meaning"]["access"]
    assert [(one["what"], one["who"]["names"]) for one in group["changes"]] == [("loses", ["globex"])]
    same = await world.post("/v1/diff", revision="1", against="1")
    assert same["meaning"]["same"] and not same["added"]
    assert (await world.admin.call("POST", "/v1/diff", world.ann, json={})).status_code == 422
    # Nothing of it was kept.
    assert len((await world.admin.call("GET", "/v1/revisions", world.ann)).json()["items"]) == 1


async def test_a_request_is_explained_whether_it_has_happened_or_not(world: World) -> None:
    happened = (await world.admin.call("GET", f"/v1/explain/{world.refused}", world.vic)).json()
    assert (happened["decision"]["refused"], happened["decision"]["by"]) == (True, "Authenticate/callers")
    assert happened["policies"][0]["policy"] == "Authenticate/callers" and happened["remedy"]
    asked = await world.post("/v1/explain", world.vic, path="/orders/1", consumer="globex", at="2026-11-23T09:00:00Z")
    assert asked["hypothetical"] and not asked["decision"]["refused"] and asked["record"]["principal"] == "globex"
    assert (await world.admin.call("GET", "/v1/explain/unknown", world.vic)).status_code == 404
    nobody = await world.admin.call("POST", "/v1/explain", world.vic, json={"path": "/orders/1", "consumer": "nobody"})
    assert nobody.status_code == 404
    both = await world.admin.call("POST", "/v1/explain", world.vic, json={"path": "/", "consumer": "acme", "ca": "x", "san": "y"})
    assert both.status_code == 422


async def test_recorded_requests_are_judged_by_a_revision(world: World) -> None:
    told = await world.post("/v1/replays", revision="1", seconds=3600)
    while told["status"] == "running":
        told = (await world.admin.call("GET", f"/v1/replays/{told['id']}", world.ann)).json()
    result = told["result"]
    assert told["status"] == "done" and result["judged"] == result["same"] > 1
    assert (await world.admin.call("GET", "/v1/replays/rpl_0", world.ann)).status_code == 404


async def test_viewers_explain_and_try_nothing_else(world: World) -> None:
    for path in ("/v1/tests", "/v1/diff", "/v1/replays"):
        assert (await world.admin.call("POST", path, world.vic, json={})).status_code == 403
    assert (await world.admin.call("GET", "/v1/replays/rpl_0", world.vic)).status_code == 403


async def ran(world: World, *arguments: object, token: str = "") -> tuple[int, str, str]:
    """A command that asks the gateway over its admin API."""
    file = world.admin.gw.folder / f"token-{len(list(world.admin.gw.folder.glob('token-*')))}"
    file.write_text(token or world.ann)
    command = [sys.executable, "-m", "bartizan.cli.main", *map(str, arguments), "--server", world.admin.url, "--token-file", str(file)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


async def test_the_command_line_asks_another_machine(world: World) -> None:
    candidate = world.admin.gw.folder / "candidate"
    candidate.mkdir()
    (candidate / "all.yaml").write_text((world.admin.gw.files / "all.yaml").read_text() + f"---\n{json.dumps(GOLD)}\n")
    status, out, error = await ran(world, "diff", "-f", candidate)
    assert status == 2, error
    assert "+ Authorize/plans" in out and "- loses: globex" in out
    status, out, error = await ran(world, "test")
    assert status == 0 and "2 passed" in out, error
    status, out, error = await ran(world, "explain", world.refused, token=world.vic)
    assert status == 0 and "refused" in out and "Authenticate/callers" in out, error
    status, out, error = await ran(world, "explain", "--path", "/orders/1", "--consumer", "globex", token=world.vic)
    assert status == 0 and "would be let through" in out, error
    status, out, error = await ran(world, "replay", "--revision", "1", "--last", "1h")
    assert status == 0 and "ok" in out, error
    status, out, error = await ran(world, "replay", "--revision", "1", "--last", "1h", token=world.vic)
    assert status == 1 and "role doesn't allow" in error
