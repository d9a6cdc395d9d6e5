"""Checkpoints of one training run: which are taken, what the entries share, how far they drift."""

import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.file_download import repo_folder_name
from numpy.typing import NDArray

import catalog
from catalog.errors import CatalogError, NotFoundError, UsageError
from catalog.ingest import drift
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.request import IngestRequest
from catalog.ingest.series import MANY, Step, StepChoice, chosen, planned, step_of
from catalog.store.combining import merge
from catalog.store.compacting import compact
from catalog.store.handle import Handle
from catalog.store.series import StepEntry
from catalog.store.staging import staging_root
from catalog.taxonomy import VECTORS, WeightKind
from tests import handmade, tiny_checkpoints
from tests.gguf_files import write_gguf
from tests.ingest import processes
from tests.support import Answer, command, execute, public_rows, query

STEPS = (0, 10, 20, 100)
OPTIONS = ("--stages", "weights,vocab", "--device", "cpu", "--weights", "raw", "--yes")
ALIASES = [f"run-raw@{step}" for step in STEPS]
PAIRS = [(10, 0), (20, 10), (100, 0), (100, 10), (100, 20)]
"""Each step with the one before, the last with all."""


def save_run(folder: Path, steps: Sequence[int] = STEPS) -> Path:
    """A folder `Run` of handmade checkpoints, each with weights of its own."""
    for step in steps:
        handmade.save(folder / "Run" / f"step-{step}", seed=step)
    return folder / "Run"


@pytest.fixture(scope="module")
def ingested(once: Callable[..., Path]) -> Path:
    """The run and its catalog, `c.duckdb`; for reading."""

    def make(folder: Path) -> None:
        answer = command("ingest", save_run(folder), *OPTIONS, "--db", folder / "c.duckdb")
        assert answer.code == 0, answer.err

    return once("series", make)


def request(source: object, **more: object) -> IngestRequest:
    return IngestRequest(Handle(Path("c.duckdb")), str(source), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "before", "step", "tokens"),
    [
        ("step1000", "", 1000, None),
        ("step-1000", "", 1000, None),
        ("checkpoint-500", "", 500, None),
        ("step1000-tokens4B", "", 1000, 4 * 10**9),
        ("stage1-step1000-tokens5B", "stage1", 1000, 5 * 10**9),
        ("stage2-ingredient3-step7-tokens12M", "stage2-ingredient3", 7, 12 * 10**6),
        ("Run-step-5.gguf", "run", 5, None),
        ("Run.v1-step-5.Q8_0.gguf", "run.v1-q8_0", 5, None),
    ],
)
def test_a_name_tells_the_step(name: str, before: str, step: int, tokens: int | None) -> None:
    assert step_of(name) == Step(name, before, step, tokens)


@pytest.mark.parametrize("name", ["main", "v1.0", "step", "stepwise-3x", "step1000-final", "1000"])
def test_other_names_tell_none(name: str) -> None:
    assert step_of(name) is None


@pytest.mark.parametrize(
    ("steps", "sought", "taken"),
    [
        (range(0, 100, 10), StepChoice(every=3), [0, 30, 60, 90]),
        (range(0, 100, 10), StepChoice(every=4), [0, 40, 80, 90]),
        ([2**at for at in range(11)], StepChoice(log_spaced=3), [1, 32, 1024]),
        ([0, *(2**at for at in range(11))], StepChoice(log_spaced=4), [0, 1, 32, 1024]),
        (range(1000, 144_000, 1000), StepChoice(log_spaced=4), [1000, 5000, 27_000, 143_000]),
        (range(0, 50, 10), StepChoice(log_spaced=99), [0, 10, 20, 30, 40]),
        (range(0, 50, 10), StepChoice(log_spaced=1), [40]),
        (range(0, 50, 10), StepChoice(log_spaced=2), [0, 40]),
        (range(0, 30, 10), StepChoice(), [0, 10, 20]),
    ],
)
def test_some_of_the_steps_are_chosen(
    steps: Sequence[int], sought: StepChoice, taken: list[int]
) -> None:
    every = [Step(f"step{at}", "", at, None) for at in steps]
    assert [each.step for each in chosen(every, sought)] == taken


