"""A canary by caller: in one Envoy a candidate judges some callers and the active revision all others, whatever their credential."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from bartizan.rollout.stages import label
from tests.certificates import Pair, authority
from tests.e2e.gateway import Gateway, TokenIssuer, free_port, gateway, upstream
from tests.e2e.shown import client

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}, {name: safe, address: "127.0.0.1:SAFE"}]
attributes: {plan: string}
blocking: {attempts: 100000}
releases: {stages: STAGES}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
identity_headers: {x-caller: id}
---
{kind: Consumer, name: acme, attributes: {plan: gold}, credentials: [{certificate: {ca: partners, san: spiffe://corp/acme}}]}
---
{kind: Consumer, name: globex, attributes: {plan: free}}
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: corp.json}
---
kind: Authenticate
name: callers
target: {except: [/orders/open]}
any: [api_key, {jwt: corp}, {mtls: partners}]
---
{kind: Public, name: open, target: {paths: [/orders/open]}, reason: everybody may look}
---
kind: Tls
name: safe
target: {listener: safe}
certificate: web.pem
private_key: {file: web.key}
client_cas: {partners: partners.pem}
"""
ROOT, PARTNERS, CORP = authority("Web"), authority("Partners"), TokenIssuer()
SHUT = {"target": {"api": "orders"}, "deny": ["127.0.0.0/8"]}
BY_NAME = '[{canary: {consumers: [acme, "https://idp.example.com|ines", "partners|spiffe://corp/stranger"], for: 60s}}]'
Headers = Mapping[str, str]


