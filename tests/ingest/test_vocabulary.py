"""Vocabulary pieces, special ids and the start token of byte-level and Metaspace tokenizers."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from catalog.errors import CheckpointError, UsageError
from catalog.ingest.checkpoint.tokenizer import read_tokenizer
from catalog.ingest.vocabulary import (
    BYTES,
    special_token_ids,
    start_token,
    vocabulary_pieces,
)


def numbered(pieces: list[str]) -> dict[str, int]:
    return {piece: token_id for token_id, piece in enumerate(pieces)}


def letters(data: bytes) -> str:
    """Spell bytes in the letters of a byte-level vocabulary."""
    spelled = {byte: letter for letter, byte in BYTES.items()}
    return "".join(spelled[byte] for byte in data)


def byte_level(pieces: list[str], nested: bool = False, **special: str) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE(numbered(pieces), []))
    step = pre_tokenizers.ByteLevel(add_prefix_space=False)
    split = pre_tokenizers.Digits(individual_digits=True)
    core.pre_tokenizer = pre_tokenizers.Sequence([split, step]) if nested else step
    if not nested:
        core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, **special)


def metaspace(pieces: list[str], kind: str = "replace", **special: str) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE(numbered(pieces), [], byte_fallback=True, unk_token="<unk>"))
    if kind == "replace":
        core.normalizer = normalizers.Replace(" ", "▁")
        core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    else:
        core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace()])
    return PreTrainedTokenizerFast(tokenizer_object=core, **special)


def tokens_of(tokenizer: PreTrainedTokenizerFast, d_vocab: int = 1000) -> dict[int, str]:
    vocabulary = vocabulary_pieces(tokenizer, d_vocab)
    return dict(zip(vocabulary.token_ids.tolist(), vocabulary.tokens, strict=True))


@pytest.mark.parametrize("nested", [False, True])
def test_byte_level_pieces_are_spelled_out(nested: bool) -> None:
    spelled = {
        b" world": " world",
        b"\n\n": "\n\n",
        b" \t": " \t",
        "日本".encode(): "日本",
        b"\xe6": "<0xE6>",
        b"\xe6\x97": "<0xE6><0x97>",
        b" na\xc3": " na<0xC3>",
        b"\xa5x": "<0xA5>x",
        "né".encode() + b"\xff!": "né<0xFF>!",
        b"\x00": "\x00",
    }
    tokenizer = byte_level([letters(data) for data in spelled], nested)
    assert list(tokens_of(tokenizer).values()) == list(spelled.values())


def test_every_single_byte_has_its_own_token() -> None:
    tokens = tokens_of(byte_level([letters(bytes([byte])) for byte in range(256)]))
    assert len(set(tokens.values())) == 256
    assert tokens[0x41] == "A"
    assert tokens[0xE6] == "<0xE6>"


@pytest.mark.parametrize("kind", ["replace", "metaspace"])
def test_sentencepiece_markers_become_spaces_and_byte_pieces_stay(kind: str) -> None:
    pieces = ["<unk>", "▁the", "▁▁", "a▁b", "<0x0A>", "Ġx", "é"]
    tokens = tokens_of(metaspace(pieces, kind))
    assert list(tokens.values()) == ["<unk>", " the", "  ", "a b", "<0x0A>", "Ġx", "é"]


def test_added_tokens_are_literal_and_win_over_the_piece_they_replace() -> None:
    tokenizer = byte_level(["Ġa", "b"])
    tokenizer.add_tokens([AddedToken("Ġliteral", normalized=False), AddedToken("  ")])
    tokenizer.add_special_tokens({"bos_token": "<｜begin▁of▁text｜>"})
    assert list(tokens_of(tokenizer).values()) == [
        " a",
        "b",
        "Ġliteral",
        "  ",
        "<｜begin▁of▁text｜>",
    ]


def test_runs_of_spaces_repeated_among_the_added_tokens_are_pieces() -> None:
    tokenizer = metaspace(["<unk>", "▁▁", "▁a"])
    tokenizer.add_tokens([AddedToken("▁▁", normalized=False), AddedToken("my▁own")])
    assert list(tokens_of(tokenizer).values()) == ["<unk>", "  ", " a", "my▁own"]


def test_plain_pieces_of_other_tokenizers_stay_as_they_are() -> None:
    core = Tokenizer(models.WordPiece(numbered(["[UNK]", "a", "##b", "Ġ▁"]), unk_token="[UNK]"))
    tokens = tokens_of(PreTrainedTokenizerFast(tokenizer_object=core))
    assert list(tokens.values()) == ["[UNK]", "a", "##b", "Ġ▁"]


def test_ids_beyond_the_embedding_and_gaps_are_left_out() -> None:
    core = Tokenizer(models.BPE({"a": 0, "b": 3, "c": 9, "d": 12}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="c")
    vocabulary = vocabulary_pieces(tokenizer, 9)
    assert vocabulary.token_ids.tolist() == [0, 3]
    assert vocabulary.token_ids.dtype == np.int32
    assert vocabulary.tokens == ["a", "b"]


def test_digest_tells_vocabularies_apart() -> None:
    digests = {
        vocabulary_pieces(byte_level(pieces), d_vocab).digest
        for pieces, d_vocab in [
            (["ab", "c"], 2),
            (["a", "bc"], 2),
            (["c", "ab"], 2),
            (["ab", "c"], 1),
        ]
    }
    assert len(digests) == 4
    again = vocabulary_pieces(byte_level(["ab", "c", "x"]), 2)
    assert again.digest in digests


def test_special_tokens_are_those_with_a_role_and_the_reserved() -> None:
    tokenizer = byte_level(["a", "b"])
    tokenizer.add_special_tokens({"bos_token": "<s>", "pad_token": "<pad>"})
    tokenizer.add_tokens([AddedToken("<reserved_0>", special=True), AddedToken("word")])
    assert special_token_ids(tokenizer) == [2, 3, 4]


def test_start_token_is_bos_else_eos_else_none() -> None:
    pieces = ["<s>", "</s>", "a"]
    both = byte_level(pieces, bos_token="<s>", eos_token="</s>")
    assert start_token(both) == 0
    assert start_token(byte_level(pieces, eos_token="</s>")) == 1
    assert start_token(byte_level(pieces)) is None
    assert start_token(both, "none") is None
    assert start_token(both, "2") == 2


@pytest.mark.parametrize("override", ["3", "-1", "x", "", "1.0", "²"])
def test_start_token_must_be_an_id_of_the_tokenizer(override: str) -> None:
    with pytest.raises(UsageError, match="start token"):
        start_token(byte_level(["<s>", "</s>", "a"], bos_token="<s>"), override)


def test_read_tokenizer_gives_what_was_saved(tmp_path: Path) -> None:
    saved = metaspace(["<unk>", "<s>", "▁a"], bos_token="<s>", unk_token="<unk>")
    saved.save_pretrained(tmp_path)
    read = read_tokenizer(tmp_path)
    assert vocabulary_pieces(read, 3)[1:] == vocabulary_pieces(saved, 3)[1:]
    assert start_token(read) == 1


def save_as(folder: Path, tokenizer: PreTrainedTokenizerFast, **changes: str | None) -> None:
    """Save a tokenizer under the name of another class, as many checkpoints do."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value}))
    (folder / "config.json").write_text('{"model_type": "llama"}')


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "LlamaTokenizer", "PreTrainedTokenizerFast"])
def test_the_steps_of_tokenizer_json_are_kept_whatever_the_class(tmp_path: Path, name: str) -> None:
    tokenizer = byte_level(["1", "2", "Ġ", "12"], nested=True, eos_token="Ġ")
    save_as(tmp_path, tokenizer, tokenizer_class=name)
    read = read_tokenizer(tmp_path)
    assert read("12 1", add_special_tokens=False)["input_ids"] == [0, 1, 2, 0]
    assert tokens_of(read) == {0: "1", 1: "2", 2: "Ġ", 3: "12"}


