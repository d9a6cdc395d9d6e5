"""Training series: where a checkpoint stands in its run, and how far its neurons have turned.

Reason: how classes come about in training is asked of many checkpoints of one run, which belong
together and have an order. Entries made before belong to no series.
"""

from alembic import op

revision = "0013"
down_revision = "0012"

STATEMENTS = (
    "alter table model add column series text",
    "alter table model add column step bigint",
    "alter table model add column train_tokens bigint",
    """
    create table drift (
        run_id integer not null,
        layer smallint not null,
        neuron integer not null,
        cos_gate float,
        cos_in float,
        cos_out float
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
