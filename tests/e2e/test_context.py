"""Context from outside, end to end: pushed, fetched by HTTP and from a file; it counts within a second, and no longer than it may."""

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from tests.e2e.agreement import agrees
from tests.e2e.gateway import TokenIssuer, upstream
from tests.e2e.hr import Hr, hr
from tests.e2e.test_admin import Admin, administered
from tests.e2e.test_remote import bartizan, good

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes:
  {job: string, on_call: bool, suspended: bool, department: string, clearance: number, teams: list, badge: string, fresh: bool,
   kept: string, level: number}
blocking: {exempt: [127.0.0.0/8]}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Consumer, name: acme, attributes: {job: clerk}}
---
{kind: Consumer, name: globex}
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: corp.json}
attributes: {job: job}
---
{kind: Authenticate, name: callers, any: [api_key, {jwt: corp}]}
---
{kind: ContextSource, name: on-call, attributes: [on_call, suspended], push: true, max_age: 10m}
---
kind: ContextSource
name: hr
attributes: [department, clearance, teams]
pull: {url: "http://127.0.0.1:HR/context", every: 1s, authorization: {file: hr.token}}
max_age: 4s
---
{kind: ContextSource, name: badges, attributes: [badge], file: badges.json, max_age: 1h}
---
{kind: ContextSource, name: short, attributes: [fresh], push: true, max_age: 3s}
---
{kind: ContextSource, name: kept, attributes: [kept], push: true, max_age: 3s, stale: keep}
---
{kind: ContextSource, name: instead, attributes: [level], push: true, max_age: 3s, stale: {level: 1}}
---
"""
ALLOWS = {
    "on-call": "principal.on_call",
    "active": "!principal.suspended",
    "finance": 'principal.department == "finance"',
    "not-sales": 'principal.department != "sales"',
    "cleared": "principal.clearance >= 3",
    "red": '"red" in principal.teams && !("blue" in principal.teams)',
    "badge": 'principal.badge == "Z\u00fcrich 7" && principal.job == "clerk"',
    "fresh": "principal.fresh",
    "not-fresh": "!principal.fresh",
    "either": "principal.fresh == true || principal.fresh == false",
    "not-either": "!(principal.fresh == true && principal.fresh == false)",
    "there": "has(principal.fresh)",
    "kept": 'principal.kept == "yes"',
    "level": "principal.level >= 5",
    "low": "principal.level == 1",
}
POLICIES = "\n---\n".join(
    f"kind: Authorize\nname: {name}\ntarget: {{paths: [/orders/{name}]}}\nallow: {json.dumps(allow, ensure_ascii=False)}"
    for name, allow in ALLOWS.items()
)
CORP = TokenIssuer()
INES = "https://idp.example.com|ines"
pytestmark = pytest.mark.asyncio(loop_scope="module")


class World:
    """A gateway, the HR system, and who calls."""

    def __init__(self, admin: Admin, system: Hr) -> None:
        self.admin, self.gw, self.hr = admin, admin.gw, system
        self.acme = {"x-api-key": self.gw.new_key("acme")[1]}
        self.globex = {"x-api-key": self.gw.new_key("globex")[1]}
        self.ines = {"authorization": f"Bearer {CORP.token(job='clerk')}"}
        self.ann = self.pusher = ""

    async def status(self, path: str, headers: dict[str, str] | None = None) -> int:
        return (await self.gw.get(f"/orders/{path}", headers=headers or self.acme)).status_code

    async def becomes(self, path: str, status: int, headers: dict[str, str] | None = None, seconds: float = 2.0) -> float:
        """Waits until it is answered so; how long that took."""
        began = time.monotonic()

        async def so() -> bool:
            return await self.status(path, headers) == status

        await self.gw.eventually(so, seconds)
        return time.monotonic() - began

    async def push(self, source: str, subject: str, expect: int = 200, token: str = "", **attributes: Any) -> httpx.Response:
        path, body = f"/v1/context/{source}/subject", {"attributes": attributes}
        answer = await self.admin.call("PUT", path, token or self.ann, params={"subject": subject}, json=body)
        assert answer.status_code == expect, answer.text
        return answer

    async def all(self, source: str, subjects: dict[str, Any], expect: int = 200, token: str = "", **more: Any) -> httpx.Response:
        answer = await self.admin.call("PUT", f"/v1/context/{source}", token or self.ann, json={"subjects": subjects}, **more)
        assert answer.status_code == expect, answer.text
        return answer

    async def told(self, source: str) -> dict[str, Any]:
        found = (await self.admin.call("GET", "/v1/context", self.ann)).json()
        return next(dict(one) for one in found if one["name"] == source)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("context")
    with upstream() as port, hr() as system:
        system.subjects = {
            "acme": {"department": "finance", "clearance": 4, "teams": ["red"]},
            INES: {"department": "finance", "clearance": 3.5, "teams": ["red", "blue"]},
            "nobody-here": {"department": "sales"},
        }
        text = (FILES + POLICIES).replace("UPSTREAM", str(port)).replace("HR", str(system.port))
        badges = orjson.dumps({"subjects": {"acme": {"badge": "Z\u00fcrich 7"}, INES: {"badge": "Z\u00fcrich 7"}}}).decode()
        files = {"all.yaml": text, "corp.json": CORP.jwks(), "hr.token": system.token + "\n", "badges.json": badges}
        async with administered(folder, files) as admin:
            made = World(admin, system)
            made.ann = await admin.token(admin.first, "ann", "admin")
            made.pusher = await admin.token(made.ann, "hr system", "context", source="on-call")
            await made.becomes("finance", 200, seconds=5)
            yield made


async def test_what_is_pushed_counts_within_a_second_for_keys_and_tokens(world: World) -> None:
    for subject, headers in (("acme", world.acme), (INES, world.ines)):
        assert await world.status("on-call", headers) == 403
        for value, status in ((True, 200), (False, 403), (True, 200)):
            await world.push("on-call", subject, on_call=value)
            assert await world.becomes("on-call", status, headers) < 1.0
    revision = (await world.gw.status())["revision"]
    await world.push("on-call", "acme", on_call=False, suspended=False)
    await world.becomes("active", 200)
    await world.push("on-call", "acme", suspended=True)
    assert await world.becomes("active", 403) < 1.0
    assert (await world.gw.status())["revision"] == revision, "it is live data"
    assert await world.status("active", world.globex) == 403, "of whom nothing is said"


async def test_a_whole_set_takes_the_place_of_all_that_was_said(world: World) -> None:
    await world.push("on-call", "globex", on_call=True)
    await world.becomes("on-call", 200, world.globex)
    first = await world.all("on-call", {"acme": {"on_call": True, "suspended": False}, INES: {"on_call": True}})
    await world.becomes("on-call", 403, world.globex)
    for headers in (world.acme, world.ines):
        await world.becomes("on-call", 200, headers)
    again = await world.all("on-call", {"acme": {"on_call": True, "suspended": False}, INES: {"on_call": True}})
    assert again.headers["etag"] == first.headers["etag"], "the same again changes nothing"
    tag = {"if-match": again.headers["etag"]}
    changed = await world.all("on-call", {INES: {"on_call": True}}, headers=tag)
    await world.becomes("on-call", 403)
    assert changed.headers["etag"] != again.headers["etag"]
    await world.all("on-call", {}, 412, headers=tag)


async def test_one_subject_has_an_etag_of_its_own(world: World) -> None:
    made = await world.push("on-call", "acme", on_call=True)
    call, params = world.admin.call, {"subject": "acme"}
    path = "/v1/context/on-call/subject"
    shown = await call("GET", path, world.ann, params=params)
    assert shown.headers["etag"] == made.headers["etag"] and shown.json()["attributes"] == {"on_call": True}
    body = {"attributes": {"on_call": False}}
    for headers, status in (({"if-match": '"other"'}, 412), ({"if-none-match": "*"}, 412), ({"if-match": shown.headers["etag"]}, 200)):
        assert (await call("PUT", path, world.ann, params=params, json=body, headers=headers)).status_code == status
    assert (await call("DELETE", path, world.ann, params=params)).status_code == 200
    assert (await call("DELETE", path, world.ann, params=params)).status_code == 404
    await world.becomes("on-call", 403)


async def test_what_is_fetched_counts_and_follows(world: World) -> None:
    assert [await world.status(path) for path in ("finance", "not-sales", "cleared", "red")] == [200] * 4
    assert [await world.status(path, world.ines) for path in ("finance", "cleared", "red")] == [200, 200, 403]
    assert [await world.status(path, world.globex) for path in ("finance", "not-sales")] == [403, 403]
    world.hr.subjects["acme"] = {"department": "sales", "clearance": 2, "teams": []}
    await world.becomes("finance", 403)
    assert [await world.status(path) for path in ("not-sales", "cleared", "red")] == [403] * 3
    world.hr.subjects["acme"] = {"department": "finance", "clearance": 4, "teams": ["red"]}
    await world.becomes("finance", 200)

    async def same() -> bool:
        return world.hr.not_modified > 1

    await world.gw.eventually(same)
    told = await world.told("hr")
    assert (told["counts"], told["error"], told["unknown_first"]) == (True, "", ["nobody-here"]) and told["age"] < 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 500},
        {"status": 302},
        {"body": b"{"},
        {"body": b"[]"},
        {"body": b'{"subjects": {"acme": {"department": 3}}}'},
        {"body": b'{"subjects": {"acme": {"departmnt": "x"}}}'},
        {"body": b'{"subjects": {"acme": {"department": "a;b"}}}'},
        {"body": b'{"subjects": {"acme": {"department": "a\\r\\nb"}}}'},
        {"body": b'{"subjects": {"acme": {"department": "a\\u0000"}}}'},
        {"token": "another"},
    ],
)
async def test_what_is_wrong_leaves_the_last_good_until_it_is_stale_and_then_nothing(world: World, wrong: dict[str, Any]) -> None:
    before = {name: getattr(world.hr, name) for name in wrong}
    for name, value in wrong.items():
        setattr(world.hr, name, value)
    began = time.monotonic()

    async def told() -> bool:
        return bool((await world.told("hr"))["error"])

    await world.gw.eventually(told)
    assert await world.status("finance") == 200
    assert world.hr.token not in json.dumps(await world.gw.status()) + world.gw.log()
    if wrong.keys() & {"status", "token"}:
        took = await world.becomes("finance", 403, seconds=7)
        assert 1.5 < time.monotonic() - began < 6.5, took
        assert await world.status("not-sales") == 403, "whichever way round"
        assert any("ContextSource/hr" in one for one in (await world.gw.status())["warnings"])
    for name, value in before.items():
        setattr(world.hr, name, value)
    await world.becomes("finance", 200, seconds=5)
    assert world.hr.asked < 1_000_000, "no redirect is followed"


async def test_a_file_is_followed_and_a_broken_one_changes_nothing(world: World) -> None:
    assert [await world.status("badge", headers) for headers in (world.acme, world.ines)] == [200, 200]
    file = world.gw.files / "badges.json"
    good_one = file.read_bytes()
    file.write_bytes(b'{"subjects": {"acme": {"badge": 7}}}')

    async def told() -> bool:
        return "badge" in (await world.told("badges"))["error"]

    await world.gw.eventually(told)
    assert await world.status("badge") == 200
    partial = world.gw.files / "badges.json.new"
    partial.write_bytes(b'{"subjects": {}}')
    partial.replace(file)
    await world.becomes("badge", 403)
    file.write_bytes(good_one)
    await world.becomes("badge", 200)
    hours = time.time() - 7200
    os.utime(file, (hours, hours))
    await world.becomes("badge", 403)

    async def ended() -> bool:
        return not (await world.told("badges"))["counts"]

    await world.gw.eventually(ended)  # it is as old as the file
    file.touch()
    await world.becomes("badge", 200)


STALE = {"fresh": 403, "not-fresh": 403, "either": 403, "not-either": 403, "there": 403}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("value", [True, False])
async def test_what_is_stale_is_missing_whichever_way_round(world: World, whole: bool, value: bool) -> None:
    async def say() -> None:
        if whole:
            await world.all("short", {"acme": {"fresh": value}, INES: {"fresh": value}})
        else:
            await world.push("short", "acme", fresh=value)
            await world.push("short", INES, fresh=value)

    await say()
    for headers in (world.acme, world.ines):
        await world.becomes("there", 200, headers)
        found = {name: await world.status(name, headers) for name in STALE}
        assert found == {"fresh": 200 if value else 403, "not-fresh": 403 if value else 200, "either": 200, "not-either": 200, "there": 200}
    await asyncio.sleep(1.5)
    await say()
    began = time.monotonic()
    await asyncio.sleep(1.8)
    assert await world.status("either") == 200, "said again, it is young again"
    await world.becomes("either", 403, seconds=3)
    assert 2.5 < time.monotonic() - began < 4.3
    for headers in (world.acme, world.ines):
        await world.becomes("either", 403, headers, seconds=1)
        assert {name: await world.status(name, headers) for name in STALE} == STALE
    record = await world.gw.record(await world.gw.get("/orders/not-fresh", headers=world.acme))
    assert record["context"]["short"] == "stale" and not record["attributes"].get("fresh")


async def test_kept_and_instead(world: World) -> None:
    await world.all("instead", {"globex": {"level": 9}})
    for subject in ("acme", INES):
        await world.push("kept", subject, kept="yes")
        await world.push("instead", subject, level=7)
    for headers in (world.acme, world.ines):
        await world.becomes("level", 200, headers)
        await world.becomes("kept", 200, headers)
        assert await world.status("low", headers) == 403
    await world.becomes("level", 200, world.globex)
    for headers in (world.acme, world.ines, world.globex):
        await world.becomes("low", 200, headers, seconds=5)
        assert await world.status("level", headers) == 403
    for headers in (world.acme, world.ines):
        assert await world.status("kept", headers) == 200
    assert await world.status("kept", world.globex) == 403, "of whom nothing is said"


async def test_nobody_else_can_say_anything(world: World) -> None:
    admin, path = world.admin, "/v1/context/on-call"
    body: dict[str, Any] = {"subjects": {"acme": {"on_call": True}}}
    assert (await admin.client.put(path, json=body)).status_code == 401
    assert (await admin.call("PUT", path, "bzt_wrong", json=body)).status_code == 401
    for role in ("viewer", "approver"):
        token = await admin.token(world.ann, role, role)
        assert (await admin.call("PUT", path, token, json=body)).status_code == 403
        assert (await admin.call("PUT", f"{path}/subject", token, params={"subject": "acme"}, json={"attributes": {}})).status_code == 403
        assert (await admin.call("DELETE", f"{path}/subject", token, params={"subject": "acme"})).status_code == 403
    other = await admin.token(world.ann, "mdm", "context", source="short")
    for source in ("on-call", "hr", "nothing"):
        assert (await admin.call("PUT", f"/v1/context/{source}", other, json=body)).status_code == 403
    assert (await admin.call("PUT", "/v1/context/hr", world.ann, json=body)).status_code == 422, "that one is fetched"
    assert (await admin.call("PUT", "/v1/context/nothing", world.ann, json=body)).status_code == 404


async def test_a_systems_token_speaks_for_its_source_and_does_nothing_else(world: World) -> None:
    assert (await world.all("on-call", {"acme": {"on_call": True}}, token=world.pusher)).headers["etag"]
    await world.push("on-call", "globex", token=world.pusher, on_call=True)
    document = (await world.admin.client.get("/openapi.json")).json()
    mine = {"/v1/context/{name}", "/v1/context/{name}/subject"}
    tried = 0
    for path, operations in document["paths"].items():
        for method in operations:
            if (path in mine and method in {"put", "delete"}) or (path, method) == ("/v1/login", "get"):  # how to log in is told to anybody
                continue
            at = path.replace("{name}", "on-call").replace("{ident}", "tok_0123").replace("{kind}", "Api").replace("{request_id}", "x" * 36)
            answer = await world.admin.call(method.upper(), at, world.pusher, json={})
            assert answer.status_code in {403, 404, 405, 422}, (method, path, answer.status_code)
            if answer.status_code != 403:
                assert "{" in at or answer.status_code == 422, (method, path, answer.text)
            tried += 1
    assert tried > 20
    for path in ("/v1/status", "/v1/context", "/v1/context/on-call", "/v1/resources", "/v1/keys", "/v1/audit"):
        assert (await world.admin.call("GET", path, world.pusher)).status_code == 403, path
    for role, source in (("context", None), ("editor", "on-call"), ("context", "nothing")):
        body = {"name": "x", "role": role, "source": source}
        assert (await world.admin.call("POST", "/v1/tokens", world.ann, json=body)).status_code == 422


@pytest.mark.parametrize(
    ("subjects", "status"),
    [
        ({"acme": {"on_call": "yes"}}, 422),
        ({"acme": {"oncall": True}}, 422),
        ({"acme": {"department": "finance"}}, 422),
        ({"a;b": {"on_call": True}}, 422),
        ({"a\r\nb": {"on_call": True}}, 422),
        ({"a\u0000b": {"on_call": True}}, 422),
        ({"": {"on_call": True}}, 422),
        ({"acme": [True]}, 422),
        ({f"c{i}": {} for i in range(100_001)}, 422),
        ({f"i|{i}": {} for i in range(20_001)}, 422),
        ({"x" * 257: {"on_call": True}}, 422),
    ],
)
async def test_what_can_t_be_taken_is_told_and_changes_nothing(world: World, subjects: dict[str, Any], status: int) -> None:
    await world.all("on-call", {"acme": {"on_call": True}})
    await world.becomes("on-call", 200)
    answer = await world.all("on-call", subjects, status)
    assert answer.headers["content-type"] == "application/problem+json" and answer.json()["problems"]
    assert await world.status("on-call") == 200


async def test_too_much_and_what_isn_t_json(world: World) -> None:
    path, headers = "/v1/context/on-call", {"content-type": "application/json"}
    for content, status in ((b"{", 400), (b"x" * (33 << 20), 413)):
        answer = await world.admin.call("PUT", path, world.pusher, content=content, headers=headers)
        assert answer.status_code == status


@pytest.mark.parametrize(
    "forged",
    [
        {"x-bartizan-context": "x"},
        {"x-bartizan-claim-on-5f-call": "true"},
        {"x-bartizan-principal": "00000000acme;k;[];clerk;true"},
        {"X-Bartizan-Context": "true", "x-bartizan-sub-corp": "ines"},
    ],
)
async def test_what_a_client_says_changes_nothing(world: World, forged: dict[str, str]) -> None:
    await world.all("on-call", {"acme": {"on_call": False}, INES: {"on_call": False}})
    await world.becomes("on-call", 403)
    for headers in (world.acme, world.ines, world.globex):
        assert await world.status("on-call", {**headers, **forged}) in {400, 403}
    claims = {"on_call": True, "department": "finance"}
    token = {"authorization": f"Bearer {CORP.token(sub='eve', **claims)}"}
    assert [await world.status(path, token) for path in ("on-call", "finance")] == [403, 403]
    told = (await world.gw.get("/orders", headers=world.ines)).json()["headers"]
    assert not [name for name, _ in told if name.startswith("x-bartizan")]


async def test_records_and_explain_tell_how_old_it_was(world: World) -> None:
    await world.push("on-call", "acme", on_call=True)
    await world.becomes("on-call", 200)
    answer = await world.gw.get("/orders/on-call", headers=world.acme)
    record = await world.gw.record(answer)
    assert record["attributes"]["on_call"] == "true"
    assert abs(float(record["context"]["on-call"]) - time.time()) < 5 and float(record["context"]["hr"]) > 1e9
    told = await good("explain", answer.headers["x-request-id"], "--state", world.gw.state)
    assert "on_call = true" in told and "ContextSource/on-call: said" in told
    wanted = {"path": "/orders/on-call", "consumer": "acme"}
    now = (await world.admin.call("POST", "/v1/explain", world.ann, json=wanted)).json()
    assert not now["decision"]["refused"], "as it is said now"
    given = (await world.admin.call("POST", "/v1/explain", world.ann, json={**wanted, "context": {"on_call": False}})).json()
    assert given["decision"]["by"] == "Authorize/on-call"
    files = ("-f", world.gw.files)
    for more, by in (((), "refused"), (("--context", "on_call=true"), "let through")):
        assert by in await good("explain", *files, "--path", "/orders/on-call", "--consumer", "acme", *more)


async def test_the_command_line_pushes_and_shows(world: World, tmp_path: Path) -> None:
    state = ("--state", world.gw.state)
    (tmp_path / "all.json").write_text('{"subjects": {"acme": {"on_call": true}}}')
    assert "1 subjects" in await good("context", "push", "on-call", tmp_path / "all.json", *state)
    await world.becomes("on-call", 200)
    assert "acme: on_call = true" in await good("context", "show", "on-call", *state)
    await good("context", "push", "on-call", "--subject", "acme", "--set", "on_call=false", *state)
    await world.becomes("on-call", 403)
    token = tmp_path / "token"
    token.write_text(world.pusher)
    away = ("--server", world.admin.url, "--token-file", token)
    await good("context", "push", "on-call", "--subject", "acme", "--set", "on_call=true", *away)
    await world.becomes("on-call", 200)
    assert (await bartizan("context", "list", *away)).returncode == 1
    listed = await good("context", "list", *state)
    assert "on-call" in listed and "unknown here: nobody-here" in listed
    await good("context", "push", "on-call", "--subject", "acme", "--gone", *state)
    await world.becomes("on-call", 403)
    assert (await bartizan("context", "push", "on-call", "--subject", "acme", "--set", "on_call=maybe", *state)).returncode == 1


CASES = """
- {name: on call, given: {principal: acme, path: /orders/on-call, context: {on_call: true}}, expect: allow}
- {name: nothing said, given: {principal: acme, path: /orders/on-call}, expect: refuse, by: Authorize/on-call}
- {name: by token, given: {principal: {issuer: corp, subject: ines}, path: /orders/red, context: {teams: [red]}}, expect: allow}
- {name: not suspended, given: {principal: acme, path: /orders/active, context: {suspended: false}}, expect: allow}
- {name: stale, given: {principal: acme, path: /orders/active}, expect: refuse}
"""


async def test_policy_tests_give_context(world: World, tmp_path: Path) -> None:
    copy = tmp_path / "policies"
    shutil.copytree(world.gw.files, copy)
    (copy / "context.test.yaml").write_text(CASES)
    assert json.loads(await good("test", "-f", copy, "--json"))["passed"] == 5
    (copy / "context.test.yaml").write_text(CASES.replace("{on_call: true}", "{oncall: true}"))
    told = await bartizan("test", "-f", copy)
    assert told.returncode == 1 and "Did you mean 'on_call'" in told.stdout + told.stderr


SMALL = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Consumer, name: acme, attributes: {plan: gold}}
---
{kind: Authenticate, name: callers, any: [api_key]}
---
{kind: Authorize, name: gold, allow: principal.plan == "gold"}
"""
EDGE = {
    "kind": "Gateway",
    "name": "edge",
    "listeners": [{"name": "web", "address": "ADDRESS"}],
    "attributes": {"plan": "string", "x": "bool"},
}
EXTRA = {"kind": "ContextSource", "name": "extra", "attributes": ["x"], "push": True}
RULE = {"kind": "Authorize", "name": "x", "target": {"paths": ["/orders/x"]}, "allow": "!principal.x"}


