"""What the stages about weights fill."""

from typing import Final

from catalog.declaration import Column, Table
from catalog.tables.columns import NEURON, RUN_ID, UNCOMPRESSED

WEIGHT_TABLES: Final = (
    Table(
        "direction",
        "The lists of top tokens that a neuron has.",
        "program",
        (
            Column("direction", "TINYINT", "number of the list"),
            Column("vector", "TEXT", "gate, in or out"),
            Column("basis", "TEXT", "unembed: scores with W_U (logit lens); embed: with W_E"),
            Column("sign", "TEXT", "+ for the highest scores, - for the lowest"),
        ),
    ),
    Table(
        "neuron",
        "One row per neuron with the columns of all stages about weights.",
        "run",
        (
            *NEURON,
            Column(
                "cos_gate_in",
                "FLOAT",
                "cos(w_gate, w_in); NULL if either vector is zero, not finite or not there",
                nullable=True,
            ),
            Column("cos_gate_out", "FLOAT", "cos(w_gate, w_out)", nullable=True),
            Column("cos_in_out", "FLOAT", "cos(w_in, w_out)", nullable=True),
            Column("norm_gate", "FLOAT", "Euclidean norm of w_gate", nullable=True),
            Column("norm_in", "FLOAT", "Euclidean norm of w_in", nullable=True),
            Column("norm_out", "FLOAT", "Euclidean norm of w_out", nullable=True),
            Column(
                "vocab_variance",
                "FLOAT",
                "variance of cos(w_out, W_U[:,t]) over the vocabulary",
                nullable=True,
            ),
            Column("vocab_skew", "FLOAT", "skewness of the same distribution", nullable=True),
            Column(
                "vocab_kurtosis", "FLOAT", "excess kurtosis of the same distribution", nullable=True
            ),
            Column(
                "null_space_share",
                "FLOAT",
                "share of the norm of w_out in the effective null space of W_U",
                nullable=True,
            ),
            Column(
                "functional_role",
                "TEXT",
                "role by the default rules (paper, appendix F); NULL until the roles stage ran",
                nullable=True,
            ),
        ),
        ("weights", "vocab", "roles"),
        parted_by="layer",
    ),
    Table(
        "top_token",
        "One row per listed token.",
        "run",
        (
            *NEURON,
            Column("direction", "TINYINT", "the list in which it stands"),
            Column("rank", "SMALLINT", "from 1, the most extreme first"),
            Column("token_id", "INTEGER", "id of the token in the vocabulary"),
            Column("score", UNCOMPRESSED, "dot product of the vector with the token's column"),
        ),
        ("vocab",),
        parted_by="layer",
    ),
    Table(
        "router_token",
        "One row per expert and listed token of its router row.",
        "run",
        (
            RUN_ID,
            Column("layer", "SMALLINT", "layer, from 0"),
            Column("expert", "SMALLINT", "routed expert within the layer, from 0"),
            Column("basis", "TEXT", "unembed: scores with W_U (logit lens); embed: with W_E"),
            Column("sign", "TEXT", "+ for the highest scores, - for the lowest"),
            Column("rank", "SMALLINT", "from 1, the most extreme first"),
            Column("token_id", "INTEGER", "id of the token in the vocabulary"),
            Column("score", "FLOAT", "dot product of the router row with the token's column"),
        ),
        ("vocab",),
        parted_by="layer",
    ),
    Table(
        "attention_score",
        "One row per neuron and attention head kept.",
        "run",
        (
            *NEURON,
            Column("head_layer", "SMALLINT", "layer of the attention head"),
            Column("head", "SMALLINT", "query head within that layer"),
            Column("cosine", "FLOAT", "cosine of w_out and W_Q k_BOS of that head"),
        ),
        ("roles",),
        parted_by="layer",
    ),
    Table(
        "wire",
        "One row per wire kept: a neuron reads what an earlier one writes.",
        "run",
        (
            *NEURON,
            Column("to_layer", "SMALLINT", "layer of the neuron that reads"),
            Column("to_neuron", "INTEGER", "the neuron that reads, within its layer"),
            Column("reads", "TEXT", "with which vector it reads: gate or in"),
            Column("cosine", "FLOAT", "cosine of w_out of the first and that vector of the second"),
            Column(
                "rank_to",
                "SMALLINT",
                "place among all that read the first, from 1; NULL beyond the last kept",
                nullable=True,
            ),
            Column(
                "rank_from",
                "SMALLINT",
                "place among all that the second reads, from 1; NULL beyond the last kept",
                nullable=True,
            ),
        ),
        ("wiring",),
        parted_by="layer",
    ),
    Table(
        "twin",
        "One row per neuron, vector and other neuron whose same vector points most alike.",
        "run",
        (
            *NEURON,
            Column("vector", "TEXT", "gate, in or out"),
            Column("other_layer", "SMALLINT", "layer of the other neuron"),
            Column("other_neuron", "INTEGER", "the other neuron, within its layer"),
            Column("cosine", "FLOAT", "cosine of the vector of both"),
            Column("rank", "SMALLINT", "from 1, largest |cosine| first"),
        ),
        ("wiring",),
        parted_by="layer",
    ),
    Table(
        "drift",
        "One row per neuron and earlier step of its series that it was compared with.",
        "run",
        (
            *NEURON,
            Column(
                "cos_gate",
                "FLOAT",
                "cosine of w_gate with that of the earlier step; NULL if either is zero, not "
                "finite or not there",
                nullable=True,
            ),
            Column("cos_in", "FLOAT", "the same of w_in", nullable=True),
            Column("cos_out", "FLOAT", "the same of w_out", nullable=True),
        ),
        ("drift",),
        parted_by="layer",
    ),
)
