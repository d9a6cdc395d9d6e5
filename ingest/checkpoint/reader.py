"""A checkpoint in a folder: its configuration and slices of its tensors, read lazily."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from catalog.errors import CheckpointError, EnvironmentFault
from catalog.ingest.checkpoint.tensor_file import FLOAT_DTYPES, TensorFile

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass
class Checkpoint:
    """Config and tensors of one checkpoint.

    `source` is what the user asked for, `revision` the commit of a Hub id (None for folders).
    Tensors come in the checkpoint's dtype, on the CPU, as views of the mapped file: do not write
    into them. Every read raises CheckpointError naming a tensor that is missing.
    """

    source: str
    revision: str | None
    folder: Path
    config: dict[str, Any]
    files: tuple[TensorFile, ...]
    _file_of: dict[str, TensorFile] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, folder: Path, source: str, revision: str | None = None) -> "Checkpoint":
        """Read config and headers of the checkpoint in `folder`.

        Raises CheckpointError for whatever keeps its tensors from being read.
        """
        config = _read_config(folder)
        quantized = config.get("quantization_config")
        if quantized is not None:
            method = quantized.get("quant_method", "?") if isinstance(quantized, dict) else "?"
            raise CheckpointError(
                f"{source} is quantised ({method}); ingest the unquantised checkpoint it came from."
            )
        files = tuple(TensorFile.read(path) for path in _weight_files(folder, source))
        file_of = {name: file for file in files for name in file.entries}
        _check_index(folder, file_of)
        return cls(source, revision, folder, config, files, file_of)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors, sorted."""
        return tuple(sorted(self._file_of))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over config.json and samples of every tensor: changes when weights change."""
        digest = hashlib.sha256((self.folder / "config.json").read_bytes())
        for file in self.files:
            file.update_digest(digest)
        return digest.hexdigest()

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, from the header alone."""
        return self._file(name).entries[name].shape

    def dtype(self, name: str) -> torch.dtype:
        """Dtype of a tensor; integer and packed ones are refused (quantised weights)."""
        stored = self._file(name).entries[name].dtype
        if stored not in FLOAT_DTYPES:
            raise CheckpointError(
                f"{self.source}: tensor {name} is stored as {stored}, that is quantised or packed; "
                f"ingest a checkpoint in {', '.join(FLOAT_DTYPES.values())}."
            )
        dtype: torch.dtype = getattr(torch, FLOAT_DTYPES[stored])
        return dtype

    def rows(self, name: str, start: int, stop: int) -> Float[Tensor, "n columns"]:
        """Rows start..stop of a matrix."""
        return self._slice(name)[start:stop]  # type: ignore[no-any-return]

    def columns(self, name: str, start: int, stop: int) -> Float[Tensor, "rows n"]:
        """Columns start..stop of a matrix, strided."""
        return self._slice(name)[:, start:stop]  # type: ignore[no-any-return]

    def tensor(self, name: str) -> Float[Tensor, "..."]:
        """A whole tensor."""
        self.dtype(name)
        return self._file(name).handle().get_tensor(name)  # type: ignore[no-any-return]

    def release(self) -> None:
        """Unmap the files, so resident memory does not grow to the size of the checkpoint.

        Tensors handed out before stay valid; the next read maps again.
        """
        for file in self.files:
            file.release()

    def _slice(self, name: str) -> Any:
        self.dtype(name)
        return self._file(name).handle().get_slice(name)

    def _file(self, name: str) -> TensorFile:
        try:
            return self._file_of[name]
        except KeyError:
            raise CheckpointError(f"{self.source} has no tensor named {name}.") from None


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} is no checkpoint: it has no config.json.")
    try:
        config = json.loads(path.read_bytes().decode())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}.") from error
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is no model configuration: it holds no JSON object.")
    if not isinstance(config.get("text_config") or {}, dict):
        raise CheckpointError(f"{path} is no model configuration: text_config is no JSON object.")
    return config


def _weight_files(folder: Path, source: str) -> list[Path]:
    if (folder / INDEX_NAME).is_file():
        shards = sorted(set(_weight_map(folder).values()))
        outside = [shard for shard in shards if Path(shard).name != shard]
        if outside:
            raise CheckpointError(
                f"{folder / INDEX_NAME} names a shard that does not lie beside it: "
                f"{outside[0][:100]!r}; download the checkpoint again."
            )
        missing = [shard for shard in shards if not _is_file(folder / shard)]
        if missing:
            named = ", ".join(missing[:3])[:200]
            raise CheckpointError(
                f"{source} lacks {len(missing)} of {len(shards)} shards: {named}; "
                "download the checkpoint again."
            )
        return [folder / shard for shard in shards]
    if (folder / SINGLE_NAME).is_file():
        return [folder / SINGLE_NAME]
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{source} has only pickled weights ({pickles[0]}), which can run code when loaded and "
            "are refused; where you trust them, load it with transformers and "
            "save_pretrained(folder, safe_serialization=True), then ingest that folder."
        )
    raise CheckpointError(f"{source} has no safetensors file ({SINGLE_NAME} or {INDEX_NAME}).")


def _is_file(path: Path) -> bool:
    """Whether a file of this name, which may be no possible name, is there."""
    try:
        return path.is_file()
    except OSError:
        return False


def _weight_map(folder: Path) -> dict[str, str]:
    path = folder / INDEX_NAME
    try:
        weight_map = json.loads(path.read_bytes())["weight_map"]
        return {str(name): str(shard) for name, shard in weight_map.items()}
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is no valid index of shards; download it again.") from error


def _check_index(folder: Path, file_of: dict[str, TensorFile]) -> None:
    if not (folder / INDEX_NAME).is_file():
        return
    for name, shard in _weight_map(folder).items():
        if name not in file_of:
            raise CheckpointError(
                f"{folder / shard} lacks the tensor {name} that {INDEX_NAME} lists."
            )
