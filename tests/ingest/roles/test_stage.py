"""The stage as a whole: from a checkpoint to rows of the public views."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from catalog.errors import HintPart, command_line
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.driver import IngestOutcome, IngestRequest, ingest
from catalog.ingest.engines.local import LocalEngine
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.progress import Silent
from catalog.ingest.roles.rule import stored_moments
from catalog.ingest.stages.finding import with_needed
from catalog.ingest.stages.roles import HEADS_KEPT, RolesStage
from catalog.queries import named_query
from catalog.role_rule import RoleRule
from catalog.store.handle import Handle
from catalog.store.reading import fetch
from catalog.store.staging import Staging
from catalog.taxonomy import WeightKind
from tests.ingest.roles import plain
from tests.ingest.roles.plain import Plain
from tests.tiny_checkpoints import N_LAYERS, build, save_tokenizer

MODELS = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "olmo", "olmo2", "phi3")
CPU = torch.device("cpu")
NO_BOS = {"bos_token": None, "eos_token": "e"}
NONE = {"bos_token": None, "eos_token": None}


class Quiet(Silent):
    """Keeps the notes, and may break off after some units."""

    def __init__(self, units: int | None = None) -> None:
        self.notes: list[str] = []
        self.units = units

    def advance(self, units: int = 1) -> None:
        if self.units is not None:
            self.units -= units
            if self.units < 0:
                raise KeyboardInterrupt

    def note(self, said: str, *hint: HintPart) -> None:
        self.notes.append(" ".join([said, *map(command_line, hint)]))


def checkpoint(folder: Path, model_type: str, special_tokens: dict[str, Any] | None = None) -> Path:
    """A tiny checkpoint with a tokenizer; `special_tokens` None: BOS is 0."""
    build(model_type, folder)
    save_tokenizer(folder)
    if special_tokens is not None:
        backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
        PreTrainedTokenizerFast(tokenizer_object=backend, **special_tokens).save_pretrained(folder)
    return folder


def ingested(
    folder: Path, db: Path, kind: WeightKind = "folded", progress: Quiet | None = None
) -> IngestOutcome:
    request = IngestRequest(
        catalog=Handle(db),
        source=str(folder),
        alias="m",
        weights=kind,
        stages=("roles",),
        device="cpu",
    )
    return ingest(request, progress or Quiet())


@pytest.mark.parametrize("model_type", MODELS)
def test_the_views_hold_what_the_whole_model_gives(model_type: str, tmp_path: Path) -> None:
    special = NO_BOS if model_type == "qwen2" else None
    folder, db = checkpoint(tmp_path / model_type, model_type, special), tmp_path / "c.duckdb"
    outcome = ingested(folder, db)
    assert [each.stage for each in outcome.outcomes] == ["weights", "vocab", "roles"]
    (run,) = fetch(db, "select parameters from ingest_runs where stage = 'roles'").to_pylist()
    token = json.loads(run["parameters"])["start_token"]
    assert (token == 0) == (model_type != "qwen2")

    whole = Plain(folder, token)
    neurons = fetch(db, "from neurons order by layer, neuron").to_pylist()
    shares = np.concatenate([whole.shares(layer, "folded") for layer in range(N_LAYERS)])
    np.testing.assert_allclose([n["null_space_share"] for n in neurons], shares, atol=1e-5)

    scores = fetch(db, "from attention_scores order by layer, neuron, head_layer, head").to_pylist()
    assert whole.n_heads == HEADS_KEPT
    expected = np.stack([whole.cosines(at, at + 1, "folded") for at in range(N_LAYERS - 1)])
    np.testing.assert_allclose([s["cosine"] for s in scores], expected.ravel(), atol=1e-5)
    assert [(s["layer"], s["neuron"], s["head"]) for s in scores] == list(
        np.ndindex(*expected.shape)
    )
    assert all(s["head_layer"] == s["layer"] + 1 for s in scores)

    roles = {(n["layer"], n["neuron"]): n["functional_role"] for n in neurons}
    assert roles == plain.roles(neurons, scores, RoleRule())
    # Other columns of the neuron stay what the stages before made them.
    assert all(n["io_class"] and n["vocab_variance"] for n in neurons)


def query_roles(db: Path, *settings: str) -> dict[str, str]:
    query = named_query("roles")
    return {
        row["neuron_id"]: row["functional_role"]
        for row in fetch(db, query.sql, query.bound(settings)).to_pylist()
    }


def test_the_query_gives_the_stored_roles_and_others_at_other_parameters(tmp_path: Path) -> None:
    folder, db = checkpoint(tmp_path / "gemma2", "gemma2"), tmp_path / "c.duckdb"
    ingested(folder, db)
    neurons = fetch(db, "from neurons").to_pylist()
    stored = {n["neuron_id"]: n["functional_role"] for n in neurons}
    assert query_roles(db) == query_roles(db, "model=m") == stored
    assert query_roles(db, "model=other") == {}
    assert query_roles(db, "role=partition").keys() == {
        key for key, role in stored.items() if role == "partition"
    }
    scores = fetch(db, "from attention_scores").to_pylist()
    other = RoleRule(
        partition=9000, kurtosis="3.5", n_entropy=5, iqr_factor=0.1, attention_cutoff=0.3
    )
    recomputed = query_roles(db, *(f"{name}={value}" for name, value in vars(other).items()))
    expected = plain.roles(neurons, scores, other)
    assert recomputed == {f"{layer}.{at}": role for (layer, at), role in expected.items()}
    assert {"entropy", "attention activation", "partition"} <= set(recomputed.values())


def test_before_the_stage_ran_there_is_no_role(tmp_path: Path) -> None:
    folder, db = checkpoint(tmp_path / "llama", "llama"), tmp_path / "c.duckdb"
    request = IngestRequest(catalog=Handle(db), source=str(folder), stages=("weights", "vocab"))
    ingest(request, Quiet())
    assert set(query_roles(db).values()) == {None}


@pytest.mark.parametrize("kind", ["effective", "raw"])
def test_other_kinds_of_weights(kind: WeightKind, tmp_path: Path) -> None:
    folder, db = checkpoint(tmp_path / "gemma3", "gemma3"), tmp_path / "c.duckdb"
    ingested(folder, db, kind)
    whole = Plain(folder, 0)
    scores = fetch(db, "select cosine from attention_scores where layer = 1 order by neuron, head")
    expected = whole.cosines(1, 2, kind).ravel()
    np.testing.assert_allclose(scores["cosine"].to_numpy(), expected, atol=1e-5)
    shares = fetch(db, "select null_space_share as s from neurons where layer = 2 order by neuron")
    np.testing.assert_allclose(shares["s"].to_numpy(), whole.shares(2, kind), atol=1e-5)


def test_without_a_start_token_roles_go_without_attention_and_say_so(tmp_path: Path) -> None:
    folder, db = checkpoint(tmp_path / "llama", "llama", NONE), tmp_path / "c.duckdb"
    quiet = Quiet()
    outcome = ingested(folder, db, progress=quiet)
    assert any("neither a BOS nor an EOS" in note for note in quiet.notes)
    assert "neither a BOS" in outcome.outcomes[-1].notes["attention_scores"]
    assert fetch(db, "from attention_scores").num_rows == 0
    roles = fetch(db, "select distinct functional_role as r from neurons")["r"].to_pylist()
    assert None not in roles and "other" in roles


def test_an_architecture_without_a_family_has_roles_but_no_attention_scores(tmp_path: Path) -> None:
    folder, db = checkpoint(tmp_path / "novel", "llama"), tmp_path / "c.duckdb"
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "novel"}
    del config["num_attention_heads"]
    (folder / "config.json").write_text(json.dumps(config))
    outcome = ingested(folder, db, "raw")
    assert outcome.outcomes[-1].notes["attention_scores"] == "the attention of novel is not known"
    assert fetch(db, "from attention_scores").num_rows == 0
    assert fetch(db, "from neurons where functional_role is null").num_rows == 0


def stage_of(folder: Path, layers_ahead: int = 1, **moments: float) -> RolesStage:
    weights = NeuronVectors(open_checkpoint(str(folder)), "folded")
    n = weights.d_mlp
    columns: dict[str, Any] = {
        "layer": np.repeat(np.arange(weights.n_layers, dtype=np.int16), n),
        "neuron": np.tile(np.arange(n, dtype=np.int32), weights.n_layers),
    }
    for name in ("cos_gate_in", "vocab_variance", "vocab_skew", "vocab_kurtosis"):
        columns[name] = np.full(n * weights.n_layers, moments.get(name, 0.5), np.float32)
    return RolesStage(weights, 0, lambda: pa.table(columns), CPU, layers_ahead)


def test_heads_of_all_later_layers(tmp_path: Path) -> None:
    folder = build("qwen3", tmp_path / "model")
    stage, staging = stage_of(folder, N_LAYERS), Staging.of(tmp_path / "c", "m", "roles", "key")
    stage.compute(staging, LocalEngine(), Quiet())
    assert stage.parameters["layers_ahead"] == N_LAYERS
    whole = Plain(folder, 0)
    both = np.concatenate([whole.cosines(0, 1, "folded"), whole.cosines(0, 2, "folded")], axis=1)
    for row in staging.read(0, "attention_score").to_pylist():
        head = (row["head_layer"] - 1) * whole.n_heads + row["head"]
        assert row["cosine"] == pytest.approx(both[row["neuron"], head], abs=1e-5)
    fourth = np.sort(np.abs(both), axis=1)[:, -HEADS_KEPT]
    n_kept = np.sum((np.abs(both) >= fourth[:, None]) | (np.abs(both) > 0.3))
    assert staging.read(0, "attention_score").num_rows == n_kept
    assert staging.read(N_LAYERS - 1, "attention_score").num_rows == 0


def staged(staging: Staging) -> list[pa.Table]:
    return [
        staging.read(layer, table)
        for layer in range(N_LAYERS)
        for table in ("neuron", "attention_score")
    ]


@pytest.mark.parametrize("units", range(1 + 2 * N_LAYERS))
def test_broken_off_anywhere_it_is_carried_on(units: int, tmp_path: Path) -> None:
    folder = build("olmo", tmp_path / "model")
    whole, broken = (Staging.of(tmp_path / name, "m", "roles", "key") for name in ("a", "b"))
    stage_of(folder).compute(whole, LocalEngine(), Quiet())
    with pytest.raises(KeyboardInterrupt):
        stage_of(folder).compute(broken, LocalEngine(), Quiet(units))
    before = {path: path.stat().st_mtime_ns for path in broken.folder.iterdir()}
    stage_of(folder).compute(broken, LocalEngine(), Quiet())
    assert staged(broken) == staged(whole)
    kept = [path for path, at in before.items() if path.stat().st_mtime_ns == at]
    # A start token's walk begins anew; whatever else there was is not done twice.
    assert len(kept) == len(before) - (units if units < N_LAYERS else 0)


def test_one_layer_has_no_later_head(tmp_path: Path) -> None:
    folder = build("llama", tmp_path / "model", num_hidden_layers=1)
    staging = Staging.of(tmp_path / "c", "m", "roles", "key")
    notes = stage_of(folder).compute(staging, LocalEngine(), Quiet())
    assert staging.read(0, "attention_score").num_rows == 0
    assert sum(notes["roles"].values()) == staging.read(0, "neuron").num_rows


def spoil(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_damaged_neurons_and_heads_are_null_or_left_out(tmp_path: Path) -> None:
    folder, db = checkpoint(tmp_path / "llama", "llama"), tmp_path / "c.duckdb"

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.0.mlp.down_proj.weight"][:, 3] = 0
        tensors["model.layers.1.mlp.down_proj.weight"][0, 5] = torch.nan
        tensors["model.layers.1.self_attn.q_proj.weight"][:8] = 0

    spoil(folder, change)
    notes = ingested(folder, db).outcomes[-1].notes
    # Of the heads, one of layer 1 and the four of layer 2.
    assert (notes["null_shares"], notes["undefined_heads"]) == (2, 5)
    null = fetch(
        db, "select neuron_id, functional_role from neurons where null_space_share is null"
    )
    assert null.to_pylist() == [
        {"neuron_id": "0.3", "functional_role": "other"},
        {"neuron_id": "1.5", "functional_role": "other"},
    ]
    scored = fetch(db, "select distinct layer, head from attention_scores order by all").to_pylist()
    # Head 0 of layer 1 asks for nothing; NaN in layer 1's MLP spoils the keys of layer 2.
    assert scored == [{"layer": 0, "head": head} for head in (1, 2, 3)]
    assert fetch(db, "from attention_scores where neuron = 3").num_rows == 0


def test_stages_that_roles_read_come_first() -> None:
    assert with_needed(["roles"]) == ["weights", "vocab", "roles"]


def test_moments_are_those_of_one_entry(tmp_path: Path) -> None:
    folder, db = checkpoint(tmp_path / "llama", "llama"), tmp_path / "c.duckdb"
    ingested(folder, db)
    assert stored_moments(Handle(db), "m").num_rows == 48 * N_LAYERS
    assert stored_moments(Handle(db), "n").num_rows == 0
