"""The two readings that find detectors over the bare forward pass, in one run."""

import click
import numpy as np
import torch
from measuring import interleaved, show_machine, show_ratio

from catalog.ingest.activations.contexts import CountingRule
from catalog.ingest.activations.corpus_pass import HeldContexts
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.detectors.passes import BucketJob, TokenJob
from catalog.ingest.device import pick_device, pick_dtype
from catalog.ingest.neuron_vectors import NeuronVectors


@click.command()
@click.argument("source", default="demo")
@click.option("--contexts", "n_contexts", default=4, show_default=True)
@click.option("--length", default=512, show_default=True, help="Tokens of a context.")
@click.option("--candidates", default=0.01, show_default=True, help="Share of all neurons.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--dtype", default="auto", show_default=True)
@click.option("--repeats", default=5, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
def main(
    source: str,
    n_contexts: int,
    length: int,
    candidates: float,
    device: str,
    dtype: str,
    repeats: int,
    threads: int,
) -> None:
    """Measure on random tokens: the time depends on their number alone."""
    torch.set_num_threads(threads)
    show_machine(threads)
    weights = NeuronVectors(open_checkpoint(source), "raw")
    where = pick_device(device)
    rng = np.random.default_rng(0)
    tokens = {
        at: rng.integers(0, weights.d_vocab, length).astype(np.int32) for at in range(n_contexts)
    }
    lengths = np.full(n_contexts, length, np.int32)
    contexts = HeldContexts(lengths, tokens)
    rule = CountingRule((), skip_first=True)
    given = (weights, where, pick_dtype(dtype, where), "random tokens", lengths, rule)
    sizes = *given, n_contexts * length
    first = BucketJob(*sizes).open(contexts)
    chosen = rng.random((weights.n_layers, weights.d_mlp)) < candidates
    second = TokenJob(*sizes, chosen.astype(np.int64), chosen).open(contexts)
    batch = first.batch(0)

    def bare() -> None:
        with torch.inference_mode():
            first.model(
                input_ids=batch.tokens, attention_mask=batch.attention_mask, use_cache=False
            )

    actions = {
        "bare": bare,
        "by bucket": lambda: first.found(batch),
        "by token": lambda: second.found(batch),
    }
    timings = interleaved(actions, repeats)
    for name in ("by bucket", "by token"):
        show_ratio(timings, name, "bare", 1.15)


if __name__ == "__main__":
    main()
