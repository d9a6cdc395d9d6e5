"""Rows that change behind the catalog's back are found by `catalog verify --rows`."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.registry import Fault, injects
from tests.faults.runs import Ingest
from tests.support import Answer, execute, query
from tests.support import command as cli_process

EDITS = {
    "neuron": "cos_in_out = -cos_in_out",
    "top_token": "token_id = token_id + 1",
    "attention_score": "cosine = -cosine",
    "wire": "cosine = -cosine",
    "twin": "cosine = -cosine",
    "activation_stat": "n_in_case = n_in_case + 1",
    "exemplar": "window_post = list_reverse(window_post)",
    "activation_sample": "scale = scale * 2",
    "sample_position": "position = position + 1",
    "attribution": "effect = -effect",
    "detector": "n_fired = n_fired + 1",
    "ablation": "n_neurons = n_neurons + 1",
    "ablation_effect": "mean = -mean",
    "ablation_difference": "low = high",
    "ablation_position": "position = position + 1",
    "description": "description = description || ', and more'",
    "router_token": "score = score + 1",
    "drift": "cos_in = -cos_in",
}
SEES = (
    "Error: What is stored differs: rows of {}. Restore the catalog from a copy, or redo the stage "
    "with catalog ingest --force."
)
OF_TINY = (
    "run_id in (select run_id from ingest_run join model using (model_id) where alias = 'tiny')"
)
CHANGED = {
    Fault(
        f"a value of `{table}` is changed behind our back", 8, SEES.format(table), "all other rows"
    ): (
        f"update {table} set {edit} where rowid = "
        f"(select min(rowid) from {table} where run_id = (select max(run_id) from {table} "
        f"where {OF_TINY if table not in ('router_token', 'drift') else True}))"
    )
    for table, edit in EDITS.items()
}
LOST = Fault("rows are deleted behind our back", 8, SEES.format("top_token"), "all other rows")


@pytest.fixture
def whole(once: Callable[..., Path], activations: Ingest, tmp_path: Path) -> Path:
    """A copy of a catalog that all stages have filled."""

    def make(folder: Path) -> None:
        from tests import tiny_checkpoints

        # Its tokenizer has a start token, without which no attention is scored.
        model = tiny_checkpoints.build("llama", folder / "model")
        tiny_checkpoints.save_tokenizer(model)
        stages = "weights,vocab,roles,wiring,activations,attribution,detectors"
        options = [stages, *activations.options[2:]]
        ingest = replace(
            activations, checkpoint=model, db=folder / "c.duckdb", options=("--stages", *options)
        )
        answer = ingest.answer()
        assert answer.code == 0, answer.err
        asked = ("--neurons", "1.1", "--draws", 2, "--device", "cpu", "--db", ingest.db)
        answer = cli_process("ablate", "tiny", *asked)
        assert answer.code == 0, answer.err
        answer = cli_process("describe", "1.1", "names a class", "--db", ingest.db)
        assert answer.code == 0, answer.err
        experts = tiny_checkpoints.build("mixtral", folder / "experts")
        tiny_checkpoints.save_tokenizer(experts)
        vocab = ("--alias", "experts", "--stages", "weights,vocab", "--device", "cpu", "--yes")
        answer = cli_process("ingest", experts, *vocab, "--db", ingest.db)
        assert answer.code == 0, answer.err
        for step in (1, 2):
            model = tiny_checkpoints.build("llama", folder / f"{step}", seed=step)
            joins = ("--alias", "run", "--step", step, "--stages", "weights", "--device", "cpu")
            answer = cli_process("ingest", model, *joins, "--db", ingest.db)
            assert answer.code == 0, answer.err

    return Path(shutil.copy(once("faults-whole", make) / "c.duckdb", tmp_path / "whole.duckdb"))


@injects(*CHANGED, LOST)
def test_rows_that_changed(fault: Fault, whole: Path, cli: Callable[..., Answer]) -> None:
    change = CHANGED.get(fault, f"delete from top_token where layer = 1 and {OF_TINY}")
    others = {"update router_token": "experts", "update drift": "run@2"}
    alias = next((others[each] for each in others if each in change), "tiny")
    assert cli("verify", alias, "--db", whole).code == 0
    execute(whole, change)
    fault.seen(cli("verify", alias, "--rows", "--db", whole))


def test_every_bulk_table_is_among_them(whole: Path) -> None:
    from catalog.tables import bulk_tables

    assert set(EDITS) == set(bulk_tables())
    assert all(query(whole, f"select count(*) from {table}") != [(0,)] for table in EDITS)


IMPOSSIBLE = {
    f"an exemplar {what}": sql
    for what, sql in {
        "beyond its context": "update exemplar set position = 10000",
        "before its context": "update exemplar set position = -5",
        "of a neuron that is not there": "update exemplar set neuron = 100000",
        "of a layer that is not there": "update exemplar set layer = 1000",
        "with a longer window": "update exemplar set window_post = [1 for _ in range(3000)]",
        "without a window": "update exemplar set window_post = []",
        "of tokens that are not there": "update context set token_ids = [1000000000]",
        "of negative tokens": "update context set token_ids = [-1, -2, -3]",
        "without tokens": "update context set token_ids = []",
        "that is infinite": "update exemplar set window_scale = 'inf', post = 'nan'",
        "of another dtype": "update ingest_run set dtype = 'float8'",
    }.items()
}
DIFFERENT = [
    Fault(f"{name} is to be recomputed", 8, "Error: …", "all other rows") for name in IMPOSSIBLE
]


@injects(*DIFFERENT)
def test_exemplars_that_cannot_be(
    fault: Fault, whole: Path, cli: Callable[..., Answer], tmp_path: Path
) -> None:
    execute(whole, IMPOSSIBLE[fault.name.removesuffix(" is to be recomputed")])
    fault.seen(cli("verify", "tiny", "--exemplars", 30, "--device", "cpu", "--db", whole))


@injects(
    Fault(
        "what a run notes is no JSON",
        8,
        "Error: What is stored differs: rows of ingest_run.",
        "all; the notes read as NULL",
    )
)
def test_notes_that_are_no_json(fault: Fault, whole: Path, cli: Callable[..., Answer]) -> None:
    execute(whole, "update ingest_run set notes = '{', parameters = 'x', versions = ''")
    fault.seen(cli("verify", "tiny", "--db", whole))
    for words in (
        ["models"],
        ["show", "0.1", "--model", "tiny"],
        ["sql", "select notes, parameters, versions from ingest_runs"],
        ["export", whole.parent / "lake"],
    ):
        answer = cli(*words, "--db", whole)
        assert answer.code == 0, answer
