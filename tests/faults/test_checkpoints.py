"""Checkpoints from outside: headers, indexes, configurations and tokenizers that lie."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import CatalogError, CheckpointError
from tests import handmade
from tests.faults.odd import cut_or_flipped, deep, few, many, mutated, texts, values
from tests.faults.registry import Fault, injects
from tests.support import Answer

GATE = "model.layers.0.mlp.gate_proj.weight"
INDEX = "model.safetensors.index.json"
NOTHING = "all; nothing of it is ingested"


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def ingest(copy: Path, tmp_path: Path, cli: Callable[..., Answer]) -> Callable[..., Answer]:
    """Ingest the copy's weights; beside the catalog, nothing must have been written."""

    def answer(*options: str) -> Answer:
        before = sorted(tmp_path.rglob("*"))
        folder = tmp_path / "db"
        folder.mkdir()
        words = ("ingest", copy, "--stages", "weights", *options)
        given_back = cli(*words, "--db", folder / "c.duckdb")
        new = {path.name for path in set(tmp_path.rglob("*")) - set(before)}
        shutil.rmtree(folder)
        assert new <= {"db", "c.duckdb", "c.duckdb.lock"}, new
        return given_back

    return answer


def header_of(folder: Path) -> tuple[dict[str, Any], bytes]:
    data = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write(folder: Path, header: bytes, data: bytes, length: int | None = None) -> None:
    size = len(header) if length is None else length
    (folder / "model.safetensors").write_bytes(size.to_bytes(8, "little") + header + data)


DAMAGED = "Error: … is truncated or no safetensors file: {} Download or save it again."
HEADERS: dict[Fault, Callable[[dict[str, Any]], object]] = {
    Fault(f"safetensors: {name}", 4, DAMAGED.format(says), NOTHING): edit
    for name, says, edit in (
        (
            "tensors overlap",
            "invalid offset for tensor `…`.",
            lambda h: h[GATE].update(data_offsets=[0, 1536]),
        ),
        (
            "offsets are negative",
            "invalid JSON in header: invalid value: integer `-1536`, expected usize ….",
            lambda h: h[GATE].update(data_offsets=[-1536, 0]),
        ),
        (
            "offsets lie beyond the file",
            "invalid offset for tensor `…`.",
            lambda h: h[GATE].update(data_offsets=[10**12, 10**12 + 1536]),
        ),
        (
            "a shape whose product is beyond 64 bits",
            "overflow computing buffer size from shape and/or element type.",
            lambda h: h[GATE].update(shape=[2**40, 2**40]),
        ),
        (
            "a dtype that is wider than the bytes",
            "invalid shape, data type, or offset for tensor.",
            lambda h: h[GATE].update(dtype="F64"),
        ),
        (
            "infinity for an offset",
            "invalid JSON in header: ….",
            lambda h: h[GATE].update(data_offsets=[float("inf"), 1]),
        ),
    )
}


@injects(*HEADERS)
def test_a_header_that_lies(fault: Fault, copy: Path, ingest: Callable[..., Answer]) -> None:
    header, data = header_of(copy)
    HEADERS[fault](header)
    write(copy, json.dumps(header).encode(), data)
    fault.seen(ingest())


RAW_HEADERS: dict[Fault, Callable[[bytes], tuple[bytes, int | None]]] = {
    Fault(f"safetensors: {name}", 4, DAMAGED.format(says), NOTHING): edit
    for name, says, edit in (
        ("a name stands twice", "a name stands twice in its header.", lambda h: (twice(h), None)),
        ("a header of 2^63 bytes", "header too large.", lambda h: (h, 2**63)),
        ("a header that is no UTF-8", "invalid UTF-8 in header: ….", lambda h: (b"\xff" * 9, None)),
        (
            "a header nested 100,000 deep",
            "invalid JSON in header: recursion limit exceeded ….",
            lambda h: (b'{"a":' * 100_000, None),
        ),
    )
}


def twice(header: bytes) -> bytes:
    tensors = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
    stored = json.dumps(tensors).encode()
    return stored[:-1] + b"," + stored[1:]


@injects(*RAW_HEADERS)
def test_a_header_that_is_none(fault: Fault, copy: Path, ingest: Callable[..., Answer]) -> None:
    header, data = header_of(copy)
    bad, length = RAW_HEADERS[fault](json.dumps(header).encode())
    write(copy, bad, data, length)
    fault.seen(ingest())


