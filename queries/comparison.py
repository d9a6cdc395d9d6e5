"""Two neurons side by side: what `catalog compare` shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, NamedTuple

from catalog.formats.glyphs import UNICODE
from catalog.formats.numbers import meaningful
from catalog.neuron_id import NamedNeuron
from catalog.queries.neuron_record import (
    chosen_model,
    known_corpora,
    read_neuron,
    said_of_corpora,
)
from catalog.queries.records import Neuron, NeuronRecord, lists_agree, record_of
from catalog.queries.sql import sql_text
from catalog.store.handle import Handle
from catalog.taxonomy import BASES, SIGNS, VECTORS, Basis, Sign, Vector

if TYPE_CHECKING:
    import pyarrow as pa

_NAMES: Final = ("model", "layer", "neuron", "neuron_id", "flipped")
"""Of a neuron's columns, those that are no attribute of it; all others are compared."""

_FIRST: Final = ("io_class", "atypical", "functional_role")
_NOTHING: Final = "none"
_N_FIRST: Final = 5
"""So many tokens of a list are shown in brief."""

VectorCosines = Mapping[tuple[Vector, Vector], float | None]
"""Cosines of a vector of the first neuron with one of the second; None where one is zero."""

_Row = tuple[str, str, str, str]


@dataclass(frozen=True)
class Pair:
    """Two neurons that are compared; `notes` say on which of several corpora."""

    first: NeuronRecord
    second: NeuronRecord
    notes: tuple[str, ...] = ()

    @property
    def share_a_model(self) -> bool:
        """Whether their vectors lie in the same space, as the same kind of weights."""
        return self.first.model.model == self.second.model.model


class Compared(NamedTuple):
    """The rows of a comparison, and a sentence on what is the same and what differs."""

    rows: "pa.Table"
    said: str


@dataclass(frozen=True)
class _Together:
    """How posts at sampled positions go together."""

    n_samples: int
    mean_first: float | None
    mean_second: float | None
    correlation: float | None


@dataclass(frozen=True)
class _OnTexts:
    """What two neurons do on the same texts: ids of the contexts of the exemplars of either."""

    corpus: str
    together: _Together
    ours: set[int]
    theirs: set[int]


def read_pair(
    catalog: Handle, first: str, second: str, model: str | None, corpus: str | None
) -> Pair:
    """Two neurons, written `layer.neuron`, or `alias:layer.neuron`; `model` is the alias of those
    without one.

    Without `corpus` both are read on the largest of the first one's that the second has too.

    Raises:
        UsageError, NotFoundError: as `catalog.queries.neuron_record.read_neuron`.
    """
    named = [NamedNeuron.parse(text) for text in (first, second)]
    aliases = [model if each.model is None else each.model for each in named]
    on = _shared_corpus(catalog, aliases) if corpus is None else corpus
    ours, theirs = (
        read_neuron(catalog, each.id, alias, on) for each, alias in zip(named, aliases, strict=True)
    )
    taken = () if ours.corpus is None else (ours.corpus.corpus, ours.other_corpora)
    return Pair(ours, theirs, said_of_corpora(corpus, *taken) if taken else ())


def _shared_corpus(catalog: Handle, aliases: Sequence[str | None]) -> str | None:
    """The largest corpus of the first of two models that the second has too."""
    ours, theirs = aliases
    if ours == theirs:
        return None
    with catalog.reading() as connection:
        known = [
            known_corpora(catalog, connection, chosen.model)
            for chosen in (chosen_model(catalog, connection, alias) for alias in aliases)
        ]
    there = {each.corpus for each in known[1]}
    return next((each.corpus for each in known[0] if each.corpus in there), None)


