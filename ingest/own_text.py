"""`catalog run`: the activations of a model's neurons on a text of the user's own."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from catalog.errors import CorpusError
from catalog.ingest.corpus.encoding import encode, text_encoder
from catalog.ingest.device import pick_device, pick_dtype
from catalog.ingest.probe import open_probe
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
    """One neuron's values at every token of a text; `gate` is None where it has none.

    A value is None where the neuron's expert is not asked.
    """

    model: str
    text: TokenisedText
    gate: list[float | None] | None
    x_in: list[float | None]
    post: list[float | None]


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


class TextReader:
    """A model of the catalog, loaded once, that reads texts of the user's own.

    Raises CheckpointError if the checkpoint is gone, or not the one that was ingested. `tokenizer`
    is a folder with the tokenizer, if it is not the checkpoint's own; `checkpoint` is where that
    lies now, if it was moved. Without `may_download` nothing is fetched.
    """

    def __init__(
        self,
        entry: Entry,
        device: str,
        dtype: str,
        tokenizer: Path | None = None,
        checkpoint: Path | None = None,
        *,
        may_download: bool = True,
    ) -> None:
        where = pick_device(device)
        self.entry = entry
        self.probe = open_probe(
            entry,
            pick_dtype(dtype, where),
            where,
            tokenizer,
            checkpoint,
            may_download=may_download,
        )
        self._tokenizer = self.probe.checkpoint.tokenizer()

    def neuron(self, text: str, neuron_id: NeuronId) -> NeuronOnText:
        """gate, in and post of one neuron at every token.

        Raises:
            CorpusError: the text is empty, or longer than the model takes.
            UsageError: it holds bytes that are no Unicode.
        """
        tokenised = self.tokenised(text)
        values = self.probe.values(tokenised.token_ids, {neuron_id.layer})[neuron_id.layer]
        *gate, x_in, post = (_numbers(value[:, neuron_id.neuron]) for value in values.tensors)
        return NeuronOnText(self.entry.model, tokenised, gate[0] if gate else None, x_in, post)

    def top(
        self,
        text: str,
        k: int,
        scales: Float[ndarray, "n_layers d_mlp"],
        layers: Sequence[int],
    ) -> list[TopNeuron]:
        """The k neurons of these layers of largest |post|·scale at each token but the start token.

        Neurons of scale 0 come last; those of experts that are not asked are left out.

        Raises:
            CorpusError, UsageError: as `neuron`.
        """
        tokenised = self.tokenised(text)
        by_layer = self.probe.values(tokenised.token_ids, layers)
        widths = [by_layer[layer].post.shape[1] for layer in layers]
        post = torch.cat([by_layer[layer].post for layer in layers], dim=1)  # [t, sum of widths]
        own = (scales[layer, :n] for layer, n in zip(layers, widths, strict=True))
        ranked = post.abs() * torch.from_numpy(np.concatenate([*own]))
        ranked[post.isnan()] = -1.0
        _, best = ranked.topk(min(k, post.shape[1]), dim=1)
        found = []
        for position in range(tokenised.n_start, len(tokenised.tokens)):
            asked = [index for index in best[position].tolist() if ranked[position, index] >= 0]
            for rank, index in enumerate(asked, 1):
                at, neuron = place_among(index, widths)
                layer = layers[at]
                values = by_layer[layer].tensors
                *gate, x_in, own_post = (float(value[position, neuron]) for value in values)
                token = tokenised.tokens[position]
                gate_there = gate[0] if gate else None
                found.append(
                    TopNeuron(position, token, rank, layer, neuron, gate_there, x_in, own_post)
                )
        return found

    def tokenised(self, text: str) -> TokenisedText:
        """The text as the model reads it; raises as `neuron`."""
        own = next(encode(text_encoder(self._tokenizer), [text]))
        start = start_token(self._tokenizer)
        start_ids = [] if start is None else [start]
        starts = [str(self._tokenizer.convert_ids_to_tokens(token_id)) for token_id in start_ids]
        token_ids = [*start_ids, *own.ids.tolist()]
        limit = getattr(self.probe.model.config, "max_position_embeddings", None)
        if len(own.ids) == 0:
            raise CorpusError("The text is empty.")
        if limit is not None and len(token_ids) > limit:
            raise CorpusError(
                f"The text has {len(token_ids)} tokens, start token included; the model takes "
                f"{limit}."
            )
        pieces = [text[a:b] for a, b in zip(own.starts.tolist(), own.ends.tolist(), strict=True)]
        whole = "".join([*starts, text])
        return TokenisedText(whole, token_ids, [*starts, *pieces], len(start_ids))


def place_among(index: int, widths: Sequence[int]) -> tuple[int, int]:
    """Which part an index into parts of these widths, one after another, is in, and where there."""
    starts = [0, *accumulate(widths)]
    part = bisect_right(starts, index) - 1
    return part, index - starts[part]


def _numbers(values: Float[torch.Tensor, " t"]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]
