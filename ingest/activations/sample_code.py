"""Samples of post as signed bytes in equal ratios, so that small values of heavy tails survive."""

from typing import Final

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from catalog.ingest.activations.peaks import BYTE_MAX

STEPS_AN_OCTAVE: Final = 8


def logarithmic(
    values: Float[Tensor, "*shape s"],
) -> tuple[Float[Tensor, "*shape"], Int8[Tensor, "*shape s"]]:
    """The largest |value| m, and bytes b: 0 is 0, else the value is sign(b) * m * 2^((|b|-127)/8).

    That is within 2^(1/16), 4.5%, down to m * 2^-15.8, and 0 below (docs/definitions.md, "Sample").
    """
    largest = values.abs().amax(-1)
    share = values.abs().double() / largest[..., None].double()  # NaN where all are 0
    steps = (BYTE_MAX + STEPS_AN_OCTAVE * share.log2()).round()
    return largest, torch.where(steps >= 1, values.sign() * steps, 0.0).to(torch.int8)
