"""Alembic migrations of the catalog's schema; run from the installed package."""

if not __name__.startswith("catalog."):
    raise ImportError("Import this package as catalog.migrations.")
