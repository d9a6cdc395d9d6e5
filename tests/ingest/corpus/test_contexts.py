"""How documents are tokenised and cut: invariants over arbitrary texts, and the special cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from catalog.ingest.corpus import encoding
from catalog.ingest.corpus.contexts import Context, Cutting, cut
from catalog.ingest.corpus.encoding import encode, encode_long, encode_whole, text_encoder

from .tiny_tokenizers import TEXTS, byte_level, metaspace

TOKENIZERS = [byte_level(), metaspace()]
BOTH = st.sampled_from(TOKENIZERS)
WORDS = st.sampled_from(
    ["fox ", " the", "über", "日本", "👩‍🚀", "\n\n", "  ", "e\u0301", "\x00", "#2"]
)
TEXT = st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=40).map("".join))


def plain_ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def contexts_of(
    tokenizer: PreTrainedTokenizerFast, text: str, length: int, start: int | None, first: bool
) -> list[Context]:
    tokens = next(encode(text_encoder(tokenizer), [text]))
    return list(cut("doc", text, tokens, Cutting(length, start, first)))


@given(BOTH, TEXT, st.integers(2, 12), st.sampled_from([None, 0, 1]))
@settings(deadline=None, max_examples=300)
def test_contexts_of_a_document_are_its_tokens_in_order(
    tokenizer: PreTrainedTokenizerFast, text: str, length: int, start: int | None
) -> None:
    """Start tokens are special ones here: an ordinary one may stand in the text itself."""
    contexts = contexts_of(tokenizer, text, length, start, first=False)
    n_front = 0 if start is None else 1
    parts = [context.tokens.ids[n_front:].tolist() for context in contexts]
    assert [token_id for part in parts for token_id in part] == plain_ids(tokenizer, text)
    assert all(len(context.tokens.ids) == length for context in contexts[:-1])
    assert all(n_front < len(context.tokens.ids) <= length for context in contexts)
    assert all(context.tokens.ids[0] == start for context in contexts if n_front)
    following = [context.next_token_id for context in contexts]
    assert following == [part[0] for part in parts[1:]] + [None] * bool(parts)
    assert [context.source_ref for context in contexts] == [
        f"doc#{number}" if number > 1 else "doc" for number in range(1, len(parts) + 1)
    ]


@given(BOTH, TEXT, st.integers(2, 12), st.sampled_from([None, 0]))
@settings(deadline=None, max_examples=300)
def test_offsets_cover_the_text_of_a_context(
    tokenizer: PreTrainedTokenizerFast, text: str, length: int, start: int | None
) -> None:
    """The texts of contexts overlap at most in the one character that a cut went through."""
    rest = text
    for context in contexts_of(tokenizer, text, length, start, first=False):
        ids, starts, ends = (column[start is not None :] for column in context.tokens)
        assert starts[0] == 0
        assert ends[-1] == len(context.text)
        assert (starts <= ends).all()
        assert (starts[1:] <= ends[:-1]).all()
        assert (np.diff(starts) >= 0).all()
        assert rest.startswith(context.text) or rest.startswith(context.text[1:])
        rest = rest.removeprefix(
            context.text if rest.startswith(context.text) else context.text[1:]
        )
        assert len(ids) == len(starts) == len(ends)
    assert rest == ""


@given(BOTH, TEXT, st.integers(2, 12))
@settings(deadline=None)
def test_truncating_keeps_the_first_context_and_what_follows_it(
    tokenizer: PreTrainedTokenizerFast, text: str, length: int
) -> None:
    every = contexts_of(tokenizer, text, length, 0, first=False)
    first = contexts_of(tokenizer, text, length, 0, first=True)
    assert [context.text for context in first] == [context.text for context in every[:1]]
    assert [c.next_token_id for c in first] == [c.next_token_id for c in every[:1]]


def test_each_token_stands_for_its_own_characters() -> None:
    """A leading space belongs to its word, though the tokenizer itself trims it off."""
    text = " the fox  日本\n"
    (context,) = contexts_of(TOKENIZERS[0], text, 100, 0, first=False)
    ids, starts, ends = context.tokens
    assert (starts[0], ends[0]) == (0, 0)
    assert context.text == text
    pieces = TOKENIZERS[0].convert_ids_to_tokens(ids.tolist())
    for piece, a, b in zip(pieces[1:], starts[1:], ends[1:], strict=True):
        if piece.isascii() or piece.strip("Ġ").isascii():
            assert piece.replace("Ġ", " ") == text[a:b]
        else:
            assert text[a:b] in ("日", "本", "日本", "\n", " 日")


def test_bytes_of_one_character_share_its_offsets() -> None:
    (context,) = contexts_of(TOKENIZERS[1], "x🧿y", 100, None, first=False)
    edges = list(zip(context.tokens.starts.tolist(), context.tokens.ends.tolist(), strict=True))
    assert edges.count((1, 2)) == len("🧿".encode())


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["byte-level", "metaspace"])
@pytest.mark.parametrize("text", ["<s>the fox", "<s><s>the fox", "<s>the fox<s>the<s>"])
def test_a_start_token_in_the_text_is_not_doubled(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    start = tokenizer.bos_token_id
    for length in range(2, 9):
        for context in contexts_of(tokenizer, text, length, start, first=False):
            assert context.tokens.ids[0] == start
            assert context.tokens.ids[1] != start


def test_a_text_of_start_tokens_only_gives_nothing() -> None:
    assert contexts_of(TOKENIZERS[0], "<s><s>", 8, 0, first=False) == []


def test_a_tokenizers_own_truncation_and_padding_do_not_apply() -> None:
    tokenizer = byte_level()
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=50)
    tokens = next(encode(text_encoder(tokenizer), [TEXTS[0]]))
    assert tokens.ids.tolist() == plain_ids(byte_level(), TEXTS[0])
    assert tokenizer.backend_tokenizer.truncation is not None


def test_characters_that_a_normalizer_drops_fall_to_the_next_token() -> None:
    core = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    core.normalizer = normalizers.Strip()
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    (context,) = contexts_of(tokenizer, "  a   b  ", 9, None, first=False)
    assert context.text == "  a   b"
    assert context.tokens.starts.tolist() == [0, 3]
    assert context.tokens.ends.tolist() == [3, 7]


@given(BOTH, st.lists(st.sampled_from([*TEXTS, "x", " ", "\n", "👩‍🚀"]), min_size=20, max_size=60))
@settings(deadline=None, max_examples=50)
def test_long_texts_have_the_tokens_they_have_as_a_whole(
    tokenizer: PreTrainedTokenizerFast, parts: list[str]
) -> None:
    text = "".join(parts)
    encoder = text_encoder(tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "SLICE", 400)
        patch.setattr(encoding, "OVERLAP", 150)
        sliced = encode_long(encoder, text)
    for column, expected in zip(sliced, next(encode_whole(encoder, [text])), strict=True):
        assert column.tolist() == expected.tolist()


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["byte-level", "metaspace"])
def test_one_word_longer_than_the_overlap_is_still_exact(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "SLICE", 401)
    monkeypatch.setattr(encoding, "OVERLAP", 151)
    encoder = text_encoder(tokenizer)
    for text in ("the" * 700, "e" * 1999, "日" * 999):
        (whole,) = encode_whole(encoder, [text])
        assert encode_long(encoder, text).ids.tolist() == whole.ids.tolist()
