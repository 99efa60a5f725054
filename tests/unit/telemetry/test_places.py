"""A node's records have a folder of their own, and no name leads out of it."""

from pathlib import Path

import pytest

from bartizan.telemetry.places import folder_of, folders


def test_the_machines_own_come_first(tmp_path: Path) -> None:
    assert folders(tmp_path) == [tmp_path]
    for name in ("edge-2", "edge-1", ".hidden", "Not A Name"):
        (tmp_path / "nodes" / name).mkdir(parents=True)
    assert folders(tmp_path) == [tmp_path, folder_of(tmp_path, "edge-1"), folder_of(tmp_path, "edge-2")]


@pytest.mark.parametrize("name", ["", "..", "a/b", "../a", "A", "a\0", "x" * 64, "-a", "a\n"])
def test_a_name_cant_escape(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="isn't the name of a node"):
        folder_of(tmp_path, name)
