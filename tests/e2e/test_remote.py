"""The verbs of the command line that go through the admin API: over the unix socket, and from elsewhere with a token over TLS."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import authority
from tests.e2e.gateway import Gateway, free_port
from tests.e2e.test_admin import FILES, administered

POLICY = """
kind: IpAccess
name: health
target: {api: orders, paths: [/orders/health]}
deny: [127.0.0.0/8]
"""


async def bartizan(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command."""
    argv = [sys.executable, "-m", "bartizan.cli.main", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if name != "BARTIZAN_TOKEN"}
    return await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, timeout=60, check=False, env={**clean, "NO_COLOR": "1", **(env or {})}
    )


async def good(*arguments: object, status: int = 0, env: dict[str, str] | None = None) -> str:
    """What a command prints that ends with this status."""
    ran = await bartizan(*arguments, env=env)
    assert ran.returncode == status, (arguments, ran.stdout, ran.stderr)
    return ran.stdout + ran.stderr


def changed(gw: Gateway, tmp_path: Path, more: str) -> Path:
    """A copy of the gateway's files, with more."""
    folder = tmp_path / "changed"
    folder.mkdir(exist_ok=True)
    for path in gw.files.iterdir():
        (folder / path.name).write_text(path.read_text())
    (folder / "more.yaml").write_text(more)
    return folder


