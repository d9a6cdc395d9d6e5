"""`import catalog`: rows as Arrow, pandas and Polars, from any folder."""

from pathlib import Path

import pytest

import catalog
from catalog.errors import DatabaseMissing, NotFoundError, SqlError, UsageError
from tests.support import python


@pytest.fixture
def opened(known: Path) -> catalog.Catalog:
    return catalog.open(known)


def test_rows_come_as_arrow_pandas_polars_and_tuples(opened: catalog.Catalog) -> None:
    rows = opened.sql("select model, d_model from models order by model")
    expected = [("alpha", 4096), ("beta", 64)]
    assert rows.fetchall() == expected
    assert rows.arrow().to_pydict() == {"model": ["alpha", "beta"], "d_model": [4096, 64]}
    assert [tuple(row) for row in rows.df().itertuples(index=False)] == expected
    assert rows.pl().rows() == expected
    assert (len(rows), repr(rows)) == (2, "2 rows: model, d_model")


def test_parameters_are_bound(opened: catalog.Catalog) -> None:
    by_name = opened.sql("select $model as m, $k as k", {"model": "alpha", "k": 2})
    assert by_name.fetchall() == opened.sql("select $1 as m, $2 as k", ["alpha", 2]).fetchall()


def test_a_path_may_be_text(known: Path) -> None:
    assert catalog.open(str(known)).path == known


def test_only_reading_is_let_through(opened: catalog.Catalog) -> None:
    with pytest.raises(SqlError, match="DELETE is refused"):
        opened.sql("delete from neuron")


def test_a_variable_of_the_notebook_is_no_table(opened: catalog.Catalog) -> None:
    frame = opened.sql("from models").df()
    assert len(frame) == 2
    with pytest.raises(SqlError, match="frame"):
        opened.sql("from frame")


def test_a_neuron_is_a_record(opened: catalog.Catalog) -> None:
    record = opened.neuron("28.4737", model="alpha")
    assert (str(record.id), record.neuron.io_class) == ("28.4737", "enrichment")
    with pytest.raises(UsageError):
        opened.neuron("28", model="alpha")
    with pytest.raises(NotFoundError):
        opened.neuron("28.4737", model="gamma")


def test_a_model_may_stand_before_the_neuron(opened: catalog.Catalog) -> None:
    named, told = opened.neuron("alpha:28.4737"), opened.neuron("28.4737", "alpha")
    assert named.as_dict() == told.as_dict()
    with pytest.raises(UsageError, match=r"alpha:28.4737 is of alpha, .* asked for is beta"):
        opened.neuron("alpha:28.4737", "beta")


def test_opening_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DatabaseMissing):
        catalog.open(tmp_path / "none.duckdb")
    assert list(tmp_path.iterdir()) == []


USE = """
import sys, catalog
opened = catalog.open(sys.argv[1])
assert opened.sql("select count(*) as n from neurons").fetchall() == [(12,)]
assert opened.neuron("28.4737", model="alpha").neuron.io_class == "enrichment"
from catalog.queries import query_names, named_query
assert named_query("classes").sql
from catalog.cli.main import run
assert run(["show", "28.4737", "--model", "alpha", "--db", sys.argv[1]]) == 0
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog
assert ensure_catalog(Handle(__import__("pathlib").Path("made.duckdb")))
print(catalog.__file__)
"""


def a_notebooks_folder(folder: Path) -> Path:
    """A folder whose modules would break everything if they were imported in place of ours."""
    for name in ("queries", "ingest", "migrations", "tests", "store", "benchmarks"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise SystemExit('the wrong module')")
        (folder / name / "classes.sql").write_text("not ours")
    return folder


def test_a_folder_with_names_like_ours_shadows_nothing(known: Path, tmp_path: Path) -> None:
    said = python(USE, known, cwd=a_notebooks_folder(tmp_path / "notebook"))
    assert said.splitlines()[-1].endswith("catalog/__init__.py")
