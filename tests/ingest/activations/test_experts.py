"""The pass over experts: merged, saved, resumed and cut in halves as over any other MLP."""

from pathlib import Path

import pyarrow as pa
import pytest
import torch

from catalog.ingest.activations.run import ActivationPass
from catalog.ingest.activations.state import ActivationState
from catalog.ingest.activations.tables import exemplar_table, sample_table, stat_table
from tests.ingest.activations.tiny import (
    ListContexts,
    empty_state,
    make_pass,
    random_contexts,
    run_units,
    tiny_model,
)


@pytest.fixture(scope="module")
def work() -> ActivationPass:
    """A model with routed experts, a shared one and a dense layer."""
    return make_pass(tiny_model("qwen2_moe"), random_contexts(30))


@pytest.fixture(scope="module")
def whole(work: ActivationPass) -> ActivationState:
    state = empty_state(work)
    run_units(work, state)
    return state


def tables(work: ActivationPass, state: ActivationState) -> list[pa.Table]:
    assert isinstance(work.reader, ListContexts)
    return [
        table
        for layer in range(work.plan.n_layers)
        for table in (
            stat_table(state, layer),
            exemplar_table(state, layer, work.reader),
            sample_table(state, layer),
        )
    ]


def test_parts_merge_to_the_same_rows(work: ActivationPass, whole: ActivationState) -> None:
    units = range(len(work.units))
    parts = []
    for mine in (units[::2], units[1::2]):
        parts.append(empty_state(work))
        run_units(work, parts[-1], mine)
    parts[1].merge(parts[0])
    assert tables(work, parts[1]) == tables(work, whole)


def test_a_saved_state_goes_on(
    work: ActivationPass, whole: ActivationState, tmp_path: Path
) -> None:
    state = empty_state(work)
    run_units(work, state, range(2))
    state.save(tmp_path / "state")
    again = ActivationState.load(tmp_path / "state", torch.device("cpu"))
    assert again.plan == work.plan
    run_units(work, again)
    assert tables(work, again) == tables(work, whole)


@pytest.mark.parametrize("module", ["layers.1.mlp.experts", "layers.2.mlp"])
def test_a_batch_cut_in_halves_counts_every_position_once(
    module: str, work: ActivationPass, whole: ActivationState
) -> None:
    """Memory runs out after some layers, or between the shared expert and the routed ones."""

    def run_out(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].flatten(0, -2).shape[0] > 60:
            raise torch.cuda.OutOfMemoryError("out of memory")

    handle = work.model.get_submodule(module).register_forward_pre_hook(run_out)
    state = empty_state(work)
    try:
        run_units(work, state)
    finally:
        handle.remove()
    assert state.halved
    for found, wanted in zip(tables(work, state), tables(work, whole), strict=True):
        assert found.num_rows == wanted.num_rows
        for name in {"n_positions", "n_in_case", "n_routed", "rank"} & set(found.column_names):
            assert found[name] == wanted[name]
        if "x_in" in found.column_names:  # equal up to rounding: contexts may change places
            posts = [each["post"].to_pylist() for each in (found, wanted)]
            assert posts[0] == pytest.approx(posts[1], rel=1e-5)


def test_not_finite_values_are_counted_at_their_context(work: ActivationPass) -> None:
    model = tiny_model("mixtral")
    with torch.no_grad():
        model.get_input_embeddings().get_parameter("weight")[49] = torch.inf
    reader = ListContexts([[0, 5, 6], [0, 49, 7, 8], [0, 49]])
    state = empty_state(make_pass(model, reader))
    run_units(make_pass(model, reader), state)
    assert {context for _, context in state.nonfinite} == {1, 2}
