"""The weight vectors of every neuron, a block at a time (docs/definitions.md, "Neuron")."""

import platform
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from catalog.errors import CheckpointError, Option
from catalog.ingest.checkpoint import Checkpoint, open_checkpoint
from catalog.ingest.families import Attention, Family, family_of
from catalog.ingest.families.registry import supported
from catalog.ingest.folding import Folding, as_float32
from catalog.taxonomy import Vector, WeightKind

BLOCK_SIZE = 512

Block: TypeAlias = dict[Vector, Float[Tensor, "n d_model"]]
"""The vectors of n consecutive neurons of one layer by name, in the order of `VECTORS`; float32."""


class NeuronVectors:
    """Weights of a model, of one kind: `folded`, `effective` or `raw` (docs/definitions.md).

    Reads slices of the checkpoint and never the model: at most one block beside what is asked for.
    A vector with non-finite values stays as it is and touches no other neuron's.
    """

    def __init__(
        self, checkpoint: Checkpoint, kind: WeightKind, family: Family | None = None
    ) -> None:
        """Check names and shapes of every tensor needed, from the headers.

        Raises CheckpointError for a missing or misshapen tensor, and for an architecture without
        a family unless `kind` is `raw`. `family` overrides the checkpoint's own.
        """
        self.checkpoint = checkpoint
        self.kind = kind
        self.family = family_of(checkpoint) if family is None else family.located(checkpoint)
        if kind != "raw" and not self.family.normed:
            raise CheckpointError(
                f"The norms of model type {self.family.name} are not known; supported: "
                f"{supported()}.",
                "It can be ingested with ",
                Option("weights", "raw"),
                " only.",
            )
        self.folding = Folding(checkpoint, self.family, kind)
        down = self.family.weight(self.family.mlp.writes, 0)
        self.d_model, self.d_mlp = _matrix_shape(checkpoint, down)
        self.n_layers = self.family.n_layers(checkpoint.config)
        self.activation_fn = self.family.activation_fn(checkpoint.config)
        self.embedding_name = self.family.embedding_name(checkpoint)
        self.unembedding_name = self.family.unembedding_name(checkpoint)
        self.d_vocab = _matrix_shape(checkpoint, self.unembedding_name)[0]
        self._check_shapes()

    def __reduce__(self) -> tuple[Callable[..., "NeuronVectors"], tuple[str, ...]]:
        """Pickled as where the checkpoint lies; other machines read it there themselves."""
        checkpoint = self.checkpoint
        revision = checkpoint.revision or ""
        return _reopened, (checkpoint.address, revision, self.kind, checkpoint.fingerprint)

    @property
    def vectors(self) -> tuple[Vector, ...]:
        """The vectors that each neuron has, in the order of `VECTORS`."""
        return self.family.mlp.vectors

    @property
    def attention(self) -> Attention:
        """The family's attention; CheckpointError where it is not known."""
        if self.family.attention is None:
            raise CheckpointError(f"The attention of {self.family.name} models is not known.")
        return self.family.attention

    def block(self, layer: int, start: int, stop: int, device: torch.device | str = "cpu") -> Block:
        """Vectors of neurons start..stop of a layer, on `device`, safe to write into."""
        mlp, read = self.family.mlp, self.checkpoint
        block: Block = {}
        for _, vectors in groupby(mlp.reads, key=mlp.reads.__getitem__):
            # Vectors of a fused matrix are its rows one after another.
            for at, vector in enumerate(vectors):
                first = at * self.d_mlp
                name = self.family.weight(mlp.reads[vector], layer)
                block[vector] = as_float32(read.rows(name, first + start, first + stop), device)
        written = read.columns(self.family.weight(mlp.writes, layer), start, stop)
        # Gathering the strided columns first, then transposing, reads each page once.
        block["out"] = as_float32(written.to(device).contiguous().T.contiguous(), device)
        if self.kind != "raw":
            self.folding.fold_block(block, layer)
        return block

    def blocks(
        self, layer: int, device: torch.device | str = "cpu", size: int = BLOCK_SIZE
    ) -> Iterator[tuple[int, Block]]:
        """All neurons of a layer as (first neuron, block); unmaps the checkpoint at the end."""
        for start in range(0, self.d_mlp, size):
            yield start, self.block(layer, start, min(start + size, self.d_mlp), device)
        self.checkpoint.release()

    def expect_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """CheckpointError unless the tensor has that shape."""
        if self.checkpoint.shape(name) != shape:
            raise CheckpointError(
                f"{self.checkpoint.source}: tensor {name} has shape "
                f"{self.checkpoint.shape(name)}, expected {shape}."
            )

    def check_sizes(self, config: Mapping[str, Any]) -> None:
        """Compare what a config.json, read with its class's defaults, says with the tensors.

        Raises CheckpointError naming the first size that differs.
        """
        for key, ours in (("hidden_size", self.d_model), ("intermediate_size", self.d_mlp)):
            stated = config.get(key, ours)
            if stated != ours:
                raise CheckpointError(
                    f"{self.checkpoint.source}: config.json says {key} {stated!r}, but the tensors "
                    f"have {ours}."
                )
        if self.family.attention is not None:
            name = self.family.weight(self.family.attention.query, 0)
            self.expect_shape(name, (self.query_rows(config), self.d_model))

    def query_rows(self, config: Mapping[str, Any]) -> int:
        """Rows of the matrix that makes queries, with keys and values where it is fused."""
        n_heads, n_key_heads, head_dim = self.family.heads(config)
        return head_dim * (n_heads + (2 * n_key_heads if self.attention.fused else 0))

    def _check_shapes(self) -> None:
        for name, shape in self._expected_shapes():
            self.expect_shape(name, shape)
            self.checkpoint.dtype(name)

    def _expected_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        # One at a time: a config.json may name more layers than memory could hold the names of.
        family, mlp, d_model, d_mlp = self.family, self.family.mlp, self.d_model, self.d_mlp
        read_rows = len(mlp.reads) * d_mlp if mlp.fused else d_mlp
        norms = [norm for norm in (family.mlp_norm, family.post_mlp_norm) if norm]
        yield self.embedding_name, (self.checkpoint.shape(self.embedding_name)[0], d_model)
        yield self.unembedding_name, (self.d_vocab, d_model)
        for layer in range(self.n_layers):
            for module in mlp.reads.values():
                yield family.weight(module, layer), (read_rows, d_model)
            yield family.weight(mlp.writes, layer), (d_model, d_mlp)
            if family.gain != "one":
                yield from ((family.weight(norm, layer), (d_model,)) for norm in norms)
        if family.gain != "one" and family.final_norm is not None:
            yield family.weight(family.final_norm), (d_model,)


def _reopened(source: str, revision: str, kind: WeightKind, fingerprint: str) -> NeuronVectors:
    """The same weights on another machine; CheckpointError if it has another checkpoint there."""
    checkpoint = open_checkpoint(source, revision or None)
    if checkpoint.fingerprint != fingerprint:
        raise CheckpointError(
            f"{source} on {platform.node()} is not the checkpoint that is being ingested. Every "
            "machine of the cluster must see the same files under the same path."
        )
    return NeuronVectors(checkpoint, kind)


def _matrix_shape(checkpoint: Checkpoint, name: str) -> tuple[int, int]:
    shape = checkpoint.shape(name)
    if len(shape) != 2:
        raise CheckpointError(f"{checkpoint.source}: tensor {name} has shape {shape}, no matrix.")
    return shape[0], shape[1]
