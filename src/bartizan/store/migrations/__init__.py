"""How the tables came to be, step by step: one file in `versions/` for each change, run by Alembic and never edited afterwards."""
