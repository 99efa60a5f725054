"""Edits in flight: at every moment a request meets the rules of one revision, and never those of none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio

from tests.e2e.gateway import Gateway, gateway, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")
EDITS = 15

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {team: string}
blocking: {attempts: 1000000}
---
{kind: Api, name: site, paths: [/], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: orders, paths: [/orders], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Public, name: site, target: {api: site}, reason: the site is for all}
---
{kind: Authenticate, name: orders, target: {api: orders, except: [/orders/door]}, any: [api_key]}
"""
CONSUMERS = "{kind: Consumer, name: acme, attributes: {team: red}}\n---\n{kind: Consumer, name: globex, attributes: {team: blue}}\n"
OPEN = "{kind: Public, name: door, target: {api: orders, paths: [/orders/door]}, reason: a door that opens and closes}\n"
CLOSED = "{kind: Authenticate, name: door, target: {api: orders, paths: [/orders/door]}, any: [api_key]}\n"
RULE = '{kind: Authorize, name: rule, target: {api: orders, paths: [PATH]}, allow: principal.team == "red"}\n'
MOVING = "{kind: Api, name: moving, paths: [PATH], upstream: 'http://127.0.0.1:UPSTREAM'}\n---\n"
MOVING += "{kind: Authenticate, name: moving, target: {api: moving}, any: [api_key]}\n"


class World:
    """A gateway and the keys of two consumers."""

    def __init__(self, gw: Gateway, port: int) -> None:
        self.gw, self.port = gw, port
        self.keys = {name: gw.new_key(name)[1] for name in ("acme", "globex")}

    def key(self, name: str) -> dict[str, str]:
        return {"x-api-key": self.keys[name]}

    async def status(self, path: str, headers: dict[str, str] | None = None) -> int:
        return (await self.gw.client.get(path, headers=headers)).status_code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    with upstream() as port:
        files = {
            "frame.yaml": FRAME.replace("UPSTREAM", str(port)),
            "consumers.yaml": CONSUMERS,
            "door.yaml": CLOSED,
            "rule.yaml": RULE.replace("PATH", "/orders/rule"),
            "moving.yaml": MOVING.replace("PATH", "/moving/a").replace("UPSTREAM", str(port)),
        }
        async with gateway(tmp_path_factory.mktemp("transitions"), files) as gw:
            made = World(gw, port)

            async def known() -> bool:
                return await made.status("/orders", made.key("globex")) == 200

            await gw.eventually(known)
            yield made


@asynccontextmanager
async def _asking(world: World, asks: list[tuple[str, str]]) -> AsyncIterator[list[tuple[str, str, int, str]]]:
    """Asks these (path, consumer) all the time, each over a connection. Yields path, consumer, status and request id of each answer."""
    told: list[tuple[str, str, int, str]] = []
    stop = asyncio.Event()

    async def ask(path: str, name: str) -> None:
        async with httpx.AsyncClient(base_url=world.gw.url, timeout=10) as client:
            while not stop.is_set():
                answer = await client.get(path, headers=world.key(name) if name else {})
                told.append((path, name, answer.status_code, answer.headers["x-request-id"]))

    tasks = [asyncio.create_task(ask(path, name)) for path, name in asks]
    try:
        yield told
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _judged(world: World, told: list[tuple[str, str, int, str]], right: Callable[[str, str, str], int]) -> None:
    """That each answer is the one that its record's revision should give: `right(revision, path, consumer)`."""
    await asyncio.sleep(0.4)
    revisions = {record.get("request_id"): record["revision"] for record in world.gw.records() if record.get("revision")}
    assert len(told) > 50
    for path, name, status, ident in told:
        assert status == right(revisions[ident], path, name), (path, name, revisions[ident])


async def test_a_door_that_opens_and_closes_is_never_open_under_a_revision_that_closes_it(world: World) -> None:
    opens: dict[str, bool] = {(await world.gw.status())["revision"]: False}
    async with _asking(world, [("/orders/door", ""), ("/orders/door/x", ""), ("/orders/door", "globex"), ("/orders", "")]) as told:
        for i in range(EDITS):
            text = (OPEN if i % 2 == 0 else CLOSED).replace("}\n", f", description: edit {i}}}\n")
            opens[(await world.gw.edit("door.yaml", text))["revision"]] = i % 2 == 0
        opens[(await world.gw.edit("door.yaml", CLOSED))["revision"]] = False

    def right(revision: str, path: str, name: str) -> int:
        return 200 if name or (opens.get(revision, False) and path != "/orders") else 401

    await _judged(world, told, right)
    assert {status for path, name, status, _ in told if path == "/orders/door" and not name} == {200, 401}


async def test_credentials_are_stripped_where_an_edit_opens_and_judged_where_it_closes(world: World) -> None:
    wrong = [{"x-api-key": "bz_guess"}, {"authorization": "Bearer a.b.c"}, {**world.key("acme"), "authorization": "Bearer a.b.c"}]
    for text, status in ((OPEN, 200), (CLOSED, 401)):
        await world.gw.edit("door.yaml", text)
        assert [await world.status("/orders/door", headers) for headers in wrong] == [status] * len(wrong)


