"""Wires, twins, and the |cosine| above which wires are kept.

Reason: what neurons do together is seen in which of them read what others write. The floor of
entries made before is computed here, by the law of `chance_95`: the |cosine| of random vectors
follows beta((d-1)/2, (d-1)/2), stretched to [-1, 1].
"""

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    "alter table model add column wire_floor double",
    """
    create table wire (
        run_id integer not null,
        layer smallint not null,
        neuron integer not null,
        to_layer smallint not null,
        to_neuron integer not null,
        reads text not null,
        cosine float not null,
        rank_to smallint,
        rank_from smallint
    )
    """,
    """
    create table twin (
        run_id integer not null,
        layer smallint not null,
        neuron integer not null,
        vector text not null,
        other_layer smallint not null,
        other_neuron integer not null,
        cosine float not null,
        rank smallint not null
    )
    """,
)


STEPS = 100_000
"""Of the integral that gives the floor: to some 1e-9."""


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    bound = op.get_bind()
    entries = bound.exec_driver_sql("select model_id, d_model, n_layers * d_mlp from model").all()
    for model_id, d_model, n_neurons in entries:
        floor = exceeded_once_in(n_neurons, d_model)
        bound.exec_driver_sql(
            f"update model set wire_floor = {floor!r} where model_id = {model_id}"
        )


def exceeded_once_in(n: int, d: int) -> float:
    """|cosine| that a random pair in d dimensions exceeds with probability 1/n."""
    density = [(1 - (at / STEPS) ** 2) ** ((d - 3) / 2) for at in range(STEPS)] + [0.0]
    wanted, beyond = (sum(density) - density[0] / 2) / n, 0.0
    for at in range(STEPS, 0, -1):
        slice_ = (density[at] + density[at - 1]) / 2
        if beyond + slice_ >= wanted:
            return float(at - (wanted - beyond) / slice_) / STEPS
        beyond += slice_
    return 0.0
