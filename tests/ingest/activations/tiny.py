"""Tiny models and corpora, and a batch-size-1 loop in NumPy that says what the pass must find."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int, Int32
from numpy import ndarray
from numpy.typing import ArrayLike
from torch import nn
from transformers import PreTrainedModel

from catalog.ingest.activations.contexts import (
    ContextReader,
    CountingRule,
    SampledPositions,
    draw_samples,
    plan_units,
)
from catalog.ingest.activations.hooks import (
    MlpValues,
    Tap,
    TappedExperts,
    TappedMlp,
    find_layers,
    find_mlps,
    tap_mlps,
)
from catalog.ingest.activations.kernel import KERNELS, Kernel
from catalog.ingest.activations.run import ActivationPass, read_units
from catalog.ingest.activations.state import ActivationState, PassPlan
from catalog.ingest.families import FAMILIES
from catalog.ingest.routed import read_experts
from catalog.layers import LayerSizes
from catalog.taxonomy import WINDOW_AFTER, WINDOW_BEFORE
from tests.tiny_checkpoints import TINY, randomise

RULE = CountingRule(special_ids=(0, 1), skip_first=True)
Exemplar = tuple[Any, ...]
"""context, position, post, gate (where there is one), in"""
SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
PLAIN_SIGNS = ((1,), (-1,))
PLAIN_KINDS = sorted(name for name, family in FAMILIES.items() if not family.mlp.gated)
READINGS = ("fused", "plain")
"""Of `KERNELS`, those that need no compiler at hand."""

EXPERT_KINDS = sorted(name for name, family in FAMILIES.items() if family.experts is not None)


class ListContexts:
    """A corpus in memory; the token after context i is i, or none where i is odd."""

    def __init__(self, contexts: Iterable[ArrayLike]) -> None:
        self.contexts = [np.asarray(c, np.int32) for c in contexts]
        self.lengths = np.array([len(c) for c in self.contexts], np.int32)
        self.next_token_ids = np.arange(len(self.contexts), dtype=np.int32)
        self.next_token_ids[1::2] = -1

    def tokens(self, context_ids: Iterable[int]) -> list[Int32[ndarray, " length"]]:
        return [self.contexts[i] for i in context_ids]


def random_contexts(n: int, longest: int = 40, d_vocab: int = 50, seed: int = 0) -> ListContexts:
    """Start token 0, special token 1 now and then in the middle."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, n)
    return ListContexts([[0, *rng.integers(1, d_vocab, length - 1)] for length in lengths])


def tiny_model(kind: str = "llama", d_mlp: int = 24, n_layers: int = 2) -> PreTrainedModel:
    """Random weights, large enough that attention and gates are far from linear."""
    from transformers import AutoModel, Gemma2Config, LlamaConfig, Phi3Config

    if kind in (*PLAIN_KINDS, *EXPERT_KINDS):
        torch.manual_seed(0)
        # Of experts some are asked seldom, and one never in some contexts.
        whole = TINY[kind](vocab_size=50)
        assert isinstance(whole, PreTrainedModel)
        randomise(whole)
        base = whole.base_model.eval()
        assert isinstance(base, PreTrainedModel)
        return base
    shape: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": d_mlp,
        "num_hidden_layers": n_layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 50,
        "pad_token_id": 0,
    }
    configs = {
        "llama": LlamaConfig(**shape),
        "gemma2": Gemma2Config(**shape, head_dim=8, sliding_window=16),
        "phi3": Phi3Config(**shape),
    }
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModel.from_config(configs[kind], dtype=torch.float32).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.4)
    return model


def sizes_of(model: nn.Module) -> LayerSizes:
    """The neurons of a model's layers, by its modules."""
    assert isinstance(model, PreTrainedModel)
    family, config = FAMILIES[str(model.config.model_type)], model.config
    n_layers = config.num_hidden_layers
    if family.experts is None:
        written = find_mlps(model, family, n_layers)[0].writes.weight
        assert isinstance(written, torch.Tensor)
        return LayerSizes(n_layers, written.shape[0 if family.transposed else 1])
    sparse = family.sparse_layers(config.to_dict())
    experts = model.get_submodule(family.experts.module.format(layer=sparse[0]))
    stack = experts.down_proj
    assert isinstance(stack, torch.Tensor)
    n_experts, _, d_expert = stack.shape
    dense = tuple(layer for layer in range(n_layers) if layer not in sparse)
    d_shared = config.shared_expert_intermediate_size if family.experts.shared else 0
    d_dense = config.intermediate_size if dense else 0
    return LayerSizes(n_layers, d_dense, n_experts, d_expert, d_shared, dense)


