"""Neurons that a token drives: which contexts hold it, and the rows of what was measured there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from catalog.errors import Command, NotFoundError, Option, UsageError
from catalog.queries.neuron_record import (
    chosen_corpus,
    chosen_model,
    known_corpora,
    said_of_corpora,
)
from catalog.queries.records import Corpus, Entry, record_of
from catalog.queries.sql import sql_text
from catalog.store.handle import Handle
from catalog.store.reading import run_for_dicts, run_query

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.ingest.firing import NeuronOnToken

COLUMNS: Final = (
    *("neuron_id", "selectivity", "mean_post", "mean_post_elsewhere"),
    *("share_firing", "share_firing_elsewhere", "io_class", "role"),
)
"""Of the rows that `firing_rows` makes."""

_N_NEAR: Final = 5


@dataclass(frozen=True)
class HeldToken:
    """A token, by its ids, and the first `contexts` (token ids) of the `n_holding` that hold it.

    `starts_special`: whether the first position of a context is special. `notes`: which of several
    corpora was taken.
    """

    entry: Entry
    corpus: Corpus
    token: str
    token_ids: list[int]
    contexts: list[list[int]]
    n_holding: int
    starts_special: bool
    notes: tuple[str, ...] = ()


def held_token(
    catalog: Handle, token: str, model: str | None, corpus: str | None, max_tokens: int
) -> HeldToken:
    """Contexts of a corpus that hold a token, whole and in order, of some `max_tokens` tokens.

    Raises:
        NotFoundError: no such model or corpus, or no context holds the token.
        UsageError: several models, and none was named.
        DatabaseError: the catalog is a lake, which has no token ids of contexts.
    """
    if max_tokens < 1:
        raise UsageError(f"max_tokens is {max_tokens}; it must be at least 1.")
    with catalog.tables() as connection:
        entry = chosen_model(catalog, connection, model)
        asked = {"model": entry.model}
        fingerprint = run_for_dicts(connection, sql_text("fingerprint"), asked, catalog.location)
        known = known_corpora(catalog, connection, entry.model)
        shown = chosen_corpus(known, corpus, entry.model)
        if shown is None:
            raise NotFoundError(
                f"{entry.model} has no corpus in the catalog.",
                "Run: ",
                Command("ingest", (entry.source,), (Option("corpus", "CORPUS"),)),
            )
        sought = {"corpus": shown.corpus, "token": token, "max_tokens": max_tokens, **asked}
        rows = run_for_dicts(connection, sql_text("contexts_with_token"), sought, catalog.location)
        if not rows:
            near = run_for_dicts(
                connection,
                sql_text("near_pieces"),
                {"token": token, "k": _N_NEAR + 1, **asked},
                catalog.location,
            )
            others = [row["token"] for row in near if row["token"] != token]
            pieces = ", ".join(map(repr, others[:_N_NEAR]))
            raise NotFoundError(
                f"The token {token!r} stands in no context of {shown.corpus}. Pieces near it: "
                f"{pieces}."
            )
    return HeldToken(
        record_of(Entry, vars(entry) | fingerprint[0]),
        shown,
        token,
        list(rows[0]["sought"]),
        [list(row["token_ids"]) for row in rows],
        rows[0]["n_holding"],
        rows[0]["starts_special"],
        said_of_corpora(corpus, shown.corpus, (each.corpus for each in known)),
    )


def firing_rows(catalog: Handle, held: HeldToken, found: "list[NeuronOnToken]") -> "pa.Table":
    """One row per neuron, the most selective first, with its class and role."""
    import pyarrow as pa

    parameters = {
        "model": held.entry.model,
        "layers": [each.layer for each in found],
        "neurons": [each.neuron for each in found],
    }
    with catalog.reading() as connection:
        rows = run_query(connection, sql_text("classes_of"), parameters, catalog.location)
    kinds = {(row["layer"], row["neuron"]): row for row in rows.to_pylist()}
    values = (
        (
            f"{each.layer}.{each.neuron}",
            each.selectivity,
            each.mean_post,
            each.mean_post_elsewhere,
            each.share_firing,
            each.share_firing_elsewhere,
            kinds[each.layer, each.neuron]["io_class"],
            kinds[each.layer, each.neuron]["role"],
        )
        for each in found
    )
    return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in values])


def said(held: HeldToken, n_occurrences: int) -> str:
    """A sentence on what was read."""
    n_tokens = sum(map(len, held.contexts))
    return (
        f"{n_occurrences:,} occurrences of {held.token!r} in the first {len(held.contexts):,} of "
        f"{held.n_holding:,} contexts of {held.corpus.corpus} that hold it ({n_tokens:,} tokens "
        "read); elsewhere is the rest of these contexts."
    )
