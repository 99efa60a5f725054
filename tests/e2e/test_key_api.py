"""API keys by the admin API and the command line: made, scoped, rotated, revoked, their last use; and consumers that live for a time."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bartizan.identity.key_text import is_wellformed
from tests.certificates import authority
from tests.e2e.gateway import Gateway, gateway
from tests.e2e.shown import client
from tests.e2e.test_admin import Admin, administered
from tests.e2e.test_remote import bartizan, good

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {scopes: words, plan: string}
blocking: {exempt: [127.0.0.0/8]}
teams: {orders: {paths: [/orders]}}
---
kind: Api
name: orders
team: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
attributes: {scopes: ["orders:read", "orders:write"]}
---
kind: Consumer
name: globex
---
kind: Authenticate
name: callers
any: [api_key]
---
kind: Authorize
name: writers
target: {api: orders, paths: [/orders/write]}
allow: '"orders:write" in principal.scopes'
"""


@pytest.fixture
async def admin(tmp_path: Path, upstream: int) -> AsyncIterator[Admin]:
    async with administered(tmp_path, {"all.yaml": FILES.replace("UPSTREAM", str(upstream))}) as one:
        one.ann = await one.token(one.first, "ann", "admin")  # type: ignore[attr-defined]
        yield one


async def call(admin: Admin, method: str, path: str, status: int = 200, token: str = "", **more: Any) -> Any:
    answer = await admin.call(method, path, token or admin.ann, **more)  # type: ignore[attr-defined]
    assert answer.status_code == status, answer.text
    return answer.json()


async def becomes(gw: Gateway, key: str, status: int, path: str = "/orders/1", seconds: float = 1.0) -> float:
    """How long it takes until this key gets this answer."""
    began = time.monotonic()
    while (now := (await gw.get(path, headers={"x-api-key": key})).status_code) != status:
        assert time.monotonic() < began + seconds, f"{now}, not {status}"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_key_is_shown_once_counts_at_once_and_its_end_does(admin: Admin) -> None:
    made = await call(admin, "POST", "/v1/keys", json={"consumer": "acme", "name": "ci", "seconds": 3600})
    assert is_wellformed(made["key"]) and made["id"].startswith("key_") and made["name"] == "ci"
    assert abs(made["expires"] - time.time() - 3600) < 60
    await becomes(admin.gw, made["key"], 200)
    told = await call(admin, "GET", "/v1/keys")
    assert [one["id"] for one in told["items"]] == [made["id"]] and told["next"] is None
    assert made["key"] not in json.dumps(told)
    gone = await call(admin, "DELETE", f"/v1/keys/{made['id']}")
    assert gone["id"] == made["id"] and "key" not in gone
    await becomes(admin.gw, made["key"], 401)
    await call(admin, "DELETE", f"/v1/keys/{made['id']}", 404)
    noted = [one for one in (await call(admin, "GET", "/v1/audit"))["items"] if one["action"].startswith("key.")]
    assert [(one["action"], one["actor"], one["target"]) for one in noted] == [
        ("key.new", "ann", f"key/{made['id']}"),
        ("key.revoke", "ann", f"key/{made['id']}"),
    ]
    _nowhere(admin.gw, made["key"])


def _nowhere(gw: Gateway, *texts: str) -> None:
    """No text of a key is on the disk, be it a log, a database or a journal."""
    for path in (gw.folder / "out.log", *gw.state.rglob("*")):
        if path.is_file() and not path.is_socket():
            held = path.read_bytes()
            assert not [one for one in texts if one.encode() in held], path


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"consumer": "nobody"}, 422, "consumer-unknown"),
        ({"consumer": ""}, 422, "invalid"),
        ({}, 422, "invalid"),
        ({"consumer": "acme", "seconds": 0}, 422, "invalid"),
        ({"consumer": "acme", "seconds": -1}, 422, "invalid"),
        ({"consumer": "acme", "name": "a;b"}, 422, "key-invalid"),
        ({"consumer": "acme", "name": "a\nb"}, 422, "invalid"),
        ({"consumer": "acme", "scopes": ["a b"]}, 422, "scopes-invalid"),
        ({"consumer": "acme", "scopes": ["a", "a"]}, 422, "scopes-invalid"),
        ({"consumer": "acme", "scopes": "a"}, 422, "invalid"),
    ],
)
async def test_what_cant_be_a_key_is_refused(admin: Admin, body: dict[str, Any], status: int, code: str) -> None:
    told = await call(admin, "POST", "/v1/keys", status, json=body)
    assert told["type"] == f"urn:bartizan:problem:{code}"
    assert (await call(admin, "GET", "/v1/keys"))["items"] == []


