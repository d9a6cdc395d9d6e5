"""GGUF files give the rows of the safetensors they were made from; bad ones are refused."""

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFEndian, GGUFWriter
from gguf.quants import dequantize, quantize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.errors import CheckpointError, EnvironmentFault
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.checkpoint.gguf_header import MAGIC, GgufHeader
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.taxonomy import VECTORS
from tests import tiny_checkpoints
from tests.gguf_files import Matrix, stored_tensors, write_gguf
from tests.support import Answer, Row, last_of_each, public_rows, query

Q8_0 = GGMLQuantizationType.Q8_0
# Blocks of 32 values run along d_model and along d_mlp; the embedding has a row for each piece.
SIZES: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 300}
MODELS = ("llama", "qwen2", "gemma2", "phi3")
MORE_MODELS = ("gemma", "gemma3_text", "olmo", "olmo2", "qwen3", "smollm3")
LLAMA_3: dict[str, Any] = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
COLUMNS = {"source", "fingerprint"}
Cli = Callable[..., Answer]


@pytest.fixture(scope="module")
def folders(once: Callable[..., Path]) -> dict[str, Path]:
    """Tiny checkpoints with a tokenizer, and beside each its GGUF file in float32."""

    def make(root: Path) -> None:
        for name in MODELS:
            folder = tiny_checkpoints.build(name, root / name, **SIZES)
            tiny_checkpoints.save_tokenizer(folder)
            write_gguf(folder, root / f"{name}.gguf", tokenizer=name == "llama")

    root = once("gguf", make)
    return {name: root / name for name in MODELS}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    words = "class mapping value returns None for key, in items() print new"
    file.write_text("\n\n".join(" ".join(words.split()[i:] * 8) for i in range(9)))
    return file


def gguf_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.gguf")


def rows_of(catalog: Path, model: str) -> dict[str, list[Row]]:
    """Rows of a model, without its name and what tells two checkpoints apart."""
    shown = {}
    for view in public_rows(catalog):
        names = [row[0] for row in query(catalog, f"describe {view}")]
        if "model" not in names:
            continue
        gone = COLUMNS | {"model", "run_id", "started_at", "finished_at", "ingested_at", "notes"}
        kept = ", ".join(name for name in names if name not in gone)
        shown[view] = query(
            catalog, f"select {kept} from {view} where model = ? order by all", model
        )
    return shown


