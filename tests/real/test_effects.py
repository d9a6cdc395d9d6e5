"""SmolLM2-135M: ablations and attributions against a plain loop over the same few contexts."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy import ndarray
from transformers import AutoModelForCausalLM

from catalog.ingest.ablation.ablating import ablate
from catalog.ingest.ablation.arms import Ablation
from catalog.ingest.ablation.request import AblateRequest
from catalog.ingest.ablation.subsets import Subset, SubsetSpec
from catalog.ingest.activations.contexts import CountingRule
from catalog.ingest.corpus import CorpusSpec
from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.progress import Silent
from catalog.store.handle import Handle
from catalog.taxonomy import METRICS
from tests.ingest.ablation.plain import Plain
from tests.real.smollm2 import D_MLP, FILE, N_LAYERS
from tests.real.test_smollm2 import db as db
from tests.support import one_thread, query

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FILE.exists(), reason="`make test-real` fetches the model"),
]
SUBSETS = (
    SubsetSpec(io_class="depletion"),
    SubsetSpec(where="layer = 0 and neuron < 200"),
    SubsetSpec(neurons=("5.3", "17.800", "29.1089")),
)
CONDITIONS = (
    "io_class = 'depletion'",
    "layer = 0 and neuron < 200",
    "(layer, neuron) in ((5, 3), (17, 800), (29, 1089))",
)
"""The same subsets in SQL."""
EVERY = 1000
"""More positions than there are: all are kept."""
CLOSE = 1e-5
RULE = CountingRule((0, 1, 2), skip_first=True)
"""What begins a context and the marks of a chat; the texts have none of these within."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """With several, products of other shapes are added up in another order."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def few(_one_thread: None, db: Path, once: Callable[..., Path]) -> Path:
    """The catalog with attributions and ablations on some 250 tokens."""

    def make(folder: Path) -> None:
        own = Path(shutil.copy(db, folder / "c.duckdb"))
        texts = query(own, "select text from contexts where context_id < 40 order by context_id")
        (folder / "few.txt").write_text("\n\n".join(text for (text,) in texts)[3000:4000])
        corpus = CorpusSpec(str(folder / "few.txt"), context_length=96)
        request = IngestRequest(
            Handle(own),
            str(FILE),
            "smollm2",
            stages=("attribution",),
            corpus=corpus,
            device="cpu",
        )
        ingest(request, Silent())
        asked = AblateRequest(
            Handle(own),
            "smollm2",
            SUBSETS,
            corpus=CorpusSpec("few"),
            baselines=(),
            k=EVERY,
            device="cpu",
        )
        ablate(asked, Silent())

    return once("smollm2-effects", make) / "c.duckdb"


@pytest.fixture(scope="module")
def plain() -> Plain:
    given = {"gguf_file": FILE.name, "dtype": torch.float32}
    return Plain(AutoModelForCausalLM.from_pretrained(FILE.parent, **given).eval())


@pytest.fixture(scope="module")
def contexts(few: Path) -> list[ndarray]:
    rows = query(
        few,
        "select token_ids from context join model_corpus using (corpus_id) where name = 'few' "
        "order by context_id",
    )
    return [np.array(tokens, np.int32) for (tokens,) in rows]


def of_condition(few: Path, condition: str) -> Ablation:
    """The zero ablation of the neurons of a condition."""
    found: dict[int, list[int]] = {}
    sql = f"select layer, neuron from neurons where {condition} order by layer, neuron"
    for layer, neuron in query(few, sql):
        found.setdefault(layer, []).append(neuron)
    by_layer = {layer: np.array(each, np.int32) for layer, each in found.items()}
    return Ablation(condition, Subset(condition, by_layer), "zero", None, None, 0)


@pytest.mark.parametrize("at", range(len(SUBSETS)), ids=[each.text for each in SUBSETS])
def test_effects_at_every_position(
    few: Path, plain: Plain, contexts: list[ndarray], at: int
) -> None:
    expected = plain.effects(of_condition(few, CONDITIONS[at]), contexts, RULE, {}, {})
    for number, metric in enumerate(METRICS):
        stored = query(
            few,
            "select context_id, position, effect from ablation_positions join "
            "(select ablation_id from ablations where subset = $1 and baseline = 'none') "
            "using (ablation_id) where metric = $2",
            *(SUBSETS[at].text, metric),
        )
        # Where an effect is 0 there is no row.
        found = [np.where(np.isnan(each[number]), np.nan, 0) for each in expected]
        for context, position, effect in stored:
            found[context][position] = effect
        ours, theirs = np.concatenate(found), np.concatenate([each[number] for each in expected])
        assert stored
        assert (np.isnan(ours) == np.isnan(theirs)).all()
        apart = np.abs(ours - theirs)[~np.isnan(ours)]
        # Of two losses of some 15 nats each float32 leaves this; most positions are far closer.
        assert apart.max() <= (0.5 if metric == "rank" else 5 * CLOSE), metric
        assert (apart > CLOSE).mean() <= 0.02, metric


def test_attributions(few: Path, plain: Plain, contexts: list[ndarray]) -> None:
    expected = plain.attributions(contexts, RULE)
    stored = query(
        few,
        "select effect, magnitude from attributions where corpus = 'few' order by layer, neuron",
    )
    found: ndarray = np.array(stored).T.reshape(2, N_LAYERS, D_MLP)
    assert found == pytest.approx(expected, rel=1e-3, abs=5 * CLOSE)
    assert np.abs(expected).max() > 0.1
