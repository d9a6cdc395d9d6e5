"""A lake of Parquet files: the rows of the catalog it came from, whole, and only read."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import catalog
from catalog.errors import AliasTaken, DatabaseError, NotFoundError, SchemaTooNew
from catalog.queries import named_query, query_names
from catalog.store.handle import Handle
from catalog.store.lake.exporting import export_lake
from catalog.store.lake.files import LakeFiles
from catalog.store.lake.manifest import read_manifest
from catalog.store.lake.source import SourceRows
from catalog.store.lake.storage import Storage
from catalog.store.lake.text import export_text
from catalog.store.location import Location
from catalog.store.reading import fetch
from catalog.store.upgrading import ensure_catalog
from catalog.views import VIEWS
from tests import synthetic
from tests.queries.test_named_answers import build_gamma
from tests.queries.test_named_queries import GIVEN
from tests.support import COMMAND, environment, fingerprint, view_names, wait_until

PUBLIC = [view.name for view in VIEWS]
ODD = ["a/b=c d", "7", "2024-01-01", "naïve 界", "100%25", "it's [x]*?{y}", "..", "NULL"]
ODD += ["__HIVE_DEFAULT_PARTITION__"]


def exported(source: Location, target: Location, *asked: str, force: bool = False) -> None:
    export_lake(SourceRows(Handle(source)), target, asked, force=force)


@pytest.fixture(scope="module")
def lake(known: Path, once: Callable[..., Path]) -> Path:
    """The lake of `known`, to be read only."""
    return once("lake", lambda folder: exported(known, folder / "lake")) / "lake"


@pytest.fixture
def own_lake(lake: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lake, tmp_path / "lake"))


@pytest.fixture(scope="module")
def gamma(once: Callable[..., Path]) -> Path:
    """Two models that share a vocabulary, with roles and top tokens; and their lake beside it."""

    def make(folder: Path) -> None:
        build_gamma(folder / "gamma.duckdb")
        exported(folder / "gamma.duckdb", folder / "lake")

    return once("gamma lake", make)


@pytest.fixture(scope="module")
def odd(once: Callable[..., Path]) -> Path:
    """Models of awkward aliases, and their lake beside the catalog."""

    def make(folder: Path) -> None:
        ensure_catalog(Handle(folder / "odd.duckdb"))
        for at, alias in enumerate(ODD):
            synthetic.load_weights(
                folder / "odd.duckdb",
                synthetic.entry(alias, n_layers=1, d_mlp=1),
                {"0.0": (0.1 * at, 0.2, None)},
            )
        exported(folder / "odd.duckdb", folder / "lake")

    return once("odd lake", make)


def rows_of(location: Location, view: str) -> pa.Table:
    return fetch(location, f"from {view} order by all")


def test_a_lake_holds_every_public_view(known: Path, lake: Path) -> None:
    assert sorted(PUBLIC) == view_names(known)
    folders = {each.name for each in lake.iterdir() if each.is_dir()}
    assert folders == set(PUBLIC)


@pytest.mark.parametrize("view", PUBLIC)
def test_a_view_has_the_same_columns_types_and_rows(known: Path, lake: Path, view: str) -> None:
    in_catalog, in_lake = rows_of(known, view), rows_of(lake, view)
    assert in_lake.schema == in_catalog.schema
    assert in_lake.equals(in_catalog)
    described = f"select column_name, column_type from (describe {view})"
    assert fetch(lake, described).equals(fetch(known, described))


@pytest.mark.parametrize("name", query_names())
def test_a_named_query_answers_alike(known: Path, lake: Path, gamma: Path, name: str) -> None:
    query = named_query(name)
    for source, copy, given in (
        (known, lake, GIVEN),
        (
            gamma / "gamma.duckdb",
            gamma / "lake",
            GIVEN | {"token": "a", "neuron": "0.1", "model": "gamma"},
        ),
    ):
        values = query.bound([f"{p.name}={given[p.name]}" for p in query.parameters if p.required])
        expected = fetch(source, query.sql, values)
        assert fetch(copy, query.sql, values).equals(expected)


def test_tokens_are_looked_up_across_the_models_of_a_lake(gamma: Path) -> None:
    query = named_query("similar_neurons")
    rows = fetch(gamma / "lake", query.sql, query.bound(["neuron=0.1", "model=gamma"]))
    assert rows.num_rows > 0


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.99])
def test_macros_answer_alike(known: Path, lake: Path, threshold: float) -> None:
    sql = "from io_classes($1) order by all"
    assert fetch(lake, sql, [threshold]).equals(fetch(known, sql, [threshold]))
    sql = "from functional_roles(1000, 1729, 1, null, 2, 3, 0.7, 1) order by all"
    assert fetch(lake, sql).equals(fetch(known, sql))


def test_a_url_is_a_lake_too(known: Path, lake: Path) -> None:
    exported(known, "memory://bucket/lake")
    opened = catalog.open("memory://bucket/lake")
    for view in PUBLIC:
        assert opened.sql(f"from {view} order by all").arrow().equals(rows_of(known, view))
    assert opened.neuron("28.4737", "alpha") == catalog.open(known).neuron("28.4737", "alpha")


def test_a_lake_is_exported_from_a_lake(lake: Path, tmp_path: Path) -> None:
    exported(lake, tmp_path / "copy", "alpha")
    for view in [*PUBLIC, "tokens"]:
        of_alpha = f"from {view} where model = 'alpha' order by all"
        assert fetch(tmp_path / "copy", of_alpha).equals(fetch(lake, of_alpha))


@pytest.mark.parametrize("view", PUBLIC)
def test_other_programs_read_it_in_place(known: Path, lake: Path, view: str) -> None:
    n_rows = rows_of(known, view).num_rows
    pattern = f"{lake}/{view}/**/*.parquet"
    frame = pl.scan_parquet(pattern, hive_partitioning=True).collect()
    described = fetch(known, f"select column_name from (describe {view})")
    assert (frame.height, set(frame.columns)) == (n_rows, set(described[0].to_pylist()))
    assert ds.dataset(lake / view, partitioning="hive").count_rows() == n_rows
    with duckdb.connect() as connection:
        sql = f"select count(*) from read_parquet('{pattern}', hive_partitioning = true)"
        assert connection.execute(sql).fetchall() == [(n_rows,)]


def test_polars_reads_the_values(known: Path, lake: Path) -> None:
    frame = pl.scan_parquet(f"{lake}/neurons/**/*.parquet", hive_partitioning=True).collect()
    names = [name for name in frame.columns if name != "model"]
    expected = pl.from_arrow(fetch(known, "from neurons order by model, layer, neuron"))
    assert isinstance(expected, pl.DataFrame)
    assert (
        frame.sort("model", "layer", "neuron")
        .select("model", *names)
        .equals(expected.select("model", *names))
    )


def test_any_alias_survives(odd: Path) -> None:
    expected = rows_of(odd / "odd.duckdb", "neurons")
    assert rows_of(odd / "lake", "neurons").equals(expected)
    for alias in ODD:
        found = fetch(odd / "lake", "select cos_gate_in from neurons where model = $1", [alias])
        assert found[0].to_pylist() == [pytest.approx(0.1 * ODD.index(alias))]
    pattern = f"{odd}/lake/neurons/**/*.parquet"
    frame = pl.scan_parquet(pattern, hive_partitioning=True, try_parse_hive_dates=False)
    shown = frame.cast({"model": pl.String}).collect()["model"].to_list()
    # Hive's own word for NULL is NULL to Polars, however it is written.
    assert set(ODD) - set(shown) == {"__HIVE_DEFAULT_PARTITION__"}
    with duckdb.connect() as connection:
        sql = f"select model from read_parquet('{pattern}', hive_types = {{'model': varchar}})"
        assert sorted(name for (name,) in connection.execute(sql).fetchall()) == sorted(ODD)


def test_rows_lie_in_order_for_pruning(gamma: Path) -> None:
    for file in gamma.glob("lake/top_tokens/*/*.parquet"):
        rows = pq.read_table(file, partitioning=None)
        order = ["layer", "neuron", "vector", "basis", "sign", "rank"]
        assert rows.equals(rows.sort_by([(name, "ascending") for name in order]))
        group = pq.read_metadata(file).row_group(0)
        assert group.column(0).compression == "ZSTD"
        assert group.column(0).statistics.has_min_max


def test_models_are_added_and_refused_by_name(known: Path, tmp_path: Path) -> None:
    target = tmp_path / "lake"
    exported(known, target, "beta")
    assert fetch(target, "select model from models")[0].to_pylist() == ["beta"]
    with pytest.raises(AliasTaken, match=r"holds beta already.*force="):
        exported(known, target, "alpha", "beta")
    exported(known, target)
    assert rows_of(target, "neurons").equals(rows_of(known, "neurons"))
    with pytest.raises(AliasTaken, match=r"holds alpha, beta already"):
        exported(known, target)
    with pytest.raises(NotFoundError, match=r"no model 'gamma'\. There is: alpha, beta"):
        exported(known, target, "gamma")


def test_a_model_that_changed_is_written_anew_with_force(db: Path, tmp_path: Path) -> None:
    target = tmp_path / "lake"
    exported(db, target)
    synthetic.load_weights(
        db,
        synthetic.entry("beta", n_layers=2, d_mlp=3, d_model=64, weights="raw", family="Llama"),
        {"0.0": (0.9, 0.9, 0.9)},
    )
    exported(db, target, "beta", force=True)
    assert rows_of(target, "neurons").equals(rows_of(db, "neurons"))


def test_a_model_that_changes_meanwhile_is_not_exported(db: Path) -> None:
    beta = synthetic.entry("beta", n_layers=2, d_mlp=3, d_model=64, weights="raw", family="Llama")
    with (
        pytest.raises(DatabaseError, match="beta changed"),
        SourceRows(Handle(db)).unchanged("beta"),
    ):
        synthetic.load_weights(db, beta, {"0.0": (0.9, 0.9, 0.9)})


def test_an_ingest_gets_its_turn_in_a_text_export_whose_files_it_makes_invalid(
    db: Path, tmp_path: Path
) -> None:
    beta = synthetic.entry("beta", n_layers=2, d_mlp=3, d_model=64, weights="raw", family="Llama")

    def say(line: str) -> None:
        if "neurons.csv written" in line:
            synthetic.load_weights(db, beta, {"0.0": (0.9, 0.9, 0.9)})

    with pytest.raises(DatabaseError, match="beta changed"):
        export_text(SourceRows(Handle(db)), tmp_path / "texts", "csv", say=say)
    assert list((tmp_path / "texts").iterdir()) == []


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["first", "forced"])
def test_a_killed_export_is_not_taken_for_whole(
    known: Path, own_lake: Path, tmp_path: Path, force: list[str]
) -> None:
    target = own_lake if force else tmp_path / "new"
    manifest, written = target / "lake.json", target / "models" / "model=alpha"
    before = manifest.read_bytes() if force else b""
    process = subprocess.Popen(
        [COMMAND, "export", target, "--db", known, *force], env=environment()
    )
    wait_until(lambda: written.exists() and (not force or manifest.read_bytes() != before))
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    if manifest.exists():
        assert "alpha" not in json.loads(manifest.read_text())["models"]
    else:
        with pytest.raises(DatabaseError, match="export was interrupted"):
            fetch(target, "from models")
    exported(known, target, force=True)
    assert rows_of(target, "neurons").equals(rows_of(known, "neurons"))
    assert not list(target.rglob("*.part"))


def damage_manifest(lake: Path, change: Callable[[dict[str, Any]], object]) -> None:
    stated = json.loads((lake / "lake.json").read_text())
    change(stated)
    (lake / "lake.json").write_text(json.dumps(stated))


MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another kind": lambda stated: stated.update(kind="x"),
    "no models": lambda stated: stated.pop("models"),
    "models as a list": lambda stated: stated.update(models=["alpha"]),
    "a view less": lambda stated: stated["models"]["alpha"].pop("neurons"),
    "a view of its own": lambda stated: stated["columns"].update({"x; drop": {"a": "INTEGER"}}),
    "a column of its own": lambda stated: stated["columns"]["neurons"].update({'"x': "JSON"}),
    "a size that is none": lambda stated: stated["models"]["alpha"]["neurons"].update(size="?"),
    "an alias that leads away": lambda stated: stated["models"].update(
        {"../../secret": stated["models"]["alpha"]}
    ),
    "no whole model": lambda stated: stated["models"].clear(),
}


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS)
def test_a_damaged_manifest_is_refused(
    own_lake: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    damage_manifest(own_lake, change)
    with pytest.raises(DatabaseError) as refused:
        fetch(own_lake, "select * from neurons")
    assert str(own_lake) in str(refused.value)


@pytest.mark.parametrize("text", ["", "[1]", "null", "{", "[" * 100_000, "\xff"])
def test_a_manifest_that_is_no_json_is_refused(own_lake: Path, text: str) -> None:
    (own_lake / "lake.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DatabaseError, match=r"lake\.json in .* is damaged"):
        fetch(own_lake, "from models")


def test_a_newer_lake_is_refused(own_lake: Path) -> None:
    damage_manifest(own_lake, lambda stated: stated.update(schema="9999", models="new"))
    with pytest.raises(SchemaTooNew, match="pip install -U neuron-catalog"):
        fetch(own_lake, "from models")


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def overwritten(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def overwritten_pages(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:4] + bytes(200) + data[204:])


@pytest.mark.parametrize("damage", [Path.unlink, truncated, overwritten, overwritten_pages])
@pytest.mark.parametrize("alias", ["alpha", "beta"])
def test_a_damaged_file_is_named(
    own_lake: Path, damage: Callable[[Path], None], alias: str
) -> None:
    damage(own_lake / "neurons" / f"model={alias}" / "part-00000.parquet")
    with pytest.raises(DatabaseError, match=r"The lake .* is damaged") as refused:
        fetch(own_lake, "select * from neurons")
    assert "\n" not in str(refused.value)


def test_reading_leaves_a_lake_as_it_is(lake: Path) -> None:
    before = fingerprint(lake)
    for view in PUBLIC:
        rows_of(lake, view)
    assert fingerprint(lake) == before


def test_threads_read_where_each_of_them_went(lake: Path) -> None:
    """DuckDB 2 goes to a place in one call and reads in the next, in several threads at once."""
    name = "top_tokens/model=alpha/part-00000.parquet"
    storage, whole = Storage(lake), (lake / name).read_bytes()
    with (
        LakeFiles(storage, read_manifest(storage)).open(f"lake://{name}") as stream,
        ThreadPoolExecutor(1) as another,
    ):
        assert stream.seek(0, 2) == len(whole)
        stream.seek(50)
        assert another.submit(stream.read, 4).result() == whole[:4]
        assert stream.read(10) == whole[50:60]
        another.submit(stream.seek, 200).result()
        assert stream.read(10) == whole[60:70]
        assert another.submit(stream.read, 10).result() == whole[200:210]
