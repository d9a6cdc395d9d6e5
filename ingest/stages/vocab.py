"""Stage `vocab`: the tokens that each weight vector points at, and the moments of w_out."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from catalog.ingest.device import fast_dtype
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.projection import Moments, TopTokens, VocabularyBasis
from catalog.ingest.stages.stage import LayerRows, LayerUnit, LayerwiseStage, StageContext
from catalog.ingest.vocabulary import Vocabulary, vocabulary_pieces
from catalog.ingest.vocabulary_matrices import embedding, unembedding
from catalog.ingest.within import told
from catalog.store.handle import Handle
from catalog.store.staging import Staging
from catalog.store.writing import register_vocabulary
from catalog.taxonomy import BASES, DIRECTIONS, SIGNS, Basis, Direction, Vector

SCORES_PER_TILE = 2**26
"""Scores held at once, at most: 256 MiB in float32."""

ROWS_PER_TILE = {"cpu": 512, "cuda": 4096}
"""Neurons of a block, at most, by kind of device: enough for a product near full speed."""

MOMENT_COLUMNS = ("vocab_variance", "vocab_skew", "vocab_kurtosis")

_NO_ROUTER = pa.schema(
    {
        "layer": pa.int16(),
        "expert": pa.int16(),
        "basis": pa.string(),
        "sign": pa.string(),
        "rank": pa.int16(),
        "token_id": pa.int32(),
        "score": pa.float32(),
    }
).empty_table()

# A table of the staging folder that is not loaded: columns of zero norm, by basis.
_ZERO_VECTORS = "zero_vectors"


class VocabStage(LayerwiseStage):
    """Multiplies every vector with W_U and W_E once; keeps k tokens at either end of the scores."""

    name = "vocab"

    def __init__(
        self, weights: NeuronVectors, vocabulary: Vocabulary, k: int, device: torch.device
    ) -> None:
        self.weights = weights
        self.vocabulary = vocabulary
        self.k = k
        self.device = device
        self._held: tuple[Basis, VocabularyBasis] | None = None

    @classmethod
    def of(cls, context: StageContext) -> Self:
        vocabulary = entry_vocabulary(context)
        return cls(context.weights, vocabulary, context.top_tokens, context.device)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "weights": self.weights.kind,
            "top_tokens": self.k,
            "vocabulary": self.vocabulary.digest,
        }

    @property
    def n_bytes(self) -> int:
        n_lists = len(self.weights.vectors) * len(BASES) * len(SIGNS)
        return 10 * n_lists * self.k * self.weights.sizes.n_neurons

    def units(self) -> Sequence[LayerUnit]:
        # A worker holds one basis at a time, so all layers come in one basis before the other.
        layers = range(self.weights.n_layers)
        return [LayerUnit(layer, basis) for basis in BASES for layer in layers]

    def unit_tables(self, unit: LayerUnit) -> Sequence[str]:
        moments = ("neuron",) if unit.basis == "unembed" else ()
        return (
            *moments,
            "top_token",
            "router_token",
            *((_ZERO_VECTORS,) if unit.layer == 0 else ()),
        )

    def compute_unit(self, unit: LayerUnit) -> LayerRows:
        basis: Basis = "embed" if unit.basis == "embed" else "unembed"
        if self._held is None or self._held[0] != basis:
            self._held = None  # one basis must go before the other comes
            self._held = basis, self.basis(basis)
        vectors = self._held[1]
        tables = self.layer_rows(unit.layer, basis, vectors)
        if unit.layer == 0:
            n_zero = pa.table({"basis": [basis], "n": [vectors.n_zero]})
            return {_ZERO_VECTORS: n_zero, **tables}
        return tables

    def notes(self, staging: Staging) -> Mapping[str, Any]:
        n_zero = staging.read(0, _ZERO_VECTORS).to_pylist()
        return {
            "unlisted_tokens": self.weights.d_vocab - len(self.vocabulary.tokens),
            **{f"zero_vectors_{row['basis']}": row["n"] for row in n_zero},
        }

    def basis(self, basis: Basis) -> VocabularyBasis:
        """The token vectors of a basis, on the stage's device."""
        read = unembedding if basis == "unembed" else embedding
        listed = torch.from_numpy(self.vocabulary.token_ids)
        return VocabularyBasis(read(self.weights, self.device), listed, fast_dtype(self.device))

    def layer_rows(self, layer: int, basis: Basis, vectors: VocabularyBasis) -> dict[str, pa.Table]:
        """Rows of `top_token`, and with basis `unembed` the moments, of one layer."""
        names = self.weights.vectors
        n_rows = self._rows_at_once()
        tops: list[LayerTop] = []
        moments: list[Moments] = []
        blocks = self.weights.blocks(layer, self.device, n_rows)
        for _, block in told(blocks, self.weights.n_blocks(layer, n_rows)):
            extremes, norms = [], []
            for name, w in block.items():
                has_moments = name == "out" and basis == "unembed"
                scores = vectors.scores(w, torch.float32 if has_moments else vectors.dtype)
                if has_moments:
                    moments.append(vectors.moments(scores.values, scores.vectors.norms))
                extremes.append(vectors.extremes(w, self.k, scores))
                norms.append(scores.vectors.norms)
            tops.append(LayerTop.of(extremes, torch.stack(norms)))
        rows = {"neuron": _moment_rows(layer, moments)} if basis == "unembed" else {}
        top = LayerTop.joined(tops).rows(layer, basis, names)
        return rows | {"top_token": top, "router_token": self._router_rows(layer, basis, vectors)}

    def _rows_at_once(self) -> int:
        """Neurons of a block: as many as a tile has room for, the blocks of a layer alike."""
        most = max(1, min(ROWS_PER_TILE[self.device.type], SCORES_PER_TILE // self.weights.d_vocab))
        return ceil(self.weights.d_mlp / ceil(self.weights.d_mlp / most))

    def _router_rows(self, layer: int, basis: Basis, vectors: VocabularyBasis) -> pa.Table:
        """What the rows of the layer's router point at; none for one that has no direction."""
        router = self.weights.router(layer, self.device)
        found = []
        norms = torch.linalg.vector_norm(router, dim=1)
        experts = (norms.isfinite() & (norms > 0)).nonzero()[:, 0]
        if len(experts):
            extremes = vectors.extremes(router[experts], self.k)
            for sign, top in zip(SIGNS, extremes, strict=True):
                ids, scores = top.token_ids.cpu().numpy(), top.scores.cpu().numpy()
                n, k = ids.shape
                found.append(
                    pa.table(
                        {
                            "layer": np.full(n * k, layer, np.int16),
                            "expert": np.repeat(experts.cpu().numpy().astype(np.int16), k),
                            "basis": [basis] * (n * k),
                            "sign": [sign] * (n * k),
                            "rank": np.tile(np.arange(1, k + 1, dtype=np.int16), n),
                            "token_id": ids.astype(np.int32).ravel(),
                            "score": scores.astype(np.float32).ravel(),
                        }
                    )
                )
        rows = pa.concat_tables([_NO_ROUTER, *found])
        return rows.sort_by([("expert", "ascending"), ("sign", "ascending"), ("rank", "ascending")])

    def load_references(self, catalog: Handle, model_id: int) -> None:
        load_vocabulary(catalog, model_id, self.vocabulary)


def entry_vocabulary(context: StageContext) -> Vocabulary:
    """The vocabulary of the entry."""
    return vocabulary_pieces(context.weights.checkpoint.tokenizer(), context.weights.d_vocab)


def load_vocabulary(catalog: Handle, model_id: int, vocabulary: Vocabulary) -> None:
    """Load the listed tokens, unless the catalog holds them already."""
    rows = pa.table({"token_id": vocabulary.token_ids, "token": vocabulary.tokens})
    with catalog.writing() as connection:
        register_vocabulary(connection, model_id, vocabulary.digest, rows)


class LayerTop(NamedTuple):
    """The listed tokens of some neurons of a layer, in one basis, on the host."""

    scores: Float[np.ndarray, "v n 2 k"]
    token_ids: Int[np.ndarray, "v n 2 k"]
    readable: Bool[np.ndarray, "v n"]

    @classmethod
    def of(
        cls, extremes: Sequence[tuple[TopTokens, TopTokens]], norms: Float[Tensor, "v n"]
    ) -> "LayerTop":
        """From highest and lowest of each kind of vector, and the lengths of these."""
        scores, token_ids = (
            torch.stack([torch.stack([top[at] for top in tops], 1) for tops in extremes])
            for at in range(2)
        )
        readable = norms.isfinite() & (norms > 0)
        return cls(scores.cpu().numpy(), token_ids.int().cpu().numpy(), readable.cpu().numpy())

    @classmethod
    def joined(cls, parts: list["LayerTop"]) -> "LayerTop":
        """The parts as one, along the neurons."""
        return cls(*(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True)))

    def rows(self, layer: int, basis: Basis, vectors: Sequence[Vector]) -> pa.Table:
        """Rows by vector, neuron, sign and rank; none for a vector that is zero or not finite."""
        directions = [
            [DIRECTIONS.index(Direction(vector, basis, sign)) for sign in SIGNS]
            for vector in vectors
        ]
        n, k = self.scores.shape[1], self.scores.shape[3]
        columns: dict[str, np.ndarray[Any, Any]] = {
            "layer": np.array(layer, np.int16),
            "neuron": np.arange(n, dtype=np.int32)[:, None, None],
            "direction": np.array(directions, np.int8)[:, None, :, None],
            "rank": np.arange(1, k + 1, dtype=np.int16),
            "token_id": self.token_ids,
            "score": self.scores,
        }
        return pa.table(
            {
                name: np.broadcast_to(values, self.scores.shape)[self.readable].ravel()
                for name, values in columns.items()
            }
        )


def _moment_rows(layer: int, moments: list[Moments]) -> pa.Table:
    columns = [torch.cat(parts).cpu().numpy() for parts in zip(*moments, strict=True)]
    n = len(columns[0])
    return pa.table(
        {
            "layer": np.full(n, layer, np.int16),
            "neuron": np.arange(n, dtype=np.int32),
            **{
                name: pa.array(values, pa.float32(), mask=~np.isfinite(values))
                for name, values in zip(MOMENT_COLUMNS, columns, strict=True)
            },
        }
    )
