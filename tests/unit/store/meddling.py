"""What who can write the database can do to it: the guards of its tables are taken away, then anything goes."""

from sqlalchemy import text

from bartizan.store import Store
from bartizan.store.migrations.versions.v0001 import ONLY_GROW


def meddle(store: Store, *statements: str) -> None:
    """Runs these, unguarded."""
    with store.database.writing("schema") as connection:
        for table in ONLY_GROW:
            if connection.dialect.name == "sqlite":
                for guard in ("no_UPDATE", "no_DELETE", "no_replace"):
                    connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_{guard}"))
            else:
                connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_only_grows ON {table}"))
        for one in statements:
            connection.execute(text(one))
