"""What a restored control plane takes over from its nodes."""

import shutil
import time
from pathlib import Path

import pytest

from bartizan.envoy import names
from bartizan.identity.brake import Brake
from bartizan.identity.revoked import BRAKES, KEYS
from bartizan.plane.knowing import Knowing
from bartizan.plane.living import Living
from bartizan.plane.nodes import release_key
from bartizan.secrets.keyring import load_or_create
from bartizan.store import Event
from bartizan.xds.release import resource


class Plane:
    def __init__(self, state: Path) -> None:
        self.woken = 0
        self.living = Living(state, state, self.wake)
        self.events: list[Event] = []
        self.knowing = Knowing(self.living, release_key(state, load_or_create(state / "control.key")).public, self.events.append)

    def wake(self) -> None:
        self.woken += 1

    def versions(self) -> dict[str, str]:
        return {name: resource(names.NOTE, name, body).version for name, body in self.living.notes().items()}


@pytest.fixture
def before(tmp_path: Path) -> Plane:
    return Plane(tmp_path / "a")


def restored(before: Plane, tmp_path: Path) -> Plane:
    """As the state was before anything was revoked; then a key and a consumer are."""
    made = before.living.tables.store.new("acme")
    shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=shutil.ignore_patterns("*.sock"))
    before.living.tables.store.revoke(made.id)
    before.living.brakes.brake(Brake("", "consumer", "globex", "stolen", "ann", 0, time.time() + 3600))
    return Plane(tmp_path / "b")


def test_what_nodes_know_is_taken_over_kept_and_told(before: Plane, tmp_path: Path) -> None:
    after = restored(before, tmp_path)
    names_ = after.knowing.lacking(before.versions())
    assert set(names_) == set(before.living.notes()) and BRAKES in names_
    generation = after.knowing.take("edge", before.living.notes())
    assert after.living.tables.store.records() == ()
    assert [one.value for one in after.living.brakes.active(time.time())] == ["globex"]
    assert generation >= after.living.tables.store.generation + after.living.brakes.generation
    assert after.woken
    (warning,) = after.knowing.warnings
    assert "1 revoked key and 1 block were taken over from node edge" in warning
    assert [(one.actor, one.action, one.details) for one in after.events] == [
        ("node/edge", "revocations.take-over", {"keys": 1, "blocks": 1})
    ]
    assert after.knowing.lacking(before.versions()) == ()
    assert after.knowing.take("edge", before.living.notes()) == 0
    assert len(after.events) == 1


def test_who_isnt_believed_changes_nothing_and_is_told(before: Plane, tmp_path: Path) -> None:
    after = restored(before, tmp_path)
    forged = {name: body[:-9] + b"x" + body[-8:] for name, body in before.living.notes().items()}
    assert after.knowing.take("edge", forged) == 0
    assert after.living.tables.store.records() and not after.living.brakes.held(time.time())
    assert "isn't believed" in after.knowing.warnings[0] and after.events == []


def test_only_what_was_revoked_is_asked_for(before: Plane) -> None:
    assert before.knowing.lacking({"settings": "x", "other": "y"}) == ()
    assert before.knowing.lacking({KEYS + "0": "x"}) == (KEYS + "0",)
