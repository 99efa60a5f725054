"""The store's tests run on SQLite and on PostgreSQL alike."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from bartizan.secrets.envelope import Envelope
from bartizan.secrets.seal import Signatures
from bartizan.secrets.signing import SigningKey
from bartizan.store import Store, embedded, open_store
from tests.unit.store.postgres import server

_NUMBERS = itertools.count(1)
ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """The URL of a store that isn't there yet, on this engine."""

    def made(engine: str) -> str:
        if engine == "sqlite":
            return embedded(tmp_path / "state")
        url: str = request.getfixturevalue("postgres")
        name = f"store{next(_NUMBERS)}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")  # a database of its own would cost a second and 8 MB
        return f"{url}&options=-csearch_path%3D{name}"

    return made


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> str:
    return new_url(request.param)


@pytest.fixture
def seal(tmp_path: Path) -> Signatures:
    return Signatures(SigningKey(tmp_path / "signing.key", Envelope(bytes(range(32)))))


@pytest.fixture
def store(url: str, seal: Signatures, tmp_path: Path) -> Iterator[Store]:
    with open_store(url, seal, head=tmp_path / "audit.head") as opened:
        yield opened
