"""What the audit log is told in the background: bounded where an attacker has a say, and nothing is lost otherwise."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.identity.unnoted import Unnoted
from bartizan.plane.noting import OF_ALL, OF_ONE, WINDOW_S, Noting, Refusals, edited
from bartizan.secrets.keyring import load_or_create
from bartizan.store import Entry, Event
from bartizan.store.audit import Audit
from tests.unit.meaning.made import FRAME, made


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refused(origin: str) -> Event:
    return Event("unknown", "operator.refused", "GET /v1/status", origin, "token-unknown")


def test_of_each_origin_some_are_noted_and_of_all_not_too_many() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    flood = sum(refusals.counts(refused("192.0.2.1")) for _ in range(1000))
    assert flood == OF_ONE
    assert refusals.counts(refused("192.0.2.2"))  # a flood from one doesn't hide another
    crowd = sum(refusals.counts(refused(f"2001:db8::{number:x}")) for number in range(50_000))
    assert crowd == OF_ALL - OF_ONE - 1
    assert refusals.summary() is None
    clock.now = WINDOW_S
    told = refusals.summary()
    assert told is not None and told.details["more"] == {"operator.refused": 1000 - OF_ONE + 50_000 - crowd}
    # Then it begins anew; a window in which all were noted needs no summary.
    assert refusals.counts(refused("192.0.2.1"))
    clock.now *= 2
    assert refusals.summary() is None


class Log(Audit):
    """A log that is busy for a while."""

    def __init__(self, busy: int = 0) -> None:
        self.busy = busy
        self.events: list[Event] = []

    def append(self, event: Event) -> Entry:
        if self.busy:
            self.busy -= 1
            raise Unavailable("The store is busy.")
        self.events.append(event)
        return Entry(len(self.events), 0, event, "", "", "", b"")


@pytest.fixture
def unnoted(tmp_path: Path) -> Unnoted:
    return Unnoted(tmp_path, load_or_create(tmp_path / "control.key"))


async def test_a_busy_log_is_tried_again_and_the_order_stays(unnoted: Unnoted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bartizan.plane.noting._AGAIN_S", 0.01)
    log = Log(busy=3)
    noting = Noting(log, unnoted)
    noting.begin("1", "sqlite")
    noting.tell(refused("a"))
    unnoted.keep(Event("local:ann", "key.new", "key/a", "local", "done"))
    work = asyncio.create_task(noting.run())
    async with asyncio.timeout(5):
        while len(log.events) < 3:
            await asyncio.sleep(0.01)
    assert {one.action for one in log.events} == {"control.start", "operator.refused", "key.new"}
    assert [one.action for one in log.events if one.action != "key.new"] == ["control.start", "operator.refused"]
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    noting.tell(refused("b"))
    noting.end()
    assert [one.action for one in log.events[3:]] == ["operator.refused", "control.end"]


def test_an_edit_of_consumers_is_told_by_their_names() -> None:
    before = made().snapshot
    assert edited(before, made().snapshot) is None
    after = made(frame=FRAME.replace("name: globex", "name: initech").replace("level: 7", "level: 8") + "\n").snapshot
    told = edited(before, after)
    assert told is not None
    assert {name: value for name, value in told.details.items() if not name.endswith("_count")} == {
        "added": ["Consumer/initech"],
        "changed": ["Consumer/acme"],
        "removed": ["Consumer/globex"],
    }
