"""Work that fails is told of and started again."""

import asyncio
import logging

import pytest

from bartizan.lib.supervise import supervised


async def test_runs_again_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise RuntimeError("a bug")

    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(supervised("the work", work), 2)
    assert runs == 3
    assert caplog.text.count("the work failed") == 2
    assert "a bug" in caplog.text


async def test_ends_when_it_is_cancelled() -> None:
    task = asyncio.create_task(supervised("the work", asyncio.Event().wait))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
