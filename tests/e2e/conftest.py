"""What many of these tests stand on."""

from collections.abc import Iterator

import pytest

from tests.e2e.gateway import upstream as serving


@pytest.fixture
def upstream() -> Iterator[int]:
    """The port of a real HTTP server behind the gateway."""
    with serving() as port:
        yield port
