"""A checkpoint as an entry of the catalog: its alias, its shape, its norms checked."""

from typing import Any

from scipy.special import betaincinv

from catalog.ingest.names import check_alias, default_alias
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.progress import Progress
from catalog.ingest.request import IngestRequest, SeriesPlace
from catalog.ingest.vocabulary import vocabulary_pieces
from catalog.layers import LayerSizes
from catalog.queries.records import Entry
from catalog.store.series import require_alike
from catalog.store.writing import ModelEntry, known_entry, register_model


def chance_level(d_model: int, probability: float) -> float:
    """|cosine| that two random vectors exceed with this probability (docs/definitions.md).

    Their cosine follows beta((d-1)/2, (d-1)/2) stretched to [-1, 1].
    """
    half = (d_model - 1) / 2
    return float(2 * betaincinv(half, half, 1 - probability / 2) - 1)


def wire_floor(weights: NeuronVectors) -> float:
    """|cosine| that a random pair of vectors exceeds once in as many as the entry has neurons."""
    return chance_level(weights.d_model, 1 / weights.sizes.n_neurons)


def _experts(sizes: LayerSizes) -> dict[str, Any]:
    """Columns about experts; none where there are no experts."""
    if sizes.n_experts == 0:
        return {}
    return {
        "n_experts": sizes.n_experts,
        "d_expert": sizes.d_expert,
        "d_shared": sizes.d_shared,
        "d_dense": sizes.d_dense,
        "dense_layers": tuple(sizes.dense_layers),
    }


def _in_series(place: SeriesPlace | None) -> dict[str, Any]:
    """Columns about the training run; none of a checkpoint that stands alone."""
    if place is None:
        return {}
    return {"series": place.series, "step": place.step, "train_tokens": place.train_tokens}


def enter_model(
    request: IngestRequest, weights: NeuronVectors, progress: Progress
) -> tuple[int, ModelEntry]:
    """Register the entry; norms are checked when its checkpoint is seen for the first time.

    Raises:
        UsageError: an alias that nobody could type, or that names no folder.
        AliasTaken: it stands for another checkpoint.
        CheckpointError: the norms are not those that its family names, or the checkpoint has
            another shape or tokenizer than other steps of its series.
    """
    entry = _entry(request, weights)
    with request.catalog.tables("") as connection:
        seen = known_entry(connection, entry)
        if entry.series is not None:
            require_alike(connection, entry, _vocabulary(request, weights))
    if not seen and weights.kind != "raw":
        from catalog.ingest.norm_check import check_norms

        progress.note(
            f"{entry.alias}: checking that {entry.family}'s norms are where its family says"
        )
        check_norms(weights)
    with request.catalog.writing() as connection:
        return register_model(connection, entry), entry


def as_entered(entry: Entry) -> ModelEntry:
    """An entry that is there, as it was registered."""
    named = {
        name: getattr(entry, name) for name in ModelEntry.__dataclass_fields__ if name != "alias"
    }
    return ModelEntry(alias=entry.model, **named)


def _entry(request: IngestRequest, weights: NeuronVectors) -> ModelEntry:
    checkpoint, place = weights.checkpoint, request.place
    given = request.alias if place is None else place.series
    name = default_alias(checkpoint.source, weights.kind) if given is None else given
    check_alias(name, given=given is not None)
    return ModelEntry(
        alias=name if place is None else place.alias,
        source=checkpoint.source,
        revision=checkpoint.revision,
        fingerprint=checkpoint.fingerprint,
        family=weights.family.name,
        activation_fn=weights.activation_fn,
        n_layers=weights.n_layers,
        d_model=weights.d_model,
        d_mlp=weights.d_mlp,
        d_vocab=weights.d_vocab,
        weights=weights.kind,
        gated=weights.family.mlp.gated,
        quantization=checkpoint.quantization,
        chance_95=chance_level(weights.d_model, 0.05),
        chance_999=chance_level(weights.d_model, 0.001),
        wire_floor=wire_floor(weights),
        **_experts(weights.sizes),
        **_in_series(place),
    )


def _vocabulary(request: IngestRequest, weights: NeuronVectors) -> str | None:
    """The digest of the checkpoint's vocabulary; None where no stage reads its tokenizer."""
    if {"weights", "wiring"}.issuperset(request.stages):
        return None
    return vocabulary_pieces(weights.checkpoint.tokenizer(), weights.d_vocab).digest
