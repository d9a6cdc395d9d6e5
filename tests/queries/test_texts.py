"""`run`: neurons on texts of the user's own, ranked against the same rule over stored rows."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

import catalog
from catalog.errors import CorpusError, UsageError
from catalog.taxonomy import TEXT_ORDERS
from tests.support import Answer, command, execute, query

TEXT = "the sentence"
_SCALES = {
    "post": "select layer, neuron, 1::double from neurons",
    "written": "select layer, neuron, norm_out from neurons",
    "unusual": "select layer, neuron, 1 / sum(frequency * coalesce(abs(mean_post), 0)) "
    "from activation_stats group by all",
}


def rows(answer: Answer) -> list[dict[str, str]]:
    assert answer.code == 0, answer.err
    return list(csv.DictReader(io.StringIO(answer.out)))


@pytest.mark.parametrize("by", TEXT_ORDERS)
@pytest.mark.parametrize("layers", [None, (1, 2)])
def test_the_top_neurons_by_each_rule(
    measured: Path, by: str, layers: tuple[int, int] | None
) -> None:
    path = measured / "c.duckdb"
    first, last = layers or (0, 2)
    texts = catalog.open(path).texts("tiny")
    found = texts.top(TEXT, 10**4, by, *(layers or ())).arrow().to_pylist()
    scale = {(a, b): value for a, b, value in query(path, _SCALES[by])}
    by_position: dict[int, list[tuple[float, str]]] = {}
    for row in found:
        layer, neuron = map(int, row["neuron_id"].split("."))
        assert first <= layer <= last
        magnitude = abs(row["post"]) * scale[layer, neuron]
        if by != "post":
            assert row[by] == pytest.approx(magnitude, rel=1e-4)
        by_position.setdefault(row["position"], []).append((magnitude, row["neuron_id"]))
    n_layers, d_mlp = last - first + 1, len(scale) // 3
    for ranked in by_position.values():
        assert len({neuron for _, neuron in ranked}) == n_layers * d_mlp
        values = [magnitude for magnitude, _ in ranked]
        assert values == pytest.approx(sorted(values, reverse=True), rel=1e-4)
    some = texts.top(TEXT, 2, by, *(layers or ())).arrow().to_pylist()
    assert [r["neuron_id"] for r in some] == [r["neuron_id"] for r in found if r["rank"] <= 2]


def test_unusual_is_the_default_where_a_corpus_says_what_is_usual(
    measured: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    path = measured / "c.duckdb"
    assert "unusual" in rows(cli("run", TEXT, "--db", path, "--format", "csv"))[0]
    without = tmp_path / "c.duckdb"
    without.write_bytes(path.read_bytes())
    execute(without, "delete from current_rows where corpus_id is not null")
    assert "written" in rows(cli("run", TEXT, "--db", without, "--format", "csv"))[0]
    assert cli("run", TEXT, "--by", "unusual", "--db", without).code == 2


def test_several_texts_files_neurons_and_standard_input(
    measured: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    path = measured / "c.duckdb"
    (tmp_path / "text").write_text("words")
    asked = ("--neuron", "0.1", "--neuron", "2.3", "--db", path, "--format", "csv")
    found = rows(cli("run", TEXT, "--file", tmp_path / "text", *asked))
    assert {(row["text"], row["neuron_id"]) for row in found} == {
        (text, neuron) for text in "12" for neuron in ("0.1", "2.3")
    }
    alone = rows(cli("run", TEXT, "--neuron", "2.3", "--db", path, "--format", "csv"))
    same = [r for r in found if (r["text"], r["neuron_id"]) == ("1", "2.3")]
    assert [row["post"] for row in alone] == [row["post"] for row in same]


def test_what_cannot_be_read_is_refused_before_the_model_is_looked_for(
    measured: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    gone = tmp_path / "c.duckdb"
    gone.write_bytes((measured / "c.duckdb").read_bytes())
    execute(gone, "update model set source = '/nowhere'")
    texts = catalog.open(gone).texts()
    with pytest.raises(CorpusError, match="The text is empty"):
        texts.top("")
    with pytest.raises(UsageError, match="no valid Unicode"):
        texts.run("\udcff", "0.1")
    with pytest.raises(UsageError, match="layers go from 0 to 2"):
        texts.top("a", first_layer=1, last_layer=3)
    with pytest.raises(UsageError, match="token to attribute is empty"):
        texts.attributed("a", "")
    assert "The text is empty" in cli("run", "a", "", "--db", gone).err
    assert cli("run", "a", "--neuron", "0.1", "--neuron", "9.9", "--db", gone).code == 3
    assert cli("run", "a", "--neuron", "9.9", "--db", gone).code == 3
    assert cli("run", "a", "--neuron", "0.1", "--by", "post", "--db", gone).code == 2


def test_without_a_text_or_a_terminal_it_says_how_to_give_one(measured: Path) -> None:
    answer = command("run", "--db", measured / "c.duckdb")
    assert (answer.code, "There is no text." in answer.err) == (2, True)
