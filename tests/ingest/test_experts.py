"""Entries with experts, through every stage that knows them, and by every reader of ids."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import catalog
from catalog.errors import CatalogError, NotFoundError, UsageError
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.neuron_vectors import NeuronVectors
from catalog.layers import LayerSizes
from catalog.neuron_id import NeuronId
from tests.ingest.experts import EXPERTS, K, make, taken
from tests.ingest.test_families import CHECKPOINTS, LAYER, cosine, expected, load_model
from tests.support import Answer, query
from tests.tiny_checkpoints import N_LAYERS

SIZES = LayerSizes(3, 48, n_experts=5, d_expert=24, d_shared=40, dense_layers=(2,))


@pytest.fixture(scope="module")
def ingested(once: Callable[..., Path]) -> Path:
    return once("experts", make)


@pytest.fixture(scope="module")
def db(ingested: Path) -> Path:
    return ingested / "c.duckdb"


@pytest.mark.parametrize("name", EXPERTS)
def test_cosines_and_norms_equal_float64(name: str, ingested: Path, db: Path) -> None:
    oracle = expected(name, ingested / name, "folded")
    rows = query(
        db,
        "select cos_gate_in, cos_gate_out, cos_in_out, norm_gate, norm_in, norm_out from neurons "
        "where model = $1 and layer = $2 order by neuron",
        *(name, LAYER),
    )
    assert len(rows) == len(oracle["in"])
    pairs = (("gate", "in"), ("gate", "out"), ("in", "out"))
    for at, (first, second) in enumerate(pairs):
        reference = cosine(oracle[first], oracle[second])
        np.testing.assert_allclose([row[at] for row in rows], reference, atol=1e-6)
    for at, vector in enumerate(("gate", "in", "out"), 3):
        lengths = np.linalg.norm(oracle[vector], axis=1)
        np.testing.assert_allclose([row[at] for row in rows], lengths, rtol=1e-6)


@pytest.mark.parametrize("name", EXPERTS)
def test_top_tokens_equal_float64(name: str, ingested: Path, db: Path) -> None:
    oracle = expected(name, ingested / name, "folded")
    listed = query(
        db,
        "select vector, basis, sign, neuron, list(token_id order by rank) from top_tokens "
        "where model = $1 and layer = $2 group by all order by all",
        *(name, LAYER),
    )
    assert len(listed) == 3 * 2 * 2 * len(oracle["in"])
    known = tokens_of(db, name)
    for vector, basis, sign, neuron, token_ids in listed:
        scores = oracle["W_U" if basis == "unembed" else "W_E"] @ oracle[vector][neuron]
        assert token_ids == best(scores if sign == "+" else -scores, known)


def test_firings_are_those_of_the_sign_cases(db: Path) -> None:
    """Of dense layers, of experts where they are asked, and of one that never is."""
    sums = """
        select d.model, count(*), count(*) filter (d.n_fired <> o.n_open), sum(d.n_fired) > 0
        from detectors d
        join (
            select model, layer, neuron, round(sum(frequency * n_positions)) as n_open
            from activation_stats where sign_case in ('gate+_in+', 'gate+_in-') group by all
        ) o using (model, layer, neuron)
        group by d.model order by d.model
    """
    counted = query(db, "select model, count(*) from neurons group by model order by model")
    assert query(db, sums) == [(*each, 0, True) for each in counted]
    unasked = f"select bool_and(dead) from detectors where model = 'unasked' and layer = {LAYER} "
    assert query(db, unasked + "and neuron < 24") == [(True,)]


@pytest.mark.parametrize("name", EXPERTS)
def test_router_tokens_equal_float64(name: str, ingested: Path, db: Path) -> None:
    oracle = expected(name, ingested / name, "folded")
    described = CHECKPOINTS[name][2]
    layer = load_model(name, ingested / name).get_submodule(f"{described.layers}.{LAYER}")
    norm = layer.get_submodule(str(described.norm)).weight
    router = (layer.get_submodule(str(described.router)).weight * norm).detach().double().numpy()
    listed = query(
        db,
        "select expert, basis, sign, list(token_id order by rank), list(score order by rank) "
        "from router_tokens where model = $1 and layer = $2 group by all order by all",
        *(name, LAYER),
    )
    assert len(listed) == len(router) * 2 * 2
    known = tokens_of(db, name)
    for expert, basis, sign, token_ids, found in listed:
        scores = oracle["W_U" if basis == "unembed" else "W_E"] @ router[expert]
        assert token_ids == best(scores if sign == "+" else -scores, known)
        assert found == pytest.approx(scores[token_ids], rel=1e-4, abs=1e-5)


def tokens_of(db: Path, name: str) -> set[int]:
    return {at for (at,) in query(db, "select token_id from tokens where model = $1", name)}


def best(scores: np.ndarray, known: set[int]) -> list[int]:
    return sorted(known, key=lambda at: (-scores[at], at))[:K]


def test_layers_have_neurons_of_their_own(db: Path) -> None:
    counted = query(
        db,
        "select layer, expert, count(*), min(neuron), max(neuron) from neurons "
        "where model = 'qwen2_moe' and layer > 0 group by all order by all",
    )
    routed = [(1, e, 24, 24 * e, 24 * e + 23) for e in range(5)]
    assert counted == [*routed, (1, 5, 40, 120, 159), (2, None, 48, 0, 47)]
    assert query(
        db,
        "select n_experts, d_expert, d_shared, d_dense, dense_layers, d_mlp, gated from models "
        "where model = 'qwen2_moe'",
    ) == [(5, 24, 40, 48, [2], 160, True)]
    shown = {row["model"]: row["neurons"] for row in catalog.open(db).models().arrow().to_pylist()}
    counted_sql = "select model, count(*) from neurons group by model"
    found: dict[str, int] = dict(query(db, counted_sql))
    assert shown == found
    assert shown["qwen2_moe"] == 2 * 160 + 48
    roles = "select count(*) from neurons where functional_role is null or null_space_share is null"
    assert query(db, roles) == [(0,)]


@pytest.mark.parametrize("name", EXPERTS)
def test_routed_and_frequencies_are_shares_of_all_positions(name: str, db: Path) -> None:
    rows = query(
        db,
        "select layer, expert, neuron, any_value(routed), sum(frequency), count(distinct routed) "
        "from activation_stats join neurons using (model, layer, neuron) "
        "where model = $1 group by all order by all",
        name,
    )
    by_layer: dict[int, dict[int, float]] = {}
    for layer, expert, _, routed, frequency, _ in rows:
        if expert is None:
            assert routed is None
            assert frequency == pytest.approx(1)
        else:
            assert frequency == pytest.approx(routed)
            by_layer.setdefault(layer, {})[expert] = routed
    for shares in by_layer.values():
        assert sum(shares[expert] for expert in range(5)) == pytest.approx(2)  # two a position
        assert shares.get(5, 1) == 1


@pytest.mark.parametrize("name", EXPERTS)
def test_windows_and_samples_are_null_where_an_expert_was_not_asked(name: str, db: Path) -> None:
    asked = query(
        db,
        "select expert is null or expert = 5, count(*) filter (post is null) > 0, "
        "count(*) filter (post = 0) = 0 from activation_samples "
        "join neurons using (model, layer, neuron) where model = $1 group by 1 order by 1",
        name,
    )
    assert {(always, has_null) for always, has_null, _ in asked} <= {(True, False), (False, True)}
    windows = query(
        db,
        "select expert is null or expert = 5, "
        "bool_or(list_contains(list_transform(window_post, lambda p: p is null), true)), "
        "count(*) filter (window_post[position - window_start + 1] is null) "
        "from exemplars join neurons using (model, layer, neuron) where model = $1 "
        "group by 1 order by 1",
        name,
    )
    assert all(has_null != always and no_peak == 0 for always, has_null, no_peak in windows)


def test_a_router_that_sends_nothing_to_an_expert(db: Path, cli: Callable[..., Answer]) -> None:
    rows = query(
        db,
        "select distinct routed, frequency, mean_post, extreme_post, mean_gate from "
        "activation_stats where model = 'unasked' and layer = $1 and neuron < 24",
        LAYER,
    )
    assert rows == [(0.0, 0.0, None, None, None)]
    of_expert = "where model = 'unasked' and layer = $1 and neuron < 24"
    assert query(db, f"select count(*) from exemplars {of_expert}", LAYER) == [(0,)]
    assert query(db, f"select count(post) from activation_samples {of_expert}", LAYER) == [(0,)]
    # Its row of the router is zero and points nowhere.
    nowhere = "select count(*) from router_tokens where model = 'unasked' and layer = $1"
    assert query(db, f"{nowhere} and expert = 0", LAYER) == [(0,)]
    shown = cli("show", f"{LAYER}.e0.3", "--model", "unasked", "--db", db)
    assert shown.code == 0
    assert "sends no position of texts" in " ".join(shown.out.split())


def test_a_report_of_an_expert(db: Path, cli: Callable[..., Answer]) -> None:
    shown = cli("show", "1.e2.7", "--model", "qwen2_moe", "--db", db)
    assert shown.out.startswith("1.e2.7 (1.55)  qwen2_moe  Qwen 2 MoE")
    said = " ".join(shown.out.split())
    assert "Expert 2 of layer 1, one of 5 routed ones" in said
    assert "evenly spread it would be 40%" in said
    assert "Its row of the router points towards" in said
    same = cli("show", "1.55", "--model", "qwen2_moe", "--db", db)
    assert same.out == shown.out
    record = json.loads(cli("show", "1.e2.7", "--model", "qwen2_moe", "--json", "--db", db).out)
    assert (record["id"], record["neuron"]["expert"]) == ("1.55", 2)
    assert len(record["router_tokens"]) == 4 * K
    shared = cli("show", "1.e5.0", "--model", "qwen2_moe", "--db", db)
    assert "asked at every position" in " ".join(shared.out.split())
    dense = cli("show", "2.0", "--model", "qwen2_moe", "--db", db)
    assert "Expert" not in dense.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1.e6.0", "There is no expert 6 in layer 1 of qwen2_moe: experts go from 0 to 5."),
        ("1.e2.24", "There is no neuron 24 in expert 2 of layer 1 of qwen2_moe: neurons go from 0"),
        ("1.e5.40", "There is no neuron 40 in expert 5 of layer 1 of qwen2_moe: neurons go from 0"),
        ("2.e0.0", "There is no expert 0 in layer 2 of qwen2_moe, which has no experts"),
        ("1.160", "There is no neuron 160 in layer 1 of qwen2_moe: neurons go from 0 to 159."),
        ("2.48", "There is no neuron 48 in layer 2 of qwen2_moe: neurons go from 0 to 47."),
        ("3.e0.0", "There is no layer 3 in qwen2_moe: layers go from 0 to 2."),
    ],
)
def test_an_id_out_of_range_says_what_there_is(
    text: str, said: str, db: Path, cli: Callable[..., Answer]
) -> None:
    for command in (("show", text), ("query", "similar_neurons", "-p", f"neuron={text}")):
        model = ("--model", "qwen2_moe") if command[0] == "show" else ("-p", "model=qwen2_moe")
        answer = cli(*command, *model, "--db", db)
        assert (answer.code, answer.out) == (3, "")
        assert said in answer.err


def test_ids_of_experts_are_taken_wherever_ids_are(
    db: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    opened = catalog.open(db)
    assert opened.neuron("1.e5.3", model="qwen2_moe").id == NeuronId(1, 123)
    pair = opened.compare("qwen2_moe:1.e2.7", "qwen2_moe:1.55")
    assert pair.arrow().column_names[1:3] == ["qwen2_moe:1.e2.7", "qwen2_moe:1.e2.7 again"]
    named = {"model": "qwen2_moe", "neuron": "1.e2.7"}
    here = opened.query("similar_neurons", **named).arrow().to_pylist()
    plain = opened.query("similar_neurons", **(named | {"neuron": "1.55"}))
    assert here == plain.arrow().to_pylist()
    with pytest.raises(NotFoundError, match="in llama, which has no experts"):
        opened.neuron("1.e0.0", model="llama")
    copy = tmp_path / "c.duckdb"
    copy.write_bytes(db.read_bytes())
    assert cli("describe", "1.e2.7", "by hand", "--model", "qwen2_moe", "--db", copy).code == 0
    table = tmp_path / "said.csv"
    table.write_text("model,neuron_id,description\nqwen2_moe,1.e2.8,x\nqwen2_moe,1.e9.0,y\n")
    imported = cli("import", "descriptions", table, "--format", "table", "--db", copy)
    assert "1.e9.0 of qwen2_moe" in imported.err
    assert query(copy, "select layer, neuron from descriptions order by all") == [(1, 55), (1, 56)]


def test_an_expert_that_is_never_asked_has_wires_and_no_effect(
    ingested: Path, db: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    """Beside neurons of its layer that have one; its mean post is 0."""
    copy = Path(shutil.copy(db, tmp_path / "c.duckdb"))
    shutil.copy(ingested / "texts.txt", tmp_path / "texts.txt")
    taken(tmp_path, "unasked", ingested / "unasked", ("wiring", "attribution"))
    counted = (
        "select count(*), count(*) filter (effect = 0 and magnitude = 0) from attributions "
        f"where model = 'unasked' and layer = {LAYER} and "
    )
    assert query(copy, counted + "neuron < 24") == [(24, 24)]
    assert query(copy, counted + "neuron >= 120") == [(40, 0)]
    wired = f"select count(*) > 0 from wires where layer = {LAYER} and neuron < 24"
    assert query(copy, wired) == [(True,)]
    subset = ("--neurons", f"{LAYER}.e0.3,{LAYER}.e0.5", "--kind", "zero,mean", "--draws", "2")
    answer = cli("ablate", "unasked", *subset, "--corpus", "texts", "--db", copy)
    assert answer.code == 0, answer.err
    effects = "select min(min), max(max) from ablation_effects where baseline = 'none'"
    assert query(copy, effects) == [(0, 0)]
    drawn = "select count(*) from ablation_effects where baseline <> 'none' and max > 0"
    assert query(copy, drawn)[0][0] > 0


def test_samples_are_those_of_the_neuron_within_its_expert(db: Path) -> None:
    opened = catalog.open(db)
    (corpus,) = opened.corpora("qwen2_moe")
    of_expert = opened.samples("1.e2.7", "qwen2_moe", corpus).arrow()
    assert len(of_expert)
    assert of_expert == opened.samples("1.55", "qwen2_moe", corpus).arrow()


def test_a_list_of_neurons_may_name_experts(db: Path) -> None:
    listed = ["qwen2_moe:1.e2.3", "qwen2_moe:1.51", "qwen2_moe:2.4"]
    rows = catalog.open(db).find(neurons=listed).arrow().to_pylist()
    assert {row["neuron_id"] for row in rows} == {"1.51", "2.4"}
    with pytest.raises(NotFoundError, match="no expert 9"):
        catalog.open(db).find(neurons=["qwen2_moe:1.e9.3"])


@pytest.mark.parametrize("query_name", ["classes", "classes_by_layer", "medians", "extremes"])
def test_named_queries_count_every_neuron(query_name: str, db: Path) -> None:
    opened = catalog.open(db)
    rows = opened.query(query_name, model="qwen2_moe").arrow().to_pylist()
    assert rows
    counted = [row["neurons"] for row in rows if "neurons" in row]
    if query_name in ("classes", "classes_by_layer"):
        assert sum(counted) == 368


def test_merged_and_verified(db: Path, tmp_path: Path, cli: Callable[..., Answer]) -> None:
    merged = tmp_path / "m.duckdb"
    assert cli("merge", db, "--into", merged).code == 0
    assert cli("verify", "qwen2_moe", "--rows", "--db", merged).code == 0
    for view in ("models", "neurons", "router_tokens", "activation_stats"):
        rows = f"from {view} order by all"
        assert query(db, rows) == query(merged, rows)
    lake = tmp_path / "lake"
    assert cli("export", lake, "--db", db).code == 0
    shown = cli("show", "1.e2.7", "--model", "qwen2_moe", "--db", lake)
    assert shown.out == cli("show", "1.e2.7", "--model", "qwen2_moe", "--db", db).out


@pytest.mark.parametrize("damaged", ["gate", "an expert"])
def test_a_missing_tensor_is_named(damaged: str, ingested: Path, tmp_path: Path) -> None:
    tensors = load_file(ingested / "olmoe" / "model.safetensors")
    gone = {
        "gate": "model.layers.1.mlp.gate.weight",
        "an expert": "model.layers.1.mlp.experts.3.up_proj.weight",
    }[damaged]
    del tensors[gone]
    save_file(tensors, tmp_path / "model.safetensors")
    config = (ingested / "olmoe" / "config.json").read_bytes()
    (tmp_path / "config.json").write_bytes(config)
    with pytest.raises(CatalogError, match=gone.replace(".", r"\.")):
        NeuronVectors(open_checkpoint(str(tmp_path)), "folded")


def test_ids_and_places_are_inverse() -> None:
    for layer in range(N_LAYERS):
        for neuron in range(SIZES.of_layer(layer)):
            plain = NeuronId(layer, neuron)
            written = str(plain.in_expert(SIZES))
            assert NeuronId.parse(written).resolved(SIZES, "m") == plain
    assert str(NeuronId(1, 120).in_expert(SIZES)) == "1.e5.0"
    assert str(NeuronId(2, 30).in_expert(SIZES)) == "2.30"
    for text in ("1.e5", "1.5.e2", "1.e-1.2", "1.E5.2", "e1.2"):
        with pytest.raises(UsageError, match="is not a neuron id"):
            NeuronId.parse(text)


@pytest.mark.parametrize("form", ["neuronpedia", "delphi"])
def test_exemplars_of_experts_are_handed_on(
    form: str, db: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    where = ("--model", "mixtral", "--where", "layer = 1 and neuron < 8")
    done = cli("export", tmp_path / "out", "--format", form, *where, "--db", db)
    assert done.code == 0, done.err
    assert any((tmp_path / "out").iterdir())
