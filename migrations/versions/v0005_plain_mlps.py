"""Exemplars of neurons without a gate.

Reason: `exemplar.x_gate` had to be there, and a plain MLP has no gate pre-activation.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = ("alter table exemplar alter column x_gate drop not null",)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
