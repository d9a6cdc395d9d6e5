"""The model of a pass: loaded whole onto one device, or spread where one is too small."""

from pathlib import Path
from typing import Final

import torch
from torch import nn

from catalog.errors import EnvironmentFault
from catalog.ingest.checkpoint import Checkpoint
from catalog.ingest.transformers_refusals import asking_transformers

ROOM_FOR_WEIGHTS: Final = 0.7
"""Share of a GPU's memory that weights may take; the rest is for the state and the activations."""

_WAY_OUT: Final = "see that its files belong together"

DeviceMap = str | dict[str, str | int]


def load_model(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device,
    device_map: DeviceMap | None = None,
    offload_folder: Path | None = None,
) -> tuple[nn.Module, str]:
    """The base model of a checkpoint, without LM head, and its attention implementation.

    The implementation is never forced: some models refuse one (DESIGN 2). A model that does not
    fit on one GPU is spread by accelerate over all that this process sees, then over host memory;
    `device_map` says how instead, with a folder for the parts it maps to "disk".

    Raises EnvironmentFault where accelerate is needed and missing, CheckpointError where
    transformers cannot make the model.
    """
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # it reports the LM head that is left out on purpose
    logging.disable_progress_bar()
    if device_map is None and device.type == "cuda":
        gpu_bytes = torch.cuda.get_device_properties(device).total_memory
        if gpus_needed(weight_bytes(checkpoint, dtype), gpu_bytes) > 1:
            device_map = "auto"
    if device_map is not None:
        _require_accelerate(checkpoint.source)
    with asking_transformers(checkpoint, _WAY_OUT):
        model = AutoModel.from_pretrained(
            checkpoint.folder,
            dtype=dtype,
            trust_remote_code=False,
            device_map=device_map,
            offload_folder=offload_folder,
        )
        model = getattr(model, "language_model", model)  # text alone of an image-text model
        if device_map is None:
            model = model.to(device)
    return model.eval(), str(model.config._attn_implementation)


def gpus_needed(n_bytes: int, gpu_bytes: int) -> int:
    """How many GPUs of that memory hold `n_bytes` of weights, with room to compute."""
    return max(1, -(-n_bytes // int(ROOM_FOR_WEIGHTS * gpu_bytes)))


def weight_bytes(checkpoint: Checkpoint, dtype: torch.dtype) -> int:
    """Bytes of the base model's weights in that dtype, from its configuration alone.

    Raises CheckpointError where transformers cannot make the model.
    """
    from transformers import AutoConfig, AutoModel

    with asking_transformers(checkpoint, _WAY_OUT), torch.device("meta"):
        config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
        model = AutoModel.from_config(config, trust_remote_code=False)
    n_parameters: int = sum(parameter.numel() for parameter in model.parameters())
    return n_parameters * dtype.itemsize


def _require_accelerate(source: str) -> None:
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            f"{source} is larger than one GPU and is spread by accelerate, which is not "
            "installed here: pip install 'neuron-catalog[ray]'"
        ) from error
