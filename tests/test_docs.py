"""The documents are true: every YAML block compiles, every name exists, every check that a decision names is there."""

import re
from pathlib import Path

import pytest

from bartizan.cli.main import parser
from bartizan.compile import compile
from bartizan.compile.read import TYPES, assemble, read
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import Folder

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs" / "guide").rglob("*.md"), *(ROOT / "docs").glob("*.md")])
_BLOCK = re.compile(r"```yaml( fragment)?\n(.*?)```", re.DOTALL)
FRAME = {
    "Gateway": "kind: Gateway\nname: edge\nlisteners: [{name: web, address: '127.0.0.1:8080'}]\n"
    "attributes: {plan: string, department: string, job: string, level: number}\n",
    "Api": "kind: Api\nname: orders\npaths: [/orders]\nupstream: http://127.0.0.1:9101\n",
    "Issuer": "kind: Issuer\nname: corp\nissuer: https://idp.example.com\naudiences: [orders]\njwks: {keys: []}\n",
    "Consumer": "kind: Consumer\nname: acme\n",
    "Public": "kind: Public\nname: frame\nreason: documents show one thing at a time\n",
}


def _blocks() -> list[object]:
    found = []
    for path in DOCUMENTS:
        for i, match in enumerate(_BLOCK.finditer(path.read_text())):
            if not match[1]:
                found.append(pytest.param(match[2], id=f"{path.relative_to(ROOT)}:{i}"))
    return found


@pytest.mark.parametrize("text", _blocks())
def test_every_yaml_block_compiles(text: str) -> None:
    own = read(text, "block.yaml")
    assert not own.problems, "\n".join(map(str, own.problems))
    kinds = {resource.kind for resource in own.resources}
    names = {resource.key for resource in own.resources}
    frame = [
        read(body, kind)
        for kind, body in FRAME.items()
        if kind not in kinds and not ("Api" in kinds and kind == "Public" and "Public" in kinds)
    ]
    frame = [one for one in frame if one.resources[0].key not in names]
    found = assemble([*frame, own], {})
    assert isinstance(found, Snapshot), "\n".join(map(str, found))
    problems = [one for one in compile(found).problems if one.at.file == "block.yaml"]
    assert not problems, "\n".join(map(str, problems))


@pytest.mark.parametrize("folder", sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir()), ids=lambda path: path.name)
def test_every_example_is_good(folder: Path) -> None:
    found = Folder(folder).snapshot()
    assert isinstance(found, Snapshot), "\n".join(map(str, found))
    assert not compile(found).problems


def test_every_module_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    names = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.(?:py|lua))?|[a-z_]+\.py)`", text)
    assert len(names) > 15
    for name in names:
        assert (ROOT / "src" / "bartizan" / name).exists() or (ROOT / name).exists(), f"ARCHITECTURE.md names {name}, which isn't there"


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "decisions").glob("0*.md")), ids=lambda path: path.stem)
def test_every_decision_names_a_check_that_exists(path: Path) -> None:
    text = path.read_text()
    for heading in ("## Context", "## Decision", "## Consequences", "## Alternatives", "## Enforced by"):
        assert heading in text, f"{path.name} has no {heading}"
    checks = re.findall(r"`([\w/.-]+\.(?:py|toml))`", text.partition("## Enforced by")[2])
    assert checks, f"{path.name} names no check"
    for check in checks:
        assert (ROOT / check).exists(), f"{path.name} names {check}, which isn't there"


def test_every_command_and_kind_is_in_the_readme_or_a_guide() -> None:
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    commands = next(action for action in parser()._actions if getattr(action, "choices", None) and "up" in (action.choices or ())).choices
    for name in commands or ():
        assert f"bartizan {name}" in text, f"no document mentions `bartizan {name}`"
    for kind in TYPES:
        assert f"`{kind}`" in text, f"no document mentions `{kind}`"
