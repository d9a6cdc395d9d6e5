"""`catalog run`: the activations of a model's neurons on a text of the user's own."""

from dataclasses import dataclass
from pathlib import Path

import torch

from catalog.errors import CorpusError, UsageError
from catalog.ingest.corpus.encoding import encode, text_encoder
from catalog.ingest.device import pick_device, pick_dtype
from catalog.ingest.probe import Probe, open_probe
from catalog.ingest.vocabulary import start_token
from catalog.neuron_id import NeuronId
from catalog.queries.records import Entry


@dataclass(frozen=True)
class TokenisedText:
    """A text as the model reads it: the start token, if there is one, then its own tokens.

    `tokens` are the characters that each stands for; one that was split stands in several.
    """

    text: str
    token_ids: list[int]
    tokens: list[str]
    n_start: int


@dataclass(frozen=True)
class NeuronOnText:
    """One neuron's values at every token of a text; `gate` is None where it has none."""

    model: str
    text: TokenisedText
    gate: list[float] | None
    x_in: list[float]
    post: list[float]


@dataclass(frozen=True)
class TopNeuron:
    """One of the neurons of largest |post| at a token."""

    position: int
    token: str
    rank: int
    layer: int
    neuron: int
    gate: float | None
    x_in: float
    post: float


def neuron_on_text(
    entry: Entry,
    text: str,
    neuron_id: NeuronId,
    device: str,
    dtype: str,
    tokenizer: Path | None = None,
    checkpoint: Path | None = None,
) -> NeuronOnText:
    """gate, in and post of one neuron at every token.

    `tokenizer` is a folder with the tokenizer, if it is not the checkpoint's own; `checkpoint` is
    where that lies now, if it was moved.

    Raises:
        CheckpointError: the checkpoint is gone, or not the one that was ingested.
        CorpusError: the text is empty, or longer than the model takes.
        UsageError: it holds bytes that are no Unicode.
    """
    probe, tokenised = prepared(entry, text, device, dtype, tokenizer, checkpoint)
    values = probe.values(tokenised.token_ids, {neuron_id.layer})[neuron_id.layer]
    *gate, x_in, post = (value[:, neuron_id.neuron].tolist() for value in values.tensors)
    return NeuronOnText(entry.model, tokenised, gate[0] if gate else None, x_in, post)


def top_neurons(
    entry: Entry,
    text: str,
    k: int,
    device: str,
    dtype: str,
    tokenizer: Path | None = None,
    checkpoint: Path | None = None,
) -> list[TopNeuron]:
    """The k neurons of largest |post| at each token but the start token, in all layers.

    Raises:
        CheckpointError, CorpusError, UsageError: as `neuron_on_text`.
    """
    probe, tokenised = prepared(entry, text, device, dtype, tokenizer, checkpoint)
    by_layer = probe.values(tokenised.token_ids, range(entry.n_layers))
    post = torch.cat([by_layer[layer].post for layer in sorted(by_layer)], dim=1)  # [t, l * d_mlp]
    _, best = post.abs().topk(min(k, post.shape[1]), dim=1)
    found = []
    for position in range(tokenised.n_start, len(tokenised.tokens)):
        for rank, index in enumerate(best[position].tolist(), 1):
            layer, neuron = divmod(index, entry.d_mlp)
            values = by_layer[layer].tensors
            *gate, x_in, own_post = (float(value[position, neuron]) for value in values)
            token = tokenised.tokens[position]
            gate_there = gate[0] if gate else None
            found.append(
                TopNeuron(position, token, rank, layer, neuron, gate_there, x_in, own_post)
            )
    return found


def prepared(
    entry: Entry,
    text: str,
    device: str,
    dtype: str,
    tokenizer_folder: Path | None,
    checkpoint: Path | None,
) -> tuple[Probe, TokenisedText]:
    """The model, and the text as it reads it.

    Raises:
        CheckpointError, CorpusError, UsageError: as `neuron_on_text`.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError("The text is no valid Unicode. Give it in UTF-8.")
    where = pick_device(device)
    probe = open_probe(entry, pick_dtype(dtype, where), where, tokenizer_folder, checkpoint)
    tokenizer = probe.checkpoint.tokenizer()
    own = next(encode(text_encoder(tokenizer), [text]))
    start = start_token(tokenizer)
    start_ids = [] if start is None else [start]
    starts = [str(tokenizer.convert_ids_to_tokens(token_id)) for token_id in start_ids]
    token_ids = [*start_ids, *own.ids.tolist()]
    limit = getattr(probe.model.config, "max_position_embeddings", None)
    if len(own.ids) == 0:
        raise CorpusError("The text is empty.")
    if limit is not None and len(token_ids) > limit:
        raise CorpusError(
            f"The text has {len(token_ids)} tokens, start token included; the model takes {limit}."
        )
    pieces = [text[a:b] for a, b in zip(own.starts.tolist(), own.ends.tolist(), strict=True)]
    whole = "".join([*starts, text])
    return probe, TokenisedText(whole, token_ids, [*starts, *pieces], len(start_ids))
