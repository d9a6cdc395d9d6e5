"""The configuration of a checkpoint in a folder."""

import json
from pathlib import Path
from typing import Any, Final

from catalog.errors import CheckpointError, EnvironmentFault

CONFIG_NAME: Final = "config.json"


def read_config(folder: Path, source: str) -> dict[str, Any]:
    """What config.json says.

    Raises:
        CheckpointError: it is missing, no JSON object, or of a quantised checkpoint.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise CheckpointError(f"{folder} is no checkpoint: it has no config.json.")
    try:
        config = json.loads(path.read_bytes().decode())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}.") from error
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is no model configuration: it holds no JSON object.")
    if not isinstance(config.get("text_config") or {}, dict):
        raise CheckpointError(f"{path} is no model configuration: text_config is no JSON object.")
    quantized = config.get("quantization_config")
    if quantized is not None:
        method = quantized.get("quant_method", "?") if isinstance(quantized, dict) else "?"
        raise CheckpointError(
            f"{source} is quantised ({method}); ingest the unquantised checkpoint it came from."
        )
    return config
