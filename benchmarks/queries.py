"""Queries, whole commands and sizes over a catalog made by `catalog_4m.py`, with their targets."""

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Set
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
import duckdb
from generated_rows import AGAIN
from measuring import interleaved, show, show_machine

from catalog import merge
from catalog import open as catalog_at
from catalog.figures import figure_names
from catalog.formats.cells import dumped
from catalog.queries import named_query, query_names
from catalog.queries.records import NeuronRecord
from catalog.reports import report
from catalog.reports.html import document
from catalog.reports.terminal import printed
from catalog.store.reading import reading, run_query

QUARTILES = ", ".join(
    f"quantile_cont({cosine}, [0.25, 0.5, 0.75]) as {cosine}"
    for cosine in ("cos_gate_in", "cos_gate_out", "cos_in_out")
)
POINT = "where model = $model and layer = $layer and neuron = $neuron"


class Question(NamedTuple):
    """A query over the public views, and how many seconds it may take."""

    name: str
    sql: str
    parameters: Mapping[str, Any]
    target_s: float | None


class Asked(NamedTuple):
    """A neuron, a token and a corpus that questions are about."""

    model: str
    neuron: str  # as layer.neuron
    token: str
    corpus: str

    def questions(self, stages: Set[str]) -> Iterator[Question]:
        """Those over views, then named queries of these stages, of all models and of one."""
        layer, neuron = map(int, self.neuron.split("."))
        at = {"model": self.model, "layer": layer, "neuron": neuron}
        yield Question("point query, neurons", f"select * from neurons {POINT}", at, 0.020)
        yield Question("point query, top_tokens", f"select * from top_tokens {POINT}", at, 0.020)
        yield Question(
            "class counts by model and layer",
            "select model, layer, io_class, count(*) from neurons group by all",
            {},
            0.300,
        )
        yield Question(
            "quartiles of three cosines by model and layer",
            f"select model, layer, {QUARTILES} from neurons group by all",
            {},
            1.0,
        )
        yield Question(
            "token search in w_out",
            "select * from top_tokens where token = $token and vector = 'out'",
            {"token": self.token},
            2.0,
        )
        for name in query_names():
            query = named_query(name)
            if not stages >= set(query.needs):
                continue
            needed = {each.name for each in query.parameters if each.required}
            given = [f"{key}={value}" for key, value in self.values().items() if key in needed]
            only_one = {p.name: p.required for p in query.parameters}.get("model", True)
            target = 2.0 if name == "neurons_for_token" else 3.0 if only_one else 10.0
            yield Question(f"catalog query {name}", query.sql, query.bound(given), target)
            if not only_one:
                one = query.bound([*given, f"model={self.model}"])
                named = f"catalog query {name}, one model"
                yield Question(named, query.sql, one, min(target, 3.0))

    def values(self) -> dict[str, str]:
        """What named queries without defaults are asked for."""
        return self._asdict() | {"text": self.token.strip(), "context": "0"}


@click.command()
@click.argument("catalog", type=click.Path(path_type=Path, exists=True))
@click.option("--repeats", default=7, show_default=True)
@click.option("--processes", default=10, show_default=True, help="Runs of every whole command.")
@click.option("--only", "wanted", default="", help="Only queries whose name has this in it.")
@click.option(
    "--model", default="olmo-7b-0424", show_default=True, help="Whose neuron is asked for."
)
@click.option("--neuron", default="28.4737", show_default=True)
@click.option("--token", default=AGAIN, show_default=True)
@click.option("--corpus", default="made-up", show_default=True)
@click.option("--outputs", is_flag=True, help="Reports, figures, a lake and a merge, too.")
def main(
    catalog: Path,
    repeats: int,
    processes: int,
    wanted: str,
    model: str,
    neuron: str,
    token: str,
    corpus: str,
    outputs: bool,
) -> None:
    """Measure CATALOG."""
    show_machine()
    asked_for = Asked(model, neuron, token, corpus)
    with duckdb.connect(str(catalog), read_only=True) as connection:
        sizes(connection, catalog)
    with reading(catalog) as connection:
        finished = connection.execute("select stage from ingest_runs where status = 'finished'")
        for each in asked_for.questions({stage for (stage,) in finished.fetchall()}):
            if wanted in each.name:
                show_times(each.name, asked(connection, catalog, each), repeats, each.target_s)
    if not wanted and processes:
        commands(catalog, asked_for, processes)
    if outputs:
        written(catalog, asked_for, repeats)


