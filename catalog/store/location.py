"""Where a catalog is: a path, or a URL of a lake of Parquet files."""

import re
from pathlib import Path
from typing import Final

Location = Path | str
"""A `Path` of a file or folder; a `str` is a URL, in which a Path would make one slash of two."""

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::[A-Za-z][A-Za-z0-9+.-]*)*://")


def as_location(text: str | Path) -> Location:
    """What the user wrote: as it is if it is a URL (`s3://...`), else as a path."""
    return text if isinstance(text, str) and _URL.match(text) else Path(text)
