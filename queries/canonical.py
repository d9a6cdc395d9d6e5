"""The reading of a neuron in which cos(w_gate, w_in) is not negative.

(w_in, w_out) and (-w_in, -w_out) are the same neuron (docs/definitions.md, "Canonical reading").
Flipping both swaps in+ with in-, negates in and post, and swaps the ends of the tokens of w_in and
w_out.
"""

from dataclasses import replace
from typing import Any, TypeVar

from catalog.errors import Option, UsageError
from catalog.queries.records import Exemplar, NeuronRecord, SignCase, TopToken
from catalog.taxonomy import SIGN_CASES, Sign

_Record = TypeVar("_Record", bound=Any)
_OTHER_SIGN: dict[str, Sign] = {"+": "-", "-": "+"}
_FLIPPED_CASE = {case: f"{case[:-1]}{_OTHER_SIGN[case[-1]]}" for case in SIGN_CASES}


def canonical_reading(record: NeuronRecord) -> NeuronRecord:
    """The record with w_in and w_out negated if cos_gate_in < 0.

    Its places are left alone: they are among the canonical readings of the layer, so that they are
    read anew (`layer_place.sql`).

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
    if not record.neuron.flipped:
        return replace(record, is_canonical=True)
    cases = {_FLIPPED_CASE[case]: _flipped_case(shown) for case, shown in record.cases.items()}
    return replace(
        record,
        neuron=_negated(record.neuron, "cos_gate_in", "cos_gate_out", "vocab_skew"),
        tokens=sorted(map(_flipped_token, record.tokens), key=_token_order),
        cases={case: cases[case] for case in SIGN_CASES if case in cases},
        is_canonical=True,
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
    window = [-post for post in exemplar.window_post]
    return replace(_negated(exemplar, "post", "x_in"), sign_case=case, window_post=window)
