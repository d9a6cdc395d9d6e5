"""The folder beside the catalog in which an ingest keeps what it computed until it is loaded.

`<catalog>.staging/<alias>/<stage>-<key>/` holds Parquet files, each written under another name and
then renamed, so that a file which is there is whole. The key names everything the rows depend on.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from catalog.errors import DatabaseLocked, EnvironmentFault, HintPart, Option
from catalog.store.handle import Handle
from catalog.store.opening import check_path
from catalog.store.whole_files import UNFINISHED, explaining_writes, written_whole

_WAY_OUT: Final[tuple[HintPart, ...]] = (
    "Make room or name another ",
    Option("db"),
    ", then run the same command again; what was staged before is kept.",
)

_PLAIN: Final = re.compile(r"[\w-][\w.-]{0,99}", re.ASCII)
"""Names that are folders' names as they are."""


class Staging:
    """Staged rows of one stage of one entry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, catalog: Path, alias: str, stage: str, key: str) -> "Staging":
        """The stage's folder, made if need be; those of the stage under other keys are removed."""
        staging = cls.at(catalog, alias, stage, key)
        parent = staging.folder.parent
        with explaining_writes(parent, *_WAY_OUT):
            for other in parent.glob(f"{stage}-*"):
                if other != staging.folder:
                    shutil.rmtree(other)
            staging.folder.mkdir(parents=True, exist_ok=True)
            for unfinished in staging.folder.glob(f"*{UNFINISHED}"):
                unfinished.unlink()
        return staging

    @classmethod
    def at(cls, catalog: Path, alias: str, stage: str, key: str) -> "Staging":
        """The stage's folder, as it is, which may be not at all."""
        return cls(staging_root(catalog) / folder_name(alias) / f"{stage}-{key}")

    def has(self, layer: int, table: str, part: str = "") -> bool:
        """Whether these rows of `table` for the layer are staged."""
        return self._file(layer, table, part).exists()

    def write(self, layer: int, table: str, rows: pa.Table, part: str = "") -> None:
        """Stage rows of one layer; a layer may come in parts, which are loaded by name.

        Raises:
            EnvironmentFault: the disk is full, or the folder cannot be written.
        """
        target = self._file(layer, table, part)
        with explaining_writes(target, *_WAY_OUT), written_whole(target) as unfinished:
            pq.write_table(rows, unfinished, compression="zstd", write_page_checksum=True)

    def read(self, layer: int, table: str) -> pa.Table:
        """The staged rows of one layer, all its parts; no columns if there are none.

        Raises:
            EnvironmentFault: a file is damaged (it is removed), or somebody removed the folder.
        """
        if not self.folder.is_dir():
            raise EnvironmentFault(
                f"{self.folder} was removed while its rows were needed. Run the same command again."
            )
        files = sorted(self.folder.glob(f"{table}-{layer:05d}*.parquet"))
        return pa.concat_tables([_whole(file) for file in files]) if files else pa.table({})

    def discard(self) -> None:
        """Remove the folder, and those above it that have become empty."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.folder.parent, self.folder.parent.parent):
            try:
                folder.rmdir()
            except OSError:
                return

    def _file(self, layer: int, table: str, part: str) -> Path:
        return self.folder / f"{table}-{layer:05d}{part and '-' + part}.parquet"


def _whole(file: Path) -> pa.Table:
    """Rows of a staged file, whose pages are checked."""
    try:
        return pq.read_table(file, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        file.unlink(missing_ok=True)
        raise EnvironmentFault(
            f"The staged rows in {file} were damaged and are removed. Run the same command again: "
            "it computes them anew."
        ) from error


def staging_root(catalog: Path) -> Path:
    """The staging folder of a catalog file, beside the file itself where `catalog` is a link."""
    return _beside(catalog, ".staging")


def left_staged(catalog: Path) -> list[str]:
    """What the staging folder holds: stages of entries, as `alias: stage`, and texts of corpora."""
    return [
        f"{folder.parent.name}: {folder.name.rpartition('-')[0] or folder.name}"
        for folder in sorted(staging_root(catalog).glob("*/*"))
        if any(folder.iterdir())
    ]


def _beside(catalog: Path, ending: str) -> Path:
    real = Path(os.path.realpath(catalog))
    return real.with_name(real.name + ending)


def folder_name(name: str) -> str:
    """A folder for an alias or a corpus, whatever stands in its name."""
    if _PLAIN.fullmatch(name):
        return name
    return "_" + hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:32]


@contextmanager
def sole_ingest(catalog: Handle) -> Iterator[None]:
    """Hold off any other ingest into the same catalog, or drop or compact of it, in the block.

    Where no catalog came of it, no lock is left.

    Raises:
        DatabaseLocked: another one was still at work after the handle's `wait_s` seconds.
    """
    file = catalog.file
    check_path(file, read_only=False)
    path = _beside(file, ".lock")
    lock = FileLock(path)
    with explaining_writes(path, *_WAY_OUT):
        try:
            lock.acquire(timeout=catalog.wait_s)
        except Timeout as error:
            raise DatabaseLocked(
                f"Another ingest into {catalog}, or a drop or compact of it, is running"
                f"{_holder(path)}, and still was after {catalog.wait_s:g} s.",
                "Let it finish, or wait longer with ",
                Option("wait"),
                ".",
            ) from error
        # A full disk has no room for the number, which is for messages alone.
        with suppress(OSError):
            path.write_text(str(os.getpid()))
    try:
        yield
    finally:
        if not os.path.lexists(file):
            # Who waits for it sees that it has gone, and makes a new one.
            with suppress(OSError):
                path.unlink()
        lock.release()


def _holder(lock: Path) -> str:
    """Which process holds the lock, by the number in its file, for messages."""
    number = lock.read_text(errors="replace") if lock.exists() else ""
    return f" (process {number})" if number.isdecimal() else ""
