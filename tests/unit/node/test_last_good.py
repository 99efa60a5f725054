"""The last good state comes back as it was, or not at all."""

from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.node.last_good import Kept, LastGood
from bartizan.secrets.envelope import Envelope
from bartizan.xds.release import CLUSTER, ROUTES, Position, Resource, resource

ENVELOPE = Envelope(b"k" * 32)
A, A2, B = resource(ROUTES, "a", b"a"), resource(ROUTES, "a", b"a2"), resource(CLUSTER, "b", b"a secret")
AT = Position(3, "abc", 9)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "last-good"
    LastGood(folder, ENVELOPE).save(AT, [A, B])
    return folder


def loaded(folder: Path, envelope: Envelope = ENVELOPE) -> Kept | None:
    return LastGood(folder, envelope).load()


def test_comes_back_as_it_was(folder: Path) -> None:
    assert loaded(folder) == Kept(AT, (A, B))


def test_nothing_is_kept_at_first(tmp_path: Path) -> None:
    assert loaded(tmp_path / "last-good") is None


def test_only_what_changed_is_written(folder: Path) -> None:
    store = LastGood(folder, ENVELOPE)
    store.load()
    before = files(folder)
    store.save(Position(4, "def", 9), [A2, B])
    after = files(folder)
    assert loaded(folder) == Kept(Position(4, "def", 9), (A2, B))
    assert len(after) == 3
    assert len(before.items() & after.items()) == 1, "b stays as it is; a's old file is gone"


def test_what_is_gone_comes_back_after_it_was_dropped(folder: Path) -> None:
    store = LastGood(folder, ENVELOPE)
    for held in ([A], [A, B], [B], [A2, B], [A, B]):
        store.save(AT, held)
        assert loaded(folder) == Kept(AT, tuple(held))


def test_leftovers_of_a_crash_are_removed_and_harm_nothing(folder: Path) -> None:
    (folder / ".half.new").write_bytes(b"half")
    (folder / ("0" * 64)).write_bytes(b"of a manifest that never came")
    assert loaded(folder) == Kept(AT, (A, B))
    LastGood(folder, ENVELOPE).save(AT, [A, B])
    assert len(files(folder)) == 3


def test_a_crash_before_the_manifest_leaves_the_old_state(folder: Path) -> None:
    manifest = (folder / "manifest").read_bytes()
    old = files(folder)
    LastGood(folder, ENVELOPE).save(Position(4, "def", 9), [A2, B])
    (folder / "manifest").write_bytes(manifest)
    for name, content in old.items():  # what is removed is removed after the manifest
        (folder / name).write_bytes(content)
    assert loaded(folder) == Kept(AT, (A, B))


def test_many_resources_are_kept(tmp_path: Path) -> None:
    many = tuple(resource(ROUTES, f"r{i}", str(i).encode()) for i in range(500))
    LastGood(tmp_path / "many", ENVELOPE).save(AT, many)
    assert loaded(tmp_path / "many") == Kept(AT, many)


def test_nothing_is_readable_on_disk(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"secret" not in path.read_bytes()
        assert b"abc" not in path.read_bytes()


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_any_damage_refuses_the_whole(folder: Path, which: int, damage: str) -> None:
    path = sorted(folder.iterdir())[which]
    content = path.read_bytes()
    path.write_bytes({"flip": content[:-1] + bytes([content[-1] ^ 1]), "cut": content[:-1], "empty": b""}[damage])
    with pytest.raises(Unavailable, match="can't be trusted"):
        loaded(folder)


def test_a_missing_resource_refuses_the_whole(folder: Path) -> None:
    next(path for path in folder.iterdir() if path.name != "manifest").unlink()
    with pytest.raises(Unavailable, match="can't be trusted"):
        loaded(folder)


def test_without_a_manifest_nothing_is_kept(folder: Path) -> None:
    (folder / "manifest").unlink()
    assert loaded(folder) is None


def test_a_file_in_the_place_of_another_refuses_the_whole(folder: Path) -> None:
    first, second = (path for path in folder.iterdir() if path.name != "manifest")
    first.write_bytes(second.read_bytes())
    with pytest.raises(Unavailable, match="can't be trusted"):
        loaded(folder)


def test_another_key_refuses_the_whole(folder: Path) -> None:
    with pytest.raises(Unavailable, match="was sealed with the key"):
        loaded(folder, Envelope(b"x" * 32))


def test_another_format_refuses_the_whole(folder: Path) -> None:
    (folder / "manifest").write_bytes(ENVELOPE.seal(b'{"format": 2}', "last-good/manifest"))
    with pytest.raises(Unavailable, match="format 2"):
        loaded(folder)


def test_a_resource_that_is_not_its_version_refuses_the_whole(tmp_path: Path) -> None:
    LastGood(tmp_path / "odd", ENVELOPE).save(AT, [Resource(ROUTES, "a", "0" * 16, b"a")])
    with pytest.raises(Unavailable, match="isn't version"):
        loaded(tmp_path / "odd")
