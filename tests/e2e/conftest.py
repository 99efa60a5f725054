"""What many of these tests stand on."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.gateway import upstream as serving


@pytest.fixture(scope="session", autouse=True)
def as_installed() -> None:
    """What is started here finds no more than users have."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent / "as_installed"), os.environ.get("PYTHONPATH"))))


@pytest.fixture
def upstream() -> Iterator[int]:
    """The port of a real HTTP server behind the gateway."""
    with serving() as port:
        yield port
