"""Envoy's admin interface, when there is no Envoy. With one, it is in the end-to-end tests."""

from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.node.stats import Admin


async def test_an_envoy_that_is_not_there_is_not_ready(tmp_path: Path) -> None:
    admin = Admin(tmp_path / "admin.sock")
    assert await admin.ready() is False
    with pytest.raises(Unavailable, match="Envoy doesn't answer"):
        await admin.prometheus()
    with pytest.raises(Unavailable, match="Envoy doesn't answer"):
        await admin.reopen_logs()
    await admin.close()
