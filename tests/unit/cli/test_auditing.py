"""`bartizan audit`: list, export, verify."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bartizan.secrets.keyring import load_or_create
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Change, Content, Event, embedded, open_store
from bartizan.store.opening import HEAD
from tests.unit.cli.inside import bartizan

EVENT = Event("ada", "rollout.promote", "revision/2", "127.0.0.1", "done", {"stage": "canary"})


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Three entries and a commit."""
    key = SigningKey(tmp_path / "signing.key", load_or_create(tmp_path / "control.key"))
    clock = iter(range(1_700_000_000, 1_800_000_000, 3600))
    with open_store(embedded(tmp_path), Signatures(key), head=tmp_path / HEAD, clock=lambda: next(clock)) as store:
        store.audit.append(EVENT)
        store.audit.append(replace(EVENT, actor="eve\x1b[2J", action="block.add", result="refused: not hers"))
        store.audit.append(replace(EVENT, action="rollout.abort"))
        store.revisions.commit(Content("a" * 16, {("Api", "a"): b"{}"}), Change(None, "ada", "", "files"))
    return tmp_path


def meddle(state: Path, *statements: str) -> None:
    with closing(sqlite3.connect(state / "store.db", isolation_level=None)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for one in statements:
            connection.execute(one)


def test_list_shows_the_last_and_what_is_asked_for(state: Path) -> None:
    ran = bartizan("audit", "list", "--state", state)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "     1  2023-11-14T22:13:20Z  ada  rollout.promote  revision/2  done  from 127.0.0.1",
        "     2  2023-11-14T23:13:20Z  eve\\x1b[2J  block.add  revision/2  refused: not hers  from 127.0.0.1",
        "     3  2023-11-15T00:13:20Z  ada  rollout.abort  revision/2  done  from 127.0.0.1",
    ]

    def numbers(*arguments: object) -> list[int]:
        return [one["number"] for one in json.loads(bartizan("audit", "list", "--state", state, "--json", *arguments).stdout)]

    assert numbers("--limit", 2) == [2, 3]
    assert numbers("--action", "rollout", "--actor", "ada") == [1, 3]
    assert numbers("--since", "2023-11-15") == [3]
    assert numbers("--since", "2023-11-14T23:13:20Z") == [2, 3]
    assert numbers("--since", "1h") == []
    assert numbers("--after", 2) == [3]
    assert bartizan("audit", "list", "--state", state, "--since", "yesterday").returncode == 1


def test_export_gives_lines_that_can_be_verified_elsewhere(state: Path) -> None:
    told = [json.loads(line) for line in bartizan("audit", "export", "--state", state).stdout.splitlines()]
    assert [one["number"] for one in told] == [1, 2, 3]
    assert (told[0]["details"], told[0]["time"]) == ({"stage": "canary"}, 1_700_000_000)
    assert [one["before"] for one in told[1:]] == [one["hash"] for one in told[:-1]]
    assert all(one["genuine"] and len(one["signature"]) == 128 for one in told)


def test_verify_is_content_with_what_nobody_touched(state: Path) -> None:
    ran = bartizan("audit", "verify", "--state", state)
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (0, "good: 3 entries, 1 commits")
    command = ran.stdout.splitlines()[-1].split()
    assert bartizan(*command[1:], "--state", state).returncode == 0
    assert json.loads(bartizan("audit", "verify", "--state", state, "--json").stdout)["good"]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE audit SET result = 'done' WHERE number = 2", "audit log, at 2: was changed after it was written"),
        ("DELETE FROM audit WHERE number = 1", "audit log, at 2: entries 1 to 1 are missing"),
        ("DELETE FROM audit WHERE number = 3", "audit log, at 3: the log was cut off"),
        ("UPDATE commits SET author = 'eve'", "revisions, at 1: default: was changed after it was signed"),
        ("UPDATE objects SET body = 'x'", "was changed after it was written"),
        ("DELETE FROM objects", "is gone"),
    ],
)
def test_verify_finds_what_was_done(statement: str, told: str, state: Path) -> None:
    meddle(state, statement)
    ran = bartizan("audit", "verify", "--state", state)
    assert ran.returncode == 1
    assert told in ran.stdout
    assert not json.loads(bartizan("audit", "verify", "--state", state, "--json").stdout)["good"]


def test_list_marks_what_isnt_genuine(state: Path) -> None:
    meddle(state, "UPDATE audit SET result = 'done' WHERE number = 2")
    lines = bartizan("audit", "list", "--state", state).stdout.splitlines()
    assert ["NOT GENUINE" in line for line in lines] == [False, True, False]


def test_a_head_that_was_written_down_outlasts_the_one_beside_the_log(state: Path) -> None:
    head = bartizan("audit", "verify", "--state", state).stdout.split()[-1]
    meddle(state, "DELETE FROM audit WHERE number = 3")
    (state / HEAD).unlink()
    ran = bartizan("audit", "verify", "--state", state, "--head", head)
    assert (ran.returncode, "cut off" in ran.stdout) == (1, True)
    assert bartizan("audit", "verify", "--state", state, "--head", "nonsense").returncode == 1


def test_nothing_is_verified_without_a_key(state: Path) -> None:
    (state / "signing.key").unlink()
    ran = bartizan("audit", "verify", "--state", state)
    assert (ran.returncode, "without a key" in ran.stderr) == (1, True)
