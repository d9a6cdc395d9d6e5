"""Does the family name the right norms? Asked of the model's own code, one layer at a time.

The first ingest of a checkpoint runs this: folded w_gate·x and w_in·x, with x normalised without
gain (docs/definitions.md), must equal what the MLP's projections put out.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from catalog.errors import CheckpointError, Option
from catalog.ingest.checkpoint.transformers_refusals import asking_transformers
from catalog.ingest.families import Family, Mlp
from catalog.ingest.neuron_vectors import NeuronVectors, Part
from catalog.ingest.one_layer import layer_state, model_of, one_layer_config, serve_experts
from catalog.ingest.routed import RoutedValues, tapped
from catalog.taxonomy import Vector

TOLERANCE = 1e-4
_N_TOKENS = 8
_SEED = 0


class NormCheck(NamedTuple):
    """The largest deviation relative to the largest magnitude, and the layers looked at."""

    deviation: float
    layers: tuple[int, ...]


class _Seen(NamedTuple):
    """Inputs and outputs of one module in a forward pass, [n_tokens, features]."""

    inputs: Tensor
    outputs: Tensor


def check_norms(weights: NeuronVectors) -> NormCheck:
    """Compare the weights with the forward pass of the first and the last layer, in float32.

    Instantiates one decoder layer of the model's own class at a time. With kind `raw` the MLP's
    own input takes the place of x. Raises CheckpointError naming layer and quantity where they
    differ by more than 1e-4 of the largest magnitude, or where transformers has no such model.
    """
    layers = _to_look_at(weights)
    largest = 0.0
    for layer in layers:
        with (
            torch.inference_mode(),
            asking_transformers(
                weights.checkpoint, Option("weights", "raw"), " needs no check of its norms"
            ),
        ):
            deviations = _deviations(weights, layer)
        for what, value in deviations.items():
            # Written so that NaN is refused too.
            if not value <= TOLERANCE:
                raise CheckpointError(
                    f"{weights.checkpoint.source}: layer {layer} does not work as the catalog "
                    f"takes a {weights.family.name} model to: {what} is off by {value:.2g} of its "
                    f"largest magnitude (allowed {TOLERANCE:g})."
                )
            largest = max(largest, value)
    return NormCheck(largest, layers)


def _to_look_at(weights: NeuronVectors) -> tuple[int, ...]:
    """The first and the last layer, and one with experts if neither has some."""
    ends, sizes = {0, weights.n_layers - 1}, weights.sizes
    if sizes.n_experts and all(map(sizes.is_dense, ends)):
        ends.add(next(at for at in range(weights.n_layers) if not sizes.is_dense(at)))
    return tuple(sorted(ends))


def _deviations(weights: NeuronVectors, layer: int) -> dict[str, float]:
    family, block = weights.family, weights.family.mlp.module
    model = _one_layer_model(weights, layer)
    parts = list(weights.parts(layer))
    apart = [part for part in parts if not weights.is_routed(part)]
    read_from = block if weights.kind == "raw" else family.mlp_norm or block
    watched = {block, read_from, family.post_mlp_norm}
    for part in apart:
        watched |= {*part.mlp.reads.values(), part.mlp.writes}
    names = {name for name in watched if name is not None}
    seen, asked = _forward(weights, model, layer, names)
    x = seen[read_from].inputs
    if read_from != block:
        x = _normalised(x, family, model.config)
    norm = model.get_submodule(read_from.format(layer=0)) if read_from != block else None
    made = [_of_modules(weights, part, x, seen, model, norm) for part in apart]
    made += [
        _of_expert(weights, part, x, asked[part.expert]) for part in parts if part.expert in asked
    ]
    deviations = {what: max(each[what] for each in made) for what in made[0]}
    if family.post_mlp_norm is not None:
        deviations["what the norm after the MLP reads"] = _relative(
            seen[block].outputs, seen[family.post_mlp_norm].inputs
        )
    return deviations


def _of_modules(
    weights: NeuronVectors,
    part: Part,
    x: Float[Tensor, "n_tokens d_model"],
    seen: Mapping[str, _Seen],
    model: nn.Module,
    norm: nn.Module | None,
) -> dict[str, float]:
    """Deviations of an MLP that has modules of its own; `norm` is the one before it."""
    family, mlp = weights.family, part.mlp
    put_out = _split(mlp, {module: seen[module].outputs for module in mlp.reads.values()})
    unbiased = {
        module: seen[module].outputs - _put_out_by_biases(model, module, norm, family)
        for module in mlp.reads.values()
    }
    expected, written = _split(mlp, unbiased), seen[mlp.writes]
    added = written.outputs - _put_out_by_biases(model, mlp.writes, None, family)
    return _compared(weights, part, x, expected, put_out, _Seen(written.inputs, added))


def _of_expert(
    weights: NeuronVectors, part: Part, x: Float[Tensor, "n_tokens d_model"], values: RoutedValues
) -> dict[str, float]:
    """Deviations of a routed expert, at the positions that were routed to it."""
    put_out: dict[Vector, Tensor] = {"gate": values.gate, "in": values.x_in}
    written = _Seen(values.post, values.written)
    return _compared(weights, part, x[values.positions], put_out, put_out, written)


def _compared(
    weights: NeuronVectors,
    part: Part,
    x: Float[Tensor, "n_tokens d_model"],
    expected: Mapping[Vector, Tensor],
    put_out: Mapping[Vector, Tensor],
    written: _Seen,
) -> dict[str, float]:
    """What reads, the activation and what writes; `expected` is `put_out` without biases."""
    deviations = {
        f"w_{vector}·x": _relative(ours, expected[vector])
        for vector, ours in _projections(weights, part, x).items()
    }
    act, name = _activation(weights.activation_fn), weights.activation_fn
    post = act(put_out["gate"]) * put_out["in"] if part.mlp.gated else act(put_out["in"])
    formula = f"{name}(gate) * in" if part.mlp.gated else f"{name}(in)"
    deviations[formula] = _relative(post, written.inputs)
    ours = written.inputs @ weights.unfolded(part, 0, part.n)["out"]
    deviations["post·w_out"] = _relative(ours, written.outputs)
    return deviations


def _one_layer_model(weights: NeuronVectors, layer: int) -> nn.Module:
    """The model's own class with one layer, that of `layer`, in float32, without a vocabulary."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # of what it would say, nothing concerns the one layer
    model = model_of(one_layer_config(weights, layer))
    model.load_state_dict(layer_state(weights, model, layer), strict=False, assign=True)
    serve_experts(weights, model, layer)
    return model


