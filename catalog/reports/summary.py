"""What the evidence says of a neuron, in one sentence (docs/definitions.md, "One sentence")."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from catalog.formats.numbers import meaningful
from catalog.queries.records import Exemplar, NeuronRecord, SignCase
from catalog.reports.blocks import Line, Span, TokenSpan
from catalog.taxonomy import Sign

_N_NAMED: Final = 3
"""So many tokens are named at either end of what w_out points towards."""

_OPENED: Final = ("gate+_in+", "gate+_in-")
"""Sign cases in which the gate is open, whose post says what role is observed."""


@dataclass(frozen=True)
class _Leading:
    """The sign case of largest |extreme post|, and what its exemplars go on with.

    `n_towards`, `n_away`: exemplars whose next token is among those that w_out times their post
    points towards, or away from. `peak`: the token at the peak of more than half of them.
    """

    name: str
    extreme: float
    n: int
    n_towards: int
    n_away: int
    peak: str | None
    n_peak: int


def summary(record: NeuronRecord) -> Line:
    """The sentence: class and role, what is written where post is largest, what follows there."""
    leading = _leading(record)
    ends = _ends(record, leading.extreme if leading else 1.0)
    spans: list[str | Span | TokenSpan] = [*_io_class(record), f", {role(record)}"]
    if leading is not None:
        extreme = meaningful(leading.extreme, 3, signed=True)
        spans.append(f". Strongest in {_spaced(leading.name)} (post up to {extreme})")
    if all(ends):
        spans.append(
            ", where it writes towards" if leading else ". Where post is positive it writes towards"
        )
        spans += _named(ends[0])
        spans.append(" and away from")
        spans += _named(ends[1])
    if leading is not None and leading.n:
        spans += _followed(leading, knows_tokens=all(ends))
    return Line.of(*spans, ".")


def role(record: NeuronRecord) -> str:
    """The role, and what its quantity was compared with."""
    neuron, cutoffs = record.neuron, record.role_cutoffs
    name = neuron.functional_role
    if name is None or cutoffs is None:
        return f"role {name or 'not computed'}"
    compared = {
        "partition": ("variance", neuron.vocab_variance, cutoffs.partition_variance, "of at least"),
        "prediction": ("kurtosis", neuron.vocab_kurtosis, cutoffs.kurtosis_cutoff, "above"),
        "suppression": ("kurtosis", neuron.vocab_kurtosis, cutoffs.kurtosis_cutoff, "above"),
        "entropy": ("null-space share", neuron.null_space_share, cutoffs.entropy_cutoff, "above"),
    }
    if name not in compared:
        return f"role {name}"
    quantity, value, cutoff, how = compared[name]
    if value is None or cutoff is None:
        return f"role {name}"
    return f"role {name} ({quantity} {value:.3g}, {how} {cutoff:.3g})"


def observed_role(record: NeuronRecord) -> str | None:
    """Where post on the corpus contradicts the role's sign, or its own extreme: with what numbers.

    None where it does neither, or the role has no sign (docs/definitions.md, "Report").
    """
    name, cos_gate_in = record.neuron.functional_role or "", record.neuron.cos_gate_in
    other = {"prediction": "suppression", "suppression": "prediction"}.get(name)
    opened = {case: record.cases[case] for case in _OPENED if case in record.cases}
    strongest = strongest_case(record)
    if None in (other, cos_gate_in, strongest) or len(opened) < len(_OPENED):
        return None
    assert strongest is not None and cos_gate_in is not None and record.corpus is not None
    written = {
        case: (shown.statistics.frequency or 0.0, shown.statistics.mean_post or 0.0)
        for case, shown in opened.items()
    }
    observed = sum(frequency * mean for frequency, mean in written.values())
    leading, extreme = strongest[0], strongest[1].statistics.extreme_post or 0.0
    is_other, is_turned = observed * cos_gate_in < 0, observed * extreme < 0
    if not (is_other or is_turned):
        return None
    means = ", ".join(
        f"{_spaced(case)} at {meaningful(100 * frequency, 3)}% of positions with mean post "
        f"{meaningful(mean, 3, signed=True)}"
        for case, (frequency, mean) in written.items()
    )
    said = (
        f"On {record.corpus.corpus}, post adds up to {'more' if observed > 0 else 'less'} than 0 "
        f"where the gate is open ({means}): as observed it would be "
        f"{other if is_other else name + ' too'}"
    )
    if is_turned:
        few = "fewer or weaker in all" if leading in _OPENED else "where the gate is closed"
        said += (
            f", though its strongest positions are of the other sign ({_spaced(leading)}, post up "
            f"to {meaningful(extreme, 3, signed=True)}): they are {few}"
        )
    return f"{said}."


def _spaced(case: str) -> str:
    return case.replace("_", " ")


def strongest_case(record: NeuronRecord) -> tuple[str, SignCase] | None:
    """The sign case of largest |extreme post|, of equals the first; None where none occurs."""
    occurring = [(n, c) for n, c in record.cases.items() if c.statistics.extreme_post is not None]
    if not occurring:
        return None
    return max(occurring, key=lambda named: abs(named[1].statistics.extreme_post or 0.0))


def _io_class(record: NeuronRecord) -> tuple[str, Span] | tuple[str]:
    neuron = record.neuron
    if neuron.io_class is None:
        return ("No IO class (a weight vector is zero or not finite)",)
    atypical = "atypical " if neuron.atypical else ""
    return "IO class ", Span(f"{atypical}{neuron.io_class}", bold=True, io_class=neuron.io_class)


def _leading(record: NeuronRecord) -> _Leading | None:
    strongest = strongest_case(record)
    if strongest is None:
        return None
    name, case = strongest
    extreme = case.statistics.extreme_post or 0.0
    towards, away = (set(tokens) for tokens in _ends(record, extreme))
    following = [each.next_token for each in case.exemplars]
    peak, n_peak = _common_peak(case.exemplars)
    return _Leading(
        name,
        extreme,
        len(case.exemplars),
        sum(token in towards for token in following),
        sum(token in away for token in following),
        peak,
        n_peak,
    )


def _ends(record: NeuronRecord, post: float) -> tuple[list[str], list[str]]:
    """Top tokens in W_U that post · w_out points towards, and away from."""
    signs: tuple[Sign, Sign] = ("+", "-") if post >= 0 else ("-", "+")
    towards, away = (
        [
            each.token
            for each in record.tokens
            if (each.vector, each.basis, each.sign) == ("out", "unembed", sign)
        ]
        for sign in signs
    )
    return towards, away


def _common_peak(exemplars: Sequence[Exemplar]) -> tuple[str | None, int]:
    counted = Counter(each.token for each in exemplars).most_common(1)
    if not counted or 2 * counted[0][1] <= len(exemplars):
        return None, 0
    return counted[0]


def _named(tokens: Sequence[str]) -> Iterator[str | TokenSpan]:
    for token in tokens[:_N_NAMED]:
        yield " "
        yield TokenSpan(token)


def _followed(leading: _Leading, *, knows_tokens: bool) -> Iterator[str | TokenSpan]:
    """What stands at the peaks of the leading case's exemplars, and after them."""
    n = leading.n
    of_all = f"its {n} exemplars there" if n > 1 else "its exemplar there"
    if leading.peak is not None:
        yield f"; {leading.n_peak} of {of_all} peak at "
        yield TokenSpan(leading.peak)
    if knows_tokens:
        of_all = str(n) if leading.peak is not None else of_all
        if leading.n_towards:
            yield f"; {leading.n_towards} of {of_all} go on with a top token that it writes towards"
        if leading.n_away:
            yield (
                f", {leading.n_away} with one that it writes away from"
                if leading.n_towards
                else f"; {leading.n_away} of {of_all} go on with a top token that it writes away "
                "from"
            )
