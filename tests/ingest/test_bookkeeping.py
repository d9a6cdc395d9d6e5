"""Stages are remembered: finished ones are left alone, --force redoes them, provenance is kept."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.progress import Silent
from catalog.store.handle import Handle
from tests import handmade
from tests.support import Answer, Row, last_of_each, public_rows, query

OPTIONS = ("--weights", "raw", "--stages", "weights,vocab", "--device", "cpu")


class Ingest:
    """`catalog ingest` of one checkpoint into one catalog, through the command line."""

    def __init__(self, folder: Path, cli: Callable[..., Answer]) -> None:
        self.checkpoint = folder / "Some-Model-HF"
        self.db = folder / "c.duckdb"
        self.cli = cli
        handmade.save(self.checkpoint)

    def __call__(self, *more: object) -> Answer:
        words = last_of_each(*OPTIONS, *more, "--db", self.db)
        return self.cli("ingest", self.checkpoint, *words)

    def runs(self) -> list[Row]:
        return query(self.db, "select model, stage, status from ingest_runs order by run_id")


@pytest.fixture
def ingested(tmp_path: Path, cli: Callable[..., Answer]) -> Ingest:
    made = Ingest(tmp_path, cli)
    answer = made()
    assert (answer.code, answer.out) == (0, ""), answer.err
    return made


def test_the_closing_summary_counts_neurons_and_classes(
    tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    made = Ingest(tmp_path, cli)
    said = made().err
    neurons = handmade.N_LAYERS * handmade.D_MLP
    assert f"some-model-raw: {neurons} neurons" in said
    assert "orthogonal output" in said
    assert str(made.db) in said


def test_provenance_is_kept(ingested: Ingest) -> None:
    rows = query(
        ingested.db,
        "select stage, status, device, dtype, parameters, versions, n_units, n_done, "
        "started_at <= finished_at from ingest_runs order by run_id",
    )
    assert [row[0] for row in rows] == ["weights", "vocab"]
    for row in rows:
        status, device, dtype, parameters, versions, n_units, n_done, in_order = row[1:]
        assert (status, device, dtype, in_order) == ("finished", "cpu", "float32", True)
        assert n_units == n_done == handmade.N_LAYERS
        assert json.loads(parameters)["weights"] == "raw"
        assert {"neuron-catalog", "torch", "safetensors", "duckdb"} <= set(json.loads(versions))
    assert json.loads(rows[1][4])["top_tokens"] == 16


def test_a_finished_stage_says_so_and_does_nothing(ingested: Ingest) -> None:
    before, bytes_before = ingested.runs(), public_rows(ingested.db)
    answer = ingested()
    assert answer.code == 0
    for stage in ("weights", "vocab"):
        assert f"{stage} was finished on" in answer.err
    assert "--force redoes it" in " ".join(answer.err.split())
    assert (ingested.runs(), public_rows(ingested.db)) == (before, bytes_before)


def test_other_parameters_of_a_finished_stage_are_named(ingested: Ingest) -> None:
    said = " ".join(ingested("--top-tokens", 4).err.split())
    assert "top_tokens 16 instead of 4" in said


def test_force_redoes_and_supersedes(ingested: Ingest) -> None:
    assert ingested("--force", "--top-tokens", 4).code == 0
    assert [status for _, _, status in ingested.runs()] == ["superseded"] * 2 + ["finished"] * 2
    assert query(ingested.db, "select max(rank) from top_tokens") == [(4,)]
    count = "select count(*), count(distinct (layer, neuron)) from neurons"
    assert query(ingested.db, count) == [(handmade.N_LAYERS * handmade.D_MLP,) * 2]


def older(made: Ingest, stage: str) -> None:
    """Make the stage's finished run one of an older version."""
    with Handle(made.db).writing() as connection:
        connection.execute("update ingest_run set stage_version = 0 where stage = $1", [stage])


def test_rows_of_an_older_version_are_offered_anew(ingested: Ingest) -> None:
    older(ingested, "vocab")
    said = " ".join(ingested().err.split())
    assert "vocab was finished on" in said
    assert "by version 0 of the stage, which is at version 1 now" in said
    assert "redo it with --stages vocab --force" in said
    assert "weights was finished" in said and said.count("by version") == 1
    ingested("--stages", "vocab", "--force")
    assert "by version" not in " ".join(ingested().err.split())
    sql = "select stage_version, status from ingest_runs where stage = 'vocab' order by run_id"
    assert query(ingested.db, sql) == [(0, "superseded"), (1, "finished")]