@dataclass
class Asked:
    """What came of the requests of one caller: their ids and statuses, in order."""

    answers: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Plane:
    """A gateway and its admin API."""

    gw: Gateway
    folder: Path
    safe: int
    before: str = ""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """What the admin API answers."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.gw.state / "run" / "api.sock"))
        async with httpx.AsyncClient(transport=transport, timeout=20) as client:
            answer = await client.request(method, f"http://control{path}", json=body or None)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 20) -> dict[str, Any]:
        """Waits until the rollout is so."""
        deadline = time.monotonic() + seconds
        while True:
            told: dict[str, Any] = {}
            with contextlib.suppress(httpx.TransportError, AssertionError):  # restarting, or there is none yet
                told = await self.call("GET", "/v1/rollout")
                if holds(told):
                    return told
            assert time.monotonic() < deadline, f"still not so: {told}\n{self.gw.log()}"
            await asyncio.sleep(0.02)

    async def begins(self, at: int = 0) -> dict[str, Any]:
        """The rollout, once its canary decides."""
        return await self.until(lambda told: told["at"] == at and label(told["stages"], at) in told["figures"])

    async def put(self, what: str, policy: Mapping[str, Any]) -> str:
        """Puts a policy; its revision."""
        return str((await self.call("PUT", f"/v1/resources/{what}", **policy))["revision"])

    def client(self, pair: Pair | None = None) -> httpx.AsyncClient:
        """A client of the plain listener, or of the other with a certificate."""
        if pair is None:
            return httpx.AsyncClient(base_url=self.gw.url, timeout=10)
        return client(ROOT, self.folder, self.safe, pair)

    async def status(self, headers: Headers, path: str = "/orders") -> int:
        """The status of one request."""
        return (await self.gw.get(path, headers=headers)).status_code

    async def key(self, consumer: str) -> dict[str, str]:
        """The header of a new key, as soon as it counts."""
        headers = {"x-api-key": self.gw.new_key(consumer)[1]}

        async def counts() -> bool:
            return await self.status(headers) == 200

        await self.gw.eventually(counts)
        return headers

    async def records(self, *ids: str) -> dict[str, dict[str, Any]]:
        """The records of these requests."""
        deadline = time.monotonic() + 5
        while True:
            found = {one["request_id"]: one for one in self.gw.records()}
            if found.keys() >= set(ids):
                return {one: found[one] for one in ids}
            assert time.monotonic() < deadline, f"no records of {set(ids) - found.keys()}"
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def served(folder: Path, stages: str, **more: str) -> AsyncIterator[Plane]:
    """A gateway that lets changes out so."""
    (folder / "files").mkdir()
    ROOT.server().save(folder / "files", "web")
    (folder / "files" / "partners.pem").write_bytes(PARTNERS.pem)
    (folder / "files" / "corp.json").write_text(CORP.jwks())
    safe = free_port()
    with upstream() as port:
        text = FILES.replace("STAGES", stages).replace("SAFE", str(safe)).replace("UPSTREAM", str(port))
        more = {name: one.replace("UPSTREAM", str(port)) for name, one in more.items()}
        async with gateway(folder, {"all.yaml": text, **more}) as gw:
            plane = Plane(gw, folder, safe)
            plane.before = (await gw.status())["revision"]
            try:
                yield plane
            finally:
                for task in plane.tasks:
                    task.cancel()
                await asyncio.gather(*plane.tasks, return_exceptions=True)


async def _keeps_asking(client: httpx.AsyncClient, headers: Headers, stop: asyncio.Event, asked: Asked) -> None:
    async with client:
        while not stop.is_set():
            answer = await client.get("/orders", headers=dict(headers))
            asked.answers.append((answer.headers["x-request-id"], answer.status_code))


@dataclass
class Crowd:
    """Callers that keep asking."""

    plane: Plane
    asked: dict[str, Asked] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def comes(self, name: str, headers: Headers, pair: Pair | None = None) -> None:
        """A caller comes."""
        self.asked[name] = Asked()
        task = asyncio.create_task(_keeps_asking(self.plane.client(pair), headers, self.stop, self.asked[name]))
        self.plane.tasks.append(task)

    async def more(self, count: int = 5) -> None:
        """Waits until each has had so many answers more."""
        wanted = {name: len(one.answers) + count for name, one in self.asked.items()}
        while not all(len(self.asked[name].answers) >= least for name, least in wanted.items()):
            for task in self.plane.tasks:
                assert not task.done(), task.exception()
            await asyncio.sleep(0.01)

    async def ends(self) -> dict[str, list[tuple[str, int, str]]]:
        """All have gone: whom which revision judged, with which status, in order. Each id is the record's."""
        self.stop.set()
        await asyncio.gather(*self.plane.tasks)
        records = await self.plane.records(*(one for asked in self.asked.values() for one, _ in asked.answers))
        told = {}
        for name, asked in self.asked.items():
            told[name] = [(records[one]["revision"], status, str(records[one]["principal"])) for one, status in asked.answers]
            assert all(records[one]["status"] == status for one, status in asked.answers)
        return told


def _phases(told: list[tuple[str, int, str]]) -> list[tuple[str, int]]:
    """The revisions in their order, each with its status; neighbours alike are one."""
    found: list[tuple[str, int]] = []
    for revision, status, _ in told:
        if not found or found[-1] != (revision, status):
            found.append((revision, status))
    return found


async def _crowd(plane: Plane) -> Crowd:
    """Five that are meant by name, with each kind of credential, and four that aren't."""
    crowd = Crowd(plane)
    for name in ("acme 1", "acme 2", "globex"):
        crowd.comes(name, await plane.key(name.partition(" ")[0]))
    for subject in ("ines", "otto"):
        crowd.comes(subject, {"authorization": f"Bearer {CORP.token(sub=subject)}"})
    for name in ("acme", "stranger", "other"):
        crowd.comes(f"{name} by certificate", {}, PARTNERS.client(f"spiffe://corp/{name}"))
    crowd.comes("nobody", {})
    await crowd.more()
    return crowd


MEANT = ("acme 1", "acme 2", "ines", "acme by certificate", "stranger by certificate")
OTHERS = ("globex", "otto", "other by certificate")


