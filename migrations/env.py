"""Runs the migrations, then makes the views anew, in one transaction on the store's connection."""

from alembic import context
from alembic.ddl.impl import DefaultImpl


class DuckDBImpl(DefaultImpl):
    """DuckDB runs data definitions inside transactions."""

    __dialect__ = "duckdb"
    transactional_ddl = True


connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
    for script in context.config.attributes["views"]:
        connection.exec_driver_sql(script)
