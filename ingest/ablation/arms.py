"""Arms: the passes that one order needs beside the clean one, a subset or a draw in each."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from catalog.ingest.ablation.baselines import Draw, Frequencies, draw
from catalog.ingest.ablation.subsets import NeuronsByLayer, Subset

Kind = Literal["zero", "mean"]
PostSign = Literal["+", "-"]


@dataclass(frozen=True)
class Ablation:
    """A subset whose post is replaced, and where: `id` names it in the catalog.

    `gate_sign`, `post_sign`: only where the gate, and post in its canonical sign, have that sign.
    """

    id: str
    subset: Subset
    kind: Kind
    gate_sign: PostSign | None
    post_sign: PostSign | None
    seed: int


@dataclass(frozen=True)
class Arm:
    """Neurons ablated in one pass: the subset of an ablation (`drawn` None), or a draw."""

    ablation: int  # its place in the order
    baseline: str  # 'none' for the subset itself
    number: int  # of the draw, from 1; 0 for the subset itself
    neurons: NeuronsByLayer
    drawn: Draw | None = None

    @property
    def first_layer(self) -> int | None:
        """The first layer that it touches; None for a draw that found no neuron."""
        return min(self.neurons, default=None)

    @property
    def n_neurons(self) -> int:
        return sum(len(each) for each in self.neurons.values())


def ablation_id(
    fingerprint: str,
    weights: str,
    corpus: str,
    n_contexts: int,
    subset: Subset,
    kind: Kind,
    gate_sign: PostSign | None,
    post_sign: PostSign | None,
    seed: int,
) -> str:
    """16 hexadecimal digits over all that an ablation is of; draws and baselines are not."""
    neurons = [[layer, each.tolist()] for layer, each in sorted(subset.neurons.items())]
    stated = [fingerprint, weights, corpus, n_contexts, subset.text, neurons]
    stated += [kind, gate_sign, post_sign, seed]
    return hashlib.sha256(json.dumps(stated).encode()).hexdigest()[:16]


def arms_of(
    ablations: Sequence[Ablation],
    baselines: Sequence[str],
    n_draws: int,
    d_mlp: Mapping[int, int],
    frequencies: Frequencies | None,
) -> list[Arm]:
    """The subset and all draws of each ablation."""
    arms = []
    for at, ablation in enumerate(ablations):
        chosen = ablation.subset.neurons
        arms.append(Arm(at, "none", 0, chosen))
        for baseline in baselines:
            for number in range(1, n_draws + 1):
                drawn = draw(baseline, number, ablation.seed, chosen, d_mlp, frequencies)
                arms.append(Arm(at, baseline, number, drawn.neurons, drawn))
    return arms
