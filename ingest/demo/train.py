"""Train a demo model on the demo corpus and package it as a checkpoint folder."""

import platform
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import click
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from catalog.ingest.demo import CORPUS_FILE, MODEL_FOLDERS
from catalog.ingest.demo.card import Facts, model_card
from catalog.ingest.demo.data import (
    IGNORED,
    START_ID,
    contexts,
    encode,
    epochs,
    library_source,
    read_corpus,
    split_documents,
)
from catalog.ingest.demo.models import Model, new_model
from catalog.ingest.demo.optimizing import optimizers, rate
from catalog.ingest.demo.recipe import LENGTH, PLAIN, SERIES, SERIES_STEPS, Recipe

START, END = "<|start|>", "<|end|>"


@dataclass(frozen=True)
class Data:
    """All that training reads, as tokens; contexts are [contexts, LENGTH]."""

    tokenizer: PreTrainedTokenizerFast
    documents: list[Tensor]
    source: list[Tensor]
    n_held_out: int
    known: Tensor  # contexts of one training document in 20
    unknown: Tensor  # contexts of the held-out documents


def train_tokenizer(texts: list[str], vocab: int) -> PreTrainedTokenizerFast:
    """Learn byte-level pairs from the texts; the result begins every text with START."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    core.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", pair=f"{START} $A {START} $B", special_tokens=[(START, START_ID)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=START,
        eos_token=END,
        model_max_length=LENGTH,
        clean_up_tokenization_spaces=False,
    )


def next_token_loss(model: nn.Module, rows: Tensor) -> Tensor:
    """Return the mean cross entropy of each row's next tokens; rows: [batch, length]."""
    logits = model(input_ids=rows.clamp(min=0), use_cache=False).logits
    return functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), rows[:, 1:].flatten(), ignore_index=IGNORED
    )


@torch.no_grad()
def evaluate(model: nn.Module, rows: Tensor) -> float:
    """Return the mean loss per predicted token over contexts [contexts, length], in float32."""
    total = count = 0.0
    for batch in torch.split(rows, 16):
        predicted = int((batch[:, 1:] != IGNORED).sum())
        total += float(next_token_loss(model, batch)) * predicted
        count += predicted
    return total / count


def fit(
    model: Model,
    rows: Iterator[Tensor],
    recipe: Recipe,
    report: Callable[[int, float], None],
    *,
    small: bool = False,
) -> None:
    """Train in bfloat16 arithmetic on float32 weights; `report` hears of every step.

    For a `small` model neither that nor compiling pays.
    """
    compiled = next_token_loss if small else torch.compile(next_token_loss)
    parts = optimizers(model, recipe)
    for step in range(recipe.steps):
        for group in (group for part in parts for group in part.param_groups):
            group["lr"] = recipe.lr * rate(step, recipe, group["halved_at"])
        with torch.autocast("cpu", torch.bfloat16, enabled=not small):
            loss = compiled(model, torch.stack(list(islice(rows, recipe.batch))))
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for part in parts:
            part.step()
            part.zero_grad()
        report(step + 1, float(loss.detach()))


