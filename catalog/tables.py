"""The declaration of the data: stages and the tables they fill, stated once.

What loads, copies, merges, drops, exports and documents tables derives from it. Plain dataclasses,
so that readers need not import SQLAlchemy; `catalog.schema` makes its metadata from them.

Tables whose owner is a run carry the `run_id` that wrote a row and have no indexes or keys: DuckDB
finds rows by the zone maps of (run_id, layer, neuron), in which order they are loaded. Their rows
are shown when `current_rows` names the run. `catalog.views` declares the public views over them.
"""

from dataclasses import dataclass, replace
from typing import Final

from catalog.declaration import Column, Table
from catalog.taxonomy import METRICS


@dataclass(frozen=True)
class Stage:
    """A stage of an ingest.

    `needs`: stages whose rows it reads; they run first. `of_corpus`: its rows are about a corpus.
    `by_default`: it runs without being named (with a corpus, where it is about one). `version`:
    raised when the same input gives other rows; finished runs of an older version are offered anew.
    `falls_with_weights`: its rows are dropped when the weights are redone.
    """

    name: str
    needs: tuple[str, ...] = ()
    of_corpus: bool = False
    by_default: bool = True
    version: int = 1
    falls_with_weights: bool = False


STAGES: Final = (
    Stage("weights"),
    Stage("vocab", needs=("weights",)),
    Stage("roles", needs=("weights", "vocab"), version=2),
    Stage("wiring", needs=("weights",), by_default=False, falls_with_weights=True),
    Stage("activations", of_corpus=True),
    Stage("attribution", of_corpus=True, by_default=False, falls_with_weights=True),
)
"""All stages, in the order in which they run; each is computed by `ingest/stages/<name>.py`."""

ABLATION: Final = Stage("ablation", of_corpus=True, by_default=False, falls_with_weights=True)
"""What `catalog ablate` leaves runs of: no stage of an ingest, and several on one corpus."""

DESCRIPTIONS: Final = Stage("descriptions", by_default=False)
"""What each import of descriptions, and each written by hand, leaves a run of."""

RUN_KINDS: Final = (*STAGES, ABLATION, DESCRIPTIONS)
"""All that a run may be of."""


_UNCOMPRESSED: Final = "FLOAT USING COMPRESSION uncompressed"
"""Where DuckDB's choice for sorted scores (ALPRD) takes 10 % more room."""

_MODEL_ID: Final = Column("model_id", "INTEGER", "number of the entry")
_CORPUS_ID: Final = Column("corpus_id", "INTEGER", "number of the corpus")
_OF_CORPUS: Final = replace(_CORPUS_ID, nullable=True)
_VOCABULARY_ID: Final = Column("vocabulary_id", "INTEGER", "number of the vocabulary")
_RUN_ID: Final = Column("run_id", "INTEGER", "number of the run")
_NEURON: Final = (
    _RUN_ID,
    Column("layer", "SMALLINT", "layer, from 0"),
    Column("neuron", "INTEGER", "neuron within the layer, from 0"),
)
_BASELINE: Final = Column("baseline", "TEXT", "none for the subset itself, layer or frequency")
_ARM: Final = (_BASELINE, Column("draw", "SMALLINT", "0 for the subset itself, else from 1"))
_METRIC: Final = Column("metric", "TEXT", f"one of {', '.join(METRICS)}")

