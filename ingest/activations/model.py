"""The model of a pass: loaded whole onto one device, or spread where one is too small."""

from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import nn

from catalog.errors import EnvironmentFault, Option
from catalog.ingest.activations.hooks import TappedExperts, TappedMlp, find_layers
from catalog.ingest.checkpoint import Checkpoint, DeviceMap
from catalog.ingest.checkpoint.gguf_model import refuse_experts
from catalog.ingest.families import family_of
from catalog.ingest.known_faults import refuse_known_faults
from catalog.ingest.neuron_vectors import layer_sizes
from catalog.ingest.routed import read_experts

ROOM_FOR_WEIGHTS: Final = 0.7
"""Share of a GPU's memory that weights may take; the rest is for the state and the activations."""

_MEMORY: Final = Path("/proc/meminfo")


class LoadedModel(NamedTuple):
    """A base model without LM head, its MLPs or experts by layer, and its attention."""

    model: nn.Module
    layers: list[TappedMlp | TappedExperts]
    attention: str


def load_model(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device,
    device_map: DeviceMap | None = None,
    offload_folder: Path | None = None,
) -> LoadedModel:
    """Load the base model of a checkpoint in that dtype.

    An attention implementation is never forced, since some models refuse one. A model that does not
    fit on one GPU is spread by accelerate over all that this process sees, then over host memory;
    `device_map` says how instead, with a folder for the parts it maps to "disk".

    Raises EnvironmentFault where accelerate is needed and missing, a GGUF file would take more
    memory than there is, or transformers is known to run such models wrongly; CheckpointError where
    transformers cannot make the model.
    """
    require_runnable(checkpoint)
    if device_map is None and device.type == "cuda":
        gpu_bytes = torch.cuda.get_device_properties(device).total_memory
        if gpus_needed(weight_bytes(checkpoint, dtype), gpu_bytes) > 1:
            device_map = "auto"
    if device_map is not None:
        _require_accelerate(f"{checkpoint.source} is larger than one GPU and is spread", "ray")
    if checkpoint.tensors.is_dequantised:
        _require_accelerate(f"The GGUF file {checkpoint.source} is loaded", "gguf")
        _require_memory(checkpoint, dtype)
    family = family_of(checkpoint)
    model = checkpoint.base_model(dtype, device_map, offload_folder)
    if family.decoder:
        model = getattr(model, family.decoder, model)  # text alone of an image-text model
    if device_map is None:
        model = model.to(device)
    sizes = layer_sizes(checkpoint, family)
    if sizes.n_experts:
        read_experts(model)
    layers = find_layers(model, family, sizes)
    return LoadedModel(model.eval(), layers, str(model.config._attn_implementation))  # type: ignore[union-attr]


def require_runnable(checkpoint: Checkpoint) -> None:
    """Refuse, before anything is read, a model that is known not to run, or to run wrongly.

    Raises:
        EnvironmentFault: this version of transformers runs it wrongly.
        CheckpointError: a GGUF file of experts.
    """
    refuse_known_faults(str(checkpoint.config.get("model_type")), checkpoint.source)
    if checkpoint.tensors.is_dequantised:
        refuse_experts(family_of(checkpoint), checkpoint.source)


def gpus_needed(n_bytes: int, gpu_bytes: int) -> int:
    """How many GPUs of that memory hold `n_bytes` of weights, with room to compute."""
    return max(1, -(-n_bytes // int(ROOM_FOR_WEIGHTS * gpu_bytes)))


def weight_bytes(checkpoint: Checkpoint, dtype: torch.dtype) -> int:
    """Bytes of the base model's weights in that dtype, from its configuration alone.

    Raises CheckpointError where transformers cannot make the model.
    """
    return checkpoint.n_parameters() * dtype.itemsize


def dequantised_size(checkpoint: Checkpoint, dtype: torch.dtype) -> str:
    """What running a GGUF model takes, as a clause for messages."""
    size = f"{weight_bytes(checkpoint, dtype) / 1e9:,.1f} GB"
    name = str(dtype).removeprefix("torch.")
    return f"{checkpoint.source} is dequantised whole to be run, which takes {size} in {name}"


def _require_memory(checkpoint: Checkpoint, dtype: torch.dtype) -> None:
    """Refuse a GGUF model that does not fit: transformers dequantises all of it to `dtype`."""
    needed = weight_bytes(checkpoint, dtype)
    free = _free_bytes()
    if free is not None and needed > free:
        hint = (" Use ", Option("dtype", "bfloat16"), ", which takes half.")
        raise EnvironmentFault(
            f"{dequantised_size(checkpoint, dtype)}; {free / 1e9:,.1f} GB of memory are free.",
            *(hint if dtype == torch.float32 else ()),
        )


def _free_bytes() -> int | None:
    """Memory that can be had, where the system tells."""
    if not _MEMORY.exists():
        return None
    lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def _require_accelerate(what_happens: str, extra: str) -> None:
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            f"{what_happens} by accelerate, which is not installed here: "
            f"pip install 'neuron-catalog[{extra}]'"
        ) from error
