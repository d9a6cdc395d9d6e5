"""Every target that names a GPU, by one script that carries on from run to run.

    python benchmarks/gpu.py --folder bench/gpu --minutes 9            and again until all is there
    python benchmarks/gpu.py --folder bench/gpu --parts checks,vocab   some of it, once more
    python benchmarks/gpu.py --folder bench/gpu --device cpu --size small --parts corpus

Needs no network. First a catalog of the demo from the CPU and one from the GPU are compared, row by
row; then each stage is measured at the shape of OLMo-7B beside what bounds it; last a corpus of
random tokens is read as an ingest reads it, for as long as a run has time. What was measured is
kept in FOLDER/results.json, with the state of the corpus's pass; a run does what is not there yet.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import ablation
import activations
import click
import numpy as np
import torch
import vocab
import wiring
from made_checkpoint import checkpoint_of_shape
from measuring import Timings, interleaved, median_ratio, show_machine

import catalog
from catalog.ingest.ablation.ablating import ablate
from catalog.ingest.ablation.request import AblateRequest
from catalog.ingest.ablation.subsets import SubsetSpec
from catalog.ingest.activations.kernel import KERNELS
from catalog.ingest.activations.run import ActivationPass
from catalog.ingest.activations.state import ActivationState
from catalog.ingest.corpus.spec import CorpusSpec
from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.families import FAMILIES
from catalog.ingest.progress import Silent
from catalog.store.handle import Handle

GOAL_TOKENS: Final = 20_000_000
WARM_UP_UNITS: Final = 10
TOP_TOKENS: Final = 16


@dataclass(frozen=True)
class Size:
    """Shapes to measure with; of the model that is run `n_run_layers` for the ratios.

    `corpus`: tokens that the last part reads at all layers. `check`: tokens of the demo.
    """

    shape: activations.Shape
    d_vocab: int
    n_vocab_neurons: int
    n_run_layers: int
    n_wired_layers: int
    n_contexts: int
    length: int
    corpus: int
    early: int
    rounds: int
    check: int


SIZES: Final = {
    "7b": Size(
        activations.OLMO_7B._replace(n_layers=activations.OLMO_7B_LAYERS),
        *(50304, 11008, 4, 4, 16, 512, 2_560_000, 8, 15, 20_000),
    ),
    "small": Size(activations.Shape(64, 96, 3, 16), *(600, 96, 2, 3, 2, 32, 2048, 2, 2, 600)),
}


class Row(NamedTuple):
    """A line of the table; `measured` and `target` in `unit`, less is better."""

    what: str
    target: float
    measured: float
    unit: str = "x"


class Check(NamedTuple):
    """Numbers that two devices must agree on, to within `tolerance` of 1 or of their size.

    `is_share`: what is compared is the share that is not the same.
    """

    what: str
    sql: str
    tolerance: float
    is_share: bool = False


def _columns(stage: str, view: str, keys: str, columns: Sequence[str], to: float) -> list[Check]:
    """A check for each of some columns of a view."""
    return [
        Check(f"{stage}, {each}", f"select {each} from {view} order by {keys}", to)
        for each in columns
    ]


_TOP = "from top_tokens order by layer, neuron, vector, basis, sign, rank"
_MOMENTS = ("vocab_variance", "vocab_skew", "vocab_kurtosis")

CHECKS: Final = (
    *_columns(
        "weights", "neurons", "layer, neuron", ("cos_gate_in", "cos_gate_out", "cos_in_out"), 2e-6
    ),
    Check("vocab, scores", f"select score {_TOP}", 1e-5),
    Check("vocab, tokens (not the same, of all)", f"select token_id {_TOP}", 1e-4, is_share=True),
    *_columns("vocab", "neurons", "layer, neuron", _MOMENTS, 1e-3),
    Check(
        "wiring, twins",
        "select abs(cosine) from twins order by layer, neuron, vector, rank",
        2e-6,
    ),
    Check(
        "wiring, wires",
        "select abs(cosine) from wires where rank_to is not null "
        "order by layer, neuron, reads, rank_to",
        2e-6,
    ),
    *_columns(
        "activations",
        "activation_stats",
        "layer, neuron, sign_case",
        ("frequency", "mean_post", "extreme_post"),
        1e-3,
    ),
    *_columns("exemplars", "exemplars", "layer, neuron, sign_case, rank", ("post",), 1e-3),
    Check(
        "ablation, mean effects",
        "select e.mean from ablation_effects e join ablations a using (ablation_id, baseline, draw)"
        " order by a.subset, a.kind, e.baseline, e.draw, e.metric",
        1e-3,
    ),
    *_columns("attribution", "attributions", "layer, neuron", ("effect",), 1e-4),
)


@dataclass
class Measuring:
    """What the parts share: where, at which shapes, and how long."""

    folder: Path
    device: torch.device
    size: Size
    repeats: int
    until: float

    @property
    def on_cpu(self) -> bool:
        return self.device.type == "cpu"

    def check_rows(self) -> Iterator[Row]:
        """Rows of the device beside rows of the CPU, in float32."""
        catalogs = [
            made_catalog(self.folder / f"{number}-{device}.duckdb", device, self.size.check)
            for number, device in enumerate(("cpu", self.device.type))
        ]
        for check in CHECKS:
            columns = [np.array(made.sql(check.sql).fetchall(), float) for made in catalogs]
            yield Row(f"check: {check.what}", check.tolerance, difference(check, *columns), "")

    def activation_rows(self) -> Iterator[Row]:
        """The pass over the bare forward pass, at the layers that are run for ratios."""
        n_batches = self.size.early + self.size.rounds
        work = self._pass(self.size.n_run_layers, n_batches * self.size.n_contexts)
        ratios = activations.bench(work, self.size.early, self.size.rounds, time.perf_counter)
        yield Row("activations / bare pass, lists filling", 1.3, ratios.early)
        yield Row("activations / bare pass, later", 1.05, ratios.later)

    def vocab_rows(self) -> Iterator[Row]:
        """The stage over one product, in either basis."""
        size = self.size
        shape = (1, size.shape.d_model, size.n_vocab_neurons, size.d_vocab)
        path = checkpoint_of_shape(self._path("vocab", shape), *shape)
        timings = interleaved(vocab.actions(path, TOP_TOKENS, self.device), self.repeats)
        for name in ("stage", "stage, basis embed"):
            ratio = self._ratio(timings, name, "one product with W_U")
            yield Row(f"vocab {name} / one product", vocab.TARGETS[self.device.type], ratio)

    def wiring_rows(self) -> Iterator[Row]:
        """The stage over the products that it needs."""
        shape = (self.size.n_wired_layers, self.size.shape.d_model, self.size.shape.d_mlp)
        path = checkpoint_of_shape(self._path("wiring", shape), *shape, alike=False)
        timings = interleaved(wiring.actions(str(path), self.device), self.repeats)
        yield Row(
            "wiring / bare products", wiring.TARGET, self._ratio(timings, "stage", "bare products")
        )

    def ablation_rows(self) -> Iterator[Row]:
        """Ablated passes over the clean one."""
        timings = interleaved(self._effects().ablation(), self.repeats)
        for name in ablation.ABLATED:
            ratio = self._ratio(timings, name, "clean")
            yield Row(f"ablation {name} / clean pass", ablation.TARGETS["ablation"], ratio)

    def attribution_rows(self) -> Iterator[Row]:
        """Attribution over a forward and backward pass."""
        timings = interleaved(self._effects().attribution(), self.repeats)
        ratio = self._ratio(timings, "attribution", "forward and backward")
        target = ablation.TARGETS["attribution"]
        yield Row("attribution / forward and backward", target, ratio)

    def corpus_rows(self) -> Iterator[Row]:
        """All layers over as much of the corpus as there is time for, from where it was left."""
        work = self._pass(self.size.shape.n_layers, -(-self.size.corpus // self.size.length))
        saved, spent = self.folder / "state.safetensors", self.folder / "spent.json"
        runs = json.loads(spent.read_text()) if spent.exists() else []
        bare = activations.bare_tokens_per_second(work)
        state = (
            ActivationState.load(saved, self.device)
            if saved.exists()
            else ActivationState.empty(work.plan, self.device)
        )
        moments = activations.read_saving(work, state, saved, self.until)
        if len(moments) > 1:
            warm, last = moments[min(WARM_UP_UNITS, len(moments) // 2) - 1], moments[-1]
            runs.append([last.n_tokens - warm.n_tokens, last.seconds - warm.seconds])
            spent.write_text(json.dumps(runs))
        if not runs:
            return
        rate = sum(tokens for tokens, _ in runs) / sum(seconds for _, seconds in runs)
        n_read = len(state.units) * work.units[0].n_slots
        goal = f"{GOAL_TOKENS / 1e6:g}M tokens, from {n_read:,} read in {len(runs)} runs"
        yield Row(f"corpus: {goal}", 20.0, GOAL_TOKENS / rate / 60, " min")
        yield Row("corpus: the pass / bare pass", 1.05, bare / rate)

    def _pass(self, n_layers: int, n_contexts: int) -> ActivationPass:
        shape = self.size.shape._replace(n_layers=n_layers)
        dtype = torch.float32 if self.on_cpu else torch.bfloat16
        name = "fused" if self.on_cpu else "compiled"
        kernel = KERNELS[name](shape.d_mlp, FAMILIES["llama"].mlp, dtype, self.device)
        reader = activations.RandomContexts(n_contexts, self.size.length)
        model = activations.build(shape, dtype, self.device)
        return activations.make_work(model, reader, kernel, self.size.n_contexts * self.size.length)

    def _effects(self) -> ablation.Measured:
        size = self.size
        shape = (size.n_run_layers, size.shape.d_model, size.shape.d_mlp, size.d_vocab)
        path = checkpoint_of_shape(self._path("whole", shape), *shape, attention=True)
        given = (str(path), size.n_contexts, size.length, 0.01, self.device.type, "auto")
        return ablation.Measured(*given)

    def _path(self, name: str, shape: Sequence[int]) -> Path:
        return self.folder / "-".join([name, *map(str, shape)])

    def _ratio(self, timings: Timings, name: str, baseline: str) -> float:
        ratio = median_ratio(timings, name, baseline)
        return ratio.cpu if self.on_cpu else ratio.wall


PARTS: Final[dict[str, Callable[[Measuring], Iterator[Row]]]] = {
    "checks": Measuring.check_rows,
    "activations": Measuring.activation_rows,
    "vocab": Measuring.vocab_rows,
    "wiring": Measuring.wiring_rows,
    "ablation": Measuring.ablation_rows,
    "attribution": Measuring.attribution_rows,
    "corpus": Measuring.corpus_rows,
}


def made_catalog(path: Path, device: str, max_tokens: int) -> catalog.Catalog:
    """The demo with all that is checked, computed on one device; what was interrupted goes on."""
    whole = path.with_suffix(".whole")
    if not whole.exists():
        handle = Handle(path)
        stages = ("weights", "vocab", "wiring", "activations", "attribution")
        corpus = CorpusSpec("demo", max_tokens=max_tokens)
        request = IngestRequest(
            *(handle, "demo", "demo"),
            stages=stages,
            corpus=corpus,
            device=device,
            dtype="float32",
        )
        ingest(request, Silent())
        ablated = AblateRequest(
            *(handle, "demo", [SubsetSpec(neurons=("1.7", "2.8", "3.9"))]),
            baselines=("layer",),
            n_draws=1,
            device=device,
            dtype="float32",
        )
        ablate(ablated, Silent())
        whole.touch()
    return catalog.open(path)


def difference(check: Check, ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest one, of 1 or of the number; of tokens the share that is not the same."""
    if ours.shape != theirs.shape or (np.isnan(ours) != np.isnan(theirs)).any():
        return math.inf
    if check.is_share:
        return float((ours != theirs).mean())
    apart = np.abs(ours - theirs) / np.maximum(1, np.abs(ours))
    return float(np.nanmax(apart))


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("bench/gpu"))
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cuda", show_default=True)
@click.option("--size", type=click.Choice(list(SIZES)), default="7b", show_default=True)
@click.option("--parts", help="Of: " + ", ".join(PARTS) + ". Default: what is not there yet.")
@click.option("--minutes", default=9.0, show_default=True, help="No part is begun after it.")
@click.option("--repeats", default=5, show_default=True)
def main(
    folder: Path, device: str, size: str, parts: str | None, minutes: float, repeats: int
) -> None:
    """Measure what is not there yet, print the table and write FOLDER/results.json."""
    until = time.monotonic() + 60 * minutes
    torch.backends.cuda.matmul.allow_tf32 = False
    show_machine()
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results.json"
    found: dict[str, list[Row]] = {}
    if results.exists():
        kept = json.loads(results.read_text())
        found = {part: [Row(**row) for row in rows] for part, rows in kept.items()}
    measuring = Measuring(folder, torch.device(device), SIZES[size], repeats, until)
    for part in parts.split(",") if parts else unfinished(found):
        if time.monotonic() >= until:
            click.echo(f"No time is left for {part}: run this again.")
            break
        click.echo(f"{part} ...")
        found[part] = list(PARTS[part](measuring))
        written = {name: [row._asdict() for row in rows] for name, rows in found.items()}
        results.write_text(json.dumps(written, indent=1))
    for part in PARTS:
        for row in found.get(part, []):
            show_row(row)


def unfinished(found: Mapping[str, object]) -> list[str]:
    """The parts that are not there, and the corpus, which goes on where it was left."""
    return [part for part in PARTS if part not in found or part == "corpus"]


def show_row(row: Row) -> None:
    """One line: what, measured, target."""
    verdict = "met" if row.measured <= row.target else "MISSED"
    numbers = f"{row.measured:10.3g}{row.unit}   target <= {row.target:g}{row.unit}"
    click.echo(f"{row.what:<58} {numbers}   {verdict}")


if __name__ == "__main__":
    main()