TABLES: Final = (
    Table(
        "model",
        "One row per catalog entry: a checkpoint read with one kind of weights.",
        "model",
        (
            _MODEL_ID,
            Column("alias", "TEXT", "short alias, unique in the catalog"),
            Column("source", "TEXT", "Hub id, folder, or demo"),
            Column(
                "revision", "TEXT", "commit of the Hub repository; NULL for a folder", nullable=True
            ),
            Column("fingerprint", "TEXT", "digest of the checkpoint's files"),
            Column("family", "TEXT", "model family whose layout was read"),
            Column(
                "activation_fn",
                "TEXT",
                "activation function of the gate (of in without one), as the checkpoint names it",
            ),
            Column("n_layers", "INTEGER", "number of layers"),
            Column("d_model", "INTEGER", "width of the residual stream"),
            Column("d_mlp", "INTEGER", "neurons per layer"),
            Column("d_vocab", "INTEGER", "columns of W_U, padding included"),
            Column("gated", "BOOLEAN", "whether the MLP has a gate; a plain one has none"),
            Column("weights", "TEXT", "folded, effective or raw"),
            Column(
                "chance_95",
                "DOUBLE",
                "|cosine| that random vectors of length d_model exceed with probability 0.05",
            ),
            Column(
                "chance_999",
                "DOUBLE",
                "|cosine| that random vectors of length d_model exceed with probability 0.001",
            ),
            Column("ingested_at", "TIMESTAMP", "when the entry was made, UTC"),
            replace(_VOCABULARY_ID, nullable=True),
            Column(
                "quantization",
                "TEXT",
                "how the checkpoint's MLP weights are quantized (Q4_1, Q4_K_M); NULL if they are "
                "not",
                nullable=True,
            ),
            Column(
                "wire_floor",
                "DOUBLE",
                "|cosine| that random vectors of length d_model exceed once in as many pairs as "
                "the entry has neurons; wires lie above it",
                nullable=True,
            ),
        ),
    ),
    Table(
        "vocabulary",
        "One row per vocabulary, which entries may share.",
        "vocabulary",
        (
            _VOCABULARY_ID,
            Column("digest", "TEXT", "identifies the vocabulary"),
            Column("n_tokens", "INTEGER", "tokens that the tokenizer has"),
        ),
        ("vocab", "activations"),
    ),
    Table(
        "token",
        "One row per token of a vocabulary.",
        "vocabulary",
        (
            _VOCABULARY_ID,
            Column("token_id", "INTEGER", "id of the token in the vocabulary"),
            Column("token", "TEXT", "vocabulary piece, its space marker as a space"),
        ),
        ("vocab", "activations"),
    ),
    Table(
        "corpus",
        "One row per corpus as tokenised, which entries may share.",
        "corpus",
        (
            _CORPUS_ID,
            Column("digest", "TEXT", "identifies the corpus as tokenised"),
            Column("source", "TEXT", "where its documents came from"),
            Column("n_contexts", "INTEGER", "contexts kept, exact duplicates dropped"),
            Column("n_tokens", "BIGINT", "tokens in these contexts, start tokens included"),
            Column("context_length", "INTEGER", "longest context, in tokens"),
            Column(
                "start_token_id",
                "INTEGER",
                "token every context begins with; NULL if there is none",
                nullable=True,
            ),
            Column("special_tokens", "TEXT", "excluded from or counted in statistics and rankings"),
            Column("parameters", "TEXT", "how its documents were read and cut, as JSON"),
        ),
        ("activations",),
    ),
    Table(
        "context",
        "One row per context of a corpus.",
        "corpus",
        (
            _CORPUS_ID,
            Column("context_id", "INTEGER", "from 0, within the corpus"),
            Column("source_ref", "TEXT", "document the context was cut from"),
            Column("text", "TEXT", "text of the context"),
            Column("token_ids", "INTEGER[]", "its tokens, the start token included"),
            Column("token_starts", "INTEGER[]", "where each begins, in characters of text"),
            Column("token_ends", "INTEGER[]", "where each ends, in characters of text"),
        ),
        ("activations",),
        parted_by="context_id",
        at_once=8192,
    ),
    Table(
        "model_corpus",
        "The name under which an entry knows a corpus as tokenised for it.",
        "entry's corpus",
        (_MODEL_ID, _CORPUS_ID, Column("name", "TEXT", "name of the corpus")),
        ("activations",),
    ),
    Table(
        "ingest_run",
        "One row per stage of an ingest.",
        "run",
        (
            _RUN_ID,
            _MODEL_ID,
            Column("stage", "TEXT", f"one of {', '.join(each.name for each in RUN_KINDS)}"),
            Column("status", "TEXT", "running, loading, finished, superseded or abandoned"),
            Column("started_at", "TIMESTAMP", "when it began, UTC"),
            Column("finished_at", "TIMESTAMP", "when its rows were shown, UTC", nullable=True),
            Column("device", "TEXT", "cpu or cuda"),
            Column("dtype", "TEXT", "of the computation"),
            Column("parameters", "TEXT", "what the rows depend on beside the checkpoint"),
            Column("versions", "TEXT", "of the software that made them"),
            Column(
                "notes",
                "TEXT",
                "counts worth keeping: NULL cosines, zero columns, seconds",
                nullable=True,
            ),
            Column("n_units", "INTEGER", "units of work (layers, batches) of the stage"),
            Column("n_done", "INTEGER", "units in the catalog"),
            _OF_CORPUS,
            Column("stage_version", "INTEGER", "version of the stage's computation, from 1"),
            Column(
                "subject",
                "TEXT",
                "which of several results of the stage: id of an ablation or an import, else NULL",
                nullable=True,
            ),
        ),
    ),
    Table(
        "current_rows",
        "Which run's rows of a table the views show: one row per table, entry and corpus.",
        "run",
        (Column("bulk_table", "TEXT", "name of the table"), _MODEL_ID, _RUN_ID, _OF_CORPUS),
    ),
    Table(
        "direction",
        "The lists of top tokens that a neuron has.",
        "program",
        (
            Column("direction", "TINYINT", "number of the list"),
            Column("vector", "TEXT", "gate, in or out"),
            Column("basis", "TEXT", "unembed: scores with W_U (logit lens); embed: with W_E"),
            Column("sign", "TEXT", "+ for the highest scores, - for the lowest"),
        ),
    ),
    Table(
        "neuron",
        "One row per neuron with the columns of all stages about weights.",
        "run",
        (
            *_NEURON,
            Column(
                "cos_gate_in",
                "FLOAT",
                "cos(w_gate, w_in); NULL if either vector is zero, not finite or not there",
                nullable=True,
            ),
            Column("cos_gate_out", "FLOAT", "cos(w_gate, w_out)", nullable=True),
            Column("cos_in_out", "FLOAT", "cos(w_in, w_out)", nullable=True),
            Column("norm_gate", "FLOAT", "Euclidean norm of w_gate", nullable=True),
            Column("norm_in", "FLOAT", "Euclidean norm of w_in", nullable=True),
            Column("norm_out", "FLOAT", "Euclidean norm of w_out", nullable=True),
            Column(
                "vocab_variance",
                "FLOAT",
                "variance of cos(w_out, W_U[:,t]) over the vocabulary",
                nullable=True,
            ),
            Column("vocab_skew", "FLOAT", "skewness of the same distribution", nullable=True),
            Column(
                "vocab_kurtosis", "FLOAT", "excess kurtosis of the same distribution", nullable=True
            ),
            Column(
                "null_space_share",
                "FLOAT",
                "share of the norm of w_out in the effective null space of W_U",
                nullable=True,
            ),
            Column(
                "functional_role",
                "TEXT",
                "role by the default rules (paper, appendix F); NULL until the roles stage ran",
                nullable=True,
            ),
        ),
        ("weights", "vocab", "roles"),
        parted_by="layer",
    ),
    Table(
        "top_token",
        "One row per listed token.",
        "run",
        (
            *_NEURON,
            Column("direction", "TINYINT", "the list in which it stands"),
            Column("rank", "SMALLINT", "from 1, the most extreme first"),
            Column("token_id", "INTEGER", "id of the token in the vocabulary"),
            Column("score", _UNCOMPRESSED, "dot product of the vector with the token's column"),
        ),
        ("vocab",),
        parted_by="layer",
    ),
    Table(
        "attention_score",
        "One row per neuron and attention head kept.",
        "run",
        (
            *_NEURON,
            Column("head_layer", "SMALLINT", "layer of the attention head"),
            Column("head", "SMALLINT", "query head within that layer"),
            Column("cosine", "FLOAT", "cosine of w_out and W_Q k_BOS of that head"),
        ),
        ("roles",),
        parted_by="layer",
    ),
    Table(
        "wire",
        "One row per wire kept: a neuron reads what an earlier one writes.",
        "run",
        (
            *_NEURON,
            Column("to_layer", "SMALLINT", "layer of the neuron that reads"),
            Column("to_neuron", "INTEGER", "the neuron that reads, within its layer"),
            Column("reads", "TEXT", "with which vector it reads: gate or in"),
            Column("cosine", "FLOAT", "cosine of w_out of the first and that vector of the second"),
            Column(
                "rank_to",
                "SMALLINT",
                "place among all that read the first, from 1; NULL beyond the last kept",
                nullable=True,
            ),
            Column(
                "rank_from",
                "SMALLINT",
                "place among all that the second reads, from 1; NULL beyond the last kept",
                nullable=True,
            ),
        ),
        ("wiring",),
        parted_by="layer",
    ),
    Table(
        "twin",
        "One row per neuron, vector and other neuron whose same vector points most alike.",
        "run",
        (
            *_NEURON,
            Column("vector", "TEXT", "gate, in or out"),
            Column("other_layer", "SMALLINT", "layer of the other neuron"),
            Column("other_neuron", "INTEGER", "the other neuron, within its layer"),
            Column("cosine", "FLOAT", "cosine of the vector of both"),
            Column("rank", "SMALLINT", "from 1, largest |cosine| first"),
        ),
        ("wiring",),
        parted_by="layer",
    ),
    Table(
        "activation_stat",
        "One row per neuron and sign case.",
        "run",
        (
            *_NEURON,
            Column(
                "sign_case",
                "TEXT",
                "signs of gate and in: gate+_in+, gate+_in-, gate-_in+, gate-_in-; without a gate "
                "in+, in-",
            ),
            Column("n_positions", "BIGINT", "counted positions of the corpus"),
            Column("n_in_case", "BIGINT", "counted positions in this case"),
            Column(
                "mean_post",
                "FLOAT",
                "mean of post over the positions in this case; NULL if there are none",
                nullable=True,
            ),
            Column(
                "extreme_post", "FLOAT", "post of largest magnitude in this case", nullable=True
            ),
            Column(
                "mean_gate", "FLOAT", "mean of the gate pre-activation in this case", nullable=True
            ),
            Column(
                "extreme_gate",
                "FLOAT",
                "gate pre-activation of largest magnitude in this case",
                nullable=True,
            ),
            Column("mean_in", "FLOAT", "mean of in in this case", nullable=True),
            Column("extreme_in", "FLOAT", "in of largest magnitude in this case", nullable=True),
        ),
        ("activations",),
        parted_by="layer",
    ),
    Table(
        "exemplar",
        "One row per exemplar; window_post times window_scale is post around the peak.",
        "run",
        (
            *_NEURON,
            Column("sign_case", "TEXT", "signs of gate and in (without a gate, of in) at the peak"),
            Column("rank", "SMALLINT", "from 1, largest |post| first"),
            Column("post", _UNCOMPRESSED, "act(gate) * in at the peak; without a gate act(in)"),
            Column(
                "x_gate",
                _UNCOMPRESSED,
                "gate pre-activation at the peak; NULL without a gate",
                nullable=True,
            ),
            Column("x_in", _UNCOMPRESSED, "in at the peak"),
            Column("context_id", "INTEGER", "context the exemplar stands in"),
            Column("position", "INTEGER", "position of the peak in the context, from 0"),
            Column("token_id", "INTEGER", "id of the token at the peak"),
            Column(
                "next_token_id",
                "INTEGER",
                "id of the next token; NULL at the end of the document",
                nullable=True,
            ),
            Column("window_scale", _UNCOMPRESSED, "post of one step of window_post"),
            Column("window_post", "TINYINT[]", "post at each token of the window"),
        ),
        ("activations",),
        parted_by="layer",
    ),
    Table(
        "activation_sample",
        "One row per neuron; post times scale is post at the sampled positions, in their order.",
        "run",
        (
            *_NEURON,
            Column("scale", _UNCOMPRESSED, "post of one step"),
            Column(
                "post",
                "TINYINT[]",
                "post at the position, to within 1/254 of the neuron's largest |post| in the "
                "sample",
            ),
        ),
        ("activations",),
        parted_by="layer",
        at_once=250_000,
    ),
    Table(
        "sample_position",
        "One row per sampled position of a corpus.",
        "run",
        (
            _RUN_ID,
            Column("sample", "SMALLINT", "number of the sample, from 0"),
            Column("context_id", "INTEGER", "context of the position"),
            Column("position", "INTEGER", "position in the context, from 0"),
        ),
        ("activations",),
    ),
    Table(
        "attribution",
        "One row per neuron and corpus.",
        "run",
        (
            *_NEURON,
            Column(
                "effect",
                "DOUBLE",
                "estimate, to first order, of what the neuron's own zero ablation adds to the mean "
                "loss (nats); NULL where a gradient is not finite",
                nullable=True,
            ),
            Column(
                "magnitude",
                "DOUBLE",
                "the same of absolute values: sum of |post * dL/dpost| over the scored positions",
                nullable=True,
            ),
        ),
        ("attribution",),
        parted_by="layer",
    ),
    Table(
        "ablation",
        "One row per ablation, baseline and draw.",
        "run",
        (
            _RUN_ID,
            *_ARM,
            Column("ablation_id", "TEXT", "hash of entry, contexts, subset, kind, signs and seed"),
            Column("subset", "TEXT", "the ablated neurons, as they were asked for"),
            Column("n_neurons", "INTEGER", "neurons ablated"),
            Column("kind", "TEXT", "zero, or mean: what takes the place of post"),
            Column("gate_sign", "TEXT", "sign of the gate where post is replaced", nullable=True),
            Column(
                "post_sign",
                "TEXT",
                "sign of post, of -post where flipped, where it is replaced",
                nullable=True,
            ),
            Column("seed", "BIGINT", "seed of draws and resamples"),
            Column("n_contexts", "INTEGER", "contexts read"),
            Column("n_positions", "BIGINT", "positions scored"),
            Column(
                "n_matched",
                "INTEGER",
                "neurons that match one of the subset in all that the baseline asks; NULL for the "
                "subset",
                nullable=True,
            ),
            Column(
                "n_neighbour",
                "INTEGER",
                "neurons taken from another tenth of frequency, where the same has too few",
                nullable=True,
            ),
            Column(
                "n_unmatched",
                "INTEGER",
                "neurons of the subset for which the layer has none left",
                nullable=True,
            ),
        ),
        (ABLATION.name,),
    ),
    Table(
        "ablation_effect",
        "One row per ablation, baseline, draw and metric: ablated minus clean, by position.",
        "run",
        (
            _RUN_ID,
            *_ARM,
            _METRIC,
            Column("n_positions", "BIGINT", "positions of finite effect"),
            Column("n_nonfinite", "BIGINT", "positions whose effect is NaN or infinite, left out"),
            Column("mean", "DOUBLE", "mean effect, ablated minus clean", nullable=True),
            Column("sd", "DOUBLE", "standard deviation (N-1)", nullable=True),
            Column("min", "DOUBLE", "smallest effect", nullable=True),
            Column("q25", "DOUBLE", "lower quartile, to half a bin (0.6%)", nullable=True),
            Column("median", "DOUBLE", "median, to half a bin", nullable=True),
            Column("q75", "DOUBLE", "upper quartile, to half a bin", nullable=True),
            Column("max", "DOUBLE", "largest effect", nullable=True),
        ),
        (ABLATION.name,),
    ),
    Table(
        "ablation_difference",
        "One row per ablation, baseline and metric: the subset's mean effect minus the baseline's.",
        "run",
        (
            _RUN_ID,
            replace(_BASELINE, doc="layer or frequency"),
            _METRIC,
            Column("n_draws", "SMALLINT", "draws of the baseline"),
            Column(
                "difference", "DOUBLE", "mean effect minus the mean over the draws", nullable=True
            ),
            Column(
                "low",
                "DOUBLE",
                "2.5% of 2,000 resamples of contexts and draws; NULL with one of either",
                nullable=True,
            ),
            Column("high", "DOUBLE", "97.5% of the same", nullable=True),
        ),
        (ABLATION.name,),
    ),
    Table(
        "ablation_position",
        "One row per position of large effect of an ablated subset.",
        "run",
        (
            _RUN_ID,
            _METRIC,
            Column("sign", "TEXT", "+ for the largest effects, - for the most negative"),
            Column("rank", "SMALLINT", "from 1, largest |effect| first"),
            Column("context_id", "INTEGER", "context of the position"),
            Column("position", "INTEGER", "position in the context, from 0"),
            Column("token_id", "INTEGER", "id of the token there"),
            Column(
                "next_token_id", "INTEGER", "id of the next token of the context", nullable=True
            ),
            Column("effect", "DOUBLE", "ablated minus clean"),
        ),
        (ABLATION.name,),
    ),
    Table(
        "description",
        "One row per description of a neuron as imported or written.",
        "run",
        (
            *_NEURON,
            Column(
                "sign_case",
                "TEXT",
                "what is described: a sign case, + or - for positions of that sign of post, or any",
            ),
            Column("description", "TEXT", "what somebody says of the neuron"),
            Column("explainer", "TEXT", "who or what wrote it", nullable=True),
            Column("scorer", "TEXT", "what measured the score", nullable=True),
            Column("score", "DOUBLE", "how well it fits, as its scorer says", nullable=True),
            Column("source", "TEXT", "where it came from: a format, what a table says, or hand"),
            Column(
                "source_key",
                "TEXT",
                "which one of its source on the neuron: a later one of the same key replaces it",
            ),
        ),
        (DESCRIPTIONS.name,),
        parted_by="layer",
    ),
    Table(
        "row_digest",
        "One row per table and owner of rows that readers see: what `verify` compares these with.",
        "digests",
        (
            Column("of_table", "TEXT", "name of the table"),
            Column("owner_id", "INTEGER", "number of the run, entry, ... the rows go with; else 0"),
            Column("columns", "TEXT[]", "the columns of which the digest is"),
            Column("n_rows", "BIGINT", "how many rows there are"),
            Column("digest", "TEXT", "sum of their hashes, in hexadecimal"),
            Column("hashing", "TEXT", "hash of a fixed value: others mean another hash function"),
        ),
    ),
)
"""All tables, those that others refer to first."""


def stage_named(name: str) -> Stage:
    """The stage, or other kind of run, of that name; KeyError if there is none."""
    return {stage.name: stage for stage in RUN_KINDS}[name]


def default_stages(*, with_corpus: bool) -> tuple[str, ...]:
    """Names of the stages that run without being named."""
    return tuple(
        stage.name for stage in STAGES if stage.by_default and (with_corpus or not stage.of_corpus)
    )


def table_named(name: str) -> Table:
    """The table of that name; KeyError if there is none."""
    return {table.name: table for table in TABLES}[name]


def bulk_tables(stage: str | None = None) -> tuple[str, ...]:
    """Names of the tables with a run's results; with `stage`, of those that it fills."""
    return tuple(
        table.name
        for table in TABLES
        if table.owner == "run" and table.stages and (stage is None or stage in table.stages)
    )
