"""What a model puts out at a position, as metrics: loss, entropy, rank, log_scale.

docs/definitions.md, "What a neuron causes". Logits are those the model emits (soft caps and scales
included), a few positions at a time, so that memory does not grow with vocabulary times batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, cast

import torch
from jaxtyping import Float, Int, Int64
from numpy import ndarray
from torch import Tensor, nn

from catalog.errors import CheckpointError
from catalog.ingest.activations.contexts import Batch
from catalog.ingest.checkpoint import Checkpoint
from catalog.ingest.families import Family
from catalog.taxonomy import METRICS

LOGITS_AT_ONCE: Final = 1 << 24
"""Logits the head puts out at a time: 64 MB in float32."""

IN_CACHE: Final = 1 << 19
"""Logits read at a time on a CPU, where seven readings of 2 MB cost a quarter of those of 64 MB."""


class _Given(nn.Module):
    """Stands in a causal model for its base: puts out the hidden states that it is given."""

    hidden: Tensor

    def forward(self, *_: Any, **__: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

        output: Any = BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=self.hidden)
        for handed_on in ("shared_kv_states", "router_logits"):  # by Gemma 4's head
            setattr(output, handed_on, None)
        return output

    @property
    def decoder(self) -> "_Given":
        """Itself: some models ask their base's decoder."""
        return self


class LanguageModelHead:
    """The part of a causal model behind its base model, with the checkpoint's unembedding."""

    def __init__(self, causal: nn.Module) -> None:
        self._causal = causal
        self._given = _Given()
        setattr(causal, str(causal.base_model_prefix), self._given)

    def logits(self, hidden: Float[Tensor, "p d_model"]) -> Float[Tensor, "p d_vocab"]:
        """What the model emits after these hidden states, in its own dtype."""
        self._given.hidden = hidden[None]
        ids = torch.zeros((1, len(hidden)), dtype=torch.int64, device=hidden.device)
        try:
            return cast(Tensor, self._causal(input_ids=ids, use_cache=False).logits[0])
        finally:
            del self._given.hidden


def load_head(
    checkpoint: Checkpoint, base: nn.Module, unembedding: str, embedding: str
) -> LanguageModelHead:
    """The head of a checkpoint whose base model is loaded, on the device of its last parameter.

    `unembedding`, `embedding`: names of tensors; equal ones are tied and stored once.

    Raises:
        CheckpointError: the model has no language-model head.
    """
    from transformers import AutoModelForCausalLM

    refused = CheckpointError(
        f"{checkpoint.source} (model type {checkpoint.config.get('model_type')}) has no "
        "language-model head that transformers knows, so there are no logits to compare."
    )
    config = cast(Any, base).config
    if type(config) not in AutoModelForCausalLM._model_mapping:
        raise refused
    last = list(base.parameters())[-1]
    with torch.device("meta"):
        causal = AutoModelForCausalLM.from_config(
            config, dtype=last.dtype, trust_remote_code=False
        ).eval()
    head = causal.get_output_embeddings()
    if head is None or unembedding not in checkpoint:
        raise refused
    tied = cast(Any, base).get_input_embeddings().weight
    if unembedding == embedding and tied.device == last.device:
        head.weight = nn.Parameter(tied.detach(), requires_grad=False)
    else:
        stored = checkpoint.tensor(unembedding).to(last.device, last.dtype)
        head.weight = nn.Parameter(stored.clone(), requires_grad=False)
    if getattr(head, "bias", None) is not None:
        bias = checkpoint.tensor(unembedding.removesuffix("weight") + "bias")
        head.bias = nn.Parameter(bias.to(last.device, last.dtype).clone(), requires_grad=False)
    checkpoint.release()
    return LanguageModelHead(causal)


