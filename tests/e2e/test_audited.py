"""Each deed stands in the audit log once: who, what, when, from where, with which result; and the log is good afterwards."""

import asyncio
import getpass
import json
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from tests.e2e.gateway import Gateway, free_port, gateway
from tests.e2e.test_admin import DENY, FILES, Admin, administered

ME = f"local:{getpass.getuser()}"


async def ran(*arguments: object) -> tuple[int, str, str]:
    """A command as people run it."""
    command = [sys.executable, "-m", "bartizan.cli.main", *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


async def log(state: Path) -> list[dict[str, Any]]:
    """All entries."""
    status, out, error = await ran("audit", "export", "--state", state)
    assert status == 0, error
    return [json.loads(line) for line in out.splitlines()]


async def verified(state: Path) -> None:
    """Nobody has changed the log."""
    status, out, _ = await ran("audit", "verify", "--state", state)
    assert status == 0, out


async def entry(state: Path, action: str, seconds: float = 8, **wanted: Any) -> dict[str, Any]:
    """The one entry of this deed."""
    deadline = time.monotonic() + seconds
    while True:
        every = await log(state)
        found = [one for one in every if one["action"] == action and all(one[name] == value for name, value in wanted.items())]
        if found or time.monotonic() > deadline:
            assert len(found) == 1, (action, wanted, [(one["action"], one["actor"], one["target"]) for one in every])
            assert abs(found[0]["time"] - time.time()) < 120 and found[0]["genuine"]
            return found[0]
        await asyncio.sleep(0.1)


async def test_what_the_command_line_does_while_the_gateway_runs(tmp_path: Path) -> None:
    async with gateway(tmp_path, FILES, arguments=("--nodes", f"127.0.0.1:{free_port()}")) as gw:
        status, out, error = await ran("key", "new", "acme", "--state", gw.state, "--json", "--name", "laptop")
        made = json.loads(out)
        assert (status, error) == (0, "")
        assert (await ran("key", "revoke", made["id"], "--state", gw.state))[0] == 0
        assert (await ran("node", "token", "--name", "edge-7", "--state", gw.state))[0] == 0
        assert (await ran("node", "trust", "ab" * 32, "--state", gw.state))[0] == 0
        assert (await ran("block", "--ip", "203.0.113.9", "--for", "1m", "--reason", "scraping", "--state", gw.state))[0] == 0
        found = await entry(gw.state, "key.new")
        assert (found["actor"], found["target"], found["origin"], found["result"]) == (ME, f"key/{made['id']}", "local", "done")
        assert found["details"] == {"consumer": "acme", "name": "laptop", "expires": None}
        assert made["key"] not in json.dumps(await log(gw.state))
        assert (await entry(gw.state, "key.revoke"))["target"] == f"key/{made['id']}"
        assert (await entry(gw.state, "node.token"))["details"]["group"] == "default"
        assert (await entry(gw.state, "node.trust"))["actor"] == ME
        assert (await entry(gw.state, "block"))["actor"] == ME
        assert (await entry(gw.state, "control.start"))["details"]["store"].endswith("store.db")
        await verified(gw.state)
    # Its end stands there too, and a deed while nothing runs is noted all the same.
    await entry(gw.state, "control.end")
    assert (await ran("key", "new", "acme", "--state", gw.state))[0] == 0
    assert len([one for one in await log(gw.state) if one["action"] == "key.new"]) == 2
    await verified(gw.state)


async def test_a_deed_before_the_first_start_is_noted_at_it(tmp_path: Path) -> None:
    assert (await ran("key", "new", "acme", "--state", tmp_path / "state"))[::2] == (0, "")
    async with administered(tmp_path) as admin:
        assert (await entry(admin.gw.state, "key.new"))["actor"] == ME
        assert await admin.token(admin.first, "ann", "admin")  # it was told from a lost store
        await verified(admin.gw.state)


async def test_a_busy_log_stops_no_revocation_and_gets_it_later(tmp_path: Path) -> None:
    async with gateway(tmp_path, FILES) as gw:
        ident, _ = gw.new_key("acme")
    holding = sqlite3.connect(gw.state / "store.db", isolation_level=None)
    holding.execute("BEGIN IMMEDIATE")
    status, _, error = await ran("key", "revoke", ident, "--state", gw.state)
    holding.execute("ROLLBACK")
    holding.close()
    assert status == 0 and "not in the audit log yet" in error
    assert not [one for one in await log(gw.state) if one["action"] == "key.revoke"]
    async with gateway(tmp_path, FILES) as gw:
        found = await entry(gw.state, "key.revoke")
        assert (found["actor"], found["target"]) == (ME, f"key/{ident}") and found["details"]["at"] < found["time"]
        await verified(gw.state)


async def test_what_operators_do_and_what_they_may_not(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        gw, ann = admin.gw, await admin.token(admin.first, "ann", "admin")
        bob = (await admin.call("POST", "/v1/tokens", ann, json={"name": "bob", "role": "viewer"})).json()
        await admin.call("DELETE", f"/v1/tokens/{bob['id']}", ann)
        vic = await admin.token(ann, "vic", "viewer")
        assert (await admin.call("PUT", "/v1/resources/IpAccess/health", vic, json=DENY)).status_code == 403
        assert (await admin.call("GET", "/v1/status", "bzt_wrong")).status_code == 401
        assert (await admin.call("PUT", "/v1/resources/IpAccess/health", ann, json=DENY)).status_code == 200
        assert (await admin.call("POST", "/v1/rollback", ann, json={"reason": "a mistake"})).status_code == 200
        assert (await entry(gw.state, "token.end"))["target"] == bob["id"]
        assert len([one for one in await log(gw.state) if one["action"] == "token.make"]) == 3
        kept = await entry(gw.state, "revision.commit", actor="ann", result="done", details=_Door("api"))
        assert kept["origin"] == "127.0.0.1"
        back = await entry(gw.state, "revision.rollback")
        assert (back["actor"], back["origin"], back["details"]["reason"]) == ("ann", "127.0.0.1", "a mistake")
        wrong = await entry(gw.state, "operator.refused", result="token-unknown")
        assert (wrong["actor"], wrong["origin"], wrong["target"]) == ("unknown", "127.0.0.1", "GET /v1/status")
        low = await entry(gw.state, "operator.refused", result="role-too-low")
        assert (low["actor"], low["target"], low["details"]) == ("vic", "PUT /v1/resources/IpAccess/health", {"status": 403})
        assert "bzt_" not in json.dumps(await log(gw.state))
        await verified(gw.state)


class _Door:
    """Equal to details of a change that came in by this door."""

    def __init__(self, door: str) -> None:
        self.door = door

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and other.get("door") == self.door

    def __hash__(self) -> int:
        return hash(self.door)


async def test_a_flood_of_wrong_tokens_doesnt_fill_the_disk(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        for number in range(15):
            await admin.call("GET", "/v1/status", f"bzt_wrong{number}")
        for _ in range(10):
            await asyncio.gather(*(admin.call("GET", "/v1/status", f"bzt_wrong{number}") for number in range(40)))
        await asyncio.sleep(1.5)
        found = [one for one in await log(admin.gw.state) if one["action"] == "operator.refused"]
        assert len(found) == 20
        assert {one["result"] for one in found} == {"token-unknown", "locked-out"}
        await verified(admin.gw.state)


async def test_edits_of_the_files_and_restarts(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        gw: Gateway = admin.gw
        await gw.edit("more.yaml", "kind: Consumer\nname: globex\n")
        edit = await entry(gw.state, "files.edit")
        assert (edit["actor"], edit["details"]) == ("files", {"added": ["Consumer/globex"], "added_count": 1})
        await gw.edit("wrong.yaml", "kind: Nonsense\n", enforced=False)
        refusal = await entry(gw.state, "files.refuse")
        assert refusal["actor"] == "files" and refusal["details"]["problems"] >= 1 and "wrong.yaml" in refusal["details"]["first"]
        await gw.edit("wrong.yaml", "kind: IpAccess\nname: some\ntarget: {api: orders}\ndeny: [192.0.2.1]\n")
        await entry(gw.state, "revision.commit", actor="files", origin="files", details=_Message("added IpAccess/some"))
        os.kill(gw.pid("bartizan.app"), signal.SIGKILL)
        await gw.eventually(lambda: _starts(admin, 2), 15)
        await verified(gw.state)


class _Message(_Door):
    """Equal to details with this message."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and other.get("message") == self.door

    def __hash__(self) -> int:
        return hash(self.door)


async def _starts(admin: Admin, count: int) -> bool:
    return len([one for one in await log(admin.gw.state) if one["action"] == "control.start"]) == count