INDEXES: dict[Fault, Any] = {
    Fault(
        "an index of shards that leads out of its folder (../../x, /etc/passwd)",
        4,
        "Error: … names a shard that does not lie beside it: '/etc/passwd'; download the "
        "checkpoint again.",
        NOTHING,
    ): {GATE: "/etc/passwd"},
    Fault(
        "an index of shards that are not there",
        4,
        "Error: … lacks 1 of 1 shards: model-2.safetensors; download the checkpoint again.",
        NOTHING,
    ): {GATE: "model-2.safetensors"},
    Fault(
        "an index that is no index",
        4,
        "Error: … is no valid index of shards; download it again.",
        NOTHING,
    ): [GATE],
}


@injects(*INDEXES)
def test_an_index_that_lies(fault: Fault, copy: Path, ingest: Callable[..., Answer]) -> None:
    (copy / INDEX).write_text(json.dumps({"weight_map": INDEXES[fault]}))
    fault.seen(ingest())


CONFIGS: dict[Fault, dict[str, Any] | bytes] = {
    Fault(
        "config.json: ten million layers",
        4,
        "Error: … has no tensor named model.layers.3.mlp.gate_proj.weight.",
        NOTHING,
    ): {"num_hidden_layers": 10_000_000},
    Fault(
        "config.json: a number is text, negative, NaN, true or beyond all sizes",
        4,
        "Error: config.json says num_hidden_layers is …, which is no possible number.",
        NOTHING,
    ): {"num_hidden_layers": float("nan")},
    Fault(
        "config.json: sizes that the tensors have not",
        4,
        "Error: …: config.json says hidden_size 10000000, but the tensors have 16.",
        NOTHING,
    ): {"hidden_size": 10_000_000},
    Fault(
        "config.json: more heads than the tensors have",
        4,
        "Error: …: tensor model.layers.0.self_attn.q_proj.weight has shape (16, 16), expected …",
        NOTHING,
    ): {"num_attention_heads": 16, "num_key_value_heads": 1, "head_dim": 8},
    Fault(
        "config.json: values that transformers refuses",
        4,
        "Error: transformers has no class for … or cannot run it as its config.json says: …; "
        "--weights raw needs no check of its norms.",
        NOTHING,
    ): {"rms_norm_eps": "tiny", "rope_parameters": [1]},
    Fault(
        "config.json: no JSON, a byte order mark, nested 100,000 deep",
        4,
        "Error: … is not valid JSON: ….",
        NOTHING,
    ): b'{"a":' * 100_000,
    Fault(
        "config.json: no object",
        4,
        "Error: … is no model configuration: it holds no JSON object.",
        NOTHING,
    ): b"[1]",
}


@injects(*CONFIGS)
def test_a_config_that_lies(fault: Fault, copy: Path, ingest: Callable[..., Answer]) -> None:
    edit = CONFIGS[fault]
    path = copy / "config.json"
    whole = json.loads(path.read_bytes())
    path.write_bytes(edit if isinstance(edit, bytes) else json.dumps(whole | edit).encode())
    fault.seen(ingest())


@injects(
    Fault(
        "a named pipe in the place of config.json",
        4,
        "Error: …config.json is a pipe; a checkpoint has plain files.",
        NOTHING,
    )
)
def test_a_pipe(fault: Fault, copy: Path, ingest: Callable[..., Answer]) -> None:
    (copy / "config.json").unlink()
    os.mkfifo(copy / "config.json")
    fault.seen(ingest())


def opened(folder: Path) -> None:
    """Read all that the stages read of a checkpoint; it may refuse, and do nothing else."""
    from catalog.ingest.checkpoint import Checkpoint
    from catalog.ingest.neuron_vectors import NeuronVectors
    from catalog.ingest.vocabulary_matrices import embedding

    try:
        checkpoint = Checkpoint.read(folder, "tiny")
        assert len(checkpoint.fingerprint) == 64
        weights = NeuronVectors(checkpoint, "folded")
        weights.family.context_limit(checkpoint.config)
        weights.family.heads(checkpoint.config)
        weights.block(0, 0, 4)
        embedding(weights)
    except CheckpointError:
        pass


def base(once: Callable[..., Path]) -> Path:
    return once("faults-fuzzed", lambda folder: handmade.save(folder))


@many
@given(data=st.data())
def test_any_header(once: Callable[..., Path], data: st.DataObject) -> None:
    folder = base(once)
    header, tensors = header_of(folder)
    whole = (folder / "model.safetensors").read_bytes()
    drawn = st.one_of(
        mutated(header).map(lambda h: (json.dumps(h).encode(), tensors, None)),
        deep.map(lambda text: (text.encode(), tensors, None)),
        st.binary(max_size=50).map(lambda raw: (raw, tensors, None)),
        st.sampled_from([0, 1, 7, 2**31, 2**63, 2**64 - 1]).map(
            lambda n: (json.dumps(header).encode(), tensors, n)
        ),
        cut_or_flipped(whole[:4000]).map(lambda cut: (cut[8:], whole[4000:], None)),
    )
    bad, rest, length = data.draw(drawn)
    try:
        write(folder, bad, rest, length)
        opened(folder)
    finally:
        (folder / "model.safetensors").write_bytes(whole)


