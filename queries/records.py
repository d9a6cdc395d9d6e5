"""What the catalog knows of one neuron, as typed records that reports, pages and JSON share.

The fields are the columns of the rows that they are read from; what a plain MLP lacks is None.
`QUERY` names the file of `catalog.queries.sql` that such rows come from.
"""

import dataclasses
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Literal, Protocol, TypeVar

from catalog.layers import LayerSizes
from catalog.neuron_id import NeuronId
from catalog.taxonomy import VECTORS, Basis, Sign, Vector, WeightKind

AGREEING_SHARE: Final = 0.75
"""Lists of W_U and W_E of which so many tokens are the same are shown once."""

_Record = TypeVar("_Record")


class Queried(Protocol):
    """A record whose rows a query of its own gives.

    Its `STAGE`, if it has one, is the only stage that makes them, which few models have.
    """

    QUERY: ClassVar[str]


@dataclass(frozen=True)
class Model:
    """A row of `models`."""

    model: str
    source: str
    revision: str | None
    family: str
    activation_fn: str
    n_layers: int
    d_model: int
    d_mlp: int
    d_vocab: int
    gated: bool
    weights: WeightKind
    quantization: str | None
    wire_floor: float | None
    chance_95: float
    chance_999: float
    ingested_at: datetime
    n_experts: int | None = None
    d_expert: int | None = None
    d_shared: int | None = None
    d_dense: int | None = None
    dense_layers: list[int] | None = None
    series: str | None = None
    step: int | None = None
    train_tokens: int | None = None

    @property
    def sizes(self) -> LayerSizes:
        """The neurons of its layers."""
        return LayerSizes.of_entry(
            self.n_layers,
            self.d_mlp,
            self.n_experts,
            self.d_expert,
            self.d_shared,
            self.d_dense,
            self.dense_layers,
        )

    @property
    def shape(self) -> str:
        """Layers and neurons in words."""
        if self.n_experts is None:
            return f"{self.n_layers} layers x {self.d_mlp:,} neurons"
        shared = " and a shared one" if self.d_shared else ""
        return (
            f"{self.n_layers} layers of up to {self.d_mlp:,} neurons, {self.n_experts} experts "
            f"x {self.d_expert:,}{shared}"
        )

    @property
    def vectors(self) -> tuple[Vector, ...]:
        """The weight vectors that its neurons have: a plain MLP has no gate."""
        return tuple(vector for vector in VECTORS if self.gated or vector != "gate")


@dataclass(frozen=True, kw_only=True)
class Entry(Model):
    """A row of `models`, and the digest that identifies its checkpoint."""

    fingerprint: str


@dataclass(frozen=True)
class Neuron:
    """A row of `neurons`."""

    QUERY: ClassVar[str] = "neuron"

    model: str
    layer: int
    neuron: int
    neuron_id: str
    cos_gate_in: float | None
    cos_gate_out: float | None
    cos_in_out: float | None
    flipped: bool | None
    norm_gate: float | None
    norm_in: float | None
    norm_out: float | None
    io_class: str | None
    atypical: bool | None
    vocab_variance: float | None
    vocab_skew: float | None
    vocab_kurtosis: float | None
    null_space_share: float | None
    functional_role: str | None
    expert: int | None = None


@dataclass(frozen=True)
class LayerCosines:
    """A cosine of all neurons of a layer: quartiles, and the values in ascending order.

    The quartiles are None where no neuron of the layer has the cosine.
    """

    QUERY: ClassVar[str] = "layer_cosines"

    cosine: str
    lowest: float | None
    q1: float | None
    median: float | None
    q3: float | None
    highest: float | None
    ordered: Sequence[float]

    def place_of(self, value: float | None) -> "Place":
        """Where a value of this cosine stands."""
        n_below = 0 if value is None else bisect_left(self.ordered, value)
        share = n_below / len(self.ordered) if self.ordered else None
        return Place(
            self.cosine, value, self.lowest, self.q1, self.median, self.q3, self.highest, share
        )


@dataclass(frozen=True)
class Place:
    """Where a cosine stands among those of the layer: quartiles, and the share below it.

    The quartiles are None where no neuron of the layer has the cosine.
    """

    cosine: str
    value: float | None
    lowest: float | None
    q1: float | None
    median: float | None
    q3: float | None
    highest: float | None
    share_below: float | None

    @property
    def vectors(self) -> tuple[str, ...]:
        """The two vectors that it is the cosine of."""
        return tuple(self.cosine.removeprefix("cos_").split("_"))


@dataclass(frozen=True)
class TopToken:
    """A row of `top_tokens`."""

    QUERY: ClassVar[str] = "neuron_tokens"

    vector: Vector
    basis: Basis
    sign: Sign
    rank: int
    token_id: int
    token: str
    score: float


@dataclass(frozen=True)
class RouterToken:
    """A row of `router_tokens`."""

    QUERY: ClassVar[str] = "router_tokens"

    basis: Basis
    sign: Sign
    rank: int
    token_id: int
    token: str
    score: float


@dataclass(frozen=True)
class AskedExpert:
    """How often an expert of a layer is asked on a corpus; None where nothing was counted."""

    QUERY: ClassVar[str] = "asked_experts"

    expert: int
    routed: float | None


