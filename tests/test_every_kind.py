"""One catalog that holds models with a gate, without one, of experts, and steps of a series."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import catalog
from catalog.errors import CatalogError, NotFoundError, command_line
from catalog.figures import figure_names
from catalog.ingest.request import SeriesPlace
from catalog.neuron_id import NeuronId
from catalog.queries import named_query, query_names
from catalog.reports import report
from catalog.reports.blocks import NeuronSpan, Table
from catalog.reports.html import Surroundings, document, fragment
from catalog.reports.terminal import printed
from tests import tiny_checkpoints
from tests.store import combinable
from tests.support import Answer, public_rows, view_names

ENTRIES = {"x": "1.3", "y": "1.3", "experts": "1.e2.7", "run@10": "1.3"}
"""A gated model, a plain one, one of experts and a step of a series, each with a neuron."""
GIVEN = {
    # Of a few tokens nothing is sure: what picks by a cutoff gets one that leaves something.
    "clearest": {"kurtosis": -9},
    "rarely_firing": {"below": 1},
}
"""Parameters of a query besides the ones that it must be given."""
NO_SUCH_ROWS = {"detectors"}
"""None of these neurons fires 20 times."""
LACKED = {
    "y": {"ablation_table"},
    "experts": {"ablation_table"},
    "run@10": {
        *("ablation_table", "contexts_with", "contribution", "detectors_by_layer"),
        *("gate_frequency", "neurons_firing_on", "neurons_in_context", "predicts_next"),
        "rarely_firing",
    },
}
"""What asks for stages that an entry of the catalog does not have."""
OF_A_GATE = {"double_checking"}
WITH_ROWS = {
    "neuron": "select layer || '.' || neuron from wires where model = $1 "
    "intersect select to_layer || '.' || to_neuron from wires where model = $1",
    "token": "select token from top_tokens where model = $1 and vector = 'out' "
    "and basis = 'unembed'",
}
"""Values of parameters for which queries have rows of a model."""
PEAKS = "select token from exemplars where model = $1"
"""The same of what asks for exemplars."""


def make(folder: Path, combined: Path) -> None:
    for name in ("together.duckdb", "p.txt"):
        shutil.copy(combined / name, folder)
    db = folder / "together.duckdb"
    sources = {"experts": ("qwen2_moe", 0), "run/step-0": ("llama", 1), "run/step-10": ("llama", 2)}
    for name, (family, seed) in sources.items():
        tiny_checkpoints.build(family, folder / name, seed=seed)
        tiny_checkpoints.save_tokenizer(folder / name)
    combinable.add(db, "experts", combinable.WEIGHTS, "p")
    for step in (0, 10):
        where = str(folder / "run" / f"step-{step}")
        place = SeriesPlace("run", step, None, last_step=10)
        combinable.add(db, "run", combinable.WEIGHTS, source=where, alias=None, place=place)


@pytest.fixture(scope="module")
def db(once: Callable[..., Path]) -> Path:
    combined = once("combinable", combinable.make)
    folder = once("every-kind", lambda folder: make(folder, combined))
    return folder / "together.duckdb"


def test_all_kinds_are_there(db: Path) -> None:
    models = catalog.open(db).sql("select model, gated, n_experts, series from models").arrow()
    assert {tuple(row.values()) for row in models.to_pylist()} == {
        ("x", True, None, None),
        ("y", False, None, None),
        ("experts", True, 5, None),
        ("run@0", True, None, "run"),
        ("run@10", True, None, "run"),
    }


@pytest.mark.parametrize("name", query_names())
def test_a_named_query_answers_of_every_kind_or_says_why_not(db: Path, name: str) -> None:
    opened, query = catalog.open(db), named_query(name)
    types = {parameter.name: parameter.type for parameter in query.parameters}
    given = dict(GIVEN.get(name, {}))
    if "model" not in types:
        assert opened.query(name, **given).arrow().num_rows
        return
    for model in ENTRIES:
        needed = [each.name for each in query.parameters if each.required]
        required = {each: value_of(db, name, model, each) for each in needed}
        asked = {**required, **given, "model": model}
        try:
            answer = opened.query(name, **asked)
        except CatalogError as refusal:
            said = refusal.message(command_line)
            assert model in said and "\n" not in said
            assert (name in OF_A_GATE and model == "y") or name in LACKED.get(model, ())
            continue
        if name in LACKED.get(model, ()):
            (said,) = answer.notes
            assert said.startswith(f"{model} lacks the stage") and answer.arrow().num_rows == 0
        else:
            assert answer.arrow().num_rows or name in NO_SUCH_ROWS
            assert name not in OF_A_GATE or model != "y"


def value_of(db: Path, name: str, model: str, parameter: str) -> object:
    """A value of a parameter for which a query has rows of a model, where it can have some."""
    sql = PEAKS if name == "neurons_firing_on" and model != "run@10" else WITH_ROWS.get(parameter)
    if sql is None:
        return {"model": model, "text": "a", "corpus": "p", "context": 0}[parameter]
    return catalog.open(db).sql(f"{sql} order by 1 limit 1", [model]).arrow()[0][0].as_py()


@pytest.mark.parametrize("model", ENTRIES)
def test_a_neuron_of_every_kind_is_reported_in_every_form(
    db: Path, model: str, cli: Callable[..., Answer]
) -> None:
    record = catalog.open(db).neuron(ENTRIES[model], model)
    blocks = [*report(record)]
    for said in (printed(blocks), document(blocks, "a neuron")):
        assert ENTRIES[model] in said and model in said
        assert ("w_gate" in said) == record.model.gated
        assert ("Expert 2 of layer 1" in said) == (model == "experts")
        assert ("Activations on" in said) == (model != "run@10")
    shown = json.loads(cli("show", ENTRIES[model], "--model", model, "--json", "--db", db).out)
    assert shown["model"]["model"] == model
    assert (shown["neuron"]["cos_gate_in"] is None) == (model == "y")


def test_neighbours_of_a_neuron_are_named_with_their_experts(db: Path, tmp_path: Path) -> None:
    opened = catalog.open(db)
    record = opened.neuron("1.e2.7", "experts")
    tables = [block for block in report(record) if isinstance(block, Table)]
    spans = [cell for table in tables for row in table.rows for cell in row]
    others = [span for span in spans if isinstance(span, NeuronSpan)]
    for other in others:
        assert str(NeuronId.parse(other.text).resolved(record.model.sizes, "m")) == other.neuron_id
        assert ".e" in other.text or other.text.startswith("2.")  # which is dense
    assert any(".e" in other.text for other in others)
    leading = Surroundings("h1", neuron_address=lambda at: f"to/{at}")
    assert f'<a href="to/{others[0].neuron_id}">{others[0].text}</a>' in fragment(tables, leading)
    opened.export_site(tmp_path / "site", "experts", "layer = 1 and neuron = 55")
    assert '<a href="1.55.html">1.e2.7</a>' in (tmp_path / "site" / "index.html").read_text()


@pytest.mark.parametrize("name", figure_names())
def test_a_figure_shows_every_kind_or_says_why_not(db: Path, name: str) -> None:
    opened = catalog.open(db)
    of_series, lacking = name in ("evolution", "flow"), {"ablation": "y", "gates": "run@10"}
    if name == "neuron":
        for model in ("y", "experts"):
            assert opened.plot(name, [model], "svg", neuron=ENTRIES[model])
        with pytest.raises(NotFoundError, match=r"run@10 has no activations yet"):
            opened.plot(name, ["run@10"], "svg", neuron="1.3")
        return
    drawn = opened.plot(name, (), "svg").decode()
    if of_series:
        assert "run" in drawn
        with pytest.raises(NotFoundError, match="no model here is a step of a training series"):
            opened.plot(name, ["y", "experts"], "svg")
    elif name in lacking:
        lacks = f"nothing to draw of {lacking[name]}: it lacks the stage"
        with pytest.raises(NotFoundError, match=lacks):
            opened.plot(name, [lacking[name]], "svg")
    elif name not in ("definition", "swiglu"):
        assert all(f"<!-- {model}" in drawn for model in ENTRIES)


def test_neurons_of_all_kinds_are_found_and_compared(db: Path) -> None:
    opened = catalog.open(db)
    found = opened.find(order="cos_in_out", k=1000).arrow()
    assert found.num_rows == 4 * 144 + 2 * 160 + 48
    assert set(found["model"].to_pylist()) == {*ENTRIES, "run@0"}
    named = [f"{model}:{neuron}" for model, neuron in ENTRIES.items()]
    for other in named[1:]:
        assert opened.compare(named[0], other).arrow().num_rows


def test_all_kinds_merge_into_another_catalog(db: Path, tmp_path: Path) -> None:
    merged = tmp_path / "merged.duckdb"
    catalog.merge([db], merged)
    rows = public_rows(db)
    assert all(rows.values())
    assert public_rows(merged) == rows


def test_a_lake_of_a_plain_model_and_a_step_has_the_same_rows(db: Path, tmp_path: Path) -> None:
    # Each entry takes seconds: test_lake exports gated ones, test_experts those of experts.
    models = ["y", "run@10"]
    catalog.open(db).export(tmp_path / "lake", models=models)
    lake, here = catalog.open(tmp_path / "lake"), catalog.open(db)
    for view in view_names(db):
        columns = here.columns()[view]
        if "model" in columns:
            sql = f"from {view} where list_contains($1, model) order by all"
            assert lake.sql(sql, [models]).arrow() == here.sql(sql, [models]).arrow()
