"""What imports of descriptions fill."""

from typing import Final

from catalog.declaration import Column, Table
from catalog.stages import DESCRIPTIONS
from catalog.tables.columns import NEURON

DESCRIPTION_TABLES: Final = (
    Table(
        "description",
        "One row per description of a neuron as imported or written.",
        "run",
        (
            *NEURON,
            Column(
                "sign_case",
                "TEXT",
                "what is described: a sign case, + or - for positions of that sign of post, or any",
            ),
            Column("description", "TEXT", "what somebody says of the neuron"),
            Column("explainer", "TEXT", "who or what wrote it", nullable=True),
            Column("scorer", "TEXT", "what measured the score", nullable=True),
            Column("score", "DOUBLE", "how well it fits, as its scorer says", nullable=True),
            Column("source", "TEXT", "where it came from: a format, what a table says, or hand"),
            Column(
                "source_key",
                "TEXT",
                "which one of its source on the neuron: a later one of the same key replaces it",
            ),
        ),
        (DESCRIPTIONS.name,),
        parted_by="layer",
    ),
)
