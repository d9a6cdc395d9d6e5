"""Tokenising a corpus: documents in, a folder of contexts out."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from catalog.errors import CorpusError
from catalog.ingest.corpus.contexts import Context, Cutting, cut
from catalog.ingest.corpus.documents import Document
from catalog.ingest.corpus.encoding import encode, text_encoder
from catalog.ingest.corpus.sources import open_documents
from catalog.ingest.corpus.spec import CorpusSpec
from catalog.ingest.corpus.tokenised import (
    CONTEXTS_FILE,
    ContextWriter,
    CorpusSummary,
    TokenisedCorpus,
)
from catalog.ingest.vocabulary import special_token_ids, start_token
from catalog.store.whole_files import UNFINISHED, explaining_writes, written_whole

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHARACTERS_AT_ONCE = 1 << 20  # of text tokenised together, enough to keep all cores busy


@dataclass
class Counts:
    """What was met on the way, as `CorpusSummary` defines it."""

    n_tokens: int = 0
    n_documents: int = 0
    n_duplicates: int = 0
    n_empty: int = 0
    n_invalid: int = 0
    n_truncated: int = 0
    stopped: bool = False

    def notes(self) -> list[str]:
        """Say in words what was left out or changed."""
        said = {
            "documents without text skipped": self.n_empty,
            "documents with invalid UTF-8 (replaced by U+FFFD)": self.n_invalid,
            "duplicate contexts dropped": self.n_duplicates,
            "documents truncated to their first context": self.n_truncated,
        }
        return [f"{what}: {number}" for what, number in said.items() if number]


class Counting(TypedDict):
    """What statistics over a corpus depend on besides its contexts, as in `CorpusSummary`."""

    context_length: int
    start_token_id: int | None
    position_0_special: bool
    special_token_ids: list[int]
    special_tokens: str


def tokenise_corpus(
    spec: CorpusSpec,
    tokenizer: "PreTrainedTokenizerFast",
    d_vocab: int,
    folder: Path,
    progress: Callable[[int], None] | None = None,
    model_limit: int | None = None,
) -> TokenisedCorpus:
    """Cut a corpus into contexts and write them to `folder`, replacing what is there.

    `d_vocab`: rows of the model's embedding; `model_limit`: most tokens it takes, None: any;
    `progress` is told the tokens so far after each context. Documents are streamed: apart from a
    16-byte hash of every context, what is in memory does not grow with the corpus.

    Raises CorpusError for a corpus that is empty, unreadable or does not fit the model, UsageError
    for parameters that make no sense, EnvironmentFault without network or space.
    """
    cutting = Cutting(
        spec.length_for(model_limit),
        start_token(tokenizer, spec.start_token),
        first_only=spec.long_documents == "truncate",
    )
    documents = open_documents(spec.source, spec.config, spec.split, spec.field)
    counts = Counts()
    contexts = all_contexts(documents.stream, tokenizer, d_vocab, cutting, counts)
    counting = how_counted(spec, tokenizer, cutting)
    unnamed = folder.with_name(f"{folder.name}{UNFINISHED}")
    with (
        explaining_writes(folder),
        written_whole(folder, unfinished=unnamed, folder=True) as unfinished,
    ):
        kept = limited(distinct(contexts, counts), spec.max_tokens, counts, progress)
        digest, n_contexts = write_contexts(unfinished / CONTEXTS_FILE, kept, counting)
        if n_contexts == 0:
            raise CorpusError(
                f"The corpus {documents.source} holds no text: {counts.n_empty} empty documents."
            )
        CorpusSummary(
            source=documents.source,
            digest=digest,
            n_contexts=n_contexts,
            parameters=spec.parameters(cutting.length),
            notes=documents.notes + counts.notes(),
            **counting,
            **asdict(counts),
        ).write(unfinished)
    return TokenisedCorpus.open(folder)


def how_counted(
    spec: CorpusSpec, tokenizer: "PreTrainedTokenizerFast", cutting: Cutting
) -> Counting:
    """Collect the parameters that statistics over a corpus depend on."""
    start_token_id = cutting.start_token_id
    return Counting(
        context_length=cutting.length,
        start_token_id=start_token_id,
        position_0_special=start_token_id is not None or spec.start_token is not None,
        special_token_ids=special_token_ids(tokenizer),
        special_tokens=spec.special_tokens,
    )


def all_contexts(
    documents: Iterator[Document],
    tokenizer: "PreTrainedTokenizerFast",
    d_vocab: int,
    cutting: Cutting,
    counts: Counts,
) -> Iterator[Context]:
    """Yield the contexts of all documents in their order, a batch of texts tokenised at once.

    Raises CorpusError for a token id for which the embedding has no row.
    """
    check_fits(cutting.start_token_id or 0, d_vocab)
    encoder = text_encoder(tokenizer)
    for batch in batches(with_text(documents, counts)):
        for document, tokens in zip(batch, encode(encoder, [d.text for d in batch]), strict=True):
            check_fits(int(tokens.ids.max(initial=0)), d_vocab)
            counts.n_documents += 1
            for context in cut(document.source_ref, document.text, tokens, cutting):
                cut_off = cutting.first_only and context.next_token_id is not None
                counts.n_truncated += cut_off
                yield context


def check_fits(token_id: int, d_vocab: int) -> None:
    """Raise CorpusError for a token id that is no row of the embedding."""
    if token_id >= d_vocab:
        raise CorpusError(
            f"The tokenizer does not belong to the model: it gives token id {token_id},"
            f" but the model's embedding has {d_vocab} rows."
        )


def with_text(documents: Iterator[Document], counts: Counts) -> Iterator[Document]:
    """Pass on the documents that hold more than whitespace; count the others and the repaired."""
    for document in documents:
        counts.n_invalid += document.repaired
        if document.text.isspace() or not document.text:
            counts.n_empty += 1
        else:
            yield document


def batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Group documents so that each group has enough text, the last one what is left."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if characters >= CHARACTERS_AT_ONCE:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def distinct(contexts: Iterator[Context], counts: Counts) -> Iterator[Context]:
    """Pass on the first of all contexts with the same token ids; count the others."""
    seen: set[bytes] = set()
    for context in contexts:
        key = hashlib.blake2b(context.tokens.ids.tobytes(), digest_size=16).digest()
        if key in seen:
            counts.n_duplicates += 1
        else:
            seen.add(key)
            yield context


def limited(
    contexts: Iterator[Context],
    max_tokens: int,
    counts: Counts,
    progress: Callable[[int], None] | None,
) -> Iterator[Context]:
    """Pass on contexts until their tokens reach `max_tokens`, and tell how many there are."""
    for context in contexts:
        counts.n_tokens += len(context.tokens.ids)
        yield context
        if progress is not None:
            progress(counts.n_tokens)
        if counts.n_tokens >= max_tokens:
            counts.stopped = True
            return


def write_contexts(path: Path, contexts: Iterator[Context], counting: Counting) -> tuple[str, int]:
    """Write contexts to a file; return the digest of the corpus and their number."""
    digest = hashlib.sha256(json.dumps(counting, sort_keys=True).encode())
    with ContextWriter(path) as writer:
        for context in contexts:
            writer.add(context)
            following = -1 if context.next_token_id is None else context.next_token_id
            digest.update(np.array([len(context.tokens.ids), following], "<i4").tobytes())
            digest.update(context.tokens.ids.astype("<i4", copy=False).tobytes())
    return digest.hexdigest(), writer.n_contexts
