"""IO classes and typicality in SQL agree with docs/definitions.md, at any threshold."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.taxonomy import IO_CLASSES, IO_THRESHOLD
from tests.support import query
from tests.synthetic import TABLE_3, neuron_rows

Cosines = tuple[float | None, float | None, float | None]
Verdict = tuple[str | None, bool | None]

BORDERS = [0.0, 0.25, 0.5, 0.75, 1.0]
JUST_BEYOND = [float(np.nextafter(np.float32(t), np.float32(2))) for t in BORDERS]
COSINE = st.floats(-1, 1, width=32) | st.sampled_from(
    [sign * t for sign in (1, -1) for t in (*BORDERS, *JUST_BEYOND[:-1])]
)
# gate, in and out are each bad or not; a cosine is NULL if one of its two vectors is bad.
BAD = st.tuples(st.booleans(), st.booleans(), st.booleans())


@st.composite
def cosines(draw: st.DrawFn) -> Cosines:
    gate, in_, out = draw(BAD)
    pairs = (gate or in_, gate or out, in_ or out)
    return tuple(None if bad else draw(COSINE) for bad in pairs)  # type: ignore[return-value]


def verdict(neuron: Cosines, threshold: float) -> Verdict:
    """docs/definitions.md, once more and independently: the table, and the product of signs."""
    if None in neuron:
        return None, None
    gate_in, gate_out, in_out = ((c > threshold) - (c < -threshold) for c in neuron)  # type: ignore[operator]
    name = {1: "enrichment", -1: "depletion", 0: "proportional change"}[in_out]
    if gate_out == 0:
        name = "orthogonal output" if in_out == 0 else f"conditional {name}"
    atypical = gate_in != gate_out * in_out
    return name, atypical and name != "orthogonal output"


@pytest.fixture(scope="module")
def scratch(known: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file-backed catalog with one entry, whose neurons each example writes anew."""
    path = tmp_path_factory.mktemp("classes") / "scratch.duckdb"
    path.write_bytes(known.read_bytes())
    yield path


class Classifier:
    """Classes of any neurons, as the catalog's own view and macro say."""

    def __init__(self, path: Path) -> None:
        self.connection = duckdb.connect(str(path))

    def write(self, neurons: list[Cosines]) -> None:
        rows = neuron_rows({f"0.{at}": each for at, each in enumerate(neurons)})
        rows = rows.append_column("run_id", pa.array([1] * len(rows), pa.int32()))
        self.connection.execute("delete from neuron")
        self.connection.execute("update current_rows set run_id = 1 where bulk_table = 'neuron'")
        self.connection.register("rows", rows)
        self.connection.execute("insert into neuron by name from rows")

    def read(self, source: str, *parameters: object) -> list[Verdict]:
        return self.connection.execute(
            f"select io_class, atypical from {source} where model = 'alpha' order by neuron",
            parameters,
        ).fetchall()


@pytest.fixture(scope="module")
def classifier(scratch: Path) -> Classifier:
    return Classifier(scratch)


SETTINGS = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SETTINGS
@given(st.lists(cosines(), min_size=1, max_size=40))
def test_the_view_says_what_the_design_says(classifier: Classifier, neurons: list[Cosines]) -> None:
    classifier.write(neurons)
    assert classifier.read("neurons") == [verdict(each, IO_THRESHOLD) for each in neurons]


@SETTINGS
@given(st.lists(cosines(), min_size=1, max_size=40), st.floats(0, 1, width=32))
def test_the_macro_says_it_at_any_threshold(
    classifier: Classifier, neurons: list[Cosines], threshold: float
) -> None:
    classifier.write(neurons)
    shown = classifier.read("io_classes($1)", threshold)
    assert shown == [verdict(each, threshold) for each in neurons]


@SETTINGS
@given(st.lists(cosines(), min_size=1, max_size=40), st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.7]))
def test_a_threshold_means_the_same_as_literal_and_as_parameter(
    classifier: Classifier, neurons: list[Cosines], threshold: float
) -> None:
    border = float(np.float32(threshold))
    classifier.write([*neurons, (border, border, border), (-border, -border, -border)])
    literal = classifier.read(f"io_classes({threshold})")
    assert literal == classifier.read("io_classes($1)", threshold)
    assert literal[-2:] == [("orthogonal output", False)] * 2


@SETTINGS
@given(st.lists(cosines(), min_size=1, max_size=40))
def test_flipping_w_in_and_w_out_changes_nothing(
    classifier: Classifier, neurons: list[Cosines]
) -> None:
    def flipped(neuron: Cosines) -> Cosines:
        gate_in, gate_out, in_out = neuron
        return (
            None if gate_in is None else -gate_in,
            None if gate_out is None else -gate_out,
            in_out,
        )

    classifier.write(neurons)
    before = classifier.read("neurons")
    classifier.write([flipped(each) for each in neurons])
    assert classifier.read("neurons") == before


@pytest.mark.parametrize("neuron", TABLE_3)
def test_the_neurons_of_table_3(known: Path, neuron: str) -> None:
    (row,) = query(known, "select io_class, atypical from neurons where neuron_id = $1", neuron)
    assert row == verdict(TABLE_3[neuron][0], IO_THRESHOLD)
    assert row[0] == TABLE_3[neuron][1]


def test_table_3_has_one_neuron_of_each_class() -> None:
    assert sorted(io_class for _, io_class in TABLE_3.values()) == sorted(IO_CLASSES)


def test_flipped_marks_the_neurons_whose_canonical_reading_is_the_other(known: Path) -> None:
    rows = query(known, "select cos_gate_in, flipped from neurons")
    assert {flipped for _, flipped in rows} == {True, False, None}
    for cosine, flipped in rows:
        assert flipped == (None if cosine is None else cosine < 0)
