"""`firing`: what neurons do at a token and elsewhere, against a plain forward pass in NumPy."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import catalog
from catalog.errors import NotFoundError
from catalog.queries import verification
from tests.support import Answer, query


def by_hand(folder: Path, contexts: list[list[int]], token_id: int) -> dict[str, np.ndarray]:
    """Columns of `firing` as `[n_layers, d_mlp]`, float64, position 0 and `<s>` left out."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    seen: dict[tuple[int, str], list[np.ndarray]] = {}
    for layer, block in enumerate(model.model.layers):
        block.mlp.gate_proj.register_forward_hook(
            lambda _, __, out, at=layer: seen.setdefault((at, "gate"), []).append(out[0].numpy())
        )
        block.mlp.down_proj.register_forward_pre_hook(
            lambda _, args, at=layer: seen.setdefault((at, "post"), []).append(args[0][0].numpy())
        )
    with torch.inference_mode():
        for ids in contexts:
            model(torch.tensor([ids]))
    tokens = np.concatenate([np.array(ids) for ids in contexts])
    first = np.concatenate([np.arange(len(ids)) == 0 for ids in contexts])
    counted = ~first & (tokens != 0)
    at, elsewhere = counted & (tokens == token_id), counted & (tokens != token_id)
    layers = range(len(model.model.layers))
    gate, post = (
        np.stack([np.concatenate(seen[layer, name]).astype(np.float64) for layer in layers])
        for name in ("gate", "post")
    )
    means = post[:, at].mean(1), post[:, elsewhere].mean(1)
    return {
        "selectivity": (means[0] - means[1]) / post[:, counted].std(1),
        "mean_post": means[0],
        "mean_post_elsewhere": means[1],
        "share_firing": (gate[:, at] > 0).mean(1),
        "share_firing_elsewhere": (gate[:, elsewhere] > 0).mean(1),
    }


@pytest.mark.parametrize("max_tokens", [60, 10_000])
def test_against_a_plain_forward_pass(measured: Path, max_tokens: int) -> None:
    path = measured / "c.duckdb"
    stored = query(path, "select token_ids from context order by context_id")
    counts = Counter(token for (ids,) in stored for token in ids[1:])
    token_id, n = counts.most_common(8)[-1]
    ((token,),) = query(path, "select token from tokens where token_id = $1", token_id)
    assert 10 < n < sum(counts.values()) / 2
    holding = [ids for (ids,) in stored if token_id in ids[1:]]
    read: list[list[int]] = []
    for ids in holding:
        if sum(map(len, read)) < max_tokens:
            read.append(ids)
    assert (len(read) < len(holding)) == (max_tokens == 60)
    wanted = by_hand(measured / "model", read, token_id)
    found = catalog.open(path).firing(token, "tiny", k=10**6, max_tokens=max_tokens)
    rows = found.arrow().to_pylist()
    assert len(rows) == wanted["selectivity"].size
    for row in rows:
        layer, neuron = map(int, row["neuron_id"].split("."))
        for name, values in wanted.items():
            assert row[name] == pytest.approx(values[layer, neuron], rel=1e-3, abs=1e-5)
    magnitudes = [abs(row["selectivity"]) for row in rows]
    assert magnitudes == sorted(magnitudes, reverse=True)
    (said,) = found.notes
    assert f"the first {len(read)} of {len(holding)} contexts of web" in said


def test_a_token_in_no_context_is_told_pieces_near_it(
    measured: Path, known: Path, cli: Callable[..., Answer]
) -> None:
    with pytest.raises(NotFoundError, match="stands in no context of web"):
        catalog.open(measured / "c.duckdb").firing("xyzzy")
    answer = cli("firing", " the", "--model", "beta", "--db", known)
    assert (answer.code, "beta has no corpus in the catalog" in answer.err) == (3, True)


def test_a_column_that_is_not_there_is_refused_before_the_model_is_looked_for(
    db: Path, cli: Callable[..., Answer]
) -> None:
    """The catalog names a checkpoint that is nowhere: it is not asked for."""
    told = ("--model", "alpha", "--db", db)
    answer = cli("firing", " the", *told, "--columns", "neuron_id,functional_role")
    assert answer.code == 2
    said = " ".join(answer.err.split())
    assert "no column 'functional_role' here. Did you mean role? There is: neuron_id, " in said
    for mode, near in (
        ((), "no column 'rol' here. Did you mean role?"),
        (("--neuron", "28.4737"), "There is: position, token, gate, in, post."),
        (("--attribute", " x"), "There is: neuron_id, effect, magnitude, io_class, role."),
        (("--ablate", "28.4737"), "There is: position, token, next_token, p_clean, "),
    ):
        answer = cli("run", "some words", *mode, *told, "--columns", "rol")
        assert (answer.code, near in " ".join(answer.err.split())) == (2, True), answer.err
    answer = cli("verify", "alpha", "--exemplars", 1, "--columns", "stored", "--db", db)
    assert (answer.code, answer.out) == (2, "")
    assert "There is: neuron_id, corpus, sign_case, " in " ".join(answer.err.split())


@pytest.mark.parametrize(
    ("kind", "asked"), [("rows", ("--rows",)), ("exemplars", ("--exemplars", "1"))]
)
def test_verify_answers_with_the_columns_it_checked_for(
    kind: str, asked: tuple[str, ...], measured: Path, cli: Callable[..., Answer]
) -> None:
    db = measured / "c.duckdb"
    answer = cli("verify", *asked, "--device", "cpu", "--format", "csv", "--db", db)
    assert answer.out.splitlines()[0] == ",".join(verification.COLUMNS[kind])
