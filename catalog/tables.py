"""The declaration of the data: stages and the tables they fill, stated once.

Plain dataclasses, so that readers need not import SQLAlchemy; its metadata is derived from them.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Stage:
    """A stage of an ingest.

    `needs`: stages whose rows it reads; they run first. `of_corpus`: its rows are about a corpus.
    `by_default`: it runs without being named (with a corpus, where it is about one). `version`:
    raised when the same input gives other rows; finished runs of an older version are offered anew.
    """

    name: str
    needs: tuple[str, ...] = ()
    of_corpus: bool = False
    by_default: bool = True
    version: int = 1


STAGES: Final = (
    Stage("weights"),
    Stage("vocab", needs=("weights",)),
    Stage("roles", needs=("weights", "vocab")),
    Stage("activations", of_corpus=True),
)
"""All stages, in the order in which they run; each is computed by `ingest/stages/<name>.py`."""


def stage_named(name: str) -> Stage:
    """The stage of that name; KeyError if there is none."""
    return {stage.name: stage for stage in STAGES}[name]


def default_stages(*, with_corpus: bool) -> tuple[str, ...]:
    """Names of the stages that run without being named."""
    return tuple(
        stage.name for stage in STAGES if stage.by_default and (with_corpus or not stage.of_corpus)
    )
