"""W_U and W_E of a model, transposed, of the kind of its weights (docs/definitions.md)."""

import torch
from jaxtyping import Float
from torch import Tensor

from catalog.errors import CheckpointError
from catalog.ingest.folding import centre
from catalog.ingest.neuron_vectors import NeuronVectors

_ROWS = 1024


def unembedding(
    weights: NeuronVectors, device: torch.device | str = "cpu"
) -> Float[Tensor, "d_vocab d_model"]:
    """W_U transposed, float32: final norm folded and centred over the vocabulary unless raw.

    What stands between the stream and an unembedding of another width is multiplied in.

    Raises:
        CheckpointError: the tensor, which is named, has non-finite values, because centring would
            spread them over every token.
    """
    raw = weights.kind == "raw"
    gain = None if raw else weights.folding.gain(weights.family.final_norm, None, device)
    project = weights.family.project_out
    projection = None if project is None else _projection(weights, project)
    matrix, mean = _matrix(weights, weights.unembedding_name, projection, gain, device)
    if not raw:
        matrix -= mean
    return matrix


def embedding(
    weights: NeuronVectors, device: torch.device | str = "cpu"
) -> Float[Tensor, "d_vocab d_model"]:
    """W_E of the checkpoint, float32; centred over d_model in LayerNorm models unless raw.

    What stands between an embedding of another width and the stream is multiplied in.

    Raises:
        CheckpointError: the tensor, which is named, has non-finite values.
    """
    project = weights.family.project_in
    projection = None if project is None else _projection(weights, project).T
    return _matrix(weights, weights.embedding_name, projection, None, device)[0]


def _projection(weights: NeuronVectors, module: str) -> Float[Tensor, "d_out d_in"]:
    return weights.checkpoint.tensor(weights.family.weight(module)).float()


def _matrix(
    weights: NeuronVectors,
    name: str,
    projection: Float[Tensor, "d_embed d_model"] | None,
    gain: Float[Tensor, " d_model"] | None,
    device: torch.device | str,
) -> tuple[Float[Tensor, "d_vocab d_model"], Float[Tensor, " d_model"]]:
    """The matrix, scaled and centred over d_model as the kind asks, and its mean row."""
    checkpoint = weights.checkpoint
    n_rows = checkpoint.shape(name)[0]
    matrix = torch.empty(n_rows, weights.d_model, dtype=torch.float32, device=device)
    # Summed in float64: over 256,000 tokens float32 loses digits of the mean.
    total = torch.zeros(weights.d_model, dtype=torch.float64, device=device)
    for start in range(0, n_rows, _ROWS):
        rows = matrix[start : start + _ROWS]
        stored = checkpoint.rows(name, start, start + len(rows)).to(device)
        rows.copy_(stored if projection is None else stored.float() @ projection.to(device))
        if gain is not None:
            rows.mul_(gain)
        if weights.folding.centres:
            centre(rows)
        total += rows.sum(0, dtype=torch.float64)
    if not bool(total.isfinite().all()):
        raise CheckpointError(
            f"{checkpoint.source}: tensor {name} (or the final norm's gain) has NaN or infinite "
            "values, so no vocabulary projection can be computed."
        )
    checkpoint.release()
    return matrix, (total / n_rows).float()