def layers_of(model: nn.Module) -> list[TappedMlp | TappedExperts]:
    """The MLPs and experts of a model, where its family has them."""
    assert isinstance(model, PreTrainedModel)
    family, sizes = FAMILIES[str(model.config.model_type)], sizes_of(model)
    if sizes.n_experts:
        read_experts(model)
    return find_layers(model, family, sizes)


def kernel_of(reading: str, n: int = 24, *, gated: bool = True) -> Kernel:
    """A way to read on this machine; skips the test where there is none."""
    mlp = FAMILIES["llama" if gated else PLAIN_KINDS[0]].mlp
    kernel = KERNELS[reading](n, mlp, torch.float32, torch.device("cpu"))
    if kernel.name != reading:
        pytest.skip(kernel.reason)
    return kernel


def make_pass(
    model: nn.Module,
    reader: ContextReader,
    *,
    k: int = 3,
    tokens_per_batch: int = 128,
    rule: CountingRule = RULE,
    reading: str = "plain",
) -> ActivationPass:
    assert isinstance(model, PreTrainedModel)
    kernel = kernel_of(reading, gated=FAMILIES[str(model.config.model_type)].mlp.gated)
    samples = draw_samples(reader, rule, seed=7, n=20)
    mlps, family, sizes = layers_of(model), FAMILIES[str(model.config.model_type)], sizes_of(model)
    plan = PassPlan(
        model="tiny",
        corpus="random",
        n_layers=len(mlps),
        d_mlp=sizes.d_mlp,
        k=k,
        n_samples=len(samples.positions),
        tokens_per_batch=tokens_per_batch,
        seed=7,
        special_tokens="excluded",
        dtype="float32",
        device="cpu",
        kernel=kernel.name,
        gated=family.mlp.gated,
        n_experts=sizes.n_experts,
        d_expert=sizes.d_expert,
        d_shared=sizes.d_shared,
        d_dense=sizes.d_dense if sizes.n_experts else 0,
        dense_layers=tuple(sizes.dense_layers),
    )
    units = plan_units(reader.lengths, tokens_per_batch)
    return ActivationPass(model, mlps, reader, units, samples, rule, kernel, plan)


def run_units(
    work: ActivationPass,
    state: ActivationState,
    only: Sequence[int] | None = None,
    least: Int[torch.Tensor, "l case n"] | None = None,
) -> None:
    """Bring units into the state; all that it does not hold yet, or those in `only`."""
    for _ in read_units(work, state, range(len(work.units)) if only is None else only, least):
        pass


def empty_state(work: ActivationPass) -> ActivationState:
    return ActivationState.empty(work.plan, work.device)


@dataclass
class Oracle:
    """gate, in, post [position of corpus, layer, neuron] by one forward pass per context.

    NaN where an expert was not asked, and beyond the neurons of a smaller layer.
    """

    contexts: np.ndarray
    positions: np.ndarray
    counted: np.ndarray
    values: np.ndarray  # [position, quantity, layer, neuron]; post and, gate before in, reads

    @classmethod
    def run(cls, model: nn.Module, reader: ListContexts, rule: CountingRule = RULE) -> Self:
        taken: list[ndarray] = []
        d_mlp = sizes_of(model).d_mlp

        def tap(_: int, values: MlpValues) -> None:
            made = torch.stack([x[0] for x in (values.post, *values.reads)]).numpy()
            missing = ((0, 0), (0, 0), (0, d_mlp - made.shape[2]))
            taken.append(np.pad(made, missing, constant_values=np.nan))

        columns: tuple[list[ndarray], ...] = [], [], [], []
        with torch.no_grad(), asked_eagerly(model, tap):
            for i, tokens in enumerate(reader.contexts):
                taken.clear()
                model(torch.from_numpy(tokens.astype(np.int64))[None], use_cache=False)
                columns[0].append(np.full(len(tokens), i))
                columns[1].append(np.arange(len(tokens)))
                columns[2].append(rule.counted(tokens))
                columns[3].append(np.stack(taken).transpose(2, 1, 0, 3))
        return cls(*map(np.concatenate, columns))

    def case(
        self, layer: int, neuron: int, case: int
    ) -> tuple[Int[ndarray, " p"], Float[ndarray, "p quantity"]]:
        """Counted positions in the case, and their post and reads."""
        values = self.values[:, :, layer, neuron]
        signs = (PLAIN_SIGNS if values.shape[1] == 2 else SIGNS)[case]
        mine = (values[:, 1:] * np.array(signs) > 0).all(axis=1) & self.counted
        return np.flatnonzero(mine), values[mine]

    def exemplars(self, layer: int, neuron: int, case: int, k: int) -> list[Exemplar]:
        """The k best contexts, in order."""
        places, values = self.case(layer, neuron, case)
        best: dict[int, tuple[Any, ...]] = {}
        for place, value in zip(places, values, strict=True):
            context = int(self.contexts[place])
            if context not in best or abs(value[0]) > abs(best[context][1]):
                best[context] = (int(self.positions[place]), *value)
        order = sorted(best.items(), key=lambda item: (-abs(item[1][1]), item[0]))
        return [(context, *found) for context, found in order[:k]]

    def window(self, layer: int, neuron: int, context: int, position: int) -> Float[ndarray, " w"]:
        mine = self.contexts == context
        post: ndarray = self.values[mine, 0, layer, neuron]
        return post[max(0, position - WINDOW_BEFORE) : position + WINDOW_AFTER + 1]


