"""Stage `vocab` at the 7B shape: some neurons of one layer over one product with W_U."""

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
    weights = NeuronVectors(Checkpoint.read(path, str(path)), "folded")
    listed = np.arange(D_VOCAB - 24, dtype=np.int32)  # OLMo's vocabulary is padded
    names = [f"token{i}" for i in listed]
    vocabulary = Vocabulary(listed, names, "made-up")
    stage = VocabStage(weights, vocabulary, top_tokens, torch.device(device))
    basis = stage.basis("unembed")
    stacked = torch.cat([*weights.block(0, 0, neurons, device).values()])

    def product() -> None:
        held = stacked @ basis.vectors.T
        assert float(held[-1, -1]) == float(held[-1, -1])  # waits for the GPU

    actions = {
        "one product with W_U": product,
        "stage": lambda: stage.layer_rows(0, "unembed", basis),
    }
    target = 1.3 if device == "cpu" else 1.5
    show_ratio(interleaved(actions, repeats), "stage", "one product with W_U", target)


if __name__ == "__main__":
    main()
