"""Where rows go and how they look there: standard output, or a file, in a format; its options."""

import errno
import functools
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

import click

from catalog.cli.messages import note
from catalog.cli.options import NATURAL, Command, force_option
from catalog.cli.overwriting import require_overwritable
from catalog.errors import HintPart, Option, SqlError, UsageError
from catalog.formats import ENDINGS, FORMATS, LIMITED, n_fitting
from catalog.rows import Rows
from catalog.store.plain_files import kind_of
from catalog.store.whole_files import explaining_writes, written_whole
from catalog.visible import VisibleText

_WAY_OUT: Final[tuple[HintPart, ...]] = ("Make room, or name another ", Option("output"), ".")

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Output:
    """What the user chose: a format, a file instead of standard output, how many rows of a table
    are shown (0 for all), and which columns (none named: all, on a terminal those that fit).
    `force`: a file of another kind is overwritten too."""

    format_name: str | None
    file: Path | None
    max_rows: int
    columns: tuple[str, ...] = ()
    force: bool = False

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

    def write(self, *parts: Rows) -> None:
        """Write rows, and say what a table leaves out and what the rows' notes say.

        Of several parts, which have the same columns, each is cut by itself.
        """
        import pyarrow as pa

        for sentence in (each for rows in parts for each in rows.notes):
            note(sentence)
        most = self.max_rows if self.format in LIMITED else 0
        whole = [rows.arrow() for rows in parts]
        n_rows = sum(table.num_rows for table in whole)
        cut = [table.slice(0, most or table.num_rows) for table in whole]
        shown, left_out = self._fitting(self._chosen(pa.concat_tables(cut)))
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
        if shown.num_rows < n_rows:
            first = f"first {shown.num_rows:,} rows"
            if len(parts) > 1:
                first = f"first {most:,} rows of each neuron and text"
            note(
                f"The {first} are shown, there are more. --max-rows 0 shows all; so does --format "
                "csv, json or parquet."
            )
        if self.file:
            note(f"{shown.num_rows:,} rows written to {self.file}")
        elif self.format in LIMITED and not n_rows:
            note("There are no such rows.")

    def require_columns(self, there: Sequence[str]) -> None:
        """Refuse a chosen column that is not among those of the rows to come.

        What takes long calls it first.

        Raises:
            UsageError: it names the columns that there are, and what is near.
        """
        unknown = next((name for name in self.columns if name not in there), None)
        if unknown is None:
            return
        from catalog.queries.near_names import near_columns

        near = near_columns(unknown.lower(), there)
        raise UsageError(
            f"There is no column {unknown!r} here. "
            + (f"Did you mean {' or '.join(near)}? " if near else "")
            + f"There is: {', '.join(there)}."
        )

    def _chosen(self, table: "pa.Table") -> "pa.Table":
        self.require_columns(table.column_names)
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
        with output_stream(self.file, self.format, force=self.force) as stream:
            yield stream

    def check(self) -> None:
        """Refuse a file that is not to be overwritten before anything is asked for it."""
        if self.file:
            check_output(self.file, self.format, force=self.force)


def _names(_ctx: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def output_options(command: Command) -> Command:
    """`--format`, `--output`, `--force`, `--max-rows` and `--columns`, as one Output `output`."""

    @functools.wraps(command)
    def with_output(
        format_name: str | None,
        output: Path | None,
        max_rows: int,
        columns: tuple[str, ...],
        force: bool,
        **v: Any,
    ) -> Any:
        chosen = Output(format_name, output, max_rows, columns, force)
        chosen.check()
        return command(output=chosen, **v)

    decorated: Any = click.option(
        "--columns",
        callback=_names,
        metavar="A,B,...",
        help="Only these columns, in this order; by default all, on a terminal those that fit.",
    )(with_output)
    decorated = click.option(
        "--max-rows",
        type=NATURAL,
        default=100,
        show_default=True,
        help="Rows of a table that are shown; 0 for all.",
    )(decorated)
    decorated = force_option(decorated)
    decorated = click.option(
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write to this file instead of standard output.",
    )(decorated)
    return cast(
        Command,
        click.option(
            "--format",
            "format_name",
            type=click.Choice(sorted(FORMATS)),
            default=None,
            help="How to write the rows; by the ending of --output, else a table.",
        )(decorated),
    )


def check_output(output: Path, format_name: str, *, force: bool) -> None:
    """Refuse an output that `output_stream` would refuse.

    Raises:
        UsageError: it is no file, pipe or terminal, or a file that is not to be overwritten.
        EnvironmentFault: the system refuses.
    """
    with explaining_writes(output, *_WAY_OUT):
        if not output.exists() or output.is_file():
            require_overwritable(output.resolve(), format_name, force=force)
        elif not (output.is_fifo() or output.is_char_device()):
            raise UsageError(
                f"{output} is {kind_of(output)}, and no file.",
                "Name another ",
                Option("output"),
                ".",
            )


@contextmanager
def output_stream(output: Path, format_name: str, *, force: bool) -> Iterator[IO[bytes]]:
    """A stream that becomes the file when the block ends well, so that a file is never half one.

    A pipe, a terminal or another character device is written into, and never replaced.

    Raises:
        UsageError: as `check_output`, or nobody reads from the pipe.
        EnvironmentFault: the system refuses.
    """
    check_output(output, format_name, force=force)
    with explaining_writes(output, *_WAY_OUT):
        if output.exists() and not output.is_file():
            with _opened(output) as stream:
                yield stream
            return
        with written_whole(output.resolve()) as unfinished, unfinished.open("wb") as stream:
            yield stream


@contextmanager
def _opened(device: Path) -> Iterator[IO[bytes]]:
    """A stream into a pipe or device; to wait for a reader that may never come is refused."""
    try:
        descriptor = os.open(device, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno != errno.ENXIO or not device.is_fifo():
            raise
        raise UsageError(f"Nobody reads from the pipe {device}. Start its reader first.") from error
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as stream:
        if stream.isatty():
            with io.TextIOWrapper(stream, "utf-8", "backslashreplace") as text:
                yield cast(IO[bytes], VisibleText(text).buffer)
        else:
            yield stream
