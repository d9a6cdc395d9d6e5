"""A corpus on its way into the catalog: tokenised for a model, registered, its contexts loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.ingest.corpus import CorpusSpec, TokenisedCorpus, tokenise_corpus
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.progress import Progress
from catalog.store.corpora import CorpusEntry, context_count, insert_contexts, register_corpus
from catalog.store.handle import Handle
from catalog.store.staging import Staging, folder_name, staging_root

CONTEXTS_PER_TRANSACTION: Final = 4096


@dataclass(frozen=True)
class EnteredCorpus:
    """A corpus as tokenised for a model, and its id in the catalog."""

    corpus_id: int
    name: str
    tokenised: TokenisedCorpus


def default_corpus_name(source: str) -> str:
    """Last part of the source, without the ending of a file."""
    return Path(source).name.split(".")[0].lower() or source


def enter_corpus(
    catalog: Handle,
    spec: CorpusSpec,
    name: str | None,
    weights: NeuronVectors,
    model_id: int,
    progress: Progress,
) -> EnteredCorpus:
    """Tokenise the corpus for the model and register it under its name.

    Raises:
        CorpusError: it is empty, unreadable or does not fit the model; its name stands for other
            contexts already; or the model has it under another name.
    """
    name = name or default_corpus_name(spec.source)
    tokenizer = weights.checkpoint.tokenizer()
    limit = weights.family.context_limit(weights.checkpoint.config)
    progress.begin(f"tokenising {name}", spec.max_tokens)
    told = 0

    def tell(n_tokens: int) -> None:
        nonlocal told
        progress.advance(n_tokens - told)
        told = n_tokens

    folder = staging_root(catalog.file) / "corpora" / folder_name(name)
    tokenised = tokenise_corpus(spec, tokenizer, weights.d_vocab, folder, tell, limit)
    progress.end()
    for note in tokenised.notes:
        progress.note(f"{name}: {note}")
    entry = CorpusEntry(
        digest=tokenised.digest,
        source=tokenised.source,
        n_contexts=tokenised.n_contexts,
        n_tokens=tokenised.n_tokens,
        context_length=tokenised.context_length,
        start_token_id=tokenised.start_token_id,
        special_tokens=tokenised.special_tokens,
        parameters=tokenised.parameters,
    )
    with catalog.writing() as connection:
        return EnteredCorpus(register_corpus(connection, model_id, name, entry), name, tokenised)


def forget_corpus(corpus: EnteredCorpus) -> None:
    """Remove the staged contexts, which the catalog holds now."""
    Staging(corpus.tokenised.folder).discard()


def load_contexts(catalog: Handle, corpus: EnteredCorpus) -> None:
    """Load the contexts that the catalog does not hold yet, in their order."""
    n_contexts = corpus.tokenised.n_contexts
    loaded = 0
    while loaded < n_contexts:
        with catalog.writing() as connection:
            start = context_count(connection, corpus.corpus_id)
            stop = min(start + CONTEXTS_PER_TRANSACTION, n_contexts)
            if start < stop:
                insert_contexts(connection, corpus.corpus_id, corpus.tokenised.table(start, stop))
            loaded = stop
