"""Corpora, their contexts, and what drives each neuron in them.

Reason: the weights say what a neuron can do, exemplars and statistics what it does. A run and its
current rows now belong to a model and, for activations, to one of its corpora.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "alter table ingest_run add column corpus_id integer",
    "alter table current_rows add column corpus_id integer",
    """
    create table corpus (
        corpus_id integer not null,
        digest text not null,
        source text not null,
        n_contexts integer not null,
        n_tokens bigint not null,
        context_length integer not null,
        start_token_id integer,
        special_tokens text not null,
        parameters text not null
    )
    """,
    """
    create table model_corpus (
        model_id integer not null,
        corpus_id integer not null,
        name text not null
    )
    """,
    """
    create table context (
        corpus_id integer not null,
        context_id integer not null,
        source_ref text not null,
        text text not null,
        token_ids integer[] not null,
        token_starts integer[] not null,
        token_ends integer[] not null
    )
    """,
    """
    create table activation_stat (
        run_id integer not null,
        layer smallint not null,
        neuron integer not null,
        sign_case text not null,
        n_positions bigint not null,
        n_in_case bigint not null,
        mean_post float,
        extreme_post float,
        mean_gate float,
        extreme_gate float,
        mean_in float,
        extreme_in float
    )
    """,
    """
    create table exemplar (
        run_id integer not null,
        layer smallint not null,
        neuron integer not null,
        sign_case text not null,
        rank smallint not null,
        post float using compression uncompressed not null,
        x_gate float using compression uncompressed not null,
        x_in float using compression uncompressed not null,
        context_id integer not null,
        position integer not null,
        token_id integer not null,
        next_token_id integer,
        window_scale float using compression uncompressed not null,
        window_post tinyint[] not null
    )
    """,
    """
    create table sample_position (
        run_id integer not null,
        sample smallint not null,
        context_id integer not null,
        position integer not null
    )
    """,
    """
    create table activation_sample (
        run_id integer not null,
        layer smallint not null,
        neuron integer not null,
        scale float using compression uncompressed not null,
        post tinyint[] not null
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
