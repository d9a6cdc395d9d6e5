"""SQL of the catalog's own commands, one file each."""

from importlib.resources import files


def own_sql(name: str) -> str:
    """The text of `<name>.sql`."""
    return (files(__name__) / f"{name}.sql").read_text(encoding="utf-8")
