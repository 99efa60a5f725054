"""The desk where changes come in: what files and API say of policies, and of who may call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bartizan.compile import Compiled, compile
from bartizan.compile.read import assemble, read
from bartizan.errors import Invalid
from bartizan.model.snapshot import Snapshot
from bartizan.plane.desk import Around, Desk, Wanted
from bartizan.plane.line import Line
from bartizan.rollout.asking import By
from bartizan.rollout.kept import content_of
from bartizan.rollout.standing import Standing
from bartizan.secrets.keyring import load_or_create
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Change, Draft, Store, embedded, open_store

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string}
releases: {stages: [{shadow: {for: 1h}}]}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:9000
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {keys: []}
"""
CALLERS = """---
kind: Authenticate
name: callers
any: [api_key%s]
"""
CONSUMER = """---
kind: Consumer
name: %s
%s
"""
JWT = ", {jwt: corp}"


def declared(*texts: str) -> Snapshot:
    found = assemble([read("".join(texts), "a.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


def compiled(*texts: str) -> Compiled:
    made = compile(declared(*texts))
    assert not made.problems, made.problems
    return made


class Rig:
    """A desk over a real store, and what it tells of live data."""

    def __init__(self, store: Store) -> None:
        self.told: list[tuple[Snapshot | None, Snapshot]] = []
        self.desk = Desk(
            Line(store), Standing(), Around(lambda: None, lambda before, after: self.told.append((before, after)), lambda: False)
        )

    async def began(self, *texts: str) -> Compiled:
        """The first reading of the files is served."""
        made = compiled(*texts)
        await self.desk.take_files(made)
        await self.served()
        return made

    async def served(self) -> None:
        """What counts is kept and served."""
        line, now = self.desk.line, self.desk.compiled
        assert now is not None
        line.activate(now.snapshot.revision)
        async with asyncio.timeout(5):
            while line.active is None or line.active.revision != now.snapshot.revision:
                await asyncio.sleep(0.01)

    async def change(self, *texts: str) -> None:
        """Somebody changes policies by the API."""
        await self.desk.change(declared(*texts), Wanted(By("ann", "m", "api")))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    seal = Signatures(SigningKey(tmp_path / "signing.key", load_or_create(tmp_path / "control.key")))
    with open_store(embedded(tmp_path / "state"), seal) as store:
        made = Rig(store)
        keeping = asyncio.create_task(made.desk.line.run())
        yield made
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def test_an_edit_that_cant_be_taken_isnt_what_the_next_one_is_compared_with(rig: Rig) -> None:
    """Or the next edit would look as if nobody had been disabled by it."""
    began = await rig.began(FILES, CALLERS % "", CONSUMER % ("acme", ""))
    await rig.desk.change(declared(FILES, CALLERS % JWT), Wanted(By("ann", "m", "api"), at_once=True))
    bad = compiled(FILES.replace("name: corp", "name: other"), CALLERS % "", CONSUMER % ("acme", "disabled: true"))
    with pytest.raises(Invalid):
        await rig.desk.take_files(bad)
    assert rig.desk.files is began.snapshot
    good = compiled(FILES, CALLERS % "", CONSUMER % ("acme", "disabled: true"))
    await rig.desk.take_files(good)
    before, after = rig.told[-1]
    assert before is not None
    assert not before.consumers["acme"].disabled
    assert after.consumers["acme"].disabled


async def test_a_candidate_goes_on_with_the_consumers_of_now(rig: Rig) -> None:
    await rig.began(FILES, CALLERS % "", CONSUMER % ("acme", ""))
    await rig.change(FILES, CALLERS % JWT)
    assert rig.desk.candidate is not None
    was = rig.desk.candidate.snapshot.revision
    await rig.desk.take_files(compiled(FILES, CALLERS % "", CONSUMER % ("globex", "")))
    assert set(rig.desk.candidate.snapshot.consumers) == {"globex"}
    assert rig.desk.candidate.snapshot.revision == was
    assert rig.desk.rollout is not None and not rig.desk.rollout.ended


async def test_a_candidate_that_doesnt_go_with_them_is_given_up(rig: Rig) -> None:
    began = await rig.began(FILES, CALLERS % "", CONSUMER % ("acme", ""))
    await rig.change(FILES, CALLERS % JWT)
    now: Any = compiled(FILES.replace("name: corp", "name: other"), CALLERS % "", CONSUMER % ("acme", "disabled: true"))
    await rig.desk.take_files(now)
    assert rig.desk.candidate is None
    assert rig.desk.rollout is not None
    assert rig.desk.rollout.status == "failed"
    assert "corp" in rig.desk.rollout.why
    # Who may call is what the files say, and the policies are what they were.
    assert rig.desk.compiled is not None
    assert rig.desk.compiled.snapshot.revision == began.snapshot.revision
    assert rig.desk.compiled.snapshot.consumers["acme"].disabled
    assert rig.told[-1][1] is now.snapshot


async def test_a_change_that_was_kept_goes_its_way_though_a_crash_came_before_its_rollout(tmp_path: Path) -> None:
    seal = Signatures(SigningKey(tmp_path / "signing.key", load_or_create(tmp_path / "control.key")))
    files, shut = (FILES, CALLERS % ""), (FILES, CALLERS % JWT)
    with open_store(embedded(tmp_path / "state"), seal) as store:
        first = Rig(store)
        keeping = asyncio.create_task(first.desk.line.run())
        began = await first.began(*files)
        store.proposals.add(Draft("bob", "", "api", "m", began.snapshot.revision, {}))  # of which the commit may have been made
        await first.desk.line.commit(content_of(declared(*shut)), Change(None, "ann", "m", "api"), any_parent=True)
        keeping.cancel()
        again = Rig(store)
        await again.desk.take_files(compiled(*files))
        now, candidate = again.desk.rollout, again.desk.candidate
        assert now is not None and candidate is not None and again.desk.compiled is not None
        assert again.desk.compiled.snapshot.revision == now.before == began.snapshot.revision
        assert candidate.snapshot.revision == now.revision == declared(*shut).revision
        assert (now.author, now.also, now.stages, now.status) == ("ann", ("bob",), ("shadow", "everywhere"), "running")
