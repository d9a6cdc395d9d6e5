"""The reading of a neuron in which cos(w_gate, w_in) is not negative.

(w_in, w_out) and (-w_in, -w_out) are the same neuron (DESIGN section 1, "Signs"). Flipping both
swaps in+ with in-, negates in and post, and swaps the ends of the tokens of w_in and w_out.
"""

from dataclasses import replace

from catalog.queries.neuron_record import NeuronRecord, Row, SignCase
from catalog.taxonomy import SIGN_CASES

_OTHER_SIGN = {"+": "-", "-": "+"}
_FLIPPED_CASE = {case: f"{case[:-1]}{_OTHER_SIGN[case[-1]]}" for case in SIGN_CASES}


def canonical_reading(record: NeuronRecord) -> NeuronRecord:
    """The record with w_in and w_out negated if cos_gate_in < 0, else as it is."""
    if not record.neuron["flipped"]:
        return record
    cases = {_FLIPPED_CASE[case]: _flipped_case(shown) for case, shown in record.cases.items()}
    return replace(
        record,
        neuron=_negated(record.neuron, "cos_gate_in", "cos_gate_out", "vocab_skew"),
        places=[_flipped_place(place) for place in record.places],
        tokens=sorted(map(_flipped_token, record.tokens), key=_token_order),
        cases={case: cases[case] for case in SIGN_CASES if case in cases},
    )


def _negated(row: Row, *names: str) -> Row:
    return row | {name: -row[name] for name in names if row[name] is not None}


def _flipped_place(place: Row) -> Row:
    if place["cosine"] == "cos_in_out":
        return place
    turned = {
        "value": place["value"],
        "lowest": place["highest"],
        "q1": place["q3"],
        "median": place["median"],
        "q3": place["q1"],
        "highest": place["lowest"],
    }
    share = place["share_below"]
    return _negated(place | turned, *turned) | {"share_below": None if share is None else 1 - share}


def _flipped_token(token: Row) -> Row:
    if token["vector"] == "gate":
        return token
    return _negated(token, "score") | {"sign": _OTHER_SIGN[token["sign"]]}


def _token_order(token: Row) -> tuple[str, bool, str, int]:
    return token["vector"], token["basis"] == "embed", token["sign"], token["rank"]


def _flipped_case(behaviour: SignCase) -> SignCase:
    case = _FLIPPED_CASE[behaviour.statistics["sign_case"]]
    statistics = _negated(
        behaviour.statistics, "mean_post", "extreme_post", "mean_in", "extreme_in"
    )
    exemplars = [
        _negated(exemplar, "post", "x_in")
        | {"sign_case": case, "window_post": [-post for post in exemplar["window_post"]]}
        for exemplar in behaviour.exemplars
    ]
    return SignCase(statistics | {"sign_case": case}, exemplars)