def package(model: Model, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the checkpoint folder, weights in float16."""
    shipped = deepcopy(model)
    nn.Module.to(shipped, torch.float16)
    shipped.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # safetensors leaves it to its owner alone
    tokenizer.save_pretrained(folder)


def prepare(recipe: Recipe, corpus: Path) -> Data:
    """Read and split the corpus, learn its tokenizer, and turn all texts into tokens."""
    seen, held_out = split_documents(read_corpus(corpus))
    tokenizer = train_tokenizer(seen, recipe.vocab)
    core = tokenizer.backend_tokenizer
    documents = encode(core, seen)
    return Data(
        tokenizer=tokenizer,
        documents=documents,
        source=encode(core, library_source()),
        n_held_out=len(held_out),
        known=contexts(documents[::20], LENGTH),
        unknown=contexts(encode(core, held_out), LENGTH),
    )


def measure(folder: Path, recipe: Recipe, data: Data) -> Facts:
    """Load the packaged model again, in float32, and collect what its card tells."""
    shipped = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return Facts(
        parameters=shipped.num_parameters(),
        held_out=data.n_held_out,
        corpus_tokens=sum(map(len, data.documents)),
        source_tokens=sum(map(len, data.source)),
        tokens_seen=recipe.steps * recipe.batch * LENGTH,
        train_loss=evaluate(shipped, data.known),
        held_out_loss=evaluate(shipped, data.unknown),
        length=LENGTH,
        threads=torch.get_num_threads(),
        python=platform.python_version(),
        torch=torch.__version__,
    )


def train(recipe: Recipe, corpus: Path, folder: Path, say: Callable[[str], None]) -> None:
    """Train the model by a recipe and package it with its card."""
    data = prepare(recipe, corpus)
    torch.manual_seed(recipe.seed)
    model = new_model(recipe)
    order = torch.Generator().manual_seed(recipe.seed)
    rows = epochs(data.documents, data.source, recipe.source_share, LENGTH, order)
    started = time.monotonic()

    def report(step: int, loss: float) -> None:
        if step % 100:
            return
        say(f"{(time.monotonic() - started) / 60:5.1f} min, step {step}: loss {loss:.3f}")
        if step % 300 == 0:
            package(model, data.tokenizer, folder)
            say(f"held out {evaluate(model, data.unknown):.4f}")

    fit(model, rows, recipe, report)
    package(model, data.tokenizer, folder)
    facts = measure(folder, recipe, data)
    say(f"as shipped: train {facts.train_loss:.4f}, held out {facts.held_out_loss:.4f}")
    (folder / "README.md").write_text(model_card(vars(recipe), facts), encoding="utf-8")


def train_series(recipe: Recipe, corpus: Path, folder: Path, say: Callable[[str], None]) -> None:
    """Train a model and package it at SERIES_STEPS, in folders that tell step and tokens.

    It has the demo model's tokenizer, and reads the corpus alone.
    """
    tokenizer = PreTrainedTokenizerFast.from_pretrained(MODEL_FOLDERS["demo"])
    seen, held_out = split_documents(read_corpus(corpus))
    documents, unknown = (encode(tokenizer.backend_tokenizer, each) for each in (seen, held_out))
    held_out_rows = contexts(unknown, LENGTH)
    torch.manual_seed(recipe.seed)
    model = new_model(recipe)
    order = torch.Generator().manual_seed(recipe.seed)
    rows = epochs(documents, [], 0.0, LENGTH, order)

    def keep(step: int, _loss: float) -> None:
        if step in SERIES_STEPS:
            n_tokens = step * recipe.batch * LENGTH
            package(model, tokenizer, folder / f"step-{step}-tokens{n_tokens}")
            say(f"step {step}: held out {evaluate(model, held_out_rows):.4f}")

    keep(0, 0.0)
    fit(model, rows, recipe, keep, small=True)


@click.command()
@click.option("--plain", is_flag=True, help="Train the twin without a gate.")
@click.option(
    "--series",
    is_flag=True,
    help="Train a small model for some minutes and keep its checkpoints, a folder for each.",
)
@click.option(
    "--corpus",
    type=click.Path(exists=True, path_type=Path),
    default=CORPUS_FILE,
    help="The texts; by default the shipped ones.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The folder to write; by default the shipped one, of a series `series`.",
)
@click.option("--steps", type=int, default=Recipe.steps, show_default=True)
@click.option("--threads", type=int, default=2, show_default=True)
def main(
    plain: bool, series: bool, corpus: Path, output: Path | None, steps: int, threads: int
) -> None:
    """Train a demo model and write it to a checkpoint folder.

    Example: python -m catalog.ingest.demo.train --output model --steps 200
    """
    if plain and series:
        raise click.UsageError("The series is of a gated model: --plain goes without --series.")
    torch.set_num_threads(threads)

    def say(line: str) -> None:
        click.echo(line, err=True)

    if series:
        train_series(SERIES, corpus, output or Path("series"), say)
    else:
        recipe = replace(PLAIN if plain else Recipe(), steps=steps)
        train(recipe, corpus, output or MODEL_FOLDERS["demo-plain" if plain else "demo"], say)


if __name__ == "__main__":
    main()
