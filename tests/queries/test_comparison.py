"""`compare`: what is between two neurons, against their checkpoint and stored rows in NumPy."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import catalog
from catalog.errors import CheckpointError
from catalog.taxonomy import VECTORS
from tests.support import execute, query

A, B = "0.3", "2.17"
_MODULES = {"gate": "gate_proj", "in": "up_proj", "out": "down_proj"}


def rows(path: Path, **more: Path | bool) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    compared = catalog.open(path).compare(A, B, "tiny", **more)  # type: ignore[arg-type]
    return compared.fetchall(), compared.notes


def test_cosines_of_their_vectors(measured: Path) -> None:
    tensors = load_file(measured / "model" / "model.safetensors")

    def vector(neuron: str, name: str) -> np.ndarray:
        layer, at = neuron.split(".")
        matrix = tensors[f"model.layers.{layer}.mlp.{_MODULES[name]}.weight"].astype(np.float64)
        found: np.ndarray = matrix[:, int(at)] if name == "out" else matrix[int(at)]
        return found

    shown, notes = rows(measured / "c.duckdb")
    got = [row[1:] for row in shown if row[0] == "cosine of vectors"]
    wanted = []
    for ours in VECTORS:
        for theirs in VECTORS:
            a, b = vector(A, ours), vector(B, theirs)
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            wanted.append((f"w_{ours}", f"w_{theirs}", f"{cosine:+.4f}"))
    assert (got, len(notes)) == (wanted, 1)


def test_activations_on_the_same_corpus(measured: Path) -> None:
    path = measured / "c.duckdb"
    posts = [
        query(path, "select post from activation_samples where layer = $1 and neuron = $2 "
              "order by context_id, position", *map(int, neuron.split(".")))
        for neuron in (A, B)
    ]  # fmt: skip
    correlation = np.corrcoef(np.array(posts)[:, :, 0])[0, 1]
    contexts = [
        {row[0] for row in query(path, "select context_id from exemplars where layer = $1 "
                                 "and neuron = $2", *map(int, neuron.split(".")))}
        for neuron in (A, B)
    ]  # fmt: skip
    by_name = {row[0]: row[1:] for row in rows(path)[0]}
    assert (
        by_name[f"mean of {len(posts[0])} samples on web"][2] == f"correlation {correlation:+.3f}"
    )
    ours, theirs, shared = by_name["contexts of exemplars on web"]
    assert (ours, theirs) == tuple(str(len(each)) for each in contexts)
    assert shared.startswith(f"{len(contexts[0] & contexts[1])} shared")


def test_no_cell_is_empty(measured: Path, known: Path) -> None:
    shown, _ = rows(measured / "c.duckdb")
    assert all(all(cell for cell in row) for row in shown)
    other = catalog.open(known).compare("alpha:28.4737", "beta:0.1").fetchall()
    assert all(all(cell for cell in row) for row in other)
    assert not any(row[0] == "cosine of vectors" for row in other)


def test_without_the_checkpoint_it_is_said_and_another_place_may_be_named(
    measured: Path, tmp_path: Path
) -> None:
    shutil.copytree(measured, tmp_path / "copy")
    path = tmp_path / "copy" / "c.duckdb"
    execute(path, "update model set source = '/nowhere/model'")
    shown, notes = rows(path)
    assert not any(row[0] == "cosine of vectors" for row in shown)
    assert "need the checkpoint" in notes[1] and "/nowhere/model" in notes[1]
    named, notes = rows(path, checkpoint=measured / "model")
    assert sum(row[0] == "cosine of vectors" for row in named) == 9 and len(notes) == 1
    with pytest.raises(CheckpointError):
        rows(path, checkpoint=tmp_path)


def test_a_checkpoint_that_changed_since_the_last_comparison_is_looked_at_anew(
    measured: Path, tmp_path: Path
) -> None:
    place = Path(shutil.copytree(measured / "model", tmp_path / "model"))
    path = measured / "c.duckdb"
    assert rows(path, checkpoint=place) == rows(path, checkpoint=place)
    (weights,) = place.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4096] + bytes(range(256)) * 16)
    with pytest.raises(CheckpointError, match="not the checkpoint that was ingested"):
        rows(path, checkpoint=place)


def test_what_is_between_them(known: Path) -> None:
    """Numbers by their difference, names by sameness, tokens by those shared, white space shown."""
    pair = ("alpha:28.4737", "alpha:28.9766")
    by_name = {row[0]: row[1:] for row in catalog.open(known).compare(*pair).fetchall()}
    assert by_name["io_class"] == ("enrichment", "conditional enrichment", "different")
    assert by_name["cos_in_out"] == ("0.706", "0.5982", "-0.1078")
    assert by_name["w_out unembed +"] == ("[b]bold[/b] ␣again ␣the", "none", "none")
    same = catalog.open(known).compare(pair[0], pair[0]).fetchall()
    assert {row[0]: row[3] for row in same}["w_out unembed +"] == "[b]bold[/b] ␣again ␣the"


def test_a_sentence_says_what_is_the_same_and_what_differs(measured: Path, known: Path) -> None:
    """Each part of it is what the rows say."""
    path = measured / "c.duckdb"
    shown, notes = rows(path)
    by_name = {row[0]: row[1:] for row in shown}
    written = next(row[3] for row in shown if row[1:3] == ("w_out", "w_out"))
    (sampled,) = (row for row in shown if row[0].startswith("mean of"))
    ours, theirs, shared = by_name["contexts of exemplars on web"]
    chance = catalog.open(path).entry().chance_999
    assert notes[0] == (
        f"The same IO class (orthogonal output), the same role ({by_name['functional_role'][0]}); "
        f"w_out at cosine {float(written):+.3f}, within chance ({chance:.3f}); post correlates at "
        f"{sampled[3].split()[1]} over {sampled[0].split()[2]} samples of web; exemplars in "
        f"{shared.split()[0]} contexts of both, of {ours} and {theirs}."
    )
    of = catalog.open(known).compare("alpha:28.4737", "alpha:28.9766").notes[0]
    assert of.startswith("Different IO classes (enrichment, conditional enrichment); ")


def test_in_brief_what_says_least_is_left_out(measured: Path, known: Path) -> None:
    brief, notes = rows(measured / "c.duckdb", brief=True)
    whole, in_full = rows(measured / "c.duckdb")
    assert notes == in_full
    chance = catalog.open(measured / "c.duckdb").entry().chance_999
    cosines = [row for row in whole if row[0] == "cosine of vectors"]
    kept = [row for row in cosines if row[1][2:] == row[2][2:] or abs(float(row[3])) > chance]
    assert [row for row in brief if row[0] == "cosine of vectors"] == kept
    lists = [row for row in brief if row[0].startswith("w_")]
    assert lists and all(len(tokens.split()) <= 5 for row in lists for tokens in row[1:])
    assert "model" in {row[0] for row in whole} and "model" not in {row[0] for row in brief}
    others = catalog.open(known).compare("alpha:28.4737", "beta:0.1", brief=True).fetchall()
    assert others[0][0] == "model"
