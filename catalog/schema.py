"""The declared tables as SQLAlchemy's metadata, which Alembic compares with what migrations made.

SQLAlchemy is imported here, so only what checks or writes migrations imports this.
"""

from sqlalchemy import Column, MetaData, Table
from sqlalchemy.types import UserDefinedType

from catalog import tables


class DuckDBType(UserDefinedType[object]):
    """A type by DuckDB's name, with USING COMPRESSION where that is declared."""

    cache_ok = True

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def get_col_spec(self, **_: object) -> str:
        return self.kind


def metadata() -> MetaData:
    """Every declared table, with its docs as comments and what else is declared in `info`."""
    made = MetaData()
    for table in tables.TABLES:
        columns = [
            Column(each.name, DuckDBType(each.kind), nullable=each.nullable, comment=each.doc)
            for each in table.columns
        ]
        info = {"owner": table.owner, "stages": table.stages}
        Table(table.name, made, *columns, comment=table.doc, info=info)
    return made
