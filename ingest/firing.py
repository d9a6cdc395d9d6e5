"""What neurons do at one token and elsewhere, measured on contexts that hold it.

Sums of a few hundred tokens for each neuron would take more room than all exemplars, and one
more reading of post in every pass; contexts with one token are few and are read when asked for.
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from catalog.ingest.activations.contexts import CountingRule
from catalog.ingest.activations.hooks import MlpValues
from catalog.ingest.device import pick_device, pick_dtype
from catalog.ingest.probe import Probe, open_probe
from catalog.ingest.vocabulary import special_token_ids
from catalog.layers import LayerSizes
from catalog.queries.firing import HeldToken


@dataclass(frozen=True)
class NeuronOnToken:
    """A neuron at a token and elsewhere in the same contexts (docs/definitions.md, "Selectivity").

    `selectivity` is None where post never changes. Means are over positions at which the neuron is
    computed, and None, with `selectivity`, where an expert is asked at none of them.
    """

    layer: int
    neuron: int
    selectivity: float | None
    mean_post: float | None
    mean_post_elsewhere: float | None
    share_firing: float
    share_firing_elsewhere: float


class _Sums:
    """Sums over counted positions, at the token and at all: float64 `[n_layers, d_mlp]` each.

    `asked`: at how many of them the neuron is computed.
    """

    def __init__(self, n_layers: int, d_mlp: int) -> None:
        def zeros() -> torch.Tensor:
            return torch.zeros(n_layers, d_mlp, dtype=torch.float64)

        self.n_at = self.n_all = 0
        self.asked_at, self.asked_all = zeros(), zeros()
        self.post_at, self.post_all, self.square_all = zeros(), zeros(), zeros()
        self.fires_at, self.fires_all = zeros(), zeros()

    def add(self, layer: int, values: MlpValues, counted: torch.Tensor, at: torch.Tensor) -> None:
        """One context `[t, n]`; `counted` and `at` are masks of its positions."""
        asked = ~values.post.isnan()
        post = values.post.double().masked_fill(~asked, 0.0)
        # A neuron fires where the first that it reads, the gate if there is one, is positive.
        fires = values.reads[0] > 0
        for mask, total, each in (
            (at, self.asked_at, asked),
            (at, self.post_at, post),
            (at, self.fires_at, fires),
            (counted, self.asked_all, asked),
            (counted, self.post_all, post),
            (counted, self.square_all, post.square()),
            (counted, self.fires_all, fires),
        ):
            total[layer, : each.shape[1]] += each[mask].sum(dim=0, dtype=torch.float64).cpu()


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
    sums = _summed(probe, held)
    return _ranked(sums, held.entry.sizes, k), sums.n_at


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

        probe.read(token_ids, keep)
        sums.n_all += int(counted.sum())
        sums.n_at += int(at.sum())
    return sums


def _ranked(sums: _Sums, sizes: LayerSizes, k: int) -> list[NeuronOnToken]:
    """Of equals the lower layer, then neuron."""
    n_at, n_elsewhere = max(sums.n_at, 1), max(sums.n_all - sums.n_at, 1)
    # 0 / 0 is NaN: where an expert is not asked there is no mean.
    mean, mean_at = sums.post_all / sums.asked_all, sums.post_at / sums.asked_at
    elsewhere = (sums.post_all - sums.post_at) / (sums.asked_all - sums.asked_at)
    spread = (sums.square_all / sums.asked_all - mean.square()).clamp(min=0).sqrt()
    selectivity = torch.where(spread > 0, (mean_at - elsewhere) / spread, torch.nan)
    order = torch.argsort(
        selectivity.abs().nan_to_num(nan=-1.0).flatten(), descending=True, stable=True
    )
    firing_elsewhere = (sums.fires_all - sums.fires_at) / n_elsewhere
    places = (divmod(index, sizes.d_mlp) for index in order.tolist())
    there = ((layer, neuron) for layer, neuron in places if neuron < sizes.of_layer(layer))
    return [
        NeuronOnToken(
            *at,
            _number(selectivity[at]),
            _number(mean_at[at]),
            _number(elsewhere[at]),
            float(sums.fires_at[at] / n_at),
            float(firing_elsewhere[at]),
        )
        for at in islice(there, k)
    ]


def _number(value: torch.Tensor) -> float | None:
    return None if value.isnan() else float(value)
