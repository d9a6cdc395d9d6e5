"""Queries, whole commands and sizes over a catalog made by `catalog_4m.py`, with their targets."""

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import duckdb
from generated_rows import AGAIN
from measuring import interleaved, show, show_machine

from catalog.queries import named_query, query_names
from catalog.store.reading import reading, run_query

MODEL = "olmo-7b-0424"
QUARTILES = ", ".join(
    f"quantile_cont({cosine}, [0.25, 0.5, 0.75]) as {cosine}"
    for cosine in ("cos_gate_in", "cos_gate_out", "cos_in_out")
)
POINT = "where model = $model and layer = 28 and neuron = 4737"
AT = {"model": MODEL}
REQUIRED = {
    "token": AGAIN,
    "model": MODEL,
    "neuron": "28.4737",
    "corpus": "made-up",
    "context": "7",
    "text": AGAIN,
}
"""What named queries without defaults are asked for."""

MADE = {"weights", "vocab", "roles", "activations"}
"""The stages that `catalog_4m.py` makes rows of."""


class Question(NamedTuple):
    """A query over the public views, and how many seconds it may take."""

    name: str
    sql: str
    parameters: Mapping[str, Any]
    target_s: float | None


QUESTIONS = (
    Question("point query, neurons", f"select * from neurons {POINT}", AT, 0.020),
    Question("point query, top_tokens", f"select * from top_tokens {POINT}", AT, 0.020),
    Question(
        "class counts by model and layer",
        "select model, layer, io_class, count(*) from neurons group by all",
        {},
        0.300,
    ),
    Question(
        "quartiles of three cosines by model and layer",
        f"select model, layer, {QUARTILES} from neurons group by all",
        {},
        1.0,
    ),
    Question(
        "token search in w_out",
        "select * from top_tokens where token = $token and vector = 'out'",
        {"token": AGAIN},
        2.0,
    ),
)


@click.command()
@click.argument("catalog", type=click.Path(path_type=Path, exists=True))
@click.option("--repeats", default=7, show_default=True)
@click.option("--processes", default=10, show_default=True, help="Runs of every whole command.")
@click.option("--only", "wanted", default="", help="Only queries whose name has this in it.")
def main(catalog: Path, repeats: int, processes: int, wanted: str) -> None:
    """Measure CATALOG."""
    show_machine()
    with duckdb.connect(catalog, read_only=True) as connection:
        sizes(connection, catalog)
    with reading(catalog) as connection:
        questions = [each for each in (*QUESTIONS, *named()) if wanted in each.name]
        for question in questions:
            show_times(
                question.name, asked(connection, catalog, question), repeats, question.target_s
            )
    if not wanted and processes:
        commands(catalog, processes)


def named() -> Iterator[Question]:
    """Named queries of what the catalog has, with their defaults: of all models, and of one."""
    for name in query_names():
        query = named_query(name)
        if not MADE.issuperset(query.needs):
            continue
        given = [f"{p.name}={REQUIRED[p.name]}" for p in query.parameters if p.required]
        only_one = {p.name: p.required for p in query.parameters}.get("model", True)
        target = 2.0 if name == "neurons_for_token" else 3.0 if only_one else 10.0
        yield Question(f"catalog query {name}", query.sql, query.bound(given), target)
        if not only_one:
            one = query.bound([*given, f"model={MODEL}"])
            yield Question(f"catalog query {name}, one model", query.sql, one, min(target, 3.0))


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


def commands(catalog: Path, runs: int) -> None:
    """Whole processes, from start to exit."""
    program = Path(sys.executable).with_name("catalog")
    shown = (program, "show", "28.4737", "--model", MODEL, "--db", catalog)

    def run(*arguments: str | Path) -> Callable[[], object]:
        return lambda: subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)

    show_times("catalog show", run(*shown), runs, 0.6)
    show_times("catalog --help", run(program, "--help"), runs, 0.3)


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
        contexts = connection.execute("select sum(n_tokens) from corpora").fetchone()
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
