"""One safetensors file: its header, checked, and a handle that opens when first read."""

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from catalog.errors import CheckpointError, EnvironmentFault

FLOAT_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
SAMPLE_BYTES = 4096
_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_MAX_HEADER_BYTES = 100_000_000


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
        """Read and check the header.

        Raises CheckpointError when the file is cut short or is not safetensors.
        """
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if size < 8 or not 2 <= length <= min(_MAX_HEADER_BYTES, size):
                    raise CheckpointError(_damaged(path, f"its {size} bytes hold no valid header"))
                if size < 8 + length:
                    raise CheckpointError(_damaged(path, "it ends inside its header"))
                header = file.read(length)
        except OSError as error:
            raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.") from error
        entries = _parse_header(path, header)
        _check_layout(path, 8 + length, size, entries)
        return cls(path, header, entries)

    def handle(self) -> Any:
        """The open `safe_open` handle; tensors come out as views of the mapped file."""
        if self._handle is None:
            try:
                self._handle = safe_open(self.path, framework="pt", device="cpu")
            except SafetensorError as error:
                raise CheckpointError(_damaged(self.path, str(error))) from error
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


def _damaged(path: Path, reason: str) -> str:
    return f"{path} is truncated or no safetensors file: {reason}. Download or save it again."


def _parse_header(path: Path, header: bytes) -> dict[str, TensorEntry]:
    base = 8 + len(header)
    try:
        stored = json.loads(header, object_pairs_hook=_without_duplicates)
        tensors = {name: entry for name, entry in stored.items() if name != "__metadata__"}
        return {name: _entry(base, entry) for name, entry in tensors.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(_damaged(path, "its header is not readable")) from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _entry(base: int, entry: dict[str, Any]) -> TensorEntry:
    """What the header says of a tensor; TypeError or ValueError where no tensor could be so."""
    shape, offsets = entry["shape"], entry["data_offsets"]
    numbers = [*shape, *offsets]
    if not isinstance(entry["dtype"], str) or any(type(number) is not int for number in numbers):
        raise TypeError("a value of the wrong type")
    begin, end = offsets
    if min(numbers) < 0 or begin > end:
        raise ValueError("a negative size")
    return TensorEntry(entry["dtype"], tuple(shape), base + begin, base + end)


def _check_layout(path: Path, begin: int, size: int, entries: dict[str, TensorEntry]) -> None:
    """Refuse tensors that overlap, leave gaps, pass the file's end, or belie their shape."""
    expected = max((entry.end for entry in entries.values()), default=begin)
    if expected != size:
        raise CheckpointError(
            _damaged(path, f"its header announces {expected} bytes but it has {size}")
        )
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != begin:
            raise CheckpointError(_damaged(path, f"tensor {name} does not begin where it should"))
        begin = entry.end
        width = _WIDTHS.get(entry.dtype)
        if width is not None and math.prod(entry.shape) * width != entry.end - entry.begin:
            raise CheckpointError(
                _damaged(path, f"tensor {name} has not the bytes that its shape needs")
            )