def test_rows_of_an_older_version_are_named_by_other_stages_too(ingested: Ingest) -> None:
    older(ingested, "vocab")
    said = " ".join(ingested("--stages", "weights").err.split())
    assert "redo it with --stages vocab --force" in said


def test_force_leaves_alone_what_was_not_named(ingested: Ingest) -> None:
    ingested("--stages", "roles")
    before = ingested.runs()
    said = " ".join(ingested("--stages", "vocab", "--force", "--top-tokens", 4).err.split())
    assert "roles was computed from rows that have been redone now" in said
    assert [row[1:] for row in ingested.runs() if row not in before] == [("vocab", "superseded")]
    said = " ".join(ingested("--stages", "roles", "--force").err.split())
    assert "redone now" not in said


class Watching(Silent):
    """Counts what the views show whenever something happens."""

    def __init__(self, db: Path) -> None:
        self.db = db
        self.seen: set[Row] = set()

    def begin(self, title: str, total: int, done: int = 0) -> None:
        self.look()

    def advance(self, units: int = 1) -> None:
        self.look()

    def look(self) -> None:
        sql = "select (select count(*) from neurons), (select max(rank) from top_tokens)"
        self.seen.update(query(self.db, sql))


def test_old_rows_are_shown_until_the_new_are_complete(ingested: Ingest) -> None:
    watching = Watching(ingested.db)
    request = IngestRequest(
        catalog=Handle(ingested.db),
        source=str(ingested.checkpoint),
        weights="raw",
        stages=("weights", "vocab"),
        top_tokens=4,
        device="cpu",
        force=True,
    )
    ingest(request, watching)
    neurons = handmade.N_LAYERS * handmade.D_MLP
    assert watching.seen == {(neurons, 16)}
    watching.look()
    assert watching.seen == {(neurons, 16), (neurons, 4)}


@pytest.mark.parametrize("alias", ["", " ", "a\nb"])
def test_an_alias_that_nobody_could_read_is_refused(
    cli: Callable[..., Answer], ingested: Ingest, alias: str
) -> None:
    before = query(ingested.db, "from models")
    answer = cli("ingest", ingested.checkpoint, *OPTIONS, "--db", ingested.db, "--alias", alias)
    assert answer.code == 2 and "--alias" in answer.err
    assert query(ingested.db, "from models") == before


def test_an_alias_of_another_checkpoint_is_refused(
    ingested: Ingest, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    other = tmp_path / "other" / "Some-Model"
    handmade.save(other, seed=1)
    before = public_rows(ingested.db)
    answer = cli("ingest", other, *OPTIONS, "--db", ingested.db)
    assert answer.code == 6
    for said in ("some-model-raw", str(ingested.checkpoint), "--alias"):
        assert said in " ".join(answer.err.split()).replace("- ", "-")
    assert public_rows(ingested.db) == before
    assert cli("ingest", other, *OPTIONS, "--db", ingested.db, "--alias", "other").code == 0
    assert query(ingested.db, "select model from models order by 1") == [
        ("other",),
        ("some-model-raw",),
    ]


def test_kinds_of_weights_are_entries_of_their_own(ingested: Ingest) -> None:
    for kind, alias in (("folded", "some-model"), ("effective", "some-model-effective")):
        assert ingested("--weights", kind, "--stages", "weights").code == 0
        rows = query(ingested.db, "select weights from models where model = $1", alias)
        assert rows == [(kind,)]
    assert query(ingested.db, "select count(*) from models") == [(3,)]


def test_nothing_is_left_beside_the_catalog(ingested: Ingest) -> None:
    left = {path.name for path in ingested.db.parent.iterdir()} - {ingested.checkpoint.name}
    assert left <= {"c.duckdb", "c.duckdb.lock"}


def test_staged_rows_left_by_a_killed_run_go_with_the_next(ingested: Ingest) -> None:
    """A run may be killed after its rows are shown and before its staging is removed."""
    staged = ingested.db.with_name("c.duckdb.staging") / "some-model-raw"
    seen: list[Path] = []

    class Keeping(Silent):
        def begin(self, title: str, total: int, done: int = 0) -> None:
            if title == "loading weights":
                seen.extend(staged.glob("weights-*"))

    request = IngestRequest(
        catalog=Handle(ingested.db),
        source=str(ingested.checkpoint),
        weights="raw",
        stages=("weights",),
        device="cpu",
        force=True,
    )
    ingest(request, Keeping())
    (folder,) = seen
    folder.mkdir(parents=True)
    (folder / "neuron-00000.parquet").touch()
    assert ingested().code == 0
    assert not folder.exists()
