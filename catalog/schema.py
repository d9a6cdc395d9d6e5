"""The tables of a catalog, defined once; `migrations/` brings any older file up to this.

Bulk tables (`neuron`, `top_token`, `attention_score`, `context`, `activation_stat`, `exemplar`,
`activation_sample`) carry the `run_id` that wrote a row and have no indexes or keys: DuckDB finds
rows by the zone maps of (run_id, layer, neuron), in which order they are loaded. A row is shown
when `current_rows` names its run. The public views over these tables stand in `catalog/views/`.

SQLAlchemy is imported here, so only code that creates, loads or upgrades a catalog imports this.
"""

from typing import Final

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
)
from sqlalchemy.types import UserDefinedType


class TinyInt(UserDefinedType[int]):
    """A signed byte."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "TINYINT"


class PlainFloat(UserDefinedType[float]):
    """A float32 stored as it is: DuckDB's choice for sorted scores (ALPRD) takes 10 % more."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "FLOAT USING COMPRESSION uncompressed"


metadata: Final = MetaData()

model = Table(
    "model",
    metadata,
    Column("model_id", Integer, nullable=False),
    Column("alias", String, nullable=False),
    Column("source", String, nullable=False),
    Column("revision", String),
    Column("fingerprint", String, nullable=False),
    Column("family", String, nullable=False),
    Column("activation_fn", String, nullable=False),
    Column("n_layers", Integer, nullable=False),
    Column("d_model", Integer, nullable=False),
    Column("d_mlp", Integer, nullable=False),
    Column("d_vocab", Integer, nullable=False),
    Column("gated", Boolean, nullable=False),
    Column("weights", String, nullable=False),
    Column("chance_95", Double, nullable=False),
    Column("chance_999", Double, nullable=False),
    Column("ingested_at", DateTime, nullable=False),
    Column("vocabulary_id", Integer),
)

vocabulary = Table(
    "vocabulary",
    metadata,
    Column("vocabulary_id", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("n_tokens", Integer, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("vocabulary_id", Integer, nullable=False),
    Column("token_id", Integer, nullable=False),
    Column("token", String, nullable=False),
)

ingest_run = Table(
    "ingest_run",
    metadata,
    Column("run_id", Integer, nullable=False),
    Column("model_id", Integer, nullable=False),
    Column("corpus_id", Integer),
    Column("stage", String, nullable=False),
    Column("status", String, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("finished_at", DateTime),
    Column("device", String, nullable=False),
    Column("dtype", String, nullable=False),
    Column("parameters", String, nullable=False),
    Column("versions", String, nullable=False),
    Column("notes", String),
    Column("n_units", Integer, nullable=False),
    Column("n_done", Integer, nullable=False),
)

# Which run's rows of a bulk table the views show; one row per table, model, corpus.
current_rows = Table(
    "current_rows",
    metadata,
    Column("bulk_table", String, nullable=False),
    Column("model_id", Integer, nullable=False),
    Column("corpus_id", Integer),
    Column("run_id", Integer, nullable=False),
)

neuron = Table(
    "neuron",
    metadata,
    Column("run_id", Integer, nullable=False),
    Column("layer", SmallInteger, nullable=False),
    Column("neuron", Integer, nullable=False),
    Column("cos_gate_in", REAL),
    Column("cos_gate_out", REAL),
    Column("cos_in_out", REAL),
    Column("norm_gate", REAL),
    Column("norm_in", REAL),
    Column("norm_out", REAL),
    Column("vocab_variance", REAL),
    Column("vocab_skew", REAL),
    Column("vocab_kurtosis", REAL),
    Column("null_space_share", REAL),
    Column("functional_role", String),
)

# The twelve lists of top tokens a neuron has.
direction = Table(
    "direction",
    metadata,
    Column("direction", TinyInt, nullable=False),
    Column("vector", String, nullable=False),
    Column("basis", String, nullable=False),
    Column("sign", String, nullable=False),
)

top_token = Table(
    "top_token",
    metadata,
    Column("run_id", Integer, nullable=False),
    Column("layer", SmallInteger, nullable=False),
    Column("neuron", Integer, nullable=False),
    Column("direction", TinyInt, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("token_id", Integer, nullable=False),
    Column("score", PlainFloat, nullable=False),
)

attention_score = Table(
    "attention_score",
    metadata,
    Column("run_id", Integer, nullable=False),
    Column("layer", SmallInteger, nullable=False),
    Column("neuron", Integer, nullable=False),
    Column("head_layer", SmallInteger, nullable=False),
    Column("head", SmallInteger, nullable=False),
    Column("cosine", REAL, nullable=False),
)

corpus = Table(
    "corpus",
    metadata,
    Column("corpus_id", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("source", String, nullable=False),
    Column("n_contexts", Integer, nullable=False),
    Column("n_tokens", BigInteger, nullable=False),
    Column("context_length", Integer, nullable=False),
    Column("start_token_id", Integer),
    Column("special_tokens", String, nullable=False),
    Column("parameters", String, nullable=False),
)

# The name under which a model's entry knows a corpus as tokenised for it.
model_corpus = Table(
    "model_corpus",
    metadata,
    Column("model_id", Integer, nullable=False),
    Column("corpus_id", Integer, nullable=False),
    Column("name", String, nullable=False),
)

# token_starts and token_ends count characters (code points) of text.
context = Table(
    "context",
    metadata,
    Column("corpus_id", Integer, nullable=False),
    Column("context_id", Integer, nullable=False),
    Column("source_ref", String, nullable=False),
    Column("text", String, nullable=False),
    Column("token_ids", ARRAY(Integer), nullable=False),
    Column("token_starts", ARRAY(Integer), nullable=False),
    Column("token_ends", ARRAY(Integer), nullable=False),
)

activation_stat = Table(
    "activation_stat",
    metadata,
    Column("run_id", Integer, nullable=False),
    Column("layer", SmallInteger, nullable=False),
    Column("neuron", Integer, nullable=False),
    Column("sign_case", String, nullable=False),
    Column("n_positions", BigInteger, nullable=False),
    Column("n_in_case", BigInteger, nullable=False),
    Column("mean_post", REAL),
    Column("extreme_post", REAL),
    Column("mean_gate", REAL),
    Column("extreme_gate", REAL),
    Column("mean_in", REAL),
    Column("extreme_in", REAL),
)

# window_post times window_scale is post at the tokens around the peak.
exemplar = Table(
    "exemplar",
    metadata,
    Column("run_id", Integer, nullable=False),
    Column("layer", SmallInteger, nullable=False),
    Column("neuron", Integer, nullable=False),
    Column("sign_case", String, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("post", PlainFloat, nullable=False),
    Column("x_gate", PlainFloat, nullable=False),
    Column("x_in", PlainFloat, nullable=False),
    Column("context_id", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("token_id", Integer, nullable=False),
    Column("next_token_id", Integer),
    Column("window_scale", PlainFloat, nullable=False),
    Column("window_post", ARRAY(TinyInt), nullable=False),
)

sample_position = Table(
    "sample_position",
    metadata,
    Column("run_id", Integer, nullable=False),
    Column("sample", SmallInteger, nullable=False),
    Column("context_id", Integer, nullable=False),
    Column("position", Integer, nullable=False),
)

# post times scale is post at the sampled positions, in the order of sample.
activation_sample = Table(
    "activation_sample",
    metadata,
    Column("run_id", Integer, nullable=False),
    Column("layer", SmallInteger, nullable=False),
    Column("neuron", Integer, nullable=False),
    Column("scale", PlainFloat, nullable=False),
    Column("post", ARRAY(TinyInt), nullable=False),
)
