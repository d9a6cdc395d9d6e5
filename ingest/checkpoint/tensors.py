"""What a kind of file must offer so that a checkpoint can be read from it, slice by slice."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from catalog.ingest.checkpoint.reader import Checkpoint


class TensorSource(Protocol):
    """The tensors of a checkpoint by the names that transformers has for them, and its model.

    Every read raises CheckpointError naming a tensor that is missing or damaged. Tensors are on the
    CPU and may be views of a mapped file: do not write into them.
    """

    @property
    def path(self) -> Path:
        """The file or folder that another process opens it by."""
        ...

    @property
    def config(self) -> dict[str, Any]:
        """What config.json says, or would say."""
        ...

    @property
    def config_name(self) -> str:
        """Where the configuration stands, for messages."""
        ...

    @property
    def is_dequantised(self) -> bool:
        """Whether running the model takes more memory than its files."""
        ...

    @property
    def quantization(self) -> str | None:
        """How the MLP's tensors are quantised, such as 'Q4_1'; None if they are not."""
        ...

    @property
    def names(self) -> Collection[str]:
        """Names of all tensors."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, from the header alone."""
        ...

    def dtype(self, name: str) -> torch.dtype:
        """Dtype in which a tensor is handed out, a floating one."""
        ...

    def rows(
        self, name: str, start: int, stop: int, of: int | None = None
    ) -> Float[Tensor, "n columns"]:
        """Rows start..stop of a matrix, or of matrix `of` of a stack of them."""
        ...

    def columns(
        self, name: str, start: int, stop: int, of: int | None = None
    ) -> Float[Tensor, "rows n"]:
        """Columns start..stop of a matrix or of one of a stack; they may be strided."""
        ...

    def tensor(self, name: str) -> Float[Tensor, "..."]:
        """A whole tensor."""
        ...

    def release(self) -> None:
        """Unmap the files, so that their pages no longer count as this process's memory.

        Tensors handed out before stay valid; the next read maps again.
        """
        ...

    def fingerprint(self) -> str:
        """SHA-256 over the configuration and samples of every tensor: changes with the weights."""
        ...

    def tokenizer(self) -> "PreTrainedTokenizerFast":
        """The tokenizer that lies with the tensors.

        Raises:
            CheckpointError: there is none, or a damaged or unsupported one.
        """
        ...

    def transformers_config(self) -> "PretrainedConfig":
        """transformers' configuration of the model."""
        ...

    def base_model(self, checkpoint: "Checkpoint", dtype: torch.dtype, **loading: Any) -> nn.Module:
        """The model without its LM head; `loading` goes to transformers' from_pretrained.

        Raises:
            CheckpointError: transformers cannot make it.
        """
        ...
