"""Tiny models and corpora, and a batch-size-1 loop in NumPy that says what the pass must find."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from catalog.ingest.activations.contexts import (
    CountingRule,
    SampledPositions,
    draw_samples,
    plan_units,
)
from catalog.ingest.activations.hooks import tap_mlps
from catalog.ingest.activations.kernel import Kernel, plain_kernel
from catalog.ingest.activations.run import ActivationPass
from catalog.ingest.activations.state import ActivationState, PassPlan
from catalog.taxonomy import WINDOW_AFTER, WINDOW_BEFORE

RULE = CountingRule(special_ids=(0, 1), skip_first=True)
SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


class ListContexts:
    """A corpus in memory; the token after context i is i, or none where i is odd."""

    def __init__(self, contexts):
        self.contexts = [np.asarray(c, np.int32) for c in contexts]
        self.lengths = np.array([len(c) for c in self.contexts], np.int32)
        self.next_token_ids = np.arange(len(self.contexts), dtype=np.int32)
        self.next_token_ids[1::2] = -1

    def tokens(self, context_ids):
        return [self.contexts[i] for i in context_ids]


def random_contexts(n, longest=40, d_vocab=50, seed=0):
    """Start token 0, special token 1 now and then in the middle."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, n)
    return ListContexts([[0, *rng.integers(1, d_vocab, length - 1)] for length in lengths])


def tiny_model(kind="llama", d_mlp=24, n_layers=2):
    """Random weights, large enough that attention and gates are far from linear."""
    from transformers import AutoModel, Gemma2Config, LlamaConfig, Phi3Config

    shape = {
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
    model = AutoModel.from_config(configs[kind], dtype=torch.float32).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.4)
    return model


def make_pass(model, reader, *, k=3, tokens_per_batch=128, rule=RULE, kernel: Kernel | None = None):
    kernel = kernel or plain_kernel("asked for")
    samples = draw_samples(reader, rule, seed=7, n=20)
    plan = PassPlan(
        model="tiny",
        corpus="random",
        n_layers=model.config.num_hidden_layers,
        d_mlp=model.config.intermediate_size,
        k=k,
        n_samples=len(samples.positions),
        tokens_per_batch=tokens_per_batch,
        seed=7,
        special_tokens="excluded",
        dtype="float32",
        device="cpu",
        kernel=kernel.name,
    )
    units = plan_units(reader.lengths, tokens_per_batch)
    return ActivationPass(model, reader, units, samples, rule, kernel, plan)


def empty_state(work):
    return ActivationState.empty(work.plan, work.device)


@dataclass
class Oracle:
    """gate, in, post [position of corpus, layer, neuron] by one forward pass per context."""

    contexts: np.ndarray
    positions: np.ndarray
    counted: np.ndarray
    values: np.ndarray  # [position, quantity, layer, neuron]; post, gate, in

    @classmethod
    def run(cls, model, reader, rule=RULE):
        taken = []

        def tap(_, values):
            gate, x_in, post = values
            taken.append(torch.stack([post[0], gate[0], x_in[0]]).numpy())

        columns = [], [], [], []
        with torch.no_grad(), tap_mlps(model, tap):
            for i, tokens in enumerate(reader.contexts):
                taken.clear()
                model(torch.from_numpy(tokens.astype(np.int64))[None], use_cache=False)
                columns[0].append(np.full(len(tokens), i))
                columns[1].append(np.arange(len(tokens)))
                columns[2].append(rule.counted(tokens))
                columns[3].append(np.stack(taken).transpose(2, 1, 0, 3))
        return cls(*map(np.concatenate, columns))

    def case(self, layer, neuron, case):
        """Counted positions in the case, and their (post, gate, in)."""
        values = self.values[:, :, layer, neuron]
        sign_gate, sign_in = SIGNS[case]
        mine = (values[:, 1] * sign_gate > 0) & (values[:, 2] * sign_in > 0) & self.counted
        return np.flatnonzero(mine), values[mine]

    def exemplars(self, layer, neuron, case, k):
        """(context, position, post, gate, in) of the k best contexts, in order."""
        places, values = self.case(layer, neuron, case)
        best = {}
        for place, value in zip(places, values, strict=True):
            context = int(self.contexts[place])
            if context not in best or abs(value[0]) > abs(best[context][1]):
                best[context] = (int(self.positions[place]), *value)
        order = sorted(best.items(), key=lambda item: (-abs(item[1][1]), item[0]))
        return [(context, *found) for context, found in order[:k]]

    def window(self, layer, neuron, context, position):
        mine = self.contexts == context
        post = self.values[mine, 0, layer, neuron]
        return post[max(0, position - WINDOW_BEFORE) : position + WINDOW_AFTER + 1]


def sampled_post(oracle: Oracle, samples: SampledPositions, layer: int) -> np.ndarray:
    """post [sample, neuron] at the sampled positions."""
    pairs = zip(oracle.contexts, oracle.positions, strict=True)
    place = {(int(c), int(p)): i for i, (c, p) in enumerate(pairs)}
    rows = [place[int(c), int(p)] for c, p in zip(*samples, strict=True)]
    return oracle.values[rows, 0, layer]
