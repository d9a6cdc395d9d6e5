"""The header of a GGUF file: key-value fields and where each tensor lies.

Read here because the convenience reader of the `gguf` package makes an array of every token of the
vocabulary, which takes seconds; arrays are skipped here until they are asked for.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from catalog.errors import CheckpointError, EnvironmentFault

MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_DEFAULT_ALIGNMENT: Final = 32
_STRING, _ARRAY = 8, 9
_SCALARS: Final = {
    **{0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?"},
    **{10: "<Q", 11: "<q", 12: "<d"},
}
_MOST_DIMENSIONS: Final = 4
_DAMAGE: Final = (struct.error, IndexError, ValueError, OverflowError, MemoryError, RecursionError)


class GgufTensor(NamedTuple):
    """What the header says of a tensor; `shape` in the order of rows, `kind` a number of GGML's."""

    shape: tuple[int, ...]
    kind: int
    begin: int


@dataclass(frozen=True)
class GgufHeader:
    """The header of one file; `field` values are read when asked for."""

    path: Path
    tensors: dict[str, GgufTensor]
    n_bytes: int
    _fields: dict[str, tuple[int, int]]

    @classmethod
    def read(cls, path: Path) -> "GgufHeader":
        """Read the header.

        Raises:
            CheckpointError: the file is no GGUF file, cut short, or of an unknown version.
        """
        try:
            with path.open("rb") as file:
                if file.read(4) != MAGIC:
                    raise CheckpointError(f"{path} is no GGUF file: it does not begin with GGUF.")
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    return _parsed(path, mapped)
        except OSError as error:
            raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.") from error
        except _DAMAGE as error:
            raise _damaged(path) from error

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def number(self, name: str) -> int | None:
        """The value of a field that holds a whole number; None where it is missing or another."""
        value = self.field(name)
        return value if isinstance(value, int) else None

    def field(self, name: str, default: Any = None) -> Any:
        """The value of a field: a number, text, truth value, or list of such."""
        if name not in self._fields:
            return default
        kind, at = self._fields[name]
        try:
            with (
                self.path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            ):
                return _Cursor(mapped, at).value(kind)
        except _DAMAGE as error:
            raise _damaged(self.path) from error


class _Cursor:
    """A place in the mapped file that moves as values are read."""

    def __init__(self, mapped: mmap.mmap, at: int) -> None:
        self._mapped, self.at = mapped, at

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._mapped, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self) -> str:
        length = self.number("<Q")
        end = self._within(length)
        raw = self._mapped[self.at : end]
        self.at = end
        return raw.decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.number(_form(kind))
        kind, n = self.number("<I"), self.number("<Q")
        self._within(n)
        return [self.value(kind) for _ in range(n)]

    def skip(self, kind: int) -> None:
        if kind == _STRING:
            self.at = self._within(self.number("<Q"))
        elif kind != _ARRAY:
            self.at = self._within(struct.calcsize(_form(kind)))
        else:
            kind, n = self.number("<I"), self.number("<Q")
            if kind in (_STRING, _ARRAY):
                self._within(n)
                for _ in range(n):
                    self.skip(kind)
            else:
                self.at = self._within(n * struct.calcsize(_form(kind)))

    def _within(self, n_bytes: int) -> int:
        """The place so many bytes further, which must be in the file."""
        end = self.at + n_bytes
        if end > len(self._mapped):
            raise ValueError("beyond the end of the file")
        return end


def _form(kind: int) -> str:
    if kind not in _SCALARS:
        raise ValueError(f"a value of type {kind}")
    return _SCALARS[kind]


def _parsed(path: Path, mapped: mmap.mmap) -> GgufHeader:
    cursor = _Cursor(mapped, len(MAGIC))
    version = cursor.number("<I")
    if version not in _VERSIONS:
        raise CheckpointError(
            f"{path} is GGUF version {version}; versions {_VERSIONS[0]} and {_VERSIONS[1]} "
            "in little-endian order are read."
        )
    n_tensors, n_fields = cursor.number("<Q"), cursor.number("<Q")
    fields: dict[str, tuple[int, int]] = {}
    for _ in range(n_fields):
        name, kind = cursor.text(), cursor.number("<I")
        fields[name] = kind, cursor.at
        cursor.skip(kind)
    found: dict[str, tuple[tuple[int, ...], int, int]] = {}
    for _ in range(n_tensors):
        name, n_dimensions = cursor.text(), cursor.number("<I")
        if name in found or n_dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"the tensor {name}")
        shape = tuple(reversed([cursor.number("<Q") for _ in range(n_dimensions)]))
        found[name] = shape, cursor.number("<I"), cursor.number("<Q")
    alignment = _DEFAULT_ALIGNMENT
    if "general.alignment" in fields:
        kind, at = fields["general.alignment"]
        alignment = _Cursor(mapped, at).value(kind)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"an alignment of {alignment!r}")
    data = -(-cursor.at // alignment) * alignment
    tensors = {
        name: GgufTensor(shape, kind, data + at) for name, (shape, kind, at) in found.items()
    }
    return GgufHeader(path, tensors, len(mapped), fields)


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is truncated or no valid GGUF file: its header cannot be read. Download it again."
    )
