"""Attribution against true zero ablations of single neurons, and the noise of these."""

import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
from jaxtyping import Float64
from measuring import show, show_machine
from numpy import ndarray
from scipy.stats import spearmanr

import catalog
from catalog.ingest.ablation.arms import Ablation, Arm
from catalog.ingest.ablation.corpus import counting_rule, first_contexts, stored_corpora
from catalog.ingest.ablation.effects import EffectState
from catalog.ingest.ablation.passes import AblationJob
from catalog.ingest.ablation.subsets import Subset
from catalog.ingest.attribution.passes import AttributionJob
from catalog.ingest.attribution.state import SUM_STEP, AttributionState
from catalog.ingest.checkpoint.ingested import checkpoint_of
from catalog.ingest.device import pick_device
from catalog.ingest.job_passes import Job, JobStateT
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.queries.neuron_record import read_entry


@click.command()
@click.argument("model")
@click.option("--db", type=click.Path(path_type=Path), required=True)
@click.option("--corpus", required=True, help="Name of a corpus of the model in the catalog.")
@click.option("--max-tokens", default=4096, show_default=True)
@click.option("--neurons", default=100, show_default=True, help="Of either half.")
@click.option("--again", default=20, show_default=True, help="Ablated at another batch size too.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
def main(
    model: str,
    db: Path,
    corpus: str,
    max_tokens: int,
    neurons: int,
    again: int,
    device: str,
    threads: int,
) -> None:
    """Rank correlation over the neurons of largest |effect|, and over as many at random."""
    torch.set_num_threads(threads)
    show_machine(threads)
    handle = catalog.open(db).handle
    entry = read_entry(handle, model)
    weights = NeuronVectors(checkpoint_of(entry), "raw")
    with handle.tables("") as connection:
        stored = next(each for each in stored_corpora(connection, model) if each.name == corpus)
        contexts = first_contexts(connection, stored, max_tokens)
    rule = counting_rule(stored, weights)
    common = (weights, pick_device(device), "float32", stored.digest, contexts.lengths, rule)
    state: AttributionState = _taken(AttributionJob(*common, 2048), contexts, "attribution")
    estimate = state.effect * SUM_STEP / state.n_scored
    order = np.argsort(-np.abs(estimate).ravel())
    rng = np.random.default_rng(0)
    chosen = np.concatenate(
        [order[:neurons], rng.choice(order[neurons:], neurons, replace=False)]
    ).tolist()
    job = _ablating(common, [divmod(at, weights.d_mlp) for at in chosen])
    true = _mean_loss(_taken(job, contexts, f"{len(chosen)} ablations"))
    for half, name in ((slice(neurons), "largest |effect|"), (slice(neurons, None), "at random")):
        found = spearmanr(true[half], estimate.ravel()[chosen][half]).statistic
        show(f"rank correlation, {neurons} of {name}", found)
    few = [*chosen[: again // 2], *chosen[neurons : neurons + again // 2]]
    other = replace(
        _ablating(common, [divmod(at, weights.d_mlp) for at in few]), tokens_per_batch=1
    )
    noisy = _mean_loss(_taken(other, contexts, f"{len(few)} ablations, one context a batch"))
    apart = np.abs(noisy - true[[chosen.index(at) for at in few]])
    click.echo(f"largest change of an effect at another batch size: {apart.max():.1e} nats")
    click.echo(f"median |effect| of the true ablations: {np.median(np.abs(true)):.1e} nats")


def _taken(job: Job[JobStateT], contexts: object, what: str) -> JobStateT:
    work = job.open(contexts)  # type: ignore[arg-type]
    state = job.empty_state()
    started = time.perf_counter()
    for _ in work.read(state, range(len(job.units))):
        pass
    click.echo(f"{what}: {time.perf_counter() - started:.1f} s")
    return state


def _ablating(common: tuple, neurons: list[tuple[int, int]]) -> AblationJob:  # type: ignore[type-arg]
    ablations, arms = [], []
    for at, (layer, neuron) in enumerate(neurons):
        own = {layer: np.array([neuron], np.int32)}
        subset = Subset(f"{layer}.{neuron}", own)
        ablations.append(Ablation(str(at), subset, "zero", None, None, 0))
        arms.append(Arm(at, "none", 0, own))
    return AblationJob(*common, tuple(ablations), tuple(arms), {}, {}, 1)  # type: ignore[call-arg]


def _mean_loss(state: EffectState) -> Float64[ndarray, " arm"]:
    sums = sum(each[:, 0] for _, each in sorted(state.moments.items()))
    assert isinstance(sums, np.ndarray)
    means: Float64[ndarray, " arm"] = sums[:, 1] / sums[:, 0]
    return means


if __name__ == "__main__":
    main()
