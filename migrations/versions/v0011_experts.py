"""Experts: how the neurons of a layer part into them, and how often they are asked.

Reason: layers of a mixture of experts need not have equally many neurons, and a neuron of an expert
computes something at the positions routed to it only. What the router's rows point at says when an
expert is asked. Entries made before have no experts.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

STATEMENTS = (
    # A table that an earlier migration of the same transaction changed rows of can be replaced, but
    # not altered again (DuckDB 1.5).
    """
    create table model_with_experts (
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
        vocabulary_id integer,
        quantization text,
        wire_floor double,
        n_experts integer,
        d_expert integer,
        d_shared integer,
        d_dense integer,
        dense_layers integer[]
    )
    """,
    "insert into model_with_experts by name from model",
    "drop table model",
    "alter table model_with_experts rename to model",
    "alter table activation_stat add column n_routed bigint",
    """
    create table router_token (
        run_id integer not null,
        layer smallint not null,
        expert smallint not null,
        basis text not null,
        sign text not null,
        rank smallint not null,
        token_id integer not null,
        score float not null
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
