"""What an edit adds, changes and removes."""

from bartizan.compile.read import assemble, read
from bartizan.model.edits import digests, edits, file_digests
from bartizan.model.snapshot import Snapshot

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
---
kind: Consumer
name: acme
"""


def declared(text: str = FILES, **files: bytes) -> Snapshot:
    found = assemble([read(text, "a.yaml")], files)
    assert isinstance(found, Snapshot), found
    return found


def test_names_in_order() -> None:
    found = edits({"a": "1", "c": "1", "b": "1", "d": "1"}, {"c": "2", "b": "2", "d": "1", "z": "1", "y": "1"})
    assert found.to_json() == {"added": ["y", "z"], "changed": ["b", "c"], "removed": ["a"]}
    assert found
    assert not edits({"a": "1"}, {"a": "1"})


def test_live_data_apart() -> None:
    snapshot = declared()
    assert set(digests(snapshot)) == {"Gateway/edge", "Consumer/acme"}
    assert set(digests(snapshot, live=True)) == {"Consumer/acme"}
    assert set(digests(snapshot, live=False)) == {"Gateway/edge"}
    other = declared(FILES + "disabled: true\n")
    assert edits(digests(snapshot), digests(other)).changed == ("Consumer/acme",)


def test_files_that_policies_name() -> None:
    assert edits(file_digests(declared(**{"a.txt": b"1"})), file_digests(declared(**{"a.txt": b"2"}))).changed == ("File/a.txt",)
