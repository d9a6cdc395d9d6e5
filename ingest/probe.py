"""Plain forward passes over a few tokens, one context at a time, for `run` and `verify`."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from catalog.ingest.activations.hooks import (
    ExpertValues,
    MlpValues,
    Tap,
    TappedExperts,
    TappedMlp,
    tap_mlps,
)
from catalog.ingest.activations.model import load_model
from catalog.ingest.checkpoint import Checkpoint
from catalog.ingest.checkpoint.ingested import checkpoint_of
from catalog.queries.records import DrawnExemplar, Entry


@dataclass(frozen=True)
class Probe:
    """A model that is asked for the values of its neurons, by the checkpoint's own forward pass."""

    checkpoint: Checkpoint
    model: nn.Module
    mlps: Sequence[TappedMlp | TappedExperts]
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
            and (None not in window or self.has_experts(exemplar.layer))
        )

    def has_experts(self, layer: int) -> bool:
        """Whether neurons of a layer are computed at some positions only."""
        return isinstance(self.mlps[layer], TappedExperts)

    def read(self, token_ids: Sequence[int], tap: Tap) -> None:
        """Read one context; `tap` is called once per layer with `[t, n]` in the model's dtype.

        Where an expert is not asked, its neurons are NaN.
        """
        told: dict[int, list[ExpertValues]] = {}

        def dense(layer: int, values: MlpValues) -> None:
            tap(layer, MlpValues.of(value[0] for value in values.tensors))

        def expert(layer: int, seen: ExpertValues) -> None:
            experts = self.mlps[layer]
            assert isinstance(experts, TappedExperts)
            told.setdefault(layer, []).append(seen)
            if sum(each.values.post.shape[-1] for each in told[layer]) == experts.n_neurons:
                tap(layer, _together(told.pop(layer), len(token_ids), experts.n_neurons))

        tokens = torch.tensor([list(token_ids)], device=self.device)
        with torch.inference_mode(), tap_mlps(self.mlps, dense, expert):
            self.model(input_ids=tokens, use_cache=False)

    def values(self, token_ids: Sequence[int], layers: Collection[int]) -> dict[int, MlpValues]:
        """What every neuron of these layers computes: float32 `[t, n]`, on the host, as `read`."""
        seen: dict[int, MlpValues] = {}

        def keep(layer: int, values: MlpValues) -> None:
            if layer in layers:
                seen[layer] = MlpValues.of(value.float().cpu() for value in values.tensors)

        self.read(token_ids, keep)
        return seen


def _together(experts: Sequence[ExpertValues], n_tokens: int, n_neurons: int) -> MlpValues:
    """What the experts of a layer computed for one context, each at its positions."""
    like = experts[0].values
    made = [each.new_full((n_tokens, n_neurons), torch.nan) for each in like.tensors]
    for seen in experts:
        at = slice(None) if seen.positions is None else seen.positions
        own = slice(seen.first, seen.first + seen.values.post.shape[-1])
        for there, value in zip(made, seen.values.tensors, strict=True):
            there[at, own] = value.flatten(0, -2)
    return MlpValues.of(made)


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
        EnvironmentFault: it would have to be downloaded and must not.
    """
    checkpoint = checkpoint_of(entry, tokenizer, at, may_download=may_download)
    loaded = load_model(checkpoint, getattr(torch, dtype), device)
    return Probe(checkpoint, loaded.model, loaded.layers, device)
