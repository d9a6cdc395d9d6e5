"""A tiny checkpoint, contexts in memory and jobs over them, without a catalog."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import nn

from catalog.ingest.ablation.arms import Ablation, Arm, arms_of
from catalog.ingest.ablation.effects import EffectState
from catalog.ingest.ablation.passes import AblationJob, OpenAblationPass
from catalog.ingest.ablation.subsets import NeuronsByLayer, Subset
from catalog.ingest.activations.contexts import CountingRule
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.neuron_vectors import NeuronVectors
from tests.ingest.activations.tiny import ListContexts
from tests.tiny_checkpoints import D_VOCAB, N_LAYERS

D_MLP = 48
RULE = CountingRule(special_ids=(0, 5), skip_first=True)
SUBSETS: tuple[NeuronsByLayer, ...] = (
    {1: np.array([3, 7, 40], np.int32)},
    {0: np.array([0, 1], np.int32), 2: np.arange(0, 48, 2, dtype=np.int32)},
    {2: np.array([11], np.int32)},
)


def contexts(n: int = 9, longest: int = 40, seed: int = 0) -> ListContexts:
    """Start token 0, the special token 5 now and then."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, longest + 1, n)
    return ListContexts(
        [
            [0, *np.where(rng.random(m - 1) < 0.1, 5, rng.integers(1, D_VOCAB, m - 1))]
            for m in lengths
        ]
    )


def ablation(neurons: NeuronsByLayer, **changed: Any) -> Ablation:
    text = "+".join(f"{layer}:{len(each)}" for layer, each in neurons.items())
    given = {"kind": "zero", "gate_sign": None, "post_sign": None, "seed": 0} | changed
    return Ablation(f"{text} {sorted(given.items())}", Subset(text, neurons), **given)


def make_job(
    folder: Path,
    reader: ListContexts,
    ablations: Sequence[Ablation],
    *,
    baselines: Sequence[str] = (),
    n_draws: int = 2,
    means: dict[int, ndarray] | None = None,
    flipped: dict[int, ndarray] | None = None,
    tokens_per_batch: int = 128,
    k: int = 4,
) -> AblationJob:
    weights = NeuronVectors(open_checkpoint(str(folder)), "folded")
    d_mlp = dict.fromkeys(range(N_LAYERS), D_MLP)
    rng = np.random.default_rng(3)
    frequencies = {layer: rng.random(D_MLP) for layer in d_mlp}
    arms: list[Arm] = arms_of(ablations, baselines, n_draws, d_mlp, frequencies)
    return AblationJob(
        weights=weights,
        device=torch.device("cpu"),
        dtype="float32",
        corpus="in memory",
        lengths=reader.lengths,
        rule=RULE,
        ablations=tuple(ablations),
        arms=tuple(arms),
        means=means or {},
        flipped=flipped or {},
        k=k,
        tokens_per_batch=tokens_per_batch,
    )


def taken(work: OpenAblationPass, units: Sequence[int] | None = None) -> EffectState:
    """The state after these units, all by default."""
    state = EffectState.empty(work.job.plan)
    for _ in work.read(state, range(len(work.job.units)) if units is None else units):
        pass
    return state


class ShortOfMemory(nn.Module):
    """A model for which no more than so many contexts fit in memory, forward or only `backward`."""

    def __init__(self, model: nn.Module, most: int, *, backward: bool = False) -> None:
        super().__init__()
        self.model, self.most, self.backward = model, most, backward

    def forward(self, input_ids: torch.Tensor, **given: Any) -> Any:
        if len(input_ids) <= self.most:
            return self.model(input_ids=input_ids, **given)
        if not self.backward:
            _fail()
        output = self.model(input_ids=input_ids, **given)
        output.last_hidden_state.register_hook(_fail)
        return output


def _fail(*_: Any) -> None:
    raise RuntimeError("not enough memory: you tried to allocate")
