"""The sections of a neuron's report, each a function from a record to blocks.

Adding one means adding a function to `SECTIONS`; every skin then shows it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from catalog.errors import Option
from catalog.formats.numbers import meaningful
from catalog.layers import LayerSizes
from catalog.neuron_id import NeuronId
from catalog.queries.records import Neighbour, NeuronRecord, Place, SignCase, lists_agree
from catalog.reports.blocks import (
    FAINT_SHARE,
    Block,
    Case,
    Cases,
    Cell,
    Heading,
    Line,
    NeuronSpan,
    Ruler,
    Rulers,
    Span,
    Table,
    TokenList,
    TokenLists,
    TokenSpan,
)
from catalog.reports.shading import shaded_exemplar
from catalog.reports.summary import observed_role, strongest_case, summary
from catalog.taxonomy import (
    BASES,
    DETECTOR_FIRINGS,
    DETECTOR_PERCENT,
    DETECTOR_TOKENS,
    SIGNS,
    Vector,
)

Section = Callable[[NeuronRecord], Iterator[Block]]

SHOWN_DESCRIPTIONS: Final = 12
SHOWN_WIRES: Final = 6
SHOWN_TWINS: Final = 2
SHOWN_ROUTER_TOKENS: Final = 8
"""So many wires of a side, and twins of a vector; JSON has all."""


def title(record: NeuronRecord) -> Iterator[Block]:
    """Id and model, and one sentence: class, role, what it writes and what follows."""
    model, neuron = record.model, record.neuron
    quantized = f", {model.quantization}" if model.quantization else ""
    counted_through = "" if record.name == record.id else f" ({record.id})"
    yield Line.of(
        Span(str(record.name), bold=True),
        f"{counted_through}  {model.model}  {model.family}, {model.shape}, {model.weights} weights"
        f"{quantized}",
        is_title=True,
    )
    yield summary(record)
    if disagreement := observed_role(record):
        yield Line.of(disagreement)
    if record.is_canonical:
        yield Line.of("The canonical reading: w_in and w_out are negated where cos(gate,in) < 0.")
    elif neuron.flipped:
        yield Line.of(
            "cos(gate,in) < 0: ",
            Option("canonical"),
            " reads it with w_in and w_out negated.",
        )


def cosines(record: NeuronRecord) -> Iterator[Block]:
    """The cosines, each with its place among the layer's neurons."""
    yield Heading(f"Weight cosines, and where they stand in layer {record.id.layer}")
    vectors = record.model.vectors
    places = [place for place in record.places if set(place.vectors) <= set(vectors)]
    yield Rulers(tuple(map(_ruler, places)), record.model.chance_999)
    norms = ((v, getattr(record.neuron, f"norm_{v}")) for v in vectors)
    shown = (f"|w_{v}| {'NULL' if norm is None else f'{norm:.3f}'}" for v, norm in norms)
    yield Line.of(f"Norms: {'  '.join(shown)}")


def vocabulary(record: NeuronRecord) -> Iterator[Block]:
    """Moments of cos(w_out, W_U) and what else the functional roles are made of."""
    neuron = record.neuron
    if neuron.vocab_variance is None:
        return
    share = neuron.null_space_share
    parts = [
        f"variance {neuron.vocab_variance:.3g}",
        f"skew {neuron.vocab_skew:+.2f}",
        f"excess kurtosis {neuron.vocab_kurtosis:.2f}",
        *([] if share is None else [f"null-space share {share:.3f}"]),
    ]
    yield Line.of(f"cos(w_out, W_U): {', '.join(parts)}")


def tokens(record: NeuronRecord) -> Iterator[Block]:
    """Top tokens of each vector, in both bases and at both ends."""
    if not record.tokens:
        return
    yield Heading("Top tokens: what each vector points towards (+) and away from (-)")
    lists: dict[tuple[str, str, str], list[str]] = {}
    for row in record.tokens:
        lists.setdefault((row.vector, row.basis, row.sign), []).append(row.token)
    yield TokenLists(
        tuple(
            each
            for vector in record.model.vectors
            for pair in _by_sign(vector, lists)
            for each in pair
        )
    )


