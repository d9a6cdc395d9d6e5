"""The demo and its plain twin side by side in one catalog."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.demo import MODEL_FOLDERS
from catalog.taxonomy import PLAIN_IO_CLASSES, PLAIN_SIGN_CASES, SIGN_CASES
from tests.support import Answer, query

GATED, PLAIN = "demo", "demo-plain"
STAGES = ("--stages", "weights,activations")
OPTIONS = (*STAGES, "--max-tokens", 2_000, "--exemplars", 2, "--device", "cpu", "--yes")
MEGABYTE = 10**6


@pytest.fixture(scope="module")
def twins(once: Callable[..., Path]) -> Path:
    from catalog.cli.main import run

    def make(folder: Path) -> None:
        words = ("ingest", GATED, PLAIN, *OPTIONS, "--db", folder / "twins.duckdb")
        assert run([str(each) for each in words]) == 0

    return once("twins", make) / "twins.duckdb"


@pytest.mark.parametrize("name", MODEL_FOLDERS)
def test_a_shipped_model_is_small_and_in_float16(name: str) -> None:
    files = [path for path in MODEL_FOLDERS[name].iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6 * MEGABYTE
    tensors = load_file(MODEL_FOLDERS[name] / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


def test_the_twins_have_the_same_tokenizer_depth_width_and_weights() -> None:
    gated, plain = (open_checkpoint(name).config for name in (GATED, PLAIN))
    for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"):
        assert gated[key] == plain[key]
    assert 3 * gated["intermediate_size"] == 2 * plain["intermediate_size"]
    first, second = (folder / "tokenizer.json" for folder in MODEL_FOLDERS.values())
    assert first.read_bytes() == second.read_bytes()


def test_the_twins_read_the_same_texts(twins: Path) -> None:
    found = query(
        twins, "select model, corpus, n_contexts, n_tokens, digest from corpora order by model"
    )
    assert [row[:2] for row in found] == [(GATED, "demo"), (PLAIN, "demo")]
    assert found[0][2:] == found[1][2:]


def test_the_demo_has_neurons_of_every_side_and_its_twin_no_gate(twins: Path) -> None:
    ((share,),) = query(
        twins,
        "select avg((io_class != 'orthogonal output')::int) from neurons where model = $1",
        GATED,
    )
    assert share > 0.05
    found = query(
        twins,
        "select distinct io_class, cos_gate_in, atypical from neurons where model = $1 order by 1",
        PLAIN,
    )
    assert {row[0] for row in found} <= set(PLAIN_IO_CLASSES)
    assert {row[1:] for row in found} == {(None, None)}
    cases = query(twins, "select distinct model, sign_case from activation_stats order by all")
    assert {case for model, case in cases if model == PLAIN} == set(PLAIN_SIGN_CASES)
    assert {case for model, case in cases if model == GATED} == set(SIGN_CASES)


def test_named_queries_show_both(cli: Callable[..., Answer], twins: Path) -> None:
    for name in ("medians", "classes_by_layer", "classes", "cosine_quartiles"):
        answer = cli("query", name, "--db", twins, "--format", "json")
        assert {row["model"] for row in json.loads(answer.out)} == {GATED, PLAIN}


def test_what_a_twin_is_missing_is_asked_for_by_name(
    cli: Callable[..., Answer], tmp_path: Path
) -> None:
    db = tmp_path / "c.duckdb"
    assert cli("ingest", PLAIN, "--stages", "weights", "--device", "cpu", "--db", db).code == 0
    answer = cli("query", "detectors", "-p", f"model={PLAIN}", "--db", db)
    assert f"catalog ingest {PLAIN} --stages detectors" in answer.err
    assert "--corpus" not in answer.err
