"""Digests of the rows of every table, beside those that stages note of theirs.

Reason: damage to tokens, contexts, the row of an entry, of a corpus or of a run went unnoticed by
`verify`. The digests themselves are taken after the migrations, of the rows as they then are.
"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(
        """
        create table row_digest (
            of_table text not null,
            owner_id integer not null,
            columns text[] not null,
            n_rows bigint not null,
            digest text not null,
            hashing text not null
        )
        """
    )
