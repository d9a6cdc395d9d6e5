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
        if kind != "raw" and self.family.raw_only is not None:
            raise CheckpointError(
                f"{checkpoint.source} cannot be read with {kind} weights: {self.family.raw_only}; "
                f"supported: {supported()}.",
                "It can be ingested with ",
                Option("weights", "raw"),
                " only.",
            )
        self.folding = Folding(checkpoint, self.family, kind)
        shape = _matrix_shape(checkpoint, self.family.weight(self.family.mlp.writes, 0))
        self.d_model, self.d_mlp = shape[::-1] if self.family.transposed else shape
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
        mlp = self.family.mlp
        block: Block = {}
        for _, vectors in groupby(mlp.reads, key=mlp.reads.__getitem__):
            # Vectors of a fused matrix are its rows one after another.
            for at, vector in enumerate(vectors):
                first = at * self.d_mlp
                module = mlp.reads[vector]
                block[vector] = self.readers(module, layer, first + start, first + stop, device)
        block["out"] = self.writers(mlp.writes, layer, start, stop, device)
        if self.kind != "raw":
            self.folding.fold_block(block, layer)
        return block

    def readers(
        self, module: str, layer: int, start: int, stop: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "n d_in"]:
        """What outputs start..stop of a linear module read with: a float32 copy on `device`."""
        name = self.family.weight(module, layer)
        if self.family.transposed:
            return _turned(self.checkpoint.columns(name, start, stop), device)
        return as_float32(self.checkpoint.rows(name, start, stop), device)

    def writers(
        self, module: str, layer: int, start: int, stop: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "n d_out"]:
        """What inputs start..stop of a linear module write: a float32 copy on `device`."""
        name = self.family.weight(module, layer)
        if self.family.transposed:
            return as_float32(self.checkpoint.rows(name, start, stop), device)
        return _turned(self.checkpoint.columns(name, start, stop), device)

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

    def expect_linear(self, module: str, layer: int, n_out: int, n_in: int) -> None:
        """CheckpointError unless a linear module of a layer has so many outputs and inputs."""
        shape = (n_in, n_out) if self.family.transposed else (n_out, n_in)
        self.expect_shape(self.family.weight(module, layer), shape)

    def check_sizes(self, config: Mapping[str, Any]) -> None:
        """Compare what a config.json, read with its class's defaults, says with the tensors.

        Raises CheckpointError naming the first size that differs.
        """
        for key, ours in (("hidden_size", self.d_model), ("intermediate_size", self.d_mlp)):
            stated = self.family.setting(config, key, ours)
            if stated != ours:
                raise CheckpointError(
                    f"{self.checkpoint.source}: config.json says {key} {stated!r}, but the tensors "
                    f"have {ours}."
                )
        if self.family.attention is not None:
            n_out = self.query_rows(config)
            self.expect_linear(self.family.attention.query, 0, n_out, self.d_model)

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
        n_embedded, d_embed = _matrix_shape(self.checkpoint, self.embedding_name)
        if family.project_in is None:
            d_embed = d_model
        else:
            yield family.weight(family.project_in), (d_model, d_embed)
        if family.project_out is not None:
            yield family.weight(family.project_out), (d_embed, d_model)
        yield self.embedding_name, (n_embedded, d_embed)
        yield self.unembedding_name, (self.d_vocab, d_embed)
        turn = -1 if family.transposed else 1
        for layer in range(self.n_layers):
            for module in mlp.reads.values():
                yield family.weight(module, layer), (read_rows, d_model)[::turn]
            yield family.weight(mlp.writes, layer), (d_model, d_mlp)[::turn]
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


def _turned(columns: Float[Tensor, "k n"], device: torch.device | str) -> Float[Tensor, "n k"]:
    """Columns of a stored matrix as rows."""
    # Gathering the strided columns first, then transposing, reads each page once.
    return as_float32(columns.to(device).contiguous().T.contiguous(), device)


def _matrix_shape(checkpoint: Checkpoint, name: str) -> tuple[int, int]:
    shape = checkpoint.shape(name)
    if len(shape) != 2:
        raise CheckpointError(f"{checkpoint.source}: tensor {name} has shape {shape}, no matrix.")
    return shape[0], shape[1]
