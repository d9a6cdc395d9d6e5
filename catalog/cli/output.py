"""Where rows go: standard output, or the file that `--output` names, in a format."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from catalog.cli.messages import note
from catalog.errors import Option, SqlError, UsageError
from catalog.formats import ENDINGS, FORMATS, LIMITED, n_fitting
from catalog.rows import Rows
from catalog.store.whole_files import explaining_writes, written_whole

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Output:
    """What the user chose: a format, a file instead of standard output, how many rows of a table
    are shown (0 for all), and which columns (none named: all, on a terminal those that fit)."""

    format_name: str | None
    file: Path | None
    max_rows: int
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ending = self._ending
        if self.format_name is None and ending and ending not in ENDINGS:
            raise UsageError(
                f"{self.file} has an ending that stands for no format: there is "
                f".{', .'.join(sorted(ENDINGS))}.",
                "Name another file, or choose with ",
                Option("format"),
                ".",
            )

    @property
    def format(self) -> str:
        """The format asked for, else that of the file's ending; without one, `table`."""
        return self.format_name or ENDINGS.get(self._ending, "table")

    @property
    def _ending(self) -> str:
        return self.file.suffix.lstrip(".").lower() if self.file else ""

    @property
    def limit(self) -> int | None:
        """How many rows are needed to show as many, and to know whether there are more."""
        return self.max_rows + 1 if self.max_rows and self.format in LIMITED else None

    @property
    def is_for_people(self) -> bool:
        """Whether a table goes to standard output."""
        return self.file is None and self.format == "table"

    def write(self, rows: Rows) -> None:
        """Write rows, and say what a table leaves out and what the rows' notes say."""
        for sentence in rows.notes:
            note(sentence)
        shown = self._chosen(rows.arrow())
        if self.format in LIMITED and self.max_rows and len(rows) > self.max_rows:
            shown = shown.slice(0, self.max_rows)
        shown, left_out = self._fitting(shown)
        try:
            with self._stream() as stream:
                FORMATS[self.format]([shown], stream)
        except OverflowError as error:
            raise SqlError(
                f"A value has no form in {self.format}: {error}. Cast it to text in SQL."
            ) from error
        if left_out:
            note(
                f"Not shown, for the terminal is too narrow: {', '.join(left_out)}. --columns A,B "
                "chooses columns; --format csv, json or parquet has all."
            )
        if shown.num_rows < len(rows):
            note(
                f"The first {shown.num_rows:,} rows are shown, there are more. --max-rows 0 shows "
                "all; so does --format csv, json or parquet."
            )
        if self.file:
            note(f"{shown.num_rows:,} rows written to {self.file}")
        elif self.format in LIMITED and not len(rows):
            note("There are no such rows.")

    def _chosen(self, table: "pa.Table") -> "pa.Table":
        unknown = [name for name in self.columns if name not in table.column_names]
        if unknown:
            raise UsageError(
                f"There is no column {unknown[0]!r} here. There is: "
                f"{', '.join(table.column_names)}."
            )
        return table.select(self.columns) if self.columns else table

    def _fitting(self, table: "pa.Table") -> "tuple[pa.Table, list[str]]":
        """The first columns, as many as a terminal has room for, and the names of the others."""
        is_chosen = self.columns or not self.is_for_people or not sys.stdout.isatty()
        if is_chosen or not table.num_columns:
            return table, []
        n = n_fitting(table)
        return table.select(range(n)), table.column_names[n:]

    @contextmanager
    def _stream(self) -> Iterator[IO[bytes]]:
        if self.file is None:
            yield sys.stdout.buffer
            return
        with output_stream(self.file) as stream:
            yield stream


@contextmanager
def output_stream(output: Path) -> Iterator[IO[bytes]]:
    """A stream that becomes the file when the block ends well, so that a file is never half one.

    What is there and no plain file (a device, a pipe) is written into, and never replaced.

    Raises:
        UsageError: it would overwrite a catalog.
        EnvironmentFault: the system refuses.
    """
    with explaining_writes(output, "Make room, or name another --output."):
        if output.exists() and not output.is_file():
            with output.open("wb") as stream:
                yield stream
            return
        target = output.resolve()
        _refuse_database(target)
        with written_whole(target) as unfinished, unfinished.open("wb") as stream:
            yield stream


def _refuse_database(target: Path) -> None:
    if target.exists():
        with target.open("rb") as file:
            if file.read(12)[8:] == b"DUCK":
                raise UsageError(
                    f"{target} is a DuckDB database and is not overwritten.",
                    "Name another ",
                    Option("output"),
                    ".",
                )
