"""Alembic migrations of the catalog's schema; run from the installed package."""
