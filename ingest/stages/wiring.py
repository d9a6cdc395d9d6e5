"""Stage `wiring`: which neurons read what others write, and which point the same way."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int
from torch import Tensor

from catalog.formats.durations import duration
from catalog.ingest.engines.engine import Engine
from catalog.ingest.entry import wire_floor
from catalog.ingest.neighbours import (
    NO_FLOOR,
    K,
    Keys,
    Tiles,
    Units,
    compare,
    empty,
    entries,
    merged,
    of_layer,
    within,
)
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.ingest.passing import ask_if_long
from catalog.ingest.progress import Progress
from catalog.ingest.stages.stage import Stage, StageContext
from catalog.ingest.within import tell_done
from catalog.store.staging import Staging
from catalog.taxonomy import Vector

HELD_BYTES: Final = 2 * 2**30
"""Vectors that a worker keeps in memory; of larger models the later layers are read again."""

SLAB_BYTES: Final = {"cpu": 2**29, "cuda": 2**32}
"""Vectors of a layer that are compared at once: all of most layers, a fifth of 100,000 neurons."""

_LISTS = "list"
"""A table of the staging folder that is not loaded: all lists, with the units that are in them."""

Slab = Mapping[Vector, Units]
"""Vectors of the same neurons of a layer."""

Found = Mapping[str, Mapping[int, Int[np.ndarray, "n k"]]]
"""Lists by name and layer, as `catalog.ingest.neighbours.Keys` on the host."""


class WiringStage(Stage):
    """Multiplies every two layers once (docs/definitions.md, "Neurons together").

    The unit of a layer compares it with itself and all before it. Layers are cut into slabs of
    SLAB_BYTES, through their experts. A worker holds two slabs, one tile, some 0.4 KB of lists a
    neuron, and up to HELD_BYTES of the first slabs; on a GPU half its memory. Slabs beyond that are
    read again for every slab of the later layers.
    """

    name = "wiring"

    def __init__(
        self, weights: NeuronVectors, device: torch.device, checkpoint_every_s: float
    ) -> None:
        self.weights = weights
        self.device = device
        self.checkpoint_every_s = checkpoint_every_s
        self.floor = wire_floor(weights)
        self._tiles: Tiles | None = None
        self._held: dict[tuple[int, int], Slab] = {}
        self._room: int | None = None
        self._known: dict[tuple[str, int], Keys] = {}
        self._seen: set[int] = set()

    @classmethod
    def of(cls, context: StageContext) -> Self:
        return cls(context.weights, context.device, context.checkpoint_every_s)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"weights": self.weights.kind, "k": K, "wire_floor": self.floor}

    @property
    def n_bytes(self) -> int:
        return 230 * self.weights.sizes.n_neurons

    @property
    def reads(self) -> list[Vector]:
        """The vectors that a neuron reads with."""
        return [vector for vector in self.weights.vectors if vector != "out"]

    def compute(self, staging: Staging, engine: Engine, progress: Progress) -> Mapping[str, Any]:
        started = time.monotonic()
        n_layers = self.weights.n_layers
        sizes = [self.weights.sizes.of_layer(layer) for layer in range(n_layers)]
        lists = Lists.staged(staging, self._names(), sizes)
        # The longest first, so that workers end together.
        todo = [layer for layer in reversed(range(n_layers)) if layer not in lists.units]
        if todo:
            self._announce(todo, engine, progress)
        progress.begin(self.name, _n_pairs(range(n_layers)), _n_pairs(lists.units))
        last_saved = time.monotonic()
        for layer, found in engine.map(self, todo):
            lists.merge(layer, found)
            if time.monotonic() - last_saved >= self.checkpoint_every_s:
                lists.stage(staging)
                last_saved = time.monotonic()
            progress.advance(_n_pairs([layer]))
        if todo:
            lists.stage(staging)
        progress.end()
        n_wires = n_twins = 0
        for layer in range(n_layers):
            wires, twins = lists.wires(layer, self.reads), lists.twins(layer, self.weights.vectors)
            staging.write(layer, "wire", wires)
            staging.write(layer, "twin", twins)
            n_wires, n_twins = n_wires + len(wires), n_twins + len(twins)
        seconds = round(time.monotonic() - started, 3)
        return {"wires": n_wires, "twins": n_twins, "wiring_seconds": seconds}

    def compute_unit(self, layer: int) -> Found:
        """The lists that one layer gives rise to, with itself and every layer before it.

        Of the earlier layers, what does not come into the lists of units that this worker computed
        before is left out; merged, the lists are the same.
        """
        if layer in self._seen:  # its result was lost, and may not be known twice
            self._known.clear()
        self._seen.add(layer)
        sizes = self.weights.sizes
        tiles = self._tiles = self._tiles or Tiles(self._slab_size, self.device)
        own_names = [name for name, _ in self._lists_of_own()]
        own_lists = {name: empty(sizes.of_layer(layer), self.device) for name in own_names}
        for name, *_ in self._products():
            for other in range(layer):
                if (name, other) not in self._known:
                    self._known[name, other] = empty(sizes.of_layer(other), self.device)
        starts = range(0, sizes.of_layer(layer), self._slab_size)
        for n_before, start in enumerate(starts):
            own = self._slab(layer, start)
            for other in range(layer):
                self._compare_with(other, own, own_lists, tiles)
                tell_done((n_before * (layer + 1) + other + 1) / len(starts))
            for vector in self.weights.vectors:
                twins = own_lists[f"twin_{vector}"]
                for before in self._slabs(layer, start):
                    compare(before[vector], own[vector], twins, twins, NO_FLOOR, tiles)
                within(own[vector], twins, tiles)
        found: dict[str, dict[int, Tensor]] = {name: {} for name in self._names()}
        for name, *_ in self._products():
            for other in range(layer):
                found[name][other] = of_layer(self._known[name, other], layer)
        for name in own_names:
            found[name][layer] = own_lists[name]
        return {
            name: {at: keys.cpu().numpy() for at, keys in by_layer.items()}
            for name, by_layer in found.items()
        }

    def _compare_with(
        self, other: int, own: Slab, own_lists: Mapping[str, Keys], tiles: Tiles
    ) -> None:
        """Bring a slab and all neurons of an earlier layer into the lists of each other."""
        for before in self._slabs(other):
            for name, written, vector, back in self._products():
                floor = self.floor if name.startswith("to") else NO_FLOOR
                lists = self._known[name, other], own_lists[back]
                compare(before[written], own[vector], *lists, floor, tiles)

    def _products(self) -> list[tuple[str, Vector, Vector, str]]:
        """For two layers: the lists of the first, its vector, the second's, and the lists there."""
        wires: list[tuple[str, Vector, Vector, str]] = [
            (f"to_{vector}", "out", vector, f"from_{vector}") for vector in self.reads
        ]
        return wires + [
            (f"twin_{vector}", vector, vector, f"twin_{vector}") for vector in self.weights.vectors
        ]

    def _names(self) -> list[str]:
        return [f"to_{vector}" for vector in self.reads] + [
            name for name, _ in self._lists_of_own()
        ]

    def _lists_of_own(self) -> list[tuple[str, Vector]]:
        """Lists of the neurons of a unit's own layer, and the vectors that are in them."""
        return [(f"from_{vector}", vector) for vector in self.reads] + [
            (f"twin_{vector}", vector) for vector in self.weights.vectors
        ]

    def _slabs(self, layer: int, stop: int | None = None) -> Iterator[Slab]:
        """The neurons of a layer, or those before `stop`, which is the first of a slab."""
        end = self.weights.sizes.of_layer(layer) if stop is None else stop
        for start in range(0, end, self._slab_size):
            yield self._slab(layer, start)

    def _slab(self, layer: int, start: int) -> Slab:
        if (layer, start) in self._held:
            return self._held[layer, start]
        sizes, vectors = self.weights.sizes, self.weights.vectors
        stop = min(start + self._slab_size, sizes.of_layer(layer))
        parts: dict[Vector, list[Units]] = {vector: [] for vector in vectors}
        for first, block in self.weights.blocks(layer, self.device, start=start, stop=stop):
            for vector, values in block.items():
                parts[vector].append(Units.of(layer, values, first))
        slab = {vector: Units.joined(each) for vector, each in parts.items()}
        if self._room is None:
            is_cuda = self.device.type == "cuda"
            self._room = torch.cuda.mem_get_info(self.device)[0] // 2 if is_cuda else HELD_BYTES
        # The first layers are those that the most units read.
        if (sum(map(sizes.of_layer, range(layer))) + stop) * self._neuron_bytes <= self._room:
            self._held[layer, start] = slab
        return slab

    @property
    def _slab_size(self) -> int:
        """The most neurons of a slab."""
        most = max(1, SLAB_BYTES[self.device.type] // self._neuron_bytes)
        return min(most, self.weights.d_mlp)

    @property
    def _neuron_bytes(self) -> int:
        return 4 * len(self.weights.vectors) * self.weights.d_model

    def _announce(self, todo: list[int], engine: Engine, progress: Progress) -> None:
        """Say how long it will take, from one tile on a worker; ask if that is above an hour."""
        weights = self.weights
        probe = Probe(self.device, self._slab_size, weights.d_model)
        ((_, per_product),) = engine.map(probe, [0])
        n_kinds = len(weights.vectors) + len(self.reads)
        sizes = [weights.sizes.of_layer(layer) for layer in range(weights.n_layers)]
        n_products = sum(sizes[layer] * sum(sizes[: layer + 1]) for layer in todo)
        seconds = per_product * n_products * n_kinds
        progress.note(
            f"{self.name}: {sum(sizes):,} neurons with each other, about "
            f"{duration(seconds)} of one worker on {self.device.type}"
        )
        ask_if_long(self.name, seconds, progress)


@dataclass
class Probe:
    """Times the products of n neurons with others, on whatever computes it."""

    device: torch.device
    n: int
    d_model: int

    def compute_unit(self, unit: int) -> float:
        """Seconds per cosine, lists included; `unit` means nothing."""
        tiles = Tiles(self.n, self.device)
        random = torch.Generator(self.device).manual_seed(0)
        vectors = torch.randn(self.n, self.d_model, device=self.device, generator=random)
        columns = Units.of(1, vectors)
        some = Units.of(0, vectors[: max(1, tiles.size // self.n)])
        for _ in range(2):  # the first time, libraries are loaded
            started = time.perf_counter()
            lists = empty(some.n_all, self.device), empty(self.n, self.device)
            compare(some, columns, *lists, NO_FLOOR, tiles)
            lists[0].cpu()  # waits for the GPU
            seconds = time.perf_counter() - started
        return seconds / (len(some.neurons) * self.n)


@dataclass
class Lists:
    """The lists of all neurons by name and layer, of the units that are in them; on the host.

    56 bytes a neuron and list name: with a gate there are seven.
    """

    sizes: list[int]
    lists: dict[str, list[Int[Tensor, "n k"]]]
    units: set[int] = field(default_factory=set)

    @classmethod
    def staged(cls, staging: Staging, names: list[str], sizes: list[int]) -> "Lists":
        """Those of a run that was interrupted, else empty ones."""
        if not staging.has(0, _LISTS):
            return cls(sizes, {name: [empty(n) for n in sizes] for name in names})
        rows = staging.read(0, _LISTS)
        lists = {
            name: list(torch.tensor(rows[name].to_numpy()).view(-1, K).split(sizes))
            for name in names
        }
        return cls(sizes, lists, set(json.loads(rows.schema.metadata[b"units"])))

    def stage(self, staging: Staging) -> None:
        """Write them to the staging folder, whole or not at all."""
        rows = pa.table(
            {name: torch.cat(each).view(-1).numpy() for name, each in self.lists.items()}
        )
        units = json.dumps(sorted(self.units))
        staging.write(0, _LISTS, rows.replace_schema_metadata({"units": units}))

    def merge(self, unit: int, found: Found) -> None:
        """Bring in what a unit found; exact in any order."""
        for name, by_layer in found.items():
            of_name = self.lists[name]
            for layer, keys in by_layer.items():
                of_name[layer] = merged(of_name[layer], torch.tensor(keys))
        self.units.add(unit)

    def twins(self, layer: int, vectors: tuple[Vector, ...]) -> pa.Table:
        """Rows of `twin` of one layer, by neuron, vector and rank."""
        parts = [_flat(self.lists[f"twin_{vector}"][layer]) for vector in vectors]
        each = [len(part["neuron"]) for part in parts]
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        rows = pa.table(
            {
                "layer": np.full(sum(each), layer, np.int16),
                "neuron": found["neuron"],
                "vector": np.repeat(np.array(vectors), each),
                "other_layer": found["other_layer"],
                "other_neuron": found["other_neuron"],
                "cosine": found["cosine"],
                "rank": found["rank"],
            }
        )
        return _sorted(rows, "neuron", "vector", "rank")

    def wires(self, layer: int, reads: list[Vector]) -> pa.Table:
        """Rows of `wire` that begin in one layer, by neuron, what reads, and reader."""
        rows = pa.concat_tables([self._wires_read_by(layer, vector) for vector in reads])
        return _sorted(rows, "neuron", "reads", "to_layer", "to_neuron")

    def _wires_read_by(self, layer: int, vector: Vector) -> pa.Table:
        to = _flat(self.lists[f"to_{vector}"][layer])
        ends = [to["neuron"], to["other_layer"], to["other_neuron"]]
        sides = [(ends, to["cosine"], to["rank"], np.zeros_like(to["rank"]))]
        for reader in range(layer + 1, len(self.sizes)):
            came = _flat(self.lists[f"from_{vector}"][reader])
            here = came["other_layer"] == layer
            came = {name: values[here] for name, values in came.items()}
            at = np.full(len(came["neuron"]), reader, np.int16)
            ends = [came["other_neuron"], at, came["neuron"]]
            sides.append((ends, came["cosine"], np.zeros_like(came["rank"]), came["rank"]))
        places = [np.concatenate([ends[at] for ends, *_ in sides]) for at in range(3)]
        cosines, rank_to, rank_from = (
            np.concatenate([side[at] for side in sides]) for at in (1, 2, 3)
        )
        # A wire that both of its ends keep stands there twice.
        order = np.lexsort(places[::-1])
        places = [place[order] for place in places]
        new = np.ones(len(order), bool)
        new[1:] = np.any([place[1:] != place[:-1] for place in places], axis=0)
        firsts = new.nonzero()[0]
        ranks = [
            np.maximum.reduceat(rank[order], firsts) if len(firsts) else rank
            for rank in (rank_to, rank_from)
        ]
        neuron, to_layer, to_neuron = (place[firsts] for place in places)
        return pa.table(
            {
                "layer": np.full(len(firsts), layer, np.int16),
                "neuron": neuron,
                "to_layer": to_layer,
                "to_neuron": to_neuron,
                "reads": pa.array([vector] * len(firsts), pa.string()),
                "cosine": cosines[order][firsts],
                "rank_to": pa.array(ranks[0], mask=ranks[0] == 0),
                "rank_from": pa.array(ranks[1], mask=ranks[1] == 0),
            }
        )


def _flat(keys: Int[Tensor, "n k"]) -> dict[str, Any]:
    """The entries of one layer's lists, by neuron and rank."""
    said = entries(keys)
    neuron, place = said.there.nonzero(as_tuple=True)
    return {
        "neuron": neuron.numpy().astype(np.int32),
        "rank": (place + 1).numpy().astype(np.int16),
        "cosine": said.cosines[said.there].numpy(),
        "other_layer": said.layers[said.there].numpy().astype(np.int16),
        "other_neuron": said.neurons[said.there].numpy().astype(np.int32),
    }


def _sorted(rows: pa.Table, *names: str) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in names])


def _n_pairs(layers: Any) -> int:
    """Pairs of layers that the units of these layers compare."""
    return sum(layer + 1 for layer in layers)
