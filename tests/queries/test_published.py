"""Published class counts: whole, and compared by layer."""

from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pytest

from catalog.queries.published import compare_with_published, paper_models, published_counts
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog

NEURONS = 3_954_688
PLAIN_NEURONS = 5_010_432
OLMO = "allenai/OLMo-7B-0424-hf"


def test_the_figures_are_of_all_neurons_of_twelve_models_and_of_eighteen_without_a_gate() -> None:
    counts = published_counts()
    for plain, n_models, n_neurons in ((False, 12, NEURONS), (True, 18, PLAIN_NEURONS)):
        some = counts.filter(pc.equal(pc.is_null(counts["atypical"]), plain))
        assert pc.sum(some["neurons"]).as_py() == n_neurons
        assert len(some["model"].unique()) == n_models
    assert len(paper_models()) == 12


INSERT_MODEL = (
    "insert into model (model_id, alias, source, fingerprint, family, activation_fn, n_layers, "
    "d_model, d_mlp, d_vocab, gated, weights, chance_95, chance_999, ingested_at)"
)


@pytest.mark.parametrize("source", ["gpt2", "openai-community/gpt2"])
def test_counts_of_a_model_without_a_gate(source: str, tmp_path: Path) -> None:
    """Published: 1,389 of layer 1's 3,072 neurons of GPT-2 are depletion."""
    path = tmp_path / "gpt2.duckdb"
    ensure_catalog(Handle(path))
    with duckdb.connect(str(path)) as connection:
        connection.register("published", published_counts())
        connection.execute(
            f"{INSERT_MODEL} select 1, 'gpt2', '{source}', 'f', 'GPT-2', 'gelu_new', 12, "
            "768, 3072, 50257, false, 'folded', 0.07, 0.12, now()::timestamp"
        )
        connection.execute(
            "insert into current_rows (bulk_table, model_id, run_id) values ('neuron', 1, 1)"
        )
        connection.execute(
            """
            insert into neuron by name
            with one as (
                select layer, io_class, unnest(range(neurons)) as copy
                from published where model = 'gpt2'
            )
            select 1 as run_id, layer, row_number() over (partition by layer)::int - 1 as neuron,
                case io_class when 'enrichment' then 0.9 when 'depletion' then -0.9 else 0.0 end
                as cos_in_out
            from one
            """
        )
        connection.execute(
            "update neuron set cos_in_out = 0 where layer = 1 and neuron = ("
            "select min(neuron) from neuron where layer = 1 and cos_in_out < -0.5)"
        )
    compared = compare_with_published(Handle(path), "gpt2")
    assert (compared.n_neurons, compared.n_moved) == (12 * 3072, 1)
    assert [
        (row["layer"], row["io_class"], row["stored"], row["difference"])
        for row in compared.differences.to_pylist()
    ] == [(1, "depletion", 1388, -1), (1, "orthogonal output", 1359, 1)]


def test_table_2_holds_summed_over_typicality() -> None:
    """Published: 24 + 236 enrichment and 243 + 604 depletion neurons in OLMo-7B-0424."""
    olmo = [row for row in published_counts().to_pylist() if row["model"] == OLMO]
    sums = {
        name: sum(row["neurons"] for row in olmo if row["io_class"] == name)
        for name in ("enrichment", "depletion")
    }
    assert sums == {"enrichment": 24 + 236, "depletion": 243 + 604}


def test_moved_neurons_are_reported_by_layer(tmp_path: Path) -> None:
    path = tmp_path / "olmo.duckdb"
    ensure_catalog(Handle(path))
    with duckdb.connect(str(path)) as connection:
        connection.register("published", published_counts())
        connection.execute(
            f"{INSERT_MODEL} select 1, 'olmo', '{OLMO}', 'f', 'OLMo', 'silu', 32, 4096, "
            "11008, 50304, true, 'folded', 0.03, 0.05, now()::timestamp"
        )
        connection.execute(
            "insert into current_rows (bulk_table, model_id, run_id) values ('neuron', 1, 1)"
        )
        # A made-up neuron of the right class for every published one, but one in layer 3.
        connection.execute(
            """
            insert into neuron by name
            with one as (
                select layer, io_class, atypical, unnest(range(neurons)) as copy
                from published where model = $1
            ),
            signed as (
                select *,
                    (case when io_class like '%enrichment' then 0.9
                          when io_class like '%depletion' then -0.9 else 0 end) as cos_in_out,
                    (case when io_class in ('enrichment', 'depletion', 'proportional change')
                          then 0.9 else 0 end) as cos_gate_out
                from one
            )
            select 1 as run_id, layer, row_number() over (partition by layer)::int - 1 as neuron,
                cos_in_out, cos_gate_out,
                (case when atypical then
                    (case when cos_gate_out * cos_in_out = 0 then 0.9 else 0 end)
                 else sign(cos_gate_out * cos_in_out) * 0.9 end)::float as cos_gate_in
            from signed
            """,
            [OLMO],
        )
        connection.execute(
            "update neuron set cos_in_out = 0, cos_gate_out = 0 where layer = 3 and neuron = ("
            "select min(neuron) from neuron where layer = 3 and cos_in_out > 0.5 "
            "and cos_gate_out = 0 and cos_gate_in = 0)"
        )
    compared = compare_with_published(Handle(path), "olmo")
    assert compared.n_neurons == 32 * 11008
    assert compared.n_moved == 1
    assert [
        (row["layer"], row["io_class"], row["difference"])
        for row in compared.differences.to_pylist()
    ] == [(3, "conditional enrichment", -1), (3, "orthogonal output", 1)]
