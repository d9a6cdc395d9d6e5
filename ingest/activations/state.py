"""The running state of the pass: statistics, top-k with windows, samples. Merging is exact.

Counts and sums are integers, extremes are maxima, rankings follow one total order, so a state
depends on which units it holds and not on their order, on workers, or on how states were merged.
"""

import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int, Int8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from catalog.errors import CorpusError, EnvironmentFault, MismatchError, Option
from catalog.ingest.activations.contexts import Batch
from catalog.ingest.activations.hooks import MlpValues
from catalog.ingest.activations.peaks import WINDOW, Peaks, find_peaks
from catalog.ingest.activations.reading import EMPTY, Reading
from catalog.layers import LayerSizes
from catalog.store.whole_files import written_whole
from catalog.taxonomy import sign_cases

_LARGEST_SUM = 2**62


@dataclass(frozen=True)
class PassPlan:
    """All that decides the result; states merge and resume only if every field agrees."""

    model: str  # fingerprint of the checkpoint
    corpus: str  # digest of the corpus as tokenised
    n_layers: int
    d_mlp: int
    k: int  # exemplars per neuron and sign case
    n_samples: int
    tokens_per_batch: int
    seed: int
    special_tokens: str  # 'excluded' or 'counted'
    dtype: str  # of the forward pass, as torch names it
    device: str  # kind of device, 'cpu' or 'cuda'
    kernel: str  # of `kernel.KERNELS`
    gated: bool = True  # whether there is a gate, and with it four sign cases instead of two
    n_experts: int = 0  # what follows is about experts (`catalog.layers.LayerSizes`), 0 without
    d_expert: int = 0
    d_shared: int = 0
    d_dense: int = 0
    dense_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # A saved plan comes back from JSON, which knows lists only.
        object.__setattr__(self, "dense_layers", tuple(self.dense_layers))

    @property
    def sizes(self) -> LayerSizes:
        """The neurons of the layers."""
        experts = self.n_experts, self.d_expert, self.d_shared, self.d_dense, self.dense_layers
        return LayerSizes.of_entry(self.n_layers, self.d_mlp, *experts)

    @property
    def n_cases(self) -> int:
        """Sign cases of a neuron."""
        return len(sign_cases(gated=self.gated))

    @property
    def n_reads(self) -> int:
        """Pre-activations of a neuron: gate and in, or in."""
        return 2 if self.gated else 1


