"""The pass against a plain loop of one context at a time, on whole tiny models."""

from itertools import product

import numpy as np
import pytest

from catalog.ingest.activations.run import ActivationPass
from catalog.ingest.activations.state import ActivationState
from catalog.ingest.activations.tables import (
    exemplar_table,
    sample_position_table,
    sample_table,
    stat_table,
)
from catalog.taxonomy import sign_cases
from tests.ingest.activations.tiny import (
    EXPERT_KINDS,
    PLAIN_KINDS,
    READINGS,
    ListContexts,
    Oracle,
    empty_state,
    make_pass,
    random_contexts,
    run_units,
    sampled_post,
    tiny_model,
)

K = 3


def close(values: object) -> object:
    """Within 1e-5; of a value larger than 1, within 1e-5 of its size."""
    return pytest.approx(values, rel=1e-5, abs=1e-5)


Ran = tuple[ActivationPass, ActivationState, Oracle]


@pytest.fixture(
    scope="module",
    params=product(READINGS, ["llama", "gemma2", "phi3", *PLAIN_KINDS, *EXPERT_KINDS]),
    ids=" ".join,
)
def ran(request: pytest.FixtureRequest) -> Ran:
    reading, kind = request.param
    model, reader = tiny_model(kind), random_contexts(30)
    work = make_pass(model, reader, k=K, reading=reading)
    state = empty_state(work)
    run_units(work, state)
    assert len(work.units) > 3  # several padded lengths
    return work, state, Oracle.run(model, reader)


def test_statistics(ran: Ran) -> None:
    work, state, oracle = ran
    names = sign_cases(gated=work.plan.gated)
    quantities = ("post", "gate", "in") if work.plan.gated else ("post", "in")
    for layer in range(2):
        rows = stat_table(state, layer).to_pylist()
        assert len(rows) == len(names) * work.plan.sizes.of_layer(layer)
        for i, row in enumerate(rows):
            neuron, case = divmod(i, len(names))
            assert (row["layer"], row["neuron"]) == (layer, neuron)
            assert row["sign_case"] == names[case]
            places, values = oracle.case(layer, neuron, case)
            if not work.plan.gated:
                assert row["mean_gate"] is row["extreme_gate"] is None
            assert row["n_positions"] == oracle.counted.sum()
            assert row["n_in_case"] == len(places)
            expert = work.plan.sizes.expert_of(layer, neuron)
            asked = np.isfinite(oracle.values[oracle.counted, 0, layer, neuron])
            assert row["n_routed"] == (None if expert is None else asked.sum())
            for j, name in enumerate(quantities):
                if len(places) == 0:
                    assert row[f"mean_{name}"] is None
                    assert row[f"extreme_{name}"] is None
                    continue
                extreme = values[np.abs(values[:, j]).argmax(), j]
                assert row[f"extreme_{name}"] == close(extreme)
                mean = values[:, j].astype(float).mean()
                assert row[f"mean_{name}"] == close(mean)


def test_exemplars(ran: Ran) -> None:
    work, state, oracle = ran
    reader = work.reader
    assert isinstance(reader, ListContexts)
    names = sign_cases(gated=work.plan.gated)
    for layer in range(2):
        rows = iter(exemplar_table(state, layer, reader).to_pylist())
        for i in range(len(names) * work.plan.sizes.of_layer(layer)):
            neuron, case = divmod(i, len(names))
            wanted = oracle.exemplars(layer, neuron, case, K)
            for rank, (context, position, *values) in enumerate(wanted, 1):
                row = next(rows)
                assert (row["neuron"], row["sign_case"]) == (neuron, names[case])
                assert row["rank"] == rank
                if (row["context_id"], row["position"]) != (context, position):
                    # GELU is flat at its minimum, and the oracle multiplies an expert's matrices
                    # with all positions: posts may differ by rounding alone.
                    assert not work.plan.gated or work.plan.n_experts
                    assert row["post"] == pytest.approx(values[0], rel=1e-6)
                    continue
                found = [row["post"], *([row["x_gate"]] if work.plan.gated else []), row["x_in"]]
                assert work.plan.gated or row["x_gate"] is None
                assert found == close(values)
                tokens = [*work.reader.tokens([context])[0], None if context % 2 else context]
                assert row["token_id"] == tokens[position]
                assert row["next_token_id"] == tokens[position + 1]
                window = oracle.window(layer, neuron, context, position)
                scale = row["window_scale"]
                assert scale == pytest.approx(np.nanmax(np.abs(window)) / 127, rel=1e-4)
                back = np.array(row["window_post"], float) * scale  # NULL as NaN
                assert back == pytest.approx(window, abs=0.51 * scale, nan_ok=True)
        assert next(rows, None) is None


def test_samples(ran: Ran) -> None:
    work, state, oracle = ran
    assert state.sampled.all()
    places = sample_position_table(work.samples).to_pylist()
    assert [row["sample"] for row in places] == list(range(20))
    for layer in range(2):
        table = sample_table(state, layer)
        scale = table["scale"].to_numpy()
        wanted = sampled_post(oracle, work.samples, layer).T[: len(scale)]
        b = np.array(table["post"].to_pylist(), float)
        b[b == -128] = np.nan  # which reads NULL
        assert (np.isnan(b) == np.isnan(wanted)).all()
        b, wanted = np.nan_to_num(b), np.nan_to_num(wanted)
        assert scale == pytest.approx(np.abs(wanted).max(1), rel=1e-4)
        found = np.sign(b) * scale[:, None] * 2.0 ** ((np.abs(b) - 127) / 8)
        found[b == 0] = 0
        assert (np.abs(found - wanted) <= 0.046 * np.abs(wanted) + 2e-5 * scale[:, None]).all()
