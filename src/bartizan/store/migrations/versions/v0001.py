"""The first tables: objects, commits, the audit log, notes; the first three only grow."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ONLY_GROW = ("objects", "commits", "audit")


def upgrade() -> None:
    """Makes them."""
    op.create_table("objects", sa.Column("hash", sa.Text, primary_key=True), sa.Column("body", sa.LargeBinary, nullable=False))
    op.create_table(
        "commits",
        sa.Column("team", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        *(_text(name) for name in ("revision", "digest", "author", "message")),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        *(_text(name) for name in ("door", "loosens", "before", "signer")),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )
    op.create_index("commits_by_revision", "commits", ["team", "revision"])
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        *(_text(name) for name in ("actor", "action", "target", "origin", "result", "details", "before", "hash", "signer")),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )
    op.create_table("notes", sa.Column("key", sa.Text, primary_key=True), _text("value"), sa.Column("version", sa.Integer, nullable=False))
    if op.get_bind().dialect.name == "sqlite":
        _guard_sqlite()
    else:
        _guard_postgresql()


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _guard_sqlite() -> None:
    for table in ONLY_GROW:
        for verb in ("UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table} only grows'); END")
    # INSERT OR REPLACE deletes without asking the trigger above.
    for table, key in (("objects", "hash"), ("commits", "team, number"), ("audit", "number")):
        same = " AND ".join(f"{one} = NEW.{one}" for one in key.split(", "))
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "  # noqa: S608
            f"BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
        )


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION bartizan_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% only grows', TG_TABLE_NAME; END $$"
    )
    for table in ONLY_GROW:
        op.execute(
            f"CREATE TRIGGER {table}_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION bartizan_only_grows()"
        )
