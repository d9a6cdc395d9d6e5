"""What stages over a corpus fill."""

from typing import Final

from catalog.declaration import Column, Table
from catalog.tables.columns import NEURON, RUN_ID, UNCOMPRESSED

ACTIVATION_TABLES: Final = (
    Table(
        "activation_stat",
        "One row per neuron and sign case.",
        "run",
        (
            *NEURON,
            Column(
                "sign_case",
                "TEXT",
                "signs of gate and in: gate+_in+, gate+_in-, gate-_in+, gate-_in-; without a gate "
                "in+, in-",
            ),
            Column("n_positions", "BIGINT", "counted positions of the corpus"),
            Column("n_in_case", "BIGINT", "counted positions in this case"),
            Column(
                "mean_post",
                "FLOAT",
                "mean of post over the positions in this case; NULL if there are none",
                nullable=True,
            ),
            Column(
                "extreme_post", "FLOAT", "post of largest magnitude in this case", nullable=True
            ),
            Column(
                "mean_gate", "FLOAT", "mean of the gate pre-activation in this case", nullable=True
            ),
            Column(
                "extreme_gate",
                "FLOAT",
                "gate pre-activation of largest magnitude in this case",
                nullable=True,
            ),
            Column("mean_in", "FLOAT", "mean of in in this case", nullable=True),
            Column("extreme_in", "FLOAT", "in of largest magnitude in this case", nullable=True),
            Column(
                "n_routed",
                "BIGINT",
                "counted positions routed to the neuron's expert; NULL in dense layers",
                nullable=True,
            ),
        ),
        ("activations",),
        parted_by="layer",
    ),
    Table(
        "exemplar",
        "One row per exemplar; window_post times window_scale is post around the peak.",
        "run",
        (
            *NEURON,
            Column("sign_case", "TEXT", "signs of gate and in (without a gate, of in) at the peak"),
            Column("rank", "SMALLINT", "from 1, largest |post| first"),
            Column("post", UNCOMPRESSED, "act(gate) * in at the peak; without a gate act(in)"),
            Column(
                "x_gate",
                UNCOMPRESSED,
                "gate pre-activation at the peak; NULL without a gate",
                nullable=True,
            ),
            Column("x_in", UNCOMPRESSED, "in at the peak"),
            Column("context_id", "INTEGER", "context the exemplar stands in"),
            Column("position", "INTEGER", "position of the peak in the context, from 0"),
            Column("token_id", "INTEGER", "id of the token at the peak"),
            Column(
                "next_token_id",
                "INTEGER",
                "id of the next token; NULL at the end of the document",
                nullable=True,
            ),
            Column("window_scale", UNCOMPRESSED, "post of one step of window_post"),
            Column("window_post", "TINYINT[]", "post at each token of the window"),
        ),
        ("activations",),
        parted_by="layer",
    ),
    Table(
        "activation_sample",
        "One row per neuron; post is one byte b at each sampled position, in their order, read by "
        "the run's code. Logarithmic: 0 is 0, else sign(b) * scale * 2^((|b| - 127) / 8), which is "
        "within 4.5%. Linear, in older runs: b * scale. -128 is NULL.",
        "run",
        (
            *NEURON,
            Column(
                "scale",
                UNCOMPRESSED,
                "largest |post| of the neuron in the sample; of linear samples 1/127 of that",
            ),
            Column(
                "post",
                "TINYINT[]",
                "post at the position, within 4.5% and 0 below 1/57,000 of the neuron's largest "
                "|post| in the sample; of runs with linear samples within 1/254 of that largest",
            ),
        ),
        ("activations",),
        parted_by="layer",
        at_once=250_000,
    ),
    Table(
        "sample_position",
        "One row per sampled position of a corpus.",
        "run",
        (
            RUN_ID,
            Column("sample", "SMALLINT", "number of the sample, from 0"),
            Column("context_id", "INTEGER", "context of the position"),
            Column("position", "INTEGER", "position in the context, from 0"),
        ),
        ("activations",),
    ),
    Table(
        "attribution",
        "One row per neuron and corpus.",
        "run",
        (
            *NEURON,
            Column(
                "effect",
                "DOUBLE",
                "estimate, to first order, of what the neuron's own zero ablation adds to the mean "
                "loss (nats); NULL where a gradient is not finite",
                nullable=True,
            ),
            Column(
                "magnitude",
                "DOUBLE",
                "the same of absolute values: sum of |post * dL/dpost| over the scored positions",
                nullable=True,
            ),
        ),
        ("attribution",),
        parted_by="layer",
    ),
    Table(
        "detector",
        "One row per neuron and corpus.",
        "run",
        (
            *NEURON,
            Column(
                "n_fired",
                "BIGINT",
                "counted positions at which it fires: gate > 0, without a gate in > 0",
            ),
            Column(
                "token_ids",
                "INTEGER[]",
                "the fewest input tokens that make 95% of its firings, the one of most firings "
                "first; NULL if more than 5 are needed or it fires at fewer than 20 positions",
                nullable=True,
            ),
            Column("n_fired_on", "BIGINT[]", "its firings at each of these tokens", nullable=True),
        ),
        ("detectors",),
        parted_by="layer",
    ),
)
