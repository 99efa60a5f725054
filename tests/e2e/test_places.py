"""Places, end to end: databases decide, what they don't know admits nobody, and nobody can say where he calls from."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from bartizan.envoy.names import place_file
from tests.e2e import places
from tests.e2e.gateway import Gateway, free_port, gateway, upstream
from tests.e2e.node_rig import eventually
from tests.e2e.test_fleet_up import upped

FILES = """
kind: Gateway
name: edge
listeners:
  - {name: web, address: "127.0.0.1:{port}"}
  - {name: behind, address: "127.0.0.1:BEHIND", trusted_proxies: [127.0.0.0/8]}
places: {city: geo/City.mmdb, network: geo/ASN.mmdb, anonymous: geo/Anonymous.mmdb}
blocking: {attempts: 1000000}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
{kind: Consumer, name: acme}
---
{kind: Public, name: open, reason: the place alone decides here}
---
{kind: Authorize, name: de, target: {api: orders, paths: [/orders/de]}, allow: source.country == "DE"}
---
{kind: Authorize, name: not-no, target: {api: orders, paths: [/orders/not-no]}, allow: source.country != "NO"}
---
kind: Authorize
name: or-unknown
target: {api: orders, paths: [/orders/or-unknown]}
allow: '!has(source.country) || source.country == "DE"'
---
{kind: Authorize, name: munich, target: {api: orders, paths: [/orders/munich]}, allow: source.region == "BY" && source.city == "Munich"}
---
{kind: Authorize, name: sao, target: {api: orders, paths: [/orders/sao]}, allow: source.city.startsWith("São") && size(source.city) == 9}
---
kind: Authorize
name: network
target: {api: orders, paths: [/orders/network]}
allow: source.asn == 4200000001 && source.operator == "Far Net"
---
{kind: Authorize, name: open-networks, target: {api: orders, paths: [/orders/named]}, allow: '!source.anonymous'}
---
kind: Authorize
name: tor
target: {api: orders, paths: [/orders/tor]}
allow: source.tor && source.vpn && source.proxy && !source.hosting
---
kind: RateLimit
name: data-centres
target: {api: orders, paths: [/orders/limited]}
per: source.ip
tiers: [{when: source.hosting, windows: [1/day]}, {windows: [1000/second]}]
"""
MUNICH, OSLO, BRAZIL, NOWHERE = "198.51.100.1", "203.0.113.1", "192.0.2.1", "192.0.2.200"
BERLIN, NOWHERE6 = "2001:db8:de::1", "2001:db8:f::1"
TOR, CENTRE = "198.51.100.130", "203.0.113.65"

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Rig:
    """A gateway, and the port behind a trusted proxy."""

    def __init__(self, gw: Gateway, behind: int) -> None:
        self.gw, self.behind = gw, behind
        self.proxied = httpx.AsyncClient(base_url=f"http://127.0.0.1:{behind}", timeout=10)
        self.geo = gw.files / "geo"

    async def ask(self, path: str, source: str, **headers: str) -> httpx.Response:
        return await self.proxied.get(f"/orders/{path}", headers={"x-forwarded-for": source, **headers})

    async def place(self, answer: httpx.Response) -> dict[str, str]:
        return {name: value for name, value in (await self.gw.record(answer)).get("place", {}).items() if value}

    async def becomes(self, path: str, source: str, status: int) -> None:
        async def so() -> bool:
            return (await self.ask(path, source)).status_code == status

        await self.gw.eventually(so)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder, behind = tmp_path_factory.mktemp("places"), free_port()
    places.write_all(folder / "files" / "geo")
    with upstream() as port:
        text = FILES.replace("UPSTREAM", str(port)).replace("BEHIND", str(behind))
        async with gateway(folder, {"all.yaml": text}) as gw:
            made = Rig(gw, behind)
            yield made
            await made.proxied.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def changing(rig: Rig) -> AsyncIterator[Rig]:
    """For a test that changes databases: it leaves them as it found them."""
    yield rig
    places.write_all(rig.geo)
    await rig.gw.until(lambda told: not told["warnings"])
    await rig.becomes("de", MUNICH, 200)
    await rig.becomes("tor", TOR, 200)


@pytest.mark.parametrize(
    ("path", "admitted", "refused"),
    [
        ("de", [MUNICH, BERLIN, TOR], [OSLO, BRAZIL, NOWHERE, NOWHERE6]),
        ("not-no", [MUNICH, BRAZIL, BERLIN], [OSLO, CENTRE, NOWHERE, NOWHERE6]),
        ("or-unknown", [MUNICH, NOWHERE, NOWHERE6], [OSLO, BRAZIL]),
        ("munich", [MUNICH], [BERLIN, OSLO, NOWHERE]),
        ("sao", [BRAZIL], [MUNICH, NOWHERE]),
        ("network", [OSLO], [MUNICH, BRAZIL, BERLIN]),
        ("named", [MUNICH, OSLO, NOWHERE, NOWHERE6, CENTRE], [TOR]),
        ("tor", [TOR], [MUNICH, CENTRE, NOWHERE]),
    ],
)
async def test_the_databases_decide_and_what_they_dont_know_admits_nobody(
    rig: Rig, path: str, admitted: list[str], refused: list[str]
) -> None:
    found = {source: (await rig.ask(path, source)).status_code for source in (*admitted, *refused)}
    assert found == {**dict.fromkeys(admitted, 200), **dict.fromkeys(refused, 403)}


@pytest.mark.parametrize("form", ["::ffff:{}", "::FFFF:{}"])
async def test_an_ipv4_address_in_ipv6_form_is_the_ipv4_address(rig: Rig, form: str) -> None:
    assert (await rig.ask("munich", form.format(MUNICH))).status_code == 200
    assert (await rig.ask("named", form.format(TOR))).status_code == 403
    assert (await rig.ask("tor", "::ffff:c633:6482")).status_code == 200
    assert (await rig.ask("de", form.format(NOWHERE))).status_code == 403


FORGED = {
    "x-bartizan-place-country": "DE",
    "X-Bartizan-Place-Region": "BY",
    "x-bartizan-place-city": "Munich",
    "x-bartizan-place-asn": "4200000001",
    "x-bartizan-place-operator": "Far Net",
    "x-bartizan-place-anonymous": "false",
    "x-bartizan-place-tor": "true",
    "x-bartizan-unmapped": MUNICH,
    "x-bartizan-source": MUNICH,
}


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("port", ["web", "behind"])
async def test_what_a_caller_says_of_its_place_changes_nothing(rig: Rig, http2: bool, port: str) -> None:
    base = rig.gw.url if port == "web" else f"http://127.0.0.1:{rig.behind}"
    async with httpx.AsyncClient(base_url=base, http1=not http2, http2=http2) as client:
        for path in ("de", "munich", "network", "tor", "not-no"):
            assert (await client.get(f"/orders/{path}", headers=FORGED)).status_code == 403, path
        for name, value in FORGED.items():
            assert (await client.get("/orders/de", headers={name: value})).status_code == 403, name
            doubled = [(name, value), (name, value)]
            assert (await client.get("/orders/munich", headers=doubled)).status_code == 403, name
        if port == "behind":  # of somebody whom the databases know it changes nothing either
            told = {**FORGED, "x-forwarded-for": TOR, "x-bartizan-place-hosting": "true"}
            assert (await client.get("/orders/named", headers=told)).status_code == 403
            assert (await client.get("/orders/tor", headers=told)).status_code == 200
            assert (await client.get("/orders/de", headers={**told, "x-forwarded-for": OSLO})).status_code == 403
        answer = await client.get("/orders/or-unknown", headers=FORGED)
        assert answer.status_code == 200
        assert not [name for name, _ in answer.json()["headers"] if "bartizan" in name]


async def test_a_spelling_that_others_read_as_ours_is_refused(rig: Rig) -> None:
    answer = await rig.gw.raw(b"GET /orders/de HTTP/1.1\r\nhost: x\r\nx_bartizan_place_country: DE\r\nconnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))


async def test_it_is_the_address_that_policies_see(rig: Rig) -> None:
    assert (await rig.gw.get("/orders/de", headers={"x-forwarded-for": MUNICH})).status_code == 403  # nobody's proxy
    assert (await rig.ask("de", f"{OSLO}, {MUNICH}")).status_code == 200
    assert (await rig.ask("de", f"{MUNICH}, {OSLO}")).status_code == 403
    assert (await rig.ask("de", f"{OSLO}, {MUNICH}, 127.0.0.1")).status_code == 200
    assert (await rig.ask("de", "nonsense")).status_code == 403
    assert (await rig.ask("de", "")).status_code == 403
    answer = await rig.ask("munich", MUNICH)
    assert not [name for name, _ in answer.json()["headers"] if "bartizan" in name]


async def test_a_limit_may_hang_on_it(rig: Rig) -> None:
    assert [(await rig.ask("limited", CENTRE)).status_code for _ in range(2)] == [200, 429]
    assert [(await rig.ask("limited", OSLO)).status_code for _ in range(3)] == [200, 200, 200]


async def test_the_record_tells_what_was_found(rig: Rig) -> None:
    assert await rig.place(await rig.ask("munich", MUNICH)) == {
        **{"country": "DE", "region": "BY", "city": "Munich", "asn": "64512", "operator": "Example Net"},
        **dict.fromkeys(("anonymous", "hosting", "vpn", "tor", "proxy"), "false"),
    }
    found = await rig.place(await rig.ask("de", NOWHERE))
    assert "country" not in found and found["anonymous"] == "false"
    assert (await rig.place(await rig.ask("network", OSLO)))["asn"] == "4200000001"


async def test_a_file_that_is_replaced_counts_without_a_restart_or_a_failed_request(changing: Rig) -> None:
    envoy = changing.gw.pid("envoy")
    assert (await changing.ask("de", OSLO)).status_code == 403
    stop, seen = asyncio.Event(), set()

    async def traffic() -> None:
        while not stop.is_set():
            seen.add((await changing.ask("de", MUNICH)).status_code)

    load = [asyncio.create_task(traffic()) for _ in range(4)]
    for told in ("DE", "NO", "DE"):
        places.write(changing.geo / "City.mmdb", {**places.CITIES, "203.0.113.0/24": places.city(told, "BE", "Berlin")})
        await changing.becomes("de", OSLO, 200 if told == "DE" else 403)
    stop.set()
    await asyncio.gather(*load)
    assert seen == {200}
    assert changing.gw.pid("envoy") == envoy
    assert (await changing.gw.status())["revision"] == (await changing.gw.record(await changing.ask("de", OSLO)))["revision"]


async def test_a_file_that_is_written_over_in_its_place_counts_too(changing: Rig) -> None:
    other = changing.geo / "other.mmdb"
    places.write(other, {**places.CITIES, "203.0.113.0/24": places.city("DE", "BE", "Berlin")})
    content = other.read_bytes()
    with (changing.geo / "City.mmdb").open("wb") as file:  # slowly, so that half of it lies there for a while
        file.write(content[: len(content) // 2])
        file.flush()
        for _ in range(10):
            await asyncio.sleep(0.1)
            assert (await changing.ask("de", MUNICH)).status_code == 200
        file.write(content[len(content) // 2 :])
    await changing.becomes("de", OSLO, 200)


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "gone", "another", "less"])
async def test_a_broken_file_is_told_and_the_one_before_stays(changing: Rig, damage: str) -> None:
    file = changing.geo / "City.mmdb"
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage == "another":
        file.write_bytes((changing.geo / "ASN.mmdb").read_bytes())
    elif damage == "less":
        places.write(file, {"198.51.100.0/24": places.city("NO")}, "Test-Country")
    else:
        file.write_bytes({"garbage": b"x" * 100_000, "empty": b"", "cut": content[:-40]}[damage])
    told = await changing.gw.until(lambda now: any("City.mmdb" in one and "the one before is used on" in one for one in now["warnings"]))
    assert len(told["warnings"]) == 1
    assert "City.mmdb" in changing.gw.log()
    assert (await changing.ask("munich", MUNICH)).status_code == 200
    assert (await changing.ask("de", OSLO)).status_code == 403
    # Nor does an edit of something else stumble over it.
    await changing.gw.edit("more.yaml", f"{{kind: Consumer, name: of-{damage}}}")
    assert (await changing.ask("munich", MUNICH)).status_code == 200


async def test_what_is_wrong_with_databases_is_told_with_its_place(rig: Rig, tmp_path: Path) -> None:
    def files(places_: str, allow: str) -> Path:
        made = (rig.gw.files / "all.yaml").read_text().partition("---")[0]
        text = made.replace("places: {city: geo/City.mmdb, network: geo/ASN.mmdb, anonymous: geo/Anonymous.mmdb}", places_)
        policy = f"---\nkind: Authorize\nname: it\nallow: {allow}\n"
        (tmp_path / "all.yaml").write_text(f"{text}{policy}")
        return tmp_path

    places.write_all(tmp_path / "geo")
    places.write(tmp_path / "geo" / "Half.mmdb", {"192.0.2.0/24": {"is_anonymous": True}})
    (tmp_path / "geo" / "No.mmdb").write_text("not a database")
    wrong = [
        ("places: {city: geo/None.mmdb}", 'source.city == "x"', "geo/None.mmdb: it can't be read: No such file or directory"),
        ("places: {city: geo/No.mmdb}", 'source.city == "x"', "geo/No.mmdb: it isn't a database in MaxMind's format"),
        ("places: {network: geo/City.mmdb}", "source.asn == 1", "geo/City.mmdb: it tells nothing of source.asn"),
        ("places: {country: geo/City.mmdb}", 'source.city == "x"', "no database of the Gateway tells source.city"),
        ("", 'source.country == "DE"', "name one in the Gateway, such as places: {country: geo/country.mmdb}"),
        (
            "places: {anonymous: geo/Half.mmdb}",
            "source.hosting",
            "tells source.hosting: the files don't hold it",
        ),
        ("places: {city: geo/City.mmdb}", 'source.country == "UK"', 'write "GB"'),
        ("places: {city: geo/City.mmdb}", 'source.country == "unknown"', "asked for by !has(source.country)"),
    ]
    for declared, allow, told in wrong:
        status, out = await bartizan("check", "-f", files(declared, f"'{allow}'"))
        assert status == 1 and told in out, out
    status, out = await bartizan("check", "-f", files("places: {city: geo/City.mmdb}", "'source.country in [\"NO\"]'"))
    assert status == 0, out


async def bartizan(*arguments: object) -> tuple[int, str]:
    """A command as people run it: exit status and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bartizan.cli.main", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "NO_COLOR": "1"},
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_explain_tells_it_and_asks_with_what_is_given(rig: Rig) -> None:
    answer = await rig.ask("de", OSLO)
    await rig.gw.record(answer)
    status, out = await bartizan("explain", "--state", rig.gw.state, answer.headers["x-request-id"])
    assert status == 0 and "  source.country = NO\n" in out and "by Authorize/de" in out
    asked = ("explain", "--state", rig.gw.state, "--path", "/orders/de", "--json")
    for given, refused in ((("--place", "country=DE"), False), (("--place", "country=NO"), True), ((), True)):
        status, out = await bartizan(*asked, *given)
        told = json.loads(out)
        assert status == 0 and told["decision"]["refused"] is refused, out
        assert told["record"]["place"].get("country") == (given[1].partition("=")[2] if given else None)
    for given, told in (("country=UK", "GB"), ("colour=red", "databases tell no"), ("tor=perhaps", "true, false or unknown")):
        status, out = await bartizan(*asked, "--place", given)
        assert status == 64 and told in out, out