async def test_those_who_are_named_are_judged_by_the_candidate_whatever_their_credential(tmp_path: Path) -> None:
    async with served(tmp_path, BY_NAME) as plane:
        crowd = await _crowd(plane)
        candidate = await plane.put("IpAccess/shut", SHUT)
        told = await plane.begins()
        assert told["figures"]["canary"]["consumers"].startswith("acme, https://idp")
        await crowd.more(20)
        status = await plane.gw.status()
        assert {status["revision"], *(node["position"]["revision"] for node in status["nodes"])} == {plane.before}
        await plane.call("POST", "/v1/rollout", what="promote")
        await plane.until(lambda told: told["status"] == "done")
        await crowd.more()
        said = await crowd.ends()
    # Each caller goes over once and never back, and no request fails on the way.
    for name in (*MEANT, *OTHERS):
        assert _phases(said[name]) == [(plane.before, 200), (candidate, 403)], name
    for name in OTHERS:
        assert sum(revision == plane.before for revision, _, _ in said[name]) > 20, name
    assert {principal for _, _, principal in said["ines"]} == {"https://idp.example.com|ines"}
    assert _phases(said["nobody"]) == [(plane.before, 401), (candidate, 403)]


@pytest.mark.parametrize("how", ["abort", "rollback", "superseded", "emergency"])
async def test_it_is_taken_back_from_its_callers(tmp_path: Path, how: str) -> None:
    async with served(tmp_path, BY_NAME) as plane:
        crowd = await _crowd(plane)
        candidate = await plane.put("IpAccess/shut", SHUT)
        await plane.begins()
        await crowd.more()
        assert _marks(plane) > 0
        begun = time.monotonic()
        if how == "abort":
            await plane.call("POST", "/v1/rollout", what="abort")
        elif how == "rollback":
            await plane.call("POST", "/v1/rollback", reason="no", revision="1")
        elif how == "superseded":
            await plane.call("DELETE", "/v1/resources/IpAccess/shut")
        else:
            await plane.call("POST", "/v1/changes", delete=["IpAccess/shut"], emergency=True)
        key = await plane.key("acme")
        assert time.monotonic() - begun < 1.5
        await crowd.more()
        assert await plane.status(key) == 200
        said = await crowd.ends()
        assert _marks(plane) == 0
    for name in MEANT:
        assert _phases(said[name]) == [(plane.before, 200), (candidate, 403), (plane.before, 200)], name
    for name in OTHERS:
        assert _phases(said[name]) == [(plane.before, 200)], name


def _marks(plane: Plane) -> int:
    """How many resources of Envoy's speak of a canary."""
    dump = httpx.Client(transport=httpx.HTTPTransport(uds=str(plane.gw.state / "run" / "admin.sock"))).get("http://envoy/config_dump").text
    return dump.count("bartizan.canary")


async def _sides(plane: Plane, callers: Mapping[str, Headers], revisions: tuple[str, str]) -> set[str]:
    """Those whom the second of these revisions judges, and refuses; each asks three times, and the record of each answer is looked at."""
    found: dict[str, set[int]] = {}
    judged: dict[str, int] = {}

    async def ask(client: httpx.AsyncClient, some: list[str]) -> None:
        for name in some:
            answers = [await client.get("/orders", headers=dict(callers[name])) for _ in range(3)]
            found[name] = {answer.status_code for answer in answers}
            judged.update({answer.headers["x-request-id"]: answer.status_code for answer in answers})

    async with plane.client() as client:
        names = list(callers)
        await asyncio.gather(*(ask(client, names[at::8]) for at in range(8)))
    assert all(len(statuses) == 1 for statuses in found.values()), "a caller is on both sides"
    for one, record in (await plane.records(*judged)).items():
        assert record["revision"] == revisions[judged[one] == 403], record
    return {name for name, statuses in found.items() if statuses == {403}}


