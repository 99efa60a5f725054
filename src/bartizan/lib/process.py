"""Child processes that don't outlive us, even if we are killed; and a supervisor that keeps them running."""

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bartizan.lib.supervise import supervised

CANNOT_RUN = 78
"""EX_CONFIG of sysexits.h: a child that ends with it has said why, and wouldn't do better if it were started again."""

_LAUNCH = str(Path(__file__).with_name("launch.py"))


@dataclass(frozen=True, slots=True)
class Command:
    """How a child is started. It gets a session of its own, so that Ctrl-C reaches us alone, and files for its owner alone."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to our own environment."""
    inherits: frozenset[str] | None = None
    """The variables that it gets of our own environment; all if None."""
    output: Path | None = None
    """Where stdout and stderr go, appended; ours if None."""
    cwd: Path | None = None
    """Its working directory; ours if None."""
    keeps: tuple[int, ...] = ()
    """Our open files that it has too, by their numbers."""


def _tied(argv: tuple[str, ...]) -> tuple[str, ...]:
    """What to execute so that the child dies with us. OSError if its program can't be executed."""
    if shutil.which(argv[0]) is None:
        reason = errno.EACCES if os.path.exists(argv[0]) else errno.ENOENT
        raise OSError(reason, os.strerror(reason), argv[0])
    if sys.platform != "linux":
        return argv
    return (sys.executable, "-I", "-S", _LAUNCH, str(os.getpid()), str(CANNOT_RUN), *argv)


def _inherited(command: Command) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if command.inherits is None or name in command.inherits}


async def start(command: Command) -> asyncio.subprocess.Process:
    """Starts a child that is killed when we end. OSError if it can't be executed. Call it in the main thread, whose end counts as ours."""
    argv = _tied(command.argv)
    output = os.open(command.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600) if command.output else None
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            env={**_inherited(command), **command.env},
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=command.keeps,
            umask=0o077,
        )
    finally:
        if output is not None:
            os.close(output)


async def end(process: asyncio.subprocess.Process, grace_s: float = 3.0) -> int:
    """Asks a child to end, and kills it after `grace_s`. Returns its status."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
    return await process.wait()


def ending(status: int) -> str:
    """A child's status in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep running."""

    name: str
    command: Command
    why: Callable[[int], str] = ending
    """Says why it ended, from its status: `why(status)` follows its name in a sentence."""
    attended: Callable[[Mapping[str, int]], Awaitable[None]] | None = None
    """What the supervisor does for it all the while, given the processes of all children by their names."""


@dataclass(slots=True)
class _Record:
    """How a child has fared."""

    failures: int = 0
    """How often in a row it has failed soon after its start."""
    was_steady: bool = False
    """It has run for a while once, so it can be started; what fails now may pass."""

    def ended(self, status: int, *, steady: bool) -> None:
        if steady:
            self.was_steady = True
            self.failures = 0
        if status not in (-signal.SIGKILL, -signal.SIGTERM):  # which say nothing about the child
            self.failures += 1

    def is_hopeless(self, status: int) -> bool:
        return not self.was_steady and (status == CANNOT_RUN or self.failures >= Supervisor.ATTEMPTS)

    @property
    def pause_s(self) -> float:
        """None at first, then longer and longer."""
        return 0.0 if self.failures <= 1 else min(0.1 * 2 ** (self.failures - 2), Supervisor.LONGEST_PAUSE_S)


class Supervisor:
    """Keeps children running, each restarted alone; ends them all when asked, or when one can't be brought to run at all.

    One that has run for a while is restarted for ever: the others do their work without it.
    """

    STEADY_S = 5.0
    LONGEST_PAUSE_S = 2.0
    ATTEMPTS = 5
    GRACE_S = 3.5

    def __init__(
        self, children: tuple[Child, ...], say: Callable[[str], None], running: Mapping[str, asyncio.subprocess.Process] | None = None
    ) -> None:
        """`running`: children that were started already, by their names."""
        self._children = children
        self._running = dict(running or {})
        self._say = say
        self._stopping = asyncio.Event()
        self._status = 0
        self.pids: dict[str, int] = {}

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> int:
        """Until SIGINT, SIGTERM or `stop()` (returns 0), or until a child can't be kept running (says why and returns 1)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        attending = [asyncio.create_task(self._attend(child)) for child in self._children if child.attended]
        try:
            async with asyncio.TaskGroup() as group:
                for child in self._children:
                    group.create_task(self._keep(child))
        finally:
            for task in attending:
                task.cancel()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
        return self._status

    async def _attend(self, child: Child) -> None:
        if attended := child.attended:
            await supervised(f"what is done for {child.name}", lambda: attended(self.pids))

    async def _keep(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        record = _Record()
        while not self._stopping.is_set():
            started = loop.time()
            status, reason = await self._once(child)
            if self._stopping.is_set():
                return
            record.ended(status, steady=loop.time() - started > self.STEADY_S)
            if record.is_hopeless(status):
                return self._give_up(child, reason if status == CANNOT_RUN else f"{reason}, {record.failures} times in a row")
            self._say(f"{child.name} {reason}; it is started again.")
            with suppress(TimeoutError):
                async with asyncio.timeout(record.pause_s):
                    await self._stopping.wait()

    async def _once(self, child: Child) -> tuple[int, str]:
        """Starts the child and waits for its end, or ends it when we are to stop."""
        try:
            process = self._running.pop(child.name, None) or await start(child.command)
        except OSError as error:
            return CANNOT_RUN, f"can't be started: {child.command.argv[0]}: {error.strerror or error}"
        self.pids[child.name] = process.pid
        ended, stopping = asyncio.ensure_future(process.wait()), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            status = await end(process, self.GRACE_S)
            self.pids.pop(child.name, None)
        return status, child.why(status)

    def _give_up(self, child: Child, reason: str) -> None:
        self._status = 1
        self._say(f"{child.name} {reason}. Everything is ended.")
        self.stop()
