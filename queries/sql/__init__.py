"""SQL of the library's own questions, one file each."""

from importlib.resources import files


def sql_text(name: str) -> str:
    """The text of `<name>.sql`."""
    return (files(__name__) / f"{name}.sql").read_text(encoding="utf-8")
