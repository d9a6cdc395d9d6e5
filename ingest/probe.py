"""Plain forward passes over a few tokens, one context at a time, for `run` and `verify`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from catalog.ingest.activations.hooks import MlpValues, TappedMlp, tap_mlps
from catalog.ingest.activations.model import load_model
from catalog.ingest.checkpoint import Checkpoint
from catalog.ingest.checkpoint.ingested import checkpoint_of
from catalog.queries.records import DrawnExemplar, Entry


@dataclass(frozen=True)
class Probe:
    """A model that is asked for the values of its neurons, by the checkpoint's own forward pass."""

    checkpoint: Checkpoint
    model: nn.Module
    mlps: Sequence[TappedMlp]
    device: torch.device

    def values(self, token_ids: Sequence[int], layers: Collection[int]) -> dict[int, MlpValues]:
        """What every neuron of these layers computes: float32 `[t, d_mlp]`, on the host."""
        seen: dict[int, MlpValues] = {}

        def keep(layer: int, values: MlpValues) -> None:
            if layer in layers:
                seen[layer] = MlpValues.of(value[0].float().cpu() for value in values.tensors)

        tokens = torch.tensor([list(token_ids)], device=self.device)
        with torch.inference_mode(), tap_mlps(self.mlps, keep):
            self.model(input_ids=tokens, use_cache=False)
        return seen


def open_probe(
    entry: Entry | DrawnExemplar,
    dtype: str,
    device: torch.device,
    tokenizer: Path | None = None,
    at: Path | None = None,
) -> Probe:
    """Load the model of a catalog entry.

    `tokenizer` is a folder with the tokenizer, if it is not the checkpoint's own; `at` is where
    the checkpoint lies now, if it was moved.

    Raises:
        CheckpointError: the checkpoint has changed since it was ingested, or is gone.
    """
    checkpoint = checkpoint_of(entry, tokenizer, at)
    loaded = load_model(checkpoint, getattr(torch, dtype), device)
    return Probe(checkpoint, loaded.model, loaded.mlps, device)