def compared(
    catalog: Handle, pair: Pair, cosines: VectorCosines, *, brief: bool = False
) -> Compared:
    """One row per attribute: its name, its value for either neuron, and what is between them.

    `brief`: without the model that both are of, cosines between unlike vectors that are within
    chance, lists of W_E that agree with W_U's, and of lists only the first tokens.

    Between two numbers that is the second less the first, between names whether they are the same,
    between lists of tokens and exemplars what both have, between samples their correlation, and
    between vectors, where `cosines` has them, their cosine. What neither has, because it has no
    such vector or the stage did not run, has no row.
    """
    import pyarrow as pa

    texts = _on_texts(catalog, pair)
    rows = [
        *_attributes(pair, brief=brief),
        *_cosines(cosines, pair.first.model.chance_999 if brief else 0.0),
        *_statistics(pair),
        *([] if texts is None else _activations(texts)),
        *_token_lists(pair, brief=brief),
    ]
    left, right = (f"{each.model.model}:{each.name}" for each in (pair.first, pair.second))
    names = ["attribute", left, right if right != left else f"{right} again", "between"]
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return Compared(pa.table(columns, names), _sentence(pair, cosines, texts))


def _sentence(pair: Pair, cosines: VectorCosines, texts: _OnTexts | None) -> str:
    """What is the same and what differs, by the rule of docs/definitions.md, "Comparison"."""
    neurons = pair.first.neuron, pair.second.neuron
    roles = [each.functional_role for each in neurons]
    parts = [_likeness("IO class", "IO classes", *map(_named_class, neurons))]
    if roles != [None, None]:
        ours, theirs = (role or "not computed" for role in roles)
        parts[0] += f", {_likeness('role', 'roles', ours, theirs)}"
    written = cosines.get(("out", "out"))
    if written is not None:
        chance = pair.first.model.chance_999
        how = "beyond" if abs(written) > chance else "within"
        parts.append(f"w_out at cosine {written:+.3f}, {how} chance ({chance:.3f})")
    if texts is not None:
        n, correlation = texts.together.n_samples, texts.together.correlation
        if correlation is not None:
            parts.append(
                f"post correlates at {correlation:+.3f} over {n} samples of {texts.corpus}"
            )
        of_both = f"of {len(texts.ours)} and {len(texts.theirs)}"
        parts.append(f"exemplars in {len(texts.ours & texts.theirs)} contexts of both, {of_both}")
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]}."


def _likeness(one: str, several: str, ours: str, theirs: str) -> str:
    if ours == theirs:
        return f"the same {one} ({ours})"
    return f"different {several} ({ours}, {theirs})"


def _named_class(neuron: Neuron) -> str:
    if neuron.io_class is None:
        return "none"
    return f"{'atypical ' if neuron.atypical else ''}{neuron.io_class}"


def _attributes(pair: Pair, *, brief: bool) -> Iterator[_Row]:
    first, second = pair.first, pair.second
    if not (brief and pair.share_a_model):
        yield _row("model", first.model.model, second.model.model)
    absent = set(VECTORS) - {*first.model.vectors, *second.model.vectors}
    names = [
        each.name
        for each in fields(Neuron)
        if each.name not in (*_NAMES, *_FIRST) and absent.isdisjoint(each.name.split("_"))
    ]
    for name in (*_FIRST, *names):
        values = getattr(first.neuron, name), getattr(second.neuron, name)
        if values != (None, None):
            yield _row(name, *values)


def _row(name: str, first: object, second: object) -> _Row:
    if isinstance(first, float) and isinstance(second, float):
        between = meaningful(second - first, signed=True)
    else:
        between = "same" if first == second else "different"
    return name, _shown(first), _shown(second), between


def _shown(value: object) -> str:
    if value is None:
        return _NOTHING
    return meaningful(value) if isinstance(value, float) else str(value)


def _cosines(cosines: VectorCosines, least: float) -> Iterator[_Row]:
    """Cosines of vectors of one kind, and of two kinds where they are `least` or more."""
    for (ours, theirs), value in cosines.items():
        if ours != theirs and abs(value or 0.0) < least:
            continue
        shown = _NOTHING if value is None else f"{value:+.4f}"
        yield "cosine of vectors", f"w_{ours}", f"w_{theirs}", shown


