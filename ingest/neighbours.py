"""The nearest neighbours of weight vectors by |cosine|, exact in float32.

See docs/definitions.md, "Neurons together". Two layers are multiplied once, in tiles, and a tile
serves both sides: the lists of its rows and those of its columns.

An entry of a list is one integer, whose order is the order of the list: |cosine|, then the lower
layer, then the lower neuron. Merging lists is therefore exact in any order.
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from catalog.ingest.groups import Groups

K: Final = 8
"""Neighbours kept of each neuron."""

NO_FLOOR: Final = -1.0
"""A floor below every |cosine|."""

NOBODY: Final = -1
"""The entry of a place that nobody has."""

TILE: Final = {"cpu": 2**22, "cuda": 2**27}
"""Cosines of a tile: 16 MB, which is two whole layers of a small model, and half a GB."""

_NEURON_BITS: Final = 22
_PLACE_BITS: Final = 32
_LAST_PLACE: Final = 2**_PLACE_BITS - 1

Keys: TypeAlias = Int[Tensor, "n k"]
"""Lists of n neurons, int64, descending: the bits of |cosine|, the place inverted, the sign."""


class Units(NamedTuple):
    """Vectors of length 1 of neurons of one layer, float32; of those that have a direction.

    They are of the neurons first..first + n_all of the layer. `neurons`: their numbers in it,
    ascending.
    """

    layer: int
    vectors: Float[Tensor, "n d_model"]
    neurons: Int[Tensor, " n"]
    n_all: int
    first: int = 0

    @classmethod
    def of(cls, layer: int, vectors: Float[Tensor, "n d_model"], first: int = 0) -> "Units":
        """Those of `vectors`, float32, that are finite and not zero; `first` is the first one's."""
        # In float64 no square of a float32 is out of range.
        norms = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64)
        neurons = ((norms > 0) & norms.isfinite()).nonzero()[:, 0]
        units = vectors[neurons].double().div_(norms[neurons, None]).float()
        return cls(layer, units, neurons + first, len(vectors), first)

    @classmethod
    def joined(cls, parts: list["Units"]) -> "Units":
        """Consecutive parts of a layer as one."""
        vectors, neurons = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("vectors", "neurons")
        )
        n_all = sum(part.n_all for part in parts)
        return cls(parts[0].layer, vectors, neurons, n_all, parts[0].first)


class Entries(NamedTuple):
    """What lists say, of the same shape as they; where `there` is False the rest is noise."""

    there: Bool[Tensor, "n k"]
    cosines: Float[Tensor, "n k"]
    layers: Int[Tensor, "n k"]
    neurons: Int[Tensor, "n k"]


def empty(n: int, device: torch.device | None = None) -> Keys:
    """Lists of n neurons with nobody in them."""
    return torch.full((n, K), NOBODY, dtype=torch.int64, device=device)


def entries(keys: Keys) -> Entries:
    """What lists say."""
    place = _LAST_PLACE - (keys >> 1 & _LAST_PLACE)
    strengths = _strengths(keys)
    cosines = torch.where((keys & 1).bool(), -strengths, strengths)
    return Entries(
        keys != NOBODY, cosines, place >> _NEURON_BITS, place & ((1 << _NEURON_BITS) - 1)
    )


def merged(first: Keys, second: Keys) -> Keys:
    """The best K of two lists of each neuron, which share no entry; the second may be shorter."""
    return torch.cat([first, second], 1).topk(K, dim=1).values


