"""Columns that several tables have."""

from dataclasses import replace
from typing import Final

from catalog.declaration import Column
from catalog.taxonomy import METRICS

UNCOMPRESSED: Final = "FLOAT USING COMPRESSION uncompressed"
"""Where DuckDB's choice for sorted scores (ALPRD) takes 10 % more room."""

MODEL_ID: Final = Column("model_id", "INTEGER", "number of the entry")
CORPUS_ID: Final = Column("corpus_id", "INTEGER", "number of the corpus")
OF_CORPUS: Final = replace(CORPUS_ID, nullable=True)
VOCABULARY_ID: Final = Column("vocabulary_id", "INTEGER", "number of the vocabulary")
RUN_ID: Final = Column("run_id", "INTEGER", "number of the run")
NEURON: Final = (
    RUN_ID,
    Column("layer", "SMALLINT", "layer, from 0"),
    Column("neuron", "INTEGER", "neuron within the layer, from 0"),
)
BASELINE: Final = Column("baseline", "TEXT", "none for the subset itself, layer or frequency")
ARM: Final = (BASELINE, Column("draw", "SMALLINT", "0 for the subset itself, else from 1"))
METRIC: Final = Column("metric", "TEXT", f"one of {', '.join(METRICS)}")
