"""The rule that gives each neuron its functional role, run over a whole model.

The rule itself is SQL, written once (`catalog/views/45_functional_roles.sql`), so that what the
stage stores and what a query recomputes cannot differ.
"""

from dataclasses import asdict
from importlib.resources import files
from typing import Final, NamedTuple

import duckdb
import pyarrow as pa

from catalog.role_rule import RoleRule
from catalog.store.handle import Handle
from catalog.store.role_notes import CALL, role_notes

_MACRO: Final = "45_functional_roles.sql"


class Roles(NamedTuple):
    """What the rule gave.

    `rows`: layer, neuron, functional_role of every neuron, in that order; `notes` as
    `catalog.store.role_notes.role_notes` returns them.
    """

    rows: pa.Table
    notes: dict[str, object]


def stored_moments(catalog: Handle, alias: str) -> pa.Table:
    """What the stages before computed of an entry's neurons, as far as the rule reads it.

    Returns:
        layer, neuron, cos_gate_in, vocab_variance, vocab_skew, vocab_kurtosis.
    """
    return catalog.fetch(
        "select layer, neuron, cos_gate_in, vocab_variance, vocab_skew, vocab_kurtosis "
        "from neurons where model = $1 order by layer, neuron",
        [alias],
    )


def assign_roles(
    moments: pa.Table, shares: pa.Table, scores: pa.Table, rule: RoleRule, *, gated: bool = True
) -> Roles:
    """The role of every neuron of one model (docs/definitions.md, "Functional roles").

    Args:
        moments: as `stored_moments` returns them.
        shares: layer, neuron, null_space_share of the same neurons.
        scores: layer, neuron, head_layer, head, cosine; those beyond the cutoff must be there.
        rule: the rule's parameters.
        gated: whether the model's neurons have a gate.
    """
    with duckdb.connect() as memory:
        for name, rows in (("moments", moments), ("shares", shares), ("scores", scores)):
            memory.register(name, rows)
        memory.execute(
            "create view neurons as select '' as model, * from moments join shares "
            "using (layer, neuron);"
            "create view attention_scores as select '' as model, * from scores"
        )
        memory.execute(f"create view models as select '' as model, {gated} as gated")
        memory.execute((files("catalog.views") / _MACRO).read_text(encoding="utf-8"))
        memory.execute(f"create table roles as {CALL}", asdict(rule))
        rows = memory.execute(
            "select layer, neuron, functional_role from roles order by layer, neuron"
        ).to_arrow_table()
        return Roles(rows, role_notes(memory, "", rule))
