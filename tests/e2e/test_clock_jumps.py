"""A machine whose clock jumps by a day and back: keys, blocks and freezes go by it no longer than it is wrong, and it is told."""

import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.test_admin import Admin, administered
from tests.e2e.test_remote import good
from tests.e2e.test_rollouts import GOLD, HARMLESS, asks, files, put, rollout

DAY_S = 86_400.0
# Python imports this first, whatever it runs. Only the control plane and the node have the clock that jumps.
CLOCK = """
import os, struct, sys, time, datetime
if {"bartizan.app", "bartizan.node"} & set(sys.orig_argv):
    _file = os.open(os.environ["JUMPING_CLOCK"], os.O_RDONLY)
    _time, _time_ns, _gmtime, _strftime, _real = time.time, time.time_ns, time.gmtime, time.strftime, datetime.datetime
    def _off():
        return struct.unpack("d", os.pread(_file, 8, 0))[0]
    time.time = lambda: _time() + _off()
    time.time_ns = lambda: _time_ns() + int(_off() * 1e9)
    time.gmtime = lambda seconds=None: _gmtime(time.time() if seconds is None else seconds)
    class _Jumping(_real):
        @classmethod
        def now(cls, tz=None):
            return _real.fromtimestamp(time.time(), tz)
    datetime.datetime = _Jumping
"""


class Clock:
    """The clock of the gateway's machine."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "offset"
        self.set(0.0)

    def set(self, seconds: float) -> None:
        """So far from the right time."""
        with self.file.open("r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("d", seconds))


@pytest.fixture
async def jumping(tmp_path: Path, upstream: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Admin, Clock]]:
    """A gateway that changes nothing tomorrow."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(CLOCK)
    clock = Clock(tmp_path / "clock")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "clock"))
    monkeypatch.setenv("JUMPING_CLOCK", str(clock.file))
    since, until = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + hours * 3600)) for hours in (12, 36))
    freeze = f'{{freezes: [{{from: "{since}", until: "{until}", reason: year end}}]}}'
    async with administered(tmp_path, files(freeze, upstream)) as admin:
        yield admin, clock


async def _is(admin: Admin, key: str, status: int) -> bool:
    return await asks(admin.gw, key) == status


async def _becomes(admin: Admin, key: str, status: int) -> None:
    await admin.gw.eventually(lambda: _is(admin, key, status), 5)


async def _told(admin: Admin, what: str) -> None:
    await admin.gw.until(lambda now: any(what in one for one in now["warnings"]))


async def test_a_day_forward_and_back_again(jumping: tuple[Admin, Clock]) -> None:
    admin, clock = jumping
    ann = await admin.token(admin.first, "ann", "admin")
    _, short = admin.gw.new_key("acme", expires=time.time() + 6 * 3600)
    (_, long), (_, globex) = (admin.gw.new_key(one) for one in ("acme", "globex"))
    await put(admin, ann, HARMLESS)
    await rollout(admin, ann, "done")
    block = {"what": "consumer", "value": "globex", "seconds": 3600, "reason": "leaked"}
    assert (await admin.call("POST", "/v1/blocks", ann, json=block)).status_code == 200
    await _becomes(admin, globex, 403)
    await _becomes(admin, short, 200)
    clock.set(DAY_S)
    # By this clock the key has ended, the block too, and the freeze has begun. It is told.
    await _becomes(admin, short, 401)
    await _becomes(admin, globex, 200)
    assert await asks(admin.gw, long) == 200
    await _told(admin, f"set forward by {DAY_S:.0f} s")
    await put(admin, ann, GOLD)
    assert "year end" in (await rollout(admin, ann, "waiting"))["why"]
    clock.set(0.0)
    # It was wrong: what ended by it hasn't, and what began by it hasn't either.
    await _becomes(admin, globex, 403)
    await _becomes(admin, short, 200)
    await _told(admin, f"set back by {DAY_S:.0f} s")
    await rollout(admin, ann, "done")
    assert (await admin.gw.status())["nodes"][0]["acknowledged"]
    await _audited(admin)


async def test_a_day_back_and_forward_again(jumping: tuple[Admin, Clock]) -> None:
    admin, clock = jumping
    ann = await admin.token(admin.first, "ann", "admin")
    lost, revoked = admin.gw.new_key("acme")
    (_, short), (_, globex) = admin.gw.new_key("acme", expires=time.time() + 10), admin.gw.new_key("globex")
    block = {"what": "consumer", "value": "globex", "seconds": 12, "reason": "leaked"}
    assert (await admin.call("POST", "/v1/blocks", ann, json=block)).status_code == 200
    await _becomes(admin, globex, 403)
    await _becomes(admin, revoked, 200)
    before = await admin.gw.status()
    clock.set(-DAY_S)
    await _told(admin, f"set back by {DAY_S:.0f} s")
    # What is revoked, blocked and let out meanwhile counts at once: numbers don't go back with the clock.
    admin.gw.revoke(lost)
    await _becomes(admin, revoked, 401)
    await put(admin, ann, GOLD)
    await rollout(admin, ann, "done")
    now = await admin.gw.until(lambda told: all(node["acknowledged"] for node in told["nodes"]))
    assert now["sequence"] > before["sequence"] and now["generation"] > before["generation"]
    assert await asks(admin.gw, globex) == 403 and now["brakes"]
    clock.set(0.0)
    await _told(admin, f"set forward by {DAY_S:.0f} s")
    # They end when they were to end, not a day later.
    await admin.gw.eventually(lambda: _is(admin, short, 401), 20)
    await admin.gw.eventually(lambda: _unblocked(admin), 25)
    assert await asks(admin.gw, revoked) == 401
    await _audited(admin)


async def _unblocked(admin: Admin) -> bool:
    return not (await admin.gw.status())["brakes"]


async def _audited(admin: Admin) -> None:
    """The audit log is in order, though its times aren't."""
    assert (await good("audit", "verify", "--state", admin.gw.state)).startswith("good: ")


async def test_consumers_that_live_for_a_time_go_by_the_clock_no_longer_than_it_is_wrong(jumping: tuple[Admin, Clock]) -> None:
    admin, clock = jumping
    ann = await admin.token(admin.first, "ann", "admin")
    hours = {"guest": {"expires": 12}, "later": {"starts": 12}}
    keys = {}
    for name, told in hours.items():
        times = {what: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600 * at)) for what, at in told.items()}
        document = {"attributes": {"plan": "gold"}, **times}
        assert (await admin.call("PUT", f"/v1/resources/Consumer/{name}", ann, json=document)).status_code == 200
        _, keys[name] = admin.gw.new_key(name)
    for offset, guest, later in ((0.0, 200, 401), (DAY_S, 401, 200), (0.0, 200, 401), (-DAY_S, 200, 401), (0.0, 200, 401)):
        clock.set(offset)
        await _becomes(admin, keys["guest"], guest)
        await _becomes(admin, keys["later"], later)
