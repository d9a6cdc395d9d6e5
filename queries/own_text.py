"""Rows of what neurons do on a text of the user's own."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from catalog.errors import CorpusError, UsageError
from catalog.queries.neuron_record import chosen_corpus, known_corpora, said_of_corpora
from catalog.queries.records import Entry
from catalog.queries.sql import sql_text
from catalog.store.handle import Handle
from catalog.store.reading import run_query

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Float
    from numpy import ndarray

    from catalog.ingest.own_text import NeuronOnText, TopNeuron
    from catalog.ingest.own_text_effects import Attributed, TokenChange

CHANGED_COLUMNS: Final = (
    *("position", "token", "next_token", "p_clean", "p_ablated", "loss_change"),
    *("likeliest_clean", "likeliest_ablated", "p_likeliest_clean", "p_likeliest_ablated"),
)
"""Of the rows that `changed_rows` makes."""

ATTRIBUTED_COLUMNS: Final = ("neuron_id", "effect", "magnitude", "io_class", "role")
"""Of the rows that `attributed_rows` makes."""


def neuron_columns(entry: Entry) -> tuple[str, ...]:
    """Of the rows that `neuron_rows` makes of an entry's neuron."""
    return ("position", "token", *(("gate",) if entry.gated else ()), "in", "post")


def top_columns(by: str) -> tuple[str, ...]:
    """Of the rows that `top_rows` makes; by |post| itself there is no column of what ranks."""
    ranked = () if by == "post" else (by,)
    shown = ("post", "gate", "in", "io_class", "role")
    return ("position", "token", "rank", "neuron_id", *ranked, *shown)


def require_text(text: str) -> None:
    """Refuse a text that no model can read, before one is loaded.

    Raises:
        CorpusError: it is empty.
        UsageError: it holds bytes that are no Unicode.
    """
    if not text:
        raise CorpusError("The text is empty.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError("The text is no valid Unicode. Give it in UTF-8.")


def require_layers(entry: Entry, first: int | None, last: int | None) -> range:
    """The layers from first to last, all without them.

    Raises:
        UsageError: the model does not have them.
    """
    if first is None:
        return range(entry.n_layers)
    layers = range(first, (first if last is None else last) + 1)
    if not layers or layers[-1] >= entry.n_layers or first < 0:
        raise UsageError(
            f"There are no layers {first} to {layers.stop - 1} in {entry.model}: layers go from 0 "
            f"to {entry.n_layers - 1}."
        )
    return layers


class Ranking(NamedTuple):
    """What ranks neurons (docs/definitions.md), and the corpus that says what is usual.

    `notes`: which of several corpora was taken.
    """

    by: str
    corpus: str | None
    notes: tuple[str, ...] = ()


def ranking(catalog: Handle, entry: Entry, by: str | None, corpus: str | None) -> Ranking:
    """How the neurons of an entry are ranked.

    Without `by`: unusual where activations on a corpus are stored, else written.

    Raises:
        NotFoundError, UsageError: no such corpus, or none that says what is usual.
    """
    with catalog.reading() as connection:
        known = known_corpora(catalog, connection, entry.model)
    shown = chosen_corpus(known, corpus, entry.model)
    if by == "unusual" and shown is None:
        raise UsageError(
            f"What is unusual for a neuron needs a corpus, and {entry.model} has none."
        )
    by = by or ("written" if shown is None else "unusual")
    if shown is None or by != "unusual":
        return Ranking(by, None)
    return Ranking(
        by, shown.corpus, said_of_corpora(corpus, shown.corpus, (each.corpus for each in known))
    )


def scales(
    catalog: Handle, entry: Entry, by: str, corpus: str | None
) -> "Float[ndarray, 'n_layers d_mlp']":
    """What |post| is multiplied by to rank neurons, as `ranking` says: float32."""
    import numpy as np

    asked = {"model": entry.model, "corpus": corpus, "by": by}
    with catalog.reading() as connection:
        found = run_query(connection, sql_text("neuron_scales"), asked, catalog.location)
    values = np.zeros((entry.n_layers, entry.d_mlp), np.float32)
    scale = np.nan_to_num(found["scale"].to_numpy(zero_copy_only=False).astype(np.float32))
    values[found["layer"].to_numpy(), found["neuron"].to_numpy()] = scale
    return values


def neuron_rows(on_text: "NeuronOnText") -> "pa.Table":
    """One row per token: gate (if it has one), in and post of the neuron."""
    import pyarrow as pa

    return pa.table(
        {
            "position": list(range(len(on_text.text.tokens))),
            "token": on_text.text.tokens,
            **({} if on_text.gate is None else {"gate": on_text.gate}),
            "in": on_text.x_in,
            "post": on_text.post,
        }
    )


def top_rows(
    catalog: Handle,
    model: str,
    found: "Sequence[TopNeuron]",
    by: str,
    scale: "Float[ndarray, 'n_layers d_mlp']",
) -> "pa.Table":
    """One row per token and neuron, with what ranks it, and its class and role.

    The column of `by` is |post| times the neuron's scale.
    """
    import pyarrow as pa

    kinds = _kinds(catalog, model, [(each.layer, each.neuron) for each in found])
    rows = [
        {
            "position": each.position,
            "token": each.token,
            "rank": each.rank,
            "neuron_id": f"{each.layer}.{each.neuron}",
            by: abs(each.post) * float(scale[each.layer, each.neuron]),
            "post": each.post,
            "gate": each.gate,
            "in": each.x_in,
            "io_class": kinds.get((each.layer, each.neuron), {}).get("io_class"),
            "role": kinds.get((each.layer, each.neuron), {}).get("role"),
        }
        for each in found
    ]
    return pa.Table.from_pylist(rows).select(top_columns(by))


def changed_rows(changes: "Sequence[TokenChange]") -> "pa.Table":
    """One row per token: what an ablation does to the prediction after it."""
    import pyarrow as pa

    return pa.Table.from_pylist(
        [{name: getattr(each, name) for name in CHANGED_COLUMNS} for each in changes]
    )


def attributed_rows(catalog: Handle, model: str, found: "Attributed") -> "pa.Table":
    """One row per neuron that matters for a token, with its class and role from the catalog."""
    import pyarrow as pa

    kinds = _kinds(catalog, model, [(each.layer, each.neuron) for each in found.neurons])
    rows = [
        {
            "neuron_id": f"{each.layer}.{each.neuron}",
            "effect": each.effect,
            "magnitude": each.magnitude,
            "io_class": kinds.get((each.layer, each.neuron), {}).get("io_class"),
            "role": kinds.get((each.layer, each.neuron), {}).get("role"),
        }
        for each in found.neurons
    ]
    return pa.Table.from_pylist(rows).select(ATTRIBUTED_COLUMNS)


def _kinds(
    catalog: Handle, model: str, neurons: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], dict[str, Any]]:
    """Class and role of neurons, by (layer, neuron)."""
    layers, numbers = zip(*neurons, strict=True)
    parameters = {"model": model, "layers": list(layers), "neurons": list(numbers)}
    with catalog.reading() as connection:
        rows = run_query(connection, sql_text("classes_of"), parameters, catalog.location)
    return {(row["layer"], row["neuron"]): row for row in rows.to_pylist()}
