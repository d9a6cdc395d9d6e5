"""The sections of a neuron's report, each a function from a record to blocks.

Adding one means adding a function to `SECTIONS`; every skin then shows it.
"""

from collections.abc import Callable, Iterator
from typing import Final

from catalog.errors import Option
from catalog.queries.records import NeuronRecord, Place, SignCase
from catalog.reports.blocks import (
    Block,
    Case,
    Cases,
    Heading,
    Line,
    Ruler,
    Rulers,
    Span,
    TokenList,
    TokenLists,
)
from catalog.reports.shading import shaded_exemplar
from catalog.taxonomy import BASES, SIGNS

Section = Callable[[NeuronRecord], Iterator[Block]]


def title(record: NeuronRecord) -> Iterator[Block]:
    """Id, model, class and role."""
    model, neuron = record.model, record.neuron
    quantized = f", {model.quantization}" if model.quantization else ""
    yield Line.of(
        Span(str(record.id), bold=True),
        f"  {model.model}  {model.family}, {model.n_layers} layers x "
        f"{model.d_mlp:,} neurons, {model.weights} weights{quantized}",
        is_title=True,
    )
    atypical = "atypical " if neuron.atypical else ""
    io_class = neuron.io_class or "none (a weight vector is zero or not finite)"
    yield Line.of("IO class: ", Span(atypical + io_class, bold=True), f"   role: {_role(record)}")
    if disagreement := _disagreement(record):
        yield Line.of(disagreement)
    if neuron.flipped:
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
            TokenList(vector, basis, sign, tuple(lists.get((vector, basis, sign), [])))
            for vector in record.model.vectors
            for basis in BASES
            for sign in SIGNS
        )
    )


def activations(record: NeuronRecord) -> Iterator[Block]:
    """Statistics and the strongest exemplars of every sign case."""
    if record.corpus is None:
        return
    corpus = record.corpus
    yield Heading(
        f"Activations on {corpus.corpus} "
        f"({counted(corpus.n_contexts, 'context')}, {counted(corpus.n_tokens, 'token')})"
    )
    cases = (_case(name.replace("_", " "), case) for name, case in record.cases.items())
    yield Cases(tuple(cases))


SECTIONS: Final[tuple[Section, ...]] = (title, cosines, vocabulary, tokens, activations)


def counted(n: int, noun: str) -> str:
    """A number of things: `1 context`, `2,186 contexts`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _ruler(place: Place) -> Ruler:
    label = f"cos({','.join(place.vectors)})"
    if place.value is None:
        return Ruler(label, None)
    quartiles = (place.lowest, place.q1, place.median, place.q3, place.highest)
    known = tuple(each for each in quartiles if each is not None)
    return Ruler(label, place.value, known, place.share_below)


def _case(name: str, case: SignCase) -> Case:
    statistics = case.statistics
    if not statistics.frequency:
        return Case(name, "never occurs")
    said = (
        f"{100 * statistics.frequency:.3g}% of positions, post mean "
        f"{statistics.mean_post:+.3g}, extreme {statistics.extreme_post:+.3g}"
    )
    return Case(name, said, tuple(map(shaded_exemplar, case.exemplars)))


def _role(record: NeuronRecord) -> str:
    """The role, and what its quantity was compared with."""
    neuron, cutoffs = record.neuron, record.role_cutoffs
    role = neuron.functional_role
    if role is None or cutoffs is None:
        return role or "not computed"
    compared = {
        "partition": ("variance", neuron.vocab_variance, cutoffs.partition_variance, "of at least"),
        "prediction": ("kurtosis", neuron.vocab_kurtosis, cutoffs.kurtosis_cutoff, "above"),
        "suppression": ("kurtosis", neuron.vocab_kurtosis, cutoffs.kurtosis_cutoff, "above"),
        "entropy": ("null-space share", neuron.null_space_share, cutoffs.entropy_cutoff, "above"),
    }
    if role not in compared:
        return role
    name, value, cutoff, how = compared[role]
    if value is None or cutoff is None:
        return role
    return f"{role} ({name} {value:.3g}, {how} {cutoff:.3g})"


def _disagreement(record: NeuronRecord) -> str | None:
    """A sentence where the sign of post on the corpus calls the role by its opposite."""
    neuron, corpus = record.neuron, record.corpus
    other = {"prediction": "suppression", "suppression": "prediction"}.get(
        neuron.functional_role or ""
    )
    opened = [record.cases.get(case) for case in ("gate+_in+", "gate+_in-")]
    if other is None or corpus is None or neuron.cos_gate_in is None or None in opened:
        return None
    observed = sum(
        (case.statistics.frequency or 0.0) * (case.statistics.mean_post or 0.0)
        for case in opened
        if case is not None
    )
    if observed * neuron.cos_gate_in >= 0:
        return None
    return (
        f"On {corpus.corpus}, post is mostly {'positive' if observed > 0 else 'negative'} where "
        f"the gate is open: as observed it would be {other}."
    )