def _statistics(pair: Pair) -> Iterator[_Row]:
    """Statistics of sign cases."""
    first, second = pair.first, pair.second
    for case in {**first.cases, **second.cases}:
        pairs = [r.cases[case].statistics if case in r.cases else None for r in (first, second)]
        for name in ("frequency", "extreme_post"):
            values = [getattr(each, name, None) for each in pairs]
            if values != [None, None]:
                yield _row(f"{case} {name}", *values)


def _on_texts(catalog: Handle, pair: Pair) -> _OnTexts | None:
    """Samples and exemplars where both read the same tokens; None where they do not."""
    first, second = pair.first.corpus, pair.second.corpus
    if first is None or second is None or first.digest != second.digest:
        return None
    ours, theirs = (
        {e.context_id for case in record.cases.values() for e in case.exemplars}
        for record in (pair.first, pair.second)
    )
    return _OnTexts(first.corpus, _samples(catalog, pair), ours, theirs)


def _activations(texts: _OnTexts) -> Iterator[_Row]:
    together, on = texts.together, texts.corpus
    if together.n_samples:
        correlation = together.correlation
        said = _NOTHING if correlation is None else f"{correlation:+.3f}"
        yield (
            f"mean of {together.n_samples} samples on {on}",
            _shown(together.mean_first),
            _shown(together.mean_second),
            f"correlation {said}",
        )
    counts = str(len(texts.ours)), str(len(texts.theirs))
    yield f"contexts of exemplars on {on}", *counts, _both(texts.ours & texts.theirs)


def _both(contexts: set[int]) -> str:
    named = ", ".join(map(str, sorted(contexts)[:3]))
    more = ", ..." if len(contexts) > 3 else ""
    return f"{len(contexts)} shared" + (f": {named}{more}" if contexts else "")


def _samples(catalog: Handle, pair: Pair) -> _Together:
    parameters: dict[str, object] = {}
    for name, record in (("first", pair.first), ("second", pair.second)):
        assert record.corpus is not None
        parameters |= {
            f"{name}_model": record.model.model,
            f"{name}_layer": record.id.layer,
            f"{name}_neuron": record.id.neuron,
            f"{name}_corpus": record.corpus.corpus,
        }
    (row,) = catalog.rows(sql_text("post_together"), parameters)
    return record_of(_Together, row)


def _token_lists(pair: Pair, *, brief: bool) -> Iterator[_Row]:
    first = _N_FIRST if brief else None
    for vector in VECTORS:
        for basis in BASES[:1] if brief and _bases_agree(pair, vector) else BASES:
            for sign in SIGNS:
                ours, theirs = (
                    _tokens(record, vector, basis, sign) for record in (pair.first, pair.second)
                )
                if ours or theirs:
                    shared = [token for token in ours if token in theirs]
                    name = f"w_{vector} {basis} {sign}"
                    yield name, _named(ours[:first]), _named(theirs[:first]), _named(shared[:first])


def _bases_agree(pair: Pair, vector: Vector) -> bool:
    """Whether the lists of a vector in W_U and W_E agree, at both ends and of both neurons."""
    return all(
        lists_agree(*(_tokens(record, vector, basis, sign) for basis in BASES))
        for record in (pair.first, pair.second)
        for sign in SIGNS
    )


def _named(tokens: Sequence[str]) -> str:
    """Tokens without white space in them, so that a line is folded between two of them alone."""
    return " ".join(UNICODE.visible(t).replace(" ", UNICODE.space) for t in tokens) or _NOTHING


def _tokens(record: NeuronRecord, vector: Vector, basis: Basis, sign: Sign) -> list[str]:
    return [
        each.token
        for each in record.tokens
        if (each.vector, each.basis, each.sign) == (vector, basis, sign)
    ]
