"""How things grow beyond the paper's twelve models: queries by neurons, merging by bytes.

python benchmarks/growth.py queries --models 12 --models 120     a catalog of `neuron` rows alone
python benchmarks/growth.py merging                              partial states of a pass
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import duckdb
import torch

from catalog.ingest.activations.state import ActivationState, PassPlan
from catalog.store.handle import Handle
from catalog.store.reading import reading
from catalog.store.upgrading import ensure_catalog

N_LAYERS, D_MLP = 32, 11008

MODEL_ROWS = """
insert into model by name
select $m as model_id, 'model-' || $m as alias, 'made-up' as source, '' as fingerprint,
    'llama' as family, 'silu' as activation_fn, $l as n_layers, 4096 as d_model, $n as d_mlp,
    32000 as d_vocab, true as gated, 'folded' as weights, 0.03 as chance_95, 0.05 as chance_999,
    now()::timestamp as ingested_at;
"""
NEURON_ROWS = """
insert into neuron by name
select $m::integer as run_id, i // $n as layer, i % $n as neuron,
    (random() - 0.5) * 1.6 as cos_gate_in, (random() - 0.5) * 1.6 as cos_gate_out,
    (random() - 0.5) * 1.6 as cos_in_out, random() as norm_gate, random() as norm_in,
    random() as norm_out, random() as vocab_variance, random() as vocab_skew,
    random() as vocab_kurtosis, random() as null_space_share, 'other' as functional_role
from range($l * $n) t(i)
"""
SHOWN = """
insert into current_rows by name
select 'neuron' as bulk_table, $m as model_id, $m as run_id
"""

QUERIES = {
    "point query": "from neurons where model = 'model-7' and layer = 28 and neuron = 4737",
    "classes by model and layer": "select model, layer, io_class, count(*) "
    "from neurons group by all",
    "classes of one model": "select layer, io_class, count(*) from neurons "
    "where model = 'model-7' group by all",
    "quartiles of three cosines by model": "select model, quantile_cont(cos_gate_in, 0.5), "
    "quantile_cont(cos_gate_out, 0.5), quantile_cont(cos_in_out, 0.5) from neurons group by all",
}


@click.group()
def main() -> None:
    """Measure growth."""


@main.command()
@click.option("--models", "sizes", type=int, multiple=True, default=[12])
@click.option("--folder", type=click.Path(path_type=Path), default=Path("bench"))
def queries(sizes: tuple[int, ...], folder: Path) -> None:
    """Four queries over `neurons`, by the number of models of OLMo-7B's shape."""
    folder.mkdir(exist_ok=True)
    for n_models in sizes:
        path = folder / f"neurons-{n_models}.duckdb"
        if not path.exists():
            _make(path, n_models)
        size = path.stat().st_size
        n_neurons = n_models * N_LAYERS * D_MLP
        click.echo(f"{n_models} models, {n_neurons:,} neurons, {size / n_neurons:.1f} bytes each")
        with reading(path) as connection:
            for name, sql in QUERIES.items():
                fetch = connection.execute
                click.echo(f"  {name}: {1e3 * _median(lambda: fetch(sql).fetchall()):.0f} ms")  # noqa: B023


def _make(path: Path, n_models: int) -> None:
    ensure_catalog(Handle(path))
    with duckdb.connect(str(path)) as connection:
        for m in range(1, n_models + 1):
            for sql in (MODEL_ROWS, NEURON_ROWS, SHOWN):
                wanted = {"m": m, "l": N_LAYERS, "n": D_MLP}
                connection.execute(sql, {k: v for k, v in wanted.items() if f"${k}" in sql})


@main.command()
def merging() -> None:
    """Partial states that are merged, saved and moved, by their size."""
    for d_mlp, k in ((1024, 16), (4096, 16), (4096, 64)):
        plan = PassPlan("", "", 4, d_mlp, k, 256, 8192, 0, "excluded", "float32", "cpu", "plain")
        early, late, part = (_state(plan, unit) for unit in (0, 1, 2))
        late.key[:] = 2**62  # as after many tokens: next to nothing enters
        with TemporaryDirectory() as folder:
            times = {
                "merged early": _median(lambda: _merge(early, part)),  # noqa: B023
                "merged late": _median(lambda: _merge(late, part)),  # noqa: B023
                "saved": _median(lambda: early.save(Path(folder) / "state")),  # noqa: B023
            }
        click.echo(
            f"{4 * d_mlp} neurons, k = {k}: {early.mb:.0f} MB, "
            f"{1e6 * early.mb / 4 / d_mlp:.0f} bytes a neuron"
        )
        for what, seconds in times.items():
            click.echo(f"  {what} in {seconds:.3f} s ({early.mb / seconds:.0f} MB/s)")


def _merge(state: ActivationState, part: ActivationState) -> None:
    state.units.discard(2)
    state.merge(part)


def _state(plan: PassPlan, unit: int) -> ActivationState:
    """A state with full lists of random keys."""
    state = ActivationState.empty(plan, torch.device("cpu"))
    state.key.copy_(state.key.random_(2**62).sort(-1, descending=True).values)
    state.units.add(unit)
    return state


def _median(action: Callable[[], object], n: int = 5) -> float:
    action()
    seconds = []
    for _ in range(n):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
