"""Which way the sign cases are read, by what there is: numba, torch.compile, torch."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from catalog.ingest.activations.hooks import MlpValues
from catalog.ingest.activations.reading import EMPTY, Reading, case_signs, read_blocks, read_cases
from catalog.ingest.families import Mlp
from catalog.layers import LayerSizes

COMPILE_PAYS_ABOVE: Final = 2**31
"""Values (tokens x layers x d_mlp) above which torch.compile saves more time than it costs."""


@dataclass(frozen=True)
class Kernel:
    """A way to read the sign cases: `name`, of `KERNELS`, is recorded, `reason` is said."""

    name: str
    reason: str
    read: Callable[..., Reading]


def plain_kernel(reason: str) -> Kernel:
    """Eager torch."""
    return Kernel("plain", reason, read_blocks)


def fused_kernel(d_mlp: int, mlp: Mlp, dtype: torch.dtype, device: torch.device) -> Kernel:
    """`fused.read_fused`, compiled at once or from numba's cache; the plain one if it fails."""
    try:
        # Imported here: it takes half a second, and not every machine has it.
        from numba.core.errors import NumbaError

        from catalog.ingest.activations.fused import read_fused
    except (ImportError, OSError) as error:
        return plain_kernel(f"numba cannot be imported: {error}")
    try:
        _try(read_fused, d_mlp, mlp, dtype, device)
    except (NumbaError, RuntimeError, OSError) as error:
        return plain_kernel(f"numba failed: {type(error).__name__}")
    return Kernel("fused", "one pass over the values, by numba", read_fused)


def compiled_kernel(d_mlp: int, mlp: Mlp, dtype: torch.dtype, device: torch.device) -> Kernel:
    """`read_cases` through torch.compile, or the plain one where no compiler works.

    Compiles at once, for any batch size > 1 and any length.
    """
    compiled = torch.compile(read_cases, fullgraph=True)

    def read(values: MlpValues, counted: Tensor, context_ids: Tensor, floor: Tensor) -> Reading:
        for x in (*values.tensors, counted):
            torch._dynamo.mark_dynamic(x, [0, 1])
        torch._dynamo.mark_dynamic(context_ids, 0)
        return compiled(values, counted, context_ids, floor)

    try:
        _try(read, d_mlp, mlp, dtype, device)
    except (RuntimeError, ImportError, OSError) as error:  # no compiler, or a broken one
        return plain_kernel(f"compiling failed: {type(error).__name__}")
    return Kernel("compiled", "by torch.compile", read)


def _try(
    read: Callable[..., Reading],
    d_mlp: int,
    mlp: Mlp,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Read a small batch as such an MLP makes them."""
    with torch.inference_mode():
        post = torch.ones(2, 16, d_mlp, dtype=dtype, device=device)
        reads = [post.clone() for _ in range(2 if mlp.gated else 1)]
        if mlp.fused:
            reads = list(torch.cat(reads, dim=-1).chunk(len(reads), dim=-1))
        counted = torch.ones(2, 16, dtype=torch.bool, device=device)
        floor = torch.full((len(case_signs(gated=mlp.gated)), d_mlp), EMPTY, device=device)
        read(MlpValues.of((*reads, post)), counted, torch.arange(2, device=device), floor)


KERNELS: Final = MappingProxyType(
    {
        "fused": fused_kernel,
        "compiled": compiled_kernel,
        "plain": lambda *_: plain_kernel("asked for"),
    }
)
"""By name, how each is had for (d_mlp, mlp, dtype, device); its name is 'plain' where it is not."""


def choose_kernel(
    n_tokens: int, sizes: LayerSizes, mlp: Mlp, dtype: torch.dtype, device: torch.device
) -> Kernel:
    """The fused one on the CPU; on a GPU the compiled one, if the corpus is large.

    `n_tokens` is that of the whole corpus, so that a resumed run chooses alike.
    """
    if device.type == "cpu":
        return fused_kernel(sizes.d_mlp, mlp, dtype, device)
    if sizes.n_experts:
        return plain_kernel("experts are read one by one")
    if n_tokens * sizes.n_layers * sizes.d_mlp < COMPILE_PAYS_ABOVE:
        return plain_kernel("the corpus is too small for compiling to pay")
    return compiled_kernel(sizes.d_mlp, mlp, dtype, device)