async def test_a_source_comes_by_the_api_and_goes_again(tmp_path: Path) -> None:
    with upstream() as port:
        async with administered(tmp_path, {"all.yaml": SMALL.replace("UPSTREAM", str(port))}) as admin:
            ann = await admin.token(admin.first, "ann", "admin")
            eve = await admin.token(ann, "eve", "editor")
            gw, key = admin.gw, {"x-api-key": admin.gw.new_key("acme")[1]}

            async def answers(path: str, status: int) -> None:
                async def so() -> bool:
                    return (await gw.get(path, headers=key)).status_code == status

                await gw.eventually(so)

            await answers("/orders", 200)
            edge = json.loads(json.dumps(EDGE).replace("ADDRESS", f"127.0.0.1:{gw.port}"))
            made = await admin.call("POST", "/v1/changes", ann, json={"put": [edge, EXTRA, RULE]})
            assert made.status_code == 200, made.text
            await answers("/orders/x", 403)
            subject = {"params": {"subject": "acme"}, "json": {"attributes": {"x": False}}}
            assert (await admin.call("PUT", "/v1/context/extra/subject", eve, **subject)).status_code == 200
            await answers("/orders/x", 200)
            await answers("/orders", 200)
            for reaches in (
                {"file": "/etc/hostname"},
                {"pull": {"url": "http://127.0.0.1:1/"}},
                {"pull": {"url": "http://169.254.169.254/"}},
            ):
                document = {**{name: value for name, value in EXTRA.items() if name != "push"}, **reaches}
                answer = await admin.call("PUT", "/v1/resources/ContextSource/extra", eve, json=document)
                assert (answer.status_code, answer.json()["type"]) == (403, "urn:bartizan:problem:reaches-inside"), answer.text
            looser = await admin.call("PUT", "/v1/resources/ContextSource/extra", ann, json={**EXTRA, "stale": "keep"})
            assert looser.json()["loosens"] == ["ContextSource/extra keeps values however old they are"]
            back = await admin.call("POST", "/v1/rollback", ann, json={"to": made.json()["revision"], "reason": "a test"})
            assert back.status_code == 200, back.text
            await answers("/orders/x", 200)
            back = await admin.call("POST", "/v1/changes", ann, json={"delete": ["ContextSource/extra", "Authorize/x"], "put": []})
            assert back.status_code == 200, back.text

            async def gone() -> bool:
                return (await admin.call("GET", "/v1/context", ann)).json() == []

            await gw.eventually(gone)
            await answers("/orders/x", 200)


