"""Which stages there are, and how each is built for an entry."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch

from catalog.errors import UsageError
from catalog.ingest.corpora import EnteredCorpus
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.roles.rule import stored_moments
from catalog.ingest.stages.activations import ActivationsStage
from catalog.ingest.stages.roles import RolesStage
from catalog.ingest.stages.stage import Stage
from catalog.ingest.stages.vocab import VocabStage
from catalog.ingest.stages.weights import WeightsStage
from catalog.ingest.vocabulary import Vocabulary, start_token, vocabulary_pieces
from catalog.store.handle import Handle
from catalog.tables import STAGES, stage_named


@dataclass(frozen=True)
class StageContext:
    """What stages are built from."""

    weights: NeuronVectors
    device: torch.device
    top_tokens: int
    catalog: Handle
    alias: str
    exemplars: int
    dtype: str
    checkpoint_every_s: float
    corpus: EnteredCorpus | None


def _weights(context: StageContext) -> Stage:
    return WeightsStage(context.weights, context.device)


def _vocab(context: StageContext) -> Stage:
    return VocabStage(context.weights, _vocabulary(context), context.top_tokens, context.device)


def _roles(context: StageContext) -> Stage:
    start = start_token(context.weights.checkpoint.tokenizer())
    moments = partial(stored_moments, context.catalog, context.alias)
    return RolesStage(context.weights, start, moments, context.device)


def _activations(context: StageContext) -> Stage:
    if context.corpus is None:
        raise UsageError("The stage activations needs a corpus: name one with --corpus.")
    return ActivationsStage(
        context.weights,
        _vocabulary(context),
        context.corpus,
        context.exemplars,
        context.dtype,
        context.device,
        context.checkpoint_every_s,
    )


def _vocabulary(context: StageContext) -> Vocabulary:
    tokenizer = context.weights.checkpoint.tokenizer()
    return vocabulary_pieces(tokenizer, context.weights.d_vocab)


_BUILDERS: Final[Mapping[str, Callable[[StageContext], Stage]]] = {
    "weights": _weights,
    "vocab": _vocab,
    "roles": _roles,
    "activations": _activations,
}


def build_stage(name: str, context: StageContext) -> Stage:
    """The stage, bound to the entry of `context`."""
    return _BUILDERS[name](context)


def dependents(name: str) -> list[str]:
    """The stages that read what this one computes."""
    return [stage.name for stage in STAGES if name in stage.needs]


def with_needed(stages: Sequence[str]) -> list[str]:
    """The stages asked for and those whose rows they read, in the order in which to run them."""
    wanted = set(stages).union(*(stage_named(name).needs for name in stages))
    return [stage.name for stage in STAGES if stage.name in wanted]
