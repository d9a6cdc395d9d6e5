"""The rule, against one written neuron by neuron and against cases worked out by hand."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from catalog.ingest.roles.rule import Roles, assign_roles
from catalog.role_rule import RoleRule
from catalog.taxonomy import FUNCTIONAL_ROLES
from tests.ingest.roles import plain

SMALLINT = pa.int16()
MOMENTS = pa.schema(
    [
        ("layer", SMALLINT),
        ("neuron", pa.int32()),
        ("cos_gate_in", pa.float32()),
        ("vocab_variance", pa.float32()),
        ("vocab_skew", pa.float32()),
        ("vocab_kurtosis", pa.float32()),
    ]
)
SHARES = pa.schema(
    [("layer", SMALLINT), ("neuron", pa.int32()), ("null_space_share", pa.float32())]
)
SCORES = pa.schema(
    [
        ("layer", SMALLINT),
        ("neuron", pa.int32()),
        ("head_layer", SMALLINT),
        ("head", SMALLINT),
        ("cosine", pa.float32()),
    ]
)
PLAIN_NEURON = {
    "cos_gate_in": 0.5,
    "vocab_variance": 0.1,
    "vocab_skew": 1.0,
    "vocab_kurtosis": 1.0,
    "null_space_share": 0.1,
}


def neurons(*layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neurons by layer, each told by how it differs from `PLAIN_NEURON`."""
    return [
        {"layer": layer, "neuron": at, **PLAIN_NEURON, **changed}
        for layer, some in enumerate(layers)
        for at, changed in enumerate(some)
    ]


def score(layer: int, neuron: int, head: int, cosine: float, ahead: int = 1) -> dict[str, Any]:
    return {
        "layer": layer,
        "neuron": neuron,
        "head_layer": layer + ahead,
        "head": head,
        "cosine": cosine,
    }


def rows(schema: pa.Schema, values: list[dict[str, Any]]) -> pa.Table:
    kept = [{name: value[name] for name in schema.names} for value in values]
    return pa.Table.from_pylist(kept, schema)


def assigned(
    neurons: list[dict[str, Any]],
    scores: list[dict[str, Any]] | None = None,
    p: RoleRule = RoleRule(),  # noqa: B008
) -> Roles:
    return assign_roles(
        rows(MOMENTS, neurons), rows(SHARES, neurons), rows(SCORES, scores or []), p
    )


def roles_of(*arguments: Any) -> list[str | None]:
    roles: list[str | None] = assigned(*arguments).rows["functional_role"].to_pylist()
    return roles


def test_the_defaults_are_those_of_the_definitions() -> None:
    rule = RoleRule()
    assert (rule.partition, rule.moments, rule.min_kurtosis) == (1000, 1729, 1.0)
    assert (rule.n_entropy, rule.iqr_factor, rule.layers_ahead) == (2, 3.0, 1)
    assert rule.attention_cutoff == pytest.approx(0.5**0.5)
    assert rule.kurtosis is None


