"""Entries that are checkpoints of one training run: their order, and what they must share."""

from typing import NamedTuple

import duckdb

from catalog.errors import CheckpointError
from catalog.store.writing import ModelEntry

_SHARED = (
    "family",
    "activation_fn",
    "gated",
    "weights",
    "n_layers",
    "d_model",
    "d_mlp",
    "d_vocab",
    "n_experts",
    "d_expert",
    "d_shared",
    "d_dense",
)
"""What steps of one series have in common, or no neuron of one would be a neuron of the other."""


class StepEntry(NamedTuple):
    """An entry of a series."""

    model_id: int
    alias: str
    step: int


def steps_of(connection: duckdb.DuckDBPyConnection, series: str) -> list[StepEntry]:
    """The entries of a series, in the order of their steps."""
    rows = connection.execute(
        "select model_id, alias, step from model where series = $1 order by step, model_id",
        [series],
    ).fetchall()
    return [StepEntry(*row) for row in rows]


def require_alike(
    connection: duckdb.DuckDBPyConnection, entry: ModelEntry, vocabulary: str | None
) -> None:
    """Refuse a step that is not of its series; `vocabulary` is the digest of its own, if read.

    Raises:
        CheckpointError: another step has another shape, kind of weights, or tokenizer.
    """
    for alias, held_vocabulary, *held in connection.execute(
        f"select m.alias, v.digest, {', '.join(f'm.{name}' for name in _SHARED)} from model m "
        "left join vocabulary v using (vocabulary_id) where m.series = $1 and m.step != $2 "
        "order by m.step",
        [entry.series, entry.step],
    ).fetchall():
        for name, theirs in zip(_SHARED, held, strict=True):
            if (ours := getattr(entry, name)) != theirs:
                raise CheckpointError(
                    f"{entry.source} is no step of {entry.series}: its {name} is {ours}, that of "
                    f"{alias} {theirs}."
                )
        if None not in (vocabulary, held_vocabulary) and vocabulary != held_vocabulary:
            raise CheckpointError(
                f"{entry.source} is no step of {entry.series}: its tokenizer has other tokens than "
                f"that of {alias}."
            )
