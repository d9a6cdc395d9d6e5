"""A checkpoint as an entry of the catalog: its alias, its shape, its norms checked."""

from typing import Any

from scipy.special import betaincinv

from catalog.errors import Option, UsageError
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.paths import user_path
from catalog.ingest.progress import Progress
from catalog.layers import LayerSizes
from catalog.store.handle import Handle
from catalog.store.lake.manifest import fits_a_folder
from catalog.store.writing import ModelEntry, known_entry, register_model
from catalog.taxonomy import WeightKind


def default_alias(source: str, kind: WeightKind) -> str:
    """Last part of the source in lower case without `-hf`, plus the kind unless folded."""
    name = user_path(source).resolve().name if source != "demo" else source
    return name.lower().removesuffix(".gguf").removesuffix("-hf") + (
        "" if kind == "folded" else f"-{kind}"
    )


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


def enter_model(
    catalog: Handle, alias: str | None, weights: NeuronVectors, progress: Progress
) -> tuple[int, ModelEntry]:
    """Register the entry; norms are checked when its checkpoint is seen for the first time.

    Raises:
        UsageError: an alias that nobody could type, or that names no folder.
        AliasTaken: it stands for another checkpoint.
        CheckpointError: the norms are not those that its family names.
    """
    if alias is None:
        alias = default_alias(weights.checkpoint.source, weights.kind)
    if not alias.strip() or not alias.isprintable():
        raise UsageError(
            f"The alias {alias!r} cannot be read.", "Give another one with ", Option("alias"), "."
        )
    if not fits_a_folder(alias):
        raise UsageError(
            f"The alias {alias[:40]}… is too long: no folder could be named for it, as in a lake.",
            "Give a shorter one with ",
            Option("alias"),
            ".",
        )
    entry = ModelEntry(
        alias=alias,
        source=weights.checkpoint.source,
        revision=weights.checkpoint.revision,
        fingerprint=weights.checkpoint.fingerprint,
        family=weights.family.name,
        activation_fn=weights.activation_fn,
        n_layers=weights.n_layers,
        d_model=weights.d_model,
        d_mlp=weights.d_mlp,
        d_vocab=weights.d_vocab,
        weights=weights.kind,
        gated=weights.family.mlp.gated,
        quantization=weights.checkpoint.quantization,
        chance_95=chance_level(weights.d_model, 0.05),
        chance_999=chance_level(weights.d_model, 0.001),
        wire_floor=wire_floor(weights),
        **_experts(weights.sizes),
    )
    with catalog.tables("") as connection:
        seen = known_entry(connection, entry)
    if not seen and weights.kind != "raw":
        from catalog.ingest.norm_check import check_norms

        progress.note(f"{alias}: checking that {entry.family}'s norms are where its family says")
        check_norms(weights)
    with catalog.writing() as connection:
        return register_model(connection, entry), entry
