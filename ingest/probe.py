"""Plain forward passes over a few tokens, one context at a time, for `run` and `verify`."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from catalog.ingest.activations.hooks import MlpValues, TappedMlp, tap_mlps
from catalog.ingest.activations.model import load_model, refuse_experts
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

    def can_compute(self, exemplar: DrawnExemplar) -> bool:
        """Whether the model has what an exemplar names; a stranger may have written its row."""
        n_tokens = self.model.get_input_embeddings().num_embeddings  # type: ignore[operator]
        token_ids: Sequence[int | None] = exemplar.token_ids or ()
        window: Sequence[int | None] = exemplar.window_post or ()
        end = exemplar.window_start + len(window)
        return (
            None not in (exemplar.post, exemplar.x_in, exemplar.window_scale)
            and math.isfinite(exemplar.window_scale)
            and 0 <= exemplar.layer < len(self.mlps)
            and exemplar.neuron >= 0
            and 0 <= exemplar.position < len(token_ids)
            and 0 <= exemplar.window_start <= end <= len(token_ids)
            and all(each is not None and 0 <= each < n_tokens for each in token_ids)
            and len(window) > 0
            and None not in window
        )

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
    *,
    may_download: bool = True,
) -> Probe:
    """Load the model of a catalog entry.

    `tokenizer` is a folder with the tokenizer, if it is not the checkpoint's own; `at` is where
    the checkpoint lies now, if it was moved. Without `may_download` nothing is fetched.

    Raises:
        CheckpointError: the checkpoint has changed since it was ingested, or is gone.
        UsageError: it is a mixture of experts.
        EnvironmentFault: it would have to be downloaded and must not.
    """
    checkpoint = checkpoint_of(entry, tokenizer, at, may_download=may_download)
    refuse_experts(checkpoint)
    loaded = load_model(checkpoint, getattr(torch, dtype), device)
    return Probe(checkpoint, loaded.model, loaded.mlps, device)
