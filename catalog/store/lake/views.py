"""What a lake holds: each public view, its order, and the slices in which it is read."""

from dataclasses import dataclass
from typing import Any, Final

import duckdb

Condition = tuple[str, dict[str, Any]]
"""A condition over a view's columns, and the values of its parameters."""

_SLICE_ROW_GROUPS: Final = 8
"""Row groups that are held at once: 0.2 GB of Arrow at most."""


@dataclass(frozen=True)
class LakeView:
    """A folder of a lake: rows of one model, in this order.

    `row_group` is the most rows of a row group, which is what a reader of one neuron unpacks: few
    where rows are long. A view with `cut_by` is too large to be held and read in slices: by values
    of its first column, and ranges of its second where one of these has too many rows.
    """

    name: str
    order: tuple[str, ...]
    cut_by: tuple[str, str] | None = None
    row_group: int = 32_768
    source: str = ""

    @property
    def rows(self) -> str:
        """The SQL of its rows, columns in the public order."""
        return self.source or f"from {self.name}"


# The pieces of a model's vocabulary: no public view, but `similar_neurons` looks tokens up in them.
_TOKENS: Final = """
select m.alias as model, k.token_id, k.token from token k join model m using (vocabulary_id)
"""
_NEURON: Final = ("layer", "neuron")
_CONTEXT: Final = ("corpus", "context_id")

VIEWS: Final = (
    LakeView("models", ("model",)),
    LakeView("neurons", _NEURON, _NEURON),
    LakeView("top_tokens", (*_NEURON, "vector", "basis", "sign", "rank"), _NEURON, 122_880),
    LakeView("attention_scores", (*_NEURON, "head_layer", "head"), _NEURON, 122_880),
    LakeView("activation_stats", (*_NEURON, "corpus", "sign_case"), _NEURON, 65_536),
    LakeView("exemplars", (*_NEURON, "corpus", "sign_case", "rank"), _NEURON, 16_384),
    LakeView("activation_samples", (*_NEURON, *_CONTEXT, "position"), _NEURON, 122_880),
    LakeView("corpora", ("corpus",)),
    LakeView("contexts", _CONTEXT, _CONTEXT, 4_096),
    LakeView("ingest_runs", ("run_id",)),
    LakeView("tokens", ("token_id",), source=_TOKENS),
)
"""The public views, and `tokens`."""


def slices(
    connection: duckdb.DuckDBPyConnection, view: LakeView, model: str
) -> tuple[list[Condition], int | None]:
    """Conditions that cut a model's rows into slices, in their order, and how many rows in all.

    A view that is read at once is one slice; its rows are not counted first.
    """
    if view.cut_by is None:
        return [("true", {})], None
    major, minor = view.cut_by
    counts = connection.execute(
        f"select {major}, count(*), max({minor}) + 1 from ({view.rows}) where model = $1 "
        "group by all order by all",
        [model],
    ).fetchall()
    condition = f"{major} = $major and {minor} between $first and $last"
    conditions: list[Condition] = []
    for value, n_rows, n_minor in counts:
        step = max(1, _SLICE_ROW_GROUPS * view.row_group * n_minor // n_rows)
        conditions += [
            (condition, {"major": value, "first": first, "last": first + step - 1})
            for first in range(0, n_minor, step)
        ]
    return conditions, sum(n_rows for _, n_rows, _ in counts)
