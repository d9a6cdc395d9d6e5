"""Stage `weights` at OLMo-7B's shape: time a layer over its baseline, and memory for any depth.

Of experts of Mixtral's shape the memory of `vocab` and `wiring` too.
"""

import tempfile
from pathlib import Path

import click
import numpy as np
import torch
from made_checkpoint import D_MLP, D_MODEL, checkpoint_of_shape
from measuring import (
    MB,
    PeakMemory,
    interleaved,
    max_rss_mb,
    show,
    show_machine,
    show_ratio,
    status_mb,
)
from safetensors import safe_open

from catalog.ingest.checkpoint import Checkpoint
from catalog.ingest.checkpoint.safetensors_files import SafetensorsFiles
from catalog.ingest.engines.local import LocalEngine
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.progress import Silent
from catalog.ingest.stages.stage import Stage
from catalog.ingest.stages.vocab import VocabStage
from catalog.ingest.stages.weights import WeightsStage
from catalog.ingest.stages.wiring import WiringStage
from catalog.ingest.vocabulary import Vocabulary
from catalog.store.staging import Staging

MATRICES_MB = 3 * D_MODEL * D_MLP * 4 / MB
"""The three matrices of one layer, float32, in which they are worked with."""

D_EXPERT = 14336  # Mixtral
EXPERT_MB = 3 * D_MODEL * D_EXPERT * 4 / MB


@click.command()
@click.option("--layers", default=4, show_default=True, help="32 is OLMo-7B (12 GB on disk).")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("bench/checkpoints"))
@click.option("--repeats", default=9, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
@click.option(
    "--memory-only", is_flag=True, help="One pass over all layers, and nothing before it."
)
@click.option("--experts", default=0, help="Memory alone, of so many experts of Mixtral's shape.")
@click.option("--vocab", "d_vocab", default=1000, show_default=True, help="Tokens, with --experts.")
@click.option(
    "--stage", "name", type=click.Choice(["weights", "vocab", "wiring"]), default="weights"
)
def main(
    layers: int,
    folder: Path,
    repeats: int,
    threads: int,
    memory_only: bool,
    experts: int,
    d_vocab: int,
    name: str,
) -> None:
    """Measure the weights stage; the checkpoint is written to FOLDER on the first run."""
    torch.set_num_threads(threads)
    show_machine(threads)
    if experts:
        path = checkpoint_of_shape(
            folder / f"mixtral-{layers}-{experts}-{d_vocab}",
            layers,
            d_mlp=D_EXPERT,
            d_vocab=d_vocab,
            n_experts=experts,
        )
        memory(stage_of_experts(path, name), layers, max(1500, EXPERT_MB))
        return
    path = checkpoint_of_shape(folder / f"olmo-7b-{layers}", layers)
    checkpoint = Checkpoint.read(path, str(path))
    tensors = SafetensorsFiles.read(path, str(path))
    stage = WeightsStage(NeuronVectors(checkpoint, "folded"), torch.device("cpu"))
    if not memory_only:
        actions = {
            "baseline": lambda: whole_tensors(tensors.files[0].path),
            "stage": lambda: stage.layer_rows(0),
        }
        show_ratio(interleaved(actions, repeats), "stage", "baseline", 1.3)
    memory(stage, layers, 1500 + MATRICES_MB)


def stage_of_experts(path: Path, name: str) -> Stage:
    weights, device = NeuronVectors(Checkpoint.read(path, str(path)), "folded"), torch.device("cpu")
    if name == "vocab":
        listed = np.arange(weights.d_vocab, dtype=np.int32)
        vocabulary = Vocabulary(listed, [f"token{at}" for at in listed], "made-up")
        return VocabStage(weights, vocabulary, 16, device)
    if name == "wiring":
        return WiringStage(weights, device, checkpoint_every_s=1e6)
    return WeightsStage(weights, device)


def whole_tensors(shard: Path) -> None:
    """The baseline: the three tensors of layer 0 as float32, held together."""
    with safe_open(shard, framework="pt") as file:
        held = [
            file.get_tensor(f"model.layers.0.mlp.{name}_proj.weight").float()
            for name in ("gate", "up", "down")
        ]
    assert len(held) == 3


def memory(stage: Stage, layers: int, limit: float) -> None:
    """All layers through `compute`, Parquet included."""
    before = status_mb("RssAnon")
    with tempfile.TemporaryDirectory() as folder, PeakMemory() as peak:
        stage.compute(Staging(Path(folder)), LocalEngine(), Silent())
    show(f"RssAnon before, {layers} layers", before, unit=" MB")
    show(f"peak RssAnon, {layers} layers", peak.anonymous, limit, " MB")
    show(f"peak resident, mapped files included, {layers} layers", max_rss_mb(), limit, " MB")


if __name__ == "__main__":
    main()
