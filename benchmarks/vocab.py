"""Stage `vocab` at the 7B shape: some neurons of one layer over one product with W_U."""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from made_checkpoint import D_MODEL, checkpoint_of_shape
from measuring import interleaved, show_machine, show_ratio

from catalog.ingest.checkpoint import Checkpoint
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.stages.vocab import VocabStage
from catalog.ingest.vocabulary import Vocabulary

D_VOCAB = 50304
TARGETS = {"cpu": 1.3, "cuda": 1.5}


@click.command()
@click.option("--neurons", default=512, show_default=True, help="Neurons of the one layer.")
@click.option("--top-tokens", default=16, show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("bench/checkpoints"))
@click.option("--repeats", default=5, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
def main(
    neurons: int, top_tokens: int, device: str, folder: Path, repeats: int, threads: int
) -> None:
    """Measure the vocab stage: reading, product, moments, both top-k and the Arrow rows."""
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    show_machine(threads)
    path = checkpoint_of_shape(folder / f"vocab-{neurons}", 1, D_MODEL, neurons, D_VOCAB)
    timings = interleaved(actions(path, top_tokens, torch.device(device)), repeats)
    show_ratio(timings, "stage", "one product with W_U", TARGETS[device])
    show_ratio(timings, "stage, basis embed", "one product with W_U", TARGETS[device])


def actions(
    checkpoint: Path, top_tokens: int, device: torch.device
) -> dict[str, Callable[[], object]]:
    """The stage on layer 0, in either basis, and one product of its vectors with W_U."""
    weights = NeuronVectors(Checkpoint.read(checkpoint, str(checkpoint)), "folded")
    listed = np.arange(weights.d_vocab - 24, dtype=np.int32)  # OLMo's vocabulary is padded
    names = [f"token{i}" for i in listed]
    stage = VocabStage(weights, Vocabulary(listed, names, "made-up"), top_tokens, device)
    unembed, embed = stage.basis("unembed"), stage.basis("embed")
    stacked = torch.cat([*weights.block(0, 0, weights.d_mlp, device).values()])

    def product() -> None:
        held = stacked @ unembed.vectors.T
        assert float(held[-1, -1]) == float(held[-1, -1])  # waits for the GPU

    return {
        "one product with W_U": product,
        "stage": lambda: stage.layer_rows(0, "unembed", unembed),
        "stage, basis embed": lambda: stage.layer_rows(0, "embed", embed),
    }


if __name__ == "__main__":
    main()
