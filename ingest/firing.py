"""What neurons do at one token and elsewhere, measured on contexts that hold it.

Sums of a few hundred tokens for each neuron would take more room than all exemplars, and one
more reading of post in every pass; contexts with one token are few and are read when asked for.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from catalog.ingest.activations.contexts import CountingRule
from catalog.ingest.activations.hooks import MlpValues, tap_mlps
from catalog.ingest.device import pick_device, pick_dtype
from catalog.ingest.probe import Probe, open_probe
from catalog.ingest.vocabulary import special_token_ids
from catalog.queries.firing import HeldToken


@dataclass(frozen=True)
class NeuronOnToken:
    """A neuron at a token and elsewhere in the same contexts (docs/definitions.md, "Selectivity").

    `selectivity` is None where post never changes.
    """

    layer: int
    neuron: int
    selectivity: float | None
    mean_post: float
    mean_post_elsewhere: float
    share_firing: float
    share_firing_elsewhere: float


class _Sums:
    """Sums over counted positions, at the token and at all: float64 `[n_layers, d_mlp]` each."""

    def __init__(self, n_layers: int, d_mlp: int) -> None:
        self.n_at = self.n_all = 0
        self.post_at, self.post_all, self.square_all, self.fires_at, self.fires_all = (
            torch.zeros(n_layers, d_mlp, dtype=torch.float64) for _ in range(5)
        )

    def add(self, layer: int, values: MlpValues, counted: torch.Tensor, at: torch.Tensor) -> None:
        """One context `[1, t, n]`; `counted` and `at` are masks of its positions."""
        # A neuron fires where the first that it reads, the gate if there is one, is positive.
        post, fires = values.post[0].double(), (values.reads[0][0] > 0).double()
        for mask, sums in (
            (at, ((self.post_at, post), (self.fires_at, fires))),
            (
                counted,
                (
                    (self.post_all, post),
                    (self.square_all, post.square()),
                    (self.fires_all, fires),
                ),
            ),
        ):
            for total, each in sums:
                total[layer] += each[mask].sum(dim=0).cpu()


def neurons_firing_on(
    held: HeldToken,
    k: int,
    device: str,
    dtype: str,
    tokenizer: Path | None = None,
    checkpoint: Path | None = None,
) -> tuple[list[NeuronOnToken], int]:
    """The k neurons of largest |selectivity|, and how often the token occurs.

    Raises:
        CheckpointError: the checkpoint is gone, or not the one that was ingested.
    """
    where = pick_device(device)
    probe = open_probe(held.entry, pick_dtype(dtype, where), where, tokenizer, checkpoint)
    return _ranked(_summed(probe, held), k)


def _summed(probe: Probe, held: HeldToken) -> _Sums:
    rule = CountingRule((), skip_first=False)
    if held.corpus.special_tokens == "excluded":
        special = tuple(special_token_ids(probe.checkpoint.tokenizer()))
        rule = CountingRule(special, skip_first=held.starts_special)
    sums = _Sums(held.entry.n_layers, held.entry.d_mlp)
    for token_ids in held.contexts:
        ids = np.array(token_ids)
        counted = rule.counted(ids)
        at = counted & np.isin(ids, held.token_ids)
        masks = [torch.from_numpy(mask).to(probe.device) for mask in (counted, at)]

        def keep(layer: int, values: MlpValues, masks: list[torch.Tensor] = masks) -> None:
            sums.add(layer, values, *masks)

        with torch.inference_mode(), tap_mlps(probe.mlps, keep):
            probe.model(input_ids=torch.tensor([token_ids], device=probe.device), use_cache=False)
        sums.n_all += int(counted.sum())
        sums.n_at += int(at.sum())
    return sums


def _ranked(sums: _Sums, k: int) -> tuple[list[NeuronOnToken], int]:
    """Of equals the lower layer, then neuron."""
    n_at, n_elsewhere = max(sums.n_at, 1), max(sums.n_all - sums.n_at, 1)
    mean, mean_at = sums.post_all / max(sums.n_all, 1), sums.post_at / n_at
    elsewhere = (sums.post_all - sums.post_at) / n_elsewhere
    spread = (sums.square_all / max(sums.n_all, 1) - mean.square()).clamp(min=0).sqrt()
    selectivity = torch.where(spread > 0, (mean_at - elsewhere) / spread, torch.nan)
    order = torch.argsort(
        selectivity.abs().nan_to_num(nan=-1.0).flatten(), descending=True, stable=True
    )
    firing_elsewhere = (sums.fires_all - sums.fires_at) / n_elsewhere
    d_mlp, found = mean.shape[1], []
    for index in order[:k].tolist():
        at = layer, neuron = divmod(index, d_mlp)
        value = float(selectivity[at])
        found.append(
            NeuronOnToken(
                layer,
                neuron,
                None if np.isnan(value) else value,
                float(mean_at[at]),
                float(elsewhere[at]),
                float(sums.fires_at[at] / n_at),
                float(firing_elsewhere[at]),
            )
        )
    return found, sums.n_at
