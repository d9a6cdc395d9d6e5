"""Where a lake's files are: a folder or an fsspec URL. A file that is there is whole."""

import errno
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Final

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from catalog.errors import DatabaseCorrupt, DatabaseMissing, EnvironmentFault, UsageError
from catalog.store.location import Location
from catalog.store.whole_files import UNFINISHED, written_whole

_FOREIGN: Final = (
    ("azure.core.exceptions", "AzureError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("aiohttp", "ClientError"),
)
"""What packages behind URLs raise that is no OSError: no connection, no credentials."""

_AT_ONCE: Final = 1 << 20
"""Bytes that are read of a file at once."""


class NoPlainFile(OSError):
    """A pipe, a device or a folder in the place of a file."""


class Storage:
    """A folder on some file system; names are relative to it, with slashes."""

    def __init__(self, location: Location) -> None:
        """Look the file system up.

        Raises:
            UsageError: a URL of no known file system.
            EnvironmentFault: the package for it is not installed.
        """
        self.location = location
        with _explaining(location):
            try:
                found: tuple[fsspec.AbstractFileSystem, str] = url_to_fs(str(location))
            except ImportError as error:
                raise EnvironmentFault(f"{location} cannot be opened: {error}.") from error
            except ValueError as error:
                raise UsageError(f"{location} cannot be opened: {error}.") from error
        self._system, self._root = found

    def read(self, name: str, at_most: int) -> bytes:
        """The bytes of a small file.

        Raises:
            DatabaseMissing: there is none.
            DatabaseCorrupt: it is longer than that many bytes, or no file but a pipe or a device.
            EnvironmentFault: it cannot be read.
        """
        with _explaining(self.location):
            try:
                with self.open(name) as stream:
                    read = stream.read(at_most + 1)
                if len(read) > at_most:
                    raise DatabaseCorrupt(
                        f"{name} in {self.location} is longer than {at_most:,} bytes, as no "
                        "export writes it. Restore it from a copy, or export the lake again."
                    )
                return read
            except NoPlainFile as error:
                raise DatabaseCorrupt(
                    f"{name} in {self.location} is {error.strerror}. Export the lake again."
                ) from error
            except (FileNotFoundError, NotADirectoryError) as error:
                if (cause := refusal_behind(error)) is not None:
                    raise cause from error
                raise DatabaseMissing(f"There is no {name} at {self.location}.") from error

    def open(self, name: str) -> IO[bytes]:
        """A stream that reads a file; the file system's own errors pass.

        Raises:
            NoPlainFile: on a disk, a pipe or a device, which might never end.
        """
        path = Path(self._path(name))
        if isinstance(self._system, LocalFileSystem) and path.exists() and not path.is_file():
            raise NoPlainFile(errno.EINVAL, "no plain file")
        stream: IO[bytes] = self._system.open(self._path(name), "rb")
        return stream

    def sha256(self, name: str) -> str | None:
        """The digest of a file's bytes, in hexadecimal; None if there is no plain file.

        Raises:
            EnvironmentFault: it cannot be read.
        """
        with _explaining(self.location):
            try:
                sha256 = hashlib.sha256()
                with self.open(name) as stream:
                    while read := stream.read(_AT_ONCE):
                        sha256.update(read)
                return sha256.hexdigest()
            except (FileNotFoundError, NotADirectoryError, NoPlainFile):
                return None

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        with _explaining(self.location):
            return bool(self._system.exists(self._path(name)))

    def remove(self, name: str) -> None:
        """Take a file away."""
        with _explaining(self.location):
            self._system.rm_file(self._path(name))

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A stream whose file appears under its name when the block ends well.

        Raises:
            EnvironmentFault: no space, no permission, no connection.
        """
        path = self._path(name)
        with _explaining(self.location):
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            if isinstance(self._system, LocalFileSystem):
                # Always the same name, hidden among the lake's own: a killed export leaves it, and
                # the next one writes over it.
                target = Path(path)
                unfinished = target.with_name(f".{target.name}{UNFINISHED}")
                with written_whole(target, unfinished=unfinished), unfinished.open("wb") as stream:
                    yield stream
            else:
                with self._system.transaction, self._system.open(path, "wb") as stream:
                    yield stream

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"


def _foreign() -> tuple[type[Exception], ...]:
    there = ((sys.modules.get(module), name) for module, name in _FOREIGN)
    return tuple(getattr(module, name) for module, name in there if module is not None)


def _refusals() -> tuple[type[Exception], ...]:
    return (OSError, *_foreign())


def refusal_behind(error: Exception) -> BaseException | None:
    """The failure of a network that an error comes of; None where a file is not there.

    fsspec says of a server that does not answer that the file was not found.
    """
    found = error.__cause__ if isinstance(error, FileNotFoundError) else error
    if not isinstance(found, (ConnectionError, TimeoutError, *_foreign())):
        return None
    return None if getattr(found, "status", None) == HTTPStatus.NOT_FOUND else found


@contextmanager
def _explaining(location: Location) -> Iterator[None]:
    try:
        yield
    except _refusals() as error:
        said: Any = getattr(error, "strerror", None) or error
        if getattr(error, "errno", None) == errno.ENOSPC:
            said = "no space left"
        raise EnvironmentFault(
            f"{location} cannot be used: {said}. Run the same command again when it can."
        ) from error
