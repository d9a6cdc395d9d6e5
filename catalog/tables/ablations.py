"""What `catalog ablate` fills."""

from dataclasses import replace
from typing import Final

from catalog.declaration import Column, Table
from catalog.stages import ABLATION
from catalog.tables.columns import ARM, BASELINE, METRIC, RUN_ID

ABLATION_TABLES: Final = (
    Table(
        "ablation",
        "One row per ablation, baseline and draw.",
        "run",
        (
            RUN_ID,
            *ARM,
            Column("ablation_id", "TEXT", "hash of entry, contexts, subset, kind, signs and seed"),
            Column("subset", "TEXT", "the ablated neurons, as they were asked for"),
            Column("n_neurons", "INTEGER", "neurons ablated"),
            Column("kind", "TEXT", "zero, or mean: what takes the place of post"),
            Column("gate_sign", "TEXT", "sign of the gate where post is replaced", nullable=True),
            Column(
                "post_sign",
                "TEXT",
                "sign of post, of -post where flipped, where it is replaced",
                nullable=True,
            ),
            Column("seed", "BIGINT", "seed of draws and resamples"),
            Column("n_contexts", "INTEGER", "contexts read"),
            Column("n_positions", "BIGINT", "positions scored"),
            Column(
                "n_matched",
                "INTEGER",
                "neurons that match one of the subset in all that the baseline asks; NULL for the "
                "subset",
                nullable=True,
            ),
            Column(
                "n_neighbour",
                "INTEGER",
                "neurons taken from another tenth of frequency, where the same has too few",
                nullable=True,
            ),
            Column(
                "n_unmatched",
                "INTEGER",
                "neurons of the subset for which the layer has none left",
                nullable=True,
            ),
        ),
        (ABLATION.name,),
    ),
    Table(
        "ablation_effect",
        "One row per ablation, baseline, draw and metric: ablated minus clean, by position.",
        "run",
        (
            RUN_ID,
            *ARM,
            METRIC,
            Column("n_positions", "BIGINT", "positions of finite effect"),
            Column("n_nonfinite", "BIGINT", "positions whose effect is NaN or infinite, left out"),
            Column("mean", "DOUBLE", "mean effect, ablated minus clean", nullable=True),
            Column("sd", "DOUBLE", "standard deviation (N-1)", nullable=True),
            Column("min", "DOUBLE", "smallest effect", nullable=True),
            Column("q25", "DOUBLE", "lower quartile, to half a bin (0.6%)", nullable=True),
            Column("median", "DOUBLE", "median, to half a bin", nullable=True),
            Column("q75", "DOUBLE", "upper quartile, to half a bin", nullable=True),
            Column("max", "DOUBLE", "largest effect", nullable=True),
        ),
        (ABLATION.name,),
    ),
    Table(
        "ablation_difference",
        "One row per ablation, baseline and metric: the subset's mean effect minus the baseline's.",
        "run",
        (
            RUN_ID,
            replace(BASELINE, doc="layer or frequency"),
            METRIC,
            Column("n_draws", "SMALLINT", "draws of the baseline"),
            Column(
                "difference", "DOUBLE", "mean effect minus the mean over the draws", nullable=True
            ),
            Column(
                "low",
                "DOUBLE",
                "2.5% of 2,000 resamples of contexts and draws; NULL with one of either",
                nullable=True,
            ),
            Column("high", "DOUBLE", "97.5% of the same", nullable=True),
        ),
        (ABLATION.name,),
    ),
    Table(
        "ablation_position",
        "One row per position of large effect of an ablated subset.",
        "run",
        (
            RUN_ID,
            METRIC,
            Column("sign", "TEXT", "+ for the largest effects, - for the most negative"),
            Column("rank", "SMALLINT", "from 1, largest |effect| first"),
            Column("context_id", "INTEGER", "context of the position"),
            Column("position", "INTEGER", "position in the context, from 0"),
            Column("token_id", "INTEGER", "id of the token there"),
            Column(
                "next_token_id", "INTEGER", "id of the next token of the context", nullable=True
            ),
            Column("effect", "DOUBLE", "ablated minus clean"),
        ),
        (ABLATION.name,),
    ),
)
