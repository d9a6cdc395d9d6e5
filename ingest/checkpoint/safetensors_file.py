"""One safetensors file: its header, and a handle that opens when first read."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from catalog.errors import CheckpointError, EnvironmentFault

FLOAT_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
SAMPLE_BYTES = 4096
_PREFIX = "Error while deserializing header: "


@dataclass(frozen=True)
class TensorEntry:
    """What the header says of one tensor; `begin` and `end` are offsets into the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass
class TensorFile:
    """A safetensors file whose header has been read and agrees with the file's length."""

    path: Path
    header: bytes
    entries: dict[str, TensorEntry]
    _handle: Any = field(default=None, repr=False)

    @classmethod
    def read(cls, path: Path) -> "TensorFile":
        """Read the header, which safetensors checks, but for names that stand twice.

        Raises:
            CheckpointError: the file is cut short, damaged or no safetensors file.
        """
        _opened(path)
        try:
            with path.open("rb") as file:
                header = file.read(int.from_bytes(file.read(8), "little"))
        except OSError as error:
            raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.") from error
        try:
            stored = json.loads(header, object_pairs_hook=_without_duplicates)
        except ValueError as error:
            raise CheckpointError(_damaged(path, str(error))) from error
        stored.pop("__metadata__", None)
        begin = 8 + len(header)
        return cls(path, header, {name: _entry(begin, entry) for name, entry in stored.items()})

    def handle(self) -> Any:
        """The open `safe_open` handle; tensors come out as views of the mapped file."""
        if self._handle is None:
            self._handle = _opened(self.path)
        return self._handle

    def release(self) -> None:
        """Drop the handle, so that the mapped pages no longer count as this process's memory."""
        self._handle = None

    def update_digest(self, digest: "hashlib._Hash") -> None:
        """Feed the header and a few KB at start, middle and end of each tensor into `digest`."""
        digest.update(self.header)
        with self.path.open("rb") as file:
            for name in sorted(self.entries):
                entry = self.entries[name]
                middle = (entry.begin + entry.end - SAMPLE_BYTES) // 2
                for offset in (entry.begin, middle, entry.end - SAMPLE_BYTES):
                    start = max(entry.begin, offset)
                    file.seek(start)
                    digest.update(file.read(min(SAMPLE_BYTES, entry.end - start)))


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except SafetensorError as error:
        raise CheckpointError(_damaged(path, str(error).removeprefix(_PREFIX))) from error
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror or error}.") from error


def _damaged(path: Path, reason: str) -> str:
    return f"{path} is truncated or no safetensors file: {reason}. Download or save it again."


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in its header")
    return found


def _entry(data: int, entry: dict[str, Any]) -> TensorEntry:
    begin, end = entry["data_offsets"]
    return TensorEntry(entry["dtype"], tuple(entry["shape"]), data + begin, data + end)
