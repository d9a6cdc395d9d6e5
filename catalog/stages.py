"""The stages of an ingest and what else a run may be of, each said once."""

from dataclasses import dataclass
from typing import Final, Literal

SampleCode = Literal["linear", "logarithmic"]
"""How the bytes of samples of post are to be read (docs/definitions.md, "Sample")."""


@dataclass(frozen=True)
class Stage:
    """A stage of an ingest.

    `needs`: stages whose rows it reads; they run first. `of_corpus`: its rows are about a corpus.
    `by_default`: it runs without being named (with a corpus, where it is about one). `version`:
    raised when the same input gives other rows; finished runs of an older version are offered anew.
    `falls_with_weights`: its rows are dropped when the weights are redone. `sample_code`: how its
    samples are written; runs with another code are read by theirs, and stay as they are.
    """

    name: str
    needs: tuple[str, ...] = ()
    of_corpus: bool = False
    by_default: bool = True
    version: int = 1
    falls_with_weights: bool = False
    sample_code: SampleCode | None = None


STAGES: Final = (
    Stage("weights"),
    Stage("vocab", needs=("weights",)),
    Stage("roles", needs=("weights", "vocab"), version=2),
    Stage("wiring", needs=("weights",), by_default=False, falls_with_weights=True),
    Stage("activations", of_corpus=True, sample_code="logarithmic"),
    Stage("attribution", of_corpus=True, by_default=False, falls_with_weights=True),
    Stage("detectors", of_corpus=True, by_default=False),
)
"""All stages, in the order in which they run; each is computed by `ingest/stages/<name>.py`."""

ABLATION: Final = Stage("ablation", of_corpus=True, by_default=False, falls_with_weights=True)
"""What `catalog ablate` leaves runs of: no stage of an ingest, and several on one corpus."""

DESCRIPTIONS: Final = Stage("descriptions", by_default=False)
"""What each import of descriptions, and each written by hand, leaves a run of."""

DRIFT: Final = Stage("drift", by_default=False)
"""Of each step of a training series against an earlier one, computed from both checkpoints."""

RUN_KINDS: Final = (*STAGES, ABLATION, DESCRIPTIONS, DRIFT)
"""All that a run may be of."""


def stage_named(name: str) -> Stage:
    """The stage, or other kind of run, of that name; KeyError if there is none."""
    return {stage.name: stage for stage in RUN_KINDS}[name]


def default_stages(*, with_corpus: bool) -> tuple[str, ...]:
    """Names of the stages that run without being named."""
    return tuple(
        stage.name for stage in STAGES if stage.by_default and (with_corpus or not stage.of_corpus)
    )
