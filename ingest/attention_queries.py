"""What attention compares with keys, for the functional roles (docs/definitions.md)."""

import torch
from jaxtyping import Float
from torch import Tensor

from catalog.ingest.folding import centre
from catalog.ingest.neuron_vectors import NeuronVectors


def queries(weights: NeuronVectors, layer: int) -> Float[Tensor, "n_heads head_dim d_model"]:
    """W_Q of each head transposed, float32 on the CPU: folded and centred over d_model as w_in.

    Raises:
        CheckpointError: the attention of the family is not known, or a tensor is misshapen.
    """
    attention, config = weights.attention, weights.checkpoint.config
    n_heads, n_key_heads, head_dim = weights.family.heads(config)
    n_rows = weights.query_rows(config)
    weights.expect_linear(attention.query, layer, n_rows, weights.d_model)
    groups = attention.groups or n_key_heads
    # Queries come first in a group.
    starts = range(0, n_rows, n_rows // groups)
    n = n_heads * head_dim // groups
    rows = torch.cat([weights.readers(attention.query, layer, at, at + n) for at in starts])
    if weights.kind != "raw":
        gain = weights.folding.gain(attention.input_norm, layer, "cpu")
        if gain is not None:
            rows.mul_(gain)
        if weights.folding.centres:
            centre(rows)
    return rows.view(n_heads, head_dim, weights.d_model)


def query_gains(weights: NeuronVectors, layer: int) -> Float[Tensor, "n_heads head_dim"]:
    """Gain of the norm over each head's query (Gemma-3: 1+g), float32; ones without a norm.

    Raises:
        CheckpointError: as `queries`.
    """
    attention = weights.attention
    n_heads, _, head_dim = weights.family.heads(weights.checkpoint.config)
    gain = weights.folding.gain(attention.query_norm, layer, "cpu")
    if attention.query_norm is None or gain is None:
        return torch.ones(n_heads, head_dim)
    n_gains = head_dim if attention.norm_per_head else n_heads * head_dim
    weights.expect_shape(weights.family.weight(attention.query_norm, layer), (n_gains,))
    return gain.reshape(-1, head_dim).expand(n_heads, head_dim)
