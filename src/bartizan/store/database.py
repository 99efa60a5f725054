"""The database under the store: SQLite in a file, or PostgreSQL. Connections, locks, migrations, and errors in words."""

import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bartizan.errors import BartizanError, Invalid, NotFound, Unavailable
from bartizan.store.tables import SCHEMA

BUSY_S = 10
"""How long a writer waits for another."""
_SQLITE = "sqlite:///"
_WRITES = "bartizan_writes"
Lock = Literal["schema", "commits", "audit", "notes", "proposals", "authorizations"]
_LOCKS: dict[Lock, int] = {
    "schema": 0x42544E01,
    "commits": 0x42544E02,
    "audit": 0x42544E03,
    "notes": 0x42544E04,
    "proposals": 0x42544E05,
    "authorizations": 0x42544E06,
}
"""What PostgreSQL's advisory locks are called. Each writer of one thing takes its turn, so nobody can lock in another order."""


class Tampered(Unavailable):
    """What was read isn't what was written."""

    code = "store-tampered"


class Database:
    """An engine whose tables are those of this version."""

    def __init__(self, url: str, *, create: bool = True, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._file = Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None
        if self._file is not None:
            _prepare(self._file, create)
            self._engine = _sqlite(self._file)
        else:
            self._engine = _postgresql(url)
        self.name = str(self._file) if self._file is not None else self._engine.url.render_as_string(hide_password=True)
        try:
            self._bring_up(create)
        except BartizanError:
            self.close()
            raise

    def close(self) -> None:
        """Ends all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self._named(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, lock: Lock) -> Iterator[Connection]:
        """A transaction that nobody else who takes this lock is beside. What it wrote is on the disk when the block has been left."""
        with self._named(), self._engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin():
                if self._file is None:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCKS[lock]})
                yield connection

    def _bring_up(self, create: bool) -> None:
        with self.reading() as connection:
            found = _schema(connection)
        if found == SCHEMA:
            return
        if found is None and not create:
            raise NotFound(f"There is no store at {self.name}.", code="store-missing")
        if found is not None and found > SCHEMA:
            raise Unavailable(
                f"The store at {self.name} was written by a newer version of Bartizan (tables {found}; this one knows {SCHEMA}).",
                code="store-newer",
            )
        if not create:
            raise Unavailable(
                f"The store at {self.name} is still of an older version. It is brought up to date when the gateway starts.",
                code="store-older",
            )
        with self.writing("schema") as connection:
            logging.getLogger("alembic").setLevel(logging.WARNING)
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, SCHEMA)  # nothing, if another was faster

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeoutError) as error:
            # The statement and its values stay out of the message: they may be what somebody wrote into a document.
            why = str(error.orig).strip().partition("\n")[0] if isinstance(error, DBAPIError) else "all its connections are in use"
            busy = isinstance(error, OperationalError) and _is_busy(error.orig)
            hint = " Another writer holds it; try again." if busy else ""
            raise Unavailable(
                f"The store at {self.name} can't be used: {why}.{hint}", code="store-busy" if busy else "store-unusable"
            ) from error


def _is_busy(error: object) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    return getattr(error, "sqlstate", None) == "55P03"


def _schema(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _prepare(path: Path, create: bool) -> None:
    """The file is there, and nobody else can read it: what is written later keeps its mode."""
    try:
        if create:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600))
        found = path.stat()
    except FileNotFoundError:
        raise NotFound(f"There is no store at {path}.", code="store-missing") from None
    except OSError as error:
        raise Unavailable(f"The store {path} can't be used: {error.strerror or error}.", code="store-unusable") from error
    if not stat.S_ISREG(found.st_mode):
        raise Unavailable(f"The store {path} isn't a regular file.", code="store-unusable")
    if found.st_mode & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise Unavailable(f"The store {path} is open to other users (mode {mode}). Close it: chmod 600 {path}", code="store-open-to-others")


def _sqlite(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path.absolute())), connect_args={"timeout": BUSY_S, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def opened(connection: Any, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: the driver's own would come too late and be no write lock
        _to_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def began(connection: Connection) -> None:
        # A writer takes the lock at once: a reader that turns writer could only fail when another was faster.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN")

    return engine


def _to_wal(connection: sqlite3.Connection) -> None:
    """Two that open a new file at once get in each other's way here, and SQLite doesn't wait."""
    ends = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.01)


def _postgresql(url: str) -> Engine:
    try:
        wanted = make_url(url)
    except ArgumentError:
        raise Invalid("The store's URL can't be read. It is sqlite:///PATH or postgresql://USER@HOST/DATABASE.", code="store-url") from None
    if wanted.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise Invalid(
            f"There is no store of the kind {wanted.drivername}: it is sqlite:///PATH or postgresql://USER@HOST/DATABASE.", code="store-url"
        )
    arguments = {"connect_timeout": 5, "tcp_user_timeout": 20_000}
    engine = create_engine(wanted.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_timeout=BUSY_S, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def opened(connection: Any, _: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{BUSY_S}s'")
            # What is acknowledged must be on the disk, whatever the server's default. A stricter setting stays.
            cursor.execute("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
        connection.commit()

    return engine
