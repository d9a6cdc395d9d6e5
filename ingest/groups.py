"""Which columns can hold the largest values of a row, without ranking the row."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Groups(NamedTuple):
    """Largest value of some columns together, so that most columns need not be ranked.

    Group g holds the columns g, g + n, g + 2n, ..., `size` of them; what is left over beyond n *
    size is in none.
    """

    size: int
    largest: Float[Tensor, "r n"]
    rest: Float[Tensor, "r m"]

    @classmethod
    def of(cls, values: Float[Tensor, "r m"], size: int, *, largest: bool = True) -> "Groups":
        """Those of `values`, or with `largest` False of the values negated."""
        whole = values.shape[1] // size * size
        if values.stride(1) == 1:
            grouped, dim = values[:, :whole].unflatten(1, (size, -1)), 1
        else:  # the same, read in the order of memory
            grouped, dim = values.T[:whole].unflatten(0, (size, -1)), 0
        found = grouped.amax(dim) if largest else -grouped.amin(dim)
        rest = values[:, whole:] if largest else -values[:, whole:]
        return cls(size, found if dim else found.T.contiguous(), rest)

    def best(self) -> Float[Tensor, " r"]:
        """The largest value of each row."""
        best = self.largest.amax(1)
        return torch.maximum(best, self.rest.amax(1)) if self.rest.shape[1] else best

    def candidates(self, rows: Int[Tensor, " n"], k: int) -> Int[Tensor, "n c"]:
        """Columns with the k largest values of these rows, or others equal to them."""
        n, n_rest = self.largest.shape[1], self.rest.shape[1]
        chosen = self.largest[rows].topk(min(k, n), dim=1, sorted=False).indices
        grouped = self.columns(chosen).flatten(1)
        rest = torch.arange(n * self.size, n * self.size + n_rest, device=rows.device)
        return torch.cat([grouped, rest.expand(len(rows), -1)], 1)

    def columns(self, groups: Int[Tensor, "*c"]) -> Int[Tensor, "*c size"]:
        """The columns of some groups."""
        return (
            groups[..., None]
            + torch.arange(self.size, device=groups.device) * (self.largest.shape[1])
        )
