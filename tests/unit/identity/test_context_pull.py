"""Fetching from a real HTTP server: what is asked, how often, and what becomes of what is wrong."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from bartizan.identity import context_pull
from bartizan.identity.context import Context
from bartizan.identity.context_pull import Pulling
from bartizan.identity.named import NamedSecrets, Wanted
from bartizan.model.context import ContextSource
from bartizan.secrets.keyring import load_or_create
from bartizan.secrets.sealed import Secret
from tests.e2e.hr import Hr, hr

TYPES = {"plan": "string", "level": "number"}


class Rig:
    """Fetching, and what it was told."""

    def __init__(self, folder: Path, system: Hr) -> None:
        self.folder, self.hr, self.taken = folder, system, []  # type: ignore[var-annotated]
        self.context = Context()
        self.named = NamedSecrets(folder / "secrets.journal", load_or_create(folder / "control.key"))
        self.pulling = Pulling(self.context, folder, self.named, lambda name, subjects: self.taken.append((name, subjects)))

    def declare(self, **more: Any) -> None:
        pull = {"url": f"http://127.0.0.1:{self.hr.port}/context", "every": "1s", "authorization": {"secret": "hr"}}
        fields = {"name": "hr", "attributes": ["plan", "level"], "max_age": "1m", **({"pull": pull} if "file" not in more else {}), **more}
        sources = {"hr": ContextSource.model_validate(fields)}
        self.context.declare(sources, TYPES)
        self.pulling.declare(sources, TYPES)

    def grant(self, to: str = "127.0.0.1", text: str = "") -> None:
        self.named.set(Wanted("hr", Secret(text or self.hr.token), "me", None, (to,)))

    @property
    def error(self) -> str:
        return self.pulling.sources["hr"].error

    async def until(self, holds: Callable[[], Any], seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.01)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    with hr() as system:
        made = Rig(tmp_path, system)
        task = asyncio.create_task(made.pulling.run())
        yield made
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        made.named.close()


async def test_it_is_fetched_again_and_again_and_sent_only_if_it_is_new(rig: Rig) -> None:
    rig.grant()
    rig.hr.subjects = {"acme": {"plan": "gold"}}
    rig.declare()
    await rig.until(lambda: rig.taken)
    assert rig.taken == [("hr", frozenset({"acme"}))] and rig.context.fresh("acme") == {"plan": "gold"}
    await rig.until(lambda: rig.hr.not_modified)
    await rig.until(lambda: len(rig.taken) > 1)
    assert rig.taken[1] == ("hr", frozenset())
    rig.hr.subjects = {"acme": {"plan": "silver"}}
    await rig.until(lambda: rig.context.fresh("acme") == {"plan": "silver"})


async def test_a_secret_goes_where_it_was_granted_and_is_in_no_error(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.declare()
    await rig.until(lambda: rig.error)
    assert "no secret hr that may be sent there" in rig.error and not rig.hr.asked
    for to in ("hr.example.com", f"127.0.0.1:{rig.hr.port + 1}"):
        rig.grant(to)
        rig.pulling.sources["hr"].error = ""
        await rig.until(lambda: rig.error)
        assert not rig.hr.asked
    rig.grant(f"127.0.0.1:{rig.hr.port}", "another-secret-text")
    await rig.until(lambda: rig.hr.asked and "401" in rig.error)
    rig.grant(f"127.0.0.1:{rig.hr.port}")
    await rig.until(lambda: not rig.error and rig.taken)
    assert rig.hr.token not in caplog.text and "another-secret" not in caplog.text


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"status": 500}, "it answers 500"),
        ({"status": 307}, "redirects aren't followed"),
        ({"body": b"{"}, "it isn't JSON"),
        ({"body": b'{"subjects": {"acme": {"plan": 3}}}'}, "declared as a string"),
        ({"body": b" " * 4097}, "larger than"),
    ],
)
async def test_what_is_wrong_is_told_and_the_last_good_is_kept(
    rig: Rig, wrong: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_pull, "MOST_BYTES", 4096)
    rig.grant()
    rig.hr.subjects = {"acme": {"plan": "gold"}}
    rig.declare()
    await rig.until(lambda: rig.taken)
    for name, value in wrong.items():
        setattr(rig.hr, name, value)
    await rig.until(lambda: told in rig.error)
    assert rig.context.fresh("acme") == {"plan": "gold"} and rig.hr.asked < 1_000_000
    rig.hr.status, rig.hr.body = 200, None
    await rig.until(lambda: not rig.error)


async def test_what_is_slow_or_nowhere_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_pull, "_FETCH_S", 0.2)
    rig.grant()
    rig.hr.slow_s = 1.0
    rig.declare()
    await rig.until(lambda: "takes too long" in rig.error)
    rig.declare(pull={"url": "http://127.0.0.1:1/"})
    await rig.until(lambda: "can't be had" in rig.error)


async def test_it_is_asked_less_often_while_it_fails(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_pull, "_FIRST_S", 0.05)
    monkeypatch.setattr(context_pull, "FILE_S", 0.01)
    rig.grant()
    rig.hr.status = 503
    rig.declare(pull={"url": f"http://127.0.0.1:{rig.hr.port}/context", "every": "30s", "authorization": {"secret": "hr"}})
    await asyncio.sleep(1.2)
    assert 3 <= rig.hr.asked <= 7


async def test_a_file_is_as_old_as_it_is(rig: Rig) -> None:
    file = rig.folder / "a.json"
    rig.declare(file="a.json")
    await rig.until(lambda: "can't be read" in rig.error)
    file.write_bytes(orjson.dumps({"subjects": {"acme": {"plan": "gold"}}}))
    await rig.until(lambda: rig.context.fresh("acme") == {"plan": "gold"})
    assert rig.context.look() == (False, frozenset())
    old = time.time() - 61
    os.utime(file, (old, old))
    await rig.until(lambda: len(rig.taken) > 1)
    assert rig.context.look()[0], "it was written a minute ago"
    future = time.time() + 3600
    os.utime(file, (future, future))
    await rig.until(lambda: len(rig.taken) > 2)
    whole = rig.context.heard["hr"].whole
    assert whole is not None and whole.at <= time.time() + 0.001, "a file from the future is of now"
