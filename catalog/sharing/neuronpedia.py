"""Exemplars as Neuronpedia's exports have them, which its `batch-autointerp` reads.

A source (`28-neurons-pos`) is a folder with `features/batch-N.jsonl.gz` and
`activations/batch-N.jsonl.gz`: a line a neuron, and a line an exemplar. Field names are those of
Neuronpedia's tables Neuron and Activation (github.com/hijohnnylin/neuronpedia, `export-data.py`).
"""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

from catalog.sharing.exemplars import SIGNS, Share, SharedExemplar, SharedNeuron

NAMES: Final = re.compile(r"\d+-neurons-(pos|neg)", re.ASCII)
_PER_BATCH: Final = 1_024
"""Neurons of a file, as there."""


def write(share: Share, folder: Path) -> int:
    """Write a source per layer and sign of post; returns how many neurons had exemplars."""
    written = set()
    for layer in share.layers:
        for name, sign in SIGNS.items():
            source = f"{layer}-neurons-{name}"
            found = share.neurons(sign, layer)
            for at in count():
                if not (neurons := list(islice(found, _PER_BATCH))):
                    break
                written |= {each.id for each in neurons}
                file = f"batch-{at}.jsonl.gz"
                features = (_feature(share, source, each) for each in neurons)
                _write_lines(folder / source / "features" / file, features)
                activations = (
                    _activation(share, source, neuron, each)
                    for neuron in neurons
                    for each in neuron.exemplars
                )
                _write_lines(folder / source / "activations" / file, activations)
    return len(written)


def _write_lines(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
        for row in rows:
            stream.write(json.dumps(row).encode() + b"\n")


def _feature(share: Share, source: str, neuron: SharedNeuron) -> dict[str, Any]:
    return {
        "modelId": share.chosen.model.model,
        "layer": source,
        "index": str(neuron.id.neuron),
        "maxActApprox": max(each.post for each in neuron.exemplars),
        "frac_nonzero": neuron.frequency,
        "pos_str": [token for token, _ in neuron.promoted],
        "pos_values": [score for _, score in neuron.promoted],
        "neg_str": [token for token, _ in neuron.suppressed],
        "neg_values": [score for _, score in neuron.suppressed],
        "hookName": f"blocks.{neuron.id.layer}.mlp.hook_post",
    }


def _activation(
    share: Share, source: str, neuron: SharedNeuron, exemplar: SharedExemplar
) -> dict[str, Any]:
    said = f"{share.chosen.model.model} {source} {neuron.id.neuron} {exemplar.context_id} "
    said += f"{exemplar.position}"
    values = list(exemplar.values)
    return {
        "id": hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()[:25],
        "tokens": list(exemplar.tokens),
        "index": str(neuron.id.neuron),
        "layer": source,
        "modelId": share.chosen.model.model,
        "maxValue": max(values),
        "maxValueTokenIndex": exemplar.position - exemplar.window_start,
        "minValue": min(values),
        "values": values,
        "creatorId": "",
        "dataSource": share.corpus.corpus,
        "dataIndex": str(exemplar.context_id),
    }