def test_roles_that_only_the_class_gives_are_taken_from_it(tmp_path: Path) -> None:
    tokenizer = byte_level(["<|endoftext|>", "a"])
    save_as(tmp_path, tokenizer, tokenizer_class="GPTNeoXTokenizer")
    assert start_token(read_tokenizer(tmp_path)) == 0
    save_as(tmp_path, tokenizer, tokenizer_class="OfSomebodyElse")
    assert start_token(read_tokenizer(tmp_path)) is None


def test_roles_of_tokens_that_are_not_there_stay_open(tmp_path: Path) -> None:
    save_as(tmp_path, byte_level(["a", "b"]), tokenizer_class="GPTNeoXTokenizer")
    tokenizer = read_tokenizer(tmp_path)
    assert start_token(tokenizer) is None
    assert vocabulary_pieces(tokenizer, 10).tokens == ["a", "b"]


def test_a_folder_without_tokenizer_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(CheckpointError, match=r"no tokenizer.*tokenizer\.json.*stages='weights'"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "{", "{}", json.dumps({"added_tokens": [], "model": {"type": "Unheard"}})],
    ids=["empty", "cut", "hollow", "unknown"],
)
def test_a_damaged_tokenizer_is_refused_with_the_way_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"cannot be read.*stages='weights'"):
        read_tokenizer(tmp_path)
