"""Train the demo model on the demo corpus and package it as a checkpoint folder."""

import platform
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import click
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from catalog.ingest.demo import CORPUS_FILE, MODEL_FOLDER
from catalog.ingest.demo.card import Facts, model_card
from catalog.ingest.demo.data import (
    END_ID,
    IGNORED,
    START_ID,
    contexts,
    encode,
    epochs,
    library_source,
    read_corpus,
    split_documents,
)

START, END = "<|start|>", "<|end|>"
LENGTH = 512


@dataclass(frozen=True)
class Recipe:
    """How the demo model is built and trained."""

    vocab: int = 4096
    d_model: int = 128
    d_mlp: int = 512
    layers: int = 4
    heads: int = 4
    batch: int = 2  # rows of LENGTH tokens
    steps: int = 2080
    warmup: int = 100
    decay_share: float = 0.4  # of the steps, at the end
    lr: float = 3e-3
    weight_decay: float = 0.2
    initializer_range: float = 0.02
    source_share: float = 0.05  # of the library's source files, in each epoch
    seed: int = 20240


SERIES: Final = Recipe(
    d_model=32, d_mlp=128, layers=2, heads=2, batch=1, steps=1000, lr=1e-2, weight_decay=0.5
)
"""A model so narrow that classes come about in a minute or two of training: a few directions are
soon shared by all that reads and writes them."""

SERIES_STEPS: Final = (0, 30, 100, 300, 1000)


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


def new_model(recipe: Recipe) -> LlamaForCausalLM:
    """Build the untrained model."""
    config = LlamaConfig(
        vocab_size=recipe.vocab,
        hidden_size=recipe.d_model,
        intermediate_size=recipe.d_mlp,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=False,
        initializer_range=recipe.initializer_range,
        bos_token_id=START_ID,
        eos_token_id=END_ID,
    )
    return LlamaForCausalLM(config)


def optimizers(model: LlamaForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return Muon over the attention's matrices and AdamW over the rest; gains do not decay.

    On the MLPs Muon would learn faster too, but it gives all neurons a share of everything; what
    AdamW leaves in them points at fewer tokens, and reads better.
    """
    attention = [p for layer in model.model.layers for p in layer.self_attn.parameters()]
    taken = set(map(id, attention))
    matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in taken]
    gains = [p for p in model.parameters() if p.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": gains, "weight_decay": 0.0},
    ]
    return [
        torch.optim.AdamW(groups, recipe.lr, betas=(0.9, 0.99), fused=True),
        torch.optim.Muon(
            attention,
            recipe.lr,
            weight_decay=recipe.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
    ]


def rate(step: int, recipe: Recipe) -> float:
    """Return the learning rate's share of its peak: a rise, a plateau, a line down to zero."""
    rise = (step + 1) / recipe.warmup
    fall = (1 - step / recipe.steps) / recipe.decay_share
    return min(rise, 1.0, fall)


def next_token_loss(model: nn.Module, rows: Tensor) -> Tensor:
    """Return the mean cross entropy of each row's next tokens; rows: [batch, length]."""
    logits = model(input_ids=rows.clamp(min=0), use_cache=False).logits
    return functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), rows[:, 1:].flatten(), ignore_index=IGNORED
    )


@torch.no_grad()
def evaluate(model: LlamaForCausalLM, rows: Tensor) -> float:
    """Return the mean loss per predicted token over contexts [contexts, length], in float32."""
    total = count = 0.0
    for batch in torch.split(rows, 16):
        predicted = int((batch[:, 1:] != IGNORED).sum())
        total += float(next_token_loss(model, batch)) * predicted
        count += predicted
    return total / count


def fit(
    model: LlamaForCausalLM,
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
            group["lr"] = recipe.lr * rate(step, recipe)
        with torch.autocast("cpu", torch.bfloat16, enabled=not small):
            loss = compiled(model, torch.stack(list(islice(rows, recipe.batch))))
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for part in parts:
            part.step()
            part.zero_grad()
        report(step + 1, float(loss.detach()))


def package(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
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
    shipped = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
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
        if step % 1000 == 0:
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
    tokenizer = PreTrainedTokenizerFast.from_pretrained(MODEL_FOLDER)
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
def main(series: bool, corpus: Path, output: Path | None, steps: int, threads: int) -> None:
    """Train the demo model and write it to a checkpoint folder.

    Example: python -m catalog.ingest.demo.train --output model --steps 200
    """
    torch.set_num_threads(threads)

    def say(line: str) -> None:
        click.echo(line, err=True)

    if series:
        train_series(SERIES, corpus, output or Path("series"), say)
    else:
        train(Recipe(steps=steps), corpus, output or MODEL_FOLDER, say)


if __name__ == "__main__":
    main()
