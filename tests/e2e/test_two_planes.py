"""Two control planes over one store: of two changes made from the same parent one wins, the other is told, and nothing is lost or half."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.gateway import free_port
from tests.e2e.test_admin import Admin, administered
from tests.e2e.test_remote import good
from tests.e2e.test_rollouts import GOLD, HARMLESS, asks, files
from tests.unit.store.postgres import server


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shared' / 'store.db'}"
    else:
        with server() as url:
            yield url


@dataclass
class Plane:
    """A control plane, and a client with an admin's token."""

    client: httpx.AsyncClient
    state: Path

    async def newest(self) -> dict[str, Any]:
        answer = await self.client.get("/v1/revisions")
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["items"][0])

    async def put(self, name: str, policy: dict[str, Any], parent: int | None) -> httpx.Response:
        change = {"put": [{"kind": "Authorize", "name": name, **policy}], "parent": parent}
        return await self.client.post("/v1/changes", json=change)

    async def policies(self) -> dict[str, str]:
        """What the newest commit says of the policies."""
        whole = (await self.client.get(f"/v1/revisions/{(await self.newest())['number']}")).json()
        return {one["name"]: one["description"] for one in whole["documents"] if one["kind"] == "Authorize"}


@asynccontextmanager
async def _beside(admin: Admin, folder: Path, store: str, token: str) -> AsyncIterator[Plane]:
    """Another control plane of the same files and keys. It has no node of its own: that would want the same listeners."""
    state, port = folder / "state", free_port()
    state.mkdir(parents=True, mode=0o700)
    for name in ("control.key", "control.keyring", "signing.key"):
        shutil.copy2(admin.gw.state / name, state / name)
    own = ("--files", admin.gw.files, "--state", state, "--store", store)
    doors = ("--admin", f"127.0.0.1:{free_port()}", "--api", f"127.0.0.1:{port}")
    argv = (sys.executable, "-m", "bartizan.app", *map(str, own), *doors)
    with (folder / "out.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=log, env={**os.environ, "NO_COLOR": "1"})
    try:
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20) as client:
            await admin.gw.eventually(lambda: _ready(client), 20)
            yield Plane(client, state)
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 10)


async def _ready(client: httpx.AsyncClient) -> bool:
    try:
        return bool((await client.get("/v1/status")).json()["revision"])
    except httpx.TransportError:
        return False


async def _is(admin: Admin, key: str, status: int) -> bool:
    return await asks(admin.gw, key) == status


async def test_of_two_changes_at_once_one_wins_and_the_other_is_told(tmp_path: Path, upstream: int, store: str) -> None:
    async with administered(tmp_path / "one", files("{}", upstream), ("--store", store)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        admin.client.headers["authorization"] = f"Bearer {ann}"
        _, globex = admin.gw.new_key("globex")
        async with _beside(admin, tmp_path / "two", store, ann) as two:
            planes = (one := Plane(admin.client, admin.gw.state), two)
            assert (await two.newest())["number"] == 1, "the same files are the same revision"
            held: dict[str, str] = {}
            for turn in range(4):
                newest = (await one.newest())["number"]
                mine = ({**GOLD, "description": f"one {turn}"}, {**HARMLESS, "description": f"two {turn}"})
                puts = [plane.put(f"by-{i}", policy, newest) for i, (plane, policy) in enumerate(zip(planes, mine, strict=True))]
                answers = await asyncio.gather(*puts)
                assert sorted(answer.status_code for answer in answers) == [200, 409], [answer.text for answer in answers]
                loser = next(i for i, answer in enumerate(answers) if answer.status_code == 409)
                assert "faster" in answers[loser].json()["detail"]
                won = answers[1 - loser].json()
                for plane in planes:
                    line = await plane.newest()
                    assert (line["number"], line["revision"]) == (newest + 1, won["revision"])
                held[f"by-{1 - loser}"] = mine[1 - loser]["description"]
                assert await one.policies() == await two.policies() == held
                # From what it sees now the loser goes on: what the other did stays in.
                again = await planes[loser].put(f"by-{loser}", mine[loser], newest + 1)
                if again.status_code == 409:  # it was refused before the other had won, and so hasn't seen that either
                    again = await planes[loser].put(f"by-{loser}", mine[loser], newest + 1)
                assert again.status_code == 200, again.text
                assert again.json()["number"] == newest + 2
                held[f"by-{loser}"] = mine[loser]["description"]
                assert await one.policies() == await two.policies() == held
                # The winner hasn't seen that. It is told so once, and goes on from there too.
                third = {**mine[1 - loser], "description": f"third {turn}"}
                unseen = await planes[1 - loser].put(f"by-{1 - loser}", third, newest + 2)
                assert unseen.status_code == 409 and "faster" in unseen.json()["detail"], unseen.text
                assert (await planes[1 - loser].put(f"by-{1 - loser}", third, newest + 2)).status_code == 200
                held[f"by-{1 - loser}"] = f"third {turn}"
                assert await one.policies() == await two.policies() == held
            assert set(held) == {"by-0", "by-1"}
            # Who doesn't say from what it was made is told too, if the other was there meanwhile.
            assert (await two.put("by-1", {**HARMLESS, "description": "again"}, None)).status_code in {200, 409}
            for plane in planes:
                told = await good("audit", "verify", "--state", plane.state, "--store", store)
                assert told.startswith("good: "), told
        # What decides on the node is a whole revision of the line.
        line = {one["revision"] for one in (await admin.client.get("/v1/revisions")).json()["items"]}
        assert (await admin.gw.status())["revision"] in line
        await admin.gw.eventually(lambda: _is(admin, globex, 403), 3)