async def test_a_share_of_the_callers_is_judged_by_it_and_each_of_them_always(tmp_path: Path) -> None:
    async with served(tmp_path, "[{canary: {percent: 10, for: 60s}}, {canary: {percent: 30, for: 60s}}]") as plane:
        callers: dict[str, Headers] = {f"t{i}": {"authorization": f"Bearer {CORP.token(sub=f't{i}')}"} for i in range(500)}
        callers |= {f"acme {i}": await plane.key("acme") for i in range(3)}
        callers |= {f"nobody {i}": {} for i in range(3)}
        crowd = Crowd(plane)
        for name in ("t1", "t2", "acme 1"):
            crowd.comes(name, callers[name])
        await crowd.more()
        candidate = await plane.put("IpAccess/shut", SHUT)
        told = await plane.begins()
        assert told["figures"]["canary"] == {"percent": 10.0}
        revisions = plane.before, candidate
        few = await _sides(plane, callers, revisions)
        assert await _sides(plane, callers, revisions) == few, "who is among them has changed"
        await plane.call("POST", "/v1/rollout", what="promote")
        assert (await plane.begins(at=1))["figures"]["canary 2"] == {"percent": 30}
        await plane.gw.eventually(lambda: _is_wider(plane, callers, few))
        more = await _sides(plane, callers, revisions)
        _, key = "acme 1", await plane.key("acme") if "acme 1" not in more else callers["acme 1"]
        assert (await plane.status(key) == 403) is ("acme 1" in more), "a new key makes another caller"
        await plane.call("POST", "/v1/rollout", what="abort")
        await plane.gw.eventually(lambda: _all_let_through(plane, callers, more))
        said = await crowd.ends()
    # Of 500: 50 and 150, give or take five standard deviations.
    assert 17 <= len([name for name in few if name.startswith("t")]) <= 83, len(few)
    assert 99 <= len([name for name in more if name.startswith("t")]) <= 201, len(more)
    assert few < more, "the greater share doesn't hold the smaller one"
    assert {name for name in more if not name.startswith("t")} in (set(), {"acme 0", "acme 1", "acme 2"})
    for name, phases in ((name, _phases(one)) for name, one in said.items()):
        once = [(plane.before, 200), (candidate, 403), (plane.before, 200)]
        assert phases == (once if name in more else [(plane.before, 200)]), name


async def _is_wider(plane: Plane, callers: Mapping[str, Headers], few: set[str]) -> bool:
    return any([await plane.status(headers) == 403 for name, headers in callers.items() if name not in few and name.startswith("t1")])


async def _all_let_through(plane: Plane, callers: Mapping[str, Headers], some: set[str]) -> bool:
    return {await plane.status(callers[name]) for name in some} == {200}


async def test_it_goes_on_while_processes_are_killed(tmp_path: Path) -> None:
    async with served(tmp_path, BY_NAME) as plane:
        acme, globex = await plane.key("acme"), await plane.key("globex")
        candidate = await plane.put("IpAccess/shut", SHUT)
        await plane.begins()

        async def so() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await plane.status(acme), await plane.status(globex)) == (403, 200)
            return False

        assert await so()
        for what in ("envoy", "bartizan.node", "bartizan.app"):
            os.kill(plane.gw.pid(what), signal.SIGKILL)
            await asyncio.sleep(0.3)
            await plane.gw.eventually(so, 15)
        # It begins anew after a restart of the control plane: with the same callers, and it ends as it would have.
        await plane.begins()
        await plane.gw.eventually(so, 15)
        assert (await plane.call("GET", "/v1/rollout"))["revision"] == candidate
        # A pause is no way back either.
        await plane.call("POST", "/v1/rollout", what="pause")
        os.kill(plane.gw.pid("bartizan.app"), signal.SIGKILL)
        await plane.until(lambda told: told["status"] == "paused")
        await plane.gw.eventually(so, 15)
        await asyncio.sleep(0.5)
        assert await so()
        await plane.call("POST", "/v1/rollout", what="abort")
        await plane.gw.eventually(lambda: _all_let_through(plane, {"acme": acme}, {"acme"}))