def test_what_stands_before_the_step_belongs_to_the_name(tmp_path: Path) -> None:
    names = ("stage1-step5-tokens1B", "stage1-step9-tokens2B", "stage2-step5-tokens3B", "main")
    for name in names:
        (tmp_path / "OLMo-2-7B" / name).mkdir(parents=True)
    said: list[str] = []
    asked = request(tmp_path / "OLMo-2-7B", weights="raw")
    places = [each.place for each in planned([asked], StepChoice("*"), say=said.append)]
    assert [place and (place.alias, place.train_tokens, place.last_step) for place in places] == [
        ("olmo-2-7b-stage1-raw@5", 10**9, 9),
        ("olmo-2-7b-stage1-raw@9", 2 * 10**9, 9),
        ("olmo-2-7b-stage2-raw@5", 3 * 10**9, 5),
    ]


@pytest.mark.parametrize(
    ("names", "options", "step", "error", "said"),
    [
        (["step-1"], {}, None, None, ""),
        (["step-1"], {"pattern": "stp*"}, None, NotFoundError, "named like stp*. There is: step-1"),
        (["step-1", "step-01"], {}, None, UsageError, "step-01 and step-1 are both step 1"),
        (["step-1"], {"every": 2, "log_spaced": 3}, None, UsageError, "not both"),
        (["step-1"], {"every": 2}, 5, UsageError, "goes with one checkpoint"),
        (["config.json"], {"every": 2}, None, UsageError, "is one checkpoint and no series"),
        (["config.json"], {"pattern": "s*"}, None, NotFoundError, "There is no checkpoint"),
    ],
)
def test_what_is_asked_for_must_be_there(
    tmp_path: Path,
    names: list[str],
    options: dict[str, object],
    step: int | None,
    error: type[CatalogError] | None,
    said: str,
) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    if names == ["config.json"]:
        (tmp_path / "config.json").rmdir()
        (tmp_path / "config.json").write_text("{}")
    if error is None:
        planned([request(tmp_path)], StepChoice(**options), step)  # type: ignore[arg-type]
        return
    with pytest.raises(error) as raised:
        planned([request(tmp_path)], StepChoice(**options), step)  # type: ignore[arg-type]
    assert said in str(raised.value)


def test_steps_are_entries_of_a_series(ingested: Path) -> None:
    rows = query(
        ingested / "c.duckdb",
        "select model, series, step, train_tokens from models order by step",
    )
    assert rows == [
        (alias, "run-raw", step, None) for alias, step in zip(ALIASES, STEPS, strict=True)
    ]
    for table in ("vocabulary", "token"):
        (n,) = query(ingested / "c.duckdb", f"select count(distinct vocabulary_id) from {table}")[0]
        assert n == 1


def test_drift_is_that_of_the_vectors_in_float64(ingested: Path) -> None:
    rows = query(
        ingested / "c.duckdb",
        "select model, other_model, layer, neuron, cos_gate, cos_in, cos_out from drifts "
        "order by model, other_model, layer, neuron",
    )
    there = {(model, other) for model, other, *_ in rows}
    assert there == {(f"run-raw@{later}", f"run-raw@{earlier}") for later, earlier in PAIRS}
    assert len(rows) == len(PAIRS) * handmade.N_LAYERS * handmade.D_MLP
    for model, other, layer, neuron, *cosines in rows:
        both = [_float64(alias, layer) for alias in (model, other)]
        for vector, cosine in zip(VECTORS, cosines, strict=True):
            one, two = (each[vector][neuron] for each in both)
            exact = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
            assert abs(cosine - exact) < 1e-6


def _float64(alias: str, layer: int) -> dict[str, NDArray[np.float64]]:
    step = int(alias.rpartition("@")[2])
    return handmade.vectors(handmade.tensors(step), layer, "raw")