def _stream(weights: NeuronVectors) -> Float[Tensor, "n_tokens d_model"]:
    """Embeddings of a few random tokens, the same each time."""
    generator = torch.Generator().manual_seed(_SEED)
    tokens = torch.randint(weights.d_vocab, (_N_TOKENS,), generator=generator).tolist()
    name = weights.embedding_name
    return torch.cat([weights.checkpoint.rows(name, t, t + 1) for t in tokens]).float()


def _forward(
    weights: NeuronVectors, model: nn.Module, layer: int, modules: set[str]
) -> tuple[dict[str, _Seen], dict[int | None, RoutedValues]]:
    """What passed through some modules, and what the experts of the layer computed, by expert."""
    seen: dict[str, _Seen] = {}
    asked: dict[int | None, RoutedValues] = {}
    experts = weights.family.experts

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def record(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
            # OPT gives its MLP the positions of all contexts in a row, Falcon adds to its output.
            seen[name] = _Seen(*(each.flatten(0, -2).clone() for each in (inputs[0], outputs)))

        return record

    for name in modules:
        model.get_submodule(name.format(layer=0)).register_forward_hook(recorder(name))
    with ExitStack() as taps:
        if experts is not None and not weights.sizes.is_dense(layer):
            routed = model.get_submodule(experts.module.format(layer=0))
            taps.enter_context(tapped(routed, asked.__setitem__))
        model(inputs_embeds=_stream(weights)[None], use_cache=False)
    return seen, asked


def _normalised(
    x: Float[Tensor, "n_tokens d_model"], family: Family, config: Any
) -> Float[Tensor, "n_tokens d_model"]:
    """x divided by its root mean square, after centring in LayerNorm models; no gain."""
    epsilon = float(getattr(config, family.epsilon_key, family.epsilon))
    if family.norm_kind == "layer":
        x = x - x.mean(dim=-1, keepdim=True)
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + epsilon)


def _split(mlp: Mlp, by_module: Mapping[str, Tensor]) -> dict[Vector, Tensor]:
    """Outputs by vector: those of a fused matrix are side by side."""
    vectors = list(mlp.reads)
    if not mlp.fused:
        return {vector: by_module[mlp.reads[vector]] for vector in vectors}
    (outputs,) = by_module.values()
    return dict(zip(vectors, outputs.chunk(len(vectors), dim=-1), strict=True))


def _projections(
    weights: NeuronVectors, part: Part, x: Float[Tensor, "n_tokens d_model"]
) -> dict[Vector, Float[Tensor, "n_tokens n"]]:
    blocks = [block for _, block in weights.blocks_of(part)]
    return {
        vector: torch.cat([x @ block[vector].T for block in blocks], dim=1)
        for vector in part.mlp.reads
    }


def _put_out_by_biases(
    model: nn.Module, module: str, norm: nn.Module | None, family: Family
) -> Tensor | float:
    """What a linear module puts out for its own bias and for that of the norm before it."""
    linear = model.get_submodule(module.format(layer=0))
    total: Tensor | float = linear.bias if isinstance(linear.bias, Tensor) else 0.0
    of_norm = getattr(norm, "bias", None)
    if isinstance(of_norm, Tensor):
        assert isinstance(linear.weight, Tensor)
        total = total + of_norm @ (linear.weight if family.transposed else linear.weight.T)
    return total


def _activation(name: str) -> Callable[[Tensor], Tensor]:
    from transformers.activations import ACT2FN

    try:
        return cast(Callable[[Tensor], Tensor], ACT2FN[name])
    except KeyError as error:
        raise CheckpointError(f"transformers has no activation function named {name}.") from error


def _relative(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference as a share of the largest magnitude; NaN where only one is finite.

    Neurons with NaN or infinite weights put out neither way anything that could be compared.
    """
    comparable = ours.isfinite() | theirs.isfinite()
    ours, theirs = ours[comparable], theirs[comparable]
    if ours.numel() == 0:
        return 0.0
    scale = torch.maximum(ours.abs().max(), theirs.abs().max())
    return float((ours - theirs).abs().max() / scale.clamp_min(torch.finfo(torch.float32).tiny))
