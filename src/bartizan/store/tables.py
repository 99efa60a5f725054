"""The tables as this version knows them. What makes them is in `migrations/`; a test compares the two."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Row, Table, Text

SCHEMA = "0003"
"""The newest migration."""

METADATA = MetaData()

OBJECTS = Table(
    "objects",
    METADATA,
    Column("hash", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""Bytes by their SHA-256: documents, files, and the lists of them that make a revision. Each is kept once."""

COMMITS = Table(
    "commits",
    METADATA,
    Column("team", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("revision", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("door", Text, nullable=False),
    Column("loosens", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("signer", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Index("commits_by_revision", "team", "revision"),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("signer", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

NOTES = Table(
    "notes",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("version", Integer, nullable=False),
)

PROPOSALS = Table(
    "proposals",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("author", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("signer", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

AUTHORIZATIONS = Table(
    "authorizations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("signer", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Index("authorizations_by_owner", "owner", "kind"),
    Index("authorizations_by_end", "expires_ms"),
)
"""What an authorization server remembers for a while: sessions, codes, refresh tokens, consents."""


def is_sound(row: Row[Any], table: Table) -> bool:
    """Whether each value is of its column's type. SQLite keeps whatever it is given: text where a number was."""
    return all(type(value) is column.type.python_type for value, column in zip(row, table.columns, strict=True))