@pytest.mark.parametrize(
    ("model_type", "kind"),
    [("llama", "effective"), ("gemma2", "effective"), ("gpt2", "folded"), ("qwen2_moe", "folded")],
)
def test_drift_of_every_kind_of_mlp(tmp_path: Path, model_type: str, kind: WeightKind) -> None:
    later, earlier = (
        NeuronVectors(
            open_checkpoint(
                str(tiny_checkpoints.build(model_type, tmp_path / f"{seed}", seed=seed))
            ),
            kind,
        )
        for seed in (1, 2)
    )
    compared = drift.Drift(later, earlier, 1, torch.device("cpu"))
    for layer in range(later.n_layers):
        rows = compared.layer_rows(layer)
        n = later.sizes.of_layer(layer)
        assert rows.num_rows == n
        one, two = (each.block(layer, 0, n) for each in (later, earlier))
        for vector in VECTORS:
            if vector not in one:
                assert rows[f"cos_{vector}"].null_count == n
                continue
            exact = torch.cosine_similarity(one[vector].double(), two[vector].double())
            found = torch.tensor(rows[f"cos_{vector}"].to_numpy())
            torch.testing.assert_close(found.double(), exact, atol=1e-6, rtol=0)


def test_drift_goes_where_its_entries_go(ingested: Path, tmp_path: Path) -> None:
    source, merged, lake = ingested / "c.duckdb", tmp_path / "m.duckdb", tmp_path / "lake"
    asked = "from drifts order by all"
    expected = query(source, asked)
    assert expected
    merge([source], merged)
    assert query(merged, asked) == expected
    compact(Handle(merged))
    assert query(merged, asked) == expected
    assert command("verify", ALIASES[0], "--db", merged).code == 0
    assert command("export", lake, "--db", merged).code == 0
    rows = catalog.open(lake).sql(asked).arrow().to_pylist()
    assert [tuple(row.values()) for row in rows] == expected
    assert command("drop", ALIASES[1], "--yes", "--db", merged).code == 0
    left = f"from drifts where '{ALIASES[1]}' not in (model, other_model) order by all"
    assert query(merged, asked) == query(source, left)


def test_a_zero_or_nonfinite_vector_has_no_drift(tmp_path: Path) -> None:
    def edit(made: handmade.Tensors) -> None:
        made["model.layers.0.mlp.gate_proj.weight"][3] = 0
        made["model.layers.0.mlp.up_proj.weight"][4, 0] = np.inf

    handmade.save(tmp_path / "a", edit=edit)
    handmade.save(tmp_path / "b", seed=1)
    both = [NeuronVectors(open_checkpoint(str(tmp_path / name)), "raw") for name in "ab"]
    for later, earlier in (both, both[::-1]):
        rows = drift.Drift(later, earlier, 1, torch.device("cpu")).layer_rows(0)
        nulls = {
            vector: np.flatnonzero(np.isnan(rows[f"cos_{vector}"].to_numpy())).tolist()
            for vector in VECTORS
        }
        assert nulls == {"gate": [3], "in": [4], "out": []}


@pytest.mark.parametrize(
    ("at", "last_step", "compared"),
    [
        (0, 2, [(1, 0), (3, 0)]),
        (0, 4, [(1, 0)]),
        (1, 1, [(1, 0), (2, 1), (3, 1)]),
        (1, 4, [(1, 0), (2, 1)]),
        (2, 3, [(2, 1), (3, 2)]),
        (3, 4, [(3, 2)]),
        (3, 3, [(3, 0), (3, 1), (3, 2)]),
    ],
)
def test_a_step_is_compared_with_its_neighbours_and_the_last(
    at: int, last_step: int, compared: list[tuple[int, int]]
) -> None:
    steps = [StepEntry(step, f"s@{step}", step) for step in range(4)]
    pairs = drift.pairs(steps, at, last_step)
    assert [(later.step, earlier.step) for later, earlier in pairs] == compared


def test_asking_again_computes_nothing(ingested: Path, cli: Callable[..., Answer]) -> None:
    db = ingested / "c.duckdb"
    before = query(db, "select count(*), max(run_id) from ingest_runs")
    answer = cli("ingest", ingested / "Run", *OPTIONS, "--db", db)
    assert answer.code == 0, answer.err
    assert query(db, "select count(*), max(run_id) from ingest_runs") == before


