"""The version of a stage's computation, how a checkpoint is quantized, and the view `tokens`.

Reason: rows that an older version of a stage computed could not be told from new ones. Checkpoints
may come from GGUF files, whose rounding shows in every cosine. The tokens of an entry had no public
view. Runs of before are of version 1, entries of before not quantized.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    "alter table model add column quantization text",
    "alter table ingest_run add column stage_version integer default 1",
    "alter table ingest_run alter column stage_version drop default",
    "alter table ingest_run alter column stage_version set not null",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
