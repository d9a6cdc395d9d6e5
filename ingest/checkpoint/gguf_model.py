"""The model of a GGUF file, as transformers loads it, where that is the model the file describes.

transformers passes over what it does not know of a file without a word: scaled rotary angles,
biases, Gemma's query scale. Here such a file is refused, or what was left out is put in.
"""

from contextlib import redirect_stderr
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from catalog.errors import CheckpointError, HintPart, Option
from catalog.ingest.checkpoint.gguf_files import GgufFiles
from catalog.ingest.checkpoint.gguf_header import GgufHeader
from catalog.ingest.checkpoint.transformers_refusals import asking_transformers

if TYPE_CHECKING:
    from catalog.ingest.checkpoint.reader import Checkpoint
    from catalog.ingest.families import Family

_WAY_OUT: Final[tuple[HintPart, ...]] = (
    Option("stages", "weights,vocab"),
    " works without the model",
)
_GEMMAS: Final = ("gemma2", "gemma3")
_GEMMA_HEAD: Final = 256
"""The head length whose query scale is the default of transformers' Gemma configurations."""


def refuse_experts(family: "Family", source: str) -> None:
    """Raise CheckpointError where a GGUF file holds experts: they are read, and not run."""
    if family.experts is not None:
        raise CheckpointError(
            f"{source} holds experts, which are read from a GGUF file and not run: "
            "transformers' loading of them was not checked here.",
            *_WAY_OUT,
            ".",
        )


def load_gguf_model(
    checkpoint: "Checkpoint", files: GgufFiles, dtype: torch.dtype, **loading: Any
) -> nn.Module:
    """The base model, dequantised to `dtype`; `loading` goes to transformers' from_pretrained.

    Raises:
        CheckpointError: transformers cannot load it, or would leave out a part of it.
    """
    from transformers import AutoModel

    from catalog.ingest.families import family_of

    if len(files.parts) > 1:
        raise CheckpointError(
            f"{files.source} is split into {len(files.parts)} parts, which transformers does not "
            "load, so the model cannot be run. Join them: llama-gguf-split --merge."
        )
    family = family_of(checkpoint)
    refuse_experts(family, files.source)
    _refuse_left_out(files)
    # Its bar of progress knows no switch.
    with asking_transformers(checkpoint, *_WAY_OUT), redirect_stderr(StringIO()):
        model: nn.Module = AutoModel.from_pretrained(
            files.parts[0].path.parent,
            gguf_file=files.parts[0].path.name,
            dtype=dtype,
            trust_remote_code=False,
            **loading,
        )
        if files.rotary_divisors is not None and family.rotary is not None:
            frequencies = model.get_submodule(family.rotary).inv_freq
            assert isinstance(frequencies, torch.Tensor)
            frequencies.div_(files.rotary_divisors.to(frequencies.device))
    taken = {family.prefix + name for name in model.state_dict()}
    unembedding = tuple(f"{module}." for module in family.unembedding)
    unread = sorted(
        name for name in files.names if name not in taken and not name.startswith(unembedding)
    )
    if unread:
        raise _other_model(files.source, f"the tensor {files.stored[unread[0]]}")
    return model


def _refuse_left_out(files: GgufFiles) -> None:
    """Refuse a file with settings that transformers does not read."""
    header = files.parts[0]
    architecture = header.field("general.architecture")
    scaling = header.field(f"{architecture}.rope.scaling.type", "none")
    if scaling != "none" or _has_factors(header):
        kind = "by factors" if scaling == "none" else scaling
        raise _other_model(files.source, f"its scaling of rotary angles ({kind})")
    head = header.field(f"{architecture}.attention.key_length")
    if architecture in _GEMMAS and head not in (None, _GEMMA_HEAD):
        raise _other_model(files.source, f"the query scale of heads of length {head}")


def _has_factors(header: GgufHeader) -> bool:
    return any(name.startswith("rope_factors_") for name in header.tensors)


def _other_model(source: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"transformers leaves out {what} when it loads {source}, so it would run another model.",
        *_WAY_OUT,
        ".",
    )
