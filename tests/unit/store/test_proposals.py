"""Proposals: signed, few, small, and for a while."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from bartizan.errors import Invalid, NotFound, TooMany, Unavailable
from bartizan.secrets.seal import Signatures
from bartizan.store import Draft, Store, Tampered, open_store, opening
from bartizan.store.proposals import LARGEST, LASTS_S, MOST, MOST_OF_ONE
from tests.unit.store.conftest import ENGINES

DRAFT = Draft(
    "ann", "", "192.0.2.1", "why", "a" * 16, {("Api", "a"): b'{"kind":"Api","name":"a"}'}, (("Public", "b"),), {("Public", "b"): "d" * 16}
)


def test_a_proposal_outlasts_whoever_made_it_and_goes_when_it_is_removed(store: Store, url: str, seal: Signatures) -> None:
    made = store.proposals.add(DRAFT)
    second = store.proposals.add(replace(DRAFT, author="bob", team="orders"))
    with open_store(url, seal) as other:
        assert other.proposals.get(made.id) == made
        assert {one.id for one in other.proposals.all()} == {made.id, second.id}
        assert made.draft == DRAFT and made.expires_ms - made.time_ms == LASTS_S * 1000
        other.proposals.remove(made.id)
        other.proposals.remove(made.id)
    with pytest.raises(NotFound):
        store.proposals.get(made.id)
    assert store.proposals.all() == (second,)


def test_it_expires_and_makes_room(url: str, seal: Signatures) -> None:
    now = [1_800_000_000.0]
    with open_store(url, seal, clock=lambda: now[0]) as store:
        made = [store.proposals.add(DRAFT) for _ in range(MOST_OF_ONE)]
        now[0] += LASTS_S - 1
        assert len(store.proposals.all()) == MOST_OF_ONE
        with pytest.raises(TooMany):
            store.proposals.add(DRAFT)
        now[0] += 1
        assert store.proposals.all() == ()
        with pytest.raises(NotFound):
            store.proposals.get(made[0].id)
        store.proposals.add(DRAFT)
        with store.database.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM proposals")).scalar() == 1


def test_they_are_few_in_all_and_small(store: Store) -> None:
    with pytest.raises(TooMany, match="KiB"):
        store.proposals.add(replace(DRAFT, put={("Api", "a"): b'"' + b"x" * LARGEST + b'"'}))
    for number in range(MOST):
        store.proposals.add(replace(DRAFT, author=f"one {number // MOST_OF_ONE}"))
    with pytest.raises(TooMany, match=str(MOST)):
        store.proposals.add(DRAFT)
    with pytest.raises(Invalid):
        store.proposals.add(replace(DRAFT, message="a\0"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE proposals SET author = 'eve'",
        "UPDATE proposals SET team = 'orders'",
        "UPDATE proposals SET body = replace(body, 'Api/a', 'Api/b')",
        "UPDATE proposals SET body = '[]'",
        "UPDATE proposals SET expires_ms = expires_ms + 1",
        "UPDATE proposals SET id = 'prp_000000000000'",
    ],
)
def test_who_can_write_the_database_cant_change_one(store: Store, statement: str) -> None:
    made = store.proposals.add(DRAFT)
    with store.database.writing("proposals") as connection:
        connection.execute(text(statement))
    with pytest.raises(Tampered):
        store.proposals.get("prp_000000000000" if "SET id" in statement else made.id)
    with pytest.raises(Tampered):
        store.proposals.all()


def test_a_store_that_is_read_takes_none(store: Store, url: str) -> None:
    made = store.proposals.add(DRAFT)
    with open_store(url) as other:
        assert other.proposals.get(made.id) == made
        with pytest.raises(Unavailable):
            other.proposals.add(DRAFT)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_store_of_before_gets_the_table_and_keeps_what_it_has(engine: str, new_url: Callable[[str], str], seal: Signatures) -> None:
    url = new_url(engine)
    with open_store(url, seal) as store:
        store.notes.put("a", 1)
    config = Config()
    config.set_main_option("script_location", opening.__file__.replace("opening.py", "migrations"))
    made = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with made.begin() as connection:
        for table in ("proposals", "authorizations"):
            connection.execute(text(f"DROP TABLE {table}"))
        config.attributes["connection"] = connection
        command.stamp(config, "0001")
    made.dispose()
    with open_store(url, seal) as store:
        note = store.notes.get("a")
        assert note is not None and note.value == 1
        assert store.proposals.add(DRAFT).draft == DRAFT
