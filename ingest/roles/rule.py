"""The rule that gives each neuron its functional role, run over a whole model.

The rule itself is SQL, written once (`catalog/views/45_functional_roles.sql`), so that what the
stage stores and what a query recomputes cannot differ; its defaults are those of the named query.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow as pa

from catalog.queries import named_query
from catalog.store.reading import fetch

_MACRO: Final = "45_functional_roles.sql"
_ASKED: Final = ("model", "role")


class Roles(NamedTuple):
    """What the rule gave.

    `rows`: layer, neuron, functional_role of every neuron, in that order; `counts`: neurons by
    role; `partition_variance`: the least vocabulary variance among partition neurons, None
    without any; `partition_kurtosis`: the highest excess kurtosis among them.
    """

    rows: pa.Table
    counts: dict[str, int]
    partition_variance: float | None
    partition_kurtosis: float | None


def default_parameters() -> dict[str, Any]:
    """The parameters of the rule as the named query `roles` has them by default."""
    values = named_query("roles").bound([])
    return {name: value for name, value in values.items() if name not in _ASKED}


def stored_moments(catalog: Path, alias: str, wait_s: float) -> pa.Table:
    """What the stages before computed of an entry's neurons, as far as the rule reads it.

    Returns:
        layer, neuron, cos_gate_in, vocab_variance, vocab_skew, vocab_kurtosis.
    """
    return fetch(
        catalog,
        "select layer, neuron, cos_gate_in, vocab_variance, vocab_skew, vocab_kurtosis "
        "from neurons where model = $1",
        [alias],
        wait_s,
    )


def assign_roles(
    moments: pa.Table, shares: pa.Table, scores: pa.Table, parameters: Mapping[str, Any]
) -> Roles:
    """The role of every neuron of one model (DESIGN section 1, "Functional roles").

    Args:
        moments: as `stored_moments` returns them.
        shares: layer, neuron, null_space_share of the same neurons.
        scores: layer, neuron, head_layer, head, cosine; those beyond the cutoff must be there.
        parameters: as `default_parameters` returns them.
    """
    with duckdb.connect() as memory:
        for name, rows in (("moments", moments), ("shares", shares), ("scores", scores)):
            memory.register(name, rows)
        memory.execute(
            "create view neurons as select '' as model, * from moments join shares "
            "using (layer, neuron);"
            "create view attention_scores as select '' as model, * from scores"
        )
        memory.execute((files("catalog.views") / _MACRO).read_text(encoding="utf-8"))
        memory.execute(
            "create table roles as select layer, neuron, functional_role from functional_roles("
            "$partition, $kurtosis, $n_entropy, $iqr_factor, $attention_cutoff, $layers_ahead)",
            dict(parameters),
        )
        rows = memory.execute("from roles order by layer, neuron").to_arrow_table()
        counts = memory.execute(
            "select functional_role, count(*) from roles where functional_role is not null "
            "group by functional_role order by functional_role"
        ).fetchall()
        partition = memory.execute(
            "select min(vocab_variance), max(vocab_kurtosis) from neurons join roles "
            "using (layer, neuron) where functional_role = 'partition'"
        ).fetchone()
    assert partition is not None
    return Roles(rows, dict(counts), *partition)
