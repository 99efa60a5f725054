"""The command line: statuses, help with examples, JSON, and no traceback for what people do wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bartizan.cli.commands import NAMES

GOOD = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:9101
---
kind: Authenticate
name: callers
any: [api_key]
"""


def bartizan(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bartizan.cli.main", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "all.yaml").write_text(GOOD)
    return folder


def test_check_says_good_or_everything_that_is_wrong(files: Path) -> None:
    ran = bartizan("check", "-f", files)
    assert (ran.returncode, ran.stdout.startswith("good: revision ")) == (0, True)
    (files / "more.yaml").write_text("kind: Consumer\nname: UPPER\n---\nkind: Nope\n")
    ran = bartizan("check", "-f", files)
    assert ran.returncode == 1
    assert "more.yaml:2 Consumer/UPPER: name" in ran.stdout
    assert "more.yaml:4" in ran.stdout
    told = json.loads(bartizan("check", "-f", files, "--json").stdout)
    assert [problem["line"] for problem in told["problems"]] == [2, 4]


def test_diff_of_files(files: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "all.yaml").write_text(GOOD.replace("name: callers", "name: others"))
    assert bartizan("diff", "-f", files, "--against", files).returncode == 0
    ran = bartizan("diff", "-f", other, "--against", files)
    assert ran.returncode == 2
    assert "+ Authenticate/others" in ran.stdout
    assert "- Authenticate/callers" in ran.stdout
    assert "LOOSENS" in ran.stdout


def test_dump_and_schema_are_json(files: Path) -> None:
    assert "orders" in json.dumps(json.loads(bartizan("dump", "-f", files).stdout))
    whole = json.loads(bartizan("schema").stdout)
    assert "RateLimit" in whole["$defs"]
    assert json.loads(bartizan("schema", "Api").stdout)["required"][0] == "kind"


def test_a_key_is_shown_once_and_never_kept_in_the_open(tmp_path: Path) -> None:
    ran = bartizan("key", "new", "acme", "--name", "laptop", "--expires", "90d", "--state", tmp_path)
    key = ran.stdout.strip()
    assert ran.returncode == 0
    assert key.startswith("bz_")
    listed = bartizan("key", "list", "--state", tmp_path)
    assert "acme" in listed.stdout
    assert key not in listed.stdout
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes()
    ident = listed.stdout.split()[0]
    assert bartizan("key", "revoke", ident, "--state", tmp_path).returncode == 0
    assert bartizan("key", "list", "--state", tmp_path).stdout == ""
    again = bartizan("key", "revoke", ident, "--state", tmp_path)
    assert again.returncode == 1
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("nope",), 64),
        (("check",), 64),
        (("key", "new"), 64),
        (("check", "-f", "/nowhere"), 1),
        (("up", "-f", "/nowhere"), 1),
        (("status", "--state", "/nowhere"), 1),
        (("explain", "x", "--state", "/nowhere"), 1),
        (("key", "new", "acme", "--expires", "soon"), 64),
        ((), 64),
    ],
)
def test_what_people_do_wrong_is_a_sentence_and_a_status(
    arguments: tuple[str, ...], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = bartizan(*arguments)
    assert ran.returncode == status, ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stderr or ran.stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_examples(name: str) -> None:
    ran = bartizan(name, "--help")
    assert ran.returncode == 0
    assert "examples:" in ran.stdout
    assert f"bartizan {name}" in ran.stdout


def test_the_whole_help_lists_every_command() -> None:
    ran = bartizan("--help")
    assert ran.returncode == 0
    assert all(f"\n    {name}" in ran.stdout for name in NAMES)


def test_versions_and_completion() -> None:
    assert json.loads(bartizan("version", "--json").stdout)["envoy"] == "1.40.0"
    assert "bartizan" in bartizan("completion", "bash").stdout