@dataclass
class ActivationState:
    """Everything the pass has learned from `units`. Tensors live on one device.

    l layers, n neurons of the largest, k exemplars in the order of their keys, s samples; the case
    axis is in the order of the sign cases.
    """

    plan: PassPlan
    count: Int[Tensor, "l case n"]  # int64
    total: Int[Tensor, "l quantity case n"]  # int64, post and reads as multiples of SUM_STEP
    extreme: Float[Tensor, "l quantity case n"]  # float32, largest of the reads
    key: Int[Tensor, "l case n k"]  # int64 rank keys, highest first, EMPTY where none
    peak: Float[Tensor, "l case n k quantity"]  # float32, post and reads at the peak
    position: Int[Tensor, "l case n k"]  # int32
    scale: Float[Tensor, "l case n k"]  # float32, of the window
    window: Int8[Tensor, "l case n k w"]  # slot WINDOW_BEFORE is the peak
    sample: Float[Tensor, "l s n"]  # post in the model's dtype
    sampled: Bool[Tensor, " s"]
    asked: Int[Tensor, "l n"] | None = None  # int64, positions routed to the neuron's expert
    n_positions: int = 0
    units: set[int] = field(default_factory=set)
    halved: dict[int, int] = field(default_factory=dict)  # unit -> parts it had to be cut into
    nonfinite: dict[tuple[int, int], int] = field(default_factory=dict)  # (layer, context) -> n

    @classmethod
    def empty(cls, plan: PassPlan, device: torch.device) -> Self:
        """A state that holds no unit."""
        layers, n, k, cases = plan.n_layers, plan.d_mlp, plan.k, plan.n_cases

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(layers, *shape, dtype=dtype, device=device)

        return cls(
            plan,
            count=zeros(cases, n, dtype=torch.int64),
            total=zeros(1 + plan.n_reads, cases, n, dtype=torch.int64),
            extreme=zeros(plan.n_reads, cases, n),
            key=zeros(cases, n, k, dtype=torch.int64).fill_(EMPTY),
            peak=zeros(cases, n, k, 1 + plan.n_reads),
            position=zeros(cases, n, k, dtype=torch.int32),
            scale=zeros(cases, n, k),
            window=zeros(cases, n, k, WINDOW, dtype=torch.int8),
            # NaN where an expert is not asked; what it computes is stored finite.
            sample=zeros(plan.n_samples, n, dtype=getattr(torch, plan.dtype)).fill_(
                torch.nan if plan.n_experts else 0
            ),
            sampled=torch.zeros(plan.n_samples, dtype=torch.bool, device=device),
            asked=zeros(n, dtype=torch.int64) if plan.n_experts else None,
        )

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensor fields by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    @property
    def mb(self) -> float:
        """Size of the state in MB (1e6 bytes): fixed by the model, k and the samples."""
        return sum(tensor.nbytes for tensor in self.tensors.values()) / 1e6

    def to(self, device: torch.device) -> Self:
        """The same state with its tensors on another device."""
        moved: dict[str, Any] = {name: each.to(device) for name, each in self.tensors.items()}
        return replace(self, **moved)

    def floor(self, layer: int) -> Int[Tensor, "case n"]:
        """The key a context must exceed to enter a top-k: that of its last place."""
        return self.key[layer, ..., -1].contiguous()

    def update(
        self,
        layer: int,
        batch: Batch,
        values: MlpValues,
        reading: Reading,
        first: int = 0,
        asked: Bool[Tensor, "b t"] | None = None,
    ) -> None:
        """Add what one batch says about one layer, or about one expert of it.

        Its neurons begin at `first`; `asked` are the positions that were routed to it, all without.
        What takes memory comes first: running out of it leaves the layer as it was.
        """
        rows = reading.enters.flatten().nonzero()[:, 0]
        merged = self._challenge(layer, rows, batch, values, reading, first, asked)
        there = slice(first, first + reading.enters.shape[1])
        self.count[layer, :, there] += reading.n_in_case
        self.total[layer, ..., there] += reading.total
        extreme = self.extreme[layer, ..., there]
        extreme.copy_(torch.maximum(extreme, reading.extreme))
        if merged is not None:
            self._peaks(layer).put(self._through_layer(rows, reading, first), merged)

    def _through_layer(
        self, rows: Int[Tensor, " r"], reading: Reading, first: int
    ) -> Int[Tensor, " r"]:
        """Rows case * n + neuron of an expert as rows of its layer."""
        n = reading.enters.shape[1]
        return rows // n * self.plan.d_mlp + first + rows % n

    def _peaks(self, layer: int) -> Peaks:
        """The top-k of a layer as a view of the state, one row per (case, neuron)."""
        names = ("key", "peak", "position", "scale", "window")
        return Peaks(*(getattr(self, name)[layer].flatten(0, 1) for name in names))

    def _challenge(
        self,
        layer: int,
        rows: Int[Tensor, " r"],
        batch: Batch,
        values: MlpValues,
        reading: Reading,
        first: int,
        asked: Bool[Tensor, "b t"] | None,
    ) -> Peaks | None:
        """The new top-k of the rows that can change: the old ones against the batch's contexts."""
        if len(rows) == 0:
            return None
        old = self._peaks(layer).take(self._through_layer(rows, reading, first))
        keys = reading.key.flatten(1)[:, rows].T  # [r, b]
        order = torch.cat([old.key, keys], 1).topk(self.plan.k)
        merged = old.select(order.indices.clamp(max=self.plan.k - 1), order.values)
        new_row, rank = ((order.indices >= self.plan.k) & (order.values > EMPTY)).nonzero().T
        context_row = order.indices[new_row, rank] - self.plan.k
        keys = order.values[new_row, rank]
        positions = reading.position
        if positions is not None:
            positions = positions.flatten(1)[context_row, rows[new_row]]
        found = find_peaks(batch, values, context_row, rows[new_row], keys, positions, asked)
        merged.put((new_row, rank), found)
        return merged

    def merge(self, other: Self) -> None:
        """Take in the state of other units of the same plan; exact in any order.

        Raises MismatchError if the plans differ or a unit is in both.
        """
        require_same_plan(self.plan, other.plan)
        if both := self.units & other.units:
            raise MismatchError(f"Two partial results both hold unit {min(both)} of the corpus.")
        self.count += other.count
        self.total += other.total
        torch.maximum(self.extreme, other.extreme, out=self.extreme)
        if self.asked is not None and other.asked is not None:
            self.asked += other.asked
        for layer in range(self.plan.n_layers):
            mine, theirs = self._peaks(layer), other._peaks(layer)
            rows = (theirs.key[:, 0] > mine.key[:, -1]).nonzero()[:, 0]
            both_there = zip(mine.take(rows), theirs.take(rows), strict=True)
            pair = Peaks(*(torch.cat(both, 1) for both in both_there))
            order = pair.key.topk(self.plan.k)
            mine.put(rows, pair.select(order.indices, order.values))
        self.sample[:, other.sampled] = other.sample[:, other.sampled]
        self.sampled |= other.sampled
        self.n_positions += other.n_positions
        self.units |= other.units
        self.halved |= other.halved
        self.add_nonfinite(other.nonfinite.items())

    def add_nonfinite(self, found: Iterable[tuple[tuple[int, int], int]]) -> None:
        """Count values that were not finite, by (layer, context id)."""
        for place, n in found:
            self.nonfinite[place] = self.nonfinite.get(place, 0) + n

    def save(self, path: Path) -> None:
        """Write one file, then rename it: a crash leaves the older one whole.

        Raises EnvironmentFault if it cannot be written, CorpusError if its sums are near overflow.
        """
        # What comes in between two savings is far from the half that is left.
        if int(self.total.abs().amax()) > _LARGEST_SUM:
            raise CorpusError(
                f"The sums over {self.n_positions:,} positions no longer fit into 64 bits.",
                "Use fewer ",
                Option("max_tokens"),
                ".",
            )
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.tensors.items()}
        header = {
            "checksums": {name: _checksum(tensor) for name, tensor in tensors.items()},
            "plan": asdict(self.plan),
            "n_positions": self.n_positions,
            "units": sorted(self.units),
            "halved": sorted(self.halved.items()),
            "nonfinite": [[*place, n] for place, n in sorted(self.nonfinite.items())],
        }
        try:
            with written_whole(path, synced=True) as unfinished:
                save_file(tensors, unfinished, metadata={"state": json.dumps(header)})
        except (OSError, SafetensorError) as error:
            raise EnvironmentFault(f"The checkpoint {path} cannot be written: {error}.") from error

    @classmethod
    def load(cls, path: Path, device: torch.device) -> Self:
        """Read what `save` wrote; raises EnvironmentFault if the file is damaged."""
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                header = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in iter(file.keys())}
            if header["checksums"] != {name: _checksum(each) for name, each in tensors.items()}:
                raise ValueError("its checksums do not agree")
            return cls(
                PassPlan(**header["plan"]),
                **{name: each.to(device) for name, each in tensors.items()},
                n_positions=header["n_positions"],
                units=set(header["units"]),
                halved=dict(header["halved"]),
                nonfinite={(layer, context): n for layer, context, n in header["nonfinite"]},
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise EnvironmentFault(
                f"The checkpoint {path} cannot be read ({error}).", "Delete it to start again."
            ) from error


def _checksum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.view(-1).view(torch.uint8).numpy().data)


def require_same_plan(ours: PassPlan, theirs: PassPlan) -> None:
    """Raise MismatchError, naming the fields, unless two plans are equal."""
    ours_fields, theirs_fields = asdict(ours), asdict(theirs)
    differing = [
        f"{name} {theirs_fields[name]!r} instead of {value!r}"
        for name, value in ours_fields.items()
        if theirs_fields[name] != value
    ]
    if differing:
        raise MismatchError(f"This is a partial result of another pass: {', '.join(differing)}.")
