"""An ablated pass over the clean one, and attribution over forward and backward, in one run."""

from collections.abc import Callable

import click
import numpy as np
import torch
from measuring import interleaved, show_machine, show_ratio
from torch import Tensor, nn

from catalog.ingest.ablation.arms import Ablation, Arm
from catalog.ingest.ablation.passes import AblationJob, OpenAblationPass
from catalog.ingest.ablation.readout import scored_positions
from catalog.ingest.ablation.subsets import Subset
from catalog.ingest.activations.contexts import CountingRule
from catalog.ingest.activations.corpus_pass import HeldContexts
from catalog.ingest.activations.hooks import TappedMlp
from catalog.ingest.attribution.passes import AttributionJob, OpenAttributionPass, loss_slope
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.device import pick_device, pick_dtype
from catalog.ingest.neuron_vectors import NeuronVectors

RULE = CountingRule((), skip_first=True)
ABLATED = ("zero", "mean", "gate+")
TARGETS = {"ablation": 1.15, "attribution": 1.3}


@click.command()
@click.argument("source", default="demo")
@click.option("--contexts", "n_contexts", default=4, show_default=True)
@click.option("--length", default=512, show_default=True, help="Tokens of a context.")
@click.option("--share", default=0.01, show_default=True, help="Of the neurons of each layer.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--dtype", default="auto", show_default=True)
@click.option("--repeats", default=5, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
def main(
    source: str,
    n_contexts: int,
    length: int,
    share: float,
    device: str,
    dtype: str,
    repeats: int,
    threads: int,
) -> None:
    """Measure on random tokens: the time depends on their number alone."""
    torch.set_num_threads(threads)
    show_machine(threads)
    measured = Measured(source, n_contexts, length, share, device, dtype)
    timings = interleaved(measured.ablation(), repeats)
    for name in ABLATED:
        show_ratio(timings, name, "clean", TARGETS["ablation"])
    timings = interleaved(measured.attribution(), repeats)
    show_ratio(timings, "attribution", "forward and backward", TARGETS["attribution"])


class Measured:
    """Passes of one model over one batch of random tokens."""

    def __init__(
        self, source: str, n_contexts: int, length: int, share: float, device: str, dtype: str
    ) -> None:
        weights = NeuronVectors(open_checkpoint(source), "raw")
        where = pick_device(device)
        rng = np.random.default_rng(0)
        tokens = {
            at: rng.integers(0, weights.d_vocab, length).astype(np.int32)
            for at in range(n_contexts)
        }
        lengths = np.full(n_contexts, length, np.int32)
        self.contexts = HeldContexts(lengths, tokens)
        self.common = (weights, where, pick_dtype(dtype, where), "random tokens", lengths, RULE)
        self.n_ablated = max(1, int(share * weights.d_mlp))

    def ablation(self) -> dict[str, Callable[[], object]]:
        """The clean pass, and ablated ones."""
        return _ablation_actions(_ablation(self.common, self.contexts, self.n_ablated))

    def attribution(self) -> dict[str, Callable[[], object]]:
        """Attribution, and the forward and backward pass that it needs."""
        n_slots = int(self.common[4].sum())
        return _attribution_actions(AttributionJob(*self.common, n_slots).open(self.contexts))


def _ablation(common: tuple, contexts: HeldContexts, n: int) -> OpenAblationPass:  # type: ignore[type-arg]
    weights = common[0]
    neurons = {layer: np.arange(n, dtype=np.int32) for layer in range(weights.n_layers)}
    arms = []
    ablations = []
    for at, (kind, sign) in enumerate((("zero", None), ("mean", None), ("zero", "+"))):
        given = (kind, sign, None, 0)
        ablations.append(Ablation(str(at), Subset("first", neurons), *given))  # type: ignore[arg-type]
        arms.append(Arm(at, "none", 0, neurons))
    means = {layer: np.zeros(weights.d_mlp, np.float32) for layer in neurons}
    n_slots = int(common[4].sum())
    job = AblationJob(*common, tuple(ablations), tuple(arms), means, {}, 16, n_slots)  # type: ignore[call-arg]
    return job.open(contexts)


def _ablation_actions(work: OpenAblationPass) -> dict[str, Callable[[], object]]:
    batch = work.batch(0)
    scored = scored_positions(batch)
    clean = work.clean(batch, scored, work.job.arms)

    return {
        "clean": lambda: work.clean(batch, scored, ()).cpu(),
        "zero": lambda: work.effects(batch, scored, clean, work.job.arms[0]),
        "mean": lambda: work.effects(batch, scored, clean, work.job.arms[1]),
        "gate+": lambda: work.effects(batch, scored, clean, work.job.arms[2]),
    }


def _attribution_actions(work: OpenAttributionPass) -> dict[str, Callable[[], object]]:
    batch = work.batch(0)

    def from_first_post(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0].detach().requires_grad_(True),)

    def forward_and_backward() -> None:
        first = work.mlps[0]
        assert isinstance(first, TappedMlp)
        handle = first.writes.register_forward_pre_hook(from_first_post)
        with torch.enable_grad():
            hidden = work.model(
                input_ids=batch.tokens, attention_mask=batch.attention_mask, use_cache=False
            ).last_hidden_state
            slope, _ = loss_slope(work.head, hidden.detach(), batch)
            torch.autograd.backward(hidden, slope)
        handle.remove()
        assert float(slope[0, 1, 0]) == float(slope[0, 1, 0])  # waits for the GPU

    return {
        "forward and backward": forward_and_backward,
        "attribution": lambda: work.found(batch),
    }


if __name__ == "__main__":
    main()
