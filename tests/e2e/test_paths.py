"""Paths, hosts and framing under attack: however a request is written, it meets the policies of what the upstream would take it for."""

import asyncio
import json
import random
import re
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e import http2
from tests.e2e.gateway import Gateway, gateway, upstream

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {department: string}
blocking: {exempt: [127.0.0.0/8]}
---
{kind: Api, name: site, paths: [/], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: admin, paths: [/admin], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: orders, paths: [/orders, /Legacy], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: marks, paths: ["/marks(1)+a", "/m.rks"], strip_path: true, upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: named, hosts: [api.example.com], paths: [/, /deep], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: wild, hosts: ["*.wild.example.com"], paths: [/], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: wilder, hosts: ["*.sub.wild.example.com"], paths: [/inner], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Api, name: exact, hosts: [x.wild.example.com], paths: [/inner], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Public, name: site, target: {api: site}, reason: the site is for all}
---
{kind: Public, name: health, target: {api: orders, paths: [/orders/health]}, reason: the balancer has no credentials}
---
{kind: Authenticate, name: admin, target: {api: admin}, any: [api_key]}
---
{kind: Authenticate, name: orders, target: {api: orders, except: [/orders/health]}, any: [api_key]}
---
{kind: Authenticate, name: marks, target: {api: marks}, any: [api_key]}
---
{kind: Authenticate, name: named, target: {api: named}, any: [api_key]}
---
{kind: Authenticate, name: wild, target: {api: wild}, any: [api_key]}
---
{kind: Authenticate, name: wilder, target: {api: wilder}, any: [api_key]}
---
{kind: Authenticate, name: exact, target: {api: exact}, any: [api_key]}
---
kind: Authorize
name: refunds
target: {api: orders, methods: [POST], paths: [/orders/refunds, "/orders/@me", "/orders/items(1)", /Legacy/Refunds]}
allow: principal.department == "finance"
---
{kind: Authorize, name: not-secret, target: {api: orders}, allow: 'request.path != "/orders/secret"'}
---
{kind: Consumer, name: globex, attributes: {department: sales}}
---
{kind: Consumer, name: acme, attributes: {department: finance}}
"""
MANY = 1000

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def _recording(port: int) -> AsyncIterator[tuple[int, bytearray]]:
    """A relay in front of the upstream on `port`: its own port, and all bytes that the gateway sent."""
    seen = bytearray()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, record: bool) -> None:
            try:
                while data := await source.read(65536):
                    if record:
                        seen.extend(data)
                    target.write(data)
                    await target.drain()
            except ConnectionError:
                pass
            target.close()

        await asyncio.gather(copy(reader, back, True), copy(there, writer, False))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1]), seen
    finally:
        server.close()


class World:
    """The gateway, two keys, and what its upstream was sent."""

    def __init__(self, gw: Gateway, seen: bytearray) -> None:
        self.gw, self.seen = gw, seen
        _, self.sales = gw.new_key("globex")
        _, self.finance = gw.new_key("acme")

    async def raw(self, text: str, read_s: float = 2.0) -> tuple[int, bytes]:
        """Status (0 if there was none) and body of the first answer to these bytes."""
        answer = await self.gw.raw(text.encode("latin-1"), read_s=read_s)
        status = re.match(rb"HTTP/1\.1 (\d+)", answer)
        return int(status[1]) if status else 0, answer.partition(b"\r\n\r\n")[2]

    async def get(self, target: str, host: str = "a", more: str = "", method: str = "GET") -> tuple[int, bytes]:
        return await self.raw(f"{method} {target} HTTP/1.1\r\nhost: {host}\r\n{more}content-length: 0\r\n\r\n")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("paths")
    with upstream() as behind:
        async with _recording(behind) as (port, seen):
            many = "\n---\n".join(
                f"{{kind: Api, name: api-{i}, paths: [/v1/api-{i}], "
                f"upstream: 'http://127.0.0.1:{port}', identity_headers: {{x-caller: id}}}}\n"
                f"---\n{{kind: Authenticate, name: api-{i}, target: {{api: api-{i}}}, any: [api_key]}}"
                for i in range(MANY)
            )
            files = {"gateway.yaml": FILES.replace("UPSTREAM", str(port)), "many.yaml": many}
            async with gateway(folder, files) as gw:
                made = World(gw, seen)

                async def ready() -> bool:
                    return all(
                        [(await gw.get("/orders", headers={"x-api-key": key})).status_code == 200 for key in (made.sales, made.finance)]
                    )

                await gw.eventually(ready)
                yield made
                assert b"smuggled" not in seen


# Paths

# fmt: off
PROTECTED = [
    "/orders", "/orders/", "//orders", "/./orders", "/x/../orders", "/orders/.", "/orders/..;/orders", "/%6frders", "/%6Frders",
    "/ord%65rs", "/%2e/orders", "/x/%2e%2e/orders", "/x/%2E%2e/orders", "/x/.%2e/orders", "/x/%2e./orders", "/x/..%2forders",
    "/x%2f..%2forders", "/orders%2f", "/orders%2F..%2forders", "/%5corders", "/\\orders", "\\orders", "/x\\..\\orders", "/orders\\",
    "/x/..%5corders", "/orders;a=b", "/orders;", "/;/orders", "/orders%3ba", "/orders%3Ba=b/x", "/orders/;/x", "/orders%00",
    "/orders%00.html", "/orders%0a", "/orders%0d%0a", "/orders%09", "/orders%7f", "/%256frders", "/%25%36frders", "/%2525256frders",
    "/x/%252e%252e/orders", "/orders%252f", "/Orders", "/ORDERS", "/oRDERS/x", "/orderS", "/%4frders", "/orders#x", "/orders#",
    "/orders?x", "/orders/?/../health", "/orders??", "http://evil/orders", "HTTP://evil/orders/", "http://api.example.com/",
    "http://evil//orders", "http://evil/x/../orders", "http://a:1/orders", "/orders/health/..", "/orders/health/../x",
    "/orders/health/%2e%2e/x", "/orders/health/..;/x", "/orders/health/%2e%2e;/x", "/orders/health%2f..%2fx", "/orders/health/..%2fx",
    "/orders/healthx", "/orders/health%20", "/orders/health%2fx", "/orders/Health", "/orders/health/..\\x", "/orders/health%5c..%5cx",
    "/../orders", "/../../orders", "/..//orders", "/admin", "/Admin", "/%61dmin", "/x/../admin", "//admin", "/admin;x", "/admin%2fx",
    "/./admin/./", "/admin/..%2f", "/\\admin", "/ad\\..\\admin", "/%c0%afadmin", "/orders%c0%af", "/%c0%ae%c0%ae/admin", "/%u0061dmin",
    "/legacy", "/LEGACY/x", "/orders/x%", "/orders/%zz", "/orders/%2", "/orders\xe9", "/ord\ters", "/orders\x00", "/orders\x0b",
    "/orders\x7f", "/orders /x", " /orders",
]
# fmt: on


@pytest.mark.parametrize("target", PROTECTED)
async def test_no_way_of_writing_a_protected_path_gets_past_its_authentication(world: World, target: str) -> None:
    status, body = await world.get(target)
    assert status in {400, 401, 404, 405, 414}, (status, body)
    assert b"x-forwarded-for" not in body


@pytest.mark.parametrize(
    "target, seen",
    [
        ("/", "/"),
        ("/orders/health", "/orders/health"),
        ("/orders/health/", "/orders/health/"),
        ("/orders/./health", "/orders/health"),
        ("/orders//health", "/orders/health"),
        ("/orders/x/../health", "/orders/health"),
        ("/orders/h%65alth?a=%2f..;%00", "/orders/health"),
        ("/orders2", "/orders2"),
        ("/ordersx/", "/ordersx/"),
        ("/orders-x", "/orders-x"),
        ("/order", "/order"),
        ("/x/orders", "/x/orders"),
        ("/adminx/admin", "/adminx/admin"),
        ("/a%20b/%C3%A9/%26x%21", "/a%20b/%C3%A9/%26x%21"),
        ("/Welcome/ADMIN", "/Welcome/ADMIN"),
    ],
)
async def test_what_isnt_protected_is_served_and_the_upstream_sees_what_was_judged(world: World, target: str, seen: str) -> None:
    status, body = await world.get(target)
    assert (status, json.loads(body)["path"]) == (200, seen)


# fmt: off
REFUNDS = [
    "/orders/refunds", "/orders/refunds/", "/orders/refunds/1", "/orders/./refunds", "/orders//refunds", "/orders/x/../refunds",
    "/orders/refunds/.", "/orders/%72efunds", "/orders/%52efunds", "/orders/Refunds", "/orders/REFUNDS/1", "/orders%2frefunds",
    "/orders/%2frefunds", "/orders/refunds%2f1", "/orders/refunds;x", "/orders/refunds%3bx", "/orders/refunds%00", "/orders\\refunds",
    "/orders/x\\..\\refunds", "/orders/%2572efunds", "/orders/refunds?x", "/orders/health/../refunds", "/orders/@me", "/orders/%40me",
    "/orders/@ME", "/orders/items(1)", "/orders/items%281%29", "/orders/items(1%29", "/orders/Items(1)/x",
    "/orders/health/%2e%2e/refunds", "/Legacy/Refunds", "/Legacy/refunds", "/legacy/refunds", "/LEGACY/REFUNDS",
]
# fmt: on


@pytest.mark.parametrize("target", REFUNDS)
async def test_no_way_of_writing_it_gets_past_a_policy_on_a_path(world: World, target: str) -> None:
    status, body = await world.get(target, more=f"x-api-key: {world.sales}\r\n", method="POST")
    assert status in {400, 403, 404}, (status, body)
    assert b"x-forwarded-for" not in body


async def test_the_policy_on_a_path_lets_the_right_ones_through(world: World) -> None:
    for target in ("/orders/refunds", "/orders/refunds/1", "/orders/@me", "/orders/items(1)", "/Legacy/Refunds/x"):
        assert (await world.get(target, more=f"x-api-key: {world.finance}\r\n", method="POST"))[0] == 200, target
        assert (await world.get(target, more=f"x-api-key: {world.sales}\r\n"))[0] == 200, target
    for target in ("/orders/refunds2", "/orders/refund", "/orders/x/refunds", "/orders/items(1)x", "/orders/items"):
        assert (await world.get(target, more=f"x-api-key: {world.sales}\r\n", method="POST"))[0] == 200, target


@pytest.mark.parametrize(
    "target",
    [
        "/orders/secret",
        "/orders/./secret",
        "/orders//secret",
        "/orders/%73ecret",
        "/orders/secret?x",
        "/orders/secret?",
        "/orders/x/../secret",
    ],
)
async def test_a_condition_sees_the_path_as_the_upstream_does(world: World, target: str) -> None:
    status, _ = await world.get(target, more=f"x-api-key: {world.sales}\r\n")
    assert status == 403


@pytest.mark.parametrize("method", ["post", "Post", "pOST", "POST ", "POST\t", "P%4fST", "POST\0", "poſt", ""])
async def test_a_method_in_another_case_is_no_other_method(world: World, method: str) -> None:
    key = ("x-api-key", world.sales)
    status, _ = await world.get("/orders/refunds", more=f"x-api-key: {world.sales}\r\n", method=method.encode().decode("latin-1"))
    assert status in {0, 400, 403, 404, 501}
    headers = http2.request(method.encode().decode("latin-1"), "/orders/refunds", "a", key)
    answer = await http2.send(world.gw.port, headers, read_s=0.4)
    assert answer.status in {0, 400, 403}


def _meaning(path: str) -> str:
    """What the most lenient of upstreams would take the path for."""
    for _ in range(4):
        path = urllib.parse.unquote(path, encoding="latin-1")
    path = re.sub(r"[\0\r\n].*", "", path.split("?")[0].split("#")[0].replace("\\", "/"))
    kept: list[str] = []
    for segment in re.sub(r";[^/]*", "", path).split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    return "/" + "/".join(kept).lower()


PIECES = [
    "/",
    "/",
    "/",
    "//",
    ".",
    "..",
    "/..",
    "%2e",
    "%2E",
    "%2f",
    "%2F",
    "%5c",
    "\\",
    ";",
    ";x=y",
    "%3b",
    "%00",
    "%0a",
    "%25",
    "%252e",
    "%252f",
    "?",
    "#",
    "x",
]
PIECES += [
    "%",
    "%zz",
    "%20",
    "\xe9",
    "admin",
    "ADMIN",
    "%61dmin",
    "%2561dmin",
    "adm",
    "in",
    "orders",
    "Orders",
    "%6frders",
    "health",
    "refunds",
    "refund%73",
    ":80",
    "@",
]


async def test_thousands_of_random_paths_never_reach_what_they_could_be_taken_for(world: World) -> None:
    chance = random.Random(20)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gw.port)
    served = 0
    for _ in range(2500):
        path = "/" + "".join(chance.choices(PIECES, k=chance.randint(1, 9)))
        key = chance.choice(["", f"x-api-key: {world.sales}\r\n"])
        writer.write(f"POST {path} HTTP/1.1\r\nhost: a\r\n{key}content-length: 0\r\n\r\n".encode("latin-1"))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        if b"connection: close" in head:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", world.gw.port)
        if head.startswith(b"http/1.1 200"):
            served += 1
            meaning = _meaning(json.loads(body)["path"])
            first, _, rest = meaning[1:].partition("/")
            assert first != "admin" or key, path
            assert first != "orders" or key or rest.split("/")[0] == "health", path
            assert not meaning.startswith("/orders/refunds/") and meaning != "/orders/refunds", path
    writer.close()
    assert 100 < served < 2400


async def test_a_long_path_and_many_headers_have_their_ends(world: World) -> None:
    assert (await world.get("/orders/" + "a" * 9000))[0] == 414
    assert (await world.get("/" + "a/" * 4500))[0] == 414
    assert (await world.get("/orders/" + "%41" * 2000))[0] == 401
    assert (await world.get("/", more="x-a: " + "a" * 70_000 + "\r\n"))[0] == 431
    assert (await world.get("/", more="".join(f"x-{i}: a\r\n" for i in range(150))))[0] == 431


async def test_a_prefix_with_marks_is_taken_off_whole_and_only_itself(world: World) -> None:
    more = f"x-api-key: {world.sales}\r\n"
    for target, seen in (
        ("/marks(1)+a", "/"),
        ("/marks(1)+a/", "/"),
        ("/marks(1)+a/x", "/x"),
        ("/m.rks/marks", "/marks"),
        ("/m.rks/m.rks/x", "/m.rks/x"),
    ):
        status, body = await world.get(target, more=more)
        assert (status, json.loads(body)["path"]) == (200, seen)
    assert (await world.get("/marks(1)+a"))[0] == 401
    for target in ("/marks%281%29+a", "/marks(1)%2ba", "/marks(1)%2Ba/x"):
        assert (await world.get(target, more=more))[0] == 400
    status, body = await world.get("/mxrks/x", more=more)
    assert json.loads(body)["path"] == "/mxrks/x"


async def test_a_thousand_apis_below_one_segment_each_answer_for_themselves(world: World) -> None:
    more = f"x-api-key: {world.sales}\r\n"
    for i in (0, 1, 10, 99, 100, 101, 500, 998, 999):
        assert (await world.get(f"/v1/api-{i}"))[0] == 401
        assert (await world.get(f"/v1/api-{i}/x/../y"))[0] == 401
        answer = await world.gw.get(f"/v1/api-{i}/deep/er", headers={"x-api-key": world.sales})
        assert dict(answer.json()["headers"])["x-caller"] == "globex"
        assert (await world.gw.record(answer))["api"] == f"api-{i}"
    for target in ("/v1", "/v1/", "/v1/api-", "/v1/api-1000", "/v1/api-1x"):
        status, body = await world.get(target, more=more)
        assert status == 200 and b"x-caller" not in body, target
    for target in ("/v1/API-1", "/V1/api-1", "/v1/api-1;x", "/v1/api%2d1;x", "/v1%2fapi-1"):
        assert (await world.get(target, more=more))[0] in {400, 404}, target


# Hosts

# fmt: off
NO_HOSTS = [
    "", "api.example.com,evil", "evil,api.example.com", "user@api.example.com", "api.example.com/", "api.example.com\\",
    "api.example.com#", "api.example.com?", "api%2eexample.com", "api.example.com..", "..", ".", "@", "a b", "*.wild.example.com",
    "\xe9", "api.example.com\x00", "::1", "[::1", "[::1]x", "[api.example.com]", "api.example.com:80:80", "api.example.com:http",
    "api.example.com:-1", "a" * 300, "a." * 200, ":80",
]
# fmt: on


@pytest.mark.parametrize(
    "host, api",
    [
        ("api.example.com", "named"),
        ("API.Example.COM", "named"),
        ("api.example.com.", "named"),
        ("api.example.com:80", "named"),
        ("api.example.com.:8080", "named"),
        ("api.example.com:", "named"),
        ("y.wild.example.com", "wild"),
        ("X.y.WILD.example.com:1", "wild"),
        ("a.b.c.wild.example.com.", "wild"),
        ("y.sub.wild.example.com", "wilder"),
        ("x.wild.example.com", "exact"),
        ("a", "site"),
        ("wild.example.com", "site"),
        ("xwild.example.com", "site"),
        ("example.com", "site"),
        ("api.example.com.evil", "site"),
        ("evil-api.example.com", "site"),
        ("127.0.0.1", "site"),
        ("[::1]", "site"),
        ("[::1]:8080", "site"),
        ("[::ffff:127.0.0.1]:1", "site"),
        ("a_b", "site"),
    ],
)
async def test_a_host_is_known_by_its_name(world: World, host: str, api: str) -> None:
    answer = await world.gw.get("/inner/x", headers={"host": host})
    assert (answer.status_code, (await world.gw.record(answer))["api"]) == (200 if api == "site" else 401, api)


@pytest.mark.parametrize("host", NO_HOSTS)
async def test_what_is_no_host_is_refused(world: World, host: str) -> None:
    status, body = await world.get("/", host)
    assert status == 400, body


async def test_hosts_without_end_change_no_answer(world: World) -> None:
    """The gate remembers hosts that it has seen, good or not, and forgets them all when there are many."""
    asked = {"api.example.com": 401, "a": 200, NO_HOSTS[0]: 400}

    async def as_ever() -> None:
        assert {host: (await world.get("/x", host))[0] for host in asked} == asked

    await as_ever()
    for i in range(2100):
        good = i % 2 == 0
        assert (await world.get("/x", f"h{i}.example.org" if good else f"h{i}..example.org"))[0] == (200 if good else 400)
        if i % 300 == 0:
            await as_ever()
    await as_ever()
    assert (await world.get("/x", "a" * 300))[0] == 400


async def test_an_absolute_target_counts_instead_of_the_host(world: World) -> None:
    assert (await world.get("http://api.example.com/x", "a"))[0] == 401
    status, body = await world.get("http://a/x", "api.example.com")
    assert status == 200 and ["host", "a"] in json.loads(body)["headers"]
    for target in ("http:///x", "http://a:b/x", "http://a,b/x", "https://api.example.com/", "ftp://a/", "http:a", "http:/orders"):
        assert (await world.get(target))[0] in {400, 403, 404}, target
    assert (await world.get("http://a@api.example.com/x"))[0] == 401
    status, body = await world.get("http://api.example.com@a/x")
    assert status == 200 and [value for name, value in json.loads(body)["headers"] if name == "host"] == ["a"]


async def test_without_a_host_or_with_several_a_request_is_refused(world: World) -> None:
    for hosts in (
        "",
        "host: api.example.com\r\nhost: a\r\n",
        "host: a\r\nhost: api.example.com\r\n",
        "host: a\r\nhost: a\r\n",
        "host: a\r\n host: b\r\n",
    ):
        status, _ = await world.raw(f"GET / HTTP/1.1\r\n{hosts}\r\n")
        assert status == 400, hosts
    assert (await world.raw("GET / HTTP/1.0\r\n\r\n"))[0] in {400, 426}
    assert (await world.raw("GET / HTTP/1.0\r\nhost: a\r\n\r\n"))[0] in {400, 426}


async def test_over_http2_the_authority_counts_and_nothing_else_passes_on(world: World) -> None:
    answer = await http2.send(world.gw.port, http2.request("GET", "/x", "api.example.com", ("host", "a")))
    assert answer.status == 401
    answer = await http2.send(world.gw.port, http2.request("GET", "/x", "a", ("host", "api.example.com")))
    assert answer.status in {200, 400}
    assert not answer.body or [value for name, value in json.loads(answer.body)["headers"] if name == "host"] == ["a"]
    answer = await http2.send(world.gw.port, [(":method", "GET"), (":scheme", "http"), (":path", "/x"), ("host", "api.example.com")])
    assert answer.status in {0, 400, 401}


# Framing

SMUGGLED = "GET /admin/smuggled HTTP/1.1\r\nhost: a\r\n\r\n"


def _framings() -> dict[str, str]:
    post = "POST /x HTTP/1.1\r\nhost: a\r\n"
    get = "GET /x HTTP/1.1\r\nhost: a\r\n"
    end = "0\r\n\r\n" + SMUGGLED
    return {
        "length and chunks": f"{post}content-length: {len(end)}\r\ntransfer-encoding: chunked\r\n\r\n{end}",
        "chunks and length": f"{post}transfer-encoding: chunked\r\ncontent-length: {len(end)}\r\n\r\n{end}",
        "chunks and no length": f"{post}transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n{end}",
        "unknown coding": f"{post}content-length: 4\r\ntransfer-encoding: xchunked\r\n\r\n{end}",
        "two codings": f"{post}transfer-encoding: chunked, identity\r\n\r\n{end}",
        "chunked before identity": f"{post}transfer-encoding: identity\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n{end}",
        "chunked twice": f"{post}content-length: 4\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n{end}",
        "a blank before the colon": f"{post}content-length: 4\r\ntransfer-encoding : chunked\r\n\r\n{end}",
        "a vertical tab": f"{post}content-length: 4\r\ntransfer-encoding: \x0bchunked\r\n\r\n{end}",
        "quotes": f'{post}content-length: 4\r\ntransfer-encoding: "chunked"\r\n\r\n{end}',
        "folded coding": f"{post}content-length: 4\r\ntransfer-encoding:\r\n chunked\r\n\r\n{end}",
        "hidden behind a fold": f"{post}content-length: 4\r\nx: y\r\n transfer-encoding: chunked\r\n\r\n{end}",
        "a name with an underscore": f"{post}content-length: 4\r\ntransfer_encoding: chunked\r\n\r\n{end}",
        "two lengths": f"{post}content-length: 3\r\ncontent-length: {3 + len(SMUGGLED)}\r\n\r\nabc{SMUGGLED}",
        "two lengths alike": f"{post}content-length: 3\r\ncontent-length: 3\r\n\r\nabc{SMUGGLED}",
        "a list of lengths": f"{post}content-length: 3, 3\r\n\r\nabc{SMUGGLED}",
        "a length with a sign": f"{post}content-length: +3\r\n\r\nabc{SMUGGLED}",
        "a length below zero": f"{post}content-length: -1\r\n\r\nabc{SMUGGLED}",
        "a length in hex": f"{post}content-length: 0x3\r\n\r\nabc{SMUGGLED}",
        "a length with a blank": f"{post}content-length: 1 0\r\n\r\nabc{SMUGGLED}",
        "a length beyond numbers": f"{post}content-length: 18446744073709551619\r\n\r\nabc{SMUGGLED}",
        "a chunk beyond numbers": f"{post}transfer-encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n{end}",
        "a chunk that isn't ended": f"{post}transfer-encoding: chunked\r\n\r\n3\r\nabcX\r\n{end}",
        "a chunk with bare line feeds": f"{post}transfer-encoding: chunked\r\n\r\n3\nabc\n0\n\n{SMUGGLED}",
        "an extension with a line feed": f"{post}transfer-encoding: chunked\r\n\r\n3;a=\nb\r\nabc\r\n{end}",
        "a body on GET": f"GET /x HTTP/1.1\r\nhost: a\r\ncontent-length: {len(SMUGGLED)}\r\ntransfer-encoding: chunked\r\n\r\n{SMUGGLED}",
        "bare line feeds": f"GET /x HTTP/1.1\nhost: a\ncontent-length: 0\n\n{SMUGGLED}",
        "a bare carriage return": f"{post}x: y\rcontent-length: 3\r\n\r\nabc{SMUGGLED}",
        "an empty name": f"{post}: x\r\n\r\n{SMUGGLED}",
        "a line without a colon": f"{post}content-length 3\r\n\r\nabc{SMUGGLED}",
        "a blank before the first header": f"POST /x HTTP/1.1\r\n x: y\r\nhost: a\r\n\r\n{SMUGGLED}",
        "a request behind an upgrade": f"{get}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n{SMUGGLED}",
        "a request behind h2c": f"{get}connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n{SMUGGLED}",
        "a request behind CONNECT": f"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n{SMUGGLED}",
        "a request behind expect": f"{post}expect: 100-continue\r\ncontent-length: 0\r\n\r\n{SMUGGLED}",
        "a request line twice": f"GET /x HTTP/1.1 /admin/smuggled HTTP/1.1\r\nhost: a\r\n\r\n{SMUGGLED}",
        "another version": f"GET /x HTTP/1.2\r\nhost: a\r\n\r\n{SMUGGLED}",
        "version 2": f"GET /x HTTP/2.0\r\nhost: a\r\n\r\n{SMUGGLED}",
        "no version": f"GET /x\r\n\r\n{SMUGGLED}",
    }


@pytest.mark.parametrize("name", _framings())
async def test_no_framing_hides_a_request(world: World, name: str) -> None:
    before = len(world.seen)
    await world.gw.raw(_framings()[name].encode("latin-1"), read_s=0.5)
    assert b"smuggled" not in world.seen[before:]


async def test_two_requests_on_one_connection_are_judged_each(world: World) -> None:
    before = len(world.seen)
    own = f"GET /admin/mine HTTP/1.1\r\nhost: a\r\nx-api-key: {world.sales}\r\n\r\n"
    last = "GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    answer = await world.gw.raw((own + SMUGGLED).encode(), read_s=0.5)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer)[:2] in ([b"200"], [b"200", b"401"])
    answer = await world.gw.raw((SMUGGLED + last).encode())
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"401", b"200"]
    assert b"smuggled" not in world.seen[before:] and b"GET /admin/mine" in world.seen[before:]


BREAK = "\r\n\r\nGET /admin/smuggled HTTP/1.1\r\nhost: a\r\n\r\n"


def _over_http2() -> dict[str, Any]:
    plain = http2.request("GET", "/x")
    post = http2.request("POST", "/x")

    def changed(name: str, value: str) -> list[tuple[str, str]]:
        return [(one, value if one == name else kept) for one, kept in plain]

    return {
        "a break in the path": changed(":path", "/x HTTP/1.1" + BREAK),
        "a blank in the path": changed(":path", "/x /admin/smuggled"),
        "no slash": changed(":path", "admin/smuggled"),
        "an empty path": changed(":path", ""),
        "an absolute path": changed(":path", "http://a/admin/smuggled"),
        "a fragment": changed(":path", "/x#/admin/smuggled"),
        "bytes that are no ASCII": changed(":path", "/admin/\xe9/smuggled"),
        "a break in the method": changed(":method", "GET /admin/smuggled HTTP/1.1" + BREAK),
        "a break in the authority": changed(":authority", "a" + BREAK),
        "a break in the scheme": changed(":scheme", "http://a/admin/smuggled" + BREAK),
        "two paths": [*plain, (":path", "/admin/smuggled")],
        "two methods": [*plain, (":method", "POST")],
        "two authorities": [*plain, (":authority", "api.example.com")],
        "an unknown pseudo header": [*plain, (":x", "/admin/smuggled")],
        "a pseudo header behind others": [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            ("x", "y"),
            (":path", "/admin/smuggled"),
        ],
        "no path": [one for one in plain if one[0] != ":path"],
        "no authority": [one for one in plain if one[0] != ":authority"],
        "a break in a value": [*plain, ("x", "y" + BREAK)],
        "a line feed in a value": [*plain, ("x", "y\nx-api-key: /admin/smuggled")],
        "a null in a value": [*plain, ("x", "y\0/admin/smuggled")],
        "a break in a name": [*plain, ("x: y" + BREAK, "y")],
        "a colon in a name": [*plain, ("x: /admin/smuggled", "y")],
        "capitals in a name": [*plain, ("X-Bartizan-Scope", "/admin/smuggled")],
        "an underscore in a name": [*plain, ("x_api_key", "/admin/smuggled")],
        "connection": [*plain, ("connection", "close, x-caller")],
        "chunks": [*post, ("transfer-encoding", "chunked")],
        "an upgrade": [*plain, ("upgrade", "h2c")],
        "te": [*plain, ("te", "chunked")],
        "a length that lies": [*post, ("content-length", "100")],
        "two lengths": [*post, ("content-length", "3"), ("content-length", "100")],
        "a length with a break": [*post, ("content-length", "3\r\nx: /admin/smuggled")],
        "connect": [(":method", "CONNECT"), (":authority", "a:80")],
        "a websocket": [(":method", "CONNECT"), (":protocol", "websocket"), *plain[1:]],
    }


@pytest.mark.parametrize("name", _over_http2())
async def test_nothing_in_http2_becomes_another_request(world: World, name: str) -> None:
    before = len(world.seen)
    headers = _over_http2()[name]
    body = b"0\r\n\r\n" + SMUGGLED.encode() if headers[0] == (":method", "POST") and "length" not in name else b""
    answer = await http2.send(world.gw.port, headers, body or (b"abc" if "length" in name else b""), read_s=0.4)
    assert answer.status != 200
    assert b"smuggled" not in world.seen[before:]


async def test_a_plain_request_over_http2_passes_so_that_the_others_prove_something(world: World) -> None:
    assert (await http2.send(world.gw.port, http2.request("GET", "/x"))).status == 200
    assert (await http2.send(world.gw.port, http2.request("POST", "/x"), b"abc")).status == 200
