"""A lake's files as DuckDB may see them: those of the manifest, for reading."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import IO, Any, Final

from fsspec import AbstractFileSystem

from catalog.errors import (
    CatalogError,
    DatabaseCorrupt,
    EnvironmentFault,
    LimitReached,
    Option,
)
from catalog.store.lake.manifest import Manifest, file_name
from catalog.store.lake.storage import Storage, refusal_behind

PROTOCOL: Final = "lake"
_ROOT: Final = f"{PROTOCOL}://"
_UNCHANGING: Final = datetime(2000, 1, 1, tzinfo=UTC)


class LakeFiles(AbstractFileSystem):  # type: ignore[misc]
    """A file system that holds the manifest's files under `lake://` and nothing else.

    It is the only one of a reader's connection, so nothing can be written, and no other file read,
    whatever SQL asks. `fault` is what was wrong with a file of the lake. No file is asked for
    after `seconds`, if they are given.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, storage: Storage, manifest: Manifest, seconds: float | None = None) -> None:
        super().__init__()
        self.fault: CatalogError | None = None
        self._storage = storage
        self._seconds = seconds
        self._began = time.monotonic()
        self._sizes = {
            file_name(view, alias): file.size
            for alias, files in manifest.models.items()
            for view, file in files.items()
        }

    def open(self, path: str, mode: str = "rb", *_: Any, **__: Any) -> "PlacedByThread":
        """A stream over a file of the manifest, if it is as long as that says."""
        if mode != "rb":
            raise PermissionError(f"{path}: a lake is only read")
        name = path.removeprefix(_ROOT)
        size = self._size(path)
        try:
            with self._reaching():
                stream = self._storage.open(name)
                found = stream.seek(0, 2)
                stream.seek(0)
        except OSError as error:
            raise self._damage(name, error.strerror or type(error).__name__) from error
        if found != size:
            stream.close()
            raise self._damage(name, f"{found:,} of {size:,} bytes")
        return PlacedByThread(stream, self._reaching)

    def glob(self, path: str, *_: Any, **__: Any) -> list[str]:
        """The name itself, if there is such a file: names are given, never searched for."""
        name = path.removeprefix(_ROOT)
        return [name] if name in self._sizes else []

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size and type of a file of the manifest."""
        return {"name": path, "size": self._size(path), "type": "file"}

    def modified(self, path: str) -> datetime:
        """When a file changed: never, while it is open."""
        return _UNCHANGING

    def _size(self, path: str) -> int:
        name = path.removeprefix(_ROOT)
        if name not in self._sizes:
            raise FileNotFoundError(path)
        return self._sizes[name]

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Ask a file of the lake for something, in time."""
        if self._seconds is not None and time.monotonic() - self._began > self._seconds:
            self.fault = LimitReached(
                f"The lake took more than {self._seconds:g} seconds, the limit.",
                "Try again, or ask where it lies nearer.",
            )
            raise self.fault
        try:
            yield
        except Exception as error:
            if (cause := refusal_behind(error)) is None:
                raise
            self.fault = EnvironmentFault(
                f"The lake {self._storage.location} cannot be reached just now ({cause}).",
                "Try again.",
            )
            raise self.fault from error

    def _damage(self, name: str, what: str) -> CatalogError:
        self.fault = DatabaseCorrupt(
            f"The lake {self._storage.location} is damaged: {name} is not as it was written "
            f"({what}).",
            "Restore it from a copy, or export the model again with ",
            Option("force"),
            ".",
        )
        return self.fault


class PlacedByThread(io.RawIOBase):
    """A stream in which each thread has a place of its own.

    DuckDB 2 reads a file from several threads at once, each of which goes to its place first and
    reads there next; another may go elsewhere meanwhile.
    """

    def __init__(
        self, stream: IO[bytes], reaching: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._stream = stream
        self._reaching = reaching
        self._lock = threading.Lock()
        # Not threading.local, which forgets what a thread of C++ left there in an earlier call.
        self._places: dict[int, int] = {}

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self.tell()
        elif whence == io.SEEK_END:
            with self._lock:
                offset = self._stream.seek(offset, whence)
        self._places[threading.get_ident()] = offset
        return offset

    def tell(self) -> int:
        return self._places.get(threading.get_ident(), 0)

    def read(self, size: int = -1) -> bytes:
        place = self.tell()
        with self._lock, self._reaching():
            self._stream.seek(place)
            found = self._stream.read(size)
        self._places[threading.get_ident()] = place + len(found)
        return found

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()
        super().close()
