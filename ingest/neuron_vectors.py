"""The weight vectors of every neuron, a block at a time (docs/definitions.md, "Neuron")."""

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from catalog.errors import CheckpointError, Option
from catalog.ingest.checkpoint import Checkpoint, open_checkpoint
from catalog.ingest.families import Attention, Family, Mlp, family_of
from catalog.ingest.families.registry import supported
from catalog.ingest.folding import Folding, as_float32
from catalog.layers import LayerSizes
from catalog.taxonomy import Vector, WeightKind

BLOCK_SIZE = 512

_MAPPED_BYTES = 2**29
"""Of a layer's experts so much is read before the checkpoint is unmapped."""

Block: TypeAlias = dict[Vector, Float[Tensor, "n d_model"]]
"""The vectors of n consecutive neurons of one layer by name, in the order of `VECTORS`; float32."""


@dataclass(frozen=True)
class Part:
    """Neurons first..first + n of a layer, whose weights lie together: one MLP or one expert.

    `expert` is None in dense layers; the shared one is numbered on from the routed ones. `of` is
    its place in stacks of matrices, where it lies in such.
    """

    mlp: Mlp
    layer: int
    first: int
    n: int
    expert: int | None = None
    of: int | None = None

    @property
    def stop(self) -> int:
        """The neuron after the last one."""
        return self.first + self.n

    def tensor(self, family: Family, module: str) -> str:
        """Full name of the tensor of one of its modules."""
        return family.prefix + self.mlp.tensor(module, layer=self.layer, expert=self.expert)


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
        self.n_layers = self.family.n_layers(checkpoint.config)
        self.d_model, self.sizes = _shape(checkpoint, self.family)
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
    def d_mlp(self) -> int:
        """The most neurons of a layer."""
        return self.sizes.d_mlp

    def parts(self, layer: int) -> Iterator[Part]:
        """The MLPs of a layer, in the order of their neurons."""
        sizes, experts = self.sizes, self.family.experts
        if experts is None or sizes.is_dense(layer):
            yield Part(self.family.mlp, layer, 0, sizes.d_dense)
            return
        for expert in range(sizes.n_experts):
            first = expert * sizes.d_expert
            of = expert if experts.layout.stacked else None
            yield Part(experts.layout, layer, first, sizes.d_expert, expert, of)
        if experts.shared is not None:
            first = sizes.n_experts * sizes.d_expert
            yield Part(experts.shared, layer, first, sizes.d_shared, sizes.n_experts)

    def is_routed(self, part: Part) -> bool:
        """Whether a router decides at which positions it runs."""
        return part.expert is not None and part.expert < self.sizes.n_experts

    @property
    def attention(self) -> Attention:
        """The family's attention; CheckpointError where it is not known."""
        if self.family.attention is None:
            raise CheckpointError(f"The attention of {self.family.name} models is not known.")
        return self.family.attention

    def block(self, layer: int, start: int, stop: int, device: torch.device | str = "cpu") -> Block:
        """Vectors of neurons start..stop of a layer, on `device`, safe to write into."""
        parts = (part for part in self.parts(layer) if part.first < stop and start < part.stop)
        blocks = [
            self.unfolded(part, max(0, start - part.first), min(part.n, stop - part.first), device)
            for part in parts
        ]
        block = (
            blocks[0]
            if len(blocks) == 1
            else {name: torch.cat([each[name] for each in blocks]) for name in self.vectors}
        )
        if self.kind != "raw":
            self.folding.fold_block(block, layer)
        return block

    def unfolded(
        self, part: Part, start: int, stop: int, device: torch.device | str = "cpu"
    ) -> Block:
        """As the checkpoint has them: vectors of neurons start..stop of a part."""
        block: Block = {}
        for _, vectors in groupby(part.mlp.reads, key=part.mlp.reads.__getitem__):
            # Vectors of a fused matrix are its rows one after another.
            for at, vector in enumerate(vectors):
                name, first = part.tensor(self.family, part.mlp.reads[vector]), at * part.n
                block[vector] = self._readers(name, first + start, first + stop, device, part.of)
        name = part.tensor(self.family, part.mlp.writes)
        block["out"] = self._writers(name, start, stop, device, part.of)
        return block

    def readers(
        self, module: str, layer: int, start: int, stop: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "n d_in"]:
        """What outputs start..stop of a linear module read with: a float32 copy on `device`."""
        return self._readers(self.family.weight(module, layer), start, stop, device)

    def blocks(
        self,
        layer: int,
        device: torch.device | str = "cpu",
        size: int = BLOCK_SIZE,
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[tuple[int, Block]]:
        """Neurons start..stop of a layer, all of them without, as (first neuron, block).

        One expert comes after another.

        Unmaps the checkpoint at the end, and in between where experts are large.
        """
        n_mapped = 0
        for part in self.parts(layer):
            first = max(start, part.first)
            last = part.stop if stop is None else min(stop, part.stop)
            yield from self._blocks_between(part.layer, first, last, device, size)
            n_mapped += 4 * len(self.vectors) * max(0, last - first) * self.d_model
            if n_mapped > _MAPPED_BYTES:
                self.checkpoint.release()
                n_mapped = 0
        self.checkpoint.release()

    def n_blocks(self, layer: int, size: int = BLOCK_SIZE) -> int:
        """How many blocks a layer has."""
        return sum(ceil(part.n / size) for part in self.parts(layer))

    def blocks_of(
        self, part: Part, device: torch.device | str = "cpu", size: int = BLOCK_SIZE
    ) -> Iterator[tuple[int, Block]]:
        """The neurons of a part as (first neuron, block)."""
        yield from self._blocks_between(part.layer, part.first, part.stop, device, size)

    def _blocks_between(
        self, layer: int, first: int, last: int, device: torch.device | str, size: int
    ) -> Iterator[tuple[int, Block]]:
        for start in range(first, last, size):
            yield start, self.block(layer, start, min(start + size, last), device)

    def _readers(
        self, name: str, start: int, stop: int, device: torch.device | str, of: int | None = None
    ) -> Float[Tensor, "n d_in"]:
        if self.family.transposed:
            return _turned(self.checkpoint.columns(name, start, stop), device)
        return as_float32(self.checkpoint.rows(name, start, stop, of), device)

    def _writers(
        self, name: str, start: int, stop: int, device: torch.device | str, of: int | None = None
    ) -> Float[Tensor, "n d_out"]:
        if self.family.transposed:
            return as_float32(self.checkpoint.rows(name, start, stop), device)
        return _turned(self.checkpoint.columns(name, start, stop, of), device)

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
        for key, ours in self._stated_sizes():
            stated = self.family.setting(config, key, ours)
            if stated != ours:
                raise CheckpointError(
                    f"{self.checkpoint.source}: config.json says {key} {stated!r}, but the tensors "
                    f"have {ours}."
                )
        if self.family.attention is not None:
            n_out = self.query_rows(config)
            self.expect_linear(self.family.attention.query, 0, n_out, self.d_model)

    def router_name(self, layer: int) -> str:
        """The tensor whose rows choose among the experts of a sparse layer.

        Raises CheckpointError where there is none.
        """
        experts = self.family.experts
        assert experts is not None
        names = [self.family.weight(router, layer) for router in experts.routers]
        for name in names:
            if name in self.checkpoint:
                return name
        raise CheckpointError(f"{self.checkpoint.source} has no tensor named {names[0]}.")

    def router(
        self, layer: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "n_experts d_model"]:
        """The rows that choose among the routed experts, folded as w_in; none in dense layers."""
        if self.family.experts is None or self.sizes.is_dense(layer):
            return torch.zeros(0, self.d_model, device=device)
        name = self.router_name(layer)
        rows = as_float32(self.checkpoint.rows(name, 0, self.sizes.n_experts), device)
        if self.kind != "raw":
            self.folding.fold_reader(rows, layer)
        return rows

    def query_rows(self, config: Mapping[str, Any]) -> int:
        """Rows of the matrix that makes queries, with keys and values where it is fused."""
        n_heads, n_key_heads, head_dim = self.family.heads(config)
        return head_dim * (n_heads + (2 * n_key_heads if self.attention.fused else 0))

    def _stated_sizes(self) -> Iterator[tuple[str, int]]:
        """Sizes as the tensors have them, by their keys in config.json."""
        sizes, experts = self.sizes, self.family.experts
        yield "hidden_size", self.d_model
        if experts is None or sizes.dense_layers:
            yield "intermediate_size", sizes.d_dense
        if experts is not None:
            yield experts.width_key, sizes.d_expert
            yield experts.n_key, sizes.n_experts

    def _check_shapes(self) -> None:
        for name, shape in self._expected_shapes():
            self.expect_shape(name, shape)
            self.checkpoint.dtype(name)

    def _expected_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        # One at a time: a config.json may name more layers than memory could hold the names of.
        family, d_model = self.family, self.d_model
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
        for layer in range(self.n_layers):
            for part in self.parts(layer):
                yield from self._shapes_of(part)
            if family.experts is not None and not self.sizes.is_dense(layer):
                yield self.router_name(layer), (self.sizes.n_experts, d_model)
            if family.gain != "one":
                yield from ((family.weight(norm, layer), (d_model,)) for norm in norms)
        if family.gain != "one" and family.final_norm is not None:
            yield family.weight(family.final_norm), (d_model,)

    def _shapes_of(self, part: Part) -> Iterator[tuple[str, tuple[int, ...]]]:
        mlp, turn = part.mlp, -1 if self.family.transposed else 1
        stack = (self.sizes.n_experts,) if mlp.stacked else ()
        read_rows = len(mlp.reads) * part.n if mlp.fused else part.n
        for module in mlp.reads.values():
            yield part.tensor(self.family, module), stack + (read_rows, self.d_model)[::turn]
        yield part.tensor(self.family, mlp.writes), stack + (self.d_model, part.n)[::turn]


def layer_sizes(checkpoint: Checkpoint, family: Family) -> LayerSizes:
    """The neurons of every layer, from the tensors of the first of each kind."""
    return _shape(checkpoint, family)[1]


def _shape(checkpoint: Checkpoint, family: Family) -> tuple[int, LayerSizes]:
    """d_model and the sizes of the layers."""
    n_layers = family.n_layers(checkpoint.config)
    experts, sparse = family.experts, family.sparse_layers(checkpoint.config)
    if experts is None or not sparse:
        shape = _matrix_shape(checkpoint, family.weight(family.mlp.writes, 0))
        d_model, d_mlp = shape[::-1] if family.transposed else shape
        return d_model, LayerSizes(n_layers, d_mlp)
    n_experts = family.whole(checkpoint.config, experts.n_key)
    written = experts.layout.tensor(experts.layout.writes, layer=sparse[0], expert=0)
    d_model, d_expert = checkpoint.shape(family.prefix + written)[-2:]
    dense = tuple(layer for layer in range(n_layers) if layer not in sparse)
    d_dense = d_shared = 0
    if dense:
        d_dense = _matrix_shape(checkpoint, family.weight(family.mlp.writes, dense[0]))[1]
    if experts.shared is not None:
        name = family.weight(experts.shared.writes, sparse[0])
        d_shared = _matrix_shape(checkpoint, name)[1]
    return d_model, LayerSizes(n_layers, d_dense, n_experts, d_expert, d_shared, dense)


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
