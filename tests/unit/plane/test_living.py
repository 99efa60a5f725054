"""Live data is followed, however fast it changes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bartizan.compile import compile
from bartizan.compile.read import assemble, read
from bartizan.identity.brake import Brake
from bartizan.identity.key_text import shard_of
from bartizan.identity.table import holders
from bartizan.model.snapshot import Snapshot
from bartizan.plane.living import Living

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
---
kind: Consumer
name: acme
"""


def declared(text: str) -> Snapshot:
    found = assemble([read(text, "a.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


class Rig:
    """A gateway's live data with one consumer, its keys, and how often something changed."""

    def __init__(self, folder: Path) -> None:
        self.changes = 0
        self.living = Living(folder, folder, self._changed)
        self.living.take(None, declared(FILES))
        self.key = self.living.tables.store.new("acme").id

    def _changed(self) -> None:
        self.changes += 1

    def counts(self) -> bool:
        """Whether the key counts by the tables."""
        return any(self.key in {key for _, key in holders(body)} for body in self.living.tables.bodies.values())

    async def until(self, wanted: bool) -> None:
        async with asyncio.timeout(3):
            while self.counts() is not wanted:
                await asyncio.sleep(0.005)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    task = asyncio.create_task(made.living.watch_keys())
    yield made
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def brake_of(rig: Rig) -> Brake:
    return Brake("", "key", rig.key, "leaked", "ann", 0.0, time.time() + 60)


async def test_a_brake_that_is_lifted_at_once_stops_nobody(rig: Rig) -> None:
    await rig.until(True)
    held = rig.living.brakes.brake(brake_of(rig))
    rig.living.take_brakes()
    assert not rig.counts()
    rig.living.brakes.lift(held.id, "ann")
    await rig.until(True)


async def test_an_approved_brake_holds_without_waiting_for_the_clock(rig: Rig) -> None:
    await rig.until(True)
    held = rig.living.brakes.brake(brake_of(rig), waits=True)
    await asyncio.sleep(0.1)
    assert rig.counts()
    rig.living.brakes.approve(held.id, "bob")
    await rig.until(False)


async def test_what_stays_the_same_wakes_nobody(rig: Rig) -> None:
    await rig.until(True)
    rig.living.brakes.brake(brake_of(rig))
    await rig.until(False)
    await asyncio.sleep(0.1)
    before = rig.changes
    await asyncio.sleep(0.2)
    assert rig.changes == before


async def test_a_brake_ends_by_itself(rig: Rig) -> None:
    await rig.until(True)
    rig.living.brakes.brake(Brake("", "key", rig.key, "leaked", "ann", 0.0, time.time() + 0.4))
    await rig.until(False)
    await rig.until(True)


async def test_a_block_that_ends_before_the_clock_is_first_looked_at_is_taken_away(tmp_path: Path) -> None:
    """It was told by the control plane before, and again by this one as it began."""
    (tmp_path / "blocks.json").write_text(f'{{"192.0.2.1/32": {time.time() + 0.2}}}')
    rig = Rig(tmp_path)
    compiled = compile(declared(FILES))
    assert rig.living.now(compiled, None).blocked == {"192.0.2.1/32"}
    await asyncio.sleep(0.25)
    before = rig.changes
    task = asyncio.create_task(rig.living.tick())
    async with asyncio.timeout(3):
        while rig.changes == before:
            await asyncio.sleep(0.01)
    task.cancel()
    assert not rig.living.now(compiled, None).blocked


def test_consumers_that_change_reach_the_tables(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    before: Snapshot = declared(FILES)
    rig.living.tables.store.poll()
    rig.living.take(None, before)
    assert rig.counts()
    nothing = rig.living.tables.ahead.body()
    rig.living.take(before, declared(FILES + "disabled: true\n"))
    assert rig.counts() and rig.key.encode() in rig.living.tables.ahead.body(), "refused at once, whatever its table says"
    rig.living._retell_some()
    assert not rig.counts() and rig.living.tables.ahead.body() == nothing
    rig.living.take(declared(FILES + "disabled: true\n"), before)
    assert rig.counts() and rig.living.tables.ahead.body() == nothing


def test_who_is_there_again_at_once_counts(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    before, after = declared(FILES), declared(FILES + "disabled: true\n")
    rig.living.tables.store.poll()
    rig.living.take(None, before)
    nothing = rig.living.tables.ahead.body()
    rig.living.take(before, after)
    rig.living.take(after, before)
    assert rig.counts() and rig.living.tables.ahead.body() == nothing


async def test_what_is_said_of_many_is_told_little_by_little(rig: Rig) -> None:
    text = (
        FILES.replace("]", "]\nattributes: {on_call: bool}", 1)
        + "---\n{kind: ContextSource, name: hr, attributes: [on_call], push: true}\n"
    )
    snapshot = declared(text)
    rig.living.take(declared(FILES), snapshot)
    key = rig.living.tables.store.new("acme")
    await rig.until(True)
    many: dict[str, dict[str, Any]] = {f"c{number}": {} for number in range(200)} | {"acme": {"on_call": True}}
    shard = shard_of(key.key.reveal())

    def told() -> bool:
        return b";true;1.0" in rig.living.tables.bodies[shard]

    rig.living._retell(rig.living.contexts.context.take_all("hr", many))
    assert not told()
    async with asyncio.timeout(3):
        while not told():
            await asyncio.sleep(0.005)
    rig.living._retell(rig.living.contexts.context.take_one("hr", "acme", {"on_call": False}))
    assert b";false;" in rig.living.tables.ahead.body(), "of one at once"
    assert b";true;1.0" in rig.living.tables.bodies[shard], "and its tables later"


def test_what_is_told_of_a_consumer_is_told_at_once_and_by_its_tables_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = FILES.replace("]", "]\nattributes: {plan: string}", 1)
    before, after = (declared(text + f"attributes: {{plan: {plan}}}\n") for plan in ("gold", "iron"))
    rig = Rig(tmp_path)
    rig.living.take(None, before)
    bodies, nothing = dict(rig.living.tables.bodies), rig.living.tables.ahead.body()
    rig.living.take(before, after)
    assert rig.living.tables.bodies == bodies and b";iron" in rig.living.tables.ahead.body()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    rig.living._retell_some()
    assert any(b";iron" in body for body in rig.living.tables.bodies.values())
    assert rig.living.tables.ahead.body() == nothing


def test_who_counts_is_told_by_the_tables(tmp_path: Path) -> None:
    text = FILES.replace("]", "]\nattributes: {plan: string}", 1)
    before = declared(text + "attributes: {plan: gold}\n")
    rig = Rig(tmp_path)
    rig.living.take(None, before)
    assert rig.counts()
    now = time.time()
    over = declared(text + f"attributes: {{plan: iron}}\nexpires: {datetime.fromtimestamp(now - 1, UTC).isoformat()}\n")
    rig.living.take(before, over)
    assert not rig.counts() and len(rig.living.tables.ahead) == 0