@dataclass(frozen=True)
class Neighbour:
    """A row of `wires` or `twins`: another neuron of the model, seen from the one that is read.

    `side`: what it is to that one. `vector`: what the reader reads with, or what both twins have.
    `token`: of the tokens of its w_out in W_U that of largest |score|, None beyond the sixth of a
    list; `sign` of that score.
    """

    QUERY: ClassVar[str] = "neighbours"
    STAGE: ClassVar[str] = "wiring"

    side: Literal["reader", "writer", "twin"]
    vector: Vector
    rank: int
    cosine: float
    layer: int
    neuron: int
    neuron_id: str
    io_class: str | None
    functional_role: str | None
    flipped: bool | None
    token: str | None
    sign: Sign | None


@dataclass(frozen=True)
class Described:
    """A row of `descriptions`."""

    QUERY: ClassVar[str] = "neuron_descriptions"
    STAGE: ClassVar[str] = "descriptions"

    sign_case: str
    description: str
    explainer: str | None
    scorer: str | None
    score: float | None
    source: str
    source_key: str
    imported_at: datetime


@dataclass(frozen=True)
class Corpus:
    """A row of `corpora`."""

    QUERY: ClassVar[str] = "corpora"

    model: str
    corpus: str
    source: str
    n_contexts: int
    n_tokens: int
    context_length: int
    start_token_id: int | None
    special_tokens: str
    digest: str


@dataclass(frozen=True)
class CaseStatistics:
    """A row of `activation_stats`."""

    QUERY: ClassVar[str] = "neuron_stats"

    sign_case: str
    n_positions: int
    frequency: float | None
    mean_post: float | None
    extreme_post: float | None
    mean_gate: float | None
    extreme_gate: float | None
    mean_in: float | None
    extreme_in: float | None
    routed: float | None = None


@dataclass(frozen=True)
class Detector:
    """A row of `detectors`: at how many positions a neuron fires, and on which few tokens."""

    QUERY: ClassVar[str] = "neuron_detector"
    STAGE: ClassVar[str] = "detectors"

    dead: bool
    n_cover_95: int | None
    tokens: list[str] | None
    n_fired: int
    n_fired_on: list[int] | None


@dataclass(frozen=True)
class Exemplar:
    """A row of `exemplars`, with the document its context was cut from."""

    QUERY: ClassVar[str] = "neuron_exemplars"

    sign_case: str
    rank: int
    post: float
    x_gate: float | None
    x_in: float
    context_id: int
    source_ref: str
    position: int
    token_id: int
    token: str
    next_token_id: int | None
    next_token: str | None
    text: str
    window_start: int
    window_tokens: list[str]
    window_post: list[float | None]


@dataclass(frozen=True)
class DrawnExemplar:
    """An exemplar with all that recomputing it needs; `window_post` are its bytes."""

    model: str
    source: str
    revision: str | None
    fingerprint: str
    dtype: str
    corpus: str
    layer: int
    neuron: int
    sign_case: str
    rank: int
    post: float
    x_gate: float | None
    x_in: float
    context_id: int
    position: int
    window_start: int
    window_scale: float
    window_post: list[int | None]
    token_ids: list[int]


@dataclass(frozen=True)
class SignCase:
    """How a neuron behaves in one sign case, and its strongest exemplars there."""

    statistics: CaseStatistics
    exemplars: list[Exemplar]


@dataclass(frozen=True)
class RoleCutoffs:
    """What the rule that gave the role compared with; None where nothing qualified."""

    QUERY: ClassVar[str] = "role_cutoffs"

    partition_variance: float | None
    kurtosis_cutoff: float | None
    entropy_cutoff: float | None
    attention_cutoff: float | None


@dataclass(frozen=True, repr=False)
class NeuronRecord:
    """One neuron: its model's entry, its row of `neurons`, and what other views hold of it.

    `cases`: by sign case, empty if no corpus was ingested. `wires` (readers, then writers) and
    `twins` are empty too until the stage wiring ran. `router_tokens`, of the neuron's expert, and
    `asked_experts`, all of its layer, are empty in dense layers; `detector` is None until the stage
    detectors ran. `is_canonical`: signs are those of the canonical reading (docs/definitions.md),
    in the places among the layer too. `other_corpora`: names of those that are not shown.
    """

    id: NeuronId
    model: Model
    neuron: Neuron
    places: list[Place]
    tokens: list[TopToken]
    corpus: Corpus | None
    cases: dict[str, SignCase]
    role_cutoffs: RoleCutoffs | None
    wires: list[Neighbour]
    twins: list[Neighbour]
    descriptions: list[Described]
    router_tokens: list[RouterToken] = dataclasses.field(default_factory=list)
    asked_experts: list[AskedExpert] = dataclasses.field(default_factory=list)
    detector: Detector | None = None
    is_canonical: bool = False
    other_corpora: list[str] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> NeuronId:
        """Its id as reports print it: that of an expert's neuron counted within the expert."""
        return self.id.in_expert(self.model.sizes)

    def __repr__(self) -> str:
        return f"NeuronRecord({self.name} of {self.model.model}: {self.neuron.io_class})"

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values, for JSON."""
        return {name: _plain(value) for name, value in vars(self).items()} | {"id": str(self.id)}


def _plain(value: Any) -> Any:
    """Records, also in lists, as dictionaries; `dataclasses.asdict` would copy every leaf."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value] if value and not _is_leaf(value[0]) else list(value)
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    return value


def _is_leaf(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def lists_agree(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether lists of a vector in W_U and W_E are shown once (docs/definitions.md, "Report")."""
    longest = max(len(ours), len(theirs))
    return longest > 0 and len({*ours} & {*theirs}) >= AGREEING_SHARE * longest


def record_of(kind: type[_Record], row: dict[str, Any]) -> _Record:
    """A record from the columns of a row that it has fields for."""
    names = [each.name for each in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: row[name] for name in names if name in row})
