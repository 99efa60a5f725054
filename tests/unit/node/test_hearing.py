"""How long ago the control plane was heard, and what a node does when it is too long."""

from pathlib import Path

import orjson
import pytest

from bartizan.envoy import names
from bartizan.identity.table import holders, table_of
from bartizan.node.hearing import NEVER, Clocks, Hearing
from bartizan.secrets.envelope import Envelope
from bartizan.xds.release import Position, Resource, resource
from bartizan.xds.server import AdsServer

ENVELOPE = Envelope(b"k" * 32)
TABLE = resource(
    names.ECDS, "keys/other", table_of("other", {"brought-along-key": "00000000acme;key_a;", "certificate:ca|x": "00000000globex;d;"})
)


class Time:
    def __init__(self) -> None:
        self.wall, self.boot = 10_000.0, 50.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


class Rig:
    def __init__(self, folder: Path, max_stale_s: float | None = 10.0) -> None:
        self.folder, self.time, self.max_stale_s = folder, Time(), max_stale_s
        self.told: list[str | None] = []
        self.hearing = self.start()

    def start(self) -> Hearing:
        """The node's process, started (again)."""
        self.server = AdsServer(self.folder / "ads.sock")
        notes = [resource(names.NOTE, names.SETTINGS, orjson.dumps({"max_stale_s": self.max_stale_s}))] if self.max_stale_s else []
        self.server.load(Position(1, "r", 1), [TABLE, *notes])
        clocks = Clocks(lambda: self.time.wall, lambda: self.time.boot)
        self.hearing = Hearing(self.folder / "heard", ENVELOPE, self.server, clocks)
        self.hearing.tell = self.told.append
        return self.hearing

    def refuses(self) -> bool:
        self.hearing.look()
        return self.hearing.stale


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_node_that_heard_takes_keys_for_so_long_and_no_longer(rig: Rig) -> None:
    rig.hearing.heard()
    for _ in range(5):
        rig.time.passes(9.9)
        assert not rig.refuses()
        rig.hearing.heard()
    rig.time.passes(10.1)
    assert rig.refuses()
    assert rig.told[-1] and "max_stale is 10 s" in rig.told[-1]
    rig.hearing.heard()
    assert not rig.refuses()
    assert rig.told[-1] is None


def test_one_that_never_heard_takes_none(rig: Rig) -> None:
    assert rig.refuses()
    assert rig.told[-1] and "never" in rig.told[-1]


def test_without_max_stale_it_goes_on_for_ever(tmp_path: Path) -> None:
    rig = Rig(tmp_path, None)
    rig.time.passes(1e9)
    assert not rig.refuses()
    assert rig.hearing.adapted(TABLE) is TABLE


def test_a_restart_doesnt_make_it_fresh(rig: Rig) -> None:
    rig.hearing.heard()
    rig.time.passes(6)
    rig.start()
    assert not rig.refuses()
    rig.time.passes(6)
    assert rig.refuses()
    rig.start()
    assert rig.refuses()


def test_a_clock_that_is_set_while_it_runs_means_nothing_and_one_set_back_over_a_restart_is_no_friend(rig: Rig) -> None:
    rig.hearing.heard()
    rig.time.wall += 86_400
    assert not rig.refuses()
    rig.time.wall -= 2 * 86_400
    assert not rig.refuses()
    rig.start()
    assert rig.hearing.age_s == NEVER
    assert rig.refuses()


@pytest.mark.parametrize("content", [b"", b"12345.0", b"x" * 60])
def test_a_file_that_was_tampered_with_counts_as_never(rig: Rig, content: bytes) -> None:
    rig.hearing.heard()
    (rig.folder / "heard").write_bytes(content)
    rig.start()
    assert rig.refuses()


def test_the_file_is_written_rarely_but_often_enough(rig: Rig) -> None:
    stamps = set()
    for _ in range(100):
        rig.hearing.heard()
        stamps.add((rig.folder / "heard").read_bytes())
        rig.time.passes(0.1)
    assert 8 <= len(stamps) <= 12


def test_keys_are_withheld_and_certificates_arent(rig: Rig) -> None:
    other = resource(names.ECDS, "tokens", b"x")
    rig.hearing.heard()
    rig.refuses()
    assert rig.hearing.adapted(TABLE) is TABLE
    rig.time.passes(11)
    assert rig.refuses()
    less: Resource = rig.hearing.adapted(TABLE)
    assert holders(less.body) == {("globex", "d")}
    assert less.version != TABLE.version
    assert rig.hearing.adapted(TABLE) is less
    assert rig.hearing.adapted(other) is other


async def test_it_is_no_matter_of_a_disk_that_is_full(rig: Rig) -> None:
    (rig.folder / "heard").mkdir()
    rig.hearing.heard()
    assert not rig.refuses()