class Tiles:
    """Room for the cosines of some neurons of one layer with all of another, used again and again.

    Args:
        n_columns: the most neurons that all the others are compared with at once.
    """

    def __init__(self, n_columns: int, device: torch.device) -> None:
        self.size = max(TILE[device.type], n_columns)
        self._cosines, self._strengths = (torch.empty(self.size, device=device) for _ in range(2))

    def of(
        self, rows: Units, columns: Units
    ) -> Iterator[tuple[slice, Float[Tensor, "r n"], Float[Tensor, "r n"]]]:
        """Some rows at a time, their cosines with all columns, and the absolute values.

        The tiles are of one size, but for the last one's few rows, so that one kernel multiplies
        all: equal vectors then have equal cosines.
        """
        n_rows, n_columns = len(rows.neurons), len(columns.neurons)
        if n_rows * n_columns == 0:
            return
        size = -(-n_rows // -(-n_rows * n_columns // self.size))
        for start in range(0, n_rows, size):
            some = slice(start, min(start + size, n_rows))
            cosines, strengths = (
                room[: (some.stop - start) * n_columns].view(-1, n_columns)
                for room in (self._cosines, self._strengths)
            )
            torch.mm(rows.vectors[some], columns.vectors.T, out=cosines)
            yield some, cosines, torch.abs(cosines, out=strengths)


def compare(
    rows: Units, columns: Units, of_rows: Keys, of_columns: Keys, floor: float, tiles: Tiles
) -> None:
    """Bring different neurons into the lists of each other, where above `floor`; in place.

    `of_rows`, `of_columns`: the lists of their layers, of all neurons.
    """
    ours, theirs = of_rows[rows.neurons], of_columns[columns.neurons]
    for some, cosines, strengths in tiles.of(rows, columns):
        _enter(ours[some], columns.layer, columns.neurons, cosines, strengths, floor)
        _enter(theirs, rows.layer, rows.neurons[some], cosines.T, strengths.T, floor)
    of_rows[rows.neurons], of_columns[columns.neurons] = ours, theirs


def within(units: Units, lists: Keys, tiles: Tiles) -> None:
    """Bring neurons into the lists, as in `compare`, of each other, without a floor; in place."""
    own = lists[units.neurons]
    for some, cosines, strengths in tiles.of(units, units):
        strengths.diagonal(some.start).fill_(NO_FLOOR)
        _enter(own[some], units.layer, units.neurons, cosines, strengths, NO_FLOOR)
    lists[units.neurons] = own


def of_layer(keys: Keys, layer: int) -> Keys:
    """The lists with the neurons of one layer alone; the places of others are NOBODY's."""
    said = entries(keys)
    return keys.where(said.there & (said.layers == layer), NOBODY)


def _enter(
    lists: Keys,
    layer: int,
    neurons: Int[Tensor, " m"],
    cosines: Float[Tensor, "n m"],
    strengths: Float[Tensor, "n m"],
    floor: float,
) -> None:
    """Bring `neurons` of `layer`, the columns, into the lists of the rows, in place."""
    # Ranking the groups, then the columns of the best ones, is least work at such a size.
    groups = Groups.of(strengths, max(1, math.isqrt(strengths.shape[1] // (K + 1))))
    best, last = groups.best(), lists[:, -1]
    # Equal to the last place may still win by its number.
    bar = torch.where(last == NOBODY, floor, _strengths(last))
    rows = ((best > floor) & (best >= bar)).nonzero()[:, 0]
    if len(rows) == 0:
        return
    values, at = _largest(strengths, rows, groups.candidates(rows, K + 1), floor)
    found = _keys(_taken(cosines, rows, at), layer, neurons[at]).where(values > floor, NOBODY)
    lists[rows] = merged(lists[rows], found)


def _largest(
    strengths: Float[Tensor, "n m"],
    rows: Int[Tensor, " r"],
    candidates: Int[Tensor, "r c"],
    floor: float,
) -> tuple[Float[Tensor, "r k"], Int[Tensor, "r k"]]:
    """The K largest strengths of some rows and their columns; equal ones by column."""
    values = _taken(strengths, rows, candidates)
    values, order = values.topk(min(K + 1, candidates.shape[1]), dim=1)
    at = candidates.gather(1, order)
    equal = (values[:, :-1] == values[:, 1:]) & (values[:, 1:] > floor)
    tied = equal.any(1).nonzero()[:, 0]
    if len(tied):
        in_order = strengths[rows[tied]].sort(dim=1, descending=True, stable=True)
        n = values.shape[1]
        values[tied], at[tied] = in_order.values[:, :n], in_order.indices[:, :n]
    return values[:, :K], at[:, :K]


def _taken(
    values: Float[Tensor, "n m"], rows: Int[Tensor, " r"], columns: Int[Tensor, "r c"]
) -> Float[Tensor, "r c"]:
    """For each of some rows the values in its columns."""
    if len(rows) == len(values):
        return values.gather(1, columns)
    return values[rows[:, None], columns]


def _keys(cosines: Float[Tensor, "n k"], layer: int, neurons: Int[Tensor, "n k"]) -> Keys:
    cosines = cosines.clamp(-1.0, 1.0)
    # Positive floats are in the order of their bits, of which those up to 1 leave the first two 0.
    strengths = cosines.abs().view(torch.int32).long()
    place = layer << _NEURON_BITS | neurons
    return strengths << _PLACE_BITS + 1 | _LAST_PLACE - place << 1 | (cosines < 0).long()


def _strengths(keys: Int[Tensor, " *n"]) -> Float[Tensor, " *n"]:
    return (keys >> _PLACE_BITS + 1).int().view(torch.float32)