async def test_who_may_make_and_revoke_keys(admin: Admin) -> None:
    ann = admin.ann  # type: ignore[attr-defined]
    await call(admin, "PUT", "/v1/resources/Consumer/portal", json={"attributes": {"plan": "gold"}})
    tokens = {role: await admin.token(ann, role, role) for role in ("viewer", "approver", "editor", "admin")}
    tokens["team"] = await admin.token(ann, "team", "editor", team="orders")
    may = {"viewer": (403, 403), "approver": (403, 403), "editor": (403, 200), "admin": (200, 200), "team": (403, 403)}
    for who, statuses in may.items():
        for consumer, status in zip(("acme", "portal"), statuses, strict=True):
            # Whoever makes a key can act as its consumer: an editor only as those whom an editor may declare.
            made = await call(admin, "POST", "/v1/keys", status, tokens[who], json={"consumer": consumer})
            if status == 200:
                await call(admin, "POST", f"/v1/keys/{made['id']}/rotation", status, tokens[who], json={"overlap": 60})
    first = (await call(admin, "GET", "/v1/keys?consumer=acme"))["items"][0]["id"]
    await call(admin, "POST", f"/v1/keys/{first}/rotation", 403, tokens["editor"], json={"overlap": 60})
    for who in ("viewer", "approver", "team"):
        assert len((await call(admin, "GET", "/v1/keys", 200, tokens[who]))["items"]) == 6
        await call(admin, "DELETE", f"/v1/keys/{first}", 403, tokens[who])
    await call(admin, "DELETE", f"/v1/keys/{first}", 200, tokens["editor"])  # that only refuses, as a block does
    assert (await admin.client.get("/v1/keys")).status_code == 401


async def test_keys_come_in_pages(admin: Admin) -> None:
    made = {(await call(admin, "POST", "/v1/keys", json={"consumer": one}))["id"] for one in ("acme", "globex") * 3}
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await call(admin, "GET", f"/v1/keys?limit=4&after={after}")
        found += [one["id"] for one in page["items"]]
        after = page["next"]
    assert found == sorted(made)
    of_acme = (await call(admin, "GET", "/v1/keys?consumer=acme"))["items"]
    assert len(of_acme) == 3 and {one["consumer"] for one in of_acme} == {"acme"}


async def test_both_keys_count_during_the_overlap_and_then_the_new_one(admin: Admin) -> None:
    old = await call(admin, "POST", "/v1/keys", json={"consumer": "acme", "name": "ci", "scopes": ["orders:write"]})
    await becomes(admin.gw, old["key"], 200, "/orders/write")
    new = await call(admin, "POST", f"/v1/keys/{old['id']}/rotation", json={"overlap": 2})
    began = time.monotonic()
    assert (new["replaces"], new["consumer"], new["name"], new["scopes"]) == (old["id"], "acme", "ci", ["orders:write"])
    await becomes(admin.gw, new["key"], 200, "/orders/write")
    await becomes(admin.gw, old["key"], 200)
    told = {one["id"]: one for one in (await call(admin, "GET", "/v1/keys"))["items"]}
    assert told[old["id"]]["successor"] == new["id"] and told[old["id"]]["expires"] == new["replaced_ends"]
    assert told[new["id"]]["successor"] == "" and told[new["id"]]["expires"] is None
    await call(admin, "POST", f"/v1/keys/{old['id']}/rotation", 409, json={"overlap": 2})
    await asyncio.sleep(2 - (time.monotonic() - began))
    await becomes(admin.gw, old["key"], 401)
    await becomes(admin.gw, new["key"], 200)
    for overlap in (0, -1, "a day", None):
        await call(admin, "POST", f"/v1/keys/{new['id']}/rotation", 422, json={"overlap": overlap})
    await call(admin, "POST", "/v1/keys/key_aaaaaaaaaaaa/rotation", 404, json={"overlap": 2})
    _nowhere(admin.gw, old["key"], new["key"])