@pytest.fixture
async def gw(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with administered(tmp_path) as admin:
        yield admin.gw


async def _answers(gw: Gateway, status: int) -> bool:
    return (await gw.get("/orders/health")).status_code == status


async def test_apply_rollout_and_rollback_on_the_machine_itself(gw: Gateway, tmp_path: Path) -> None:
    state = ("--state", gw.state)
    told = await good("rollout", *state, status=1)
    assert "There was no rollout yet" in told
    folder = changed(gw, tmp_path, POLICY)
    told = await good("apply", "-f", folder, "-m", "close the probe", *state)
    assert re.match(r"commit 2: revision [0-9a-f]{16} by local:\w+: close the probe\n", told)
    await gw.eventually(lambda: _answers(gw, 403))
    # The same again changes nothing.
    assert json.loads(await good("apply", "-f", folder, *state, "--json"))["number"] == 2
    # What is wrong is told before anything is sent; what only the gateway knows, after.
    (folder / "wrong.yaml").write_text("kind: Nope\nname: x\n")
    assert "there is no kind 'Nope' [kind-unknown]" in await good("apply", "-f", folder, *state, status=1)
    (folder / "wrong.yaml").unlink()
    (folder / "more.yaml").unlink()
    assert "local:" in await good("apply", "-f", folder, "--parent", 1, *state, status=1)
    assert "was faster: commit 2" in await good("apply", "-f", folder, "--parent", 1, *state, status=1)
    back = await good("rollback", "-m", "a mistake", *state)
    assert re.match(r"revision [0-9a-f]{16} is active on 1 node\(s\), in \d+ ms\n", back)
    assert await _answers(gw, 503)
    assert json.loads(await good("rollback", "2", "-m", "again", *state, "--json"))["nodes"] == 1
    assert await _answers(gw, 403)
    assert "There is no revision ffff" in await good("rollback", "ffff", "-m", "x", *state, status=1)
    assert "required" in await good("rollback", *state, status=64)
    assert "invalid choice" in await good("rollout", "explode", *state, status=64)


async def test_a_rollout_is_approved_by_another(tmp_path: Path) -> None:
    files = {
        "gateway.yaml": FILES["gateway.yaml"].replace(
            "attributes: {plan: string}", "attributes: {plan: string}\nreleases: {approvals: 1}", 1
        )
    }
    async with administered(tmp_path, files) as admin:
        gw, state = admin.gw, ("--state", admin.gw.state)
        ann = await admin.token(admin.first, "ann", "admin")
        await good("apply", "-f", changed(gw, tmp_path, POLICY), *state)
        await gw.until(lambda now: now["rollout"]["status"] == "waiting")
        told = await good("rollout", *state)
        assert "waiting\n  a second person must approve it: bartizan rollout approve" in told
        assert "[>] everywhere" in told
        assert "second person" in await good("status", *state)
        assert "made this change" in await good("rollout", "approve", *state, status=1)
        env = {"BARTIZAN_TOKEN": ann}
        assert json.loads(await good("rollout", "approve", "--server", admin.url, "--json", env=env))["approved"] == ["ann"]
        await gw.eventually(lambda: _answers(gw, 403))
        assert ": done\n" in await good("rollout", *state)
        assert "has ended: done" in await good("rollout", "abort", *state, status=1)


async def test_block_and_token_on_the_machine_itself(gw: Gateway) -> None:
    state = ("--state", gw.state)
    assert await good("block", *state) == "nothing is blocked\n"
    assert "for how long" in await good("block", "--path", "/orders/health", "--reason", "x", *state, status=64)
    assert "a reason" in await good("block", "--path", "/orders/health", "--for", "1h", *state, status=64)
    assert "isn't a while" in await good("block", "--path", "/x", "--for", "ever", "--reason", "x", *state, status=64)
    assert "isn't a path" in await good("block", "--path", "x", "--for", "1h", "--reason", "x", *state, status=1)
    assert "not allowed with" in await good("block", "--path", "/x", "--ip", "192.0.2.1", *state, status=64)
    told = await good("block", "--path", "/orders/health", "--dry-run", *state)
    assert "it would have refused" in told
    assert await good("block", *state) == "nothing is blocked\n"
    told = await good("block", "--path", "/orders/health", "--for", "1h", "--reason", "probing", *state)
    ident = re.search(r"(brk_\w+) holds until", told)
    assert ident
    await gw.eventually(lambda: _answers(gw, 403))
    assert f"{ident[1]}  path /orders/health  until" in await good("block", *state)
    assert "path /orders/health" in await good("status", *state)
    assert "holds already" in await good("block", "--approve", ident[1], *state, status=1)
    assert await good("block", "--lift", ident[1], *state) == f"{ident[1]} is lifted\n"
    await gw.eventually(lambda: _answers(gw, 503))
    assert "has ended" in await good("block", "--lift", ident[1], *state, status=1)

    text = (await good("token", "new", "ci", "--role", "viewer", "--expires", "90d", *state)).strip()
    assert text.startswith("bzt_")
    listed = await good("token", "list", *state)
    assert text not in listed
    ident = re.search(r"(tok_\w+)  viewer    ci ", listed)
    assert ident
    assert await good("token", "end", ident[1], *state) == f"{ident[1]} of ci is ended\n"
    assert "was ended already" in await good("token", "end", ident[1], *state, status=1)
    assert "invalid choice" in await good("token", "new", "ci", "--role", "owner", *state, status=64)
    assert "isn't a while" in await good("token", "new", "ci", "--role", "viewer", "--expires", "soon", *state, status=64)
    assert "No gateway runs with the state" in await good("token", "list", "--state", gw.folder / "nowhere", status=1)


async def test_from_elsewhere_with_a_token_over_tls(tmp_path: Path) -> None:
    issuing = authority("admin")
    certificate, key = issuing.server().save(tmp_path, "admin")
    (tmp_path / "ca.pem").write_bytes(issuing.pem)
    tls = ("--api-certificate", certificate, "--api-private-key", key)
    async with administered(tmp_path, api=tls) as admin:
        server = ("--server", admin.url.replace("http:", "https:"), "--ca", tmp_path / "ca.pem")
        env = {"BARTIZAN_TOKEN": admin.first}
        assert "only makes another" in await good("rollout", *server, status=1, env=env)
        ann = json.loads(await good("token", "new", "ann", "--role", "admin", "--json", *server, env=env))["token"]
        file = tmp_path / "ann.token"
        file.write_text(ann + "\n")
        mine = (*server, "--token-file", file)
        viewer = (await good("token", "new", "vic", "--role", "viewer", *mine)).strip()
        said = [
            await good("apply", "-f", changed(admin.gw, tmp_path, POLICY), *mine),
            await good("rollback", "-m", "back", *mine),
            await good("block", "--consumer", "acme", "--for", "1h", "--reason", "leaked", *mine),
            await good("block", "--json", *mine),
            await good("token", "list", *mine),
            await good("apply", "-f", admin.gw.files, *server, status=1, env={"BARTIZAN_TOKEN": viewer}),
            await good("rollout", *server, status=1, env={"BARTIZAN_TOKEN": "bzt_wrong-but-secret"}),
            await good("rollout", *server, status=1),
            await good("rollout", *mine[:2], *mine[-2:], status=1),  # whose certificate is that?
            await good("rollout", "--server", "http://192.0.2.1:9181", *mine[-2:], status=1),
        ]
        assert said[0].startswith("commit 2: revision ")
        assert " by ann: " in said[0]
        assert "holds until" in said[2]
        assert "role doesn't allow" in said[5]
        assert "A valid token is needed" in said[6]
        assert "give --token-file, or set BARTIZAN_TOKEN" in said[7]
        assert "CERTIFICATE_VERIFY_FAILED" in said[8]
        assert "A token is only sent over TLS" in said[9]
        for text in (ann, viewer, admin.first, "wrong-but-secret"):
            assert not [one for one in [*said, admin.gw.log()] if text in one]


async def test_beyond_loopback_it_isnt_served_in_the_open(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(FILES["gateway.yaml"].replace("{port}", str(free_port())))
    own: tuple[Any, ...] = ("up", "-f", tmp_path, "--state", tmp_path / "state", "--api")
    assert "needs TLS" in await good(*own, "0.0.0.0:9181", status=1)
    assert "both a certificate and its private key" in await good(*own, "127.0.0.1:9181", "--api-certificate", "x.pem", status=1)
    assert not (tmp_path / "state").exists()


async def test_status_dump_and_audit_from_elsewhere_say_what_they_say_on_the_machine(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        gw, ann = admin.gw, await admin.token(admin.first, "ann", "admin")
        for name in ("closed", "closed-again", "and-again"):
            folder = changed(gw, tmp_path, POLICY.replace("name: health", f"name: {name}"))
            await good("apply", "-f", folder, "--state", gw.state)
        here, there, env = ("--state", gw.state), ("--server", admin.url), {"BARTIZAN_TOKEN": ann}
        await gw.until(lambda now: not now["pending"])

        async def both(*command: object) -> tuple[str, str]:
            return await good(*command, *here), await good(*command, *there, env=env)

        one, two = (json.loads(text) for text in await both("status", "--json"))
        assert {**one, "since": 0, "nodes": []} == {**two, "since": 0, "nodes": []}
        assert [node["node_id"] for node in two["nodes"]] == ["local"]
        one_text, two_text = await both("status")
        assert one_text.splitlines()[1] == two_text.splitlines()[1]
        assert "is active on 1/1 nodes in" in two_text
        for command in (("dump", "2"), ("dump", one["revision"])):
            assert len(set(await both(*command))) == 1
        assert "no revision ffff" in await good("dump", "ffff", *there, env=env, status=1)
        assert "REVISION" in await good("dump", "-f", gw.files, *there, env=env, status=64)
        await _audited_alike(both)
        told = await good("audit", "verify", "--head", "3:" + "0" * 64, *there, env=env, status=1)
        assert "audit log, at 3" in told
        assert "token" in await good("audit", "list", *there, status=1)


async def _audited_alike(both: Callable[..., Awaitable[tuple[str, str]]]) -> None:
    for more in ((), ("--limit", 2), ("--action", "revision"), ("--since", "1h", "--actor", "nobody"), ("--after", 3)):
        one, two = (json.loads(text) for text in await both("audit", "list", "--json", *more))
        assert [entry["hash"] for entry in one] == [entry["hash"] for entry in two], more
        assert all(entry.pop("genuine") for entry in one)
        assert one == two
    active = json.loads((await both("audit", "list", "--json", "--action", "revision.active"))[1])
    assert len(active) >= 3
    assert all(entry["details"]["active"] == entry["details"]["nodes"] == 1 and entry["details"]["ms_max"] > 0 for entry in active)
    one_lines, two_lines = (text.splitlines() for text in await both("audit", "export"))
    assert [json.loads(line)["hash"] for line in one_lines] == [json.loads(line)["hash"] for line in two_lines]
    assert len(one_lines) > 5
    one, two = await both("audit", "verify")
    assert one == two
    assert one.startswith("good: ")
