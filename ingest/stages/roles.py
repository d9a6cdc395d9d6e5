"""Stage `roles`: null-space shares, attention scores, and the functional role of every neuron."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from catalog.ingest.engines.engine import Engine
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.progress import Progress
from catalog.ingest.roles.attention import head_directions, score_rows
from catalog.ingest.roles.geometry import (
    direction_cosines,
    n_null_directions,
    null_space,
    null_space_shares,
    unit_rows,
)
from catalog.ingest.roles.rule import Roles, assign_roles, stored_moments
from catalog.ingest.roles.start_token import start_keys
from catalog.ingest.stages.stage import Stage, StageContext
from catalog.ingest.vocabulary import start_token
from catalog.ingest.vocabulary_matrices import unembedding
from catalog.role_rule import RoleRule
from catalog.store.staging import Staging

HEADS_KEPT: Final = 4
"""Heads kept of every neuron: at 6 bytes a row, 25 bytes a neuron, 100 MB for four million."""

COSINE_FLOOR: Final = 0.3
"""A |cosine| above this is kept beyond them: cutoffs from here up see every head."""

# Tables of the staging folder that are not loaded: directions, found once, and shares.
_NULL_SPACE, _HEADS, _SHARES = "null_space", "head_direction", "null_space_share"


class RolesStage(Stage):
    """Compares w_out with W_U's null space and with later heads; then applies the rule.

    It runs in this process whatever the engine: its start token walks through the layers in order,
    and what remains takes less than the weights stage.

    Args:
        weights: the entry's.
        start_token_id: what contexts begin with; None: attention is not scored.
        moments: gives what `ingest.roles.rule.stored_moments` does, once it is needed.
        device: where neurons are compared; the start token runs on the CPU.
        layers_ahead: of how many next layers the heads are scored.
    """

    name = "roles"

    def __init__(
        self,
        weights: NeuronVectors,
        start_token_id: int | None,
        moments: Callable[[], pa.Table],
        device: torch.device,
        layers_ahead: int = 1,
    ) -> None:
        self.weights = weights
        self.start_token_id = start_token_id
        self.moments = moments
        self.device = device
        self.layers_ahead = layers_ahead
        self.rule = RoleRule(layers_ahead=layers_ahead)

    @classmethod
    def of(cls, context: StageContext) -> Self:
        start = start_token(context.weights.checkpoint.tokenizer())
        moments = partial(stored_moments, context.catalog, context.alias)
        return cls(context.weights, start, moments, context.device)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "weights": self.weights.kind,
            "start_token": self.start_token_id,
            "null_directions": n_null_directions(self.weights.d_model),
            "heads_kept": HEADS_KEPT,
            "cosine_floor": COSINE_FLOOR,
            **asdict(self.rule),
        }

    @property
    def n_bytes(self) -> int:
        return 40 * self.weights.sizes.n_neurons

    def compute(self, staging: Staging, engine: Engine, progress: Progress) -> Mapping[str, Any]:
        layers = range(self.weights.n_layers)
        unscored = self._why_unscored()
        if unscored:
            progress.note(f"roles: no attention scores: {unscored}")
        if not staging.has(0, _NULL_SPACE):
            self._stage_null_space(staging, progress)
        if not unscored and not staging.has(layers[-1], _HEADS):
            self._stage_directions(staging, progress)
        self._stage_scores(staging, progress)
        roles = self._roles(staging)
        first = 0
        for layer in layers:
            of_layer = roles.rows.slice(first, self.weights.sizes.of_layer(layer))
            staging.write(layer, "neuron", _neuron_rows(staging, layer, of_layer))
            first += of_layer.num_rows
        return self._notes(staging, roles) | ({"attention_scores": unscored} if unscored else {})

    def layer_rows(
        self,
        layer: int,
        basis: Float[Tensor, "k d_model"],
        heads: Sequence[Float[Tensor, "n_heads d_model"]],
    ) -> dict[str, pa.Table]:
        """Null-space shares and `attention_score` rows of one layer.

        Args:
            layer: the neurons' layer.
            basis: of the null space, orthonormal, on the stage's device.
            heads: unit directions of the heads of each next layer, on the same device.
        """
        directions = torch.cat([basis[:0], *heads])
        n_heads = len(directions) // max(1, len(heads))
        shares, cosines = [], []
        for _, block in self.weights.blocks(layer, self.device):
            units = unit_rows(block["out"])
            shares.append(null_space_shares(units, basis))
            cosines.append(direction_cosines(units, directions))
        return {
            _SHARES: _share_rows(layer, torch.cat(shares)),
            "attention_score": score_rows(
                layer, torch.cat(cosines), n_heads, HEADS_KEPT, COSINE_FLOOR
            ),
        }

    def _why_unscored(self) -> str | None:
        if self.weights.family.attention is None:
            return f"the attention of {self.weights.family.name} is not known"
        if self.start_token_id is None:
            return "the tokenizer has neither a BOS nor an EOS token"
        return None

    def _stage_null_space(self, staging: Staging, progress: Progress) -> None:
        progress.begin("roles: null space", 1)
        vectors = unembedding(self.weights, self.device)
        basis = null_space(vectors, n_null_directions(self.weights.d_model))
        staging.write(0, _NULL_SPACE, _as_table(basis))
        progress.advance()
        progress.end()

    def _stage_directions(self, staging: Staging, progress: Progress) -> None:
        assert self.start_token_id is not None
        # The token walks through the layers in order, so a walk that was interrupted starts again.
        progress.begin("roles: start token", self.weights.n_layers)
        for layer, keys in enumerate(start_keys(self.weights, self.start_token_id)):
            staging.write(layer, _HEADS, _as_table(head_directions(self.weights, layer, keys)))
            progress.advance()
        progress.end()

    def _stage_scores(self, staging: Staging, progress: Progress) -> None:
        layers = range(self.weights.n_layers)
        # Shares are written last, so a layer that has them is complete.
        done = [layer for layer in layers if staging.has(layer, _SHARES)]
        basis = _as_tensor(staging.read(0, _NULL_SPACE)).to(self.device)
        progress.begin("roles", self.weights.n_layers, len(done))
        for layer in sorted(set(layers) - set(done)):
            ahead = layers[layer + 1 : layer + 1 + self.layers_ahead]
            heads = [
                _as_tensor(staging.read(each, _HEADS)).to(self.device)
                for each in ahead
                if staging.has(each, _HEADS)
            ]
            rows = self.layer_rows(layer, basis, heads)
            staging.write(layer, "attention_score", rows["attention_score"])
            staging.write(layer, _SHARES, rows[_SHARES])
            progress.advance()
        progress.end()

    def _roles(self, staging: Staging) -> Roles:
        shares, scores = (
            pa.concat_tables(staging.read(layer, table) for layer in range(self.weights.n_layers))
            for table in (_SHARES, "attention_score")
        )
        gated = self.weights.family.mlp.gated
        return assign_roles(self.moments(), shares, scores, self.rule, gated=gated)

    def _notes(self, staging: Staging, roles: Roles) -> dict[str, Any]:
        layers = range(self.weights.n_layers)
        heads = [staging.read(layer, _HEADS) for layer in layers if staging.has(layer, _HEADS)]
        return {
            **roles.notes,
            "null_shares": sum(
                staging.read(layer, _SHARES)[_SHARES].null_count for layer in layers
            ),
            "undefined_heads": sum(
                int(_as_tensor(rows).isnan().any(dim=1).sum()) for rows in heads
            ),
        }


def _neuron_rows(staging: Staging, layer: int, roles: pa.Table) -> pa.Table:
    role = roles["functional_role"]
    return staging.read(layer, _SHARES).append_column("functional_role", role)


def _share_rows(layer: int, shares: Float[Tensor, " n"]) -> pa.Table:
    values = shares.float().cpu().numpy()
    return pa.table(
        {
            "layer": np.full(len(values), layer, np.int16),
            "neuron": np.arange(len(values), dtype=np.int32),
            _SHARES: pa.array(values, pa.float32(), mask=np.isnan(values)),
        }
    )


def _as_table(vectors: Float[Tensor, "n d_model"]) -> pa.Table:
    """One column of float64 vectors."""
    flat = pa.array(vectors.double().cpu().numpy().ravel())
    return pa.table({"vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})


def _as_tensor(rows: pa.Table) -> Float[Tensor, "n d_model"]:
    """The vectors of `_as_table`."""
    vectors = rows["vector"].combine_chunks()
    return torch.from_numpy(vectors.flatten().to_numpy().reshape(rows.num_rows, -1).copy())