async def test_without_a_control_plane_it_still_grows_old(world: World) -> None:
    """Envoy goes by its own clock. A restart renews nothing, and what has ended stays so."""
    await world.all("short", {"acme": {"fresh": True}})
    await world.push("short", INES, fresh=False)
    await world.push("on-call", "acme", on_call=True)
    await world.becomes("fresh", 200)
    await world.becomes("not-fresh", 200, world.ines)
    supervisor, control = world.gw.process.pid, world.gw.pid("bartizan.app")
    os.kill(control, signal.SIGSTOP)
    try:
        assert supervisor != control and await world.status("fresh") == 200
        await world.becomes("fresh", 403, seconds=5)
        await world.becomes("not-fresh", 403, world.ines, seconds=2)
        assert [await world.status(one) for one in ("not-fresh", "on-call")] == [403, 200]
    finally:
        os.kill(control, signal.SIGCONT)
    os.kill(control, signal.SIGKILL)

    async def back() -> bool:
        try:
            return (await world.admin.call("GET", "/v1/context", world.ann)).status_code == 200
        except httpx.HTTPError:
            return False

    await world.gw.eventually(back, 20)
    told = await world.told("on-call")
    assert told["subjects"] >= 1 and await world.status("on-call") == 200
    assert not (await world.told("short"))["counts"]
    assert [await world.status(one) for one in ("fresh", "not-fresh")] == [403, 403]


async def test_a_replay_of_all_that_was_asked_agrees(world: World) -> None:
    """The last test: what the others asked was recorded."""
    await agrees(world.gw, judged=150)
