"""A line of revisions over a real store: what stands, what has served, and where there is a way back to."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bartizan.compile.read import assemble, read
from bartizan.errors import Conflict, NotFound, Unavailable
from bartizan.model.snapshot import Snapshot
from bartizan.plane.line import Line
from bartizan.rollout.stages import Rollout, Status
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Change, Content, Store, embedded, open_store

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:9000
---
kind: Public
name: all
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    seal = Signatures(SigningKey(tmp_path / "signing.key", Envelope(bytes(32))))
    with open_store(embedded(tmp_path / "state"), seal) as opened:
        yield opened


def declared(reason: str) -> Snapshot:
    """What files may say."""
    found = assemble([read(FILES + f"reason: {reason}\n", "a.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


def revision(number: int) -> str:
    return f"{number:016x}"


async def kept(line: Line, number: int, *, active: bool = True) -> None:
    """A revision is kept, and decides if it is `active`."""
    content = Content(revision(number), {("Public", "x"): b'{"n":%d}' % number})
    await line.commit(content, Change(None, "ann", "m", "api"), any_parent=True)
    if active:
        line.activate(revision(number))
        await settled(line)


async def settled(line: Line) -> None:
    task = asyncio.create_task(line.run())
    while line.active is None or line.active.revision != line._active or not line._soon.empty():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def line_of(store: Store, *active: bool) -> Line:
    line = Line(store)
    await line.load()
    for number, one in enumerate(active, 1):
        await kept(line, number, active=one)
    return line


async def test_the_way_back_leads_over_what_never_decided(store: Store) -> None:
    line = await line_of(store, True, False, False, True)
    assert (await line.before(None)).revision == revision(1)
    assert (await line.before(revision(1))).number == 1
    for never in (revision(2), "3"):
        with pytest.raises(Conflict) as refused:
            await line.before(never)
        assert refused.value.code == "revision-never-active"
    with pytest.raises(NotFound):
        await line.before("99")


async def test_what_has_served_is_known_after_a_restart(store: Store) -> None:
    await line_of(store, True, True, False)
    again = Line(store)
    await again.load()
    assert list(again.served) == [revision(1), revision(2)]
    assert again.active is not None
    assert again.active.number == 2
    with pytest.raises(Conflict):
        await again.before(revision(3))


async def test_there_is_no_way_back_from_the_first(store: Store) -> None:
    line = await line_of(store, True)
    with pytest.raises(NotFound):
        await line.before(None)


@pytest.mark.parametrize(
    ("status", "stands"),
    [("waiting", 2), ("running", 2), ("paused", 2), ("done", 2), ("superseded", 2), ("failed", 1), ("aborted", 1)],
)
async def test_what_was_given_up_doesnt_stand(store: Store, status: Status, stands: int) -> None:
    line = await line_of(store, True, False)
    await line.begin(Rollout(2, revision(2), revision(1), "ann", ("everywhere",), status=status))
    assert line.stands == revision(stands)
    await kept(line, 3)
    assert line.stands == revision(3)


async def test_a_rollout_comes_back_as_it_was(store: Store) -> None:
    line = await line_of(store, True, False)
    one = Rollout(2, revision(2), revision(1), "ann", ("test", "everywhere"), approved=("bob",), also=("eve",), history=((1.0, "begun"),))
    await line.begin(one)
    again = Line(store)
    await again.load()
    assert again.rollout == one


async def test_someone_faster_is_a_conflict(store: Store) -> None:
    line = await line_of(store, True)
    other = await line_of(store)
    await kept(other, 2, active=False)
    with pytest.raises(Conflict):
        await kept(line, 3, active=False)


async def test_of_two_control_planes_one_wins_and_the_other_knows_it_then(store: Store) -> None:
    one, two = await line_of(store, True), Line(store)
    await two.load()
    await kept(one, 2)
    content = Content(revision(3), {("Public", "x"): b"{}"})
    with pytest.raises(Conflict, match="ann was faster"):
        await two.commit(content, Change(None, "bob", "m", "api"), any_parent=True)
    assert two.newest == revision(2)
    # From there on it may try again.
    assert (await two.commit(content, Change(None, "bob", "m", "api"), any_parent=True)).number == 3
    # Both note what they see, and neither stops for it.
    one.activate(revision(2))
    await settled(one)
    two.activate(revision(3))
    await settled(two)
    again = Line(store)
    await again.load()
    assert again.active is not None and again.active.revision == revision(3)


async def test_what_was_taken_from_the_files_is_no_base_before_it_is_kept(store: Store) -> None:
    """A crash may come between: then the files are newer than the store, and have to look so."""
    line = await line_of(store, True)
    await line.in_step(revision(1))
    taken = declared("the files say otherwise")
    line.commit_soon(taken, Change(None, "files", "m", "files"))
    await line.begin(Rollout(1, revision(1), revision(1), "ann", ("everywhere",)))  # something else is kept first
    after_crash = Line(store)
    await after_crash.load()
    assert after_crash.base == revision(1)
    line.activate(taken.revision)
    await settled(line)
    after_crash = Line(store)
    await after_crash.load()
    assert after_crash.base == taken.revision


@contextmanager
def unusable(tmp_path: Path, table: str) -> Iterator[None]:
    """What a disk that is full does to one part of the store."""

    def renamed(old: str, new: str) -> None:
        with closing(sqlite3.connect(tmp_path / "state" / "store.db")) as connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")

    renamed(table, "aside")
    yield
    renamed("aside", table)


def rolled_out(number: int, **more: Any) -> Rollout:
    return Rollout(number, revision(number), revision(number - 1), "ann", ("canary", "everywhere"), **more)


async def test_a_commit_whose_rollout_never_began_is_found_after_a_crash(store: Store) -> None:
    line = await line_of(store, True, False)
    again = Line(store)
    await again.load()
    assert again.unbegun is not None
    assert (again.unbegun.number, again.active and again.active.number) == (2, 1)
    await line.begin(rolled_out(2))
    again = Line(store)
    await again.load()
    assert again.unbegun is None


async def test_a_way_back_that_was_kept_decides_after_a_crash_and_nothing_older_goes_on(store: Store) -> None:
    line = await line_of(store, True, True, False)
    await line.begin(rolled_out(3))
    content = Content(revision(1), {("Public", "x"): b'{"n":1}'})
    await line.commit(content, Change(None, "ann", "back", "rollback"), any_parent=True)
    again = Line(store)
    await again.load()
    assert again.active is not None
    assert (again.active.number, again.active.revision) == (4, revision(1))
    assert again.unbegun is None
    assert again.rollout is not None
    assert (again.rollout.number, again.rollout.status) == (3, "superseded")


async def test_what_a_full_disk_cant_keep_hasnt_happened(store: Store, tmp_path: Path) -> None:
    line = await line_of(store, True, False)
    began = rolled_out(2, status="waiting")
    await line.begin(began)
    with unusable(tmp_path, "notes"):
        with pytest.raises(Unavailable):
            await line.step(replace(began, approved=("bob",)))
        assert line.rollout == began
    await line.step(replace(began, approved=("bob",)))
    assert line.rollout is not None
    assert line.rollout.approved == ("bob",)


async def test_a_commit_that_is_kept_goes_on_and_is_noted_as_soon_as_it_can_be(store: Store, tmp_path: Path) -> None:
    line = await line_of(store, True)
    with unusable(tmp_path, "audit"):
        await kept(line, 2, active=False)
    with unusable(tmp_path, "notes"):
        await line.begin(rolled_out(2))
    assert line.rollout == rolled_out(2)
    assert len(commits_told(store)) == 1
    task = asyncio.create_task(line.run())
    async with asyncio.timeout(5):
        while len(commits_told(store)) < 2 or not line._soon.empty() or line._writing.locked():
            await asyncio.sleep(0.01)
    task.cancel()
    again = Line(store)
    await again.load()
    assert again.rollout == rolled_out(2)


def commits_told(store: Store) -> list[str]:
    return [one.event.target for one in store.audit.entries() if one.event.action == "revision.commit"]


async def test_an_edit_of_the_files_waits_for_the_disk_and_an_edit_by_the_api_is_told_so(store: Store, tmp_path: Path) -> None:
    line = await line_of(store, True)
    task = asyncio.create_task(line.run())
    made = declared("it waits for the disk")
    async with asyncio.timeout(5):
        with unusable(tmp_path, "commits"):
            line.commit_soon(made, Change(None, "files", "m", "files"))
            while not line._stuck:
                await asyncio.sleep(0.01)
            assert made.revision in line.error
            with pytest.raises(Unavailable, match=made.revision):
                await kept(line, 3, active=False)
        line.activate(made.revision)
        while line.active is None or line.active.revision != made.revision:
            await asyncio.sleep(0.01)
    assert line.error == ""
    head = store.revisions.head()
    assert head is not None
    assert (head.number, head.revision) == (2, made.revision)
    await kept(line, 3, active=False)
    task.cancel()
