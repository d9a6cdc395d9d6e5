"""Experts at work: transformers' computation of routed experts, replaced by one that can be read.

transformers holds the experts of a layer in two stacks of matrices, [E, 2 d_expert, d_model] with
the rows of gate first and [E, d_model, d_expert], and lets what computes them be replaced by a
registered function. This one goes expert by expert, so it shows gate, in and post of each, and
takes their matrices from elsewhere where they were never loaded.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

NAME: Final = "neuron_catalog"
"""Under which the computation is registered."""

_TAP: Final = "_neuron_catalog_tap"
_EDIT: Final = "_neuron_catalog_edit"
_MATRICES: Final = "_neuron_catalog_matrices"


class RoutedValues(NamedTuple):
    """What one routed expert computed: post before the router's weight, in the model's dtype."""

    positions: Int[Tensor, " r"]  # of the batch, its contexts in a row
    x: Float[Tensor, "r d_model"]
    gate: Float[Tensor, "r n"]
    x_in: Float[Tensor, "r n"]
    post: Float[Tensor, "r n"]
    written: Float[Tensor, "r d_model"]


ExpertTap: TypeAlias = Callable[[int, RoutedValues], None]
"""Called with every routed expert of a layer in turn, also those that no position goes to."""

ExpertEdit: TypeAlias = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Given an expert that is asked, its positions, gate and post, returns what takes post's place."""

Matrices: TypeAlias = Callable[[int], tuple[Tensor, Tensor]]
"""Gives gate and up, [2 n, d_model], and down, [d_model, n], of an expert."""


def read_experts(model: nn.Module) -> None:
    """Have a model of transformers compute its routed experts by the function of this module."""
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    ALL_EXPERTS_FUNCTIONS.register(NAME, _forward)
    model.set_experts_implementation(NAME)  # type: ignore[operator]


@contextmanager
def tapped(experts: nn.Module, tap: ExpertTap) -> Iterator[None]:
    """Within the context, the experts of one layer show `tap` what they compute."""
    with _having(experts, _TAP, tap):
        yield


@contextmanager
def edited(experts: nn.Module, edit: ExpertEdit) -> Iterator[None]:
    """Within the context, the experts of one layer write what `edit` makes of their post."""
    with _having(experts, _EDIT, edit):
        yield


@contextmanager
def _having(experts: nn.Module, name: str, value: object) -> Iterator[None]:
    setattr(experts, name, value)
    try:
        yield
    finally:
        delattr(experts, name)


def serve(experts: nn.Module, matrices: Matrices) -> None:
    """Let the experts of one layer take their matrices from `matrices`."""
    setattr(experts, _MATRICES, matrices)


def _forward(
    experts: Any,
    hidden_states: Float[Tensor, "t d_model"],
    top_k_index: Int[Tensor, "t k"],
    top_k_weights: Float[Tensor, "t k"],
) -> Float[Tensor, "t d_model"]:
    tap, edit, matrices = (getattr(experts, name, None) for name in (_TAP, _EDIT, _MATRICES))
    written = torch.zeros_like(hidden_states)
    asked = set(top_k_index.unique().tolist())
    for expert in range(experts.num_experts) if tap is not None else sorted(asked):
        positions, place = (top_k_index == expert).nonzero(as_tuple=True)
        if len(positions) == 0 and matrices is not None:
            continue  # nothing is read for nobody
        if matrices is None:
            reads, writes = experts.gate_up_proj[expert], experts.down_proj[expert]
        else:
            reads, writes = matrices(expert)
        x = hidden_states[positions]
        gate, x_in = nn.functional.linear(x, reads).chunk(2, dim=-1)
        post = experts.act_fn(gate) * x_in
        if edit is not None:
            post = edit(expert, positions, gate, post)
        out = nn.functional.linear(post, writes)
        if tap is not None:
            tap(expert, RoutedValues(positions, x, gate, x_in, post, out))
        weighted = out * top_k_weights[positions, place, None]
        written.index_add_(0, positions, weighted.to(written.dtype))
    return written
