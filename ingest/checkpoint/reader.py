"""A checkpoint: its config, its tensors slice by slice, and the only door to transformers."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from catalog.ingest.checkpoint.gguf_files import GgufFiles
from catalog.ingest.checkpoint.safetensors_files import SafetensorsFiles
from catalog.ingest.checkpoint.tensors import TensorSource
from catalog.ingest.checkpoint.transformers_refusals import BELONG, asking_transformers
from catalog.taxonomy import DEMO_MODELS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DeviceMap = str | dict[str, str | int]


@dataclass
class Checkpoint:
    """Config and tensors of one checkpoint, whatever kind of file they lie in.

    `source` is what the user asked for, `revision` the commit of a Hub id (None for local files).
    Tensors come on the CPU and may be views of a mapped file: do not write into them. Every read
    raises CheckpointError naming a tensor that is missing. `tokenizer_folder` is where its
    tokenizer lies if that is not with its tensors.
    """

    source: str
    revision: str | None
    tensors: TensorSource
    tokenizer_folder: Path | None = None

    @classmethod
    def read(cls, folder: Path, source: str, revision: str | None = None) -> "Checkpoint":
        """Read config and headers of the safetensors in `folder`.

        Raises:
            CheckpointError: whatever keeps its tensors from being read.
        """
        return cls(source, revision, SafetensorsFiles.read(folder, source))

    @classmethod
    def read_gguf(
        cls,
        file: Path,
        source: str,
        revision: str | None = None,
        tokenizer_folder: Path | None = None,
    ) -> "Checkpoint":
        """Read the header of a GGUF file, or of the parts it is split into.

        Raises:
            CheckpointError: whatever keeps its tensors from being read.
        """
        return cls(source, revision, GgufFiles.read(file, source), tokenizer_folder)

    @property
    def config(self) -> dict[str, Any]:
        """What config.json says, or would say."""
        return self.tensors.config

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors, sorted."""
        return tuple(sorted(self.tensors.names))

    @property
    def quantization(self) -> str | None:
        """How the MLP's tensors are quantised, None if they are not."""
        return self.tensors.quantization

    @property
    def address(self) -> str:
        """What another process on a machine with the same files opens it by."""
        if self.revision is not None or self.source in DEMO_MODELS:
            return self.source
        return str(self.tensors.path.resolve())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the configuration and samples of every tensor: changes with the weights."""
        return self.tensors.fingerprint()

    def __contains__(self, name: str) -> bool:
        return name in self.tensors.names

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, from the header alone."""
        return self.tensors.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        """Dtype of a tensor; integer and packed ones are refused (quantised weights)."""
        return self.tensors.dtype(name)

    def rows(
        self, name: str, start: int, stop: int, of: int | None = None
    ) -> Float[Tensor, "n columns"]:
        """Rows start..stop of a matrix, or of one matrix of a stack."""
        return self.tensors.rows(name, start, stop, of)

    def columns(
        self, name: str, start: int, stop: int, of: int | None = None
    ) -> Float[Tensor, "rows n"]:
        """Columns start..stop of a matrix, or of one matrix of a stack; strided."""
        return self.tensors.columns(name, start, stop, of)

    def tensor(self, name: str) -> Float[Tensor, "..."]:
        """A whole tensor."""
        return self.tensors.tensor(name)

    def release(self) -> None:
        """Unmap the files; tensors handed out before stay valid, and the next read maps again."""
        self.tensors.release()

    def tokenizer(self) -> "PreTrainedTokenizerFast":
        """The fast tokenizer; nothing is downloaded or executed.

        Raises:
            CheckpointError: there is none, or a damaged or unsupported one.
        """
        return self._tokenizer

    @cached_property
    def _tokenizer(self) -> "PreTrainedTokenizerFast":
        # Rebuilding that of a GGUF file takes seconds.
        from catalog.ingest.checkpoint.tokenizer import read_tokenizer

        if self.tokenizer_folder is None:
            return self.tensors.tokenizer()
        return read_tokenizer(self.tokenizer_folder)

    @cached_property
    def auto_config(self) -> Any:
        """transformers' configuration; take a copy to change it."""
        return self.tensors.transformers_config()

    def n_parameters(self) -> int:
        """Parameters of the base model, from its configuration alone.

        Raises:
            CheckpointError: transformers cannot make the model.
        """
        from transformers import AutoModel

        with asking_transformers(self, BELONG), torch.device("meta"):
            model = AutoModel.from_config(self.auto_config, trust_remote_code=False)
        return sum(parameter.numel() for parameter in model.parameters())

    def base_model(
        self,
        dtype: torch.dtype,
        device_map: DeviceMap | None = None,
        offload_folder: Path | None = None,
    ) -> nn.Module:
        """The model without its LM head, as transformers runs it.

        Raises:
            CheckpointError: transformers cannot make it.
        """
        from transformers.utils import logging

        logging.set_verbosity_error()  # it reports the LM head that is left out on purpose
        logging.disable_progress_bar()
        return self.tensors.base_model(
            self, dtype, device_map=device_map, offload_folder=offload_folder
        )