CASES = """
cases:
  - {name: from Munich, given: {path: /orders/munich, source: {country: DE, region: BY, city: Munich}}, expect: allow}
  - {name: from nowhere, given: {path: /orders/de}, expect: refuse, by: Authorize/de}
  - {name: an address tells nothing here, given: {path: /orders/de, source: 198.51.100.1}, expect: refuse}
  - {name: bare NO is Norway, given: {path: /orders/not-no, source: {country: NO}}, expect: refuse}
  - {name: a number, given: {path: /orders/network, source: {address: 192.0.2.9, asn: 4200000001, operator: Far Net}}, expect: allow}
  - {name: of what isn't given a truth isn't so, given: {path: /orders/named}, expect: allow}
  - {name: a truth, given: {path: /orders/named, source: {anonymous: true}}, expect: refuse}
  - {name: without the database, given: {path: /orders/named, source: {anonymous: unknown}}, expect: refuse}
invariants:
  - {name: nobody gets to Munich, never: {who: anyone, path: /orders/munich}}
"""


async def test_a_test_says_where_its_requests_come_from(rig: Rig, tmp_path: Path) -> None:
    made = shutil.copytree(rig.gw.files, tmp_path / "files", ignore=shutil.ignore_patterns("geo"))
    tests = made / "places.test.yaml"
    tests.write_text(CASES)
    status, out = await bartizan("test", "-f", made)
    assert status == 1 and "1 failed, 8 passed" in out, out
    assert "with source.city = Munich" in out  # the real Envoy let it through
    tests.write_text("{name: x, given: {path: /orders/de, source: {operator: ''}}, expect: refuse}")
    status, out = await bartizan("test", "-f", made)
    assert status == 1 and "operator is a text" in out, out