def test_a_step_that_comes_between_is_compared_too(
    ingested: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    db = Path(shutil.copy(ingested / "c.duckdb", tmp_path / "c.duckdb"))
    handmade.save(tmp_path / "main", seed=50)
    joins = ("--alias", "run-raw", "--step", 50)
    answer = cli("ingest", tmp_path / "main", *OPTIONS, *joins, "--db", db)
    assert answer.code == 0, answer.err
    new = "select model, other_model from drifts where '{}' in (model, other_model)"
    found = set(query(db, new.format("run-raw@50")))
    assert found == {("run-raw@50", "run-raw@20"), ("run-raw@100", "run-raw@50")}


def test_a_step_whose_checkpoint_is_gone_has_no_drift(
    ingested: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    db = Path(shutil.copy(ingested / "c.duckdb", tmp_path / "c.duckdb"))
    execute(db, "update model set source = '/nowhere' where alias = 'run-raw@20'")
    handmade.save(tmp_path / "main", seed=30)
    joins = ("--alias", "run-raw", "--step", 30)
    answer = cli("ingest", tmp_path / "main", *OPTIONS, *joins, "--db", db)
    assert answer.code == 0, answer.err
    assert "no drift between it and run-raw@20, for run-raw@20 was ingested from /nowhere" in (
        answer.err
    )
    found = query(db, "select distinct other_model from drifts where model = 'run-raw@30'")
    assert found == []


def save_wide(folder: Path) -> None:
    handmade.save(folder, seed=1, d_mlp=handmade.D_MLP + 1)


def save_with_other_pieces(folder: Path) -> None:
    handmade.save(folder, seed=1)
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace("▁w5", "▁v5"))


@pytest.mark.parametrize(
    ("save", "said"),
    [
        (save_wide, "is no step of run-raw: its d_mlp is 25, that of run-raw@0 24."),
        (save_with_other_pieces, "its tokenizer has other tokens than that of run-raw@0."),
    ],
)
def test_steps_of_a_series_are_alike(
    ingested: Path,
    tmp_path: Path,
    cli: Callable[..., Answer],
    save: Callable[[Path], None],
    said: str,
) -> None:
    db = Path(shutil.copy(ingested / "c.duckdb", tmp_path / "c.duckdb"))
    before = public_rows(db)
    save(tmp_path / "other")
    joins = ("--alias", "run-raw", "--step", 7)
    answer = cli("ingest", tmp_path / "other", *OPTIONS, *joins, "--db", db)
    assert answer.code == 4, answer.err
    assert said in answer.err
    assert public_rows(db) == before


def test_a_step_that_fails_is_named_last(tmp_path: Path, cli: Callable[..., Answer]) -> None:
    run = tmp_path / "run"
    handmade.save(run / "step-0")
    for step in (10, 20):
        save_wide(run / f"step-{step}")
    answer = cli("ingest", run, *OPTIONS, "--db", tmp_path / "c.duckdb")
    assert answer.code == 4, answer.err
    last = answer.err.strip().splitlines()[-1]
    assert last == "Error: 2 of 3 could not be ingested: run-raw@10, run-raw@20."


@pytest.mark.parametrize("alias", ["run@5", "org/run"])
def test_marks_of_a_series_are_refused_in_an_alias(
    tmp_path: Path, cli: Callable[..., Answer], alias: str
) -> None:
    handmade.save(tmp_path / "one")
    answer = cli(
        "ingest", tmp_path / "one", *OPTIONS, "--alias", alias, "--db", tmp_path / "c.duckdb"
    )
    assert answer.code == 2
    assert f"The alias '{alias}' has an @ or a /" in answer.err


def test_hundreds_are_not_taken_unasked(tmp_path: Path, cli: Callable[..., Answer]) -> None:
    for step in range(MANY + 50):
        (tmp_path / "run" / f"step{step}").mkdir(parents=True)
    answer = cli("ingest", tmp_path / "run", "--db", tmp_path / "c.duckdb")
    assert answer.code == 2
    assert "150 checkpoints match. Ingest all of them?" in answer.err
    assert "--yes" in answer.err
    assert not (tmp_path / "c.duckdb").exists()


@pytest.mark.slow
def test_gguf_files_are_a_series(tmp_path: Path, cli: Callable[..., Answer]) -> None:
    files = []
    for step in (1, 2, 3):
        model = tiny_checkpoints.build("llama", tmp_path / f"{step}", seed=step)
        tiny_checkpoints.save_tokenizer(model)
        (tmp_path / "files").mkdir(exist_ok=True)
        files.append(tmp_path / "files" / f"tiny-step-{step}.gguf")
        write_gguf(model, files[-1])
    db = tmp_path / "c.duckdb"
    answer = cli("ingest", *files[:2], "--alias", "x", "--stages", "weights", "--db", db)
    assert answer.code == 0, answer.err
    assert query(db, "select model from models order by step") == [("x-tiny@1",), ("x-tiny@2",)]
    answer = cli("ingest", tmp_path / "files", "--alias", "x", "--stages", "weights", "--db", db)
    assert answer.code == 0, answer.err
    pairs = query(db, "select distinct model, other_model from drifts order by all")
    assert pairs == [("x-tiny@2", "x-tiny@1"), ("x-tiny@3", "x-tiny@1"), ("x-tiny@3", "x-tiny@2")]


@pytest.mark.slow
def test_steps_share_their_texts_and_vocabulary(tmp_path: Path, cli: Callable[..., Answer]) -> None:
    for step in (1, 2):
        model = tiny_checkpoints.build("llama", tmp_path / "run" / f"step-{step}", seed=step)
        tiny_checkpoints.save_tokenizer(model)
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(f'{{"text": "text {at} is read"}}\n' for at in range(5)))
    db = tmp_path / "c.duckdb"
    words = ("--corpus", texts, "--max-tokens", 1000, "--device", "cpu", "--yes")
    answer = cli("ingest", tmp_path / "run", *words, "--db", db)
    assert answer.code == 0, answer.err
    for table, n in {"vocabulary": 1, "corpus": 1, "context": 5, "model_corpus": 2}.items():
        assert query(db, f"select count(*) from {table}") == [(n,)], table
    stats = "select model, count(*) > 0 from activation_stats group by model order by model"
    assert query(db, stats) == [("run@1", True), ("run@2", True)]


