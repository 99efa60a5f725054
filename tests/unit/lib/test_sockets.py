"""Sockets are where their owner alone reaches them, and where a successor finds them."""

import socket
from pathlib import Path

import pytest

from bartizan.lib.sockets import private_folder, socket_folder


def test_is_inside_the_state(tmp_path: Path) -> None:
    short = Path("/tmp") / f"bz-{tmp_path.parent.name}-{tmp_path.name}"[:30]
    try:
        assert socket_folder(short) == short / "run"
        assert (short / "run").stat().st_mode & 0o777 == 0o700
    finally:
        (short / "run").rmdir()
        short.rmdir()


def test_a_long_path_gets_a_short_one_that_stays(tmp_path: Path) -> None:
    state = tmp_path / ("x" * 120)
    folder = socket_folder(state)
    try:
        assert folder == socket_folder(state) != socket_folder(tmp_path / ("y" * 120))
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(folder / "control.sock"))
        (folder / "control.sock").unlink()
    finally:
        folder.rmdir()
        socket_folder(tmp_path / ("y" * 120)).rmdir()


def test_an_open_folder_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert private_folder(tmp_path).stat().st_mode & 0o777 == 0o700


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(PermissionError, match="another user"):
        private_folder(tmp_path)
