"""`describe` and `\\d` in a terminal: the public views alone, each column with its meaning."""

import re
from typing import Final

from catalog.api import Catalog
from catalog.rows import Rows

_DESCRIBE: Final = re.compile(
    r"\s*(?:\\d\+?|desc(?:ribe)?|show\s+(?:all\s+)?tables)(?:\s+\"?(?P<view>\w+)\"?)?\s*;?\s*",
    re.IGNORECASE,
)


def described(catalog: Catalog, statement: str) -> Rows | None:
    """What `describe`, `describe VIEW`, `\\d` and `show tables` list; None for other statements."""
    asked = _DESCRIBE.fullmatch(statement)
    return None if asked is None else catalog.describe(asked["view"])
