"""Two tiny checkpoints, with a gate and without, ingested together and apart into catalogs."""

from pathlib import Path

from catalog.ingest.ablation.ablating import ablate
from catalog.ingest.ablation.request import AblateRequest
from catalog.ingest.ablation.subsets import SubsetSpec
from catalog.ingest.corpus import CorpusSpec
from catalog.ingest.descriptions.importing import describe
from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.progress import Silent
from catalog.store.handle import Handle
from tests import tiny_checkpoints

WEIGHTS: tuple[str, ...] = ("weights", "vocab", "roles", "wiring")
TEXTS = {
    "p": "The class statement binds a name\nAn iterator raises StopIteration\nfor key in mapping",
    "q": "Texts of another corpus\nname a class, return None\nfurther items: print(key, value)",
}


def make(folder: Path) -> None:
    """`together`: x on both corpora, y on one; `a` and `b`: parts of it that make up the whole."""
    for name, model_type in (("x", "llama"), ("y", "gpt2")):
        tiny_checkpoints.build(model_type, folder / name)
        tiny_checkpoints.save_tokenizer(folder / name)
    for name, text in TEXTS.items():
        (folder / f"{name}.txt").write_text(text)
    together, a, b = (folder / f"{name}.duckdb" for name in ("together", "a", "b"))
    add(together, "x", WEIGHTS, "p")
    add(together, "x", (), "q")
    add(together, "y", WEIGHTS, "p")
    add(b, "y", WEIGHTS, "p")
    add(b, "x", ("weights",), "q")
    add(a, "x", WEIGHTS, "p")
    for catalog in (together, a):
        ablate_in(catalog, "x", "p")
    for catalog, said in ((together, "xxy"), (a, "xx"), (b, "xy")):
        for at, model in enumerate(said):
            describe(Handle(catalog), f"0.{at if model == 'x' else 0}", "says so", model)


def ablate_in(catalog: Path, model: str, corpus: str) -> None:
    """Ablate two neurons of a model, each for itself."""
    subsets = [SubsetSpec(neurons=(each,)) for each in ("0.1", "2.7")]
    source = CorpusSpec(corpus)
    request = AblateRequest(Handle(catalog), model, subsets, corpus=source, n_draws=2, device="cpu")
    ablate(request, Silent())


def add(
    catalog: Path,
    model: str,
    stages: tuple[str, ...],
    corpus: str | None = None,
    **changed: object,
) -> None:
    """Ingest a checkpoint of the catalog's folder, on a corpus if one is named."""
    given: dict[str, object] = {
        "catalog": Handle(catalog),
        "source": str(catalog.parent / model),
        "alias": model,
        "stages": stages,
        "top_tokens": 4,
        "exemplars": 2,
        "device": "cpu",
    }
    if corpus is not None:
        source = str(catalog.parent / f"{corpus}.txt")
        given |= {
            "stages": (*stages, "activations", "attribution", "detectors"),
            "corpus": CorpusSpec(source, context_length=16),
            "corpus_name": corpus,
        }
    ingest(IngestRequest(**(given | changed)), Silent())  # type: ignore[arg-type]