@contextmanager
def asked_eagerly(model: nn.Module, tap: Tap) -> Iterator[None]:
    """`tap` sees what every layer computes, experts by transformers' own code, without ours."""
    assert isinstance(model, PreTrainedModel)
    family, sizes = FAMILIES[str(model.config.model_type)], sizes_of(model)
    if family.experts is None:
        with tap_mlps(layers_of(model), tap):
            yield
        return
    before = str(model.get_experts_implementation()[""])
    model.set_experts_implementation("eager")
    handles = []
    for layer in range(sizes.n_layers):
        module = model.get_submodule(f"layers.{layer}.mlp")
        handles.append(module.register_forward_hook(partial(_seen_by_hand, tap, layer, sizes)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        model.set_experts_implementation(before)


def _seen_by_hand(
    tap: Tap,
    layer: int,
    sizes: LayerSizes,
    mlp: Any,
    inputs: tuple[torch.Tensor],
    output: torch.Tensor,
) -> None:
    """What the neurons of a layer compute, by its weights, from what it read; one context."""
    x = inputs[0][0]
    silu, linear = nn.functional.silu, nn.functional.linear

    def gated(gate: torch.Tensor, up: torch.Tensor) -> list[torch.Tensor]:
        a, b = linear(x, gate), linear(x, up)
        return [a, b, silu(a) * b]

    if sizes.is_dense(layer):
        made = gated(mlp.gate_proj.weight, mlp.up_proj.weight)
    else:
        _, share, chosen = mlp.gate(x)
        parts, written = [], torch.zeros_like(x)
        for expert in range(sizes.n_experts):
            asked = (chosen == expert).any(dim=1, keepdim=True)
            values = gated(*mlp.experts.gate_up_proj[expert].chunk(2))
            weight = (share * (chosen == expert)).sum(dim=1, keepdim=True)
            written += weight * linear(values[2], mlp.experts.down_proj[expert])
            parts.append([torch.where(asked, each, torch.nan) for each in values])
        if sizes.d_shared:
            shared = mlp.shared_expert
            values = gated(shared.gate_proj.weight, shared.up_proj.weight)
            open_ = torch.sigmoid(mlp.shared_expert_gate(x))
            written += open_ * linear(values[2], shared.down_proj.weight)
            parts.append(values)
        # The model's own modules put out what these values make.
        torch.testing.assert_close(written, output[0], rtol=1e-4, atol=1e-4)
        made = [torch.cat(each, dim=1) for each in zip(*parts, strict=True)]
    tap(layer, MlpValues.of(each[None] for each in made))


def sampled_post(oracle: Oracle, samples: SampledPositions, layer: int) -> np.ndarray:
    """post [sample, neuron] at the sampled positions."""
    pairs = zip(oracle.contexts, oracle.positions, strict=True)
    place = {(int(c), int(p)): i for i, (c, p) in enumerate(pairs)}
    rows = [place[int(c), int(p)] for c, p in zip(*samples, strict=True)]
    post: ndarray = oracle.values[rows, 0, layer]
    return post
