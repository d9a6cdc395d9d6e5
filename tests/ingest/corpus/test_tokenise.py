"""The folder that tokenising leaves: its contents, its digest, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Regex, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from catalog.errors import CheckpointError, CorpusError, EnvironmentFault, UsageError
from catalog.ingest.corpus import CorpusSpec, TokenisedCorpus, tokenise_corpus
from catalog.ingest.corpus.encoding import encode, text_encoder
from catalog.ingest.corpus.tokenised import SCHEMA

from .conftest import D_VOCAB, Tokenise, write_jsonl
from .tiny_tokenizers import TEXTS


def test_contexts_are_stored_as_cut(tokenise: Tokenise, gpt_like: PreTrainedTokenizerFast) -> None:
    corpus = tokenise(TEXTS, context_length=16)
    table = corpus.contexts
    assert table.schema.equals(SCHEMA)
    assert table["context_id"].to_pylist() == list(range(corpus.n_contexts))
    rows = table.to_pylist()
    assert all(row["token_ids"][0] == gpt_like.bos_token_id for row in rows)
    assert all(row["token_starts"][0] == row["token_ends"][0] == 0 for row in rows)
    stored = [token_id for row in rows for token_id in row["token_ids"][1:]]
    encoded = [gpt_like(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    assert stored == [token_id for ids in encoded for token_id in ids]
    assert corpus.n_tokens == sum(len(row["token_ids"]) for row in rows)
    assert corpus.n_documents == len(TEXTS)
    assert (corpus.n_duplicates, corpus.n_empty, corpus.n_invalid, corpus.notes) == (0, 0, 0, [])
    assert rows[0]["source_ref"] == "texts.jsonl:1"
    assert rows[1]["source_ref"] == "texts.jsonl:1#2"


def test_contexts_can_be_read_back_in_any_order(
    tokenise: Tokenise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.ingest.corpus.tokenised.CONTEXTS_AT_ONCE", 7)
    corpus = tokenise([f"{i} fox" * (i + 1) for i in range(40)], context_length=20)
    assert len(corpus.contexts["text"].chunks) > 5
    expected = corpus.contexts["token_ids"].to_pylist()
    order = np.random.default_rng(0).permutation(corpus.n_contexts)
    found = corpus.tokens(order.tolist())
    assert [ids.tolist() for ids in found] == [expected[i] for i in order]
    assert all(ids.dtype == np.int32 for ids in found)
    assert corpus.lengths.dtype == np.int32
    assert corpus.lengths.tolist() == [len(ids) for ids in expected]
    following = [-1 if x is None else x for x in corpus.contexts["next_token_id"].to_pylist()]
    assert corpus.next_token_ids.tolist() == following
    assert corpus.table(5, 19)["context_id"].to_pylist() == list(range(5, 19))


def test_a_batch_of_contexts_ends_at_enough_tokens(
    tokenise: Tokenise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.ingest.corpus.tokenised.TOKENS_AT_ONCE", 50)
    corpus = tokenise(TEXTS, context_length=20)
    assert len(corpus.contexts["text"].chunks) > 2
    assert len(corpus.tokens(range(corpus.n_contexts))) == corpus.n_contexts


def test_opened_again_it_is_the_same(tokenise: Tokenise) -> None:
    corpus = tokenise(TEXTS)
    again = TokenisedCorpus.open(corpus.folder)
    assert again == corpus
    assert again.digest == corpus.digest


def test_text_batches_do_not_show(tokenise: Tokenise, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tokenise(TEXTS, context_length=16).digest
    monkeypatch.setattr(tokenise_module(), "CHARACTERS_AT_ONCE", 10)
    assert tokenise(TEXTS, context_length=16).digest == whole


def tokenise_module() -> object:
    return sys.modules["catalog.ingest.corpus.tokenise"]


def test_equal_digests_mean_equal_contexts_and_rules(tokenise: Tokenise) -> None:
    texts = ["the fox", "the dog"]
    digests = [
        tokenise(texts).digest,
        tokenise(texts[::-1]).digest,
        tokenise(texts[:1]).digest,
        tokenise(texts, context_length=512).digest,
        tokenise(texts, special_tokens="counted").digest,
        tokenise(texts, start_token="none").digest,
        tokenise(texts, start_token="1").digest,
    ]
    assert len(set(digests)) == len(digests)
    assert tokenise(texts, max_tokens=1000).digest == digests[0]
    assert tokenise([*texts, texts[0], " "]).digest == digests[0]


def test_the_same_texts_under_another_name_are_the_same_corpus(
    tokenise: Tokenise, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("the fox")
    named = tokenise(tmp_path / "folder")
    assert named.source == str(tmp_path / "folder")
    assert named.digest == tokenise(["the fox"]).digest


def test_duplicate_contexts_are_dropped_and_counted(tokenise: Tokenise) -> None:
    corpus = tokenise(["the fox", "the dog", "the fox", "the fox"])
    assert (corpus.n_contexts, corpus.n_duplicates, corpus.n_documents) == (2, 2, 4)
    assert corpus.notes == ["duplicate contexts dropped: 2"]


def test_texts_without_words_are_skipped_and_counted(tokenise: Tokenise, tmp_path: Path) -> None:
    corpus = tokenise(["", " \n\t\u00a0\u3000", "the fox"])
    assert (corpus.n_contexts, corpus.n_empty, corpus.n_documents) == (1, 2, 1)
    assert corpus.notes == ["documents without text skipped: 2"]


def test_invalid_utf8_is_replaced_and_counted(tokenise: Tokenise, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"the \xff\xfe fox")
    corpus = tokenise(tmp_path / "bad.txt")
    assert corpus.n_invalid == 1
    assert corpus.contexts["text"].to_pylist() == ["the \ufffd\ufffd fox"]
    assert corpus.notes == ["documents with invalid UTF-8 (replaced by U+FFFD): 1"]


def test_truncated_documents_are_counted_and_know_what_follows(tokenise: Tokenise) -> None:
    split = tokenise([TEXTS[0], "x"], context_length=8)
    corpus = tokenise([TEXTS[0], "x"], context_length=8, long_documents="truncate")
    assert (corpus.n_contexts, corpus.n_truncated) == (2, 1)
    assert corpus.next_token_ids.tolist() == [split.tokens([1])[0][1], -1]
    assert corpus.notes == ["documents truncated to their first context: 1"]


@pytest.mark.parametrize("max_tokens", [1, 8, 9, 16, 20, 10_000])
def test_the_context_that_reaches_max_tokens_is_the_last(
    tokenise: Tokenise, max_tokens: int
) -> None:
    every = tokenise(TEXTS, context_length=8)
    sums = np.cumsum(every.lengths)
    corpus = tokenise(TEXTS, context_length=8, max_tokens=max_tokens)
    n_kept = min(int(np.searchsorted(sums, max_tokens)) + 1, every.n_contexts)
    assert corpus.lengths.tolist() == every.lengths[:n_kept].tolist()
    assert corpus.stopped == (max_tokens <= sums[-1])


def test_start_tokens_and_special_tokens_are_recorded(tokenise: Tokenise) -> None:
    usual = tokenise(["the fox"])
    assert (usual.start_token_id, usual.position_0_special) == (0, True)
    assert usual.special_token_ids == [0, 1]
    none = tokenise(["the fox"], start_token="none")
    assert (none.start_token_id, none.position_0_special) == (None, True)
    assert none.tokens([0])[0].tolist() == usual.tokens([0])[0].tolist()[1:]
    assert tokenise(["the fox"], start_token="7").tokens([0])[0][0] == 7


def test_progress_is_told_after_each_context(
    tmp_path: Path, gpt_like: PreTrainedTokenizerFast
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in TEXTS])
    told: list[int] = []
    spec = CorpusSpec(str(path), context_length=8)
    corpus = tokenise_corpus(spec, gpt_like, D_VOCAB, tmp_path / "out", told.append)
    assert told == np.cumsum(corpus.lengths).tolist()


def test_context_length_is_bounded_by_the_model(tokenise: Tokenise) -> None:
    assert tokenise(["x"]).context_length == 1024
    assert tokenise(["x"], model_limit=512).context_length == 512
    assert tokenise(["x"], model_limit=4096).context_length == 1024
    assert tokenise(["x"], model_limit=4096, context_length=4096).context_length == 4096
    with pytest.raises(CorpusError, match=r"Contexts of 2048 tokens.*512"):
        tokenise(["x"], context_length=2048, model_limit=512)


@pytest.mark.parametrize("choice", [{"context_length": 1}, {"max_tokens": 0}])
def test_senseless_numbers_are_refused(tokenise: Tokenise, choice: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least"):
        tokenise(["x"], **choice)


@pytest.mark.parametrize("texts", [[], ["", "  "]])
def test_a_corpus_without_text_is_refused(tokenise: Tokenise, texts: list[str]) -> None:
    with pytest.raises(CorpusError, match=f"holds no text: {len(texts)} empty documents"):
        tokenise(texts)


def test_a_tokenizer_of_another_model_is_refused(tokenise: Tokenise, tmp_path: Path) -> None:
    message = "does not belong to the model: it gives token id .*embedding has 100 rows"
    with pytest.raises(CorpusError, match=message):
        tokenise(["the fox"], d_vocab=100)
    with pytest.raises(CorpusError, match="does not belong to the model"):
        tokenise(["the fox"], d_vocab=300, start_token="399")
    assert not (tmp_path / "tokenised").exists()
    assert not list(tmp_path.glob("*.part"))


def test_an_earlier_result_is_replaced_only_by_a_finished_one(
    tokenise: Tokenise, tmp_path: Path
) -> None:
    first = tokenise(["the fox"])
    (tmp_path / "tokenised.part").mkdir()
    (tmp_path / "tokenised.part" / "left over").write_text("by a killed run")
    with pytest.raises(CorpusError):
        tokenise(tmp_path / "tokenised" / "corpus.json")
    assert TokenisedCorpus.open(first.folder).digest == first.digest
    second = tokenise(["the dog"])
    assert TokenisedCorpus.open(first.folder).digest == second.digest != first.digest
    assert sorted(path.name for path in first.folder.iterdir()) == ["contexts.arrow", "corpus.json"]


def test_a_disk_that_refuses_is_no_fault_of_the_corpus(
    tokenise: Tokenise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokenise_module(), "ContextWriter", full)
    with pytest.raises(EnvironmentFault, match=r"could not be written.*No space left"):
        tokenise(["the fox"])
    assert not list(tmp_path.glob("tokenised*"))


def test_a_damaged_folder_is_refused(tokenise: Tokenise, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no tokenised corpus"):
        TokenisedCorpus.open(tmp_path / "none")
    folder = tokenise(["the fox"]).folder
    content = (folder / "contexts.arrow").read_bytes()
    (folder / "contexts.arrow").write_bytes(content[: len(content) // 2])
    with pytest.raises(CorpusError, match="holds no tokenised corpus"):
        TokenisedCorpus.open(folder)
    (folder / "corpus.json").write_text(json.dumps({"digest": "x"}))
    with pytest.raises(CorpusError, match="holds no tokenised corpus"):
        TokenisedCorpus.open(folder)


@pytest.mark.slow
def test_a_document_of_ten_megabytes(tmp_path: Path, gpt_like: PreTrainedTokenizerFast) -> None:
    text = "\n".join(f"{i} {TEXTS[i % 4]}" for i in range(120_000))
    assert len(text.encode()) > 10_000_000
    (tmp_path / "big.txt").write_text(text)
    corpus = tokenise_corpus(
        CorpusSpec(str(tmp_path / "big.txt")), gpt_like, D_VOCAB, tmp_path / "out"
    )
    assert (corpus.n_documents, corpus.n_duplicates) == (1, 0)
    stored = corpus.contexts["text"].to_pylist()
    assert len(text) <= sum(map(len, stored)) < len(text) + len(stored)
    assert text.startswith(stored[0])
    assert text.endswith(stored[-1])


MEASURE = """
import resource, sys
from pathlib import Path
from catalog.ingest.corpus import CorpusSpec, tokenise_corpus
from catalog.ingest.checkpoint.tokenizer import read_tokenizer
folder = Path(sys.argv[1])
for path in sys.argv[2:]:
    corpus = tokenise_corpus(CorpusSpec(path), read_tokenizer(folder), 400, folder / "out")
    print(corpus.n_contexts, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(
    tmp_path: Path, gpt_like: PreTrainedTokenizerFast
) -> None:
    """The peak so far of one process that reads 1x, 4x and 16x as much: 0.5, 2 and 8 MB."""
    gpt_like.save_pretrained(tmp_path)
    paths = []
    for times in (1, 4, 16):
        records = [{"text": f"{i} {TEXTS[i % 4] * 9}"} for i in range(600 * times)]
        paths.append(str(write_jsonl(tmp_path / f"{times}.jsonl", records)))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), *paths],
        capture_output=True,
        text=True,
        check=True,
    )
    measured = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert [n_contexts for n_contexts, _ in measured] == [600, 2400, 9600]
    peaks = [kilobytes / 1024 for _, kilobytes in measured]
    assert peaks[-1] < peaks[0] + 48, peaks


def test_arrow_maps_the_file_instead_of_reading_it(tokenise: Tokenise) -> None:
    before = pa.total_allocated_bytes()
    corpus = tokenise([f"{i} {TEXTS[i % 4] * 20}" for i in range(200)])
    assert corpus.contexts.nbytes > 1 << 20
    assert pa.total_allocated_bytes() - before < corpus.contexts.nbytes / 10


def test_a_regular_expression_that_gives_up_is_the_checkpoints_error(
    gpt_like: PreTrainedTokenizerFast,
) -> None:
    """It panics in Rust, which is no Exception."""
    encoder = text_encoder(gpt_like)
    encoder.pre_tokenizer = pre_tokenizers.Split(Regex(r"(x+x+)+y"), "isolated")
    with pytest.raises(CheckpointError, match=r"tokenizer cannot read the texts: .*retry-limit"):
        list(encode(encoder, ["x" * 200]))
