"""What transformers and torch say against a checkpoint, as the catalog's own errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from huggingface_hub.errors import StrictDataclassError

from catalog.errors import CheckpointError, HintPart, ran_out_of_memory

if TYPE_CHECKING:
    from catalog.ingest.checkpoint.reader import Checkpoint

BELONG: Final = "see that its files belong together"
"""What to do where transformers refuses a folder."""

_REFUSALS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    RuntimeError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""What transformers and torch raise over a config.json that makes no sense."""


@contextmanager
def asking_transformers(checkpoint: "Checkpoint", *way_out: HintPart) -> Iterator[None]:
    """Turn what transformers says against a checkpoint's config.json into CheckpointError.

    Raises MemoryError where memory ran out.
    """
    try:
        yield
    except _REFUSALS as error:
        if ran_out_of_memory(error):
            raise MemoryError from error
        said = (str(error).strip().splitlines() or [""])[0][:200].rstrip(".")
        states = checkpoint.tensors.config_name
        raise CheckpointError(
            f"transformers has no class for {checkpoint.source} (model type "
            f"{checkpoint.config.get('model_type')}) or cannot run it as its {states} says: "
            f"{type(error).__name__}: {said};",
            *way_out,
            ".",
        ) from error
