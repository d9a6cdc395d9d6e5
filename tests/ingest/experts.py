"""A catalog of tiny models of experts, which several tests read."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from catalog.ingest.corpus.spec import CorpusSpec
from catalog.ingest.driver import IngestRequest, ingest
from catalog.ingest.families import FAMILIES
from catalog.ingest.progress import Silent
from catalog.store.handle import Handle
from tests.ingest.test_families import LAYER
from tests.tiny_checkpoints import build, save_tokenizer

EXPERTS = sorted(name for name, family in FAMILIES.items() if family.experts is not None)
K = 4
TEXTS = "\n\n".join(
    f"The class statement {n} binds a name to a new class object, and returns None." for n in "abcd"
)
ALL = ("weights", "vocab", "roles", "activations", "detectors")


def unasked(folder: Path) -> None:
    """Change the router of layer LAYER so that no position ever goes to expert 0.

    Its row is zero, and the other four are opposite pairs: two of them always exceed it.
    """
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = f"model.layers.{LAYER}.mlp.gate.weight"
    first, second = tensors[name][1].clone(), tensors[name][2].clone()
    tensors[name] = torch.stack([torch.zeros_like(first), first, -first, second, -second])
    save_file(tensors, path)


def taken(folder: Path, name: str, source: Path, stages: tuple[str, ...] = ALL) -> None:
    request = IngestRequest(
        catalog=Handle(folder / "c.duckdb"),
        source=str(source),
        alias=name,
        stages=stages,
        corpus=CorpusSpec(str(folder / "texts.txt"), context_length=24),
        top_tokens=K,
        device="cpu",
    )
    ingest(request, Silent())


def make(folder: Path) -> None:
    """A checkpoint of each family with experts and a catalog of them, `unasked` with one, too."""
    (folder / "texts.txt").write_text(TEXTS)
    for name in EXPERTS:
        save_tokenizer(build(name, folder / name))
        taken(folder, name, folder / name)
    save_tokenizer(build("qwen2_moe", folder / "unasked"))
    unasked(folder / "unasked")
    taken(folder, "unasked", folder / "unasked")
    save_tokenizer(build("llama", folder / "llama"))
    taken(folder, "llama", folder / "llama")