@pytest.mark.parametrize("seed", range(8))
def test_as_neuron_by_neuron(seed: int) -> None:
    """Coarse values give ties everywhere; one in ten is NULL."""
    generator = np.random.default_rng(seed)
    n_layers, d_mlp = 3, 60

    def coarse(scale: float, size: int) -> list[float | None]:
        values = np.round(generator.normal(size=size) * scale, 1)
        missing = generator.random(size) < 0.1
        return [None if gone else float(v) for v, gone in zip(values, missing, strict=True)]

    columns = {name: coarse(1.0, n_layers * d_mlp) for name in PLAIN_NEURON}
    columns["vocab_variance"] = [v and abs(v) for v in columns["vocab_variance"]]
    columns["null_space_share"] = [v and abs(v) ** 6 for v in columns["null_space_share"]]
    flat = [dict(zip(columns, each, strict=True)) for each in zip(*columns.values(), strict=True)]
    given = neurons(*(flat[at : at + d_mlp] for at in range(0, len(flat), d_mlp)))
    scores = [
        score(n["layer"], n["neuron"], head, float(np.round(generator.uniform(-1, 1), 1)), ahead)
        for n in given
        for ahead in range(1, n_layers - n["layer"])
        for head in range(2)
    ]
    seen = set()
    for p in (
        RoleRule(),
        RoleRule(partition=20_000, attention_cutoff=0.9, iqr_factor=1.0),
        RoleRule(kurtosis="1.5", n_entropy=5, iqr_factor=0.5, layers_ahead=2),
        RoleRule(partition=0, n_entropy=0),
        RoleRule(moments=40_000, min_kurtosis=0.2),
        RoleRule(moments=0),
        RoleRule(partition=20_000, moments=400_000, min_kurtosis=-5.0),
        RoleRule(partition=20_000, kurtosis="partition"),
        RoleRule(partition=1_000_000),
    ):
        found = assigned(given, scores, p).rows.to_pylist()
        expected = plain.roles(given, scores, p)
        assert {(r["layer"], r["neuron"]): r["functional_role"] for r in found} == expected
        assert [(r["layer"], r["neuron"]) for r in found] == sorted(expected)
        seen |= set(expected.values())
    assert seen == set(FUNCTIONAL_ROLES)


def test_ties_at_the_border_of_partition_go_to_the_earlier_neuron() -> None:
    tied = {"vocab_variance": 0.7}
    found = roles_of(neurons([{}, tied, tied], [tied, {}, {}]), [], RoleRule(partition=117_418))
    # ceil(117418 * 6 / 352256) = 2
    assert found == ["other", "partition", "partition", "other", "other", "other"]


def test_a_thousand_of_the_published_number_of_neurons() -> None:
    n_layers, d_mlp = 32, 11_008
    key = {
        "layer": np.repeat(np.arange(n_layers, dtype=np.int16), d_mlp),
        "neuron": np.tile(np.arange(d_mlp, dtype=np.int32), n_layers),
    }
    ones = np.ones(n_layers * d_mlp, np.float32)
    moments = key | dict.fromkeys(MOMENTS.names[2:], ones)
    moments["vocab_variance"] = np.arange(len(ones), dtype=np.float32)
    shares = key | {"null_space_share": ones}
    result = assign_roles(pa.table(moments), pa.table(shares), rows(SCORES, []), RoleRule())
    assert result.notes["roles"] == {"partition": 1000, "other": 351_256}
    assert result.notes["partition_variance"] == 352_256 - 1000
    assert result.notes["partition_kurtosis"] == 1.0


def test_prediction_and_suppression_need_a_sign_and_more_kurtosis_than_any_partition_neuron() -> (
    None
):
    kurtosis = {"vocab_kurtosis": 9.0}
    given = neurons(
        [
            {"vocab_variance": 0.9, "vocab_kurtosis": 8.0},
            {"vocab_kurtosis": 8.0},
            {**kurtosis},
            {**kurtosis, "vocab_skew": -1.0},
            {**kurtosis, "cos_gate_in": -0.5},
            {**kurtosis, "cos_gate_in": -0.5, "vocab_skew": -1.0},
            {**kurtosis, "cos_gate_in": None},
            {**kurtosis, "vocab_skew": 0.0},
            {"vocab_kurtosis": None},
        ]
    )
    assert roles_of(given, [], RoleRule(kurtosis="partition")) == [
        "partition",
        "other",
        "prediction",
        "suppression",
        "suppression",
        "prediction",
        "other",
        "other",
        "other",
    ]


def test_without_partition_neurons_nothing_is_above_their_kurtosis() -> None:
    given = neurons([{"vocab_kurtosis": 99.0}] * 3)
    published = RoleRule(partition=0, kurtosis="partition")
    assert roles_of(given, [], published) == ["other"] * 3
    assert roles_of(given, [], RoleRule(partition=0, kurtosis="98.0")) == ["prediction"] * 3


