"""What the store keeps of a snapshot is all that its revision says, and none of who may call."""

from pathlib import Path

import pytest

from bartizan.compile.read import assemble, read
from bartizan.errors import Invalid
from bartizan.lib.yaml import written
from bartizan.model.snapshot import LIVE_KINDS, Snapshot
from bartizan.policies import PolicyKind
from bartizan.rollout.folder import Folder
from bartizan.rollout.kept import content_of, snapshot_of
from bartizan.store import Content, canonical
from tests.golden.test_golden import FRAME, MARK

ROOT = Path(__file__).parents[3]
GOLDENS = ROOT / "tests" / "golden"
SOURCES = [
    *(path for path in (ROOT / "examples").iterdir() if path.is_dir()),
    *sorted((GOLDENS / "gateways").rglob("*.yaml")),
    *sorted((GOLDENS / "policies").rglob("*.yaml")),
]
ODD = "\x7f\x85\u2028\ufeff \\ \" ' ü 😀 yes 0x1f 1:30"
"""In JSON as they are; in YAML some of them end a line or aren't allowed."""


def declared(path: Path) -> Snapshot:
    if path.is_dir():
        found = Folder(path).snapshot()
    else:
        texts = [path.read_text().partition(MARK)[0], *([FRAME] if "policies" in path.parts else [])]
        reads = [read(text, f"{i}.yaml") for i, text in enumerate(texts)]
        named = {name for one in reads for each in one.resources if isinstance(each.value, PolicyKind) for name in each.value.file_names()}
        found = assemble(reads, {name: (path.parent / name).read_bytes() for name in named})
    assert isinstance(found, Snapshot), "\n".join(map(str, found))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_and_golden_comes_back_as_the_same_revision(path: Path) -> None:
    before = declared(path)
    after = snapshot_of(content_of(before), before)
    assert (after.revision, dict(after.files)) == (before.revision, dict(before.files))
    assert {key: (one.value, one.digest) for key, one in after.resources.items()} == {
        key: (one.value, one.digest) for key, one in before.resources.items()
    }


def test_a_revision_holds_no_live_data_and_comes_back_with_the_one_of_now() -> None:
    before = declared(ROOT / "examples" / "quickstart")
    assert before.consumers
    content = content_of(before)
    assert not {kind for kind, _ in content.resources} & LIVE_KINDS
    now = assemble([read(written([*_without(before, "Consumer"), {"kind": "Consumer", "name": "newcomer"}]), "now.yaml")], before.files)
    assert isinstance(now, Snapshot)
    after = snapshot_of(content, now)
    assert (set(after.consumers), after.revision) == ({"newcomer"}, before.revision)


def _without(snapshot: Snapshot, kind: str) -> list[object]:
    return [one.document.value for one in snapshot.resources.values() if one.kind != kind]


def test_odd_characters_come_back_as_they_were() -> None:
    text = (
        canonical(ODD).decode().replace("\x7f", "\\x7f").replace("\x85", "\\x85").replace("\u2028", "\\u2028").replace("\ufeff", "\\ufeff")
    )
    public = f"---\nkind: Public\nname: odd\ntarget: {{api: orders}}\nreason: {text}\n"
    before = assemble([read(FRAME, "frame.yaml"), read(public, "odd.yaml")], {})
    assert isinstance(before, Snapshot), "\n".join(map(str, before))
    assert ODD in str(before.resources["Public", "odd"].document.value["reason"])
    after = snapshot_of(content_of(before), before)
    assert after.resources["Public", "odd"].document.value == before.resources["Public", "odd"].document.value
    assert after.revision == before.revision


def test_what_doesnt_go_together_with_the_live_data_of_now_is_refused() -> None:
    before = declared(ROOT / "examples" / "quickstart")
    content = content_of(before)
    wrong = {**content.resources, ("Public", "x"): b'{"kind":"Public","name":"x","target":{"api":"gone"},"reason":"a test of it"}'}
    with pytest.raises(Invalid) as told:
        snapshot_of(Content(content.revision, wrong, content.files), before)
    assert "gone" in str(told.value.problems)
    with pytest.raises(Invalid, match="reads revision 0000000000000000 as"):
        snapshot_of(Content("0" * 16, content.resources, content.files), before)
