"""Tensors of a folder of safetensors, whole or in shards."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from catalog.errors import CheckpointError, EnvironmentFault
from catalog.ingest.checkpoint.config import CONFIG_NAME, read_config
from catalog.ingest.checkpoint.safetensors_file import FLOAT_DTYPES, TensorFile
from catalog.ingest.checkpoint.transformers_refusals import BELONG, asking_transformers

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from catalog.ingest.checkpoint.reader import Checkpoint

INDEX_NAME: Final = "model.safetensors.index.json"
SINGLE_NAME: Final = "model.safetensors"
_PICKLES: Final = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass
class SafetensorsFiles:
    """A TensorSource; tensors come in the checkpoint's dtype, as views of the mapped files."""

    path: Path
    source: str
    config: dict[str, Any]
    files: tuple[TensorFile, ...]
    file_of: dict[str, TensorFile]
    config_name: ClassVar[str] = CONFIG_NAME
    is_dequantised: ClassVar[bool] = False

    @classmethod
    def read(cls, folder: Path, source: str) -> "SafetensorsFiles":
        """Read the headers of the files in `folder`; `source` is what messages call it.

        Raises:
            CheckpointError: there are none, some are missing, damaged or of another kind.
        """
        config = read_config(folder, source)
        files = tuple(TensorFile.read(path) for path in _weight_files(folder, source))
        file_of = {name: file for file in files for name in file.entries}
        _check_index(folder, file_of)
        return cls(folder, source, config, files, file_of)

    @property
    def quantization(self) -> str | None:
        return None

    @property
    def names(self) -> Collection[str]:
        return self.file_of.keys()

    def fingerprint(self) -> str:
        digest = hashlib.sha256((self.path / CONFIG_NAME).read_bytes())
        for file in self.files:
            file.update_digest(digest)
        return digest.hexdigest()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._file(name).entries[name].shape

    def dtype(self, name: str) -> torch.dtype:
        stored = self._file(name).entries[name].dtype
        if stored not in FLOAT_DTYPES:
            raise CheckpointError(
                f"{self.source}: tensor {name} is stored as {stored}, that is quantised or packed; "
                f"ingest a checkpoint in {', '.join(FLOAT_DTYPES.values())}."
            )
        dtype: torch.dtype = getattr(torch, FLOAT_DTYPES[stored])
        return dtype

    def rows(
        self, name: str, start: int, stop: int, of: int | None = None
    ) -> Float[Tensor, "n columns"]:
        if of is None:
            return self._slice(name)[start:stop]  # type: ignore[no-any-return]
        return self._slice(name)[of : of + 1, start:stop][0]  # type: ignore[no-any-return]

    def columns(
        self, name: str, start: int, stop: int, of: int | None = None
    ) -> Float[Tensor, "rows n"]:
        if of is None:
            return self._slice(name)[:, start:stop]  # type: ignore[no-any-return]
        return self._slice(name)[of : of + 1, :, start:stop][0]  # type: ignore[no-any-return]

    def tensor(self, name: str) -> Float[Tensor, "..."]:
        self.dtype(name)
        return self._file(name).handle().get_tensor(name)  # type: ignore[no-any-return]

    def release(self) -> None:
        for file in self.files:
            file.release()

    def tokenizer(self) -> "PreTrainedTokenizerFast":
        from catalog.ingest.checkpoint.tokenizer import read_tokenizer

        return read_tokenizer(self.path)

    def transformers_config(self) -> "PretrainedConfig":
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(self.path, trust_remote_code=False)
        return cast("PretrainedConfig", config)

    def base_model(self, checkpoint: "Checkpoint", dtype: torch.dtype, **loading: Any) -> nn.Module:
        from transformers import AutoModel

        with asking_transformers(checkpoint, BELONG):
            model = AutoModel.from_pretrained(
                self.path, dtype=dtype, trust_remote_code=False, **loading
            )
        return cast(nn.Module, model)

    def _slice(self, name: str) -> Any:
        self.dtype(name)
        return self._file(name).handle().get_slice(name)

    def _file(self, name: str) -> TensorFile:
        try:
            return self.file_of[name]
        except KeyError:
            raise CheckpointError(f"{self.source} has no tensor named {name}.") from None


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
