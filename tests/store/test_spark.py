"""A lake read by Spark in local mode: the rows that DuckDB gets from it, windows over them too."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import catalog
from catalog.store.handle import Handle
from catalog.store.lake.exporting import export_lake
from catalog.store.lake.source import SourceRows
from catalog.views import VIEWS
from tests.support import execute

pytestmark = pytest.mark.spark

WINDOWS = """
select
    model, layer, neuron, sign_case, rank, token,
    row_number() over strongest as place,
    post - lag(post) over strongest as step,
    sum(post) over strongest as so_far,
    count(*) over (partition by model, corpus, context_id) as of_context
from exemplars
window strongest as (
    partition by model, corpus, layer, neuron order by abs(post) desc, sign_case, rank
)
order by model, layer, neuron, place
"""
"""Of each neuron its exemplars in one order over all cases, in words that both dialects have."""


@pytest.fixture(scope="module")
def lake(known: Path, once: Callable[..., Path]) -> Path:
    """A lake of two models, one of which has a number for a name."""

    def make(folder: Path) -> None:
        shutil.copy(known, folder / "known.duckdb")
        execute(folder / "known.duckdb", "update model set alias = '007' where alias = 'beta'")
        export_lake(SourceRows(Handle(folder / "known.duckdb")), folder / "lake")

    return once("lake for spark", make) / "lake"


@pytest.fixture(scope="module")
def spark(lake: Path) -> Iterator[Any]:
    """A session that has every view of the lake."""
    if shutil.which("java") is None:
        pytest.skip("there is no Java here: apt-get install default-jre-headless")
    sql = pytest.importorskip("pyspark.sql", reason="there is no PySpark here: make test-spark")
    session = (
        sql.SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        # Aliases are names, also those that look like numbers.
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    for view in VIEWS:
        session.read.parquet(str(lake / view.name)).createOrReplaceTempView(view.name)
    yield session
    session.stop()


def of_spark(spark: Any, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in spark.sql(query).collect()]


def of_duckdb(lake: Path, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in catalog.open(lake).sql(query).arrow().to_pylist()]


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
def test_every_view_has_the_same_rows_and_columns(lake: Path, spark: Any, view: str) -> None:
    names = sorted(spark.table(view).columns)
    query = f"select {', '.join(names)} from {view}"
    ours = sorted(of_duckdb(lake, query), key=repr)
    assert sorted(of_spark(spark, query), key=repr) == ours
    assert names == sorted(catalog.open(lake).sql(f"from {view} limit 0").arrow().column_names)


def test_window_functions_over_exemplars(lake: Path, spark: Any) -> None:
    ours, theirs = of_duckdb(lake, WINDOWS), of_spark(spark, WINDOWS)
    assert len(ours) > 1
    for row, other in zip(ours, theirs, strict=True):
        assert other == pytest.approx(row)


def test_a_model_is_read_by_its_partition_alone(lake: Path, spark: Any) -> None:
    query = "select count(*) from neurons where model = '007'"
    assert of_spark(spark, query) == of_duckdb(lake, query) != [(0,)]
    scanned = spark.sql("select layer from neurons where model = '007'")
    assert len(scanned.inputFiles()) >= 1
    plan = scanned._jdf.queryExecution().executedPlan().toString()
    assert "PartitionFilters: [isnotnull(model" in plan
