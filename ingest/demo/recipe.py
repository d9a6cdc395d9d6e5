"""The recipes: how the demo models are built and trained."""

from dataclasses import dataclass
from typing import Final

LENGTH: Final = 512


@dataclass(frozen=True)
class Recipe:
    """How a demo model is built and trained."""

    gated: bool = True
    vocab: int = 4096
    d_model: int = 128
    d_mlp: int = 512
    layers: int = 4
    heads: int = 4
    batch: int = 2  # rows of LENGTH tokens
    steps: int = 1000
    warmup: int = 100
    decay_share: float = 0.6  # of the steps, at the end
    lr: float = 5e-3
    weight_decay: float = 0.3  # of attention
    embedding_decay: float = 0.1
    by_neuron: bool = True  # whether AdamByNeuron moves the MLPs; else AdamW, as the embeddings
    mlp_decay: float = 0.05
    mlp_halved_at: int = 100  # step at which the MLPs' learning rate is half of the others'
    initializer_range: float = 0.02
    mlp_initializer_range: float = 0.002
    source_share: float = 0.05  # of the library's source files, in each epoch
    seed: int = 20240


PLAIN: Final = Recipe(gated=False, d_mlp=768)
"""The twin without a gate: its two matrices have as many weights as the gated MLP's three."""

SERIES: Final = Recipe(
    d_model=32,
    d_mlp=128,
    layers=2,
    heads=2,
    batch=1,
    steps=1000,
    decay_share=0.4,
    lr=1e-2,
    weight_decay=0.5,
    embedding_decay=0.5,
    by_neuron=False,
    mlp_initializer_range=0.02,
)
"""A model so narrow that classes come about in a minute or two of training: a few directions are
soon shared by all that reads and writes them. By the recipe of AdamW, most of them go again."""

SERIES_STEPS: Final = (0, 30, 100, 300, 1000)