@many
@given(data=st.data())
def test_any_config(once: Callable[..., Path], data: st.DataObject) -> None:
    folder = base(once)
    path = folder / "config.json"
    whole = path.read_bytes()
    config = json.loads(whole) | {"text_config": {}, "num_experts": 1, "quantization_config": None}
    drawn = st.one_of(
        mutated(config).map(lambda c: json.dumps(c).encode()),
        values.map(lambda value: json.dumps(value).encode()),
        deep.map(str.encode),
        cut_or_flipped(whole),
    )
    try:
        path.write_bytes(data.draw(drawn))
        opened(folder)
    finally:
        path.write_bytes(whole)


@few
@given(data=st.data())
def test_any_config_before_transformers(once: Callable[..., Path], data: st.DataObject) -> None:
    """What passes our own checks reaches transformers, whose refusals are told too."""
    from catalog.ingest.checkpoint import Checkpoint
    from catalog.ingest.neuron_vectors import NeuronVectors
    from catalog.ingest.norm_check import check_norms

    folder = base(once)
    path = folder / "config.json"
    whole = path.read_bytes()
    ours = {"hidden_size", "intermediate_size", "num_hidden_layers", "model_type"}
    others = {key: value for key, value in json.loads(whole).items() if key not in ours}
    others |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}, "head_dim": 8}
    others |= {"layer_types": None, "attention_bias": False, "mlp_bias": False, "dtype": "float32"}
    changed = data.draw(mutated(others))
    try:
        path.write_text(json.dumps(json.loads(whole) | changed))
        check_norms(NeuronVectors(Checkpoint.read(folder, "tiny"), "folded"))
    except CheckpointError:
        pass
    finally:
        path.write_bytes(whole)


@many
@given(weight_map=st.one_of(values, st.dictionaries(st.sampled_from([GATE, "x"]), texts)))
def test_any_index(once: Callable[..., Path], weight_map: Any) -> None:
    folder = base(once)
    try:
        (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
        opened(folder)
    finally:
        (folder / INDEX).unlink()


TOKENIZERS = {
    Fault(
        "tokenizer.json: cut short",
        4,
        "Error: The tokenizer of … cannot be read: …; --stages weights works without a tokenizer",
        NOTHING,
    ): lambda text: text[: len(text) // 2],
    Fault(
        "tokenizer.json: an id that is no number",
        4,
        "Error: The tokenizer of … cannot be read: …; --stages weights works without a tokenizer",
        NOTHING,
    ): lambda text: text.replace('"▁w3": 3', '"▁w3": "3"').replace('"▁w3":3', '"▁w3":"3"'),
}


@injects(*TOKENIZERS)
def test_a_tokenizer_that_lies(
    fault: Fault, copy: Path, cli: Callable[..., Answer], tmp_path: Path
) -> None:
    path = copy / "tokenizer.json"
    path.write_text(TOKENIZERS[fault](path.read_text()))
    words = ("ingest", copy, "--stages", "vocab", "--weights", "raw")
    fault.seen(cli(*words, "--db", tmp_path / "c.duckdb"))


@many
@given(data=st.data())
def test_any_tokenizer(once: Callable[..., Path], data: st.DataObject) -> None:
    from catalog.ingest.checkpoint.tokenizer import read_tokenizer
    from catalog.ingest.vocabulary import vocabulary_pieces

    folder = base(once)
    name = data.draw(st.sampled_from(["tokenizer.json", "tokenizer_config.json"]))
    whole = (folder / name).read_bytes()
    config = json.loads(whole)
    if name == "tokenizer_config.json":
        config |= {"bos_token": "▁w1", "eos_token": {"content": "▁w2"}, "add_bos_token": True}
        config |= {"added_tokens_decoder": {"5": {"content": "▁w5", "special": True}}}
    drawn = st.one_of(
        mutated(config).map(lambda c: json.dumps(c).encode()),
        deep.map(str.encode),
        cut_or_flipped(whole),
    )
    try:
        (folder / name).write_bytes(data.draw(drawn))
        pieces = vocabulary_pieces(read_tokenizer(folder), handmade.D_VOCAB)
        assert all(0 <= token_id < handmade.D_VOCAB for token_id in pieces.token_ids.tolist())
    except CatalogError:
        pass
    finally:
        (folder / name).write_bytes(whole)
