"""Exemplars as a cache of delphi (Paulo et al. 2024, github.com/EleutherAI/delphi).

A module (`layers.28.mlp.pos`) is a folder with `config.json` and one file of tensors,
`0_LAST.safetensors`: `locations` [n, 3] (row, position, neuron), `activations` [n] and `tokens`
[rows, 32]. delphi takes the tokens of the first file that it finds for all of them, so every file
has the same: a row for each window of 32 tokens around the peak of an exemplar.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from safetensors.numpy import save_file

from catalog.queries.sql import sql_text
from catalog.sharing.exemplars import SIGNS, Share, SharedExemplar
from catalog.store.reading import run_for_dicts

NAMES: Final = re.compile(r"layers\.\d+\.mlp\.(pos|neg)", re.ASCII)
N_TOKENS: Final = 32
"""Of a row: delphi's default `example_ctx_len`, and the longest window of an exemplar."""

Window = tuple[int, int]
"""Where a row was cut: a context, and the position of the row's first token in it."""


def write(share: Share, folder: Path) -> int:
    """Write a module per layer and sign of post; returns how many neurons had exemplars."""
    modules: dict[str, list[tuple[int, SharedExemplar]]] = {}
    written = set()
    for layer in share.layers:
        for name, sign in SIGNS.items():
            for neuron in share.neurons(sign, layer):
                written.add(neuron.id)
                pairs = ((neuron.id.neuron, each) for each in neuron.exemplars)
                modules.setdefault(f"layers.{layer}.mlp.{name}", []).extend(pairs)
    contexts = _contexts(share, {each.context_id for all_ in modules.values() for _, each in all_})
    rows: dict[Window, int] = {}
    for exemplars in modules.values():
        for _, each in exemplars:
            rows.setdefault(_window(each, contexts), len(rows))
    tokens = _tokens(rows, contexts, share.corpus.start_token_id or 0)
    for module, exemplars in modules.items():
        (folder / module).mkdir()
        tensors = _located(exemplars, rows, contexts) | {"tokens": tokens}
        save_file(tensors, folder / module / f"0_{share.chosen.model.d_mlp - 1}.safetensors")
        config = json.dumps(_config(share, tokens.size), indent=2)
        (folder / module / "config.json").write_text(config + "\n", encoding="utf-8")
    return len(written)


def _contexts(share: Share, wanted: Iterable[int]) -> Mapping[int, Sequence[int]]:
    """Token ids of contexts, which are beneath the public views."""
    asked = {
        "model": share.chosen.model.model,
        "corpus": share.corpus.corpus,
        "contexts": sorted(wanted),
    }
    with share.catalog.tables() as connection:
        rows = run_for_dicts(connection, sql_text("context_tokens"), asked, share.catalog.location)
    return {row["context_id"]: row["token_ids"] for row in rows}


def _window(exemplar: SharedExemplar, contexts: Mapping[int, Sequence[int]]) -> Window:
    """The row that holds an exemplar's window; one that its context's end clips begins earlier."""
    last = max(len(contexts[exemplar.context_id]) - N_TOKENS, 0)
    return exemplar.context_id, min(exemplar.window_start, last)


def _tokens(
    rows: Mapping[Window, int], contexts: Mapping[int, Sequence[int]], filler: int
) -> Int64[ndarray, "rows 32"]:
    """Token ids of the rows; those of a shorter context end with `filler`."""
    tokens = np.full((len(rows), N_TOKENS), filler, np.int64)
    for (context, start), row in rows.items():
        own = contexts[context][start : start + N_TOKENS]
        tokens[row, : len(own)] = own
    return tokens


def _located(
    exemplars: Sequence[tuple[int, SharedExemplar]],
    rows: Mapping[Window, int],
    contexts: Mapping[int, Sequence[int]],
) -> dict[str, Any]:
    """Where neurons are active and how much; of two exemplars in one row, both."""
    active: dict[tuple[int, int, int], float] = {}
    for neuron, each in exemplars:
        window = _window(each, contexts)
        for at, value in enumerate(each.values, each.window_start - window[1]):
            if value > 0:
                active[rows[window], at, neuron] = value
    locations = np.array(sorted(active), np.uint32).reshape(-1, 3)
    activations = np.array([active[at] for at in sorted(active)], np.float32)
    return {"locations": locations, "activations": activations}


def _config(share: Share, n_tokens: int) -> dict[str, Any]:
    """What delphi's CacheConfig says of a cache; `model_name` is where it finds the tokenizer."""
    return {
        "dataset_repo": share.corpus.source,
        "dataset_split": "",
        "dataset_name": "",
        "dataset_column": "text",
        "batch_size": 1,
        "cache_ctx_len": N_TOKENS,
        "ctx_len": N_TOKENS,
        "n_tokens": n_tokens,
        "n_splits": 1,
        "model_name": share.chosen.model.source,
    }
