"""One neuron's record, and its canonical reading."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import catalog
from catalog.errors import CatalogError, NotFoundError, UsageError
from catalog.neuron_id import NeuronId
from catalog.queries.canonical import canonical_reading
from catalog.queries.neuron_record import read_neuron
from catalog.queries.records import NeuronRecord
from catalog.store.handle import Handle
from catalog.taxonomy import DIRECTIONS, SIGN_CASES
from tests.support import Answer, execute, query

ID = NeuronId(28, 4737)
MALFORMED = [
    "28.99999.1", "28", "a.b", "-1.0", "0.-1", "", " ", ".", "1.", ".1", "1,2", "1e3.2", "+1.2",
    "0x1.2", "1 .2", "１.２", "٣.٤", "1.2\n3", "9999999999.1", "28.4737.", "NaN", "28..4737",
]  # fmt: skip


@pytest.fixture
def record(known: Path) -> NeuronRecord:
    return read_neuron(Handle(known), ID, "alpha")


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_id_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"28\.4737"):
        NeuronId.parse(text)


@pytest.mark.parametrize("text", ["28.4737", "0.0", " 28.4737 ", "028.04737"])
def test_an_id_reads_back(text: str) -> None:
    assert str(NeuronId.parse(text)) in ("28.4737", "0.0")


@pytest.mark.parametrize(
    ("neuron", "said"),
    [("99.1", "layers go from 0 to 31"), ("28.99999", "neurons go from 0 to 11007")],
)
def test_a_neuron_out_of_range_is_told_the_range(known: Path, neuron: str, said: str) -> None:
    with pytest.raises(NotFoundError, match=said):
        read_neuron(Handle(known), NeuronId.parse(neuron), "alpha")


@pytest.mark.parametrize(
    ("model", "corpus", "error", "said"),
    [
        (None, None, UsageError, "alpha, beta"),
        ("alhpa", None, NotFoundError, "alpha"),
        ("zzz", None, NotFoundError, "alpha, beta"),
        ("alpha", "wbe", NotFoundError, "web"),
        ("beta", "web", NotFoundError, "none"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    known: Path, model: str | None, corpus: str | None, error: type[CatalogError], said: str
) -> None:
    neuron = NeuronId(0, 0) if model == "beta" else ID
    with pytest.raises(error, match=said):
        read_neuron(Handle(known), neuron, model, corpus)


def test_the_only_model_need_not_be_named(db: Path) -> None:
    execute(db, "delete from model where alias = 'beta'")
    assert read_neuron(Handle(db), ID).model.model == "alpha"


def test_the_record_has_what_the_views_have(record: NeuronRecord) -> None:
    assert record.neuron.io_class == "enrichment"
    listed = {(row.vector, row.basis, row.sign) for row in record.tokens}
    assert listed == set(DIRECTIONS)
    assert list(record.cases) == list(SIGN_CASES)
    assert record.corpus is not None and record.corpus.corpus == "web"
    first = record.cases["gate+_in+"].exemplars[0]
    assert "".join(first.window_tokens) == first.text == "Once again the 界 was \n naïve."
    assert len(first.window_tokens) == len(first.window_post)


def test_without_a_corpus_the_largest_is_taken_and_said(
    measured: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    db = Path(shutil.copy(measured / "c.duckdb", tmp_path / "c.duckdb"))
    texts = tmp_path / "a.txt"
    texts.write_text("the end of several words")
    told = ("--corpus", texts, "--corpus-name", "a-small-one", "--alias", "tiny")
    assert cli("ingest", measured / "model", "--weights", "raw", *told, "--db", db).code == 0
    opened = catalog.open(db)
    assert opened.corpora("tiny") == ["web", "a-small-one"]
    shown, asked = opened.neuron("0.3"), opened.neuron("0.3", corpus="a-small-one")
    for record, name, other in ((shown, "web", "a-small-one"), (asked, "a-small-one", "web")):
        assert record.corpus is not None and record.corpus.corpus == name
        assert record.other_corpora == [other]
    said = cli("show", "0.3", "--db", db).out
    assert "Activations on web" in said
    assert "Its other corpora, shown with --corpus: a-small-one." in said
    taken = "Of its corpora the largest is read, web; there is also: a-small-one."
    assert taken in opened.compare("0.3", "1.2").notes
    assert taken in opened.firing("e", k=1).notes
    assert taken in opened.top("the end", k=1).notes
    assert taken not in opened.firing("e", k=1, corpus="web").notes
    assert taken not in opened.compare("0.3", "1.2", corpus="web").notes


def test_a_model_without_activations_has_none(known: Path) -> None:
    record = read_neuron(Handle(known), NeuronId(0, 0), "beta")
    assert (record.corpus, record.cases, record.tokens) == (None, {}, [])


def test_places_are_where_the_cosines_stand(record: NeuronRecord) -> None:
    place = next(row for row in record.places if row.cosine == "cos_in_out")
    assert place.value == pytest.approx(0.706)
    assert place.share_below == 0.5
    assert place.lowest == pytest.approx(0.5982)


def flippable(db: Path) -> NeuronRecord:
    """The same neuron with w_in and w_out negated in the file."""
    execute(db, "update neuron set cos_gate_in = -cos_gate_in, cos_gate_out = -cos_gate_out")
    return read_neuron(Handle(db), ID, "alpha")


def test_the_canonical_reading_negates_what_the_design_says(db: Path) -> None:
    plain = flippable(db)
    read = canonical_reading(plain)
    assert plain.neuron.flipped
    for name, sign in (("cos_gate_in", -1), ("cos_gate_out", -1), ("cos_in_out", 1)):
        assert getattr(read.neuron, name) == sign * getattr(plain.neuron, name)
    assert read.neuron.io_class == plain.neuron.io_class
    assert plain.neuron.vocab_skew is not None
    assert read.neuron.vocab_skew == -plain.neuron.vocab_skew
    assert read.neuron.vocab_variance == plain.neuron.vocab_variance


def test_the_canonical_reading_swaps_the_ends_of_in_and_out(db: Path) -> None:
    plain = flippable(db)

    def tokens(record: NeuronRecord, vector: str, sign: str) -> list[tuple[str, float]]:
        rows = [r for r in record.tokens if (r.vector, r.sign) == (vector, sign)]
        return [(row.token, row.score) for row in rows if row.basis == "unembed"]

    read = canonical_reading(plain)
    assert tokens(read, "gate", "+") == tokens(plain, "gate", "+")
    for vector in ("in", "out"):
        negated = [(token, -score) for token, score in tokens(plain, vector, "-")]
        assert tokens(read, vector, "+") == negated


def test_the_canonical_reading_swaps_the_sign_cases(db: Path) -> None:
    plain = flippable(db)
    read = canonical_reading(plain)
    mine, other = read.cases["gate+_in-"], plain.cases["gate+_in+"]
    assert [e.post for e in mine.exemplars] == [-e.post for e in other.exemplars]
    assert mine.statistics.mean_gate == other.statistics.mean_gate
    assert mine.statistics.mean_in == -(other.statistics.mean_in or 0.0)
    assert mine.statistics.frequency == other.statistics.frequency
    assert list(read.cases) == list(SIGN_CASES)


def test_the_canonical_reading_of_a_layer_without_a_cosine_has_none(db: Path) -> None:
    flippable(db)
    execute(db, "update neuron set cos_gate_out = null, cos_in_out = null")
    read = read_neuron(Handle(db), ID, "alpha", canonical=True)
    places = {place.cosine: (place.value, place.q1, place.highest) for place in read.places}
    assert places["cos_gate_out"] == (None, None, None)
    assert places["cos_gate_in"][0] == pytest.approx(0.529)


def test_a_neuron_that_is_canonical_is_left_alone(record: NeuronRecord) -> None:
    assert canonical_reading(record) == replace(record, is_canonical=True)


def test_the_canonical_reading_stands_among_those_of_the_layer(db: Path) -> None:
    """Both neurons of the layer, of which one is flipped, by a rule in Python."""
    execute(
        db,
        "update neuron set cos_gate_in = -cos_gate_in, cos_gate_out = -cos_gate_out "
        f"where neuron = {ID.neuron}",
    )
    layer = query(
        db,
        "select cos_gate_in, cos_gate_out, cos_in_out from neurons "
        f"where model = 'alpha' and layer = {ID.layer}",
    )
    sides = [-1 if row[0] < 0 else 1 for row in layer]
    assert sorted(sides) == [-1, 1]
    read = read_neuron(Handle(db), ID, "alpha", canonical=True)
    places = {place.cosine: place for place in read.places}
    for at, name in enumerate(("cos_gate_in", "cos_gate_out", "cos_in_out")):
        values = [
            row[at] * (1 if name == "cos_in_out" else side)
            for row, side in zip(layer, sides, strict=True)
        ]
        place = places[name]
        own = getattr(read.neuron, name)
        assert (place.lowest, place.highest) == (min(values), max(values))
        assert place.value == own
        assert place.share_below == sum(value < own for value in values) / len(values)


def test_the_json_of_show_is_the_record(known: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("show", "28.4737", "--model", "alpha", "--json", "--db", known)
    shown = json.loads(answer.out)
    assert (answer.code, answer.err) == (0, "")
    assert shown["id"] == "28.4737"
    assert shown["neuron"]["cos_in_out"] == pytest.approx(0.706)
    own = catalog.open(known).neuron("28.4737", "alpha")
    assert len(shown["tokens"]) == len(own.tokens) == 36
    assert shown["cases"]["gate-_in-"]["statistics"]["mean_post"] is None


def test_canonical_and_json_go_together(db: Path, cli: Callable[..., Answer]) -> None:
    flippable(db)
    answer = cli("show", "28.4737", "--model", "alpha", "--json", "--canonical", "--db", db)
    assert json.loads(answer.out)["neuron"]["cos_gate_in"] == pytest.approx(0.529)