def asked(
    connection: duckdb.DuckDBPyConnection, catalog: Path, question: Question
) -> Callable[[], object]:
    return lambda: run_query(connection, question.sql, question.parameters, catalog)


def show_times(
    name: str, action: Callable[[], object], repeats: int, target_s: float | None
) -> None:
    """Median, best and CPU time (of all threads: on two idle cores, wall is half of it or more)."""
    timings = interleaved({name: action}, repeats)[name]
    show(name, statistics.median(each.wall for each in timings), target_s, " s")
    best, cpu = (min(values) for values in zip(*timings, strict=True))
    click.echo(f"{'  best, and least CPU':<58} {best:9.3f} s {cpu:9.3f} s")


def show_once(name: str, action: Callable[[], object]) -> None:
    """What cannot be repeated, or takes long."""
    (taken,) = interleaved({name: action}, 1, warm_up=0)[name]
    show(f"{name}, CPU", taken.cpu, unit=" s")


def commands(catalog: Path, about: Asked, runs: int) -> None:
    """Whole processes, from start to exit."""
    program = Path(sys.executable).with_name("catalog")
    shown = (program, "show", about.neuron, "--model", about.model, "--db", catalog)

    def run(*arguments: str | Path) -> Callable[[], object]:
        return lambda: subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)

    show_times("catalog show", run(*shown), runs, 0.6)
    show_times("catalog --help", run(program, "--help"), runs, 0.3)


def written(catalog: Path, about: Asked, repeats: int) -> None:
    """What the library makes of the catalog: a report's forms, figures, a lake, a merge."""
    opened = catalog_at(catalog)

    def read() -> NeuronRecord:
        return opened.neuron(about.neuron, about.model)

    forms: dict[str, Callable[[], object]] = {
        "terminal": lambda: printed(report(read())),
        "HTML": lambda: document(report(read()), about.neuron),
        "JSON": lambda: dumped(read().as_dict()),
    }
    for name, form in forms.items():
        show_times(f"report, {name}", form, repeats, None)
    for name in figure_names():
        of_one = name == "neuron"
        models = [about.model] if of_one else []
        options = {"neuron": about.neuron} if of_one else {}
        show_times(
            f"figure {name}", partial(opened.plot, name, models, "svg", **options), repeats, None
        )
    with TemporaryDirectory() as folder:
        lake, merged = Path(folder) / "lake", Path(folder) / "merged.duckdb"
        for name, action in (
            ("export, a lake", partial(opened.export, lake)),
            ("catalog query classes, of the lake", lambda: catalog_at(lake).query("classes")),
            ("merge", partial(merge, [catalog], merged)),
        ):
            show_once(name, action)


def sizes(connection: duckdb.DuckDBPyConnection, catalog: Path) -> None:
    """Bytes on disk of each kind of rows, by neuron that has them."""
    n_neurons = counted(connection, "neuron")
    vocab = table_bytes(connection, "neuron") + table_bytes(connection, "top_token")
    show(f"weights + vocab, {n_neurons:,} neurons", vocab / n_neurons / 1000, 1.5, " KB")
    if driven := counted(connection, "activation_sample"):
        exemplars = sum(table_bytes(connection, name) for name in ("exemplar", "activation_stat"))
        show(f"statistics and exemplars, {driven:,}", exemplars / driven / 1000, 4.0, " KB")
        samples = table_bytes(connection, "activation_sample")
        show(f"samples, {driven:,}", samples / driven / 1000, 0.3, " KB")
        contexts = connection.execute("select sum(n_tokens) from corpus").fetchone()
        assert contexts is not None
        per_token = table_bytes(connection, "context") / contexts[0]
        show("contexts, a token", per_token, unit=" B")
    show("file", catalog.stat().st_size / 1e9, unit=" GB")


def counted(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    assert row is not None
    return int(row[0])


def table_bytes(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Blocks of the table times their size; columns may share a block, so no block counts twice."""
    row = connection.execute(
        "select count(distinct block) * any_value(block_size) from pragma_database_size(), "
        f"(select unnest([block_id] || additional_block_ids) as block "
        f"from pragma_storage_info('{table}') where persistent)"
    ).fetchone()
    assert row is not None
    return int(row[0] or 0)


if __name__ == "__main__":
    main()
