"""What sources say is kept sealed, whole or not at all, and is there again after a restart."""

import asyncio
from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.identity.context import Context
from bartizan.identity.context_file import ContextFile
from bartizan.model.context import ContextSource
from bartizan.secrets.keyring import load_or_create

SOURCES = {"hr": ContextSource(name="hr", attributes=("plan",), push=True)}


def opened(state: Path) -> tuple[Context, ContextFile]:
    context = Context()
    file = ContextFile(state / "context.sealed", load_or_create(state / "control.key"), context)
    context.declare(SOURCES, {"plan": "string"})
    return context, file


async def test_it_is_there_again_and_lies_sealed(tmp_path: Path) -> None:
    context, file = opened(tmp_path)
    context.take_one("hr", "acme", {"plan": "planted-value"})
    context.take_all("hr", {"globex": {"plan": "planted-value"}})
    await asyncio.gather(*(file.keep() for _ in range(20)))
    kept = (tmp_path / "context.sealed").read_bytes()
    assert b"planted" not in kept and b"globex" not in kept and (tmp_path / "context.sealed").stat().st_mode & 0o777 == 0o600
    again, _ = opened(tmp_path)
    assert again.of("globex") == context.of("globex") and again.of("acme") == {}


async def test_what_is_only_said_again_is_written_now_and_then(tmp_path: Path) -> None:
    context, file = opened(tmp_path)
    context.take_all("hr", {"globex": {"plan": "gold"}})
    await file.keep_soon(changed=True)
    before = (tmp_path / "context.sealed").stat().st_ino
    context.renew("hr")
    await file.keep_soon(changed=False)
    assert (tmp_path / "context.sealed").stat().st_ino == before
    await file.keep()
    assert (tmp_path / "context.sealed").stat().st_ino != before


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 100])
async def test_what_can_t_be_read_counts_for_nothing_and_is_told(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "context.sealed").write_bytes(content)
    context, file = opened(tmp_path)
    assert context.of("acme") == {} and "has to be said again" in caplog.text
    context.take_one("hr", "acme", {"plan": "gold"})
    await file.keep()
    assert opened(tmp_path)[0].of("acme")


async def test_a_disk_that_is_full_is_told(tmp_path: Path) -> None:
    context, file = opened(tmp_path)
    context.take_one("hr", "acme", {"plan": "gold"})
    tmp_path.joinpath("context.sealed").mkdir()
    with pytest.raises(Unavailable, match="can't be kept"):
        await file.keep()
    assert file.error
    tmp_path.joinpath("context.sealed").rmdir()
    await file.keep_soon(changed=True)
    assert not file.error
