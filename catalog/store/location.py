"""Where a catalog is: a path, or a URL of a lake of Parquet files."""

import re
from pathlib import Path
from typing import Final

from catalog.errors import DatabaseError

DEFAULT_WAIT_S: Final = 60.0
"""How long to wait for a catalog that another process has open."""

Location = Path | str
"""A `Path` of a file or folder; a `str` is a URL, in which a Path would make one slash of two."""

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::[A-Za-z][A-Za-z0-9+.-]*)*://")


def as_location(text: str | Path) -> Location:
    """What the user wrote: as it is if it is a URL (`s3://...`), else as a path."""
    return text if isinstance(text, str) and _URL.match(text) else Path(text)


def not_a_file(location: Location) -> DatabaseError:
    """The error for a folder or URL where only a file will do."""
    return DatabaseError(
        f"{location} is not a catalog file. A lake of Parquet files is only read, and holds the "
        "public views alone: name the .duckdb file."
    )


def require_file(location: Location) -> Path:
    """The path of a catalog file, for what reads tables beneath the public views.

    Raises:
        DatabaseError: it is a folder or a URL.
    """
    if isinstance(location, str) or location.is_dir():
        raise not_a_file(location)
    return location