async def test_a_replay_judges_by_what_was_known_then(changing: Rig, tmp_path: Path) -> None:
    for path in ("de", "not-no", "or-unknown", "munich", "sao", "network", "named", "tor"):
        for source in (MUNICH, OSLO, BRAZIL, NOWHERE, BERLIN, NOWHERE6, TOR, CENTRE):
            last = await changing.ask(path, source)
    await changing.gw.record(last)
    same = ("replay", "--state", changing.gw.state, "--json", "--candidate")
    places.write(changing.geo / "City.mmdb", {"0.0.0.0/1": places.city("NO", "03", "Oslo")})  # what is there now doesn't count
    status, out = await bartizan(*same, changing.gw.files)
    told = json.loads(out)
    assert status == 0 and told["same"] == told["judged"] > 60 and not told["untold"], out
    candidate = shutil.copytree(changing.gw.files, tmp_path / "candidate")
    text = (candidate / "all.yaml").read_text()
    (candidate / "all.yaml").write_text(text.replace('source.country == "DE"}', 'source.country != "BR"}'))
    _, out = await bartizan(*same, candidate)
    told = json.loads(out)
    assert told["newly_allowed"] >= 1 and not told["newly_refused"] and not told["untold"], out


async def test_a_restart_without_the_file_goes_on_with_what_was_kept(tmp_path: Path) -> None:
    behind = free_port()
    places.write_all(tmp_path / "files" / "geo")
    with upstream() as port:
        files = {"all.yaml": FILES.replace("UPSTREAM", str(port)).replace("BEHIND", str(behind))}
        async with gateway(tmp_path, files) as gw:
            assert (await Rig(gw, behind).ask("de", MUNICH)).status_code == 200
        (tmp_path / "files" / "geo" / "City.mmdb").unlink()
        async with gateway(tmp_path, {name: text.replace("{port}", str(gw.port)) for name, text in files.items()}) as again:
            rig = Rig(again, behind)
            assert (await rig.ask("de", MUNICH)).status_code == 200
            assert (await rig.ask("de", OSLO)).status_code == 403
            await again.until(lambda now: any("City.mmdb" in one for one in now["warnings"]))


