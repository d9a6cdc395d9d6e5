"""Queries about a training series, against rows worked out by hand."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from catalog.errors import NotFoundError, UsageError
from catalog.figures import render
from catalog.figures.data import FigureData
from catalog.queries import named_query
from catalog.queries.asking import answered
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog
from catalog.store.writing import RunStart, finish_run, insert_rows, start_run, writing
from tests import synthetic
from tests.support import Answer, Row

ORTHOGONAL, ENRICHMENT, DEPLETION = (0.1, 0.1, 0.1), (0.9, 0.8, 0.7), (0.1, 0.7, -0.8)
CLASSES = {
    0: (ORTHOGONAL, ORTHOGONAL, ORTHOGONAL, ORTHOGONAL),
    10: (ORTHOGONAL, ENRICHMENT, ORTHOGONAL, ORTHOGONAL),
    500: (ORTHOGONAL, ENRICHMENT, DEPLETION, (None, None, None)),
}
"""Cosines of neurons 0.0, 0.1, 1.0 and 1.1 at each step."""
DRIFT = {(10, 0): (0.9, 0.8, 0.7, 0.6), (500, 10): (0.5, 0.4, 0.3, 0.2), (500, 0): (0.1, 0, 0, 0)}
"""cos_in of the same neurons; the other two are this less 0.1 and NULL."""


@pytest.fixture(scope="module")
def catalog(once: Callable[..., Path]) -> Path:
    def make(folder: Path) -> None:
        path = folder / "c.duckdb"
        ensure_catalog(Handle(path))
        synthetic.load_weights(path, synthetic.entry("alone"), {"0.0": ENRICHMENT})
        ids = {}
        for step, cosines in CLASSES.items():
            named = {"series": "run", "step": step, "train_tokens": 1024 * step}
            entry = synthetic.entry(f"run@{step}", n_layers=2, d_mlp=2, **named)
            by_id = dict(zip(("0.0", "0.1", "1.0", "1.1"), cosines, strict=True))
            ids[step] = synthetic.load_weights(path, entry, by_id)
        for (later, earlier), values in DRIFT.items():
            load_drift(path, ids[later], earlier, values)

    return once("series-queries", make) / "c.duckdb"


def load_drift(path: Path, model_id: int, earlier: int, values: tuple[float, ...]) -> None:
    start = RunStart("drift", "cpu", "float32", {}, {}, 1, 1, subject=str(earlier))
    rows = [
        {"layer": at // 2, "neuron": at % 2, "cos_gate": None}
        | {"cos_in": value, "cos_out": value - 0.1}
        for at, value in enumerate(values)
    ]
    types = pa.schema(
        [("layer", pa.int16()), ("neuron", pa.int32())]
        + [(name, pa.float32()) for name in ("cos_gate", "cos_in", "cos_out")]
    )
    with writing(path) as connection:
        run_id = start_run(connection, model_id, start, None)
        insert_rows(connection, "drift", run_id, pa.Table.from_pylist(rows, types))
        finish_run(connection, run_id, ("drift",), {})


def rows(path: Path, name: str, *settings: str) -> list[Row]:
    query = named_query(name)
    found = answered(Handle(path), query, query.bound(settings)).rows.to_pylist()
    return [tuple(row.values()) for row in found]


def test_evolution_counts_classes_at_every_step(catalog: Path) -> None:
    assert rows(catalog, "evolution", "by_layer=false") == [
        ("run", 0, 0, None, "orthogonal output", 4, 1.0, 0),
        ("run", 10, 10_240, None, "orthogonal output", 3, 0.75, 0),
        ("run", 10, 10_240, None, "enrichment", 1, 0.25, 0),
        ("run", 500, 512_000, None, "depletion", 1, 0.25, 1),
        ("run", 500, 512_000, None, "enrichment", 1, 0.25, 0),
        ("run", 500, 512_000, None, "orthogonal output", 1, 0.25, 0),
        ("run", 500, 512_000, None, None, 1, 0.25, 0),
    ]


def test_evolution_by_layer(catalog: Path) -> None:
    found = [row[3:7] for row in rows(catalog, "evolution", "series=run") if row[1] == 10]
    assert found == [
        (0, "enrichment", 1, 0.5),
        (0, "orthogonal output", 1, 0.5),
        (1, "orthogonal output", 2, 1.0),
    ]


def test_flow_is_from_the_first_step_to_the_last(catalog: Path) -> None:
    orthogonal = ("run", 0, 500, "orthogonal output")
    assert rows(catalog, "flow") == [
        (*orthogonal, "depletion", 1, 0.25, "1.0"),
        (*orthogonal, "enrichment", 1, 0.25, "0.1"),
        (*orthogonal, "orthogonal output", 1, 0.25, "0.0"),
        (*orthogonal, None, 1, 0.25, "1.1"),
    ]


def test_flow_between_two_steps(catalog: Path) -> None:
    found = rows(catalog, "flow", "from_step=0", "to_step=10", "k=2")
    assert [row[3:] for row in found] == [
        ("orthogonal output", "orthogonal output", 3, 0.75, "0.0, 1.0"),
        ("orthogonal output", "enrichment", 1, 0.25, "0.1"),
    ]


def test_flow_back_in_time_is_refused(catalog: Path) -> None:
    with pytest.raises(UsageError, match="from_step=10 is not before to_step=10"):
        rows(catalog, "flow", "from_step=10", "to_step=10")


@pytest.mark.parametrize("name", ["drift", "evolution", "flow"])
def test_a_catalog_without_a_series_says_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / "c.duckdb"
    ensure_catalog(Handle(path))
    synthetic.load_weights(path, synthetic.entry("alone"), {"0.0": ENRICHMENT})
    query = named_query(name)
    answer = answered(Handle(path), query, query.bound([]))
    assert answer.rows.num_rows == 0
    assert "No model is a step of a training series." in answer.notes[-1]


def test_the_name_of_a_series_is_no_model(catalog: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("show", "run:0.0", "--db", catalog)
    assert answer.code == 3
    assert "run is a series. Name one of its steps: run@0, run@10, run@500." in answer.err
    nameless = cli("show", "0.0", "--model", "", "--db", catalog)
    assert (nameless.code, "is a series" in nameless.err) == (3, False)


def test_drift_from_step_to_step_and_to_the_last(catalog: Path) -> None:
    near = [(*row[:5], row[5], round(row[6], 6), *row[8:]) for row in rows(catalog, "drift")]
    assert near == [
        ("run", 0, 10, 0, 2, None, 0.85, "0.1"),
        ("run", 0, 10, 1, 2, None, 0.65, "1.1"),
        ("run", 10, 500, 0, 2, None, 0.45, "0.1"),
        ("run", 10, 500, 1, 2, None, 0.25, "1.1"),
    ]
    far = rows(catalog, "drift", "to_last=true", "by_layer=false")
    assert [(row[1:4], round(row[6], 6), row[8]) for row in far] == [
        ((0, 500, None), 0.0, "0.1"),
        ((10, 500, None), 0.35, "1.1"),
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("series=ruin",), "There is no series ruin. There is: run."),
        (("from_step=7",), "There is no step 7. There is: 0, 10, 500."),
        (("series=run", "to_step=7"), "run has no step 7. There is: 0, 10, 500."),
    ],
)
def test_a_series_or_step_that_is_not_there(
    catalog: Path, settings: tuple[str, ...], said: str
) -> None:
    with pytest.raises(NotFoundError) as error:
        rows(catalog, "flow", *settings)
    assert str(error.value) == said


def test_figures_of_a_series(catalog: Path) -> None:
    data = FigureData(Handle(catalog))
    assert "tokens of training" in render("evolution", data, "svg").decode()
    matrix = render("flow", data, "svg", since=10).decode()
    for said in ("run, step 10 to 500", "orthogonal output (3)", "no", "33.3%"):
        assert f"<!-- {said}" in matrix
    with pytest.raises(NotFoundError, match="no model here is a step of a training series"):
        render("evolution", FigureData(Handle(catalog), ["alone"]), "svg")


def test_models_stand_in_the_order_of_their_steps(
    catalog: Path, cli: Callable[..., Answer]
) -> None:
    listed = cli("models", "--format", "csv", "--db", catalog).out.splitlines()[1:]
    assert [line.split(",")[0] for line in listed] == ["alone", "run@0", "run@10", "run@500"]