def _by_sign(
    vector: Vector, lists: dict[tuple[str, str, str], list[str]]
) -> Iterator[tuple[TokenList, ...]]:
    """The lists of a vector, both ends of one basis after both of the other.

    Where the two bases mostly agree at both ends, as with tied embeddings, W_E's are left out.
    """
    ends = {
        basis: tuple(
            TokenList(vector, basis, sign, tuple(lists.get((vector, basis, sign), [])))
            for sign in SIGNS
        )
        for basis in BASES
    }
    of_signs = zip(ends["unembed"], ends["embed"], strict=True)
    if all(lists_agree(ours.tokens, theirs.tokens) for ours, theirs in of_signs):
        yield tuple(replace(each, also="embed") for each in ends["unembed"])
        return
    yield from ends.values()


def activations(record: NeuronRecord) -> Iterator[Block]:
    """Statistics and the strongest exemplars of every sign case."""
    if record.corpus is None:
        return
    corpus = record.corpus
    yield Heading(
        f"Activations on {corpus.corpus} "
        f"({counted(corpus.n_contexts, 'context')}, {counted(corpus.n_tokens, 'token')})"
    )
    if record.other_corpora:
        others = ", ".join(record.other_corpora)
        yield Line.of("Its other corpora, shown with ", Option("corpus"), f": {others}.")
    if said := _firing(record):
        yield Line.of(*said)
    posts = [abs(e.post) for case in record.cases.values() for e in case.exemplars]
    strongest = strongest_case(record)
    extreme = 0.0 if strongest is None else abs(strongest[1].statistics.extreme_post or 0.0)
    by_extreme = sorted(
        record.cases.items(), key=lambda named: -abs(named[1].statistics.extreme_post or 0.0)
    )
    yield Cases(
        tuple(
            _case(name.replace("_", " "), case, extreme, max(posts, default=0.0))
            for name, case in by_extreme
        )
    )


def experts(record: NeuronRecord) -> Iterator[Block]:
    """How often the neuron's expert is asked, and what its row of the router points at."""
    sizes = record.model.sizes
    expert = sizes.expert_of(record.id.layer, record.id.neuron)
    if expert is None:
        return
    is_shared = expert == sizes.n_experts
    which = "the shared one" if is_shared else f"one of {sizes.n_experts} routed ones"
    yield Heading(f"Expert {expert} of layer {record.id.layer}, {which}")
    if is_shared:
        yield Line.of("It is asked at every position. Its own gate comes after what is shown here.")
    elif said := _how_often(record, expert):
        yield Line.of(said)
    if not record.router_tokens:
        return
    yield Line.of("Its row of the router points towards (+) and away from (-):")
    names = {"unembed": "W_U", "embed": "W_E"}
    rows = []
    for basis in BASES:
        for sign in SIGNS:
            listed = [t for t in record.router_tokens if (t.basis, t.sign) == (basis, sign)]
            shown = "  ".join(f'"{each.token}"' for each in listed[:SHOWN_ROUTER_TOKENS])
            rows.append((names[basis], sign, shown))
    yield Table(("basis", "sign", "tokens"), tuple(rows))


def _how_often(record: NeuronRecord, expert: int) -> str | None:
    """A sentence on how often a routed expert is asked; None without activations."""
    routed = {
        each.expert: each.routed
        for each in record.asked_experts
        if each.routed is not None and each.expert < record.model.sizes.n_experts
    }
    if record.corpus is None or expert not in routed:
        return None
    own, corpus = routed[expert], record.corpus.corpus
    if own == 0:
        return (
            f"The router sends no position of {corpus} to it: its neurons compute nothing there, "
            "and have no statistics."
        )
    place = 1 + sum(other > own for other in routed.values())
    return (
        f"Asked at {meaningful(100 * own, 3)}% of the positions of {corpus}, place {place} of "
        f"{len(routed)}; evenly spread it would be "
        f"{meaningful(100 * sum(routed.values()) / len(routed), 3)}%."
    )


def wiring(record: NeuronRecord) -> Iterator[Block]:
    """Who reads this neuron, whom it reads, and which neurons point the same way."""
    if not record.wires and not record.twins:
        return
    yield Heading("Wiring: who reads this neuron, whom it reads, and its twins")
    names, sizes = ("neuron", "cosine", "class", "role", "writes"), record.model.sizes
    for side, said in (("reader", "Readers of w_out"), ("writer", "Writers that it reads")):
        ends = [wire for wire in record.wires if wire.side == side]
        floor = record.model.wire_floor or 0.0
        if not ends:
            yield Line.of(f"{said}: no |cosine| is above {floor:.3f}.")
            continue
        ends.sort(key=lambda wire: -abs(wire.cosine))
        yield Line.of(f"{said}, the strongest of {len(ends)} wires above {floor:.3f}:")
        rows = tuple((wire.vector, *_other(wire, sizes)) for wire in ends[:SHOWN_WIRES])
        yield Table(("reads", *names), rows)
    if record.twins:
        yield Line.of("Twins, the closest of each vector:")
        near = [twin for twin in record.twins if twin.rank <= SHOWN_TWINS]
        rows = tuple((twin.vector, *_other(twin, sizes)) for twin in near)
        yield Table(("vector", *names), rows)


