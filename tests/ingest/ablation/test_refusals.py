"""What cannot be ablated is refused in a sentence; nothing is stored of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, LlamaConfig

from catalog.errors import CheckpointError
from catalog.ingest.ablation.readout import load_head
from catalog.ingest.checkpoint import open_checkpoint
from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.progress import Silent
from catalog.store.handle import Handle
from tests import tiny_checkpoints
from tests.ingest.ablation import catalogs
from tests.support import Answer, execute, public_rows, query


@pytest.fixture(scope="module")
def made(once: Callable[..., Path]) -> Path:
    return once("ablated", catalogs.make)


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made / "c.duckdb", tmp_path / "c.duckdb"))


def flat(text: str) -> str:
    """Without the breaks of lines that depend on the terminal."""
    return " ".join(text.split())


REFUSED: dict[tuple[str, ...], tuple[int, str]] = {
    (): (2, "Which neurons? Name a subset"),
    ("--where", "layer > 99"): (2, "No neuron of tiny is in the subset"),
    ("--where", "layer >= 0"): (2, "is the whole of tiny"),
    ("--where", "layer"): (5, "'layer' is no condition: it gives"),
    ("--where", "true limit 3"): (5, "is no condition: it may hold only what follows WHERE"),
    ("--where", "true union select 1, 2"): (5, "is no condition"),
    ("--where", "true group by all"): (5, "The condition cannot be asked of neurons"),
    ("--where", "nothing = 3"): (5, "The condition cannot be asked of neurons"),
    ("--where", "layer in (from catalog_file.main.neuron)"): (5, "catalog_file is refused"),
    ("--where", "true; drop table neuron"): (5, "2 statements were given"),
    ("--where", "layer in (select 1 from read_csv('/etc/passwd'))"): (5, ""),
    ("--neurons", "other:1.2"): (2, "other:1.2 is a neuron of other"),
    ("--neurons", "9.1"): (3, "There is no layer 9 in tiny"),
    ("--neurons", "1.99"): (3, "There is no neuron 99 in tiny"),
    ("--neurons", "one"): (2, "'one' is not a neuron id"),
    ("--neurons", ""): (2, "No neuron is named"),
    ("--class", "strengthening"): (2, "Invalid value for '--class'"),
    ("--class", "depletion", "--kind", "median"): (2, "median; there is: zero, mean"),
    ("--class", "depletion", "--baseline", "class"): (2, "class; there is: layer, frequency"),
    ("--neurons", "1.2", "--corpus", "nowhere.txt"): (4, "nowhere.txt"),
    ("--class", "enrichment"): (2, "No neuron of tiny is in the subset 'enrichment'"),
    ("--role", "partition"): (2, "No neuron of tiny is in the subset 'role partition'"),
    ("--all-classes",): (2, "'orthogonal output' is the whole of tiny"),
    ("--where", ""): (5, "The SQL does not parse"),
    ("--where", "1 = 1) or (1 = 1"): (5, "The SQL does not parse"),
    ("--neurons", "1.2", "--kind", ""): (2, "There is no kind of ablation to do"),
    ("--neurons", "1.2", "--max-tokens", "0"): (2, "Draws and tokens are counted from 1"),
    ("--neurons", "1.2", "--draws", "0"): (2, "Invalid value for '--draws'"),
}


@pytest.mark.parametrize("options", REFUSED, ids=" ".join)
def test_what_cannot_be_ablated(
    made: Path, cli: Callable[..., Answer], options: tuple[str, ...]
) -> None:
    code, said = REFUSED[options]
    db = made / "c.duckdb"
    answer = cli("ablate", "tiny", *options, "--device", "cpu", "--db", db)
    assert answer.code == code, answer.err
    assert said in flat(answer.err)
    assert answer.out == ""
    assert not answer.err.startswith("\n")
    assert query(db, "select count(*) from ingest_runs where stage = 'ablation'") == [(0,)]


def test_mean_and_frequency_need_statistics_of_the_corpus(
    db: Path, made: Path, cli: Callable[..., Answer]
) -> None:
    """A corpus that is not there is stored; it has no statistics yet."""
    other = db.with_name("other.txt")
    other.write_text("Texts of another corpus. " * 40)
    asked = ("ablate", "tiny", "--neurons", "1.2", "--corpus", other, "--device", "cpu", "--db", db)
    for options in (("--kind", "mean", "--baseline", "layer"), ("--baseline", "frequency")):
        answer = cli(*asked, *options)
        assert answer.code == 2
        assert "needs activation statistics of tiny on the corpus 'other'" in flat(answer.err)
    answer = cli(*asked, "--baseline", "layer", "--draws", 2, "--format", "json")
    assert answer.code == 0, answer.err
    (row,) = json.loads(answer.out)
    assert (row["corpus"], row["baseline"], row["n_neurons"]) == ("other", "layer", 1)
    assert "other" in {row[1] for row in public_rows(db)["corpora"]}
    answer = cli("ablate", "tiny", "--neurons", "1.2", "--db", db)
    assert (answer.code, "There are several: other, words." in answer.err) == (2, True)


def test_few_tokens_one_context_and_a_full_layer(db: Path, cli: Callable[..., Answer]) -> None:
    answer = cli(
        *("ablate", "tiny", "--where", "layer = 1 or (layer = 2 and neuron < 4)"),
        *("--max-tokens", 3, "--draws", 2, "--device", "cpu", "--format", "json", "--db", db),
    )
    assert answer.code == 0, answer.err
    assert "the baseline layer has 4 neurons for its 52" in flat(answer.err)
    rows = json.loads(answer.out)
    assert [row["baseline"] for row in rows] == ["layer", "frequency"]
    for row in rows:
        assert (row["n_matched"] + row["n_neighbour"], row["n_unmatched"]) == (4, 48)
        assert row["difference"] is not None
        assert (row["low"], row["high"]) == (None, None)
    assert query(db, "select distinct n_contexts from ablations") == [(1,)]
    answer = cli(
        *("ablate", "tiny", "--where", "layer = 1", "--max-tokens", 3, "--device", "cpu"),
        *("--format", "json", "--db", db),
    )
    assert {(row["n_draws"], row["difference"]) for row in json.loads(answer.out)} == {(0, None)}


def test_a_corpus_shorter_than_asked_is_said(db: Path, cli: Callable[..., Answer]) -> None:
    asked = ("ablate", "tiny", "--neurons", "2.2", "--baseline", "", "--device", "cpu", "--db", db)
    answer = cli(*asked, "--max-tokens", 1_000_000)
    assert answer.code == 0, answer.err
    assert "fewer than the 1,000,000 asked for; all are read" in flat(answer.err)
    assert "NULL" in answer.out  # no baseline
    assert "2.2" in answer.out


def test_the_sign_of_the_paper_is_the_opposite(db: Path, cli: Callable[..., Answer]) -> None:
    asked = ("ablate", "tiny", "--neurons", "1.2", "--draws", 2, "--device", "cpu", "--db", db)
    ours, theirs = (
        json.loads(cli(*asked, "--format", "json", *more).out) for more in ((), ("--paper-sign",))
    )
    for one, other in zip(ours, theirs, strict=True):
        for name in ("effect", "baseline_effect", "difference"):
            assert one[name] == -other[name]
        assert (one["low"], one["high"]) == (-other["high"], -other["low"])


def test_effects_that_are_not_finite_are_counted(
    tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    """A vector that overflows the stream where the neuron is on: without it all is finite."""
    catalogs.make(tmp_path)
    model = tmp_path / "tiny"
    from safetensors.torch import load_file, save_file

    tensors = load_file(model / "model.safetensors")
    tensors["model.layers.1.mlp.down_proj.weight"][:, 3] = float("nan")
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    db = tmp_path / "nan.duckdb"
    stages = ("weights",)
    ingest(IngestRequest(Handle(db), str(model), alias="tiny", stages=stages), Silent())
    asked = ("--corpus", tmp_path / "words.txt", "--max-tokens", 200, "--baseline", "")
    answer = cli("ablate", "tiny", "--neurons", "1.3", *asked, "--device", "cpu", "--db", db)
    assert answer.code == 0, answer.err
    assert "effects are NaN or infinite and left out" in flat(answer.err)
    counts = query(db, "select n_positions, n_nonfinite > 0, mean from ablation_effects")
    assert set(counts) == {(0, True, None)}
    attributed = ("ingest", model, "--alias", "tiny", "--stages", "attribution")
    answer = cli(*attributed, *asked[:4], "--device", "cpu", "--db", db)
    assert answer.code == 0, answer.err
    assert "144 neurons have a gradient that is not finite: NULL" in flat(answer.err)
    assert query(db, "select count(*), count(effect), count(magnitude) from attributions") == [
        (144, 0, 0)
    ]


def test_a_model_without_a_head_is_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoints.build("llama", tmp_path / "model")
    checkpoint = open_checkpoint(str(folder))
    base = AutoModel.from_config(checkpoint.auto_config)
    with pytest.raises(CheckpointError, match="no language-model head"):
        load_head(checkpoint, base, "no.such.weight", "model.embed_tokens.weight")

    class Headless(LlamaConfig):
        """A configuration for which transformers has no causal model."""

    base.config = Headless(vocab_size=8)
    with pytest.raises(CheckpointError, match="no language-model head"):
        load_head(checkpoint, base, "lm_head.weight", "model.embed_tokens.weight")


def test_a_checkpoint_without_a_head_is_no_entry(
    tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    """A model saved without its head is refused by name before anything is stored of it."""
    whole = tiny_checkpoints.build("llama", tmp_path / "whole")
    base = AutoModelForCausalLM.from_pretrained(whole).model
    base.save_pretrained(tmp_path / "base")
    for stage in ("weights", "attribution"):
        db = tmp_path / f"{stage}.duckdb"
        answer = cli(
            *("ingest", tmp_path / "base", "--stages", stage), "--device", "cpu", "--db", db
        )
        assert answer.code == 4
        assert "has no tensor named lm_head.weight" in flat(answer.err)
        assert not any(public_rows(db).values())


def test_a_plain_model_has_no_gate_to_ask_for(tmp_path: Path, cli: Callable[..., Answer]) -> None:
    model = tiny_checkpoints.save_tokenizer(tiny_checkpoints.build("gpt2", tmp_path / "plain"))
    (tmp_path / "words.txt").write_text("Texts for a model without gates. " * 20)
    db = tmp_path / "c.duckdb"
    ingest(IngestRequest(Handle(db), str(model), alias="plain", stages=("weights",)), Silent())
    asked = ("ablate", "plain", "--neurons", "1.2", "--corpus", tmp_path / "words.txt")
    options = ("--baseline", "", "--device", "cpu", "--db", db)
    answer = cli(*asked, "--gate", "+", *options)
    assert answer.code == 2
    assert "plain has plain MLPs, whose neurons have no gate. Leave out --gate." in flat(answer.err)
    assert cli(*asked, "--post", "+", *options).code == 0
    assert query(db, "select gate_sign, post_sign from ablations") == [(None, "+")]


def test_a_checkpoint_that_changed_is_refused(made: Path, tmp_path: Path) -> None:
    from catalog.ingest.ablation.ablating import ablate

    db = Path(shutil.copy(made / "c.duckdb", tmp_path / "c.duckdb"))
    other = tiny_checkpoints.build("llama", tmp_path / "other", seed=5)
    execute(db, f"update model set source = '{other}'")
    with pytest.raises(CheckpointError, match="not the checkpoint that was ingested"):
        ablate(catalogs.request(db), Silent())


def test_redone_weights_drop_ablations_and_say_so(db: Path, cli: Callable[..., Answer]) -> None:
    model = query(db, "select source from models")[0][0]
    asked = ("--neurons", "1.2", "--baseline", "", "--device", "cpu", "--db", db)
    assert cli("ablate", "tiny", *asked).code == 0
    again = ("ingest", model, "--alias", "tiny", "--stages", "weights", "--device", "cpu")
    answer = cli(*again, "--db", db)
    assert query(db, "select count(*) from ablations") == [(1,)]
    answer = cli(*again, "--force", "--db", db)
    assert answer.code == 0, answer.err
    assert "is dropped: ablation" in flat(answer.err)
    assert query(db, "select count(*) from ablations") == [(0,)]
    assert query(db, "select count(*) from activation_stats") != [(0,)]


def test_run_says_what_changes_without_neurons(made: Path, cli: Callable[..., Answer]) -> None:
    db = made / "c.duckdb"
    text = "class name returns"
    answer = cli(
        *("run", text, "--ablate", "1.3,2.7", "--device", "cpu", "--format", "json", "--db", db)
    )
    assert answer.code == 0, answer.err
    rows: list[dict[str, Any]] = json.loads(answer.out)
    assert rows[0]["loss_change"] == 0  # the start token is not ablated
    assert rows[-1]["next_token"] is None
    assert "".join(row["token"] for row in rows[1:]) == text
    for row in rows[1:-1]:
        change = torch.tensor(row["p_clean"] / row["p_ablated"]).log().item()
        assert row["loss_change"] == pytest.approx(change, abs=1e-4)
        assert row["p_likeliest_clean"] >= row["p_clean"]
    assert any(abs(row["loss_change"]) > 1e-4 for row in rows[1:-1])


def test_run_names_the_neurons_that_matter_for_a_token(
    made: Path, cli: Callable[..., Answer]
) -> None:
    db = made / "c.duckdb"
    answer = cli(
        *("run", "class name", "--attribute", " returns", "--top", 4, "--device", "cpu"),
        *("--format", "json", "--db", db),
    )
    assert answer.code == 0, answer.err
    rows = json.loads(answer.out)
    assert len(rows) == 4
    sizes = [abs(row["effect"]) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert all(row["magnitude"] >= abs(row["effect"]) - 1e-7 for row in rows)
    assert all(row["io_class"] for row in rows)
    assert "comes next with probability" in flat(answer.err)
    for options in (("--ablate", ""), ("--ablate", "1.2", "--attribute", "x"), ("--attribute", "")):
        assert cli("run", "class", *options, "--device", "cpu", "--db", db).code == 2
