"""Children that are kept running, and that end when they should."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from bartizan.lib.process import CANNOT_RUN, Child, Command, Supervisor, end, ending, start

SLEEP = ("sleep", "60")


def shell(name: str, script: str) -> Child:
    return Child(name, Command(("sh", "-c", script)))


class Watched(Supervisor):
    """A supervisor in a hurry, with what it said."""

    STEADY_S = 0.6
    GRACE_S = 0.5

    def __init__(self, *children: Child, running: Mapping[str, asyncio.subprocess.Process] | None = None) -> None:
        self.said: list[str] = []
        super().__init__(children, self.said.append, running)

    async def pid(self, name: str, other_than: int = 0) -> int:
        async with asyncio.timeout(3):
            while self.pids.get(name, other_than) == other_than:
                await asyncio.sleep(0.005)
        return self.pids[name]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_child_gets_its_environment_and_its_output(tmp_path: Path) -> None:
    output = tmp_path / "out"
    process = await start(Command(("sh", "-c", "echo $WORD; umask >&2"), env={"WORD": "hello"}, output=output))
    assert await process.wait() == 0
    assert output.read_text() == "hello\n0077\n"
    assert output.stat().st_mode & 0o777 == 0o600


async def test_a_child_has_the_open_files_it_is_given() -> None:
    ours, its = os.pipe()
    process = await start(Command((sys.executable, "-c", f"import os; os.write({its}, b'hello')"), keeps=(its,)))
    os.close(its)
    assert await process.wait() == 0
    with os.fdopen(ours) as opened:
        assert opened.read() == "hello"


async def test_a_child_that_runs_already_is_kept_running() -> None:
    process = await start(Command(SLEEP))
    watched = Watched(Child("it", Command(SLEEP)), running={"it": process})
    running = asyncio.create_task(watched.run())
    assert await watched.pid("it") == process.pid
    process.kill()
    again = await watched.pid("it", other_than=process.pid)
    assert alive(again)
    watched.stop()
    assert await running == 0
    assert not alive(again)


async def test_a_child_is_not_of_our_session() -> None:
    process = await start(Command(SLEEP))
    assert os.getsid(process.pid) != os.getsid(0)
    assert await end(process) == -signal.SIGTERM


async def test_a_child_that_will_not_end_is_killed() -> None:
    process = await start(Command((sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); print(1); signal.pause()")))
    await asyncio.sleep(0.3)
    assert await end(process, 0.2) == -signal.SIGKILL
    assert await end(process) == -signal.SIGKILL


async def test_a_child_dies_with_a_killed_parent(tmp_path: Path) -> None:
    script = f"""
import asyncio
from bartizan.lib.process import Command, start
async def main():
    child = await start(Command({SLEEP!r}))
    open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
    await child.wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    async with asyncio.timeout(5):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.01)
    child = int((tmp_path / "pid").read_text())
    assert alive(child)
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(1):
        while alive(child):
            await asyncio.sleep(0.01)


async def test_a_killed_child_is_restarted_at_once_and_alone() -> None:
    supervisor = Watched(Child("A", Command(SLEEP)), Child("B", Command(SLEEP)))
    running = asyncio.create_task(supervisor.run())
    first, other = await supervisor.pid("A"), await supervisor.pid("B")
    for _ in range(8):  # more often than a child may fail at its start
        os.kill(first, signal.SIGKILL)
        first = await supervisor.pid("A", other_than=first)
    assert await supervisor.pid("B") == other
    assert supervisor.said == ["A was ended by SIGKILL; it is started again."] * 8
    supervisor.stop()
    assert await asyncio.wait_for(running, 2) == 0
    assert not alive(first) and not alive(other)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_all(number: signal.Signals) -> None:
    supervisor = Watched(Child("A", Command(SLEEP)), shell("B", "trap '' TERM; while :; do sleep 0.1; done"))
    running = asyncio.create_task(supervisor.run())
    pids = [await supervisor.pid("A"), await supervisor.pid("B")]
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), number)
    assert await asyncio.wait_for(running, 2) == 0
    assert not any(map(alive, pids))


async def test_a_child_that_fails_at_its_start_ends_everything() -> None:
    other = Child("B", Command(SLEEP))
    supervisor = Watched(Child("A", Command(("sh", "-c", "exit 3")), why=lambda status: f"said {status}"), other)
    assert await asyncio.wait_for(supervisor.run(), 5) == 1
    assert supervisor.said[-1] == "A said 3, 5 times in a row. Everything is ended."
    assert not supervisor.pids


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("sh", "-c", f"exit {CANNOT_RUN}"), "A ended with status 78. Everything is ended."),
        (("/no/such/program",), "A can't be started: /no/such/program: No such file or directory. Everything is ended."),
    ],
)
async def test_a_child_that_can_not_run_is_not_tried_again(command: tuple[str, ...], sentence: str) -> None:
    supervisor = Watched(Child("A", Command(command)))
    assert await asyncio.wait_for(supervisor.run(), 2) == 1
    assert supervisor.said == [sentence]


async def test_what_ran_once_is_never_given_up(tmp_path: Path) -> None:
    """Envoy is to serve on while, say, the control plane has no disk."""
    ran = tmp_path / "ran"
    supervisor = Watched(shell("A", f"[ -e {ran} ] && exit 3; touch {ran}; sleep 1; exit 3"), Child("B", Command(SLEEP)))
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(8):
        while len(supervisor.said) < 7:
            await asyncio.sleep(0.05)
    assert not running.done()
    supervisor.stop()
    assert await running == 0


def test_endings_are_told_in_words() -> None:
    assert ending(1) == "ended with status 1"
    assert ending(-9) == "was ended by SIGKILL"
    assert ending(-99) == "was ended by signal 99"


async def test_what_is_done_for_a_child_knows_all_processes_and_ends_with_the_supervisor() -> None:
    seen: list[int] = []
    ended = asyncio.Event()

    async def attended(pids: Mapping[str, int]) -> None:
        try:
            while True:
                seen.append(pids.get("other", 0))
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    supervisor = Watched(Child("one", Command(SLEEP), attended=attended), Child("other", Command(SLEEP)))
    running = asyncio.create_task(supervisor.run())
    pid = await supervisor.pid("other")
    async with asyncio.timeout(3):
        while seen[-1:] != [pid]:
            await asyncio.sleep(0.01)
    supervisor.stop()
    assert await running == 0
    await asyncio.wait_for(ended.wait(), 1)


async def test_a_child_inherits_no_more_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIDDEN", "hidden")
    argv = ("/usr/bin/env",)
    for inherits in (None, frozenset({"PATH"})):
        out = tmp_path / str(inherits is None)
        assert await (await start(Command(argv, env={"ADDED": "1"}, inherits=inherits, output=out))).wait() == 0
        names = {line.partition("=")[0] for line in out.read_text().splitlines()}
        assert {"PATH", "ADDED"} <= names
        assert ("HIDDEN" in names) is (inherits is None)
