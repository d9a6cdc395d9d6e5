"""Models, their neurons' weight geometry and the tokens their weights point at.

Reason: the first catalog. Bulk rows carry the run that wrote them, so that a stage which is redone
replaces the old rows at once, when it is complete, and never half.
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    """
    create table model (
        model_id integer not null,
        alias text not null,
        source text not null,
        revision text,
        fingerprint text not null,
        family text not null,
        activation_fn text not null,
        n_layers integer not null,
        d_model integer not null,
        d_mlp integer not null,
        d_vocab integer not null,
        gated boolean not null,
        weights text not null,
        chance_95 double not null,
        chance_999 double not null,
        ingested_at timestamp not null,
        vocabulary_id integer
    )
    """,
    """
    create table vocabulary (
        vocabulary_id integer not null,
        digest text not null,
        n_tokens integer not null
    )
    """,
    """
    create table token (
        vocabulary_id integer not null,
        token_id integer not null,
        token text not null
    )
    """,
    """
    create table ingest_run (
        run_id integer not null,
        model_id integer not null,
        stage text not null,
        status text not null,
        started_at timestamp not null,
        finished_at timestamp,
        device text not null,
        dtype text not null,
        parameters text not null,
        versions text not null,
        notes text,
        n_units integer not null,
        n_done integer not null
    )
    """,
    """
    create table current_rows (
        bulk_table text not null,
        model_id integer not null,
        run_id integer not null
    )
    """,
    """
    create table neuron (
        run_id integer not null,
        layer smallint not null,
        neuron integer not null,
        cos_gate_in float,
        cos_gate_out float,
        cos_in_out float,
        norm_gate float,
        norm_in float,
        norm_out float,
        vocab_variance float,
        vocab_skew float,
        vocab_kurtosis float,
        null_space_share float,
        functional_role text
    )
    """,
    """
    create table direction (
        direction tinyint not null,
        vector text not null,
        basis text not null,
        sign text not null
    )
    """,
    """
    insert into direction values
        (0, 'gate', 'unembed', '+'), (1, 'gate', 'unembed', '-'),
        (2, 'gate', 'embed', '+'), (3, 'gate', 'embed', '-'),
        (4, 'in', 'unembed', '+'), (5, 'in', 'unembed', '-'),
        (6, 'in', 'embed', '+'), (7, 'in', 'embed', '-'),
        (8, 'out', 'unembed', '+'), (9, 'out', 'unembed', '-'),
        (10, 'out', 'embed', '+'), (11, 'out', 'embed', '-')
    """,
    """
    create table top_token (
        run_id integer not null,
        layer smallint not null,
        neuron integer not null,
        direction tinyint not null,
        rank smallint not null,
        token_id integer not null,
        score float using compression uncompressed not null
    )
    """,
    """
    create table attention_score (
        run_id integer not null,
        layer smallint not null,
        neuron integer not null,
        head_layer smallint not null,
        head smallint not null,
        cosine float not null
    )
    """,
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)
