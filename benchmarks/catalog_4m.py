"""Generates a catalog of the paper's twelve models (3,954,688 neurons, 760 million listed tokens).

It goes through the project's own store: schema, entries, runs, transactions, deletions.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import click
import generated_rows as rows
import numpy as np
import pyarrow as pa
from generated_rows import PAPER, Rng, Shape

from catalog.ingest.entry import chance_level
from catalog.ingest.names import default_alias
from catalog.stages import stage_named
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog
from catalog.store.writing import (
    ModelEntry,
    RunStart,
    finish_run,
    insert_neuron_columns,
    insert_rows,
    record_loaded,
    register_model,
    register_vocabulary,
    start_run,
    writing,
)

Layer = Callable[[Rng, Shape, int], dict[str, pa.Table]]


def vocabulary_layer(k: int) -> Layer:
    def layer(rng: Rng, shape: Shape, at: int) -> dict[str, pa.Table]:
        lists = rows.top_token_rows(rng, shape, at, k)
        return {"neuron": rows.moment_rows(rng, shape, at), "top_token": lists}

    return layer


def activation_layer(k: int, n_contexts: int) -> Layer:
    def layer(rng: Rng, shape: Shape, at: int) -> dict[str, pa.Table]:
        return {
            "activation_stat": rows.statistic_rows(rng, shape, at),
            "exemplar": rows.exemplar_rows(rng, shape, at, n_contexts, k),
            "activation_sample": rows.sample_rows(rng, shape, at),
        }

    return layer


def enter(catalog: Path, shape: Shape) -> int:
    """Register the model and its vocabulary, which models may share."""
    entry = ModelEntry(
        alias=default_alias(shape.source, "folded"),
        source=shape.source,
        revision=None,
        fingerprint=shape.source,
        family=shape.family,
        activation_fn="gelu_pytorch_tanh" if shape.family == "gemma2" else "silu",
        n_layers=shape.n_layers,
        d_model=shape.d_model,
        d_mlp=shape.d_mlp,
        d_vocab=shape.d_vocab,
        weights="folded",
        chance_95=chance_level(shape.d_model, 0.05),
        chance_999=chance_level(shape.d_model, 0.001),
    )
    with writing(catalog) as connection:
        model_id = register_model(connection, entry)
        tokens = rows.token_rows(shape.vocabulary)
        register_vocabulary(connection, model_id, shape.vocabulary, tokens)
    return model_id


def load_stage(
    catalog: Path,
    shape: Shape,
    model_id: int,
    stage: str,
    layer_rows: Layer,
    corpus_id: int | None = None,
    extra: dict[str, pa.Table] | None = None,
) -> None:
    """Load every layer in its own transaction, then show the run."""
    declared = stage_named(stage)
    start = RunStart(
        stage=stage,
        device="cpu",
        dtype="float32",
        parameters={"weights": "folded"},
        versions={},
        n_units=shape.n_layers,
        stage_version=declared.version,
        sample_code=declared.sample_code,
    )
    tables: list[str] = list(extra or ())
    with writing(catalog) as connection:
        run_id = start_run(connection, model_id, start, corpus_id)
        for table, staged in (extra or {}).items():
            insert_rows(connection, table, run_id, staged)
    for layer in range(shape.n_layers):
        generated = layer_rows(np.random.default_rng([model_id, layer]), shape, layer)
        with writing(catalog) as connection:
            for table, staged in generated.items():
                if table == "neuron":
                    insert_neuron_columns(connection, model_id, run_id, staged)
                else:
                    insert_rows(connection, table, run_id, staged)
            record_loaded(connection, run_id, layer + 1)
        tables += [table for table in generated if table not in tables]
    with writing(catalog) as connection:
        finish_run(connection, run_id, tuple(tables), {})


def add_corpus(catalog: Path, model_id: int, n_contexts: int, n_tokens: int) -> int:
    """A corpus with its contexts, named `made-up` for the model."""
    contexts = rows.context_rows(np.random.default_rng(model_id), n_contexts, n_tokens)
    with writing(catalog) as connection:
        connection.execute(
            "insert into corpus values ($1, 'made-up', 'made-up', $2, $3, $4, 0, 'excluded', '{}')",
            [model_id, n_contexts, n_contexts * rows.CONTEXT_TOKENS, rows.CONTEXT_TOKENS],
        )
        connection.execute("insert into model_corpus values ($1, $1, 'made-up')", [model_id])
        connection.register("contexts_made", contexts)
        connection.execute(
            "insert into context by name select $1::integer as corpus_id, * from contexts_made",
            [model_id],
        )
        connection.unregister("contexts_made")
    return model_id


def add_activations(catalog: Path, shape: Shape, model_id: int, k: int, n_contexts: int) -> None:
    """Statistics, 4 x k exemplars and samples of every neuron of one model."""
    corpus_id = add_corpus(catalog, model_id, n_contexts, rows.N_TOKENS[shape.vocabulary])
    positions = rows.sample_positions(np.random.default_rng(model_id), n_contexts)
    load_stage(
        catalog,
        shape,
        model_id,
        "activations",
        activation_layer(k, n_contexts),
        corpus_id,
        {"sample_position": positions},
    )


def chosen(names: Iterable[str]) -> list[Shape]:
    """The shapes of the aliases given; all without any."""
    wanted = set(names)
    return [s for s in PAPER if not wanted or default_alias(s.source, "folded") in wanted]


@click.command()
@click.argument("catalog", type=click.Path(path_type=Path, exists=False))
@click.option("--model", "models", multiple=True, help="Only these aliases; all twelve without.")
@click.option("--top-tokens", default=16, show_default=True)
@click.option("--activations", "driven", multiple=True, help="Aliases that get exemplars as well.")
@click.option("--exemplars", default=16, show_default=True)
@click.option("--contexts", default=2000, show_default=True, help="Contexts of 1024 tokens.")
def generate(
    catalog: Path,
    models: tuple[str, ...],
    top_tokens: int,
    driven: tuple[str, ...],
    exemplars: int,
    contexts: int,
) -> None:
    """Generate the catalog at CATALOG, which must not be there yet."""
    if catalog.exists():
        raise click.UsageError(f"{catalog} is there already; remove it first.")
    ensure_catalog(Handle(catalog))
    for shape in chosen(models):
        started = time.monotonic()
        alias, model_id = default_alias(shape.source, "folded"), enter(catalog, shape)
        stages: dict[str, Layer] = {
            "weights": lambda rng, of, at: {"neuron": rows.geometry_rows(rng, of, at)},
            "vocab": vocabulary_layer(top_tokens),
            "roles": lambda rng, of, at: {"neuron": rows.role_rows(rng, of, at)},
        }
        for stage, layer_rows in stages.items():
            load_stage(catalog, shape, model_id, stage, layer_rows)
        if alias in driven:
            add_activations(catalog, shape, model_id, exemplars, contexts)
        click.echo(f"{alias}: {time.monotonic() - started:.0f} s", err=True)


if __name__ == "__main__":
    generate()
