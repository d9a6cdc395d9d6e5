"""Rows of a made-up catalog: the shapes of the paper's models, values from a seeded generator.

Token ids are spread evenly over the vocabulary, which packs worse than a real model's. The lists go
through the vocab stage's own `LayerTop.rows`, so rows come in the order in which ingest loads them.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.ingest.stages.vocab import LayerTop
from catalog.taxonomy import BASES, N_SAMPLED_POSITIONS, SIGN_CASES, SIGNS, VECTORS

WINDOW = 32
CONTEXT_TOKENS = 1024
AGAIN = " again"

Rng = np.random.Generator


class Shape(NamedTuple):
    """One model of the paper: what of it decides the number of rows."""

    source: str
    family: str
    n_layers: int
    d_mlp: int
    d_vocab: int
    d_model: int
    vocabulary: str


PAPER = (
    Shape("google/gemma-2-2b", "gemma2", 26, 9216, 256000, 2304, "gemma"),
    Shape("google/gemma-2-9b", "gemma2", 42, 14336, 256000, 3584, "gemma"),
    Shape("meta-llama/Llama-2-7b-hf", "llama", 32, 11008, 32000, 4096, "llama-2"),
    Shape("meta-llama/Llama-3.1-8B", "llama", 32, 14336, 128256, 4096, "llama-3"),
    Shape("meta-llama/Llama-3.2-1B", "llama", 16, 8192, 128256, 2048, "llama-3"),
    Shape("meta-llama/Llama-3.2-3B", "llama", 28, 8192, 128256, 3072, "llama-3"),
    Shape("allenai/OLMo-1B-hf", "olmo", 16, 8192, 50304, 2048, "olmo"),
    Shape("allenai/OLMo-7B-0424-hf", "olmo", 32, 11008, 50304, 4096, "olmo"),
    Shape("mistralai/Mistral-7B-v0.1", "mistral", 32, 14336, 32000, 4096, "mistral"),
    Shape("Qwen/Qwen2.5-0.5B", "qwen2", 24, 4864, 151936, 896, "qwen2.5"),
    Shape("Qwen/Qwen2.5-7B", "qwen2", 28, 18944, 152064, 3584, "qwen2.5"),
    Shape("01-ai/Yi-6B", "llama", 32, 11008, 64000, 4096, "yi"),
)

# What the tokenizers of padded models have (the smaller one where models share a tokenizer).
N_TOKENS = {"gemma": 256000, "llama-2": 32000, "llama-3": 128256, "olmo": 50280}
N_TOKENS |= {"mistral": 32000, "qwen2.5": 151665, "yi": 64000}


def token_rows(vocabulary: str) -> pa.Table:
    """A vocabulary: most pieces with a space before them, ` again` one of them."""
    n = N_TOKENS[vocabulary]
    tokens = [f" word{i}" if i % 3 else f"piece{i}" for i in range(n)]
    tokens[n // 3] = AGAIN
    return pa.table({"token_id": np.arange(n, dtype=np.int32), "token": tokens})


def geometry_rows(rng: Rng, shape: Shape, layer: int) -> pa.Table:
    """Columns of the weights stage; cos_in_out falls with depth, as in the paper."""
    depth = layer / shape.n_layers
    spread = {"cos_gate_in": 0.25, "cos_gate_out": 0.25, "cos_in_out": 0.3}
    means = {"cos_in_out": 0.4 * (0.5 - depth)}
    columns = {
        name: rng.normal(means.get(name, 0), width, shape.d_mlp).clip(-0.999, 0.999)
        for name, width in spread.items()
    }
    columns |= {f"norm_{vector}": rng.lognormal(0, 0.1, shape.d_mlp) for vector in VECTORS}
    return _neuron_rows(layer, columns)


def moment_rows(rng: Rng, shape: Shape, layer: int) -> pa.Table:
    """Columns of `neuron` that the vocab stage adds."""
    columns = {
        "vocab_variance": rng.lognormal(-8.3, 0.4, shape.d_mlp),
        "vocab_skew": rng.normal(0, 0.5, shape.d_mlp),
        "vocab_kurtosis": rng.lognormal(0, 1, shape.d_mlp),
    }
    return _neuron_rows(layer, columns)


def role_rows(rng: Rng, shape: Shape, layer: int) -> pa.Table:
    """Columns of `neuron` that the roles stage adds."""
    roles = ["other", "prediction", "suppression", "partition", "attention deactivation"]
    drawn = rng.choice(len(roles), shape.d_mlp, p=[0.9, 0.05, 0.03, 0.01, 0.01])
    rows = _neuron_rows(layer, {"null_space_share": rng.beta(2, 60, shape.d_mlp)})
    return rows.append_column("functional_role", pa.array(roles).take(pa.array(drawn)))


def top_token_rows(rng: Rng, shape: Shape, layer: int, k: int) -> pa.Table:
    """Lists of every vector, in both bases and signs; no token twice in a list."""
    lists = (len(VECTORS), shape.d_mlp, len(SIGNS), k)
    n_tokens = N_TOKENS[shape.vocabulary]
    part = n_tokens // k
    parts = []
    for basis in sorted(BASES):  # staged parts are loaded by name
        # One id out of each of k parts of the vocabulary, in an order drawn anew for a neuron.
        order = rng.permuted(np.tile(np.arange(k, dtype=np.int32), (shape.d_mlp, 1)), axis=1)
        token_ids = rng.integers(0, part, lists, dtype=np.int32) + part * order[None, :, None, :]
        scores = np.sort(rng.standard_gamma(4, lists, dtype=np.float32), axis=-1)[..., ::-1].copy()
        scores[:, :, 1] *= -1
        readable = np.ones(lists[:2], bool)
        parts.append(LayerTop(scores, token_ids, readable).rows(layer, basis, VECTORS))
    return pa.concat_tables(parts)


def context_rows(rng: Rng, n_contexts: int, n_tokens: int) -> pa.Table:
    """Contexts of one text of four-letter words; their token ids are drawn."""
    starts = np.arange(CONTEXT_TOKENS, dtype=np.int32) * 5
    ids = rng.integers(0, n_tokens, (n_contexts, CONTEXT_TOKENS), dtype=np.int32)
    repeated = np.broadcast_to(starts, ids.shape)
    return pa.table(
        {
            "context_id": np.arange(n_contexts, dtype=np.int32),
            "source_ref": [f"document {i}" for i in range(n_contexts)],
            "text": ["word " * CONTEXT_TOKENS] * n_contexts,
            "token_ids": _lists(ids),
            "token_starts": _lists(repeated),
            "token_ends": _lists(repeated + 4),
        }
    )


def statistic_rows(rng: Rng, shape: Shape, layer: int) -> pa.Table:
    """Four rows a neuron."""
    n = len(SIGN_CASES) * shape.d_mlp
    values = ("mean_post", "extreme_post", "mean_gate", "extreme_gate", "mean_in", "extreme_in")
    return pa.table(
        {
            **_places(layer, shape.d_mlp, len(SIGN_CASES)),
            "sign_case": _sign_cases(shape.d_mlp, 1),
            "n_positions": np.full(n, 20_000_000),
            "n_in_case": rng.integers(0, 10_000_000, n),
            **{name: rng.normal(size=n).astype(np.float32) for name in values},
        }
    )


def exemplar_rows(rng: Rng, shape: Shape, layer: int, n_contexts: int, k: int) -> pa.Table:
    """k rows a sign case; windows of small bytes with the peak in place."""
    n = len(SIGN_CASES) * k * shape.d_mlp
    n_tokens = N_TOKENS[shape.vocabulary]
    windows = rng.normal(0, 25, (n, WINDOW)).clip(-127, 127).astype(np.int8)
    windows[:, 23] = 127
    posts = np.sort(rng.standard_gamma(4, (n // k, k), dtype=np.float32), axis=1)[:, ::-1].ravel()
    return pa.table(
        {
            **_places(layer, shape.d_mlp, len(SIGN_CASES) * k),
            "sign_case": _sign_cases(shape.d_mlp, k),
            "rank": np.tile(np.arange(1, k + 1, dtype=np.int16), n // k),
            "post": posts,
            "x_gate": rng.normal(size=n).astype(np.float32),
            "x_in": rng.normal(size=n).astype(np.float32),
            "context_id": rng.integers(0, n_contexts, n, dtype=np.int32),
            "position": rng.integers(23, CONTEXT_TOKENS - 8, n, dtype=np.int32),
            "token_id": rng.integers(0, n_tokens, n, dtype=np.int32),
            "next_token_id": rng.integers(0, n_tokens, n, dtype=np.int32),
            "window_scale": posts / 127,
            "window_post": _lists(windows),
        }
    )


def sample_rows(rng: Rng, shape: Shape, layer: int) -> pa.Table:
    """One row a neuron: post at the sampled positions."""
    # As a normal distribution gives in ratios: most within three octaves of the largest.
    values = rng.normal(0, 0.3, (shape.d_mlp, N_SAMPLED_POSITIONS)).clip(-1, 1)
    samples = np.sign(values) * (127 + 8 * np.log2(np.abs(values))).round().clip(0, 127)
    return pa.table(
        {
            **_places(layer, shape.d_mlp, 1),
            "scale": rng.random(shape.d_mlp, dtype=np.float32),
            "post": _lists(samples.astype(np.int8)),
        }
    )


def sample_positions(rng: Rng, n_contexts: int) -> pa.Table:
    """The positions that every neuron is sampled at."""
    n = N_SAMPLED_POSITIONS
    return pa.table(
        {
            "sample": np.arange(n, dtype=np.int16),
            "context_id": rng.integers(0, n_contexts, n, dtype=np.int32),
            "position": rng.integers(1, CONTEXT_TOKENS, n, dtype=np.int32),
        }
    )


def _neuron_rows(layer: int, columns: dict[str, npt.NDArray[np.float64]]) -> pa.Table:
    n = len(next(iter(columns.values())))
    values = {name: column.astype(np.float32) for name, column in columns.items()}
    return pa.table(_places(layer, n, 1) | values)


def _places(layer: int, d_mlp: int, rows_each: int) -> dict[str, npt.NDArray[np.integer]]:
    neurons = np.repeat(np.arange(d_mlp, dtype=np.int32), rows_each)
    return {"layer": np.full(len(neurons), layer, np.int16), "neuron": neurons}


def _sign_cases(d_mlp: int, rows_each: int) -> pa.Array:
    drawn = np.tile(np.repeat(np.arange(len(SIGN_CASES)), rows_each), d_mlp)
    return pa.array(SIGN_CASES).take(pa.array(drawn))


def _lists(values: npt.NDArray[np.integer]) -> pa.Array:
    """A matrix as lists of its rows."""
    offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1])
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()))