class FinalNorm:
    """Watches what the final norm reads (docs/definitions.md, log_scale)."""

    def __init__(self, model: nn.Module, family: Family) -> None:
        self._norm = model.get_submodule(family.final_norm) if family.final_norm else None
        self._centred = family.norm_kind == "layer"
        config: Any = getattr(model, "config", None)
        self._epsilon = float(getattr(config, family.epsilon_key, family.epsilon))
        self._seen: Tensor | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the context, forward passes leave what the norm reads."""

        def keep(_: nn.Module, inputs: tuple[Tensor]) -> None:
            self._seen = inputs[0]

        if self._norm is None:
            yield
            return
        handle = self._norm.register_forward_pre_hook(keep)
        try:
            yield
        finally:
            handle.remove()

    def log_scale(self, rows: Int[Tensor, " p"], device: torch.device) -> Float[Tensor, " p"]:
        """ln sqrt(mean(x²) + eps) of some positions of the flattened batch; NaN without a norm."""
        if self._seen is None:
            return torch.full((len(rows),), torch.nan, device=device)
        x = self._seen.flatten(0, 1)[rows.to(self._seen.device)].float()
        self._seen = None
        if self._centred:
            x = x - x.mean(dim=-1, keepdim=True)
        return (x.square().mean(dim=-1) + self._epsilon).log().div(2).to(device)


def read_out(
    head: LanguageModelHead,
    hidden: Float[Tensor, "p d_model"],
    next_tokens: Int[Tensor, " p"],
    log_scale: Float[Tensor, " p"],
) -> Float[Tensor, "metric p"]:
    """The metrics in the order of `METRICS`, float32; next token -1: no loss and rank (NaN).

    `hidden` is what the base model puts out, behind its final norm.
    """
    values = hidden.new_empty((len(METRICS), len(hidden)), dtype=torch.float32)
    values[METRICS.index("log_scale")] = log_scale
    start, n_rows = 0, len(hidden)
    step = 1  # the first row says how many logits there are
    while start < n_rows:
        part = slice(start, min(start + step, n_rows))
        logits = head.logits(hidden[part])
        d_vocab = logits.shape[1]
        rows = max(1, (IN_CACHE if logits.device.type == "cpu" else LOGITS_AT_ONCE) // d_vocab)
        blocks = zip(logits.split(rows), next_tokens[part].split(rows), strict=True)
        values[:3, part] = torch.cat([_of_logits(*block) for block in blocks], dim=1)
        start, step = part.stop, max(1, LOGITS_AT_ONCE // d_vocab)
    return values


def _of_logits(
    emitted: Float[Tensor, "p d_vocab"], next_tokens: Int[Tensor, " p"]
) -> Float[Tensor, "3 p"]:
    """Loss, entropy and rank. Two buffers are all it takes: fresh pages cost more than sums."""
    logits = emitted.float()
    logits.sub_(logits.amax(dim=-1, keepdim=True))
    there = next_tokens >= 0
    target = logits.gather(1, next_tokens.clamp_min(0)[:, None])
    buffer = torch.empty_like(logits)
    above: Tensor = torch.gt(logits, target, out=buffer)
    rank = 1 + above.sum(dim=-1)
    weights: Tensor = torch.exp(logits, out=buffer)
    total = weights.sum(dim=-1)
    # An infinite logit weighs nothing: 0 * -inf would be NaN.
    logits.clamp_min_(torch.finfo(logits.dtype).min)
    loss = (total.log() - target[:, 0]).where(there, torch.nan)
    entropy = total.log() - torch.linalg.vecdot(weights, logits) / total
    return torch.stack([loss, entropy, rank.where(there & total.isfinite(), torch.nan)])


class ScoredPositions(NamedTuple):
    """Scored positions of a batch; `rows` are their places when it is flattened."""

    rows: Int64[Tensor, " p"]
    contexts: Int64[ndarray, " p"]
    positions: Int64[ndarray, " p"]
    next_tokens: Int64[Tensor, " p"]  # -1 where there is none, or none that counts


def scored_positions(batch: Batch) -> ScoredPositions:
    """The positions of a batch that count, context by context."""
    counted = batch.counted
    rows = counted.flatten().nonzero()[:, 0]
    row, position = counted.nonzero().T
    following = torch.full_like(batch.tokens, -1)
    following[:, :-1] = torch.where(counted[:, 1:], batch.tokens[:, 1:], -1)
    contexts = batch.context_ids[row].cpu().numpy()
    return ScoredPositions(rows, contexts, position.cpu().numpy(), following.flatten()[rows])
