"""The folder of declarations: hidden files aside, nothing is left out in silence."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import LATEST_MS, QUIET_MS, Folder, Look

GOOD = "kind: Gateway\nname: edge\nlisteners: [{name: web, address: '127.0.0.1:8080'}]\n"


def test_files_of_all_folders_are_read_hidden_ones_arent(tmp_path: Path) -> None:
    (tmp_path / "a" / ".git").mkdir(parents=True)
    (tmp_path / "gateway.yaml").write_text(GOOD)
    (tmp_path / "a" / "acme.yml").write_text("kind: Consumer\nname: acme\n")
    (tmp_path / "a" / ".draft.yaml").write_text("kind: Nonsense\n")
    (tmp_path / "a" / ".git" / "x.yaml").write_text("kind: Nonsense\n")
    (tmp_path / "a" / "notes.txt").write_text("not yaml: [")
    found = Folder(tmp_path).snapshot()
    assert isinstance(found, Snapshot), found
    assert list(found.consumers) == ["acme"]


def test_test_files_declare_nothing(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(GOOD)
    for name in ("a.test.yaml", "b.test.yml"):
        (tmp_path / name).write_text("- {name: x, given: {path: /a}, expect: allow}")
    (tmp_path / "test.yaml").write_text("kind: Consumer\nname: acme\n")
    found = Folder(tmp_path).snapshot()
    assert isinstance(found, Snapshot), found
    assert list(found.consumers) == ["acme"]


def test_an_unchanged_file_gives_the_very_same_resource(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(GOOD)
    (tmp_path / "acme.yaml").write_text("kind: Consumer\nname: acme\n")
    folder = Folder(tmp_path)
    first = folder.snapshot()
    (tmp_path / "acme.yaml").write_text("kind: Consumer\nname: acme\ngroups: [ops]\n")
    second = folder.snapshot()
    assert isinstance(first, Snapshot)
    assert isinstance(second, Snapshot)
    assert second.gateway is first.gateway
    assert second.consumers["acme"].groups == ("ops",)


def test_a_folder_that_cant_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gateway.yaml").write_text(GOOD)
    (tmp_path / "closed").mkdir()
    real: Callable[..., Iterator[Any]] = os.scandir

    def scandir(path: Any) -> Any:
        # Root may read everything, so the system's refusal is put in its place.
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = Folder(tmp_path).snapshot()
    assert isinstance(found, tuple)
    assert (found[0].code, found[0].at.file) == ("folder-unreadable", "closed")


ACME = "kind: Consumer\nname: acme\n"
_SURE_S = 0.03
"""After so long a change has another time than the one before."""


def test_without_a_change_the_answer_is_the_very_same(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(GOOD)
    folder = Folder(tmp_path)
    folder.snapshot()
    time.sleep(_SURE_S)
    first = folder.snapshot()
    assert folder.snapshot() is first
    assert folder.snapshot(folder.look()) is first
    (tmp_path / "acme.yaml").write_text(ACME)
    second = folder.snapshot()
    assert isinstance(second, Snapshot) and list(second.consumers) == ["acme"]
    (tmp_path / "acme.yaml").unlink()
    third = folder.snapshot()
    assert isinstance(third, Snapshot) and not third.consumers
    assert list(folder.texts()) == ["gateway.yaml"]


def test_a_file_that_was_only_touched_gives_the_very_same_resource(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(GOOD)
    folder = Folder(tmp_path)
    first = folder.snapshot()
    time.sleep(_SURE_S)
    (tmp_path / "gateway.yaml").write_text(GOOD)
    second = folder.snapshot()
    assert isinstance(first, Snapshot) and isinstance(second, Snapshot)
    assert second.gateway is first.gateway


def test_a_change_in_the_same_moment_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes may have the same time, and the texts the same length."""
    file, named = tmp_path / "gateway.yaml", tmp_path / "a.txt"
    named.write_text("192.0.2.0/24\n")
    file.write_text(GOOD + "---\nkind: IpAccess\nname: list\ndeny: {file: a.txt}\n")
    folder, when = Folder(tmp_path), time.time_ns()
    monkeypatch.setattr("bartizan.rollout.folder._stamp_of", lambda stat: (when, when, stat.st_size, stat.st_ino))
    monkeypatch.setattr(time, "time_ns", lambda: when + 1_000_000)
    folder.snapshot()
    file.write_text(file.read_text().replace("edge", "rim2"))
    named.write_text("192.0.3.0/24\n")
    found = folder.snapshot()
    assert isinstance(found, Snapshot)
    assert (found.gateway.name, found.files) == ("rim2", {"a.txt": b"192.0.3.0/24\n"})


def test_a_file_that_a_policy_names_is_part_of_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("192.0.2.0/24\n")
    (tmp_path / "gateway.yaml").write_text(GOOD + "---\nkind: IpAccess\nname: list\ndeny: {file: a.txt}\n")
    folder = Folder(tmp_path)
    folder.snapshot()
    time.sleep(_SURE_S)
    first = folder.snapshot()
    (tmp_path / "a.txt").write_text("192.0.3.0/24\n")
    second = folder.snapshot()
    assert isinstance(first, Snapshot) and isinstance(second, Snapshot)
    assert first.revision != second.revision
    (tmp_path / "a.txt").unlink()
    third = folder.snapshot()
    assert isinstance(third, tuple) and third[0].code == "file-unreadable"
    (tmp_path / "a.txt").write_text("192.0.3.0/24\n")
    fourth = folder.snapshot()
    assert isinstance(fourth, Snapshot) and fourth.revision == second.revision


