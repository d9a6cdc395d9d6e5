"""`roles`, `contingency` and `clearest` at any parameters, against the rule written in Python.

The catalog holds `gated` (activations on two corpora), `plain` (no gate), `quiet` (gated, no
activations) and `bare` (weights alone). Quantities are multiples of 1/8, so that there are ties
everywhere and no rounding; one in ten is NULL.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from catalog.errors import UsageError
from catalog.queries import named_query
from catalog.queries.asking import answered
from catalog.role_rule import RoleRule
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog
from catalog.store.writing import (
    finish_run,
    insert_neuron_columns,
    insert_rows,
    start_run,
    writing,
)
from tests import synthetic
from tests.support import Answer, execute

N_LAYERS, D_MLP = 3, 40
POSITIONS = 64
ROLES = {"gated": True, "plain": False, "quiet": True}
"""Models that have roles, and whether they have a gate."""

Observed = dict[str, float]


@dataclass(frozen=True)
class Neuron:
    """What the rule reads of a neuron; `heads`: cosines with heads of the next layer."""

    layer: int
    neuron: int
    cos_gate_in: float | None
    vocab_variance: float | None
    vocab_skew: float | None
    vocab_kurtosis: float | None
    null_space_share: float | None
    heads: tuple[float, ...]
    post: tuple[tuple[str, float], ...]

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.neuron}"


def drawn(model: str) -> list[Neuron]:
    """The neurons of a model, in order."""
    random = np.random.default_rng(sum(model.encode()))

    def eighths(scale: float) -> float | None:
        value = float(np.round(8 * scale * random.normal()) / 8)
        return None if random.random() < 0.1 else value

    def size(scale: float) -> float | None:
        value = eighths(scale)
        return None if value is None else abs(value)

    neurons = []
    for at in range(N_LAYERS * D_MLP):
        layer, neuron = divmod(at, D_MLP)
        share = size(0.1)
        if share is not None and layer == N_LAYERS - 1 and random.random() < 0.15:
            share = 0.75
        cosine = eighths(0.5) if ROLES[model] else None
        n_heads = 2 if layer + 1 < N_LAYERS else 0
        neurons.append(
            Neuron(
                layer,
                neuron,
                cosine,
                size(1.0),
                eighths(1.0),
                eighths(2.0),
                share,
                tuple(float(c) for c in np.round(8 * random.uniform(-1, 1, n_heads)) / 8),
                tuple((corpus, float(eighths(2.0) or 0.0)) for corpus in ("web", "code"))
                if model == "gated"
                else (),
            )
        )
    return neurons


NEURONS = {model: drawn(model) for model in ROLES}


def build(path: Path) -> None:
    ensure_catalog(Handle(path))
    for model, gated in ROLES.items():
        entry = replace(
            synthetic.entry(model, n_layers=N_LAYERS, d_mlp=D_MLP, d_model=8), gated=gated
        )
        neurons = NEURONS[model]
        gate_out = 0.25 if gated else None
        cosines = {n.name: (n.cos_gate_in, gate_out, 0.75 * (-1) ** n.neuron) for n in neurons}
        model_id = synthetic.load_weights(path, entry, cosines)
        _load_quantities(path, model_id, neurons)
    synthetic.load_weights(path, synthetic.entry("bare", n_layers=1, d_mlp=1), {"0.0": (1, 1, 1)})
    for at, corpus in enumerate(("web", "code"), 1):
        execute(
            path,
            f"insert into corpus values ({at}, 'd{at}', '{corpus}', 1, {POSITIONS}, 64, 0, "
            "'excluded', '{}')",
            f"insert into model_corpus values (1, {at}, '{corpus}')",
        )
        _load_activations(path, at, corpus)


def _load_quantities(path: Path, model_id: int, neurons: list[Neuron]) -> None:
    names = ("vocab_variance", "vocab_skew", "vocab_kurtosis", "null_space_share")
    at = [{"layer": n.layer, "neuron": n.neuron} for n in neurons]
    rows = [
        key | {name: getattr(n, name) for name in names} for key, n in zip(at, neurons, strict=True)
    ]
    scores = [
        {"layer": n.layer, "neuron": n.neuron, "head_layer": n.layer + 1, "head": h, "cosine": c}
        for n in neurons
        for h, c in enumerate(n.heads)
    ]
    # Roles as another rule might have left them: what is stored is not recomputed.
    stored = pa.Table.from_pylist([row | {"functional_role": "entropy"} for row in rows])
    with writing(path) as connection:
        run_id = start_run(connection, model_id, synthetic.run_start("roles"), None)
        insert_neuron_columns(connection, model_id, run_id, stored)
        insert_rows(connection, "attention_score", run_id, pa.Table.from_pylist(scores))
        finish_run(connection, run_id, ("neuron", "attention_score"), {})


def _load_activations(path: Path, corpus_id: int, corpus: str) -> None:
    """Half the positions in `gate+_in+` with twice the value; `gate+_in-` is without a mean."""
    rows = [
        {
            "layer": n.layer,
            "neuron": n.neuron,
            "sign_case": case,
            "n_positions": POSITIONS,
            "n_in_case": {"gate+_in+": POSITIONS // 2, "gate-_in-": POSITIONS // 4}.get(case, 0),
            "mean_post": {"gate+_in+": 2 * dict(n.post)[corpus], "gate-_in-": -64.0}.get(case),
        }
        for n in NEURONS["gated"]
        for case in ("gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-")
    ]
    with writing(path) as connection:
        run_id = start_run(connection, 1, synthetic.run_start("activations"), corpus_id)
        insert_rows(connection, "activation_stat", run_id, pa.Table.from_pylist(rows))
        finish_run(connection, run_id, ("activation_stat", "exemplar"), {})


def expected(model: str, rule: RoleRule, observed: str | None = None) -> dict[str, str]:
    """The role of each neuron by the definition, observed on a corpus or a priori."""
    neurons = NEURONS[model]

    def many(of_published: int) -> int:
        return math.ceil(of_published * len(neurons) / 352_256)

    def highest(among: list[Neuron], quantity: str) -> list[Neuron]:
        there = [n for n in among if getattr(n, quantity) is not None]
        return sorted(there, key=lambda n: -getattr(n, quantity))

    partition = highest(neurons, "vocab_variance")[: many(rule.partition)]
    others = [n for n in neurons if n not in partition]
    peaked = highest(others, "vocab_kurtosis")
    if rule.kurtosis is None:
        cutoff: float | None = rule.min_kurtosis
        peaked = peaked[: many(rule.moments)]
    elif rule.kurtosis == "partition":
        cutoff = max(
            (n.vocab_kurtosis for n in partition if n.vocab_kurtosis is not None), default=None
        )
    else:
        cutoff = float(rule.kurtosis)
    writers = {n.name for n in peaked if cutoff is not None and (n.vocab_kurtosis or 0) > cutoff}
    last = highest([n for n in neurons if n.layer == N_LAYERS - 1], "null_space_share")
    q1, q3 = np.percentile([float(n.null_space_share or 0) for n in last], [25, 75])
    far = q3 + rule.iqr_factor * (q3 - q1)
    entropy = {n.name for n in last[: rule.n_entropy] if (n.null_space_share or 0) > far}

    def role(n: Neuron) -> str:
        gate = (n.cos_gate_in or 0.0) if ROLES[model] else 1.0
        side = (dict(n.post)[observed] if observed else gate) * (n.vocab_skew or 0.0)
        heads = sorted(n.heads, key=lambda c: -abs(c))[:1] if rule.layers_ahead else []
        attention = gate * sum(c for c in heads if abs(c) > rule.attention_cutoff)
        if n in partition:
            return "partition"
        if n.name in writers and side:
            return "prediction" if side > 0 else "suppression"
        if n.name in entropy:
            return "entropy"
        if attention:
            return "attention deactivation" if attention > 0 else "attention activation"
        return "other"

    return {n.name: role(n) for n in neurons}


@pytest.fixture(scope="module")
def path(once: Callable[..., Path]) -> Path:
    return once("roles", lambda folder: build(folder / "roles.duckdb")) / "roles.duckdb"


def rows_of(path: Path, query: str, *settings: str) -> list[dict[str, object]]:
    named = named_query(query)
    rows: list[dict[str, object]] = answered(
        Handle(path), named, named.bound(list(settings))
    ).rows.to_pylist()
    return rows


def found(path: Path, *settings: str) -> dict[str, object]:
    return {str(r["neuron_id"]): r["functional_role"] for r in rows_of(path, "roles", *settings)}


RULES = st.builds(
    RoleRule,
    partition=st.sampled_from([0, 1, 1000, 20_000, 352_256, 1_000_000]),
    moments=st.sampled_from([0, 1, 1729, 30_000, 200_000, 1_000_000]),
    min_kurtosis=st.sampled_from([-9.0, 0.0, 1.0, 2.5]),
    kurtosis=st.sampled_from([None, None, None, "partition", "1.5", "-9"]),
    n_entropy=st.integers(0, 4),
    iqr_factor=st.sampled_from([0.0, 1.5, 3.0]),
    attention_cutoff=st.sampled_from([0.0, 0.5, 0.5**0.5, 1.0]),
    layers_ahead=st.sampled_from([0, 1, 5]),
)


def as_settings(rule: RoleRule, *left_out: str) -> list[str]:
    return [
        f"{name}={value}"
        for name, value in vars(rule).items()
        if value is not None and name not in left_out
    ]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rule=RULES, model=st.sampled_from(sorted(ROLES)), sign=st.sampled_from(["", "web", "code"]))
@example(rule=RoleRule(moments=1_000_000), model="gated", sign="")
@example(rule=RoleRule(kurtosis="1.5"), model="plain", sign="")
@example(rule=RoleRule(partition=20_000, kurtosis="partition"), model="gated", sign="web")
def test_roles_at_any_parameters(path: Path, rule: RoleRule, model: str, sign: str) -> None:
    observed = sign if sign and model == "gated" else None
    asked = [f"model={model}", *as_settings(rule)]
    if observed:
        asked += ["sign=observed", f"corpus={observed}"]
    assert found(path, *asked) == expected(model, rule, observed)


def test_the_defaults_of_the_query_are_those_of_the_rule(path: Path) -> None:
    for model in ROLES:
        assert found(path, f"model={model}") == expected(model, RoleRule())


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rule=RULES, model=st.sampled_from(sorted(ROLES)))
def test_contingency_and_clearest_at_any_parameters(path: Path, rule: RoleRule, model: str) -> None:
    rule = replace(rule, n_entropy=RoleRule.n_entropy, layers_ahead=RoleRule.layers_ahead)
    asked = [f"model={model}", *as_settings(rule, "n_entropy", "layers_ahead")]
    roles = expected(model, rule)
    total = rows_of(path, "contingency", *asked)[-1]
    counts = {name: n for name, n in total.items() if name not in ("model", "io_class") and n}
    counted = Counter(role.replace(" ", "_") for role in roles.values())
    assert counts == counted | {"total": len(roles)}
    writers = [n for n in NEURONS[model] if roles[n.name] in ("prediction", "suppression")]
    clearest = rows_of(path, "clearest", *asked, "k=1000")
    assert {r["neuron_id"]: r["functional_role"] for r in clearest} == {
        n.name: roles[n.name] for n in writers
    }
    first = max(writers, key=lambda n: n.vocab_kurtosis or 0, default=None)
    if first is not None:
        shown = {r["neuron_id"] for r in rows_of(path, "clearest", *asked)}
        assert first.name in shown


def test_without_parameters_the_stored_roles_are_counted(path: Path) -> None:
    total = rows_of(path, "contingency", "model=gated")[-1]
    assert (total["entropy"], total["total"]) == (N_LAYERS * D_MLP, N_LAYERS * D_MLP)
    assert rows_of(path, "clearest", "model=gated") == []


def test_one_parameter_leaves_the_others_at_their_defaults(path: Path) -> None:
    total = rows_of(path, "contingency", "model=gated", "moments=200000")[-1]
    roles = Counter(expected("gated", RoleRule(moments=200_000)).values())
    assert total["prediction"] == roles["prediction"]
    assert total["suppression"] == roles["suppression"]
    assert roles["prediction"] and roles["suppression"]


def test_observed_and_a_priori_signs_differ_here(path: Path) -> None:
    """What the other tests compare is not the same in both."""
    wide = ["model=gated", "moments=1000000", "min_kurtosis=-9"]
    a_priori = found(path, *wide)
    web, code = (found(path, *wide, "sign=observed", f"corpus={name}") for name in ("web", "code"))
    assert len({tuple(each.values()) for each in (a_priori, web, code)}) == 3


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["model=plain"], "is about the gate, and plain has none"),
        (["model=quiet"], "needs activations, and quiet has none"),
        (["model=gated"], "needs one corpus, and gated has code, web"),
        # Also where no neuron or no row is asked of it.
        (["model=quiet", "moments=0"], "needs activations"),
        (["model=quiet", "role=entropy", "n_entropy=0"], "needs activations"),
        (["model=plain", "partition=1000000"], "about the gate"),
        ([], "sign=observed"),
    ],
)
def test_observed_is_refused_where_nothing_was_observed(
    path: Path, asked: list[str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        rows_of(path, "roles", "sign=observed", *asked)


def test_what_has_no_roles_is_not_refused(path: Path) -> None:
    assert found(path, "model=bare", "sign=observed") == {"0.0": None}


def test_the_refusal_is_a_sentence_and_the_exit_code_of_usage(
    path: Path, cli: Callable[..., Answer]
) -> None:
    asked = ("query", "roles", "-p", "sign=observed", "-p", "model=gated", "--db", path)
    answer = cli(*asked)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Error: sign=observed needs one corpus, and gated has code, web.")
    assert cli(*asked, "-p", "corpus=web").code == 0


@pytest.mark.parametrize("setting", ["kurtosis=high", "kurtosis=nan", "sign=seen", "partition=0.5"])
def test_values_that_are_none_are_refused(path: Path, setting: str) -> None:
    with pytest.raises(UsageError, match=setting.split("=")[0]):
        rows_of(path, "roles", setting)
