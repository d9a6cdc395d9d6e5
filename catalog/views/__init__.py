"""The public views: what they mean, and their SQL in `.sql` files, applied in order of their names.

What a lake holds, the views' comments and docs/schema.md derive from this declaration.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

from catalog.role_rule import RoleRule
from catalog.tables import table_named
from catalog.taxonomy import WINDOW_BEFORE


@dataclass(frozen=True)
class View:
    """A public view, and the folder of a lake with its rows of one model in `order`.

    `tables` are those it reads, the one of its rows first. `docs` are comments of the columns that
    no table has, or that mean something else here; all others are the table's.

    `row_group` is the most rows of a row group of a Parquet file, which is what a reader of one
    neuron unpacks: few where rows are long. A view with `cut_by` is too large to be held and read
    in slices: by values of its first column, and ranges of its second where one of these has too
    many rows.
    """

    name: str
    doc: str
    tables: tuple[str, ...]
    order: tuple[str, ...]
    docs: Mapping[str, str] = field(default_factory=dict)
    cut_by: tuple[str, str] | None = None
    row_group: int = 32_768

    @property
    def needs(self) -> tuple[str, ...]:
        """The stage that makes its rows; none if every entry has some."""
        return table_named(self.tables[0]).stages[:1]

    def comment(self, column: str) -> str:
        """What a column of the view means.

        Raises:
            KeyError: nothing is declared of it.
        """
        if column in self.docs:
            return self.docs[column]
        tables = map(table_named, self.tables)
        docs = [each.doc for table in tables for each in table.columns if each.name == column]
        if not docs:
            raise KeyError(f"{self.name}.{column}")
        return docs[0]


_MADE: Final = re.compile(r"create or replace (macro|view) (\w+)")
_OF_ENTRY: Final = {"model": "alias of the entry"}
_OF_CORPUS: Final = {**_OF_ENTRY, "corpus": "name of the corpus"}
_NEURON: Final = ("layer", "neuron")
_CONTEXT: Final = ("corpus", "context_id")


VIEWS: Final = (
    View(
        "models",
        "One row per catalog entry: a checkpoint read with one kind of weights.",
        ("model",),
        ("model",),
        {"model": "short alias, unique in the catalog"},
    ),
    View(
        "neurons",
        "One row per MLP neuron: weight geometry, IO class, vocabulary moments and functional "
        "role.",
        ("neuron",),
        _NEURON,
        {
            **_OF_ENTRY,
            "neuron_id": "layer.neuron, for reading; look up by (model, layer, neuron)",
            "expert": "expert within the layer, the shared one after the routed; NULL in dense "
            "layers",
            "flipped": "cos_gate_in < 0: the canonical reading negates w_in and w_out; NULL "
            "without a gate",
            "io_class": "IO class at threshold 0.5 (paper, section 4)",
            "atypical": "the sign of cos_gate_in does not follow from the other two cosines; NULL "
            "without a gate",
        },
        _NEURON,
    ),
    View(
        "top_tokens",
        "One row per listed token: the k highest and k lowest scores of each weight vector over "
        "the vocabulary.",
        ("top_token", "direction", "token"),
        (*_NEURON, "vector", "basis", "sign", "rank"),
        _OF_ENTRY,
        _NEURON,
        122_880,
    ),
    View(
        "router_tokens",
        "One row per routed expert and listed token: the k highest and k lowest scores of its row "
        "of the router over the vocabulary.",
        ("router_token", "token"),
        ("layer", "expert", "basis", "sign", "rank"),
        _OF_ENTRY,
    ),
    View(
        "attention_scores",
        "One row per neuron and attention head kept: cosine of w_out with what the head's "
        "queries compare to the start token's key.",
        ("attention_score",),
        (*_NEURON, "head_layer", "head"),
        _OF_ENTRY,
        _NEURON,
        122_880,
    ),
    View(
        "wires",
        "One row per wire kept: a neuron reads, with its gate or its in, what an earlier one "
        "writes.",
        ("wire",),
        (*_NEURON, "reads", "to_layer", "to_neuron"),
        {
            **_OF_ENTRY,
            "layer": "layer of the neuron that writes, from 0",
            "neuron": "the neuron that writes, within its layer, from 0",
        },
        _NEURON,
        122_880,
    ),
    View(
        "twins",
        "One row per neuron, vector and other neuron of the model whose same vector has the "
        "largest |cosine| with it.",
        ("twin",),
        (*_NEURON, "vector", "rank"),
        _OF_ENTRY,
        _NEURON,
        122_880,
    ),
    View(
        "drifts",
        "One row per neuron and two steps of a training series: how far its vectors turned "
        "between them. Each step is compared with the one before, the last one with all.",
        ("drift",),
        (*_NEURON, "other_model"),
        {**_OF_ENTRY, "other_model": "alias of the earlier step"},
        _NEURON,
        122_880,
    ),
    View(
        "activation_stats",
        "A row per neuron, corpus and sign case (four with a gate, two without): how often it "
        "occurs, and how strongly.",
        ("activation_stat",),
        (*_NEURON, "corpus", "sign_case"),
        {
            **_OF_CORPUS,
            "frequency": "share of the counted positions in this case",
            "routed": "share of the counted positions at which the neuron's expert was asked; NULL "
            "in dense layers, 1 for a shared expert",
        },
        _NEURON,
        65_536,
    ),
    View(
        "exemplars",
        "One row per exemplar: the contexts in which a neuron is strongest, by sign case.",
        ("exemplar",),
        (*_NEURON, "corpus", "sign_case", "rank"),
        {
            **_OF_CORPUS,
            "token": "token at the peak",
            "next_token": "next token of the document; NULL at its end",
            "text": "text of the window, cut from the context",
            "window_start": "position of the first token of the window",
            "window_tokens": "text of each token of the window",
        },
        _NEURON,
        16_384,
    ),
    View(
        "activation_samples",
        "One row per neuron and sampled position: what is typical, not only what is extreme.",
        ("activation_sample", "sample_position"),
        (*_NEURON, *_CONTEXT, "position"),
        _OF_CORPUS,
        _NEURON,
        122_880,
    ),
    View(
        "corpora",
        "One row per corpus as tokenised for a model.",
        ("corpus",),
        ("corpus",),
        _OF_CORPUS,
    ),
    View(
        "contexts",
        "One row per context of a corpus as tokenised for a model.",
        ("context",),
        _CONTEXT,
        {**_OF_CORPUS, "n_tokens": "tokens, the start token included"},
        _CONTEXT,
        4_096,
    ),
    View(
        "ablations",
        "One row per ablation, baseline and draw: which neurons were replaced, how and where.",
        ("ablation",),
        ("ablation_id", "baseline", "draw"),
        {**_OF_CORPUS, "created_at": "when it was finished, UTC"},
    ),
    View(
        "ablation_effects",
        "One row per ablation, baseline, draw and metric: how the effects are distributed.",
        ("ablation_effect", "ablation"),
        ("ablation_id", "baseline", "draw", "metric"),
        _OF_CORPUS,
    ),
    View(
        "ablation_differences",
        "One row per ablation, baseline and metric: what the subset does beyond its baseline.",
        ("ablation_difference", "ablation"),
        ("ablation_id", "baseline", "metric"),
        _OF_CORPUS,
    ),
    View(
        "ablation_positions",
        "One row per position of large effect: where an ablated subset mattered most.",
        ("ablation_position", "ablation"),
        ("ablation_id", "metric", "sign", "rank"),
        {
            **_OF_CORPUS,
            "token": "token at the position",
            "next_token": "next token of the context; NULL at its end",
        },
    ),
    View(
        "attributions",
        "One row per neuron and corpus: an estimate of what ablating the neuron alone would do.",
        ("attribution",),
        (*_NEURON, "corpus"),
        _OF_CORPUS,
        _NEURON,
    ),
    View(
        "detectors",
        "One row per neuron and corpus: whether it never fires, or fires on a few input tokens.",
        ("detector",),
        (*_NEURON, "corpus"),
        {
            **_OF_CORPUS,
            "dead": "whether it never fires on this corpus; where its gate is negative, a gated "
            "neuron still writes",
            "n_cover_95": "how many tokens these are, at most 5",
            "tokens": "the fewest input tokens that make 95% of its firings, most firings first; "
            "NULL if more than 5 are needed or it fires at fewer than 20 positions",
        },
        _NEURON,
    ),
    View(
        "descriptions",
        "One row per description of a neuron: what people and explainers say of it.",
        ("description",),
        (*_NEURON, "sign_case", "source", "source_key"),
        {**_OF_ENTRY, "imported_at": "when it was imported or written, UTC"},
        _NEURON,
    ),
    View(
        "ingest_runs",
        "One row per stage of an ingest: what was run, where, with which versions.",
        ("ingest_run",),
        ("run_id",),
        {**_OF_ENTRY, "corpus": "corpus that the rows are about, else NULL"},
    ),
    View(
        "tokens",
        "One row per token of an entry's vocabulary.",
        ("token",),
        ("token_id",),
        _OF_ENTRY,
    ),
)
"""All public views, in the order in which people meet them."""


def view_scripts() -> list[str]:
    """The SQL of macros and views, in the order in which it must run."""
    scripts = sorted(
        (file for file in files(__name__).iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    return [
        _window_macro(),
        _rule_macro(),
        *(script.read_text(encoding="utf-8") for script in scripts),
    ]


def macro_scripts() -> list[str]:
    """Those that make macros alone, over the views and not the tables beneath them."""
    return [script for script in view_scripts() if "create or replace view" not in script]


def macro_names() -> set[str]:
    """Names of the macros that come with the views."""
    return {
        name for script in view_scripts() for what, name in _MADE.findall(script) if what == "macro"
    }


def made_names(script: str) -> list[str]:
    """Names of the views and macros that a script makes."""
    return [name for _, name in _MADE.findall(script)]


def comment_on_views(execute: Callable[[str], Iterable[Any]]) -> None:
    """Comment the public views that there are, and their columns, as they are declared.

    `execute` runs a statement and gives its rows.

    Raises:
        KeyError: a column of which nothing is declared.
    """
    declared = {view.name: view for view in VIEWS}
    there = execute("select view_name from duckdb_views() where not internal order by all")
    for view in [declared[name] for (name,) in there if name in declared]:
        execute(f"comment on view {view.name} is {_text(view.doc)}")
        for column, *_ in list(execute(f"describe {view.name}")):
            execute(f"comment on column {view.name}.{column} is {_text(view.comment(column))}")


def _rule_macro() -> str:
    """The defaults of the rule for functional roles, by name; numbers alone have one."""
    cases = " ".join(
        f"when '{name}' then {value!r}"
        for name, value in vars(RoleRule()).items()
        if value is not None
    )
    return f"create or replace macro role_default(name) as case name {cases} end;"


def _window_macro() -> str:
    """Where the window around a peak begins: what counts its tokens is stated in the taxonomy."""
    return f"create or replace macro window_start_at(peak) as greatest(peak - {WINDOW_BEFORE}, 0);"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