def put_into_cache(cache: Path, repository: str, revisions: dict[str, Path]) -> None:
    """Folders as the Hub's client keeps what it downloaded of these revisions."""
    home = cache / repo_folder_name(repo_id=repository, repo_type="model")
    for at, (name, folder) in enumerate(revisions.items()):
        commit = f"{at:040x}"
        shutil.copytree(folder, home / "snapshots" / commit)
        (home / "refs" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "refs" / name).write_text(commit)


@pytest.mark.slow
def test_revisions_of_a_repository_are_a_series(tmp_path: Path) -> None:
    run = save_run(tmp_path)
    revisions = {f"step{step}-tokens{step}M": run / f"step-{step}" for step in STEPS}
    put_into_cache(tmp_path / "cache", "org/Model-HF", revisions | {"main": run / "step-100"})
    cache = str(tmp_path / "cache")
    assert snapshot_download("org/Model-HF", revision="main", cache_dir=cache)
    db = tmp_path / "c.duckdb"

    def ingest(*more: object) -> Answer:
        return command("ingest", "org/Model-HF", *OPTIONS, *more, "--db", db, HF_HUB_CACHE=cache)

    answer = ingest("--revisions", "*", "--log-spaced", 3)
    assert answer.code == 0, answer.err
    assert "org/Model-HF: main left out, for no step is in the name" in answer.err
    rows = query(db, "select model, train_tokens, length(revision) from models order by step")
    taken = [(0, 0), (10, 10**7), (100, 10**8)]
    assert rows == [(f"model-raw@{step}", tokens, 40) for step, tokens in taken]
    answer = ingest("--revision", "main", "--step", 200)
    assert answer.code == 0, answer.err
    found = query(db, "select count(*) from drifts where model = 'model-raw@200'")
    assert found == [(3 * handmade.N_LAYERS * handmade.D_MLP,)]
    answer = ingest("--revisions", "stage*")
    assert answer.code == 3
    assert "Nothing in org/Model-HF is named like stage*. There is: main, step0" in answer.err


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_a_killed_series_is_carried_on_by_the_same_command(
    ingested: Path, tmp_path: Path, part: int
) -> None:
    words = ("ingest", ingested / "Run", *OPTIONS, "--db")
    log, db = tmp_path / "log", tmp_path / "c.duckdb"
    started = time.monotonic()
    processes.finished(log, *words, tmp_path / "whole.duckdb")
    seconds = time.monotonic() - started
    process = processes.start(log, *words, db)
    process.join((part + random.Random(part).random()) / 3 * seconds)
    process.kill()
    process.join()
    processes.finished(log, *words, db)
    assert public_rows(db) == public_rows(ingested / "c.duckdb")
    assert not staging_root(db).exists()
