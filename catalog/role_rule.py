"""The parameters of the rule that gives functional roles, stated once (docs/definitions.md)."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RoleRule:
    """What the rule is run with; the defaults are those of the stage `roles`.

    `partition`, `moments`: so many of 352,256 neurons (OLMo-7B's), rounded up, are partition
    neurons, and prediction or suppression neurons at most. `min_kurtosis`: only those above it.
    `kurtosis`: a cutoff in place of both; 'partition' is the highest among partition neurons, as
    published. `n_entropy`: at most so many entropy neurons, each with a share above
    Q3 + `iqr_factor` * IQR of the last layer. `attention_cutoff`: on |cosine| with a head of the
    next `layers_ahead` layers.
    """

    partition: int = 1000
    moments: int = 1729
    min_kurtosis: float = 1.0
    kurtosis: str | None = None
    n_entropy: int = 2
    iqr_factor: float = 3.0
    attention_cutoff: float = math.sqrt(0.5)
    layers_ahead: int = 1
