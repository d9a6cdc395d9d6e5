"""The version of the schema that this program reads and writes, and of what it finds."""

import re
from pathlib import Path
from typing import Final

import duckdb

from catalog.errors import (
    Command,
    DatabaseError,
    HintPart,
    Option,
    SchemaOutdated,
    SchemaTooNew,
)
from catalog.store.contents import FILE
from catalog.store.opening import explained

SCHEMA_VERSION: Final = "0013"
"""Number of the newest migration."""

_VERSION: Final = re.compile(r"[0-9]{4}")


def schema_version(connection: duckdb.DuckDBPyConnection, path: Path, database: str = FILE) -> str:
    """Number of the newest migration that was applied to an attached catalog.

    Raises:
        DatabaseError: the file is no catalog.
    """
    try:
        rows = connection.execute(
            f"select version_num from {database}.main.alembic_version order by all limit 2"
        ).fetchall()
    except duckdb.CatalogException as error:
        raise not_a_catalog(path) from error
    except duckdb.Error as error:
        raise explained(error, path) from error
    versions = [str(version) for (version,) in rows]
    if len(versions) != 1 or not _VERSION.fullmatch(versions[0]):
        raise not_a_catalog(path)
    return versions[0]


def check_version(version: str, path: Path) -> None:
    """Refuse a file whose schema is not this program's; raises as `require_schema`."""
    upgrade = Command("upgrade", options=(Option("db", str(path)),))
    require_schema(version, path, "Upgrade it with: ", upgrade)


def require_schema(version: str, named: object, *way_out: HintPart) -> None:
    """Refuse a schema that is not this program's; `way_out` is for an older one.

    Raises:
        SchemaOutdated, SchemaTooNew: it is of another version.
    """
    if version < SCHEMA_VERSION:
        raise SchemaOutdated(
            f"{named} has schema {version}, this program reads {SCHEMA_VERSION}.", *way_out
        )
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"{named} has schema {version}, newer than this program's {SCHEMA_VERSION}. Install a "
            "newer neuron-catalog: pip install -U neuron-catalog"
        )


def not_a_catalog(path: Path) -> DatabaseError:
    """The error for a DuckDB file that something else made."""
    return DatabaseError(
        f"{path} is a DuckDB file, but not a neuron catalog.",
        "Name another file with ",
        Option("db"),
        ".",
    )
