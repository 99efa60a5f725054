"""The tables that migrations make are those that the code asks."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from bartizan.secrets.seal import Signatures
from bartizan.store import Change, Content, Event, Store, Tampered, embedded, open_store, opening
from bartizan.store.tables import METADATA, SCHEMA
from tests.unit.store.meddling import meddle


def test_migrations_make_these_tables(store: Store) -> None:
    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_the_newest_migration_is_the_one_that_is_run() -> None:
    config = Config()
    config.set_main_option("script_location", opening.__file__.replace("opening.py", "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA]


def test_sqlite_that_was_given_text_for_bytes_or_numbers_is_told_from_sound(tmp_path: Path, seal: Signatures) -> None:
    with open_store(embedded(tmp_path), seal) as store:
        commit = store.revisions.commit(Content("a" * 16, {("Api", "a"): b"{}"}), Change(None, "ada", "", "files"))
        store.audit.append(Event("ada", "a", "t", "o", "done"))
        store.audit.append(Event("ada", "a", "t", "o", "done"))
        meddle(
            store,
            "UPDATE objects SET body = 'text'",
            "UPDATE commits SET time_ms = 'x'",
            "UPDATE audit SET signature = 'x', time_ms = 'y' WHERE number = 1",
        )
        with pytest.raises(Tampered):
            store.revisions.head()
        with pytest.raises(Tampered):
            store.revisions.content(commit)
        with pytest.raises(Tampered):
            store.audit.entries()
        assert [one.number for one in store.revisions.findings()] == [1]
        assert len(store.revisions.content_findings()) == 3
        assert [one.number for one in store.audit.verify()[1]] == [1]