def test_so_many_of_highest_kurtosis_and_only_above_the_minimum() -> None:
    """(1729 * 6 + 352255) // 352256 = 1 of six neurons; ties go to the earlier one."""
    given = neurons(
        [{"vocab_variance": 0.9}, {}, {"vocab_kurtosis": 5.0}], [{"vocab_kurtosis": 5.0}, {}, {}]
    )
    first = ["partition", "other", "prediction", "other", "other", "other"]
    assert roles_of(given) == first
    assert assigned(given).notes["kurtosis_cutoff"] == 5.0
    both = roles_of(given, [], RoleRule(moments=117_418))
    assert both == ["partition", "other", "prediction", "prediction", "other", "other"]
    assert roles_of(given, [], RoleRule(min_kurtosis=5.0)).count("prediction") == 0
    lowest = [{"vocab_kurtosis": 1.0}] * 6
    assert "prediction" not in roles_of(neurons(lowest))


def test_without_a_gate_the_skewness_decides_alone() -> None:
    given = neurons(
        [{"vocab_variance": 0.9}, {"vocab_kurtosis": 9.0, "cos_gate_in": None, "vocab_skew": -1.0}]
    )
    ungated = assign_roles(
        rows(MOMENTS, given), rows(SHARES, given), rows(SCORES, []), RoleRule(), gated=False
    )
    assert ungated.rows["functional_role"].to_pylist() == ["partition", "suppression"]
    assert roles_of(given) == ["partition", "other"]


def test_entropy_is_for_outliers_of_the_last_layer() -> None:
    others = [{"null_space_share": 0.1 + at / 1000} for at in range(20)]
    far = {"null_space_share": 0.9}
    given = neurons([{"vocab_variance": 0.9}, far, *others], [*others, far, far, far])
    found = roles_of(given)
    # A far neuron of an earlier layer is none, and of three at most two, the earlier ones.
    assert [at for at, role in enumerate(found) if role == "entropy"] == [42, 43]
    assert "entropy" not in roles_of(neurons([{}], others))


def test_entropy_gives_way_to_what_comes_before_it() -> None:
    others = [{"null_space_share": 0.1}] * 20
    given = neurons([*others, {"null_space_share": 0.9, "vocab_variance": 0.9}])
    assert roles_of(given)[-1] == "partition"


def test_attention_takes_the_sign_at_the_strongest_head() -> None:
    given = neurons([{"vocab_variance": 0.9}, {}, {}, {"cos_gate_in": -0.5}, {}, {}, {}, {}], [{}])
    scores = [
        score(0, 0, 0, 0.99),
        score(0, 1, 0, -0.8),
        score(0, 1, 1, 0.9),
        score(0, 2, 0, -0.8),
        score(0, 2, 1, 0.8),
        score(0, 3, 0, 0.8),
        score(0, 4, 0, 0.7),
        score(0, 5, 0, 0.99, ahead=2),
        score(0, 6, 1, 0.8),
        score(0, 6, 0, 0.8),
    ]
    assert roles_of(given, scores) == [
        "partition",
        "attention deactivation",
        "attention activation",
        "attention activation",
        "other",
        "other",
        "attention deactivation",
        "other",
        "other",
    ]
    assert roles_of(given, scores, RoleRule(layers_ahead=2))[5] == "attention deactivation"


def test_the_cutoff_itself_is_not_beyond_it() -> None:
    given = neurons([{"vocab_variance": 0.9}, {}, {}], [{}])
    scores = [score(0, 1, 0, 0.75), score(0, 2, 0, -0.75)]
    assert set(roles_of(given, scores, RoleRule(attention_cutoff=0.75))) == {"partition", "other"}


def test_one_layer_of_one_neuron() -> None:
    assert roles_of(neurons([{}])) == ["partition"]


def test_a_neuron_without_any_quantity_is_other() -> None:
    nothing = dict.fromkeys(PLAIN_NEURON)
    assert roles_of(neurons([{}, nothing])) == ["partition", "other"]


def test_a_model_without_any_quantity_has_no_roles() -> None:
    result = assigned(neurons([dict.fromkeys(PLAIN_NEURON)]))
    assert result.rows["functional_role"].to_pylist() == [None]
    assert result.notes["roles"] == {}
    assert result.notes["partition_variance"] is None
