"""`catalog run` with neurons ablated, or asked which matter for a token, on a text of one's own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from catalog.errors import UsageError
from catalog.ingest.ablation.intervening import Replacement, replacing
from catalog.ingest.ablation.readout import LanguageModelHead, load_head
from catalog.ingest.ablation.subsets import NeuronsByLayer
from catalog.ingest.activations.contexts import Batch
from catalog.ingest.attribution.passes import differentiated
from catalog.ingest.corpus.encoding import encode, text_encoder
from catalog.ingest.families import family_of
from catalog.ingest.own_text import TextReader, TokenisedText, place_among
from catalog.ingest.probe import Probe
from catalog.neuron_id import NeuronId


@dataclass(frozen=True)
class TokenChange:
    """What an ablation does to the prediction after one token; probabilities of the next token.

    `next_token` is that of the text, None at its end. `likeliest`: the token predicted most.
    """

    position: int
    token: str
    next_token: str | None
    p_clean: float | None
    p_ablated: float | None
    loss_change: float | None
    likeliest_clean: str
    likeliest_ablated: str
    p_likeliest_clean: float
    p_likeliest_ablated: float


@dataclass(frozen=True)
class NeuronEffect:
    """To first order, what a neuron's zero ablation would add to -log p of a token (nats)."""

    layer: int
    neuron: int
    effect: float
    magnitude: float


@dataclass(frozen=True)
class Attributed:
    """The neurons that matter most for a token after a text, and the token's probability."""

    token: str
    probability: float
    neurons: list[NeuronEffect]


def ablated_text(reader: TextReader, text: str, neurons: Sequence[NeuronId]) -> list[TokenChange]:
    """Probabilities after every token of a text, clean and with the neurons' post at 0.

    Raises:
        CheckpointError, CorpusError, UsageError: as `TextReader.neuron`; a model without a head.
    """
    probe, tokenised = reader.probe, reader.tokenised(text)
    head = _head(probe)
    batch = _batch(probe, tokenised)
    by_layer = {
        layer: np.unique([each.neuron for each in neurons if each.layer == layer]).astype(np.int32)
        for layer in {each.layer for each in neurons}
    }
    clean = _log_probabilities(probe, head, batch, {})
    ablated = _log_probabilities(probe, head, batch, by_layer)
    pieces = _pieces(probe)
    ids, n = tokenised.token_ids, len(tokenised.token_ids)
    changes = []
    for at in range(n):
        following = ids[at + 1] if at + 1 < n else None
        before, after = (
            None if following is None else float(each[at, following]) for each in (clean, ablated)
        )
        best_clean, best_ablated = (int(each[at].argmax()) for each in (clean, ablated))
        changes.append(
            TokenChange(
                position=at,
                token=tokenised.tokens[at],
                next_token=None if following is None else tokenised.tokens[at + 1],
                p_clean=None if before is None else math.exp(before),
                p_ablated=None if after is None else math.exp(after),
                loss_change=None if before is None or after is None else before - after,
                likeliest_clean=pieces.get(best_clean, f"<{best_clean}>"),
                likeliest_ablated=pieces.get(best_ablated, f"<{best_ablated}>"),
                p_likeliest_clean=float(clean[at, best_clean].exp()),
                p_likeliest_ablated=float(ablated[at, best_ablated].exp()),
            )
        )
    return changes


def attributed_text(reader: TextReader, text: str, next_text: str, k: int) -> Attributed:
    """The k neurons of largest |effect| on the first token of `next_text` after a text.

    Raises:
        CheckpointError, CorpusError: as `ablated_text`.
        UsageError: `next_text` is empty.
    """
    probe, tokenised = reader.probe, reader.tokenised(text)
    own = next(encode(text_encoder(probe.checkpoint.tokenizer()), [next_text]))
    if len(own.ids) == 0:
        raise UsageError("The token to attribute is empty: write the text that comes next.")
    target = int(own.ids[0])
    head, batch = _head(probe), _batch(probe, tokenised)
    probe.model.requires_grad_(False)
    sums: dict[int, tuple[Tensor, Tensor]] = {}
    with torch.enable_grad(), differentiated(probe.mlps, batch, sums):
        hidden = probe.model(input_ids=batch.tokens, use_cache=False).last_hidden_state
        logged = head.logits(hidden[0, -1:]).float().log_softmax(-1)[0, target]
        logged.neg().backward()
    layers = sorted(sums)
    effect, magnitude = (torch.cat([sums[at][what][0] for at in layers]).cpu() for what in (0, 1))
    widths = [sums[layer][0].shape[1] for layer in layers]
    found = []
    for index in effect.abs().topk(min(k, effect.numel())).indices.tolist():
        at, neuron = place_among(index, widths)
        values = float(effect[index]), float(magnitude[index])
        found.append(NeuronEffect(layers[at], neuron, *values))
    token = _pieces(probe).get(target, f"<{target}>")
    return Attributed(token, float(logged.detach().exp()), found)


def _head(probe: Probe) -> LanguageModelHead:
    family = family_of(probe.checkpoint)
    names = family.unembedding_name(probe.checkpoint), family.embedding_name(probe.checkpoint)
    return load_head(probe.checkpoint, probe.model, *names)


def _batch(probe: Probe, text: TokenisedText) -> Batch:
    """The text as a batch; its start token is not ablated, and does not count."""
    tokens = torch.tensor([text.token_ids], device=probe.device)
    counted = torch.ones_like(tokens, dtype=torch.bool)
    counted[:, : text.n_start] = False
    lengths = torch.tensor([tokens.shape[1]], device=probe.device)
    return Batch(torch.zeros_like(lengths), tokens, lengths, counted)


def _log_probabilities(
    probe: Probe, head: LanguageModelHead, batch: Batch, neurons: NeuronsByLayer
) -> Float[Tensor, "t d_vocab"]:
    with torch.inference_mode(), replacing(probe.mlps, Replacement(neurons), batch.counted):
        hidden = probe.model(input_ids=batch.tokens, use_cache=False).last_hidden_state
        return head.logits(hidden[0]).float().log_softmax(-1).cpu()


def _pieces(probe: Probe) -> dict[int, str]:
    from catalog.ingest.vocabulary import piece_texts

    return dict(piece_texts(probe.checkpoint.tokenizer()))
