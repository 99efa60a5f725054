"""The folder of declarations: hidden files aside, nothing is left out in silence."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import Folder

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
