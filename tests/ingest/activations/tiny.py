"""Tiny models and corpora, and a batch-size-1 loop in NumPy that says what the pass must find."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
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
from catalog.ingest.activations.hooks import MlpValues, TappedMlp, find_mlps, tap_mlps
from catalog.ingest.activations.kernel import Kernel, plain_kernel
from catalog.ingest.activations.run import ActivationPass, read_units
from catalog.ingest.activations.state import ActivationState, PassPlan
from catalog.ingest.families import FAMILIES
from catalog.taxonomy import WINDOW_AFTER, WINDOW_BEFORE
from tests.tiny_checkpoints import TINY, randomise

RULE = CountingRule(special_ids=(0, 1), skip_first=True)
Exemplar = tuple[Any, ...]
"""context, position, post, gate (where there is one), in"""
SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
PLAIN_SIGNS = ((1,), (-1,))
PLAIN_KINDS = sorted(name for name, family in FAMILIES.items() if not family.mlp.gated)


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

    if kind in PLAIN_KINDS:
        torch.manual_seed(0)
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


def mlps_of(model: nn.Module) -> list[TappedMlp]:
    """The MLPs of a model, where its family has them."""
    assert isinstance(model, PreTrainedModel)
    family = FAMILIES[str(model.config.model_type)]
    return find_mlps(model, family, model.config.num_hidden_layers)


def make_pass(
    model: nn.Module,
    reader: ContextReader,
    *,
    k: int = 3,
    tokens_per_batch: int = 128,
    rule: CountingRule = RULE,
    kernel: Kernel | None = None,
) -> ActivationPass:
    assert isinstance(model, PreTrainedModel)
    kernel = kernel or plain_kernel("asked for")
    samples = draw_samples(reader, rule, seed=7, n=20)
    mlps, family = mlps_of(model), FAMILIES[str(model.config.model_type)]
    written_with = mlps[0].writes.weight
    assert isinstance(written_with, torch.Tensor)
    plan = PassPlan(
        model="tiny",
        corpus="random",
        n_layers=len(mlps),
        d_mlp=written_with.shape[0 if family.transposed else 1],
        k=k,
        n_samples=len(samples.positions),
        tokens_per_batch=tokens_per_batch,
        seed=7,
        special_tokens="excluded",
        dtype="float32",
        device="cpu",
        kernel=kernel.name,
        gated=family.mlp.gated,
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
    """gate, in, post [position of corpus, layer, neuron] by one forward pass per context."""

    contexts: np.ndarray
    positions: np.ndarray
    counted: np.ndarray
    values: np.ndarray  # [position, quantity, layer, neuron]; post and, gate before in, reads

    @classmethod
    def run(cls, model: nn.Module, reader: ListContexts, rule: CountingRule = RULE) -> Self:
        taken: list[ndarray] = []

        def tap(_: int, values: MlpValues) -> None:
            taken.append(torch.stack([x[0] for x in (values.post, *values.reads)]).numpy())

        columns: tuple[list[ndarray], ...] = [], [], [], []
        with torch.no_grad(), tap_mlps(mlps_of(model), tap):
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


def sampled_post(oracle: Oracle, samples: SampledPositions, layer: int) -> np.ndarray:
    """post [sample, neuron] at the sampled positions."""
    pairs = zip(oracle.contexts, oracle.positions, strict=True)
    place = {(int(c), int(p)): i for i, (c, p) in enumerate(pairs)}
    rows = [place[int(c), int(p)] for c, p in zip(*samples, strict=True)]
    post: ndarray = oracle.values[rows, 0, layer]
    return post
