"""Descriptions of neurons, imported or written by hand.

Reason: what others say of a neuron stands beside what was measured, and is searched with it. Rows
belong to the run that imported them, as all results do, so that a redone stage leaves them alone.
"""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute(
        """
        create table description (
            run_id integer not null,
            layer smallint not null,
            neuron integer not null,
            sign_case text not null,
            description text not null,
            explainer text,
            scorer text,
            score double,
            source text not null,
            source_key text not null
        )
        """
    )
