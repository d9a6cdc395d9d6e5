"""The names that the catalog, its SQL and its reports share, each stated once.

IO classes follow Gerstner & Schütze, section 4; functional roles their appendix F.
"""

from typing import Final, Literal, NamedTuple

Vector = Literal["gate", "in", "out"]
Basis = Literal["unembed", "embed"]
Sign = Literal["+", "-"]
WeightKind = Literal["folded", "effective", "raw"]

VECTORS: Final[tuple[Vector, ...]] = ("gate", "in", "out")
BASES: Final[tuple[Basis, ...]] = ("unembed", "embed")
BASIS_CHOICES: Final = (*BASES, "both")
SIGNS: Final[tuple[Sign, ...]] = ("+", "-")
WEIGHT_KINDS: Final[tuple[WeightKind, ...]] = ("folded", "effective", "raw")

IO_THRESHOLD: Final = 0.5
IO_CLASSES: Final = (
    "enrichment",
    "conditional enrichment",
    "depletion",
    "conditional depletion",
    "proportional change",
    "orthogonal output",
)

PLAIN_IO_CLASSES: Final = ("enrichment", "depletion", "orthogonal output")
"""Those that a neuron without a gate can have."""

SIGN_CASES: Final = ("gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-")
PLAIN_SIGN_CASES: Final = ("in+", "in-")
"""Signs of what a neuron reads: of gate and in, or of in where there is no gate."""

FUNCTIONAL_ROLES: Final = (
    "partition",
    "prediction",
    "suppression",
    "entropy",
    "attention deactivation",
    "attention activation",
    "other",
)

ORDERS: Final = (
    *("kurtosis", "variance", "skew"),
    *("cos_gate_in", "cos_gate_out", "cos_in_out", "norm", "layer"),
    *("model", "class", "atypical", "role"),
)
"""What a list of neurons can begin with the largest of; skew and cosines by magnitude, names from
the end of the alphabet."""

CORPUS_ORDERS: Final = ("frequency", "effect", "magnitude")
"""What a list of neurons can begin with the largest of that a corpus is needed for: how often a
neuron fires, and its attribution (docs/definitions.md)."""

TOKEN_ORDERS: Final = ("rank", "score", "tokens", "vector", "basis", "sign")
"""What else a list of neurons can begin with the largest of where tokens are sought."""

TEXT_ORDERS: Final = ("post", "written", "unusual")
"""By what neurons on a text are ranked: |post|, that times |w_out|, or over its usual size."""

METRICS: Final = ("loss", "entropy", "rank", "log_scale")
"""What ablations change at a position (docs/definitions.md, "What a neuron causes")."""

BASELINES: Final = ("layer", "frequency")
"""What random neurons share with those of an ablated subset, position by position."""

LARGEST_INTEGER: Final = 2**31 - 1
"""Of SQL's type integer: what counts neurons, tokens and rows asked for."""

DEMO_CORPUS: Final = "demo"
DEMO_MODELS: Final = {"demo": "model", "demo-plain": "plain"}
"""The models that come with the package and bring that corpus, each with its folder in
`ingest/demo`: a gated one and its plain twin."""

WINDOW_BEFORE: Final = 23
WINDOW_AFTER: Final = 8
DETECTOR_TOKENS: Final = 5
DETECTOR_PERCENT: Final = 95
DETECTOR_FIRINGS: Final = 20
"""A detector fires so often, and at most so many input tokens make that share of it
(docs/definitions.md, "Detectors")."""

N_SAMPLED_POSITIONS: Final = 256


def sign_cases(*, gated: bool) -> tuple[str, ...]:
    """The sign cases of a neuron with or without a gate."""
    return SIGN_CASES if gated else PLAIN_SIGN_CASES


class Direction(NamedTuple):
    """One list of top tokens: a vector, read in a basis, at one end of the scores."""

    vector: Vector
    basis: Basis
    sign: Sign


DIRECTIONS: Final = tuple(
    Direction(vector, basis, sign) for vector in VECTORS for basis in BASES for sign in SIGNS
)
"""All twelve; a row of `top_token` stores the index into this tuple."""
