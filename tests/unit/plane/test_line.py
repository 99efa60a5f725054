"""A line of revisions over a real store: what stands, what has served, and where there is a way back to."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bartizan.compile.read import assemble, read
from bartizan.errors import Conflict, NotFound
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
