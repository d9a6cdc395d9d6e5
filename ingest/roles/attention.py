"""Attention scores: cosines of w_out with what a head's queries compare to the start token's key.

docs/definitions.md, "Functional roles", attention.
"""

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from catalog.ingest.attention_queries import queries, query_gains
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.roles.geometry import unit_rows


def head_directions(
    weights: NeuronVectors, layer: int, keys: Float[Tensor, "n_key_heads head_dim"]
) -> Float[Tensor, "n_heads d_model"]:
    """W_Q^h (g_q * k_BOS) of each query head of the layer, at length one, float64.

    W_Q is of the entry's kind; a query bias is no part of it, because it moves every query alike
    whatever the neuron writes. Rows of NaN where the direction is zero or not finite.
    """
    of_heads = queries(weights, layer)
    # Query heads share keys in consecutive groups.
    group = len(of_heads) // len(keys)
    compared = query_gains(weights, layer).double() * keys.double().repeat_interleave(group, dim=0)
    return unit_rows(torch.einsum("hd,hdm->hm", compared, of_heads.double()))


def score_rows(
    layer: int,
    cosines: Float[Tensor, "n_neurons n_heads_scored"],
    n_heads: int,
    k: int,
    floor: float,
) -> pa.Table:
    """Rows of `attention_score`: each neuron's k strongest heads, and all beyond the floor.

    Args:
        layer: the neurons' layer.
        cosines: with the heads of the layers after it, `n_heads` a layer; NaN is in no row.
        n_heads: query heads of a layer.
        k: heads kept of a neuron whatever their |cosine|; ties go to the earlier head.
        floor: a |cosine| above it is kept too.
    """
    values = cosines.float().cpu().numpy()
    strength = np.where(np.isnan(values), -1.0, np.abs(values))
    strongest = np.argsort(-strength, axis=1, kind="stable")[:, :k]
    kept = strength > floor
    np.put_along_axis(kept, strongest, True, axis=1)
    neurons, heads = np.nonzero(kept & (strength >= 0))
    return pa.table(
        {
            "layer": np.full(len(neurons), layer, np.int16),
            "neuron": neurons.astype(np.int32),
            "head_layer": (layer + 1 + heads // n_heads).astype(np.int16),
            "head": (heads % n_heads).astype(np.int16),
            "cosine": values[neurons, heads],
        }
    )
