"""A full disk under the control plane: nothing that was acknowledged is lost, what serves serves on, and what can't be kept is told."""

import asyncio
import json
import os
import resource as limits
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.test_admin import Admin, administered
from tests.e2e.test_remote import bartizan, good
from tests.e2e.test_rollouts import GOLD, HARMLESS, asks, files, put, rollout

_ANY = limits.RLIM_INFINITY


@contextmanager
def full(admin: Admin) -> Iterator[None]:
    """As long as this lasts, the control plane can write no byte to any file."""
    pid = admin.gw.pid("bartizan.app")
    limits.prlimit(pid, limits.RLIMIT_FSIZE, (0, _ANY))
    try:
        yield
    finally:
        limits.prlimit(pid, limits.RLIMIT_FSIZE, (_ANY, _ANY))


async def _refused(admin: Admin, token: str, method: str, path: str, **body: Any) -> str:
    """That it can't be done now, and is told so. What it says."""
    answer = await admin.call(method, path, token, json=body or None)
    assert answer.status_code == 503, answer.text
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["type"].startswith("urn:bartizan:problem:") and told["detail"], told
    return str(told["detail"])


async def _is(admin: Admin, key: str, status: int) -> bool:
    return await asks(admin.gw, key) == status


def _on_a_full_disk(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command that can write no byte to any file."""
    whole = (0, _ANY)
    return subprocess.run(
        [sys.executable, "-m", "bartizan.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        preexec_fn=lambda: limits.setrlimit(limits.RLIMIT_FSIZE, whole),
    )


async def test_nothing_acknowledged_is_lost_and_nothing_is_refused_silently(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{}", upstream)) as admin:
        gw, state = admin.gw, ("--state", admin.gw.state)
        ann = await admin.token(admin.first, "ann", "admin")
        (_, acme), (lost, revoked), (_, globex), (other, _) = (gw.new_key(one) for one in ("acme", "acme", "globex", "acme"))
        await put(admin, ann, GOLD)
        await gw.eventually(lambda: _is(admin, globex, 403))
        before = await gw.until(lambda now: now["rollout"]["status"] == "done")
        block = {"what": "consumer", "value": "acme", "seconds": 3600, "reason": "leaked"}
        with full(admin):
            assert "store" in await _refused(admin, ann, "PUT", "/v1/resources/Authorize/plans", **HARMLESS)
            assert "store" in await _refused(admin, ann, "POST", "/v1/rollback", reason="back", revision="1")
            assert "brakes.journal" in await _refused(admin, ann, "POST", "/v1/blocks", **block)
            assert "brakes.journal" in await _refused(admin, ann, "POST", "/v1/blocks", **block, emergency=True)
            assert "can't be" in await _refused(admin, ann, "PUT", "/v1/resources/Consumer/more", attributes={"plan": "gold"})
            assert "brakes.journal" in await good("block", "--consumer", "acme", "--for", "1h", "--reason", "leaked", *state, status=1)
            assert (await admin.call("GET", "/v1/blocks", ann)).json() == []
            # A key that is revoked counts no more, though nothing can be noted; one that can't be is told to count still.
            assert (await bartizan("key", "revoke", lost, *state)).returncode == 0
            await gw.eventually(lambda: _is(admin, revoked, 401), 1)
            ran = await asyncio.to_thread(_on_a_full_disk, "key", "revoke", other, *state)
            assert ran.returncode == 1 and "keys.journal" in ran.stderr, ran
            for _ in range(10):
                assert [await asks(gw, key) for key in (acme, globex, revoked)] == [200, 403, 401]
            now = await gw.status()
            assert (now["revision"], now["rollout"]) == (before["revision"], before["rollout"])
        # There is room again: all of it goes on.
        await put(admin, ann, HARMLESS)
        await gw.eventually(lambda: _is(admin, globex, 200))
        assert (await admin.call("POST", "/v1/blocks", ann, json=block)).status_code == 200
        await gw.eventually(lambda: _is(admin, acme, 403), 1)
        await gw.eventually(lambda: _noted(admin, ann, "key.revoke", lost), 10)
        held = (await gw.status())["revision"]
        os.kill(gw.pid("bartizan.app"), signal.SIGKILL)
        await gw.eventually(lambda: _back(admin, held), 20)
        assert [await asks(gw, key) for key in (acme, globex, revoked)] == [403, 200, 401]
        assert [one["number"] for one in (await admin.call("GET", "/v1/revisions", ann)).json()["items"]] == [3, 2, 1]
        assert (await good("audit", "verify", *state)).startswith("good: ")


async def _noted(admin: Admin, token: str, action: str, target: str) -> bool:
    log = (await admin.call("GET", f"/v1/audit?action={action}", token)).json()["items"]
    return any(target in one["target"] for one in log)


async def _back(admin: Admin, revision: str) -> bool:
    try:
        now = await admin.gw.status()
    except httpx.HTTPError:
        return False
    return now["revision"] == revision and all(node["connected"] and node["acknowledged"] for node in now["nodes"]) and bool(now["nodes"])


PLANS = "kind: Authorize\nname: plans\ntarget: {api: orders}\nallow: principal.plan == 'gold'\n"


@asynccontextmanager
async def _kept(folder: Path, releases: str, upstream: int) -> AsyncIterator[tuple[Admin, str, str]]:
    """A gateway whose first revision is kept, with an admin's token and a key of globex, which is let in."""
    async with administered(folder, files(releases, upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        _, globex = admin.gw.new_key("globex")
        await admin.gw.eventually(lambda: _is(admin, globex, 200))
        await admin.gw.eventually(lambda: _keeps(admin, ann, 1))
        yield admin, ann, globex


async def test_an_edit_of_the_files_decides_at_once_says_that_it_isnt_kept_and_is_later(tmp_path: Path, upstream: int) -> None:
    async with _kept(tmp_path, "{}", upstream) as (admin, ann, globex):
        gw = admin.gw
        with full(admin):
            (gw.files / "plans.yaml").write_text(PLANS)
            await gw.eventually(lambda: _is(admin, globex, 403))
            told = await gw.until(lambda now: "can't be kept yet" in now["drift"])
            assert told["revision"] in told["drift"]
            assert told["revision"] in await _refused(admin, ann, "PUT", "/v1/resources/Authorize/more", **HARMLESS)
        await gw.until(lambda now: now["drift"] == "")
        newest = (await admin.call("GET", "/v1/revisions", ann)).json()["items"][0]
        assert (newest["number"], newest["revision"], newest["message"]) == (2, told["revision"], "added Authorize/plans")
        await put(admin, ann, HARMLESS, "more")


async def test_an_edit_of_the_files_that_goes_by_stages_waits_and_says_so(tmp_path: Path, upstream: int) -> None:
    async with _kept(tmp_path, "{guards: {for: 200ms}}", upstream) as (admin, ann, globex):
        gw = admin.gw
        with full(admin):
            (gw.files / "plans.yaml").write_text(PLANS)
            await gw.until(lambda now: "can't be taken yet" in now["drift"])
            assert await asks(gw, globex) == 200
        await rollout(admin, ann, "done")
        assert await asks(gw, globex) == 403
        assert (await gw.until(lambda now: not now["pending"]))["drift"] == ""


async def test_an_approval_that_cant_be_kept_lets_nothing_out(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{approvals: 1}", upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        bob = await admin.token(ann, "bob", "approver")
        _, globex = admin.gw.new_key("globex")
        await put(admin, ann, GOLD)
        await rollout(admin, ann, "waiting")
        with full(admin):
            await _refused(admin, bob, "POST", "/v1/rollout/approval")
            await _refused(admin, ann, "POST", "/v1/rollout", what="abort")
            await asyncio.sleep(0.5)
            told = await rollout(admin, ann, "waiting")
            assert told["approved"] == []
            assert await asks(admin.gw, globex) == 200
        await asyncio.sleep(0.5)
        assert (await rollout(admin, ann, "waiting"))["approved"] == []
        assert await asks(admin.gw, globex) == 200
        assert (await admin.call("POST", "/v1/rollout/approval", bob)).status_code == 200
        await rollout(admin, ann, "done")
        await admin.gw.eventually(lambda: _is(admin, globex, 403))


async def _keeps(admin: Admin, token: str, count: int) -> bool:
    return len((await admin.call("GET", "/v1/revisions", token)).json()["items"]) == count


async def test_what_was_given_up_is_taken_back_though_a_crash_came_first(tmp_path: Path, upstream: int) -> None:
    """As a crash between the two leaves it: the rollout is noted as given up, and its revision decides still."""
    async with administered(tmp_path, files("{}", upstream)) as admin:
        gw = admin.gw
        ann = await admin.token(admin.first, "ann", "admin")
        _, globex = gw.new_key("globex")
        for number, status in ((2, "aborted"), (4, "failed")):
            await put(admin, ann, GOLD)
            assert (await rollout(admin, ann, "done"))["number"] == number
            await gw.eventually(lambda: _is(admin, globex, 403))
            await gw.eventually(lambda number=number: _noted_active(gw.state, number))
            os.kill(gw.process.pid, signal.SIGSTOP)
            try:
                os.kill(gw.pid("bartizan.app"), signal.SIGKILL)
                _give_up(gw.state, status, f"5xx: {number} of 10")
            finally:
                os.kill(gw.process.pid, signal.SIGCONT)
            await gw.eventually(lambda: _is(admin, globex, 200), 20)
            newest = (await admin.call("GET", "/v1/revisions", ann)).json()["items"][0]
            assert (newest["number"], newest["door"], newest["author"]) == (number + 1, "rollback", "rollout")
            assert f"5xx: {number} of 10" in newest["message"]


def _give_up(state: Path, status: str, why: str) -> None:
    kept = _note(state)
    assert kept["rollout"]["status"] == "done"
    kept["rollout"] |= {"status": status, "why": why}
    with closing(sqlite3.connect(state / "store.db")) as store, store:
        store.execute("UPDATE notes SET value = ? WHERE key = 'line/default'", (json.dumps(kept),))


async def _noted_active(state: Path, number: int) -> bool:
    return bool(_note(state)["active"] == number)


def _note(state: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(state / "store.db")) as store:
        return dict(json.loads(store.execute("SELECT value FROM notes WHERE key = 'line/default'").fetchone()[0]))
