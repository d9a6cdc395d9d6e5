"""Fixtures of the corpus tests: two tokenizers, and a short way to tokenise documents."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from catalog.ingest.corpus import CorpusSpec, TokenisedCorpus, tokenise_corpus

from .tiny_tokenizers import byte_level, metaspace

D_VOCAB = 400

Tokenise = Callable[..., TokenisedCorpus]


@pytest.fixture(scope="session")
def gpt_like() -> PreTrainedTokenizerFast:
    return byte_level()


@pytest.fixture(scope="session")
def llama_like() -> PreTrainedTokenizerFast:
    return metaspace()


@pytest.fixture(scope="session", params=["gpt_like", "llama_like"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    found: PreTrainedTokenizerFast = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def tokenise(tmp_path: Path, gpt_like: PreTrainedTokenizerFast) -> Tokenise:
    """Tokenise a path, or texts given as a list, with the byte-level tokenizer by default."""

    def run(
        source: Path | str | Sequence[str],
        tokenizer: PreTrainedTokenizerFast = gpt_like,
        d_vocab: int = D_VOCAB,
        model_limit: int | None = None,
        **choices: Any,
    ) -> TokenisedCorpus:
        if not isinstance(source, Path | str):
            source = write_jsonl(tmp_path / "texts.jsonl", [{"text": text} for text in source])
        spec = CorpusSpec(str(source), **choices)
        folder = tmp_path / "tokenised"
        return tokenise_corpus(spec, tokenizer, d_vocab, folder, model_limit=model_limit)

    return run


def write_jsonl(path: Path, records: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path
