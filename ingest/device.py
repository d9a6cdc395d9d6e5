"""Where to compute, and in which dtype a model runs."""

from collections.abc import Mapping
from typing import Any

import torch

from catalog.errors import EnvironmentFault, Option


def pick_device(name: str) -> torch.device:
    """The device asked for; `auto` is CUDA where there is one.

    Raises:
        EnvironmentFault: CUDA was asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise EnvironmentFault(
            "There is no CUDA device here.", "Use ", Option("device", "cpu"), ", or auto."
        )
    return torch.device(name)


def pick_dtype(name: str, device: torch.device) -> str:
    """The dtype of the forward pass asked for; `auto` is bfloat16 on CUDA, float32 on the CPU."""
    if name != "auto":
        return name
    return "bfloat16" if device.type == "cuda" else "float32"


def fast_dtype(device: torch.device) -> torch.dtype:
    """In which dtype a product that need not be exact is fastest.

    bfloat16 on processors that have matrix instructions for it (AMX), else float32.
    """
    if device.type == "cpu" and torch.backends.mkldnn.is_available():
        # Asked for by name, because older versions of torch do not say.
        can: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        if can.get("amx_bf16", False) and can.get("amx_tile", False):
            return torch.bfloat16
    return torch.float32