async def test_a_pause_leaves_it_where_it_is_and_live_data_holds_on_both_sides(tmp_path: Path) -> None:
    async with served(tmp_path, BY_NAME) as plane:
        acme, globex = await plane.key("acme"), await plane.key("globex")
        await plane.put("IpAccess/shut", SHUT)
        await plane.begins()
        await plane.call("POST", "/v1/rollout", what="pause")
        await asyncio.sleep(0.3)
        assert (await plane.status(acme), await plane.status(globex)) == (403, 200)
        for consumer, good in (("acme", 403), ("globex", 200)):
            ident, key = plane.gw.new_key(consumer)
            for status, does in ((good, None), (401, lambda ident=ident: plane.gw.revoke(ident))):
                if does is not None:
                    does()
                await plane.gw.eventually(lambda key=key, status=status: _is(plane, {"x-api-key": key}, status), 1)
        await plane.call("POST", "/v1/blocks", what="consumer", value="globex", seconds=60, reason="a test")
        await plane.gw.eventually(lambda: _is(plane, globex, 403), 1)
        assert await plane.status(acme) == 403
        await plane.call("POST", "/v1/rollout", what="resume")
        await plane.until(lambda told: told["status"] == "running")
        assert await plane.status(acme) == 403
        record = await plane.gw.record(await plane.gw.get("/orders", headers=globex))
        assert record["details"].startswith("rbac_access_denied_matched_policy[block/")
        assert record["revision"] == plane.before


async def _is(plane: Plane, headers: Headers, status: int) -> bool:
    return await plane.status(headers) == status


async def test_a_guard_takes_it_back_and_others_never_notice(tmp_path: Path) -> None:
    async with served(tmp_path, "[{canary: {consumers: [acme], for: 60s}}], guards: {for: 1s}") as plane:
        crowd = Crowd(plane)
        for name in ("acme", "globex"):
            crowd.comes(name, await plane.key(name))
        await crowd.more(60)
        api = {"paths": ["/orders"], "upstream": f"http://127.0.0.1:{free_port()}", "identity_headers": {"x-caller": "id"}}
        candidate = await plane.put("Api/orders", api)
        told = await plane.until(lambda told: told["status"] == "failed")
        assert "5xx" in told["why"] and told["figures"]["canary"]["consumers"] == "acme"
        await crowd.more(20)
        said = await crowd.ends()
    assert _phases(said["acme"]) == [(plane.before, 200), (candidate, 503), (plane.before, 200)]
    assert _phases(said["globex"]) == [(plane.before, 200)]


async def test_a_guard_counts_no_more_callers_than_there_are(tmp_path: Path) -> None:
    async with served(tmp_path, "[{canary: {consumers: [acme], for: 60s}}], guards: {refused_callers: 3, for: 1s}") as plane:
        crowd = Crowd(plane)
        for name in ("acme", "globex"):
            crowd.comes(name, await plane.key(name))
        await crowd.more()
        candidate = await plane.put("IpAccess/shut", SHUT)
        told = await plane.until(lambda told: told["status"] == "paused")
        assert told["why"].startswith("refused callers: 1 of 1 that were let through before are refused now; going back would loosen")
        await plane.call("POST", "/v1/rollout", what="abort")
        await crowd.more()
        said = await crowd.ends()
    assert _phases(said["acme"]) == [(plane.before, 200), (candidate, 403), (plane.before, 200)]
    assert _phases(said["globex"]) == [(plane.before, 200)]


RICHER = """
kind: Authorize
name: levels
target: {api: orders}
allow: principal.level >= 2 && principal.plan == "gold"
---
kind: RateLimit
name: few
target: {api: orders}
per: principal.id
tiers: [{windows: [3/hour]}]
---
{kind: Cors, name: pages, origins: ["https://shop.example.com"]}
---
kind: IpAccess
name: known
target: {api: orders}
allow: {file: networks.txt}
---
{kind: Api, name: more, paths: [/more], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Authorize, name: more, target: {api: more}, allow: "true"}
"""


