"""Rows of what neurons do on a text of the user's own."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from catalog.errors import CorpusError, UsageError
from catalog.queries.neuron_record import chosen_corpus, known_corpora
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


def scales(
    catalog: Handle, entry: Entry, by: str | None, corpus: str | None
) -> "tuple[str, Float[ndarray, 'n_layers d_mlp']]":
    """What |post| is multiplied by to rank neurons, and the name of that (docs/definitions.md).

    Without `by`: unusual where activations on a corpus are stored, else written.

    Raises:
        NotFoundError, UsageError: no such corpus, or none that says what is usual.
    """
    import numpy as np

    with catalog.reading() as connection:
        asked = {"model": entry.model}
        known = known_corpora(connection, catalog.location, entry.model)
        shown = None
        if corpus is not None or by == "unusual" or (by is None and len(known) == 1):
            shown = chosen_corpus(known, corpus, entry.model)
        if by == "unusual" and shown is None:
            raise UsageError(
                f"What is unusual for a neuron needs a corpus, and {entry.model} has none."
            )
        by = by or ("written" if shown is None else "unusual")
        ranked = {**asked, "corpus": None if shown is None else shown.corpus, "by": by}
        found = run_query(connection, sql_text("neuron_scales"), ranked, catalog.location)
    values = np.zeros((entry.n_layers, entry.d_mlp), np.float32)
    scale = np.nan_to_num(found["scale"].to_numpy(zero_copy_only=False).astype(np.float32))
    values[found["layer"].to_numpy(), found["neuron"].to_numpy()] = scale
    return by, values


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

    The column of `by` is |post| times the neuron's scale; there is none by post itself.
    """
    import pyarrow as pa

    kinds = _kinds(catalog, model, [(each.layer, each.neuron) for each in found])
    return pa.Table.from_pylist(
        [
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
                "functional_role": kinds.get((each.layer, each.neuron), {}).get("functional_role"),
            }
            for each in found
        ]
    )


def changed_rows(changes: "Sequence[TokenChange]") -> "pa.Table":
    """One row per token: what an ablation does to the prediction after it."""
    import pyarrow as pa

    return pa.Table.from_pylist([asdict(each) for each in changes])


def attributed_rows(catalog: Handle, model: str, found: "Attributed") -> "pa.Table":
    """One row per neuron that matters for a token, with its class and role from the catalog."""
    import pyarrow as pa

    kinds = _kinds(catalog, model, [(each.layer, each.neuron) for each in found.neurons])
    return pa.Table.from_pylist(
        [
            {
                "neuron_id": f"{each.layer}.{each.neuron}",
                "effect": each.effect,
                "magnitude": each.magnitude,
                "io_class": kinds.get((each.layer, each.neuron), {}).get("io_class"),
                "functional_role": kinds.get((each.layer, each.neuron), {}).get("functional_role"),
            }
            for each in found.neurons
        ]
    )


def _kinds(
    catalog: Handle, model: str, neurons: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], dict[str, Any]]:
    """Class and role of neurons, by (layer, neuron)."""
    layers, numbers = zip(*neurons, strict=True)
    parameters = {"model": model, "layers": list(layers), "neurons": list(numbers)}
    with catalog.reading() as connection:
        rows = run_query(connection, sql_text("classes_of"), parameters, catalog.location)
    return {(row["layer"], row["neuron"]): row for row in rows.to_pylist()}
