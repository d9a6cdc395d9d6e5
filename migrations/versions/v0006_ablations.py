"""Ablations and attributions: what neurons cause.

Reason: the catalog said what drives a neuron, not what it does to the model's predictions. Several
ablations of one entry on one corpus stand beside each other, so a run now names its subject.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    "alter table ingest_run add column subject text",
    """
    create table attribution (
        run_id integer not null,
        layer smallint not null,
        neuron integer not null,
        effect double,
        magnitude double
    )
    """,
    """
    create table ablation (
        run_id integer not null,
        baseline text not null,
        draw smallint not null,
        ablation_id text not null,
        subset text not null,
        n_neurons integer not null,
        kind text not null,
        gate_sign text,
        post_sign text,
        seed bigint not null,
        n_contexts integer not null,
        n_positions bigint not null,
        n_matched integer,
        n_neighbour integer,
        n_unmatched integer
    )
    """,
    """
    create table ablation_effect (
        run_id integer not null,
        baseline text not null,
        draw smallint not null,
        metric text not null,
        n_positions bigint not null,
        n_nonfinite bigint not null,
        mean double,
        sd double,
        min double,
        q25 double,
        median double,
        q75 double,
        max double
    )
    """,
    """
    create table ablation_difference (
        run_id integer not null,
        baseline text not null,
        metric text not null,
        n_draws smallint not null,
        difference double,
        low double,
        high double
    )
    """,
    """
    create table ablation_position (
        run_id integer not null,
        metric text not null,
        sign text not null,
        rank smallint not null,
        context_id integer not null,
        position integer not null,
        token_id integer not null,
        next_token_id integer,
        effect double not null
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