def assert_same(ours: dict[str, list[Row]], theirs: dict[str, list[Row]], tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for view, rows in ours.items():
        assert len(rows) == len(theirs[view]), view
        for row, other in zip(rows, theirs[view], strict=True):
            for value, expected in zip(row, other, strict=True):
                if isinstance(value, float) and isinstance(expected, float):
                    assert value == pytest.approx(
                        expected, abs=tolerance, rel=tolerance, nan_ok=True
                    )
                elif isinstance(value, list) and value and isinstance(value[0], float):
                    assert value == pytest.approx(expected, abs=tolerance, rel=tolerance)
                else:
                    assert value == expected, (view, row, other)


@pytest.mark.parametrize("kind", ["folded", "raw"])
@pytest.mark.parametrize("model_type", MODELS)
def test_float32_gives_the_rows_of_the_safetensors(
    model_type: str, kind: str, folders: dict[str, Path], tmp_path: Path, cli: Cli
) -> None:
    folder, catalog = folders[model_type], tmp_path / "c.duckdb"
    words = ("--db", catalog, "--weights", kind, "--stages", "weights,vocab,roles")
    assert cli("ingest", folder, "--alias", "a", *words).code == 0
    more = () if model_type == "llama" else ("--tokenizer", folder)
    answer = cli("ingest", gguf_of(folder), "--alias", "b", *words, *more)
    assert answer.code == 0, answer.err
    ours, theirs = rows_of(catalog, "b"), rows_of(catalog, "a")
    assert len(ours["neurons"]) == tiny_checkpoints.N_LAYERS * SIZES["intermediate_size"]
    assert len(ours["top_tokens"]) > 0 and len(ours["attention_scores"]) > 0
    assert_same(ours, theirs, 1e-6)


@pytest.mark.parametrize("model_type", MORE_MODELS)
def test_every_family_gives_the_roles_of_the_safetensors(
    model_type: str, tmp_path: Path, cli: Cli
) -> None:
    """Also where transformers loads no such GGUF file: norms, start keys and all."""
    folder = tiny_checkpoints.build(model_type, tmp_path / "m", **SIZES)
    tiny_checkpoints.save_tokenizer(folder)
    file, catalog = write_gguf(folder, tmp_path / "m.gguf"), tmp_path / "c.duckdb"
    words = ("--db", catalog, "--stages", "weights,vocab,roles")
    assert cli("ingest", folder, "--alias", "a", *words).code == 0
    answer = cli("ingest", file, "--alias", "b", *words, "--tokenizer", folder)
    assert answer.code == 0, answer.err
    ours, theirs = rows_of(catalog, "b"), rows_of(catalog, "a")
    assert len(ours["attention_scores"]) > 0
    assert_same(ours, theirs, 1e-6)


def last_states(source: Path) -> torch.Tensor:
    model = open_checkpoint(str(source)).base_model(torch.float32).eval()
    with torch.no_grad():
        states: torch.Tensor = model(input_ids=torch.arange(40)[None]).last_hidden_state
    return states


def llama_3_divisors(head_dim: int) -> Matrix:
    """`rope_freqs` as llama.cpp's converter computes it from LLAMA_3."""
    divisors = []
    for at in range(0, head_dim, 2):
        wavelength = 2 * math.pi * LLAMA_3["rope_theta"] ** (at / head_dim)
        turns = LLAMA_3["original_max_position_embeddings"] / wavelength
        low, high, factor = (LLAMA_3[f"{x}factor"] for x in ("low_freq_", "high_freq_", ""))
        smooth = (turns - low) / (high - low)
        if turns > high:
            divisors.append(1.0)
        else:
            divisors.append(factor if turns < low else 1 / ((1 - smooth) / factor + smooth))
    return np.array(divisors, np.float32)


def test_scaled_rotary_angles_of_llama_3(tmp_path: Path) -> None:
    folder = tiny_checkpoints.build("llama", tmp_path / "m", **SIZES, rope_parameters=LLAMA_3)
    tiny_checkpoints.save_tokenizer(folder)
    divisors = llama_3_divisors(SIZES["hidden_size"] // 4)
    assert len(set(divisors.tolist())) > 2

    def add(tensors: dict[str, Matrix]) -> None:
        tensors["rope_freqs.weight"] = divisors

    file = write_gguf(folder, tmp_path / "m.gguf", tokenizer=True, edit=add)
    plain = write_gguf(folder, tmp_path / "plain.gguf", tokenizer=True)
    expected = last_states(folder)
    torch.testing.assert_close(last_states(file), expected, rtol=1e-5, atol=1e-5)
    assert (last_states(plain) - expected).abs().max() > 0.1


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "gemma2", "gemma3_text"])
def test_the_forward_pass_of_the_safetensors(model_type: str, tmp_path: Path) -> None:
    # Heads of the length that transformers takes Qwen 3 and the Gemmas to have.
    heads = {"qwen3": 128, "gemma2": 256, "gemma3_text": 256}.get(model_type)
    more: dict[str, Any] = {} if heads is None else {"head_dim": heads}
    folder = tiny_checkpoints.build(model_type, tmp_path / "m", **SIZES, **more)
    tiny_checkpoints.save_tokenizer(folder)
    file = write_gguf(folder, tmp_path / "m.gguf", tokenizer=True)
    torch.testing.assert_close(last_states(file), last_states(folder), rtol=1e-5, atol=1e-5)


def rope_factors(tensors: dict[str, Matrix]) -> None:
    tensors["rope_factors_long.weight"] = np.ones(8, np.float32)


