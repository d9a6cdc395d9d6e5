"""SQL of the library's own questions, one file each."""

import re
from importlib.resources import files
from typing import Final

_INCLUDED: Final = re.compile(r"^ *-- include (\w+)$", re.MULTILINE)


def sql_text(name: str) -> str:
    """The text of `<name>.sql`; a line `-- include other` stands for the text of `other.sql`."""
    text = (files(__name__) / f"{name}.sql").read_text(encoding="utf-8")
    return _INCLUDED.sub(lambda found: sql_text(found[1]), text)
