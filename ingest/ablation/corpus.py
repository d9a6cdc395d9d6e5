"""The first contexts of a corpus that the catalog holds, read to be ablated in."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import duckdb
import numpy as np
from jaxtyping import Int32
from numpy import ndarray

from catalog.errors import CorpusError
from catalog.ingest.activations.contexts import CountingRule
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.vocabulary import special_token_ids


@dataclass(frozen=True)
class StoredCorpus:
    """A corpus as tokenised for an entry, as the catalog states it."""

    corpus_id: int
    name: str
    digest: str
    n_contexts: int
    n_tokens: int
    special_tokens: str
    position_0_special: bool


@dataclass(frozen=True)
class FirstContexts:
    """Whole contexts in their order, ids from 0; the one that reaches `max_tokens` is the last."""

    corpus: StoredCorpus
    token_ids: tuple[Int32[ndarray, " length"], ...]

    @cached_property
    def lengths(self) -> Int32[ndarray, " n_contexts"]:
        """Tokens of each context."""
        return np.array([len(each) for each in self.token_ids], np.int32)

    def tokens(self, context_ids: Iterable[int]) -> list[Int32[ndarray, " length"]]:
        """Token ids of contexts."""
        return [self.token_ids[each] for each in context_ids]


def stored_corpora(connection: duckdb.DuckDBPyConnection, model: str) -> list[StoredCorpus]:
    """The corpora that an entry knows, shown or not, by name."""
    rows = connection.execute(
        "select c.corpus_id, mc.name, c.digest, c.n_contexts, c.n_tokens, c.special_tokens, "
        "c.start_token_id, c.parameters from corpus c join model_corpus mc using (corpus_id) "
        "join model m using (model_id) where m.alias = $1 order by mc.name",
        [model],
    ).fetchall()
    return [
        StoredCorpus(
            corpus_id,
            name,
            digest,
            n_contexts,
            n_tokens,
            special,
            start is not None or json.loads(parameters).get("start_token") is not None,
        )
        for corpus_id, name, digest, n_contexts, n_tokens, special, start, parameters in rows
    ]


def first_contexts(
    connection: duckdb.DuckDBPyConnection, corpus: StoredCorpus, max_tokens: int
) -> FirstContexts:
    """Read the first contexts up to `max_tokens`.

    Raises:
        CorpusError: the catalog does not hold them.
    """
    rows = connection.execute(
        """
        select token_ids from (
            select
                context_id, token_ids,
                sum(len(token_ids)) over (order by context_id) - len(token_ids) as n_before
            from context
            where corpus_id = $1
        )
        where n_before < $2
        order by context_id
        """,
        [corpus.corpus_id, max_tokens],
    ).fetchall()
    if not rows:
        raise CorpusError(f"The catalog holds no context of the corpus {corpus.name!r}.")
    return FirstContexts(corpus, tuple(np.array(ids, np.int32) for (ids,) in rows))


def counting_rule(corpus: StoredCorpus, weights: NeuronVectors) -> CountingRule:
    """Which positions are scored: those that activations count on the same corpus."""
    excluded = corpus.special_tokens == "excluded"
    special = special_token_ids(weights.checkpoint.tokenizer()) if excluded else []
    return CountingRule(tuple(special), skip_first=excluded and corpus.position_0_special)
