"""The reading of a neuron in which cos(w_gate, w_in) is not negative.

(w_in, w_out) and (-w_in, -w_out) are the same neuron (docs/definitions.md, "Canonical reading").
Flipping both swaps in+ with in-, negates in and post, and swaps the ends of the tokens of w_in and
w_out. The neurons that it is wired to are read so too, each by its own cosine.
"""

from dataclasses import replace
from typing import Any, TypeVar

from catalog.errors import Option, UsageError
from catalog.queries.records import Exemplar, Neighbour, NeuronRecord, SignCase, TopToken
from catalog.taxonomy import SIGN_CASES, Sign

_Record = TypeVar("_Record", bound=Any)
_OTHER_SIGN: dict[str, Sign] = {"+": "-", "-": "+"}
_FLIPPED_CASE = {case: f"{case[:-1]}{_OTHER_SIGN[case[-1]]}" for case in SIGN_CASES}
_FLIPPED = {**_FLIPPED_CASE, **_OTHER_SIGN}


def canonical_reading(record: NeuronRecord) -> NeuronRecord:
    """The record with w_in and w_out negated of every neuron in it whose cos_gate_in < 0.

    Its places are left alone: they are among the canonical readings of the layer, so that they are
    read anew (`layer_cosines.sql`).

    Raises:
        UsageError: its model has no gate.
    """
    if not record.model.gated:
        raise UsageError(
            f"The canonical reading is about cos(w_gate, w_in), and {record.model.model} has no "
            "gate: its neurons read as they are.",
            "Leave out ",
            Option("canonical"),
            ".",
        )
    flipped = bool(record.neuron.flipped)
    record = replace(
        record,
        wires=[_flipped_neighbour(wire, own=flipped) for wire in record.wires],
        twins=[_flipped_neighbour(twin, own=flipped) for twin in record.twins],
        is_canonical=True,
    )
    if not flipped:
        return record
    cases = {_FLIPPED_CASE[case]: _flipped_case(shown) for case, shown in record.cases.items()}
    return replace(
        record,
        neuron=_negated(record.neuron, "cos_gate_in", "cos_gate_out", "vocab_skew"),
        tokens=sorted(map(_flipped_token, record.tokens), key=_token_order),
        cases={case: cases[case] for case in SIGN_CASES if case in cases},
        descriptions=[
            replace(each, sign_case=_FLIPPED.get(each.sign_case, each.sign_case))
            for each in record.descriptions
        ],
    )


def _negated(record: _Record, *names: str) -> _Record:
    values = {name: getattr(record, name) for name in names}
    changed = {name: -value for name, value in values.items() if value is not None}
    negated: _Record = replace(record, **changed)
    return negated


def _flipped_token(token: TopToken) -> TopToken:
    if token.vector == "gate":
        return token
    return replace(token, score=-token.score, sign=_OTHER_SIGN[token.sign])


def _flipped_neighbour(other: Neighbour, *, own: bool) -> Neighbour:
    turned = bool(other.flipped)
    # What a flipped neuron turns of the cosine: its w_in and w_out, never its w_gate.
    by_reader, by_writer = (turned, own) if other.side == "reader" else (own, turned)
    if other.side == "twin":
        changed = other.vector != "gate" and own != turned
    else:
        changed = by_writer != (by_reader and other.vector == "in")
    read = _negated(other, "cosine") if changed else other
    if not turned or read.sign is None:
        return read
    return replace(read, sign=_OTHER_SIGN[read.sign])


def _token_order(token: TopToken) -> tuple[str, bool, str, int]:
    return token.vector, token.basis == "embed", token.sign, token.rank


def _flipped_case(behaviour: SignCase) -> SignCase:
    case = _FLIPPED_CASE[behaviour.statistics.sign_case]
    statistics = _negated(
        behaviour.statistics, "mean_post", "extreme_post", "mean_in", "extreme_in"
    )
    return SignCase(
        replace(statistics, sign_case=case),
        [_flipped_exemplar(exemplar, case) for exemplar in behaviour.exemplars],
    )


def _flipped_exemplar(exemplar: Exemplar, case: str) -> Exemplar:
    window = [None if post is None else -post for post in exemplar.window_post]
    return replace(_negated(exemplar, "post", "x_in"), sign_case=case, window_post=window)
