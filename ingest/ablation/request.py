"""What an ablation is asked for, and what it answers. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from catalog.ingest.ablation.arms import Kind, PostSign
from catalog.ingest.ablation.subsets import SubsetSpec
from catalog.ingest.corpus.spec import DEFAULT_MAX_TOKENS, CorpusSpec
from catalog.ingest.engines.choosing import EngineChoice
from catalog.ingest.request import StageOutcome
from catalog.store.handle import Handle
from catalog.taxonomy import BASELINES

N_DRAWS: Final = 5


@dataclass(frozen=True)
class AblateRequest:
    """Which neurons of an entry to ablate, on what, beside which baselines.

    `corpus`: of one that the catalog knows `source` may be the name; None is the entry's only one.
    Its `max_tokens` says how many are read. `all_classes`: the six IO classes besides `subsets`,
    typical neurons alone with `typical`. All kinds, subsets and draws share one clean pass.
    `checkpoint`: where the checkpoint lies now, if it was moved.
    """

    catalog: Handle
    model: str | None
    subsets: Sequence[SubsetSpec] = ()
    all_classes: bool = False
    typical: bool = False
    corpus: CorpusSpec | None = None
    corpus_name: str | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS
    kinds: Sequence[Kind] = ("zero",)
    gate_sign: PostSign | None = None
    post_sign: PostSign | None = None
    baselines: Sequence[str] = BASELINES
    n_draws: int = N_DRAWS
    seed: int = 0
    k: int = 16
    tokenizer: Path | None = None
    checkpoint: Path | None = None
    device: str = "auto"
    dtype: str = "auto"
    engine: EngineChoice = field(default_factory=EngineChoice)
    checkpoint_every_s: float = 180.0
    force: bool = False


@dataclass(frozen=True)
class AblateOutcome:
    """What one `catalog ablate` did: the ids of its ablations, in their order."""

    model: str
    corpus: str
    ids: tuple[str, ...]
    outcomes: tuple[StageOutcome, ...]
