"""Writing corpora: a corpus as tokenised is stored once, whoever's activations refer to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from catalog.errors import CorpusError, Option
from catalog.store.writing import insert_row, next_id

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class CorpusEntry:
    """What the catalog states of a corpus as tokenised; `digest` is its identity."""

    digest: str
    source: str
    n_contexts: int
    n_tokens: int
    context_length: int
    start_token_id: int | None
    special_tokens: str
    parameters: Mapping[str, Any]


def register_corpus(
    connection: duckdb.DuckDBPyConnection, model_id: int, name: str, entry: CorpusEntry
) -> int:
    """The id of the corpus, made if no model has it yet, and known to the model by `name`.

    Raises:
        CorpusError: the model knows another corpus by this name, or this one by another.
    """
    row = connection.execute(
        "select corpus_id from corpus where digest = $1", [entry.digest]
    ).fetchone()
    corpus_id = next_id(connection, "corpus", "corpus_id") if row is None else int(row[0])
    for known_id, known_name in connection.execute(
        "select corpus_id, name from model_corpus where model_id = $1 order by name", [model_id]
    ).fetchall():
        if known_id == corpus_id and known_name != name:
            raise CorpusError(
                f"This corpus is in the catalog already, as {known_name!r}: the same contexts.",
                "Use ",
                Option("corpus_name", known_name),
                " to carry it on or redo it.",
            )
        if known_name == name and known_id != corpus_id:
            raise CorpusError(
                f"The corpus {name!r} was ingested before with other contexts: its documents, or "
                "how they are cut, have changed.",
                "Give this one another ",
                Option("corpus_name"),
                ".",
            )
    if row is None:
        values = {**vars(entry), "parameters": json.dumps(entry.parameters, sort_keys=True)}
        insert_row(connection, "corpus", {"corpus_id": corpus_id, **values})
    connection.execute(
        "insert into model_corpus by name select $1 as model_id, $2 as corpus_id, $3 as name "
        "where not exists (from model_corpus where model_id = $1 and corpus_id = $2)",
        [model_id, corpus_id, name],
    )
    return corpus_id


def context_count(connection: duckdb.DuckDBPyConnection, corpus_id: int) -> int:
    """How many contexts of the corpus are loaded; they are loaded in the order of their ids."""
    ((count,),) = connection.execute(
        "select count(*) from context where corpus_id = $1", [corpus_id]
    ).fetchall()
    return int(count)


def insert_contexts(
    connection: duckdb.DuckDBPyConnection, corpus_id: int, contexts: "pa.Table"
) -> None:
    """Append contexts: context_id, source_ref, text, token_ids, token_starts, token_ends."""
    connection.register("staged_contexts", contexts)
    connection.execute(
        "insert into context by name select $1::integer as corpus_id, context_id, source_ref, "
        "text, token_ids, token_starts, token_ends from staged_contexts",
        [corpus_id],
    )
    connection.unregister("staged_contexts")
