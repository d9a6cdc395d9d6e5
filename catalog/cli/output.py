"""The file that `--output` names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from catalog.errors import UsageError
from catalog.store.whole_files import explaining_writes, written_whole


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
                    f"{target} is a DuckDB database and is not overwritten. Name another --output."
                )
