"""Stage `wiring` over the bare float32 products that it needs: every two layers once.

The bare products are of whole layers, with the vectors in memory. The stage reads the checkpoint,
multiplies, keeps the lists, merges those of all layers and makes the rows.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import torch
from made_checkpoint import checkpoint_of_shape
from measuring import PeakMemory, interleaved, show, show_machine, show_ratio

from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.engines.local import LocalEngine
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.progress import Silent
from catalog.ingest.stages.wiring import WiringStage
from catalog.store.staging import Staging

TARGET = 1.5


@click.command()
@click.option("--checkpoint", help="A real one; without, one is made of the shape below.")
@click.option("--layers", default=8, show_default=True)
@click.option("--d-model", default=576, show_default=True)
@click.option("--neurons", default=1536, show_default=True, help="Of a layer.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("bench/checkpoints"))
@click.option("--repeats", default=3, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
def main(
    checkpoint: str | None,
    layers: int,
    d_model: int,
    neurons: int,
    device: str,
    folder: Path,
    repeats: int,
    threads: int,
) -> None:
    """Measure the wiring stage at the shape of SmolLM2 (or another), side by side with products."""
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    show_machine(threads)
    if checkpoint is None:
        shape = folder / f"wiring-{layers}-{d_model}-{neurons}"
        checkpoint = str(checkpoint_of_shape(shape, layers, d_model, neurons, alike=False))
    measured = actions(checkpoint, torch.device(device))
    with PeakMemory() as memory:
        measured["stage"]()
    show("peak memory of the stage", memory.anonymous, unit=" MB")
    show_ratio(interleaved(measured, repeats), "stage", "bare products", TARGET)


def actions(checkpoint: str, device: torch.device) -> dict[str, Callable[[], object]]:
    """The whole stage, and the products that it needs."""
    weights = NeuronVectors(open_checkpoint(checkpoint), "folded")

    def stage() -> None:
        with tempfile.TemporaryDirectory() as made:
            WiringStage(weights, device, 1e9).compute(Staging(Path(made)), LocalEngine(), Silent())

    return {"bare products": lambda: multiply_all(weights, device), "stage": stage}


def multiply_all(weights: NeuronVectors, device: torch.device) -> None:
    """Every product that wires and twins are made of; what is read does not matter."""
    random = torch.Generator(device).manual_seed(0)
    shape = (weights.d_mlp, weights.d_model)
    first, second = (torch.randn(shape, device=device, generator=random) for _ in range(2))
    held = torch.empty(weights.d_mlp, weights.d_mlp, device=device)
    n_layers, n_vectors = weights.n_layers, len(weights.vectors)
    n_wired = (n_vectors - 1) * n_layers * (n_layers - 1) // 2
    n_twins = n_vectors * n_layers * (n_layers + 1) // 2
    for _ in range(n_wired + n_twins):
        torch.mm(first, second.T, out=held)
    assert float(held[-1, -1]) == float(held[-1, -1])  # waits for the GPU


if __name__ == "__main__":
    main()
