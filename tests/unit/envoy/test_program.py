"""Which Envoy is started, how, and what is said when it ends."""

import signal
import zoneinfo as machine
from pathlib import Path

import pytest

from bartizan.envoy import binary
from bartizan.envoy.program import MINOR, arguments, checked_version, why_ended, zoneinfo
from bartizan.errors import Unavailable


def program(path: Path, script: str) -> Path:
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return path


def test_the_pinned_envoy_fits() -> None:
    assert checked_version(binary()).startswith(MINOR)


def test_a_build_of_the_same_minor_version_fits(tmp_path: Path) -> None:
    own = program(tmp_path / "envoy", "echo 'envoy  version: 9e55/1.40.3-dev/Modified/RELEASE/BoringSSL'")
    assert checked_version(own) == "1.40.3"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo 'envoy  version: 9e55/1.41.0/Clean/RELEASE/BoringSSL'", "is Envoy 1.41.0"),
        ("echo 'envoy  version: 9e55/1.4.0/Clean/RELEASE/BoringSSL'", "is Envoy 1.4.0"),
        ("echo hello", "isn't an Envoy that runs here: hello"),
        ("echo 'error while loading shared libraries: libx' >&2; exit 127", "libx"),
        ("kill -SEGV $$", "was ended by SIGSEGV"),
    ],
)
def test_another_is_refused(tmp_path: Path, script: str, sentence: str) -> None:
    with pytest.raises(Unavailable, match=sentence):
        checked_version(program(tmp_path / "envoy", script))


def test_a_missing_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"No such file or directory.*--envoy PATH"):
        checked_version(tmp_path / "envoy")
    with pytest.raises(Unavailable, match="Permission denied"):
        (tmp_path / "envoy").write_text("")
        checked_version(tmp_path / "envoy")


def test_the_zones_are_those_of_the_package() -> None:
    assert (zoneinfo() / "Europe" / "Berlin").read_bytes()[:4] == b"TZif"
    assert str(zoneinfo()) not in machine.TZPATH


@pytest.mark.parametrize(
    ("log", "status", "sentence"),
    [
        (
            "[x][1][critical][main] [a.cc:449] error `cannot bind '/run/a.sock': Address already in use` initializing config 'x\n b'\n",
            1,
            "ended with status 1: it can't listen on /run/a.sock: Address already in use (see LOG)",
        ),
        (
            "[x][1][critical][main] [a.cc:449] error `no such field: 'x'` initializing config 'goo.gle/debugstr  \n  b.json'\n",
            1,
            "ended with status 1: it refuses its start configuration: no such field: 'x' (see LOG)",
        ),
        (
            "envoy: error while loading shared libraries: libm.so.6: no file\n",
            127,
            "ended with status 127: it can't run here, a library is missing: libm.so.6: no file (see LOG)",
        ),
        ("[x][1][critical][assert] [a.cc:1] assert failure\n", -signal.SIGABRT, "was ended by SIGABRT: it says: assert failure (see LOG)"),
        ("cannot bind 'x': of long ago", -signal.SIGKILL, "was ended by SIGKILL"),
        ("", 2, "ended with status 2 (see LOG)"),
    ],
)
def test_its_end_is_explained(tmp_path: Path, log: str, status: int, sentence: str) -> None:
    path = tmp_path / "envoy.log"
    path.write_text("x" * 50_000 + "\n" + log)
    assert why_ended(path, status) == sentence.replace("LOG", str(path))


def test_an_end_without_a_log_is_told_too(tmp_path: Path) -> None:
    assert why_ended(tmp_path / "none", 1).startswith("ended with status 1")


def test_is_started_with_as_many_workers_as_asked_for() -> None:
    argv = arguments(Path("envoy.json"), 3)
    assert argv[argv.index("--concurrency") + 1] == "3"
    assert "--concurrency" not in arguments(Path("envoy.json"), None)
