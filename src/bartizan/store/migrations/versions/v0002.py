"""Proposals: changes that somebody would like, which a person looks at. Unlike revisions they go away."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes their table."""
    op.create_table(
        "proposals",
        sa.Column("id", sa.Text, primary_key=True),
        *(_text(name) for name in ("author", "team", "origin", "message", "base")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("time_ms", "expires_ms")),
        *(_text(name) for name in ("body", "signer")),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)