async def test_a_rule_whose_path_moves_covers_the_one_or_the_other_at_every_moment(world: World) -> None:
    paths = ("/orders/rule", "/orders/rule2", "/orders/rule/deep")
    covered: dict[str, str] = {(await world.gw.status())["revision"]: paths[0]}
    async with _asking(world, [(path, "globex") for path in paths] + [(paths[0], "acme")]) as told:
        for i in range(EDITS):
            text = RULE.replace("PATH", paths[(i + 1) % 3]).replace("}\n", f", description: edit {i}}}\n")
            covered[(await world.gw.edit("rule.yaml", text))["revision"]] = paths[(i + 1) % 3]
        covered[(await world.gw.edit("rule.yaml", RULE.replace("PATH", paths[0])))["revision"]] = paths[0]

    def right(revision: str, path: str, name: str) -> int:
        where = covered.get(revision, paths[0])
        return 403 if name == "globex" and (path == where or path.startswith(where + "/")) else 200

    # A route keeps the revision that brought its rules, so each revision that a record names is one of these.
    await _judged(world, told, right)


async def test_an_api_whose_path_moves_is_there_or_not_and_never_without_its_policies(world: World) -> None:
    """Below it lies a public site: where the API isn't, callers get the site's answer, and where it is, its own."""
    text = MOVING.replace("UPSTREAM", str(world.port))
    async with _asking(world, [("/moving/a", ""), ("/moving/b", ""), ("/moving/a", "acme"), ("/moving/c", "")]) as told:
        for i in range(EDITS):
            path = f"/moving/{'ba'[i % 2]}"
            await world.gw.edit("moving.yaml", text.replace("PATH", path))
            assert await world.status(path) == 401
            assert await world.status(f"/moving/{'ab'[i % 2]}") == 200
            assert await world.status(path, world.key("acme")) == 200
    seen = {(path, name): {status for one, who, status, _ in told if (one, who) == (path, name)} for path, name, _, _ in told}
    assert seen["/moving/c", ""] == {200}
    assert seen["/moving/a", "acme"] == {200}
    assert seen["/moving/a", ""] == {200, 401}
    await asyncio.sleep(0.4)
    records = {record.get("request_id"): record for record in world.gw.records()}
    for _, name, status, ident in told:
        record = records[ident]
        assert status != 200 or name or record["api"] == "site", record


async def test_attributes_that_come_go_and_change_their_order_cost_no_request_and_change_no_verdict(world: World) -> None:
    """The tables of keys tell attributes by their places, so rules and tables that don't fit must never meet."""
    frame = (world.gw.files / "frame.yaml").read_text()
    await world.gw.edit("rule.yaml", RULE.replace("PATH", "/orders/rule"))
    orders = ["{region: string, team: string}", "{team: string, region: string}", "{team: string}", "{a: number, team: string, b: list}"]
    async with _asking(world, [("/orders/rule", "acme"), ("/orders/rule", "globex"), ("/orders", "globex")] * 2) as told:
        for i in range(4 * EDITS):
            await world.gw.edit("frame.yaml", frame.replace("{team: string}", orders[i % len(orders)]))
        await world.gw.edit("frame.yaml", frame)
    seen = {(path, name): {status for one, who, status, _ in told if (one, who) == (path, name)} for path, name, _, _ in told}
    assert seen == {("/orders/rule", "acme"): {200}, ("/orders/rule", "globex"): {403}, ("/orders", "globex"): {200}}


async def test_a_burst_of_good_and_bad_edits_ends_with_the_last_good_and_costs_no_request(world: World) -> None:
    good = RULE.replace("PATH", "/orders/rule")
    async with _asking(world, [("/orders", "acme"), ("/orders/rule", "globex"), ("/x", ""), ("/orders", "")]) as told:
        for i in range(150):
            bad = ("{kind: Authorize", "nonsense: [", good.replace("red", 'red" &&'), good.replace("orders,", "orderz,"), "")[i % 5]
            (world.gw.files / "rule.yaml").write_text(bad if i % 3 else good.replace("}\n", f", description: edit {i}}}\n"))
            await asyncio.sleep(0.02)
        await world.gw.edit("rule.yaml", good)
    assert {status for path, _, status, _ in told if path == "/x"} == {200}
    assert {status for path, name, status, _ in told if (path, name) == ("/orders", "acme")} == {200}
    assert {status for path, name, status, _ in told if (path, name) == ("/orders", "")} == {401}
    # An empty file is a good one: the rule is gone under that revision, and the edit is told as one that loosens.
    assert {status for path, _, status, _ in told if path == "/orders/rule"} <= {200, 403}
    assert await world.status("/orders/rule", world.key("globex")) == 403
    assert not (await world.gw.status())["refused"]
