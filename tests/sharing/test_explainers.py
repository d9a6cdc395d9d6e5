"""Exemplars that are handed on, read as Neuronpedia's and delphi's own code reads them."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

import catalog
from catalog.errors import CatalogError, NotFoundError
from catalog.sharing import EXPLAINERS
from tests.support import Answer, execute, query

Cli = Callable[..., Answer]
ONE = "neuron_id = '28.4737'"
NEURON = 4737
N_TOKENS = 32


@pytest.fixture
def both_signs(db: Path) -> Path:
    """`known`, where the second exemplar of 28.4737 has post negative."""
    execute(
        db, "update exemplar set post = -post, sign_case = 'gate+_in-', x_in = -1 where rank = 2"
    )
    return db


@dataclass
class NeuronpediaActivation:
    """The fields that `batch-autointerp` takes a line of activations apart into, and no others."""

    id: str
    tokens: list[str]
    index: str
    layer: str
    modelId: str  # noqa: N815
    maxValue: float  # noqa: N815
    maxValueTokenIndex: int  # noqa: N815
    minValue: float  # noqa: N815
    values: list[float]
    creatorId: str  # noqa: N815
    dataSource: str | None = None  # noqa: N815
    dataIndex: str | None = None  # noqa: N815


@dataclass
class NeuronpediaFeature:
    """The same of a line of features."""

    modelId: str  # noqa: N815
    layer: str
    index: str
    maxActApprox: float = 0  # noqa: N815
    frac_nonzero: float = 0
    hookName: str | None = None  # noqa: N815
    pos_str: list[str] = field(default_factory=list)
    pos_values: list[float] = field(default_factory=list)
    neg_str: list[str] = field(default_factory=list)
    neg_values: list[float] = field(default_factory=list)


def neuronpedia(
    source: Path,
) -> Iterator[tuple[NeuronpediaFeature, list[NeuronpediaActivation]]]:
    """Features of a source, each with its activations, the largest first."""
    for file in sorted((source / "activations").glob("*.gz")):
        beside = Path(str(file).replace("activations", "features"))
        with gzip.open(file, "rt") as lines:
            activations = [NeuronpediaActivation(**json.loads(line)) for line in lines]
        with gzip.open(beside, "rt") as lines:
            features = [NeuronpediaFeature(**json.loads(line)) for line in lines]
        for feature in features:
            own = [each for each in activations if each.index == feature.index]
            yield feature, sorted(own, key=lambda each: each.maxValue, reverse=True)


def delphi(cache: Path, module: str) -> dict[int, list[tuple[list[int], NDArray[np.float32]]]]:
    """Examples by latent, the strongest first: tokens of a window, and the activation at each."""
    assert json.loads((cache / module / "config.json").read_text())["model_name"]
    examples: dict[int, list[tuple[list[int], NDArray[np.float32]]]] = {}
    for file in (cache / module).glob("*.safetensors"):
        first, last = map(int, file.stem.split("_"))
        tensors = load_file(file)
        tokens = tensors["tokens"].astype(np.int64).reshape(-1, N_TOKENS)
        locations = tensors["locations"].astype(np.int64)
        latents = locations[:, 2] + first
        assert latents.max(initial=0) <= last
        flat = locations[:, 0] * tensors["tokens"].shape[1] + locations[:, 1]
        for latent in np.unique(latents):
            windows = np.zeros(tokens.shape, np.float32)
            windows.ravel()[flat[latents == latent]] = tensors["activations"][latents == latent]
            active = np.flatnonzero(windows.any(axis=1))
            order = active[np.argsort(-windows[active].max(axis=1), kind="stable")]
            examples[int(latent)] = [(tokens[row].tolist(), windows[row]) for row in order]
    return examples


def export(db: Path, folder: Path, file_format: str, **settings: Any) -> Path:
    catalog.open(db).export_exemplars(folder, file_format, "alpha", **settings)
    return folder


@pytest.mark.parametrize(("name", "sign"), [("pos", 1), ("neg", -1)])
def test_neuronpedia_reads_the_exemplars_of_either_sign(
    both_signs: Path, tmp_path: Path, name: str, sign: int
) -> None:
    folder = export(both_signs, tmp_path / "np", "neuronpedia", where=ONE)
    [(feature, activations)] = neuronpedia(folder / f"28-neurons-{name}")
    stored = query(
        both_signs,
        "select post, position - window_start, window_tokens, window_post, context_id "
        "from exemplars where sign(post) = $1 order by abs(post) desc",
        sign,
    )
    assert len(stored) == len(activations) == 1
    for each, (post, at, tokens, values, context) in zip(activations, stored, strict=True):
        assert (each.modelId, each.index, each.tokens) == ("alpha", str(NEURON), tokens)
        assert each.values == pytest.approx([sign * value for value in values])
        assert each.maxValueTokenIndex == at and each.dataIndex == str(context)
        assert feature.maxActApprox == pytest.approx(sign * post)
    frequencies: dict[str, float] = dict(
        query(both_signs, "select sign_case, frequency from activation_stats")
    )
    cases = {1: ("gate+_in+", "gate-_in-"), -1: ("gate+_in-", "gate-_in+")}[sign]
    assert feature.frac_nonzero == pytest.approx(sum(frequencies[case] for case in cases))
    promoted = query(
        both_signs,
        "select token from top_tokens where vector = 'out' and basis = 'unembed' and sign = $1 "
        "order by rank",
        "+" if sign > 0 else "-",
    )
    assert feature.pos_str == [token for (token,) in promoted]
    assert min(feature.pos_values) > 0 > max(feature.neg_values)


@pytest.mark.parametrize(("name", "sign"), [("pos", 1), ("neg", -1)])
def test_delphi_reads_the_exemplars_of_either_sign(
    both_signs: Path, tmp_path: Path, name: str, sign: int
) -> None:
    folder = export(both_signs, tmp_path / "cache", "delphi", where=ONE)
    assert {each.name for each in folder.iterdir()} == {"layers.28.mlp.pos", "layers.28.mlp.neg"}
    [(tokens, activations)] = delphi(folder, f"layers.28.mlp.{name}")[NEURON]
    [(start, values)] = query(
        both_signs, "select window_start, window_post from exemplars where sign(post) = $1", sign
    )
    [(ids, filler)] = query(both_signs, "select token_ids, 0 from context")
    expected = np.zeros(N_TOKENS, np.float32)
    expected[start : start + len(values)] = np.maximum(sign * np.array(values), 0)
    assert tokens == ids + [filler] * (N_TOKENS - len(ids))
    assert activations == pytest.approx(expected)


def test_every_file_of_delphi_has_the_same_tokens(both_signs: Path, tmp_path: Path) -> None:
    folder = export(both_signs, tmp_path / "cache", "delphi", where=ONE)
    first, *others = (load_file(each)["tokens"] for each in folder.rglob("*.safetensors"))
    assert len(others) == 1
    assert all(np.array_equal(first, each) for each in others)


def test_what_an_explainer_says_of_either_sign_comes_back(both_signs: Path, tmp_path: Path) -> None:
    opened = catalog.open(both_signs)
    folder = export(both_signs, tmp_path / "np", "neuronpedia", where=ONE)
    said = tmp_path / "explanations.jsonl"
    with said.open("w") as lines:
        for source in sorted(folder.iterdir()):
            for feature, _ in neuronpedia(source):
                row = {"modelId": feature.modelId, "layer": feature.layer, "index": feature.index}
                lines.write(json.dumps({**row, "description": f"of {source.name}"}) + "\n")
    opened.import_descriptions(said, "neuronpedia")
    results = tmp_path / "results"
    (results / "explanations").mkdir(parents=True)
    for name in ("pos", "neg"):
        file = results / "explanations" / f"layers.28.mlp.{name}_latent{NEURON}.txt"
        file.write_text(json.dumps(f"of layers.28.mlp.{name}"))
    opened.import_descriptions(results, "delphi", model="alpha")
    rows = query(
        both_signs,
        "select sign_case, description from descriptions where starts_with(description, 'of ') "
        "order by all",
    )
    assert rows == [
        ("+", "of 28-neurons-pos"),
        ("+", "of layers.28.mlp.pos"),
        ("-", "of 28-neurons-neg"),
        ("-", "of layers.28.mlp.neg"),
    ]


@pytest.mark.parametrize("file_format", EXPLAINERS)
def test_the_same_export_twice_is_the_same_bytes(
    both_signs: Path, tmp_path: Path, file_format: str
) -> None:
    first, second = (
        export(both_signs, tmp_path / name, file_format, where=ONE) for name in ("one", "two")
    )
    names = sorted(each.relative_to(first) for each in first.rglob("*") if each.is_file())
    assert names == sorted(each.relative_to(second) for each in second.rglob("*") if each.is_file())
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("file_format", EXPLAINERS)
def test_neurons_without_exemplars_make_no_folder(
    known: Path, tmp_path: Path, file_format: str
) -> None:
    with pytest.raises(NotFoundError, match="has an exemplar on web"):
        export(known, tmp_path / "none", file_format, where="neuron_id = '31.9634'")
    with pytest.raises(NotFoundError, match="no activations yet"):
        catalog.open(known).export_exemplars(tmp_path / "none", file_format, "beta")
    with pytest.raises(NotFoundError, match="There is: web"):
        export(known, tmp_path / "none", file_format, corpus="nosuch")
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports_over_its_own_and_nothing_else(
    cli: Cli, known: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "np"
    asked = ("export", folder, "--model", "alpha", "--where", ONE, "--db", known)
    done = cli(*asked, "--format", "neuronpedia")
    assert done.code == 0 and "exemplars of 1 neurons" in done.err
    assert cli(*asked, "--format", "neuronpedia").code == 2
    assert cli(*asked, "--format", "neuronpedia", "--force").code == 0
    refused = cli(*asked, "--format", "delphi", "--force")
    assert refused.code == 2 and "28-neurons-pos" in refused.err


def test_a_lake_lacks_the_token_ids_that_delphi_reads(known: Path, tmp_path: Path) -> None:
    catalog.open(known).export(tmp_path / "lake", ["alpha"])
    assert export(tmp_path / "lake", tmp_path / "np", "neuronpedia", where=ONE).is_dir()
    with pytest.raises(CatalogError, match="only read"):
        export(tmp_path / "lake", tmp_path / "cache", "delphi", where=ONE)
    assert not (tmp_path / "cache").exists()
