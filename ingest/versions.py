"""The software that decides what an ingest computes."""

from importlib.metadata import version
from typing import Final

_DECISIVE: Final = ("neuron-catalog", "torch", "transformers", "safetensors", "duckdb")


def versions() -> dict[str, str]:
    """Versions as installed here, by distribution; they are recorded with every run."""
    return {name: version(name) for name in _DECISIVE}