def descriptions(record: NeuronRecord) -> Iterator[Block]:
    """What people and explainers say of the neuron, with who said it and how well it scored."""
    if not record.descriptions:
        return
    yield Heading("Descriptions: what others say of this neuron")
    for each in record.descriptions[:SHOWN_DESCRIPTIONS]:
        who = [each.source, *filter(None, [each.explainer])]
        if each.score is not None:
            scorer = f"{each.scorer} " if each.scorer else "score "
            who.append(f"{scorer}{meaningful(each.score, 3)}")
        case = "" if each.sign_case == "any" else f"{each.sign_case.replace('_', ' ')}: "
        yield Line.of(f"{case}{each.description}  ({', '.join(who)})")
    if (hidden := len(record.descriptions) - SHOWN_DESCRIPTIONS) > 0:
        yield Line.of(f"{counted(hidden, 'more description')} in the view descriptions.")


SECTIONS: Final[tuple[Section, ...]] = (
    title,
    cosines,
    vocabulary,
    tokens,
    descriptions,
    experts,
    wiring,
    activations,
)


def counted(n: int, noun: str) -> str:
    """A number of things: `1 context`, `2,186 contexts`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _other(other: Neighbour, sizes: LayerSizes) -> tuple[Cell, ...]:
    """Id, cosine, class, role, and the token that it writes most, with the sign."""
    token = "" if other.token is None else f'{other.sign} "{other.token}"'
    io_class = Span(other.io_class or "none", io_class=other.io_class)
    described = (io_class, other.functional_role or "", token)
    name = NeuronId(other.layer, other.neuron).in_expert(sizes)
    return (NeuronSpan(str(name), other.neuron_id), f"{other.cosine:+.3f}", *described)


def _ruler(place: Place) -> Ruler:
    label = f"cos({','.join(place.vectors)})"
    if place.value is None:
        return Ruler(label, None)
    quartiles = (place.lowest, place.q1, place.median, place.q3, place.highest)
    known = tuple(each for each in quartiles if each is not None)
    return Ruler(label, place.value, known, place.share_below)


def _case(name: str, case: SignCase, extreme: float, strongest: float) -> Case:
    """A case beside the neuron's `extreme`; its exemplars shaded by the `strongest` of all."""
    statistics = case.statistics
    if not statistics.frequency:
        return Case(name, "never occurs")
    own = statistics.extreme_post or 0.0
    said = (
        f"{meaningful(100 * statistics.frequency, 3)}% of positions, post mean "
        f"{meaningful(statistics.mean_post or 0.0, 3, signed=True)}, extreme "
        f"{meaningful(own, 3, signed=True)}"
    )
    texts = tuple(shaded_exemplar(each, strongest) for each in case.exemplars)
    return Case(name, said, texts, is_faint=abs(own) < FAINT_SHARE * extreme)


def _firing(record: NeuronRecord) -> list[str | Span | TokenSpan]:
    """Whether it is dead, or a detector, as a sentence; empty where that was not counted."""
    detector = record.detector
    if detector is None:
        return []
    reads, writes = "in", ""
    if record.model.gated:
        reads, writes = "gate", " Where its gate is negative it still writes."
    if detector.dead:
        return [f"Dead here: at no counted position is its {reads} positive.{writes}"]
    fires = f"{counted(detector.n_fired, 'position')} ({reads} > 0)"
    if detector.tokens is None or detector.n_fired_on is None:
        few = f"and {DETECTOR_PERCENT}% of them take more than {DETECTOR_TOKENS} tokens"
        if detector.n_fired < DETECTOR_FIRINGS:
            few = "too few to say on which tokens"
        return [f"Fires at {fires}, {few}."]
    share = sum(detector.n_fired_on) / detector.n_fired
    said: list[str | Span | TokenSpan] = [
        f"A detector: it fires at {fires}, {meaningful(100 * share, 3)}% of them at"
    ]
    for token, n in zip(detector.tokens, detector.n_fired_on, strict=True):
        said += [" ", TokenSpan(token), f" ({n:,})"]
    return [*said, f".{writes}"]
