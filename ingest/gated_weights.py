"""The weight vectors of every neuron as DESIGN section 1 defines them, a block at a time."""

import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from catalog.errors import CheckpointError
from catalog.ingest.checkpoint import DEMO, Checkpoint, open_checkpoint
from catalog.ingest.families import Attention, Family, family_of
from catalog.ingest.families.registry import supported
from catalog.taxonomy import WeightKind

BLOCK_SIZE = 512
_VOCABULARY_ROWS = 1024


class MlpBlock(NamedTuple):
    """Three vectors of n consecutive neurons of one layer, float32."""

    w_gate: Float[Tensor, "n d_model"]
    w_in: Float[Tensor, "n d_model"]
    w_out: Float[Tensor, "n d_model"]


class GatedWeights:
    """Weights of a gated model, of one kind: `folded`, `effective` or `raw` (DESIGN section 1).

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
                f"model type {self.family.name} can be ingested with --weights raw only: the "
                f"catalog does not know its norms; supported: {supported()}."
            )
        down = self.family.weight(self.family.mlp.down, 0)
        self.d_model, self.d_mlp = _matrix_shape(checkpoint, down)
        self.n_layers = self.family.n_layers(checkpoint.config)
        self.activation_fn = self.family.activation_fn(checkpoint.config)
        self._embedding = self.family.embedding_name(checkpoint)
        self._unembedding = self.family.unembedding_name(checkpoint)
        self.d_vocab = _matrix_shape(checkpoint, self._unembedding)[0]
        self._check_shapes()

    def __reduce__(self) -> tuple[Callable[..., "GatedWeights"], tuple[str, ...]]:
        """Pickled as where the checkpoint lies; other machines read it there themselves."""
        checkpoint = self.checkpoint
        local = checkpoint.revision is None and checkpoint.source != DEMO
        source = str(checkpoint.folder.resolve()) if local else checkpoint.source
        return _reopened, (source, checkpoint.revision or "", self.kind, checkpoint.fingerprint)

    def mlp_block(
        self, layer: int, start: int, stop: int, device: torch.device | str = "cpu"
    ) -> MlpBlock:
        """Vectors of neurons start..stop of a layer, float32 on `device`, safe to write into."""
        mlp, read = self.family.mlp, self.checkpoint
        offset = self.d_mlp if mlp.fused else 0
        gate_rows = read.rows(self.family.weight(mlp.gate, layer), start, stop)
        up_rows = read.rows(self.family.weight(mlp.up, layer), offset + start, offset + stop)
        down_columns = read.columns(self.family.weight(mlp.down, layer), start, stop)
        block = MlpBlock(
            _as_float32(gate_rows, device),
            _as_float32(up_rows, device),
            # Gathering the strided columns first, then transposing, reads each page once.
            _as_float32(down_columns.to(device).contiguous().T.contiguous(), device),
        )
        if self.kind != "raw":
            self._fold(block, layer)
        return block

    def blocks(
        self, layer: int, device: torch.device | str = "cpu", size: int = BLOCK_SIZE
    ) -> Iterator[tuple[int, MlpBlock]]:
        """All neurons of a layer as (first neuron, block); unmaps the checkpoint at the end."""
        for start in range(0, self.d_mlp, size):
            yield start, self.mlp_block(layer, start, min(start + size, self.d_mlp), device)
        self.checkpoint.release()

    def unembedding(self, device: torch.device | str = "cpu") -> Float[Tensor, "d_vocab d_model"]:
        """W_U transposed, float32: final norm folded and centred over the vocabulary unless raw.

        Raises CheckpointError naming the tensor if it has non-finite values, because centring
        would spread them over every token.
        """
        gain = None if self.kind == "raw" else self._gain(self.family.final_norm, None, device)
        matrix, mean = self._vocabulary_matrix(self._unembedding, gain, device)
        if self.kind != "raw":
            matrix -= mean
        return matrix

    def embedding(self, device: torch.device | str = "cpu") -> Float[Tensor, "d_vocab d_model"]:
        """W_E of the checkpoint, float32; centred over d_model in LayerNorm models unless raw.

        Raises CheckpointError naming the tensor if it has non-finite values.
        """
        return self._vocabulary_matrix(self._embedding, None, device)[0]

    # Attention, for the functional roles.

    def queries(self, layer: int) -> Float[Tensor, "n_heads head_dim d_model"]:
        """W_Q of each head transposed, float32 on the CPU: folded and centred over d_model as w_in.

        Raises CheckpointError for a family whose attention is not known, or a misshapen tensor.
        """
        attention, config = self._attention(), self.checkpoint.config
        n_heads, _, head_dim = self.family.heads(config)
        name = self.family.weight(attention.query, layer)
        self._expect_shape(name, (self._query_rows(config), self.d_model))
        rows = _as_float32(self.checkpoint.rows(name, 0, n_heads * head_dim), "cpu")
        if self.kind != "raw":
            gain = self._gain(attention.input_norm, layer, "cpu")
            if gain is not None:
                rows.mul_(gain)
            if self.family.norm_kind == "layer":
                _centre(rows)
        return rows.view(n_heads, head_dim, self.d_model)

    def query_gains(self, layer: int) -> Float[Tensor, "n_heads head_dim"]:
        """Gain of the norm over each head's query (Gemma-3: 1+g), float32; ones without a norm.

        Raises CheckpointError as `queries` does.
        """
        norm = self._attention().query_norm
        n_heads, _, head_dim = self.family.heads(self.checkpoint.config)
        gain = self._gain(norm, layer, "cpu")
        if norm is None or gain is None:
            return torch.ones(n_heads, head_dim)
        n_gains = head_dim if self._attention().norm_per_head else n_heads * head_dim
        self._expect_shape(self.family.weight(norm, layer), (n_gains,))
        return gain.reshape(-1, head_dim).expand(n_heads, head_dim)

    def _attention(self) -> Attention:
        if self.family.attention is None:
            raise CheckpointError(f"The attention of {self.family.name} models is not known.")
        return self.family.attention

    def _expect_shape(self, name: str, shape: tuple[int, ...]) -> None:
        if self.checkpoint.shape(name) != shape:
            raise CheckpointError(
                f"{self.checkpoint.source}: tensor {name} has shape "
                f"{self.checkpoint.shape(name)}, expected {shape}."
            )

    def _fold(self, block: MlpBlock, layer: int) -> None:
        gain = self._gain(self.family.mlp_norm, layer, block.w_gate.device)
        if gain is not None:
            block.w_gate.mul_(gain)
            block.w_in.mul_(gain)
        if self.family.norm_kind == "layer":
            _centre(block.w_in)
            _centre(block.w_out)
        if self.kind == "effective":
            post_gain = self._gain(self.family.post_mlp_norm, layer, block.w_out.device)
            if post_gain is not None:
                block.w_out.mul_(post_gain)
            if self.family.norm_kind == "layer":
                _centre(block.w_gate)

    def _gain(
        self, norm: str | None, layer: int | None, device: torch.device | str
    ) -> Float[Tensor, " d_model"] | None:
        if norm is None or self.family.gain == "one":
            return None
        weight = _as_float32(self.checkpoint.tensor(self.family.weight(norm, layer)), device)
        return weight.add_(1.0) if self.family.gain == "one_plus_weight" else weight

    def _vocabulary_matrix(
        self, name: str, gain: Float[Tensor, " d_model"] | None, device: torch.device | str
    ) -> tuple[Float[Tensor, "d_vocab d_model"], Float[Tensor, " d_model"]]:
        """The matrix, scaled and centred over d_model as the kind asks, and its mean row."""
        n_rows = self.checkpoint.shape(name)[0]
        matrix = torch.empty(n_rows, self.d_model, dtype=torch.float32, device=device)
        # Summed in float64: over 256,000 tokens float32 loses digits of the mean.
        total = torch.zeros(self.d_model, dtype=torch.float64, device=device)
        for start in range(0, n_rows, _VOCABULARY_ROWS):
            rows = matrix[start : start + _VOCABULARY_ROWS]
            rows.copy_(self.checkpoint.rows(name, start, start + len(rows)).to(device))
            if gain is not None:
                rows.mul_(gain)
            if self.family.norm_kind == "layer" and self.kind != "raw":
                _centre(rows)
            total += rows.sum(0, dtype=torch.float64)
        if not bool(total.isfinite().all()):
            raise CheckpointError(
                f"{self.checkpoint.source}: tensor {name} (or the final norm's gain) has NaN or "
                "infinite values, so no vocabulary projection can be computed."
            )
        self.checkpoint.release()
        return matrix, (total / n_rows).float()

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
            self._expect_shape(name, (self._query_rows(config), self.d_model))

    def _query_rows(self, config: Mapping[str, Any]) -> int:
        """Rows of the matrix that makes queries, with keys and values where it is fused."""
        n_heads, n_key_heads, head_dim = self.family.heads(config)
        return head_dim * (n_heads + (2 * n_key_heads if self._attention().fused else 0))

    def _check_shapes(self) -> None:
        for name, shape in self._expected_shapes():
            self._expect_shape(name, shape)
            self.checkpoint.dtype(name)

    def _expected_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        # One at a time: a config.json may name more layers than memory could hold the names of.
        family, mlp, d_model, d_mlp = self.family, self.family.mlp, self.d_model, self.d_mlp
        gate_rows = 2 * d_mlp if mlp.fused else d_mlp
        norms = [norm for norm in (family.mlp_norm, family.post_mlp_norm) if norm]
        yield self._embedding, (self.checkpoint.shape(self._embedding)[0], d_model)
        yield self._unembedding, (self.d_vocab, d_model)
        for layer in range(self.n_layers):
            yield family.weight(mlp.gate, layer), (gate_rows, d_model)
            yield family.weight(mlp.up, layer), (gate_rows, d_model)
            yield family.weight(mlp.down, layer), (d_model, d_mlp)
            if family.gain != "one":
                yield from ((family.weight(norm, layer), (d_model,)) for norm in norms)
        if family.gain != "one" and family.final_norm is not None:
            yield family.weight(family.final_norm), (d_model,)


def _reopened(source: str, revision: str, kind: WeightKind, fingerprint: str) -> GatedWeights:
    """The same weights on another machine; CheckpointError if it has another checkpoint there."""
    checkpoint = open_checkpoint(source, revision or None)
    if checkpoint.fingerprint != fingerprint:
        raise CheckpointError(
            f"{source} on {platform.node()} is not the checkpoint that is being ingested. Every "
            "machine of the cluster must see the same files under the same path."
        )
    return GatedWeights(checkpoint, kind)


def _matrix_shape(checkpoint: Checkpoint, name: str) -> tuple[int, int]:
    shape = checkpoint.shape(name)
    if len(shape) != 2:
        raise CheckpointError(f"{checkpoint.source}: tensor {name} has shape {shape}, no matrix.")
    return shape[0], shape[1]


def _as_float32(values: Tensor, device: torch.device | str) -> Tensor:
    """A float32 copy on `device`; it crosses to the device in the checkpoint's smaller dtype."""
    return values.to(device).to(torch.float32, copy=True)


def _centre(vectors: Float[Tensor, "n d_model"]) -> None:
    vectors.sub_(vectors.mean(dim=1, keepdim=True))
