"""Creating a catalog and bringing an older one up to the present schema.

SQLAlchemy and Alembic take 350-450 ms to import, so they are imported when a migration really runs.
"""

import os
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import duckdb

from catalog.errors import SchemaOutdated
from catalog.store.contents import FILE, check_columns
from catalog.store.handle import Handle
from catalog.store.new_files import appearing
from catalog.store.opening import check_path, explaining
from catalog.store.sealing import DIGESTS, Unit, disagreeing, seal, seals
from catalog.store.version import SCHEMA_VERSION, check_version, not_a_catalog, schema_version
from catalog.store.walls import open_writer
from catalog.views import comment_on_views, view_scripts

_MIGRATIONS = files("catalog.migrations")
_NAMES_IN_FILE = """
select table_name from duckdb_tables()
union all select view_name from duckdb_views() where not internal
union all select sequence_name from duckdb_sequences()
union all select function_name from duckdb_functions() where not internal
"""


def ensure_catalog(catalog: Handle, *, upgrade: bool = False) -> bool:
    """Create the catalog if there is none; with `upgrade`, bring an older one up to date.

    Rows that have no digest to be verified by get one, as they are.

    Returns:
        Whether the file was created or upgraded.

    Raises:
        SchemaOutdated: the catalog is older and `upgrade` was not given.
        SchemaTooNew: the catalog was written by a newer version.
        DatabaseError: it is a DuckDB file of something else.
    """
    path = catalog.file
    check_path(path, read_only=False)
    if not path.exists():
        # A file that a full disk left half made would be taken for a damaged catalog.
        with (
            explaining(path),
            appearing(Path(os.path.realpath(path))) as unfinished,
            closing(open_writer(unfinished, 0, defining=True)) as connection,
        ):
            _migrate(connection, path)
            # Closing does so too, but says nothing where the disk is full.
            connection.execute(f"checkpoint {FILE}")
        return True
    connection = open_writer(path, catalog.wait_s, defining=True)
    with explaining(path):
        try:
            version = _version_of_own(connection, path)
            if version == SCHEMA_VERSION:
                return upgrade and _sealed(connection)
            try:
                check_version(version or "", path)
            except SchemaOutdated:
                if version is not None and not upgrade:
                    raise
            _migrate(connection, path)
            return True
        finally:
            connection.close()


def _version_of_own(connection: duckdb.DuckDBPyConnection, path: Path) -> str | None:
    """Schema version, or None for an empty file; anything else in it is not ours to touch."""
    names = connection.execute(_NAMES_IN_FILE).fetchall()
    if not names:
        return None
    if ("alembic_version",) not in names:
        raise not_a_catalog(path)
    return schema_version(connection, path)


def _sealed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Give digests to rows that have none; whether there were any."""
    connection.begin()
    sealed = seal(connection, disagreeing(connection, seals(connection)), anew=True)
    connection.commit()
    return sealed


def _damaged(connection: duckdb.DuckDBPyConnection) -> set[Unit]:
    """What does not agree with its digest before the migrations, which may change it."""
    if (DIGESTS,) not in connection.execute(_NAMES_IN_FILE).fetchall():
        return set()
    return disagreeing(connection, seals(connection))


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from duckdb_sqlalchemy import ConnectionWrapper
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    # The engine borrows the open connection: a second one would meet the first one's lock.
    engine = create_engine(
        "duckdb://", creator=lambda: ConnectionWrapper(connection), poolclass=StaticPool
    )
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["views"] = view_scripts()
    try:
        with engine.begin() as config.attributes["connection"]:
            damaged = _damaged(connection)
            command.upgrade(config, "head")
            check_columns(connection, path, FILE)
            seal(connection, damaged, anew=True)
            comment_on_views(lambda sql: connection.execute(sql).fetchall())
    except DBAPIError as error:
        if isinstance(error.orig, duckdb.Error):
            raise error.orig from error
        raise