def test_a_link_to_nowhere_and_a_file_in_no_encoding_are_problems(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(GOOD)
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "odd.yaml").write_bytes(b"\xff\xfe")
    folder = Folder(tmp_path)
    found = folder.snapshot()
    assert isinstance(found, tuple)
    assert [(one.code, one.at.file) for one in found] == [("file-unreadable", "gone.yaml"), ("file-unreadable", "odd.yaml")]
    (tmp_path / "gone.yaml").unlink()
    (tmp_path / "odd.yaml").write_text(ACME)
    assert isinstance(folder.snapshot(), Snapshot)


class Watched:
    """A folder that is watched: when it settled, and what was there."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.prepared: list[Look] = []
        self.settled: asyncio.Queue[tuple[float, Look]] = asyncio.Queue()

    async def run(self) -> None:
        async for look in self.folder.settled(self.prepared.append):
            self.settled.put_nowait((time.monotonic(), look))

    async def next(self, seconds: float = 5) -> tuple[float, Look]:
        """The next time it settles."""
        async with asyncio.timeout(seconds):
            return await self.settled.get()


@asynccontextmanager
async def watched(root: Path) -> AsyncIterator[Watched]:
    made = Watched(Folder(root))
    task = asyncio.create_task(made.run())
    await asyncio.sleep(0.15)  # until the watcher is there
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


QUIET_S = QUIET_MS / 1000 - 0.012
"""A file's time may be a tick of the kernel's clock before the write."""


async def test_it_has_settled_when_nothing_changed_for_the_quiet_time(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(GOOD)
    async with watched(tmp_path) as found:
        for i in range(3):
            (tmp_path / "acme.yaml").write_text(ACME + "#" * i)
            written = time.monotonic()
            settled, look = await found.next()
            assert QUIET_S <= settled - written <= QUIET_MS / 1000 + 0.15
            assert look == found.folder.look() == found.prepared[-1]
        (tmp_path / "acme.yaml").unlink()
        gone = time.monotonic()
        settled, look = await found.next()
        assert settled - gone >= QUIET_S
        assert len(look.stamps) == 1
        assert found.settled.empty()


async def test_a_file_that_grows_is_taken_when_it_has_grown_or_at_the_latest(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(GOOD)
    async with watched(tmp_path) as found:
        with (tmp_path / "acme.yaml").open("w") as file:
            began = last = time.monotonic()
            while time.monotonic() < began + 0.8:
                file.write("#" * 1000)
                file.flush()
                last = time.monotonic()
                await asyncio.sleep(0.09)
            settled, look = await found.next()
            assert settled - last >= QUIET_S
            assert look == found.folder.look()
            began = time.monotonic()
            while time.monotonic() < began + LATEST_MS / 1000 + 0.5:
                file.write("#" * 1000)
                file.flush()
                await asyncio.sleep(0.05)
            settled, _ = await found.next(0.1)
            assert LATEST_MS / 1000 - 0.1 <= settled - began <= LATEST_MS / 1000 + 0.3
            await found.next()


async def test_a_change_just_before_the_end_of_the_quiet_time_begins_it_anew(tmp_path: Path) -> None:
    """The watcher is late: it can't have told of it yet."""
    (tmp_path / "gateway.yaml").write_text(GOOD)
    (tmp_path / "old.yaml").write_text("# old\n")
    async with watched(tmp_path) as found:
        for change in ("write", "unlink"):
            (tmp_path / "acme.yaml").write_text(ACME)
            await asyncio.sleep(QUIET_MS / 1000 - 0.015)
            (tmp_path / "beta.yaml").write_text("# beta\n") if change == "write" else (tmp_path / "old.yaml").unlink()
            changed = time.monotonic()
            settled, look = await found.next()
            assert settled - changed >= QUIET_S, change
            assert look == found.folder.look()


async def test_a_mounted_folder_is_swapped_as_a_whole(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: links to a link to a hidden folder, which is put in place of the one before."""
    for name, text in (("..one", ACME), ("..two", "kind: Consumer\nname: beta\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.yaml").write_text(GOOD)
        (tmp_path / name / "consumer.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..one")
    for name in ("gateway.yaml", "consumer.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    await asyncio.sleep(0.3)  # so that the files are older than the swap
    async with watched(tmp_path) as found:
        first = found.folder.snapshot()
        (tmp_path / "..new").symlink_to("..two")
        (tmp_path / "..new").replace(tmp_path / "..data")
        swapped = time.monotonic()
        settled, look = await found.next()
        second = found.folder.snapshot(look)
        assert settled - swapped >= QUIET_S
        assert isinstance(first, Snapshot) and isinstance(second, Snapshot)
        assert (list(first.consumers), list(second.consumers)) == (["acme"], ["beta"])


async def test_a_single_file_is_watched_with_what_its_policies_name(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("192.0.2.0/24\n")
    file = tmp_path / "all.yaml"
    file.write_text(GOOD + "---\nkind: IpAccess\nname: list\ndeny: {file: list.txt}\n")
    async with watched(file) as found:
        assert isinstance(found.folder.snapshot(), Snapshot)
        (tmp_path / "other.yaml").write_text(ACME)
        with pytest.raises(TimeoutError):
            await found.next(0.5)
        (tmp_path / "list.txt").write_text("192.0.3.0/24\n")
        _, look = await found.next()
        again = found.folder.snapshot(look)
        assert isinstance(again, Snapshot) and again.files == {"list.txt": b"192.0.3.0/24\n"}