async def test_the_scopes_of_a_key_replace_those_of_its_consumer(admin: Admin) -> None:
    wide = await call(admin, "POST", "/v1/keys", json={"consumer": "acme"})
    narrow = await call(admin, "POST", "/v1/keys", json={"consumer": "acme", "scopes": ["orders:read"]})
    more = await call(admin, "POST", "/v1/keys", json={"consumer": "globex", "scopes": ["orders:write", "x"]})
    none = await call(admin, "POST", "/v1/keys", json={"consumer": "globex"})
    for made in (wide, narrow, more, none):
        await becomes(admin.gw, made["key"], 200)
    for made, status in ((wide, 200), (narrow, 403), (more, 200), (none, 403)):
        assert (await admin.gw.get("/orders/write", headers={"x-api-key": made["key"]})).status_code == status
    record = await admin.gw.record(await admin.gw.get("/orders/write", headers={"x-api-key": narrow["key"]}))
    assert json.loads(record["attributes"]["scopes"]) == ["orders:read"] and record["key"] == narrow["id"]


async def test_taking_away_the_attribute_that_scopes_count_by_is_refused(admin: Admin) -> None:
    gw = admin.gw
    text = (gw.files / "all.yaml").read_text()
    without = text.replace("scopes: words, ", "").replace('\nattributes: {scopes: ["orders:read", "orders:write"]}', "")
    without = without.replace("'\"orders:write\" in principal.scopes'", 'principal.plan == "gold"')
    made = await call(admin, "POST", "/v1/keys", json={"consumer": "acme", "scopes": ["orders:read"]})
    told = await gw.edit("all.yaml", without, enforced=False)
    assert [one["code"] for one in told["refused"]] == ["scopes-undeclared"] and made["id"] in told["refused"][0]["message"]
    await becomes(gw, made["key"], 200)
    await call(admin, "DELETE", f"/v1/keys/{made['id']}")
    await gw.edit("all.yaml", without + "\n")
    told = await call(admin, "POST", "/v1/keys", 422, json={"consumer": "acme", "scopes": ["orders:read"]})
    assert told["type"].endswith("scopes-undeclared") and "scopes: words" in told["detail"]
    # By the command line nobody knows what is declared. Such a key is refused, and told of.
    _, key = gw.new_key("acme", scopes=("orders:read",))
    _, plain = gw.new_key("acme")
    await becomes(gw, plain, 200)
    assert await becomes(gw, key, 401) < 1
    await gw.until(lambda now: any("have scopes" in one or "has scopes" in one for one in now["warnings"]))