async def test_what_rides_on_routes_is_tried_and_the_rest_is_named_and_waits(tmp_path: Path) -> None:
    cors = '{kind: Cors, name: pages, origins: ["https://old.example.com"]}'
    async with served(tmp_path, "[{canary: {consumers: [acme], for: 60s}}]", **{"policies.yaml": cors}) as plane:
        acme, globex = await plane.key("acme"), await plane.key("globex")
        files = plane.gw.files
        (files / "networks.txt").write_text("\n".join(["127.0.0.0/8", *(f"10.0.{i}.0/24" for i in range(100))]))
        text = (files / "all.yaml").read_text().replace("plan: string", "plan: string, level: number")
        (files / "all.yaml").write_text(text.replace("plan: gold", "plan: gold, level: 3"))
        (files / "policies.yaml").write_text(RICHER.replace("UPSTREAM", text.partition("upstream: http://127.0.0.1:")[2].split()[0]))
        told = await plane.begins()
        assert told["figures"]["canary"]["only_everywhere"] == "Api/more, Cors/pages"
        assert [await plane.status(globex) for _ in range(5)] == [200] * 5, "the active revision knows neither levels nor limits"
        statuses = [await plane.status(acme) for _ in range(5)]
        assert statuses == [200] * 3 + [429] * 2
        for headers in (acme, globex):
            assert await plane.status(headers, "/more/1") == 404
            for origin, allowed in (("https://old.example.com", True), ("https://shop.example.com", False)):
                answer = await plane.gw.get("/orders", headers={**headers, "origin": origin})
                assert ("access-control-allow-origin" in answer.headers) is allowed
        await plane.call("POST", "/v1/rollout", what="promote")
        await plane.until(lambda told: told["status"] == "done")
        assert await plane.status(globex) == 403
        assert await plane.status(acme) == 429
        assert await plane.status(acme, "/more/1") == 200
        answer = await plane.gw.get("/orders", headers={**acme, "origin": "https://shop.example.com"})
        assert "access-control-allow-origin" in answer.headers


async def test_what_nobody_would_notice_waits_for_a_person(tmp_path: Path) -> None:
    async with served(tmp_path, "[{canary: {consumers: [acme], for: 60s}}]") as plane:
        revision = await plane.put("Cors/pages", {"origins": ["https://shop.example.com"]})
        told = await plane.until(lambda told: told["status"] == "paused")
        assert told["why"].startswith("nothing of it can be tried on some callers (Cors/pages): a canary by node would try it;")
        assert (await plane.gw.status())["revision"] == plane.before
        await plane.call("POST", "/v1/rollout", what="resume")
        await plane.until(lambda told: told["status"] == "paused")
        await plane.call("POST", "/v1/rollout", what="promote")
        await plane.until(lambda told: told["status"] == "done")
        assert (await plane.gw.status())["revision"] == revision
    other = tmp_path / "b"  # short: sockets lie in it
    other.mkdir()
    async with served(other, "[{canary: {consumers: [acmee], for: 60s}}]") as plane:
        await plane.put("IpAccess/shut", SHUT)
        told = await plane.until(lambda told: told["status"] == "paused")
        assert "none of the consumers for its canary is declared (acmee)" in told["why"]


async def _told(plane: Plane, *arguments: object) -> str:
    """What a command prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bartizan.cli.main", *map(str, arguments), "--state", str(plane.gw.state)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1"},
    )
    return (await process.communicate())[0].decode()


async def test_status_rollout_and_explain_say_who_judges_whom(tmp_path: Path) -> None:
    async with served(tmp_path, "[{canary: {percent: 99, for: 60s}}]") as plane:
        keys = [await plane.key(name) for name in ("acme", "globex")]
        candidate = await plane.put("IpAccess/shut", SHUT)
        await plane.begins()
        status = await _told(plane, "status")
        assert f"revision {plane.before} is active on 1/1 nodes" in status
        assert f"rollout of {candidate} is running in canary (percent 99)" in status
        assert "  [>] canary: percent 99" in await _told(plane, "rollout")
        answers = [await plane.gw.get("/orders", headers=headers) for headers in keys]
        refused = next(answer for answer in answers if answer.status_code == 403)
        record = await plane.gw.record(refused)
        assert (record["revision"], record["policies"]) == (candidate, "IpAccess/shut Authenticate/callers")
        for explained in (
            await _told(plane, "explain", record["request_id"]),
            str(await plane.call("GET", f"/v1/explain/{record['request_id']}")),
        ):
            assert "IpAccess/shut" in explained
            assert "have changed" not in explained
