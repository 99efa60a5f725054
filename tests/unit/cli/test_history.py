"""`bartizan log` and `bartizan dump REVISION`, of a store in a state folder."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bartizan.compile.read import assemble, read
from bartizan.lib.yaml import documents, written
from bartizan.model.snapshot import LIVE_KINDS, Snapshot
from bartizan.rollout.folder import Folder
from bartizan.rollout.kept import content_of
from bartizan.secrets.keyring import load_or_create
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Change, Content, embedded, open_store
from tests.unit.cli.inside import bartizan
from tests.unit.cli.kept_state import make

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart"


@pytest.fixture
def snapshot() -> Snapshot:
    found = Folder(QUICKSTART).snapshot()
    assert isinstance(found, Snapshot)
    return found


@pytest.fixture
def state(tmp_path: Path, snapshot: Snapshot) -> Path:
    """Two commits."""
    key = SigningKey(tmp_path / "signing.key", load_or_create(tmp_path / "control.key"))
    with open_store(embedded(tmp_path), Signatures(key), clock=lambda: 1_700_000_000.5) as store:
        content = content_of(snapshot)
        store.revisions.commit(content, Change(None, "ada", "the first\x1b[2J", "files", ("GET /pub is public now",)))
        more = Content("f" * 16, content.resources, {"lists/offices.txt": b"10.0.0.0/8\n\xff"})
        store.revisions.commit(more, Change(1, "bob", "with a list", "api"))
    return tmp_path


def test_log_lists_the_newest_first(state: Path, snapshot: Snapshot) -> None:
    ran = bartizan("log", "--state", state)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "    2  ffffffffffffffff  2023-11-14T22:13:20Z  bob  api  with a list",
        f"    1  {snapshot.revision}  2023-11-14T22:13:20Z  ada  files  the first\\x1b[2J",
        "       loosens: GET /pub is public now",
    ]
    (told,) = json.loads(bartizan("log", "--state", state, "--before", 2, "--json").stdout)
    assert (told["number"], told["parent"], told["author"], told["time"]) == (1, None, "ada", 1_700_000_000.5)
    assert told["loosens"] == ["GET /pub is public now"]


def test_dump_prints_a_revision_that_declares_the_same(state: Path, snapshot: Snapshot) -> None:
    for name in ("1", snapshot.revision, snapshot.revision[:6]):
        ran = bartizan("dump", name, "--state", state)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.startswith(
            f"# commit 1, revision {snapshot.revision}\n# 2023-11-14T22:13:20Z by ada: the first\\x1b[2J\n---\nkind: Gateway\n"
        )
        assert "kind: Consumer" not in ran.stdout
    live = [one.document.value for one in snapshot.resources.values() if one.kind in LIVE_KINDS]
    found = assemble([read(ran.stdout, "dumped.yaml"), read(written(live), "live.yaml")], snapshot.files)
    assert isinstance(found, Snapshot), "\n".join(map(str, found))
    assert found.revision == snapshot.revision
    assert [list(one.value)[:2] for one in documents(ran.stdout)] == [["kind", "name"]] * len(list(documents(ran.stdout)))


def test_dump_prints_a_file_as_it_was(state: Path) -> None:
    assert "# file lists/offices.txt: 12 bytes, SHA-256 " in bartizan("dump", 2, "--state", state).stdout
    command = [sys.executable, "-m", "bartizan.cli.main", "dump", "2", "--state", state, "--file", "lists/offices.txt"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=True).stdout == b"10.0.0.0/8\n\xff"


def test_what_isnt_there_is_told(state: Path, tmp_path: Path) -> None:
    for arguments, status, told in (
        (("dump", "9", "--state", state), 1, "There is no revision 9"),
        (("dump", "2", "--state", state, "--file", "x"), 1, "holds no file 'x'"),
        (("dump",), 64, "either a REVISION or files"),
        (("dump", "2", "-f", QUICKSTART), 64, "either a REVISION or files"),
        (("log", "--state", tmp_path / "nowhere"), 1, "There is no store at"),
        (("log", "--store", "mysql://x/y"), 1, "There is no store of the kind mysql"),
        (("log", "--state", state, "--public-key", "abc"), 1, "isn't a public key"),
    ):
        ran = bartizan(*arguments)
        assert ran.returncode == status, (arguments, ran.stderr)
        assert told in ran.stderr
    assert not (tmp_path / "nowhere").exists()


def test_without_a_key_it_says_that_no_signature_is_checked(state: Path) -> None:
    key = SigningKey(state / "signing.key", load_or_create(state / "control.key")).public.hex()
    (state / "signing.key").unlink()
    ran = bartizan("log", "--state", state)
    assert (ran.returncode, "no signature is checked" in ran.stderr) == (0, True)
    assert not (state / "signing.key").exists()
    assert bartizan("log", "--state", state, "--public-key", key).stderr == ""
    ran = bartizan("log", "--state", state, "--public-key", "ab" * 32)
    assert (ran.returncode, "key that isn't trusted" in ran.stderr) == (1, True)


GUIDE = (Path(__file__).parents[3] / "docs" / "guide" / "history.md").read_text()
SHOWN = re.findall(r"```console\n\$ bartizan (.*)\n((?:.*\n)*?)```", GUIDE)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("guide") / "state"
    make(state)
    return state


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command for command, _ in SHOWN])
def test_what_the_guide_shows_is_what_is_printed(command: str, output: str, shown: Path) -> None:
    ran = bartizan(*command.split(), "--state", shown)
    assert (ran.stdout, ran.stderr) == (output, "")


def test_the_guide_shows_each_command() -> None:
    assert {command.partition(" ")[0] for command, _ in SHOWN} == {"log", "dump", "audit"}
