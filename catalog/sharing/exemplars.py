"""Exemplars of chosen neurons as explainers take them.

An explainer knows features that are active or not, and a neuron writes both ways. So it is handed
on twice: where post is positive, and where it is negative, with post negated. The names of both
end in `pos` and `neg`, which `catalog import descriptions` reads again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar, Final

from catalog.neuron_id import NeuronId
from catalog.queries.conditions import ChosenNeurons
from catalog.queries.records import Corpus
from catalog.queries.sql import sql_text
from catalog.store.handle import Handle

_AT_ONCE: Final = 200
"""Neurons for which the catalog is opened once."""


@dataclass(frozen=True)
class SharedExemplar:
    """An exemplar; `post` and `values` are negated where those of a negative sign are asked."""

    QUERY: ClassVar[str] = "shared_exemplars"

    post: float
    context_id: int
    position: int
    window_start: int
    tokens: Sequence[str]
    values: Sequence[float]


@dataclass(frozen=True)
class SharedNeuron:
    """A neuron where post has one sign, as if it were active there alone.

    `frequency`: the share of such positions. `promoted` and `suppressed`: tokens in W_U that w_out
    then writes towards and away from, with their scores.
    """

    id: NeuronId
    frequency: float
    promoted: list[tuple[str, float]]
    suppressed: list[tuple[str, float]]
    exemplars: list[SharedExemplar]


@dataclass(frozen=True)
class Share:
    """What is handed on: chosen neurons, on a corpus, where post is positive or negative."""

    catalog: Handle
    chosen: ChosenNeurons
    corpus: Corpus

    def neurons(self, sign: int, layer: int) -> Iterator[SharedNeuron]:
        """The chosen neurons of a layer that have exemplars of that sign of post."""
        ids = [each.neuron for each in self.chosen.neurons if each.layer == layer]
        for start in range(0, len(ids), _AT_ONCE):
            asked = {
                "model": self.chosen.model.model,
                "corpus": self.corpus.corpus,
                "sign": sign,
                "layer": layer,
                "neurons": ids[start : start + _AT_ONCE],
            }
            with self.catalog.kept_open() as kept:
                found = kept.rows(sql_text(SharedExemplar.QUERY), asked)
                about = kept.rows(sql_text("shared_neurons"), asked)
            exemplars = {
                neuron: list(rows) for neuron, rows in groupby(found, lambda row: row["neuron"])
            }
            for row in about:
                if own := exemplars.get(row["neuron"]):
                    yield _shared(row, own, sign)

    @property
    def layers(self) -> list[int]:
        """Layers of chosen neurons, ascending."""
        return sorted({each.layer for each in self.chosen.neurons})


SIGNS: Final[Mapping[str, int]] = {"pos": 1, "neg": -1}
"""How names of neurons end, by the sign of post that they are about."""


def _shared(
    row: Mapping[str, Any], exemplars: Sequence[Mapping[str, Any]], sign: int
) -> SharedNeuron:
    up = list(zip(row["up"], row["up_scores"], strict=True))
    down = [(token, -score) for token, score in zip(row["down"], row["down_scores"], strict=True)]
    promoted, suppressed = (up, down) if sign > 0 else (down, up)
    return SharedNeuron(
        NeuronId(row["layer"], row["neuron"]),
        float(row["frequency"] or 0.0),
        promoted,
        [(token, -score) for token, score in suppressed],
        [
            SharedExemplar(
                sign * each["post"],
                each["context_id"],
                each["position"],
                each["window_start"],
                each["window_tokens"],
                # These formats have no word for an expert that was not asked but inactivity.
                [0.0 if value is None else sign * value for value in each["window_post"]],
            )
            for each in exemplars
        ],
    )
