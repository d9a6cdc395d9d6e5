"""Detectors: which neurons never fire on a corpus, and which fire on a few input tokens only.

Reason: what drives a neuron is told by exemplars where it is strongest; that it fires on nothing
else is told by counting all positions. Entries made before have no rows.
"""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute(
        """
        create table detector (
            run_id integer not null,
            layer smallint not null,
            neuron integer not null,
            n_fired bigint not null,
            token_ids integer[],
            n_fired_on bigint[]
        )
        """
    )