BEFORE = """kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}", trusted_proxies: [127.0.0.0/8]}]
PLACES
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Public, name: open, reason: the place alone decides here}
---
{kind: Authorize, name: it, allow: 'ALLOW'}
"""


async def test_databases_come_go_and_come_back_and_in_between_nobody_slips_through(tmp_path: Path) -> None:
    places.write_all(tmp_path / "files" / "geo")
    with upstream() as port:
        text = BEFORE.replace("UPSTREAM", str(port))
        nobody = text.replace("PLACES", "").replace("ALLOW", "false")
        named = text.replace("PLACES", "places: {anonymous: geo/Anonymous.mmdb}").replace("ALLOW", "!source.anonymous")
        placed = text.replace("PLACES", "places: {city: geo/City.mmdb}").replace("ALLOW", 'source.country in ["DE"]')
        async with gateway(tmp_path, {"all.yaml": nobody}) as gw:
            rig, stop, seen = Rig(gw, gw.port), asyncio.Event(), set()
            assert not list((gw.state / "places").iterdir())

            async def anonymous() -> None:
                while not stop.is_set():
                    seen.add((await rig.ask("x", "198.51.100.190")).status_code)

            load = [asyncio.create_task(anonymous()) for _ in range(3)]
            for text in (named, nobody, named, nobody):
                await gw.edit("all.yaml", text)
                await asyncio.sleep(0.2)
            stop.set()
            await asyncio.gather(*load)
            assert seen == {403}
            await gw.edit("all.yaml", placed)
            first = (await gw.status())["revision"]
            # On a connection from before it holds at once.
            assert [(await rig.ask("x", one)).status_code for one in (MUNICH, OSLO)] == [200, 403]
            await gw.edit("all.yaml", named)
            assert [(await rig.ask("x", one)).status_code for one in (OSLO, TOR)] == [200, 403]
            status, out = await bartizan("rollback", first, "-m", "back to the country", "--state", gw.state)
            assert status == 0, out
            assert [(await rig.ask("x", one)).status_code for one in (MUNICH, OSLO)] == [200, 403]
            await rig.proxied.aclose()


