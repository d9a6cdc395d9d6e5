"""Queries over wires and twins, and the report's section, against rows worked out by hand."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catalog.neuron_id import NeuronId
from catalog.queries import named_query
from catalog.queries.neuron_record import read_neuron
from catalog.reports import report
from catalog.reports.blocks import NeuronSpan, Span, Table
from catalog.store.handle import Handle
from catalog.store.reading import fetch
from catalog.store.writing import finish_run, insert_rows, start_run, writing
from tests import synthetic
from tests.queries.test_named_answers import build_gamma
from tests.support import Answer, Row, execute

FLOOR = 0.25
# From, to, reads, cosine, rank_to, rank_from. 1.0 is depletion with cos_gate_in < 0: flipped.
WIRES = (
    ("0.0", "1.0", "gate", 0.9, 1, 1),
    ("0.0", "1.0", "in", -0.8, 1, 1),
    ("0.1", "1.0", "gate", -0.7, 1, 2),
    ("0.1", "1.1", "gate", 0.5, 2, 1),
    ("0.2", "1.1", "in", 0.4, None, 1),
    ("0.3", "1.2", "in", 0.3, 1, None),
)
TWINS = (
    ("0.0", "gate", "0.1", 0.9, 1),
    ("0.1", "gate", "0.0", 0.9, 1),
    ("0.0", "in", "1.0", -0.6, 1),
    ("1.0", "in", "0.0", -0.6, 1),
    ("0.0", "out", "1.3", 0.95, 1),
    ("0.0", "out", "0.2", 0.2, 2),
)


def make(folder: Path) -> None:
    """Model gamma with these rows."""
    path = folder / "wired.duckdb"
    build_gamma(path)
    line = synthetic.entry("line", n_layers=5, d_mlp=1)
    line_id = synthetic.load_weights(path, line, {f"{at}.0": (0.9, 0.8, 0.7) for at in range(5)})
    load(path, 1, WIRES, TWINS)
    steps = [(f"{at}.0", f"{at + 1}.0", "gate", 0.9 - at / 10, 1, 1) for at in range(4)]
    load(path, line_id, steps, ())
    execute(path, f"update model set wire_floor = {FLOOR}")


def load(path: Path, model_id: int, wires: Sequence[Row], twins: Sequence[Row]) -> None:
    def place(prefix: str, text: str) -> dict[str, int]:
        neuron_id = NeuronId.parse(text)
        return {f"{prefix}layer": neuron_id.layer, f"{prefix}neuron": neuron_id.neuron}

    of_wire = ("reads", "cosine", "rank_to", "rank_from")
    wire = [
        place("", a) | place("to_", b) | dict(zip(of_wire, rest, strict=True))
        for a, b, *rest in wires
    ]
    twin = [
        place("", own) | place("other_", other) | {"vector": vector, "cosine": cosine, "rank": rank}
        for own, vector, other, cosine, rank in twins
    ]
    with writing(path) as connection:
        run_id = start_run(connection, model_id, synthetic.run_start("wiring"), None)
        insert_rows(connection, "wire", run_id, pa.Table.from_pylist(wire))
        if twin:
            insert_rows(connection, "twin", run_id, pa.Table.from_pylist(twin))
        finish_run(connection, run_id, ("wire", "twin"), {})


@pytest.fixture(scope="module")
def wired(once: Callable[..., Path]) -> Path:
    return once("wired", make) / "wired.duckdb"


def answer(path: Path, name: str, *settings: str) -> list[dict[str, Any]]:
    query = named_query(name)
    model = [] if any(each.startswith("model=") for each in settings) else ["model=gamma"]
    given = query.bound([*model, *settings])
    rows: list[dict[str, Any]] = fetch(path, query.sql, given).to_pylist()
    return rows


def ids(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_readers_are_those_that_a_neuron_ranks(wired: Path) -> None:
    rows = answer(wired, "readers", "neuron=0.0")
    assert ids(rows, "reader", "reads", "rank_to") == [("1.0", "gate", 1), ("1.0", "in", 1)]
    assert answer(wired, "readers", "neuron=0.2") == []
    (row,) = answer(wired, "readers", "neuron=0.0", "reads=in")
    assert row["cosine"] == pytest.approx(-0.8)


def test_writers_come_with_their_tokens(wired: Path) -> None:
    rows = answer(wired, "writers", "neuron=1.0")
    assert ids(rows, "writer", "reads") == [("0.0", "gate"), ("0.0", "in"), ("0.1", "gate")]
    assert ids(rows, "tokens") == [(None,), (None,), (["d", "e"],)]
    assert answer(wired, "writers", "neuron=1.2") == []


def test_twins_of_a_neuron_and_the_closest_pairs_once(wired: Path) -> None:
    rows = answer(wired, "twins", "neuron=0.0")
    assert ids(rows, "twin", "vector") == [
        ("1.3", "out"), ("0.1", "gate"), ("1.0", "in"), ("0.2", "out")
    ]  # fmt: skip
    pairs = ids(answer(wired, "twins"), "neuron_id", "vector", "twin")
    assert pairs == [
        ("0.0", "out", "1.3"), ("0.0", "gate", "0.1"), ("0.0", "in", "1.0"), ("0.0", "out", "0.2")
    ]  # fmt: skip


def test_wires_from_class_to_class_beside_chance(wired: Path) -> None:
    rows = {
        (row["from_class"], row["to_class"], row["reads"]): row
        for row in answer(wired, "class_wiring")
    }
    strong = rows["enrichment", "depletion", "gate"]
    # 0.0 and 0.1 are enrichment, 1.0 alone is depletion: 2 pairs, of 8 neurons.
    assert (strong["n_wires"], strong["by_chance"]) == (2, 0.25)
    # Gates read 3 wires, and 2 of the 16 pairs of neurons are of these classes.
    assert strong["if_classes_did_not_matter"] == pytest.approx(3 * 2 / 16, abs=0.01)
    assert strong["share_positive"] == 0.5
    nothing = rows["conditional enrichment", "depletion", "gate"]
    assert (nothing["n_wires"], nothing["by_chance"], nothing["share_positive"]) == (0, 0.25, None)
    # Read canonically, 1.0 negates its w_in.
    assert rows["enrichment", "depletion", "in"]["share_positive"] == 1.0


def test_strongest_wires_say_what_is_written_and_what_is_read(wired: Path) -> None:
    rows = answer(wired, "strongest_wires", "k=3", "top=1")
    assert ids(rows, "writer", "reader", "reads", "cosine") == [
        ("0.0", "1.0", "gate", pytest.approx(0.9)),
        ("0.0", "1.0", "in", pytest.approx(-0.8)),
        ("0.1", "1.0", "gate", pytest.approx(-0.7)),
    ]
    assert ids(answer(wired, "strongest_wires", "reads=in", "k=1"), "reader") == [("1.0",)]
    assert answer(wired, "strongest_wires", "layer=0") == []


def test_chains_begin_with_the_longest_and_hold_no_wire_below_the_cutoff(wired: Path) -> None:
    rows = answer(wired, "chains", "cutoff=0.6")
    assert ids(rows, "length", "neurons") == [(2, ["0.0", "1.0"])] * 2 + [(2, ["0.1", "1.0"])]
    assert rows[0]["classes"] == ["enrichment", "depletion"]
    assert answer(wired, "chains", "cutoff=0.6", "neuron=0.2") == []


def test_a_chain_has_at_most_four_neurons(wired: Path) -> None:
    rows = answer(wired, "chains", "model=line", "cutoff=0.3")
    assert [row["length"] for row in rows] == [4, 4, 3, 3, 3, 2, 2, 2, 2]
    assert rows[0]["neurons"] == ["0.0", "1.0", "2.0", "3.0"]
    # 0.9, 0.8, 0.7: the weakest counts.
    assert rows[0]["weakest"] == pytest.approx(0.7)
    short = answer(wired, "chains", "model=line", "cutoff=0.3", "length=2")
    assert [row["length"] for row in short] == [2, 2, 2, 2]


def test_hubs_have_the_most_wires(wired: Path) -> None:
    first, second, *_ = answer(wired, "hubs")
    assert (first["neuron_id"], first["read_by"], first["reads_from"]) == ("1.0", 0, 3)
    assert (second["neuron_id"], second["read_by"], second["reads_from"]) == ("0.0", 2, 0)
    assert first["strongest"] == pytest.approx(0.9)


def test_the_record_has_both_sides_and_the_report_shows_them(wired: Path) -> None:
    record = read_neuron(Handle(wired), NeuronId(1, 0), "gamma")
    assert [(w.side, w.neuron_id, w.vector, w.rank) for w in record.wires] == [
        ("writer", "0.0", "gate", 1),
        ("writer", "0.1", "gate", 2),
        ("writer", "0.0", "in", 1),
    ]
    assert (record.wires[1].token, record.wires[1].sign) == ("d", "+")
    writers, twins = (block for block in report(record) if isinstance(block, Table))
    (rows, (twin,)) = (
        [tuple(cell if isinstance(cell, str) else cell.text for cell in row) for row in table.rows]
        for table in (writers, twins)
    )
    assert rows[0] == ("gate", "0.0", "+0.900", "enrichment", "prediction", "")
    assert rows[2] == ("gate", "0.1", "-0.700", "enrichment", "prediction", '+ "d"')
    assert twin == ("in", "0.0", "-0.600", "enrichment", "prediction", "")
    enrichment = Span("enrichment", io_class="enrichment")
    assert writers.rows[0][1:4:2] == (NeuronSpan("0.0", "0.0"), enrichment)


def signs(wired: Path, neuron: NeuronId) -> Mapping[tuple[str, str], float]:
    record = read_neuron(Handle(wired), neuron, "gamma", canonical=True)
    ends = [(wire.neuron_id, str(wire.vector), wire.cosine) for wire in record.wires]
    ends += [(twin.neuron_id, f"twin {twin.vector}", twin.cosine) for twin in record.twins]
    return {(other, what): cosine for other, what, cosine in ends}


def test_the_canonical_reading_turns_both_ends(wired: Path) -> None:
    # 1.0 is flipped and reads: its in changes, its gate does not; the other end sees the same.
    for neuron, other in ((NeuronId(1, 0), "0.0"), (NeuronId(0, 0), "1.0")):
        found = signs(wired, neuron)
        assert found[other, "gate"] == pytest.approx(0.9)
        assert found[other, "in"] == pytest.approx(0.8)
        assert found[other, "twin in"] == pytest.approx(0.6)


def test_a_flipped_writer_changes_both(wired: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(wired, tmp_path))
    execute(path, "update neuron set cos_gate_in = -0.9 where layer = 0 and neuron = 0")
    found = signs(path, NeuronId(0, 0))
    assert found["1.0", "gate"] == pytest.approx(-0.9)
    assert found["1.0", "in"] == pytest.approx(-0.8)
    assert found["1.0", "twin in"] == pytest.approx(-0.6)
    assert found["0.1", "twin gate"] == pytest.approx(0.9)


def test_show_prints_the_section_and_json_has_the_rows(
    wired: Path, cli: Callable[..., Answer]
) -> None:
    shown = cli("show", "1.0", "--model", "gamma", "--db", wired)
    assert "Writers that it reads, the strongest of 3 wires above 0.250:" in shown.out
    assert "Readers of w_out: no |cosine| is above 0.250." in shown.out
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    assert '"wires"' in cli("show", "1.0", "--model", "gamma", "--json", "--db", wired).out


def test_gates_by_class_and_what_neurons_add(known: Path) -> None:
    frequency = named_query("gate_frequency")
    (row,) = fetch(known, frequency.sql, frequency.bound([])).to_pylist()
    assert (row["io_class"], row["neurons"], row["layer_correlation_with_cos_in_out"]) == (
        "enrichment", 1, None
    )  # fmt: skip
    # Of six positions in cases, three have an open gate.
    assert row["mean_frequency"] == pytest.approx(3 / 6)
    contribution = named_query("contribution")
    (row,) = fetch(known, contribution.sql, contribution.bound([])).to_pylist()
    statistics = fetch(known, "from activation_stats").to_pylist()
    magnitude = sum(abs(each["mean_post"] or 0) * each["frequency"] for each in statistics)
    assert row["mean_magnitude"] == pytest.approx(magnitude)
    assert row["contribution"] == pytest.approx(magnitude * row["norm_out"])
    assert row["share_of_layer"] == pytest.approx(1)