async def test_the_command_line_on_the_machine_and_from_elsewhere(admin: Admin, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(admin.ann)  # type: ignore[attr-defined]
    there = ("--server", admin.url, "--token-file", tmp_path / "token")
    here = ("--state", admin.gw.state)
    ids = []
    for where in (here, there):
        text = (await good("key", "new", "acme", "--name", "cli", "--scope", "orders:read", "--scope", "x", *where)).strip()
        await becomes(admin.gw, text, 200)
        (made,) = (one for one in json.loads(await good("key", "list", "--json", *where)) if one["id"] not in ids and not one["successor"])
        assert made["scopes"] == ["orders:read", "x"] and text not in await good("key", "list", *where)
        new = json.loads(await good("key", "rotate", made["id"], "--overlap", "1s", "--json", *where))
        await becomes(admin.gw, new["key"], 200)
        await becomes(admin.gw, text, 401, seconds=3)
        assert f"replaced by {new['id']}" in await good("key", "list", *where)
        assert "rotated already" in await good("key", "rotate", made["id"], *where, status=1)
        assert f"{new['id']} of acme is revoked" in await good("key", "revoke", new["id"], *where)
        await becomes(admin.gw, new["key"], 401)
        assert new["id"] in await good("key", "revoke", new["id"], *where, status=1)
        ids += [made["id"], new["id"]]
    assert len({one["id"] for one in json.loads(await good("key", "list", "--json", *there))}) == 2
    wrong = await bartizan("key", "list", "--server", admin.url, env={"BARTIZAN_TOKEN": "bzt_wrong"})
    assert wrong.returncode == 1 and "token" in wrong.stderr
    listed = [one["action"] for one in (await call(admin, "GET", "/v1/audit"))["items"] if one["action"].startswith("key.")]
    assert listed == ["key.new", "key.rotate", "key.revoke"] * 2


async def test_when_a_key_was_last_used_is_known_within_a_minute_and_after_a_restart(admin: Admin) -> None:
    used, unused = [await call(admin, "POST", "/v1/keys", json={"consumer": "acme"}) for _ in range(2)]
    await becomes(admin.gw, used["key"], 200)

    async def known() -> bool:
        told = {one["id"]: one["last_used"] for one in (await call(admin, "GET", "/v1/keys"))["items"]}
        assert told[unused["id"]] is None
        return told[used["id"]] is not None and time.time() - 120 < told[used["id"]] <= time.time()

    await admin.gw.eventually(known, 30)

    async def kept() -> bool:
        line = next(one for one in (await good("key", "list", "--state", admin.gw.state)).splitlines() if used["id"] in one)
        return f"used {time.strftime('%Y-%m-%d', time.gmtime())}" in line

    await admin.gw.eventually(kept, 60)


def _in(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


async def test_a_consumer_lives_only_for_a_time(admin: Admin) -> None:
    gw = admin.gw
    await call(admin, "PUT", "/v1/resources/Consumer/guest", json={"starts": _in(3), "expires": _in(6)})
    made = await call(admin, "POST", "/v1/keys", json={"consumer": "guest"})
    _, acme = gw.new_key("acme")
    await becomes(gw, acme, 200)
    assert (await gw.get("/orders/1", headers={"x-api-key": made["key"]})).status_code == 401
    await gw.until(lambda now: any("Consumer/guest: its credentials are refused until" in one for one in now["warnings"]))
    await becomes(gw, made["key"], 200, seconds=5)
    await gw.until(lambda now: any("Consumer/guest: it expires at" in one for one in now["warnings"]))
    await becomes(gw, made["key"], 401, seconds=5)
    await gw.until(lambda now: any("Consumer/guest: it has expired at" in one for one in now["warnings"]))
    assert (await gw.get("/orders/1", headers={"x-api-key": acme})).status_code == 200
    await call(admin, "PUT", "/v1/resources/Consumer/guest", json={"expires": _in(3600)})
    await becomes(gw, made["key"], 200)
    for wrong in ({"expires": "tomorrow"}, {"expires": "2027-01-01T00:00:00"}, {"starts": _in(10), "expires": _in(5)}):
        await call(admin, "PUT", "/v1/resources/Consumer/guest", 422, json=wrong)


TLS = """
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
client_cas: {corp: corp.pem}
---
kind: Authenticate
name: callers
any: [api_key, {mtls: corp}]
---
kind: Consumer
name: guest
expires: "EXPIRES"
credentials: [{certificate: {ca: corp, san: "spiffe://corp/guest"}}, {fingerprint: PRINT}]
"""


async def test_a_certificate_ends_with_the_time_of_its_consumer(tmp_path: Path, upstream: int) -> None:
    web, corp = authority("Web"), authority("Corp")
    web.server().save(tmp_path, "server")
    mine, printed, other = corp.client("spiffe://corp/guest"), corp.client("spiffe://corp/printed"), corp.client("spiffe://corp/other")
    text = TLS.replace("UPSTREAM", str(upstream)).replace("FOLDER", str(tmp_path)).replace("PRINT", printed.fingerprint)
    files = {"all.yaml": text.replace("EXPIRES", _in(3600)), "corp.pem": corp.pem.decode()}
    async with gateway(tmp_path, files) as gw:
        clients = [client(web, tmp_path, gw.port, pair) for pair in (mine, printed, other)]
        # On the connections that are open, too: what is asked is the table of keys, at each request.
        assert [(await one.get("/orders/1")).status_code for one in clients] == [200, 200, 200]
        await gw.edit("all.yaml", text.replace("EXPIRES", _in(2)))
        await asyncio.sleep(3.2)
        assert [(await one.get("/orders/1")).status_code for one in clients] == [401, 401, 200]
        await gw.edit("all.yaml", text.replace("EXPIRES", _in(3600)))
        assert [(await one.get("/orders/1")).status_code for one in clients] == [200, 200, 200]
        for one in clients:
            await one.aclose()


async def test_keys_of_another_gateway_are_brought_along(admin: Admin, tmp_path: Path) -> None:
    gw, state = admin.gw, ("--state", admin.gw.state)
    keys = {f"sk_live_{'ab'[n % 2]}{n:016}": "acme" if n % 2 else "globex" for n in range(40)}
    keys |= {"Zm9vYmFyYmF6cXV4cXV1eA==": "acme", "0123456789abcdef": "acme", "!" * 16: "globex", "~{}|[]~{}|[]~;:'": "acme"}
    file = tmp_path / "keys.jsonl"
    lines = [json.dumps({"consumer": consumer, "key": key, "scopes": ["orders:write"]}) for key, consumer in keys.items()]
    file.write_text("\n".join([*lines, json.dumps({"consumer": "nobody", "key": "nobodys-key-0123456789"})]))
    wrong = await good("key", "import", file, *state, status=1)
    assert f"{file}:{len(keys) + 1}: there is no Consumer 'nobody'" in wrong and "nobodys-key" not in wrong
    file.write_text("\n".join(lines))
    assert "could be taken" in await good("key", "import", file, "--dry-run", *state)
    assert not (await call(admin, "GET", "/v1/keys"))["items"]
    told = await good("key", "import", file, *state)
    assert f"{len(keys)} keys of 2 consumers are taken" in told
    for key in keys:
        await becomes(gw, key, 200, "/orders/write")
    # What is nearly one of them is none: longer, shorter, another case, twice, another that ends alike.
    key = "sk_live_a0000000000000000"
    for near in (key[:-1], key + "0", key.upper(), f"{key},{key}", "sk_test_a0000000000000000", key[-16:], key[-15:], "certificate:" + key):
        assert (await gw.get("/orders/1", headers={"x-api-key": near})).status_code in {400, 401}, near
    twice = await gw.client.get("/orders/1", headers=[("x-api-key", key), ("x-api-key", key)])
    assert twice.status_code in {400, 401}
    spoofed = await gw.get("/orders/1", headers={"x-api-key": "sk_live_x0000000000000000", "x-bartizan-shard": "3"})
    assert spoofed.status_code == 401
    again = await good("key", "import", file, *state, status=1)
    assert again.count("it is there already") == len(keys)
    ids = {one["id"] for one in (await call(admin, "GET", "/v1/keys"))["items"] if one["consumer"] == "globex"}
    for ident in ids:
        await call(admin, "DELETE", f"/v1/keys/{ident}")
    for key, consumer in keys.items():
        await becomes(gw, key, 401 if consumer == "globex" else 200)
    _nowhere(gw, *keys)
    noted = [one for one in (await call(admin, "GET", "/v1/audit"))["items"] if one["action"] == "key.import"]
    assert [one["details"] for one in noted] == [{"keys": len(keys), "consumers": 2}]