LEFT_OUT: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "yarn": (
        "llama",
        {},
        {"fields": lambda w: w.add_string("llama.rope.scaling.type", "yarn")},
        "its scaling of rotary angles (yarn)",
    ),
    "factors": (
        "llama",
        {},
        {"edit": rope_factors},
        "its scaling of rotary angles (by factors)",
    ),
    "biases": ("llama", {"attention_bias": True}, {}, "the tensor blk.0.attn_k.bias"),
    "query scale": (
        "gemma2",
        {"head_dim": 128},
        {},
        "the query scale of heads of length 128",
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_model_that_transformers_would_make_another_of(
    name: str, texts: Path, tmp_path: Path, cli: Cli
) -> None:
    model_type, sizes, more, what = LEFT_OUT[name]
    folder = tiny_checkpoints.build(model_type, tmp_path / "m", **SIZES, **sizes)
    tiny_checkpoints.save_tokenizer(folder)
    file = write_gguf(folder, tmp_path / "m.gguf", tokenizer=True, **more)
    words = ("--tokenizer", folder, "--db", tmp_path / "c.duckdb")
    assert cli("ingest", folder, "--alias", "a", "--stages", "roles", *words[2:]).code == 0
    assert cli("ingest", file, "--alias", "b", "--stages", "roles", *words).code == 0
    ours, theirs = (rows_of(words[-1], alias) for alias in "ba")
    assert_same(ours, theirs, 1e-6)
    answer = cli(
        "ingest", file, "--alias", "b", "--stages", "activations", "--corpus", texts, *words
    )
    assert answer.code == 4
    said = " ".join(answer.err.split())
    assert f"transformers leaves out {what} when it loads" in said
    assert "--stages weights,vocab works without the model." in said


def test_too_large_to_be_run(
    file: Path, texts: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.ingest.activations.model._free_bytes", lambda: 1000)
    words = ("--stages", "activations", "--corpus", texts, "--db", tmp_path / "c.duckdb")
    answer = cli("ingest", file, *words, "--dtype", "float32")
    said = " ".join(answer.err.split())
    assert answer.code == EnvironmentFault.exit_code
    assert "is dequantised whole to be run, which takes 0.0 GB in float32" in said
    assert "0.0 GB of memory are free. Use --dtype bfloat16, which takes half." in said


@pytest.mark.parametrize("model_type", ["mixtral", "olmoe", "qwen2_moe", "qwen3_moe"])
def test_experts_give_the_rows_of_the_safetensors(
    model_type: str, texts: Path, tmp_path: Path, cli: Cli
) -> None:
    """Of routed experts in stacks, shared ones and dense layers; they are read and not run."""
    folder = tiny_checkpoints.build(model_type, tmp_path / model_type)
    tiny_checkpoints.save_tokenizer(folder)
    file, catalog = write_gguf(folder, tmp_path / "m.gguf"), tmp_path / "c.duckdb"
    words = ("--db", catalog, "--stages", "weights,vocab,roles")
    assert cli("ingest", folder, "--alias", "a", *words).code == 0
    answer = cli("ingest", file, "--alias", "b", "--tokenizer", folder, *words)
    assert answer.code == 0, answer.err
    ours, theirs = rows_of(catalog, "b"), rows_of(catalog, "a")
    assert len(theirs["neurons"]) and len(theirs["router_tokens"])
    assert_same(ours, theirs, 1e-6)
    run = ("--stages", "activations", "--corpus", texts, "--db", catalog)
    refused = cli("ingest", file, "--alias", "b", "--tokenizer", folder, *run)
    assert refused.code == CheckpointError.exit_code
    assert "read from a GGUF file and not run" in " ".join(refused.err.split())


def test_a_file_that_counts_experts_and_has_none(
    folders: dict[str, Path], tmp_path: Path, cli: Cli
) -> None:
    def experts(writer: GGUFWriter) -> None:
        writer.add_uint32("llama.expert_count", 8)

    file = write_gguf(folders["llama"], tmp_path / "m.gguf", fields=experts)
    assert "has no tensor named model.layers.0." in refusal(cli, file)


def test_activations_run_and_verify(
    folders: dict[str, Path], texts: Path, tmp_path: Path, cli: Cli
) -> None:
    folder, catalog = folders["llama"], tmp_path / "c.duckdb"
    words = ("--db", catalog, "--corpus", texts, "--corpus-name", "texts", "--dtype", "float32")
    stages = ("--stages", "activations")
    assert cli("ingest", folder, "--alias", "a", *words, *stages).code == 0
    answer = cli("ingest", gguf_of(folder), "--alias", "b", *words, *stages)
    assert answer.code == 0, answer.err
    assert_same(rows_of(catalog, "b"), rows_of(catalog, "a"), 1e-5)
    (source,) = query(catalog, "select source from models where model = 'b'")
    assert source == (str(gguf_of(folder)),)

    asked = ("run", "class mapping value", "--neuron", "1.5", "--format", "json", "--db", catalog)
    here, there = (json.loads(cli(*asked, "--model", model).out) for model in "ba")
    assert len(here) == len(there) > 1
    for row, other in zip(here, there, strict=True):
        assert row == pytest.approx(other, abs=1e-5)
    verified = cli("verify", "b", "--exemplars", 20, "--db", catalog)
    assert verified.code == 0, verified.err
    assert "quantizing" not in answer.err + verified.err


@pytest.mark.parametrize("model_type", MODELS)
def test_eight_bits_are_near(model_type: str, tmp_path: Path, cli: Cli) -> None:
    catalog = tmp_path / "c.duckdb"
    folder = tiny_checkpoints.build(model_type, tmp_path / "m", **SIZES | {"hidden_size": 128})
    file = write_gguf(folder, tmp_path / "q8.gguf", Q8_0)
    words = ("--stages", "weights", "--db", catalog)
    assert cli("ingest", folder, "--alias", "a", *words).code == 0
    answer = cli("ingest", file, "--alias", "b", *words)
    assert answer.code == 0, answer.err
    sql = "select cos_gate_in, cos_gate_out, cos_in_out from neurons where model = ? "
    sql += "order by layer, neuron"
    ours: Matrix = np.array(query(catalog, sql, "b"))
    theirs: Matrix = np.array(query(catalog, sql, "a"))
    np.testing.assert_allclose(ours, theirs, atol=3e-3)
    assert np.abs(ours - theirs).max() > 1e-6
    assert query(catalog, "select model, quantization from models order by model") == [
        ("a", None),
        ("b", "Q8_0"),
    ]


@pytest.mark.parametrize("kind", [GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_0])
def test_columns_and_rows_at_the_borders_of_blocks(
    kind: GGMLQuantizationType, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = folders["llama"]
    checkpoint = open_checkpoint(str(write_gguf(folder, tmp_path / "m.gguf", kind)))
    for name, stored in (("mlp.down_proj", "ffn_down"), ("self_attn.k_proj", "attn_k")):
        full = f"model.layers.1.{name}.weight"
        whole = checkpoint.tensor(full)
        n_rows, n_columns = whole.shape
        expected = stored_tensors(folder)[f"blk.1.{stored}.weight"]
        if stored == "ffn_down":
            decoded = dequantize(quantize(expected, kind), kind)
            assert torch.equal(whole, torch.from_numpy(decoded))
        for start, stop in ((0, 1), (31, 33), (32, 64), (1, n_columns), (n_columns - 1, n_columns)):
            assert torch.equal(checkpoint.columns(full, start, stop), whole[:, start:stop])
        for start, stop in ((0, 1), (15, 17), (n_rows - 1, n_rows), (0, n_rows)):
            assert torch.equal(checkpoint.rows(full, start, stop), whole[start:stop])


def test_two_parts_give_the_same_tensors(
    folders: dict[str, Path], tmp_path: Path, cli: Cli
) -> None:
    folder = folders["llama"]
    write_gguf(folder, tmp_path / "m.gguf", per_part=20, tokenizer=True)
    parts = sorted(path.name for path in tmp_path.iterdir())
    assert parts == ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
    whole = NeuronVectors(open_checkpoint(str(folder)), "folded")
    for source in (tmp_path, tmp_path / parts[0], tmp_path / parts[1]):
        split = NeuronVectors(open_checkpoint(str(source)), "folded")
        assert sorted(split.checkpoint.names) == sorted(whole.checkpoint.names)
        for layer in range(tiny_checkpoints.N_LAYERS):
            ours, theirs = split.block(layer, 3, 50), whole.block(layer, 3, 50)
            assert all(torch.equal(ours[vector], theirs[vector]) for vector in VECTORS)
    with pytest.raises(CheckpointError, match="split into 2 parts, which transformers does not"):
        split.checkpoint.base_model(torch.float32)
    words = ("--stages", "weights,vocab,roles", "--db", tmp_path / "c.duckdb")
    answer = cli("ingest", tmp_path / parts[1], *words)
    assert answer.code == 0, answer.err


def refusal(cli: Cli, source: Path, *words: object) -> str:
    """What the command line says against a source: one sentence or two, with exit code 4."""
    db = source.parent / "refused.duckdb"
    answer = cli("ingest", source, *last_of_each("--stages", "weights", *words, "--db", db))
    assert answer.code == 4, answer
    said = " ".join(answer.err[answer.err.find("Error: ") :].split())
    assert said.startswith("Error: ") and said.endswith("."), answer.err
    assert "Traceback" not in answer.err and ".." not in said, answer.err
    return said


@pytest.fixture
def file(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A GGUF file alone in its folder, to be spoiled."""
    return Path(shutil.copy(gguf_of(folders["llama"]), tmp_path / "m.gguf"))


def test_a_part_is_missing_or_mixed_up(folders: dict[str, Path], tmp_path: Path, cli: Cli) -> None:
    write_gguf(folders["llama"], tmp_path / "m.gguf", per_part=20)
    first, second = sorted(tmp_path.glob("*.gguf"))
    kept = second.rename(tmp_path / "kept")
    assert "of which m-00002-of-00002.gguf is missing" in refusal(cli, first)
    shutil.copy(first, second)
    assert "is not part 2 of 2, as its name says" in refusal(cli, first)
    kept.rename(second)
    renamed = first.rename(tmp_path / "x.gguf")
    assert "its name does not end in -00001-of-00002.gguf" in refusal(cli, renamed)


def cut(n: int) -> Callable[[bytes], bytes]:
    return lambda whole: whole[:n]


SPOILED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "header cut short": (cut(300), "is truncated or no valid GGUF file"),
    "only the magic": (cut(4), "is truncated or no valid GGUF file"),
    "tensors cut short": (lambda whole: whole[:-5000], r"is truncated: tensor .* ends beyond its"),
    "another magic": (lambda whole: b"GGML" + whole[4:], "is a file, but no GGUF file"),
    "version 1": (
        lambda whole: whole[:4] + b"\1\0\0\0" + whole[8:],
        "is GGUF version 1; versions 2 and 3 in little-endian order are read",
    ),
    "no architecture": (
        lambda whole: whole.replace(b"general.architecture", b"general.architectura"),
        "has the architecture 'unknown'",
    ),
    "an architecture without a family": (
        lambda whole: re.sub(rb"(general.architecture.{12})llama", rb"\1mamba", whole, flags=re.S),
        "has the architecture 'mamba', which .* supported: gemma, gemma2, .*llama.*qwen2",
    ),
    "an unknown quantisation": (
        # Dimensions (1, 64) of the norm, then its type.
        lambda whole: re.sub(
            rb"(output_norm\.weight\1?.{4}.{8})\0\0\0\0".replace(rb"\1?", b""),
            lambda match: match[1] + (99).to_bytes(4, "little"),
            whole,
            flags=re.S,
        ),
        r"tensor output_norm.weight has the quantisation type 99, which is not known",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_file(name: str, file: Path, cli: Cli) -> None:
    spoil, says = SPOILED[name]
    whole = file.read_bytes()
    spoiled = spoil(whole)
    assert spoiled != whole
    file.write_bytes(spoiled)
    assert re.search(says, refusal(cli, file))


def test_big_endian(folders: dict[str, Path], tmp_path: Path, cli: Cli) -> None:
    file = write_gguf(folders["llama"], tmp_path / "m.gguf", endian=GGUFEndian.BIG)
    assert "in little-endian order are read" in refusal(cli, file)


def test_a_tensor_of_another_shape(folders: dict[str, Path], tmp_path: Path, cli: Cli) -> None:
    def edit(tensors: dict[str, Matrix]) -> None:
        tensors["blk.1.ffn_gate.weight"] = tensors["blk.1.ffn_gate.weight"][:-1]

    file = write_gguf(folders["llama"], tmp_path / "m.gguf", edit=edit)
    said = refusal(cli, file)
    assert (
        "tensor model.layers.1.mlp.gate_proj.weight has shape (95, 64), expected (96, 64)" in said
    )


def test_a_tensor_that_is_not_there(folders: dict[str, Path], tmp_path: Path, cli: Cli) -> None:
    def edit(tensors: dict[str, Matrix]) -> None:
        del tensors["blk.2.ffn_up.weight"]

    file = write_gguf(folders["llama"], tmp_path / "m.gguf", edit=edit)
    assert "has no tensor named model.layers.2.mlp.up_proj.weight" in refusal(cli, file)


def test_without_a_tokenizer(folders: dict[str, Path], tmp_path: Path, cli: Cli) -> None:
    file = write_gguf(folders["llama"], tmp_path / "m.gguf")
    said = refusal(cli, file, "--stages", "vocab")
    assert "cannot be read" in said and "--tokenizer DIR" in said
    words = ("--stages", "weights,vocab", "--tokenizer", folders["llama"])
    answer = cli("ingest", file, *words, "--db", tmp_path / "c.duckdb")
    assert answer.code == 0, answer.err


def test_a_model_that_transformers_cannot_load(
    folders: dict[str, Path], texts: Path, tmp_path: Path, cli: Cli
) -> None:
    """Phi-3's padding token lies outside this vocabulary, so transformers makes no model of it."""
    catalog = tmp_path / "c.duckdb"
    words = ("ingest", gguf_of(folders["phi3"]), "--tokenizer", folders["phi3"], "--db", catalog)
    assert cli(*words, "--stages", "weights,vocab").code == 0
    answer = cli(*words, "--stages", "activations", "--corpus", texts)
    assert answer.code == 4
    said = " ".join(answer.err.split())
    assert "transformers has no class for" in said and "(model type phi3)" in said
    assert "as its header says" in said


def test_a_folder_with_several_files(folders: dict[str, Path], tmp_path: Path, cli: Cli) -> None:
    for name in ("one.gguf", "two.gguf"):
        shutil.copy(gguf_of(folders["llama"]), tmp_path / name)
    said = refusal(cli, tmp_path)
    assert "has several GGUF files: one.gguf, two.gguf. Choose one with --file NAME." in said
    assert "does not exist" in refusal(cli, tmp_path, "--file", "three.gguf")
    catalog = tmp_path / "c.duckdb"
    words = ("--stages", "weights", "--db", catalog)
    assert cli("ingest", tmp_path, "--file", "two.gguf", *words).code == 0
    assert query(catalog, "select model, source from models") == [
        ("two", str(tmp_path / "two.gguf"))
    ]


def test_safetensors_win_over_gguf_and_say_so(
    folders: dict[str, Path], tmp_path: Path, cli: Cli
) -> None:
    both = Path(shutil.copytree(folders["llama"], tmp_path / "both"))
    shutil.copy(gguf_of(folders["llama"]), both / "m.gguf")
    catalog = tmp_path / "c.duckdb"
    words = ("ingest", both, "--stages", "weights", "--db", catalog)
    answer = cli(*words, "--alias", "a")
    assert answer.code == 0
    assert "safetensors are read, not m.gguf beside them" in " ".join(answer.err.split())
    assert cli(*words, "--alias", "b", "--file", "m.gguf").code == 0
    sources = query(catalog, "select source from models order by model")
    assert sources == [(str(both),), (str(both / "m.gguf"),)]


def test_a_file_without_suffix_is_known_by_its_magic(
    folders: dict[str, Path], tmp_path: Path, cli: Cli
) -> None:
    blob = Path(shutil.copy(gguf_of(folders["llama"]), tmp_path / "sha256-0a1b"))
    answer = cli("ingest", blob, "--stages", "weights,vocab", "--db", tmp_path / "c.duckdb")
    assert answer.code == 0, answer.err
    blob.write_text("no model")
    assert "is a file, but no GGUF file" in refusal(cli, blob)


def test_without_the_package(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'neuron-catalog\[gguf\]'"):
        open_checkpoint(str(file))


def test_more_than_one_model_is_not_given_one_file(cli: Cli, tmp_path: Path) -> None:
    for words in (("--file", "x"), ("--tokenizer", tmp_path)):
        answer = cli("ingest", "a/b", "c/d", *words, "--db", tmp_path / "c.duckdb")
        assert answer.code == 2 and "go with one MODEL" in answer.err


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("spoiled") / "m.gguf"


def read_or_refused(path: Path) -> None:
    """Read all that an ingest reads; CheckpointError may stop it, and nothing else."""
    try:
        checkpoint = open_checkpoint(str(path))
        assert len(checkpoint.fingerprint) == 64
        NeuronVectors(checkpoint, "folded").block(0, 0, 4)
    except CheckpointError as error:
        assert str(error).endswith((".", "`")), str(error)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rest=st.binary(max_size=200), version=st.sampled_from([b"", b"\3\0\0\0", b"\2\0\0\0"]))
def test_any_bytes_after_the_magic(rest: bytes, version: bytes, spoiled: Path) -> None:
    spoiled.write_bytes(MAGIC + version + rest)
    with pytest.raises(CheckpointError):
        open_checkpoint(str(spoiled))


@settings(deadline=None)
@given(data=st.data())
def test_any_byte_of_the_header_changed(
    data: st.DataObject, folders: dict[str, Path], spoiled: Path
) -> None:
    whole = bytearray(gguf_of(folders["llama"]).read_bytes())
    begin = min(t.begin for t in GgufHeader.read(gguf_of(folders["llama"])).tensors.values())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(4, begin - 1))] = data.draw(st.integers(0, 255))
    spoiled.write_bytes(whole)
    read_or_refused(spoiled)


def test_header_numbers(file: Path) -> None:
    header = GgufHeader.read(file)
    assert header.tensors["blk.0.ffn_gate.weight"].shape == (96, 64)
    assert header.field("llama.block_count") == tiny_checkpoints.N_LAYERS
    assert header.field("tokenizer.ggml.tokens")[0] == "<s>"
    assert header.field("not.there", 7) == 7
    assert "general.architecture" in header
    assert math.prod(header.tensors["output.weight"].shape) == 300 * 64


def test_the_demo_model_as_gguf(tmp_path: Path, cli: Cli) -> None:
    from catalog.ingest.demo import MODEL_FOLDERS

    catalog = tmp_path / "c.duckdb"
    file = write_gguf(
        MODEL_FOLDERS["demo"], tmp_path / "demo.gguf", GGMLQuantizationType.F16, tokenizer=True
    )
    words = ("--stages", "weights,vocab", "--db", catalog)
    assert cli("ingest", "demo", "--alias", "a", *words).code == 0
    answer = cli("ingest", file, "--alias", "b", *words)
    assert answer.code == 0, answer.err
    assert_same(rows_of(catalog, "b"), rows_of(catalog, "a"), 1e-6)