FLEET = """kind: Gateway
name: edge
listeners: [{name: web, address: '127.0.0.1:PORT', trusted_proxies: [127.0.0.0/8]}]
places: {city: geo/City.mmdb, anonymous: geo/Anonymous.mmdb}
---
{kind: Api, name: orders, paths: [/orders], upstream: 'http://127.0.0.1:UPSTREAM'}
---
{kind: Public, name: open, reason: the place alone decides here}
---
{kind: Authorize, name: de, target: {api: orders, paths: [/orders/de]}, allow: source.country == "DE"}
---
{kind: Authorize, name: not-no, target: {api: orders, paths: [/orders/not-no]}, allow: source.country != "NO"}
---
{kind: Authorize, name: named, target: {api: orders, paths: [/orders/named]}, allow: '!source.anonymous'}
"""


async def test_a_node_without_the_file_knows_nothing_and_refuses(tmp_path: Path) -> None:
    places.write_all(tmp_path / "files" / "geo")
    (tmp_path / "files").rename(tmp_path / "made")
    async with upped(tmp_path, FLEET, beside=tmp_path / "made") as up:
        port, state = free_port(), tmp_path / "edge-1"
        token = (await up.told("node", "token", "--name", "edge-1", "--state", up.state)).strip()
        where = ("--state", state, "--control", f"127.0.0.1:{up.nodes}", "--listen", f"web=127.0.0.1:{port}")
        await up.start("edge-1", "node", "run", "--join", token, *where, "--concurrency", 1)

        async def asks(path: str, source: str, to: int = port) -> int:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"http://127.0.0.1:{to}/orders/{path}", headers={"x-forwarded-for": source})).status_code

        def problem(told: dict[str, Any]) -> str:
            return next((str(one["error"]) for one in told["nodes"] if one["node_id"] == "edge-1"), "")

        await up.until(lambda told: len(told["nodes"]) == 2 and "geo/city.mmdb" in problem(told))
        await eventually(lambda: _refuses(asks("de", MUNICH)))
        assert [await asks(path, source) for path in ("de", "not-no", "named") for source in (MUNICH, NOWHERE)] == [403] * 6
        assert await asks("de", MUNICH, up.port) == 200  # the node beside the control plane has them
        # What an operator puts there counts, and what isn't good doesn't.
        places.write(state / "geo" / "city.mmdb", places.CITIES)
        places.write(state / "geo" / "anonymous.mmdb", places.ANONYMOUS)
        await up.until(lambda told: problem(told) == "None")
        await eventually(lambda: _is(asks("de", MUNICH), 200))
        assert [await asks("named", source) for source in (MUNICH, NOWHERE, TOR)] == [200, 200, 403]
        (state / "geo" / "city.mmdb").write_bytes(b"no database")
        await up.until(lambda told: "geo/city.mmdb" in problem(told))
        assert await asks("de", MUNICH) == 200
        assert (state / place_file("city", "geo/City.mmdb")).stat().st_size > 1000


async def _is(asked: Any, status: int) -> bool:
    try:
        return bool(await asked == status)
    except httpx.HTTPError:
        return False


async def _refuses(asked: Any) -> bool:
    return await _is(asked, 403)
