"""What a declaration of the data says of a table and its columns."""

from dataclasses import dataclass
from typing import Final, Literal

ROWS_PER_TRANSACTION: Final = 2_500_000
"""Loading or copying this many takes DuckDB a second or two, in which nobody else can read."""

Owner = Literal["program", "model", "vocabulary", "corpus", "entry's corpus", "run", "digests"]
"""What rows of a table go with. Those of the program are alike in every catalog, digests go with
the rows that they are of."""

KEYS: Final[dict[Owner, str]] = {
    "model": "model_id",
    "vocabulary": "vocabulary_id",
    "corpus": "corpus_id",
    "run": "run_id",
}
"""The numbers of owners, which are a catalog's alone: a merge gives new ones."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `kind` is its DuckDB type, with USING COMPRESSION where DuckDB's choice is not the best. `doc`
    is also the comment of the column of that name in a view over the table.
    """

    name: str
    kind: str
    doc: str
    nullable: bool = False

    @property
    def duckdb_type(self) -> str:
        """The type as DuckDB itself names it."""
        return self.kind.split(" USING ")[0].replace("TEXT", "VARCHAR")


@dataclass(frozen=True)
class Table:
    """A table beneath the public views.

    `stages`: those that fill it. `parted_by`: the column by whose values its rows are copied and
    deleted in parts of at most `at_once` rows, where it may hold more.
    """

    name: str
    doc: str
    owner: Owner
    columns: tuple[Column, ...]
    stages: tuple[str, ...] = ()
    parted_by: str | None = None
    at_once: int = ROWS_PER_TRANSACTION

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its columns."""
        return tuple(each.name for each in self.columns)

    @property
    def unit_key(self) -> str | None:
        """The column whose values part its rows into units, of which each has a digest.

        Results go with their run, what a vocabulary or a corpus consists of with that, all else
        with the entry. None: the table is one unit.
        """
        whole = self.owner not in KEYS or (self.owner == "run" and not self.stages)
        key = KEYS["model"] if whole else KEYS[self.owner]
        return key if key in self.names else None

    @property
    def settled(self) -> bool:
        """Whether rows of a unit stay as they are once something that readers see names it."""
        return self.owner in ("vocabulary", "corpus") or (self.owner == "run" and bool(self.stages))

    @property
    def ids(self) -> tuple[str, ...]:
        """Its columns that hold numbers of owners."""
        return tuple(each.name for each in self.columns if each.name in KEYS.values())
