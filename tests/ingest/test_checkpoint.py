"""Checkpoints are read lazily, and every damage is named in one sentence."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from catalog.errors import CatalogError, CheckpointError, EnvironmentFault, NotFoundError
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.demo import MODEL_FOLDERS
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.vocabulary_matrices import embedding, unembedding
from tests.tiny_checkpoints import build, save_tokenizer

GATE = "model.layers.0.mlp.gate_proj.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build("llama", tmp_path / "model")


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return build("llama", tmp_path / "sharded", max_shard_size="20KB")


def refusal(folder: Path, error: type[CatalogError] = CheckpointError) -> str:
    with pytest.raises(error) as caught:
        NeuronVectors(open_checkpoint(str(folder)), "folded")
    message = str(caught.value)
    assert message.endswith(".")
    return message


def edit_tensors(folder: Path, **replacements: torch.Tensor | None) -> None:
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    for name, tensor in replacements.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    save_file(tensors, path)


def edit_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_slices_equal_the_saved_tensors(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    gate = load_file(folder / "model.safetensors")[GATE]
    assert checkpoint.revision is None
    assert checkpoint.source == str(folder)
    assert checkpoint.config["model_type"] == "llama"
    assert checkpoint.shape(GATE) == (48, 32)
    assert checkpoint.dtype(GATE) == torch.float32
    assert torch.equal(checkpoint.tensor(GATE), gate)
    assert torch.equal(checkpoint.rows(GATE, 3, 9), gate[3:9])
    assert torch.equal(checkpoint.columns(GATE, 3, 9), gate[:, 3:9])
    assert checkpoint.names == tuple(sorted(load_file(folder / "model.safetensors")))


def test_tensors_outlive_the_release_of_the_file(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    rows = checkpoint.rows(GATE, 0, 5)
    before = rows.clone()
    checkpoint.release()
    assert torch.equal(rows, before)
    assert torch.equal(checkpoint.rows(GATE, 0, 5), before)


def test_the_fingerprint_follows_weights_and_config(folder: Path, tmp_path: Path) -> None:
    first = open_checkpoint(str(folder)).fingerprint
    assert open_checkpoint(str(build("llama", tmp_path / "same"))).fingerprint == first
    assert open_checkpoint(str(build("llama", tmp_path / "other", seed=1))).fingerprint != first
    edit_config(folder, rope_theta=5.0)
    assert open_checkpoint(str(folder)).fingerprint != first


def test_a_relative_folder_and_the_demo_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert open_checkpoint("model").revision is None
    assert open_checkpoint("./model").tensors.path == folder
    assert open_checkpoint("model").source == str(folder)
    monkeypatch.setitem(MODEL_FOLDERS, "demo", folder)
    assert open_checkpoint("demo").tensors.path == folder


def test_a_folder_that_does_not_exist_or_is_a_file(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    assert "is a file" in refusal(tmp_path / "file")


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    assert "no config.json" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_config_that_is_not_json(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    assert "config.json" in refusal(folder)


def test_no_weights_and_pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "has no safetensors file" in refusal(folder)
    (folder / "pytorch_model.bin").write_bytes(b"")
    message = refusal(folder)
    assert "pytorch_model.bin" in message
    assert "safe_serialization=True" in message


@pytest.mark.parametrize("keep", [0, 5, 100, 5000, -1])
def test_a_truncated_file(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "truncated" in refusal(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 4096,
        b"\x10" + bytes(7) + b"not json at all!",
        b"\x02" + bytes(7) + b"[]",
        b"\x0a" + bytes(7) + b'{"a": {}} ',
        b"\x0a" + bytes(7) + b'{"a": [1]}',
    ],
)
def test_a_garbage_file(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert "model.safetensors is truncated or no safetensors file" in refusal(folder)


def test_a_missing_shard(shards: Path) -> None:
    gone = sorted(shards.glob("*.safetensors"))[1]
    gone.unlink()
    assert gone.name in refusal(shards)


def test_a_shard_without_a_tensor_of_the_index(shards: Path) -> None:
    shard = (
        shards
        / json.loads((shards / "model.safetensors.index.json").read_text())["weight_map"][GATE]
    )
    tensors = load_file(shard)
    save_file({name: t.clone() for name, t in tensors.items() if name != GATE}, shard)
    assert GATE in refusal(shards)


def test_an_index_that_is_no_index(shards: Path) -> None:
    (shards / "model.safetensors.index.json").write_text("[]")
    assert "no valid index" in refusal(shards)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.2.mlp.up_proj.weight",
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.1.post_attention_layernorm.weight",
        "model.norm.weight",
        "model.embed_tokens.weight",
        "lm_head.weight",
    ],
)
def test_a_missing_tensor_is_named(folder: Path, name: str) -> None:
    edit_tensors(folder, **{name: None})
    assert f"has no tensor named {name}" in refusal(folder)


def test_a_misshapen_tensor_is_named(folder: Path) -> None:
    edit_tensors(folder, **{GATE: torch.zeros(47, 32)})
    message = refusal(folder)
    assert GATE in message
    assert "(48, 32)" in message


def test_quantised_checkpoints_are_refused(folder: Path) -> None:
    edit_tensors(folder, **{GATE: torch.zeros(48, 32, dtype=torch.int8)})
    assert f"tensor {GATE} is stored as I8" in refusal(folder)
    edit_config(folder, quantization_config={"quant_method": "gptq"})
    assert "quantised (gptq)" in refusal(folder)


@pytest.mark.parametrize("kept", ["lm_head.weight", "model.embed_tokens.weight"])
def test_tied_weights_stored_under_either_name(folder: Path, kept: str) -> None:
    matrix = load_file(folder / "model.safetensors")[kept]
    edit_config(folder, tie_word_embeddings=True)
    gone = {"lm_head.weight", "model.embed_tokens.weight"} - {kept}
    edit_tensors(folder, **dict.fromkeys(gone))
    weights = NeuronVectors(open_checkpoint(str(folder)), "raw")
    assert torch.equal(embedding(weights), matrix)
    assert torch.equal(unembedding(weights), matrix)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_config_that_may_not_be_read(folder: Path) -> None:
    (folder / "config.json").chmod(0)
    assert "cannot be read" in refusal(folder, EnvironmentFault)


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("GatedRepoError", EnvironmentFault, "is gated"),
        ("RepositoryNotFoundError", NotFoundError, "neither a folder here nor a repository"),
        ("RevisionNotFoundError", NotFoundError, "has no revision v9"),
        ("HfHubHTTPError", EnvironmentFault, "could not be downloaded"),
    ],
)
def test_what_the_hub_answers_becomes_one_sentence(
    name: str, error: type[CatalogError], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def download(*args: object, **kwargs: object) -> str:
        # Made without a response: its type alone says what the Hub answered.
        kind = getattr(huggingface_hub.errors, name)
        raise kind.__new__(kind, "no")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(error, match=says):
        open_checkpoint("owner/name", "v9")


def test_a_name_that_is_no_hub_id() -> None:
    with pytest.raises(NotFoundError, match="neither a folder here nor a Hub id"):
        open_checkpoint("a/b/c")


def test_a_name_near_a_demo_model_is_not_looked_for_on_the_hub() -> None:
    with pytest.raises(NotFoundError, match="Did you mean demo-plain"):
        open_checkpoint("demo-plian")


def test_offline_without_a_cached_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="HF_HUB_OFFLINE forbids"):
        open_checkpoint("owner/name")


def test_a_hub_snapshot_gives_its_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    commit = folder.rename(folder.parent / "0123abc")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(commit))
    checkpoint = open_checkpoint("owner/name")
    assert (checkpoint.source, checkpoint.revision) == ("owner/name", "0123abc")


def test_the_tiny_tokenizer_begins_texts_with_its_start_token(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(save_tokenizer(tmp_path) / "tokenizer.json"))
    assert 260 <= tokenizer.get_vocab_size() <= 300
    encoded = tokenizer.encode("The class 🙂")
    assert encoded.ids[0] == tokenizer.token_to_id("<s>") == 0
    assert tokenizer.decode(encoded.ids) == "The class 🙂"
